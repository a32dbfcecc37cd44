// SPDX-License-Identifier: GPL-2.0-only
/* Helpers of kapi/net/flow, part of ../helpers.c; see there. */

#include <net/act_api.h>
#include <net/flow_offload.h>
#include <net/ip_tunnels.h>
#include <net/netfilter/nf_tables.h>
#include <net/pkt_cls.h>
#include <net/psample.h>
#include <net/tc_act/tc_gact.h>
#include <net/tc_act/tc_pedit.h>
#include <net/tc_act/tc_police.h>
#include <net/tc_act/tc_vlan.h>
#include <net/tcx.h>

#include "flow_helpers.h"

/* net/flow/block.rs */

void oxnic_c_flow_block_cb_add(struct flow_block_cb *block_cb, struct flow_block_offload *offload)
{
	flow_block_cb_add(block_cb, offload);
}

void oxnic_c_flow_block_cb_remove(struct flow_block_cb *block_cb, struct flow_block_offload *offload)
{
	flow_block_cb_remove(block_cb, offload);
}

void oxnic_c_flow_indr_block_cb_remove(struct flow_block_cb *block_cb, struct flow_block_offload *offload)
{
	flow_indr_block_cb_remove(block_cb, offload);
}

/* A chain is there while it has a classifier, or was made by a user, or while an action leads to it. */
bool oxnic_block_has_chains(struct tcf_block *block)
{
	bool any;

	mutex_lock(&block->lock);
	any = !list_empty(&block->chain_list);
	mutex_unlock(&block->lock);
	return any;
}

/* net/flow/chain.rs */

bool oxnic_c_nft_is_active(const struct net_device *dev, const struct nft_rule *rule)
{
	return nft_is_active(dev_net(dev), rule);
}

/* net/flow/stats.rs; "age" is how long ago a packet was counted, in milliseconds */

void oxnic_flow_stats_update(struct flow_stats *stats, u64 bytes, u64 pkts, u64 drops, u64 age, enum flow_action_hw_stats kind)
{
	u64 last = jiffies - msecs_to_jiffies(min_t(u64, age, INT_MAX));

	flow_stats_update(stats, bytes, pkts, drops, pkts || drops ? last : 0, kind);
}

/* net/flow/action.rs; false where the entry was not made of an action of tc */

static void oxnic_police_facts(struct tc_action *act, struct oxnic_action_facts *facts)
{
	const struct tcf_police_params *params = rcu_dereference(to_police(act)->params);

	facts->burst_ns = params->tcfp_burst;
	facts->packet_burst_ns = params->tcfp_pkt_burst;
	facts->odd_rate = params->rate_present &&
			  (params->rate.linklayer == TC_LINKLAYER_ATM || params->rate.overhead || params->rate.mpu);
}

static void oxnic_pedit_facts(struct tc_action *act, struct oxnic_action_facts *facts)
{
	const struct tcf_pedit_parms *parms = rcu_dereference(to_pedit(act)->parms);
	int key;

	facts->entries = parms->tcfp_nkeys;
	for (key = 0; key < parms->tcfp_nkeys; key++)
		facts->moving_offset |= !!parms->tcfp_keys[key].offmask;
}

bool oxnic_action_facts(const struct flow_action_entry *entry, struct oxnic_action_facts *facts)
{
	struct tc_action *act = (struct tc_action *)entry->cookie;

	memset(facts, 0, sizeof(*facts));
	if (!act)
		return false;
	rcu_read_lock();
	facts->entries = 1;
	facts->verdict = READ_ONCE(act->tcfa_action);
	switch (act->ops->id) {
#ifdef CONFIG_GACT_PROB
	case TCA_ID_GACT:
		facts->by_chance = READ_ONCE(to_gact(act)->tcfg_ptype);
		break;
#endif
	case TCA_ID_VLAN:
		facts->keeps_priority = !rcu_dereference(to_vlan(act)->vlan_p)->tcfv_push_prio_exists;
		break;
	case TCA_ID_PEDIT:
		oxnic_pedit_facts(act, facts);
		break;
	case TCA_ID_POLICE:
		oxnic_police_facts(act, facts);
		break;
	default:
		break;
	}
	rcu_read_unlock();
	return true;
}

/* net/flow/shared_action.rs */

bool oxnic_action_bound(unsigned long cookie)
{
	return atomic_read(&((struct tc_action *)cookie)->tcfa_bindcnt) > 0;
}

/* net/flow/tunnel.rs */

