// SPDX-License-Identifier: GPL-2.0-only
/*
 * Helpers of kapi/net, part of ../helpers.c.
 *
 * On the path of a packet a helper is one stage of its processing, made of the inline functions that a C driver would
 * call there: Rust cannot inline them, and a call for each would cost more than what it does. Off that path a helper
 * wraps one function or macro.
 */

#include <linux/dim.h>
#include <linux/ethtool.h>
#include <net/gro.h>
#include <net/netdev_rx_queue.h>

/* net/netdev.rs */

void *oxnic_c_netdev_priv(struct net_device *dev)
{
	return netdev_priv(dev);
}

void oxnic_c_netdev_lockdep_set_classes(struct net_device *dev)
{
	netdev_lockdep_set_classes(dev);
}

void oxnic_c_SET_NETDEV_DEV(struct net_device *dev, struct device *parent)
{
	SET_NETDEV_DEV(dev, parent);
}

void oxnic_c_SET_NETDEV_DEVLINK_PORT(struct net_device *dev, struct devlink_port *port)
{
	SET_NETDEV_DEVLINK_PORT(dev, port);
}

void oxnic_c_eth_hw_addr_set(struct net_device *dev, const u8 *address)
{
	eth_hw_addr_set(dev, address);
}

void oxnic_c_dev_hold(struct net_device *dev)
{
	dev_hold(dev);
}

void oxnic_c_dev_put(struct net_device *dev)
{
	dev_put(dev);
}

struct net *oxnic_c_dev_net(const struct net_device *dev)
{
	return dev_net(dev);
}

void oxnic_c_netdev_lock(struct net_device *dev)
{
	netdev_lock(dev);
}

void oxnic_c_netdev_unlock(struct net_device *dev)
{
	netdev_unlock(dev);
}

bool oxnic_c_netif_running(const struct net_device *dev)
{
	return netif_running(dev);
}

bool oxnic_c_netif_device_present(const struct net_device *dev)
{
	return netif_device_present(dev);
}

bool oxnic_c_netif_carrier_ok(const struct net_device *dev)
{
	return netif_carrier_ok(dev);
}

void oxnic_c_netif_tx_disable(struct net_device *dev)
{
	netif_tx_disable(dev);
}

void oxnic_c_netif_tx_start_all_queues(struct net_device *dev)
{
	netif_tx_start_all_queues(dev);
}

void oxnic_c_netif_tx_wake_all_queues(struct net_device *dev)
{
	netif_tx_wake_all_queues(dev);
}

void oxnic_c_netif_trans_update(struct net_device *dev)
{
	netif_trans_update(dev);
}

u32 oxnic_c_ethtool_rxfh_indir_default(u32 index, u32 queues)
{
	return ethtool_rxfh_indir_default(index, queues);
}

/* net/queue.rs */

void oxnic_c_netif_tx_lock_bh(struct netdev_queue *queue)
{
	__netif_tx_lock_bh(queue);
}

void oxnic_c_netif_tx_unlock_bh(struct netdev_queue *queue)
{
	__netif_tx_unlock_bh(queue);
}

void oxnic_c_netdev_tx_reset_queue(struct netdev_queue *queue)
{
	netdev_tx_reset_queue(queue);
}

/* Accounts a queued packet to BQL; true: the doorbell has to be rung. */
bool oxnic_c_tx_sent(struct netdev_queue *queue, unsigned int bytes)
{
	return __netdev_tx_sent_queue(queue, bytes, netdev_xmit_more());
}

/* True: nothing more will be queued right after this packet. For a packet that was dropped. */
bool oxnic_c_netdev_xmit_more(void)
{
	return netdev_xmit_more();
}

/* Stops the queue, with the barrier that lets the caller look once more for room. */
void oxnic_c_tx_stop(struct netdev_queue *queue)
{
	netif_tx_stop_queue(queue);
	smp_mb__after_atomic();
}

/* Accounts completed packets to BQL, and is a full barrier if there were any. */
void oxnic_c_netdev_txq_completed_mb(struct netdev_queue *queue, unsigned int packets, unsigned int bytes)
{
	netdev_txq_completed_mb(queue, packets, bytes);
}

/* net/napi.rs */

void oxnic_c_netif_napi_add_config_locked(struct net_device *dev, struct napi_struct *napi,
					  int (*poll)(struct napi_struct *, int), int index)
{
	netif_napi_add_config_locked(dev, napi, poll, index);
}

void oxnic_c_netif_napi_del_locked(struct napi_struct *napi)
{
	netif_napi_del_locked(napi);
}

void oxnic_c_napi_schedule_irqoff(struct napi_struct *napi)
{
	napi_schedule_irqoff(napi);
}

void oxnic_c_napi_schedule_bh(struct napi_struct *napi)
{
	local_bh_disable();
	napi_schedule(napi);
	local_bh_enable();
}

