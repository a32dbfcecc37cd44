/* SPDX-License-Identifier: GPL-2.0-only */
/* What helpers of kapi/net/flow tell Rust in structures of their own. */

#ifndef OXNIC_FLOW_HELPERS_H
#define OXNIC_FLOW_HELPERS_H

#include <linux/types.h>

struct psample_group;
struct psample_metadata;
struct sk_buff;

/* What struct flow_action_entry leaves out of the action of tc that it was made of. */
struct oxnic_action_facts {
	u64 burst_ns;		/* police: bucket of bytes, in nanoseconds of its rate */
	u64 packet_burst_ns;	/* police: bucket of packets, likewise */
	int verdict;		/* TC_ACT_*, what happens after it */
	unsigned int entries;	/* how many entries were made of it */
	bool keeps_priority;	/* vlan modify: the tag's priority stays */
	bool moving_offset;	/* pedit: an offset is read from the packet */
	bool by_chance;		/* gact: a part of the packets has another verdict */
	bool odd_rate;		/* police: sizes are not counted as they are */
};

/* Functions of psample, which stays loaded as long as this is held. */
struct oxnic_psample {
	void (*sample)(struct psample_group *group, const struct sk_buff *skb, u32 rate, const struct psample_metadata *md);
	void (*take)(struct psample_group *group);
	void (*put)(struct psample_group *group);
};

void oxnic_psample_put(const struct oxnic_psample *psample);

#endif