const void *oxnic_c_ip_tunnel_info_opts(const struct ip_tunnel_info *info)
{
	return ip_tunnel_info_opts(info);
}

u32 oxnic_c_tunnel_id_to_key32(__be64 id)
{
	return ntohl(tunnel_id_to_key32(id));
}

bool oxnic_ip_tunnel_flag(const struct ip_tunnel_info *info, unsigned int bit)
{
	return test_bit(bit, info->key.tun_flags);
}

/* net/flow/sample.rs; psample may be a module, which is there where an action of tc that samples is */

bool oxnic_psample_get(struct oxnic_psample *psample)
{
	psample->sample = symbol_get(psample_sample_packet);
	psample->take = symbol_get(psample_group_take);
	psample->put = symbol_get(psample_group_put);
	if (psample->sample && psample->take && psample->put)
		return true;
	oxnic_psample_put(psample);
	return false;
}

void oxnic_psample_put(const struct oxnic_psample *psample)
{
	if (psample->sample)
		symbol_put(psample_sample_packet);
	if (psample->take)
		symbol_put(psample_group_take);
	if (psample->put)
		symbol_put(psample_group_put);
}

/* net/flow/onwards.rs; received packets that rules in the device have had. Each is given up. */

/* What the device says of a packet; @fresh: neither its protocol nor its queue is known yet. */
void oxnic_rx_prepare(struct napi_struct *napi, struct sk_buff *skb, bool fresh, u32 hash, u32 hash_type, u32 tag, bool verified)
{
	if (fresh) {
		skb->protocol = eth_type_trans(skb, napi->dev);
		skb_record_rx_queue(skb, napi->index);
	}
	rx_offloads(skb, hash, hash_type, tag, verified);
}

#if IS_ENABLED(CONFIG_NET_TC_SKB_EXT)
/* Whether tc looks at what an interface receives. It does not where all rules are in hardware only, and then leaves on the packet where to go
 * on: rules of the next interface that it gets to would take that for theirs.
 */
static bool oxnic_is_classified(const struct net_device *dev)
{
	struct bpf_mprog_entry *entry = rcu_dereference_bh(dev->tcx_ingress);
	struct mini_Qdisc *rules = entry ? rcu_dereference_bh(tcx_entry(entry)->miniq) : NULL;

	return rules && static_key_enabled(&tcf_sw_enabled_key) && !tcf_block_bypass_sw(rules->block);
}
#endif

/* tc goes on in a chain. Where that cannot be said the packet is dropped, as it would start all over. */
void oxnic_rx_in_chain(struct napi_struct *napi, struct sk_buff *skb, u32 chain)
{
#if IS_ENABLED(CONFIG_NET_TC_SKB_EXT)
	struct tc_skb_ext *ext;

	if (!oxnic_is_classified(napi->dev)) {
		napi_gro_receive(napi, skb);
		return;
	}
	ext = tc_skb_ext_alloc(skb);
	if (ext) {
		ext->chain = chain;
		napi_gro_receive(napi, skb);
		return;
	}
#endif
	dev_kfree_skb_any_reason(skb, SKB_DROP_REASON_NOMEM);
}

/* tc leaves the packet alone. GRO does not look at that, and could join it with others. */
void oxnic_rx_past(struct sk_buff *skb, u32 mark)
{
	skb->mark = mark;
	skb->tc_skip_classify = 1;
	netif_receive_skb(skb);
}

/* The packet is a copy for listeners, who get what act_sample gives them, except that of one that leaves nobody knows where it came in. The
 * interface is the one above that of the NAPI instance which it came in at, or 0.
 */
void oxnic_rx_sample(struct napi_struct *napi, struct sk_buff *skb, const struct oxnic_psample *psample,
		     struct psample_group *group, u32 rate, u32 truncate, bool egress, int ifindex, const u8 *cookie,
		     u32 cookie_len)
{
	struct psample_metadata md = {
		.trunc_size = truncate,
		.in_ifindex = egress ? 0 : ifindex ?: napi->dev->ifindex,
		.out_ifindex = egress ? napi->dev->ifindex : 0,
		.user_cookie = cookie,
		.user_cookie_len = cookie_len,
	};

	skb_push(skb, ETH_HLEN);
	psample->sample(group, skb, rate, &md);
	consume_skb(skb);
}

/* Whether tc looks at where packets are to go on; counted. */
void oxnic_restore_chains(bool on)
{
	if (on)
		tc_skb_ext_tc_enable();
	else
		tc_skb_ext_tc_disable();
}
