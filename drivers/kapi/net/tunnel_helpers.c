// SPDX-License-Identifier: GPL-2.0-only
/* Helpers of kapi/net/underlay, part of ../helpers.c; see there. */

#include <linux/if_vlan.h>
#include <linux/inetdevice.h>
#include <net/addrconf.h>
#include <net/dst.h>
#include <net/fib_notifier.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/ipv6.h>
#include <net/l3mdev.h>
#include <net/neighbour.h>
#include <net/netevent.h>
#include <net/netlink.h>
#include <net/route.h>
#include <net/rtnetlink.h>

#include "tunnel_helpers.h"

/* net/underlay/device.rs; what a device says of itself is what `ip -d link` shows */

static struct nlattr *oxnic_attribute(const struct sk_buff *said, int type)
{
	return nla_find((struct nlattr *)said->data, said->len, type);
}

static bool oxnic_says(const struct sk_buff *said, int type)
{
	struct nlattr *attribute = oxnic_attribute(said, type);

	return attribute && (!nla_len(attribute) || nla_get_u8(attribute));
}

static u32 oxnic_said_u32(const struct sk_buff *said, int type)
{
	struct nlattr *attribute = oxnic_attribute(said, type);

	return attribute && nla_len(attribute) >= sizeof(u32) ? nla_get_u32(attribute) : 0;
}

static u16 oxnic_said_be16(const struct sk_buff *said, int type)
{
	struct nlattr *attribute = oxnic_attribute(said, type);

	return attribute && nla_len(attribute) >= sizeof(u16) ? ntohs(nla_get_be16(attribute)) : 0;
}

static void oxnic_said_address(const struct sk_buff *said, int type, struct oxnic_ip *ip)
{
	struct nlattr *attribute = oxnic_attribute(said, type);
	int length = attribute ? nla_len(attribute) : 0;

	if ((length != 4 && length != 16) || !memchr_inv(nla_data(attribute), 0, length))
		return;
	ip->family = length == 4 ? 4 : 6;
	memcpy(ip->bytes, nla_data(attribute), length);
}

static void oxnic_said_ports(const struct sk_buff *said, int type, struct oxnic_tunnel *tunnel)
{
	struct nlattr *attribute = oxnic_attribute(said, type);
	const __be16 *range = attribute && nla_len(attribute) >= 2 * sizeof(*range) ? nla_data(attribute) : NULL;

	if (range) {
		tunnel->port_min = ntohs(range[0]);
		tunnel->port_max = ntohs(range[1]);
	}
}

static void oxnic_read_vxlan(const struct sk_buff *said, struct oxnic_tunnel *tunnel)
{
	tunnel->kind = OXNIC_TUNNEL_VXLAN;
	tunnel->id = oxnic_said_u32(said, IFLA_VXLAN_ID);
	tunnel->has_key = true;
	tunnel->external = oxnic_says(said, IFLA_VXLAN_COLLECT_METADATA);
	tunnel->group_policy = oxnic_says(said, IFLA_VXLAN_GBP);
	tunnel->zero_checksum6 = oxnic_says(said, IFLA_VXLAN_UDP_ZERO_CSUM6_RX);
	tunnel->link = oxnic_said_u32(said, IFLA_VXLAN_LINK);
	tunnel->port = oxnic_said_be16(said, IFLA_VXLAN_PORT);
	tunnel->odd = oxnic_says(said, IFLA_VXLAN_GPE) || oxnic_says(said, IFLA_VXLAN_VNIFILTER) ||
		      oxnic_says(said, IFLA_VXLAN_REMCSUM_TX) || oxnic_says(said, IFLA_VXLAN_REMCSUM_RX);
	oxnic_said_address(said, IFLA_VXLAN_LOCAL, &tunnel->local);
	oxnic_said_address(said, IFLA_VXLAN_LOCAL6, &tunnel->local);
	oxnic_said_address(said, IFLA_VXLAN_GROUP, &tunnel->remote);
	oxnic_said_address(said, IFLA_VXLAN_GROUP6, &tunnel->remote);
	oxnic_said_ports(said, IFLA_VXLAN_PORT_RANGE, tunnel);
}

static void oxnic_read_geneve(const struct sk_buff *said, struct oxnic_tunnel *tunnel)
{
	tunnel->kind = OXNIC_TUNNEL_GENEVE;
	tunnel->id = oxnic_said_u32(said, IFLA_GENEVE_ID);
	tunnel->has_key = true;
	tunnel->external = oxnic_says(said, IFLA_GENEVE_COLLECT_METADATA);
	tunnel->zero_checksum6 = oxnic_says(said, IFLA_GENEVE_UDP_ZERO_CSUM6_RX);
	tunnel->port = oxnic_said_be16(said, IFLA_GENEVE_PORT);
	tunnel->odd = oxnic_says(said, IFLA_GENEVE_INNER_PROTO_INHERIT) || oxnic_says(said, IFLA_GENEVE_GRO_HINT);
	oxnic_said_address(said, IFLA_GENEVE_LOCAL, &tunnel->local);
	oxnic_said_address(said, IFLA_GENEVE_LOCAL6, &tunnel->local);
	oxnic_said_address(said, IFLA_GENEVE_REMOTE, &tunnel->remote);
	oxnic_said_address(said, IFLA_GENEVE_REMOTE6, &tunnel->remote);
	oxnic_said_ports(said, IFLA_GENEVE_PORT_RANGE, tunnel);
}