/* net/tx_buffers.rs */

/*
 * What dma_map_single() and skb_frag_dma_map() end in. @unmap becomes the length where the mapping has to be undone, else 0:
 * with @always, or once the device needs bounce buffers, see dma_need_unmap().
 */
static inline dma_addr_t tx_map(struct device *dev, phys_addr_t address, unsigned int length, bool always, u32 *unmap)
{
	dma_addr_t mapped = dma_map_phys(dev, address, length, DMA_TO_DEVICE, 0);

	/* By this function, since it also tells DMA debugging that the result was looked at. */
	if (unlikely(dma_mapping_error(dev, mapped))) {
		*unmap = 0;
		return DMA_MAPPING_ERROR;
	}
	*unmap = always || dma_dev_need_sync(dev) ? length : 0;
	return mapped;
}

dma_addr_t oxnic_c_tx_map_head(struct device *dev, const struct sk_buff *skb, unsigned int length, bool always, u32 *unmap)
{
	return tx_map(dev, virt_to_phys(skb->data), length, always, unmap);
}

dma_addr_t oxnic_c_tx_map_frag(struct device *dev, const skb_frag_t *frag, bool always, u32 *unmap)
{
	return tx_map(dev, page_to_phys(skb_frag_page(frag)) + skb_frag_off(frag), skb_frag_size(frag), always, unmap);
}

int oxnic_c_skb_linearize(struct sk_buff *skb)
{
	return skb_linearize(skb);
}

int oxnic_c_skb_put_padto(struct sk_buff *skb, unsigned int length)
{
	return __skb_put_padto(skb, length, false);
}

/* Length of all headers of a segmented packet. */
unsigned int oxnic_c_skb_segment_headers(const struct sk_buff *skb)
{
	if (skb_shinfo(skb)->gso_type & SKB_GSO_UDP_L4)
		return skb_transport_offset(skb) + sizeof(struct udphdr);
	return skb_tcp_all_headers(skb);
}

unsigned int oxnic_c_skb_network_offset(const struct sk_buff *skb)
{
	return skb_network_offset(skb);
}

unsigned int oxnic_c_skb_transport_offset(const struct sk_buff *skb)
{
	return skb_transport_offset(skb);
}

void oxnic_c_skb_tx_timestamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}

struct skb_shared_hwtstamps *oxnic_c_skb_hwtstamps(struct sk_buff *skb)
{
	return skb_hwtstamps(skb);
}

bool oxnic_c_skb_has_ip_behind_tags(const struct sk_buff *skb, unsigned int tags)
{
	int offset = skb_network_offset(skb);
	const __be16 *type;
	__be16 room;

	if (offset < ETH_HLEN || offset > ETH_HLEN + (int)tags * VLAN_HLEN)
		return false;
	type = skb_header_pointer(skb, offset - (int)sizeof(room), sizeof(room), &room);
	return type && (*type == htons(ETH_P_IP) || *type == htons(ETH_P_IPV6));
}

/* net/rx_buffers.rs */

/* NET_SKB_PAD is no constant expression outside of functions; rx_build() checks that this is the same. */
enum {
	RX_HEADROOM = (L1_CACHE_BYTES > 32 ? L1_CACHE_BYTES : 32) + NET_IP_ALIGN,
	RX_TAILROOM = SKB_DATA_ALIGN(sizeof(struct skb_shared_info)),
};

struct page_pool *oxnic_c_rx_pool_create(struct device *parent, struct net_device *dev, struct napi_struct *napi,
					 unsigned int queue, unsigned int pages, bool xdp)
{
	struct page_pool_params params = {
		.flags = PP_FLAG_DMA_MAP | PP_FLAG_DMA_SYNC_DEV,
		.pool_size = pages,
		.nid = dev_to_node(parent),
		.dev = parent,
		.napi = napi,
		.dma_dir = xdp ? DMA_BIDIRECTIONAL : DMA_FROM_DEVICE,
		.max_len = PAGE_SIZE,
		.netdev = dev,
		.queue_idx = queue,
	};

	return page_pool_create(&params);
}

/*
 * A page of the pool, with @parts references for as many buffers in it; its bus address goes to @dma. NULL: no memory.
 */
void *oxnic_c_rx_page(struct page_pool *pool, long parts, dma_addr_t *dma)
{
	struct page *page = page_pool_alloc_pages(pool, GFP_ATOMIC | __GFP_NOWARN);

	if (unlikely(!page))
		return NULL;
	page_pool_fragment_page(page, parts);
	*dma = page_pool_get_dma_addr(page);
	return page_address(page);
}

/* One more page_pool_destroy() is to come. */
void oxnic_c_rx_pool_hold(struct page_pool *pool)
{
	refcount_inc(&pool->user_cnt);
}

/* Gives one part of a page back to the pool. @direct: in the NAPI poll of the pool. */
void oxnic_c_rx_put(struct page_pool *pool, void *memory, bool direct)
{
	page_pool_put_full_page(pool, virt_to_head_page(memory), direct);
}

