/* SPDX-License-Identifier: GPL-2.0-only */
/* What helpers about tunnel devices, routes and neighbours tell Rust in structures of their own. */

#ifndef OXNIC_TUNNEL_HELPERS_H
#define OXNIC_TUNNEL_HELPERS_H

#include <linux/if_ether.h>
#include <linux/types.h>

struct net_device;

/* An IP address; IPv4 in the first four bytes. */
struct oxnic_ip {
	u8 family;		/* 4, 6, or 0 for none */
	u8 bytes[16];
};

enum oxnic_tunnel_kind {
	OXNIC_TUNNEL_VXLAN,
	OXNIC_TUNNEL_GENEVE,
	OXNIC_TUNNEL_GRETAP,
	OXNIC_TUNNEL_IP6GRETAP,
};

/* How a tunnel device is configured. */
struct oxnic_tunnel {
	struct oxnic_ip local;	/* none where any */
	struct oxnic_ip remote;	/* likewise */
	u32 id;
	int link;		/* number of the device that its packets leave by, or 0 */
	u16 port;		/* UDP destination port */
	u16 port_min;		/* UDP source ports, resolved */
	u16 port_max;
	u8 kind;		/* enum oxnic_tunnel_kind */
	bool external;
	bool has_key;		/* GRE has one, others always do */
	bool group_policy;
	bool zero_checksum6;	/* UDP over IPv6 is taken without a checksum */
	bool odd;		/* something that changes what its packets are */
};

/* What is asked of routes. */
struct oxnic_path_query {
	struct oxnic_ip from;
	struct oxnic_ip to;
	int link;
	u8 protocol;
	u8 tos;
	bool solicit;		/* ask for the neighbour where it is not known, or not to be trusted any more */
};

/* Where packets to an address go. */
struct oxnic_path {
	struct net_device *dev;	/* its reference is the caller's */
	struct oxnic_ip from;
	u8 neighbour[ETH_ALEN];
	u8 hop_limit;
	bool known;		/* the neighbour is */
};

/* A VLAN device. */
struct oxnic_vlan {
	struct net_device *below;
	u16 tpid;
	u16 tci;		/* as what it sends with priority 0 has it */
	bool maps;		/* with other priorities it can be another one */
	bool reorders;		/* what it receives is without its tag */
};

#endif