static void oxnic_read_gretap(const struct sk_buff *said, struct oxnic_tunnel *tunnel)
{
	u16 in = oxnic_said_be16(said, IFLA_GRE_IFLAGS), out = oxnic_said_be16(said, IFLA_GRE_OFLAGS);

	tunnel->id = ntohl((__force __be32)oxnic_said_u32(said, IFLA_GRE_IKEY));
	tunnel->has_key = in & ntohs(GRE_KEY);
	tunnel->external = oxnic_says(said, IFLA_GRE_COLLECT_METADATA);
	tunnel->link = oxnic_said_u32(said, IFLA_GRE_LINK);
	tunnel->odd = (in | out) & ~ntohs(GRE_KEY) || oxnic_said_be16(said, IFLA_GRE_ENCAP_TYPE);
	oxnic_said_address(said, IFLA_GRE_LOCAL, &tunnel->local);
	oxnic_said_address(said, IFLA_GRE_REMOTE, &tunnel->remote);
}

static struct net *oxnic_underlay_net(const struct net_device *dev)
{
	const struct rtnl_link_ops *ops = dev->rtnl_link_ops;

	return ops && ops->get_link_net ? ops->get_link_net(dev) : dev_net(dev);
}

/* Where a rule says where packets go, the device below says nothing, but which VRF a vxlan device has its socket in. */
static void oxnic_loosen_link(const struct net_device *dev, struct oxnic_tunnel *tunnel)
{
	if (!tunnel->external)
		return;
	tunnel->link = tunnel->kind == OXNIC_TUNNEL_VXLAN ?
		       l3mdev_master_upper_ifindex_by_index(oxnic_underlay_net(dev), tunnel->link) : 0;
}

static int oxnic_read_tunnel(const struct net_device *dev, const struct sk_buff *said, struct oxnic_tunnel *tunnel)
{
	const char *kind = dev->rtnl_link_ops->kind;
	int low, high;

	if (!strcmp(kind, "vxlan"))
		oxnic_read_vxlan(said, tunnel);
	else if (!strcmp(kind, "geneve"))
		oxnic_read_geneve(said, tunnel);
	else
		oxnic_read_gretap(said, tunnel);
	if (!strcmp(kind, "gretap"))
		tunnel->kind = OXNIC_TUNNEL_GRETAP;
	else if (!strcmp(kind, "ip6gretap"))
		tunnel->kind = OXNIC_TUNNEL_IP6GRETAP;
	oxnic_loosen_link(dev, tunnel);
	if (tunnel->port_min >= tunnel->port_max) {
		inet_get_local_port_range(oxnic_underlay_net(dev), &low, &high);
		tunnel->port_min = low;
		tunnel->port_max = high;
	}
	return 0;
}

bool oxnic_is_tunnel(const struct net_device *dev)
{
	const char *kind = dev->rtnl_link_ops && dev->rtnl_link_ops->fill_info ? dev->rtnl_link_ops->kind : "";

	return !strcmp(kind, "vxlan") || !strcmp(kind, "geneve") || !strcmp(kind, "gretap") || !strcmp(kind, "ip6gretap");
}

int oxnic_tunnel(const struct net_device *dev, struct oxnic_tunnel *tunnel)
{
	struct sk_buff *said;
	int error;

	memset(tunnel, 0, sizeof(*tunnel));
	if (!oxnic_is_tunnel(dev))
		return -EOPNOTSUPP;
	said = nlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!said)
		return -ENOMEM;
	error = dev->rtnl_link_ops->fill_info(said, dev) ?: oxnic_read_tunnel(dev, said, tunnel);
	nlmsg_free(said);
	return error;
}

bool oxnic_same_underlay(const struct net_device *tunnel, const struct net_device *dev)
{
	return net_eq(oxnic_underlay_net(tunnel), dev_net(dev));
}

bool oxnic_vlan(struct net_device *dev, struct oxnic_vlan *vlan)
{
	if (!is_vlan_dev(dev))
		return false;
	vlan->below = vlan_dev_priv(dev)->real_dev;
	vlan->tpid = ntohs(vlan_dev_priv(dev)->vlan_proto);
	vlan->tci = vlan_dev_priv(dev)->vlan_id | vlan_dev_get_egress_qos_mask(dev, 0);
	vlan->maps = READ_ONCE(vlan_dev_priv(dev)->nr_egress_mappings);
	vlan->reorders = READ_ONCE(vlan_dev_priv(dev)->flags) & VLAN_FLAG_REORDER_HDR;
	return true;
}

