// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs of selftests/xdp.py. They touch IPv4 UDP datagrams to one port and let everything else pass.
 *
 * Built in the guest by clang, against the kernel's own user headers alone.
 */

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/types.h>
#include <linux/udp.h>

#define SEC(name) __attribute__((section(name), used))
#define PORT 7009
#define MARK 0x0badcafe

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*bpf_redirect)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;
static long (*bpf_xdp_adjust_meta)(struct xdp_md *packet, int delta) = (void *)BPF_FUNC_xdp_adjust_meta;
static long (*bpf_xdp_adjust_tail)(struct xdp_md *packet, int delta) = (void *)BPF_FUNC_xdp_adjust_tail;

struct target {
	__u32 ifindex;
	__u8 source[ETH_ALEN];
	__u8 destination[ETH_ALEN];
};

/* Where redirect() sends datagrams, and the addresses that it gives them. */
struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	int (*max_entries)[1];
	__u32 *key;
	struct target *value;
} target SEC(".maps");

static struct udphdr *datagram(struct xdp_md *packet)
{
	void *data = (void *)(long)packet->data, *end = (void *)(long)packet->data_end;
	struct ethhdr *ether = data;
	struct iphdr *ip = data + sizeof(*ether);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > end || ether->h_proto != __builtin_bswap16(ETH_P_IP) || ip->ihl != 5 || ip->protocol != IPPROTO_UDP)
		return 0;
	return udp->dest == __builtin_bswap16(PORT) ? udp : 0;
}

SEC("xdp")
int pass(struct xdp_md *packet)
{
	return XDP_PASS;
}

SEC("xdp")
int drop(struct xdp_md *packet)
{
	return datagram(packet) ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int abort_it(struct xdp_md *packet)
{
	return datagram(packet) ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp")
int unknown(struct xdp_md *packet)
{
	return datagram(packet) ? 77 : XDP_PASS;
}

/* Swaps addresses and ports, which leaves all checksums right. */
static int bounce(struct xdp_md *packet)
{
	struct ethhdr *ether = (void *)(long)packet->data;
	struct udphdr *udp = datagram(packet);
	__u8 address[ETH_ALEN];
	struct iphdr *ip;
	__be32 host;
	__be16 port;

	if (!udp || (void *)(ether + 1) > (void *)(long)packet->data_end)
		return XDP_PASS;
	ip = (void *)(ether + 1);
	if ((void *)(ip + 1) > (void *)(long)packet->data_end)
		return XDP_PASS;
	__builtin_memcpy(address, ether->h_source, ETH_ALEN);
	__builtin_memcpy(ether->h_source, ether->h_dest, ETH_ALEN);
	__builtin_memcpy(ether->h_dest, address, ETH_ALEN);
	host = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = host;
	port = udp->source;
	udp->source = udp->dest;
	udp->dest = port;
	return XDP_TX;
}

SEC("xdp")
int tx(struct xdp_md *packet)
{
	return bounce(packet);
}

SEC("xdp.frags")
int tx_frags(struct xdp_md *packet)
{
	return bounce(packet);
}

SEC("xdp.frags")
int pass_frags(struct xdp_md *packet)
{
	return XDP_PASS;
}

/* Bytes after the datagram, up to the largest packet: some part of the ring or of the device must say no without harm. */
SEC("xdp.frags")
int grow(struct xdp_md *packet)
{
	return datagram(packet) && bpf_xdp_adjust_tail(packet, 200) ? XDP_DROP : XDP_PASS;
}

SEC("xdp.frags")
int redirect(struct xdp_md *packet)
{
	struct ethhdr *ether = (void *)(long)packet->data;
	struct target *to;
	__u32 key = 0;

	if (!datagram(packet) || (void *)(ether + 1) > (void *)(long)packet->data_end)
		return XDP_PASS;
	to = bpf_map_lookup_elem(&target, &key);
	if (!to)
		return XDP_ABORTED;
	__builtin_memcpy(ether->h_source, to->source, ETH_ALEN);
	__builtin_memcpy(ether->h_dest, to->destination, ETH_ALEN);
	return bpf_redirect(to->ifindex, 0);
}

SEC("xdp")
int meta(struct xdp_md *packet)
{
	__u32 *mark;

	if (bpf_xdp_adjust_meta(packet, -(int)sizeof(*mark)))
		return XDP_ABORTED;
	mark = (void *)(long)packet->data_meta;
	if ((void *)(mark + 1) > (void *)(long)packet->data)
		return XDP_ABORTED;
	*mark = MARK;
	return XDP_PASS;
}

/* Lets only what meta() has marked go up. */
SEC("tc")
int tc_meta(struct __sk_buff *skb)
{
	__u32 *mark = (void *)(long)skb->data_meta;

	if ((void *)(mark + 1) > (void *)(long)skb->data || *mark != MARK)
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

char licence[] SEC("license") = "GPL";