/* What the device wrote becomes visible to the CPU. */
static inline void rx_sync(struct page_pool *pool, void *memory, unsigned int headroom, unsigned int length)
{
	page_pool_dma_sync_for_cpu(pool, virt_to_head_page(memory), offset_in_page(memory) + headroom, length);
}

/* What the CPU may have touched becomes the device's again. */
static inline void rx_sync_for_device(struct page_pool *pool, void *memory, unsigned int offset, unsigned int length)
{
	if (pool->dma_sync && dma_dev_need_sync(pool->p.dev))
		dma_sync_single_range_for_device(pool->p.dev, page_pool_get_dma_addr(virt_to_head_page(memory)),
						 offset_in_page(memory) + offset, length, page_pool_get_dma_dir(pool));
}

/* An skb around a buffer, which it owns from now on unless the result is NULL. */
struct sk_buff *oxnic_c_rx_build(struct page_pool *pool, void *memory, unsigned int size, unsigned int headroom,
				 unsigned int length)
{
	struct sk_buff *skb;

	BUILD_BUG_ON(RX_HEADROOM != NET_SKB_PAD + NET_IP_ALIGN);
	rx_sync(pool, memory, headroom, length);
	skb = napi_build_skb(memory, size);
	if (unlikely(!skb))
		return NULL;
	skb_mark_for_recycle(skb);
	skb_reserve(skb, headroom);
	__skb_put(skb, length);
	return skb;
}

/* An skb with a copy of a short frame; the buffer can be posted again. */
struct sk_buff *oxnic_c_rx_copy(struct page_pool *pool, struct napi_struct *napi, void *memory, unsigned int headroom,
				unsigned int length)
{
	struct sk_buff *skb = napi_alloc_skb(napi, length);

	if (unlikely(!skb))
		return NULL;
	rx_sync(pool, memory, headroom, length);
	memcpy(__skb_put(skb, length), memory + headroom, ALIGN(length, sizeof(long)));
	rx_sync_for_device(pool, memory, headroom, length);
	return skb;
}

/* Adds a buffer to an skb, which owns it from now on. */
void oxnic_c_rx_add(struct page_pool *pool, struct sk_buff *skb, void *memory, unsigned int size, unsigned int headroom,
		    unsigned int length)
{
	struct page *page = virt_to_head_page(memory);

	rx_sync(pool, memory, headroom, length);
	/* What came first may have been short enough to be copied; a copy alone is not marked. */
	skb_mark_for_recycle(skb);
	skb_add_rx_frag(skb, skb_shinfo(skb)->nr_frags, page, offset_in_page(memory) + headroom, length, size);
}

/* What the device says of a packet. */
static inline void rx_offloads(struct sk_buff *skb, u32 hash, u32 hash_type, u32 tag, bool verified)
{
	if (verified)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	if (hash_type)
		skb_set_hash(skb, hash, hash_type);
	if (tag)
		__vlan_hwaccel_put_tag(skb, htons(tag >> 16), (u16)tag);
}

/*
 * Hands a frame up. @hash_type is PKT_HASH_TYPE_NONE without a hash; @tag is what the device stripped, with the TPID in the
 * upper half, 0 for none.
 */
void oxnic_c_rx_receive(struct napi_struct *napi, struct sk_buff *skb, u32 hash, u32 hash_type, u32 tag, bool verified)
{
	struct net_device *dev = napi->dev;

	skb->protocol = eth_type_trans(skb, dev);
	skb_record_rx_queue(skb, napi->index);
	rx_offloads(skb, hash, hash_type, tag, verified);
	napi_gro_receive(napi, skb);
}

/* net/moderation.rs */

void oxnic_c_dim_init(struct dim *dim, void (*work)(struct work_struct *))
{
	INIT_WORK(&dim->work, work);
	dim->mode = DIM_CQ_PERIOD_MODE_START_FROM_CQE;
}

/* Ends the turn of the work item. */
void oxnic_c_dim_restart(struct dim *dim)
{
	dim->state = DIM_START_MEASURE;
}

void oxnic_c_dim_sample(struct dim *dim, u16 events, u64 packets, u64 bytes)
{
	struct dim_sample sample = {};

	dim_update_sample(events, packets, bytes, &sample);
	net_dim(dim, &sample);
}
/* net/ethtool/rss.rs */

u32 *oxnic_c_ethtool_rxfh_context_indir(struct ethtool_rxfh_context *context)
{
	return ethtool_rxfh_context_indir(context);
}

u8 *oxnic_c_ethtool_rxfh_context_key(struct ethtool_rxfh_context *context)
{
	return ethtool_rxfh_context_key(context);
}

#include "flow_helpers.c"
#include "tunnel_helpers.c"
#include "xdp_helpers.c"