/* net/underlay/path.rs */

/* The device that has an address, with a reference, of the namespace below a tunnel. */
struct net_device *oxnic_address_device(const struct net_device *tunnel, const struct oxnic_ip *ip)
{
	struct net *net = oxnic_underlay_net(tunnel);
	struct net_device *dev = NULL;
	struct in6_addr v6;
	__be32 v4;

	rcu_read_lock();
	if (ip->family == 4) {
		memcpy(&v4, ip->bytes, sizeof(v4));
		dev = __ip_dev_find(net, v4, false);
	} else if (IS_ENABLED(CONFIG_IPV6) && ip->family == 6) {
		memcpy(&v6, ip->bytes, sizeof(v6));
		dev = ipv6_dev_find(net, &v6, NULL);
	}
	dev_hold(dev);
	rcu_read_unlock();
	return dev;
}

static void oxnic_path_neighbour(const struct dst_entry *dst, const struct oxnic_path_query *query, struct oxnic_path *path)
{
	struct neighbour *neighbour = dst_neigh_lookup(dst, query->to.bytes);

	if (!neighbour)
		return;
	read_lock_bh(&neighbour->lock);
	path->known = neighbour->nud_state & NUD_VALID && !neighbour->dead;
	memcpy(path->neighbour, neighbour->ha, ETH_ALEN);
	read_unlock_bh(&neighbour->lock);
	if (query->solicit)
		neigh_event_send(neighbour, NULL);
	neigh_release(neighbour);
}

static struct dst_entry *oxnic_route4(struct net *net, const struct oxnic_path_query *query, struct oxnic_path *path)
{
	struct flowi4 flow = {
		.flowi4_oif = query->link,
		.flowi4_proto = query->protocol,
		.flowi4_dscp = inet_dsfield_to_dscp(query->tos),
	};
	struct rtable *route;

	memcpy(&flow.daddr, query->to.bytes, sizeof(flow.daddr));
	memcpy(&flow.saddr, query->from.bytes, sizeof(flow.saddr));
	route = ip_route_output_key(net, &flow);
	if (IS_ERR(route))
		return ERR_CAST(route);
	if (route->rt_type != RTN_UNICAST) {
		ip_rt_put(route);
		return ERR_PTR(-ENETUNREACH);
	}
	memcpy(path->from.bytes, &flow.saddr, sizeof(flow.saddr));
	path->hop_limit = ip4_dst_hoplimit(&route->dst);
	return &route->dst;
}

static struct dst_entry *oxnic_route6(struct net *net, const struct oxnic_path_query *query, struct oxnic_path *path)
{
	struct flowi6 flow = {
		.flowi6_oif = query->link,
		.flowi6_proto = query->protocol,
		.flowlabel = ip6_make_flowinfo(query->tos, 0),
	};
	struct dst_entry *dst;

	if (!IS_ENABLED(CONFIG_IPV6))
		return ERR_PTR(-EAFNOSUPPORT);
	memcpy(&flow.daddr, query->to.bytes, sizeof(flow.daddr));
	memcpy(&flow.saddr, query->from.bytes, sizeof(flow.saddr));
	dst = ip6_dst_lookup_flow(net, NULL, &flow, NULL);
	if (IS_ERR(dst))
		return dst;
	if (dst_rt6_info(dst)->rt6i_flags & (RTF_LOCAL | RTF_ANYCAST | RTF_REJECT) || ipv6_addr_is_multicast(&flow.daddr)) {
		dst_release(dst);
		return ERR_PTR(-ENETUNREACH);
	}
	memcpy(path->from.bytes, &flow.saddr, sizeof(flow.saddr));
	path->hop_limit = ip6_dst_hoplimit(dst);
	return dst;
}

/* Where the packets of a tunnel go. */
int oxnic_path(const struct net_device *tunnel, const struct oxnic_path_query *query, struct oxnic_path *path)
{
	struct net *net = oxnic_underlay_net(tunnel);
	struct dst_entry *dst;

	memset(path, 0, sizeof(*path));
	path->from.family = query->to.family;
	dst = query->to.family == 4 ? oxnic_route4(net, query, path) : oxnic_route6(net, query, path);
	if (IS_ERR(dst))
		return PTR_ERR(dst);
	if (dst_xfrm(dst)) {
		dst_release(dst);
		return -EOPNOTSUPP;
	}
	/* A device that goes takes itself out of routes, whoever holds them, and waits for readers only. */
	rcu_read_lock();
	path->dev = dst_dev_rcu(dst);
	dev_hold(path->dev);
	rcu_read_unlock();
	oxnic_path_neighbour(dst, query, path);
	dst_release(dst);
	return 0;
}

/* net/underlay/watch.rs */

struct net_device *oxnic_c_netdev_notifier_info_to_dev(const void *info)
{
	return netdev_notifier_info_to_dev(info);
}
