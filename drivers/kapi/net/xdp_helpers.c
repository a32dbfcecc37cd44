// SPDX-License-Identifier: GPL-2.0-only
/* Helpers of kapi/net/xdp, part of helpers.c; see there. */

#include <linux/bpf_trace.h>
#include <linux/filter.h>

/* net/xdp/program.rs */

bool oxnic_c_xdp_has_frags(const struct bpf_prog *prog)
{
	return prog->aux->xdp_has_frags;
}

u32 oxnic_c_bpf_prog_run_xdp(const struct bpf_prog *prog, struct xdp_buff *xdp)
{
	return bpf_prog_run_xdp(prog, xdp);
}

/* A packet that is dropped for what the program said, or since what it said could not be done. */
void oxnic_xdp_exception(const struct bpf_prog *prog, const struct xdp_buff *xdp, u32 act)
{
	struct net_device *dev = xdp->rxq->dev;

	if (act > XDP_REDIRECT)
		bpf_warn_invalid_xdp_action(dev, prog, act);
	trace_xdp_exception(dev, prog, act);
}

/* net/xdp/buff.rs */

int oxnic_xdp_rxq_register(struct xdp_rxq_info *info, struct net_device *dev, unsigned int queue, unsigned int size,
			   struct page_pool *pool)
{
	int err = __xdp_rxq_info_reg(info, dev, queue, 0, size);

	if (err)
		return err;
	err = xdp_rxq_info_reg_mem_model(info, MEM_TYPE_PAGE_POOL, pool);
	if (err)
		xdp_rxq_info_unreg(info);
	return err;
}

/* As rx_sync(); a pool that maps nothing, in tests, has no device to ask. */
static inline void xdp_sync(struct page_pool *pool, void *memory, unsigned int length)
{
	if (likely(pool->dma_map))
		rx_sync(pool, memory, XDP_PACKET_HEADROOM, length);
}

/* A packet of one buffer, of which the device has written @length bytes. */
void oxnic_xdp_begin(struct xdp_buff *xdp, struct xdp_rxq_info *info, struct page_pool *pool, void *memory,
		     unsigned int size, unsigned int length)
{
	xdp_sync(pool, memory, length);
	xdp_init_buff(xdp, size, info);
	xdp_prepare_buff(xdp, memory, XDP_PACKET_HEADROOM, length, true);
}

/* Adds a buffer to a packet, which owns it from now on; false: it has too many. */
bool oxnic_xdp_add(struct xdp_buff *xdp, struct page_pool *pool, void *memory, unsigned int size, unsigned int length)
{
	xdp_sync(pool, memory, length);
	return xdp_buff_add_frag(xdp, virt_to_netmem(memory), offset_in_page(memory) + XDP_PACKET_HEADROOM, length, size);
}

u32 oxnic_c_xdp_get_buff_len(const struct xdp_buff *xdp)
{
	return xdp_get_buff_len(xdp);
}

/* Gives the buffers of a packet back to the pool, the first only with @head. @direct: in the NAPI poll of the pool. */
void oxnic_xdp_put(struct xdp_buff *xdp, bool head, bool direct)
{
	if (unlikely(xdp_buff_has_frags(xdp))) {
		struct skb_shared_info *info = xdp_get_shared_info_from_buff(xdp);
		unsigned int i;

		for (i = 0; i < info->nr_frags; i++) {
			struct page *page = skb_frag_page(&info->frags[i]);

			page_pool_put_full_page(netmem_get_pp(page_to_netmem(page)), page, direct);
		}
	}
	if (head) {
		struct page *page = virt_to_head_page(xdp->data_hard_start);

		page_pool_put_full_page(netmem_get_pp(page_to_netmem(page)), page, direct);
	}
}

/* A buffer that a program may have written to goes back to the device without having left the ring. */
void oxnic_xdp_keep(struct page_pool *pool, void *memory, unsigned int size)
{
	rx_sync_for_device(pool, memory, 0, size);
}

/* Hands up an skb as rx_receive() does, but its protocol and queue are known. */
void oxnic_xdp_receive(struct napi_struct *napi, struct sk_buff *skb, u32 hash, u32 hash_type, u32 tag, bool verified)
{
	rx_offloads(skb, hash, hash_type, tag, verified);
	napi_gro_receive(napi, skb);
}

/* net/xdp/frame.rs */

struct xdp_frame *oxnic_c_xdp_convert_buff_to_frame(struct xdp_buff *xdp)
{
	return xdp_convert_buff_to_frame(xdp);
}

unsigned int oxnic_c_xdp_get_frame_len(const struct xdp_frame *frame)
{
	return xdp_get_frame_len(frame);
}

unsigned int oxnic_xdp_frame_frags(const struct xdp_frame *frame)
{
	return unlikely(xdp_frame_has_frags(frame)) ? xdp_get_shared_info_from_frame((struct xdp_frame *)frame)->nr_frags : 0;
}

/* Makes a frame without fragments @length bytes long, with zeros; false: no room. */
bool oxnic_xdp_frame_pad(struct xdp_frame *frame, unsigned int length)
{
	void *end = xdp_get_shared_info_from_frame(frame);

	if (frame->data + length > end)
		return false;
	memset(frame->data + frame->len, 0, length - frame->len);
	frame->len = length;
	return true;
}

/*
 * Where pages of a pool of this very device are mapped already, and stay so (@own: the pool outlives the ring); else, or without a pool,
 * DMA_MAPPING_ERROR. The pages of a pool that goes are unmapped wherever they are.
 */
static inline dma_addr_t xdp_mapped(struct device *dev, const struct xdp_frame *frame, bool own, const void *memory,
				    unsigned int length)
{
	struct page_pool *pool;
	struct page *page;
	dma_addr_t address;

	if (!own || frame->mem_type != MEM_TYPE_PAGE_POOL)
		return DMA_MAPPING_ERROR;
	page = virt_to_head_page(memory);
	pool = netmem_get_pp(page_to_netmem(page));
	if (pool->p.dev != dev || !pool->dma_map || page_pool_get_dma_dir(pool) != DMA_BIDIRECTIONAL)
		return DMA_MAPPING_ERROR;
	address = page_pool_get_dma_addr(page) + (memory - page_address(page));
	dma_sync_single_for_device(dev, address, length, DMA_BIDIRECTIONAL);
	return address;
}

/* The address of the first part of a frame, mapped as by tx_map() unless it is already. */
dma_addr_t oxnic_xdp_map_head(struct device *dev, const struct xdp_frame *frame, bool own, bool always, u32 *unmap)
{
	dma_addr_t address = xdp_mapped(dev, frame, own, frame->data, frame->len);

	*unmap = 0;
	return address != DMA_MAPPING_ERROR ? address : tx_map(dev, virt_to_phys(frame->data), frame->len, always, unmap);
}

/* Likewise of fragment @index, whose length goes to @length. */
dma_addr_t oxnic_xdp_map_frag(struct device *dev, struct xdp_frame *frame, unsigned int index, bool own, bool always,
			      u32 *unmap, u32 *length)
{
	const skb_frag_t *frag = &xdp_get_shared_info_from_frame(frame)->frags[index];
	dma_addr_t address;

	*length = skb_frag_size(frag);
	address = xdp_mapped(dev, frame, own, skb_frag_address(frag), *length);
	*unmap = 0;
	if (address != DMA_MAPPING_ERROR)
		return address;
	return tx_map(dev, page_to_phys(skb_frag_page(frag)) + skb_frag_off(frag), *length, always, unmap);
}

/* net/xdp/callbacks.rs, net/queue.rs */

/* Takes the lock of a transmit queue beside the core's own senders: bottom halves are disabled. */
void oxnic_xdp_tx_lock(struct netdev_queue *queue)
{
	__netif_tx_lock(queue, smp_processor_id());
	/* The queue may be stopped for what is sent here: the watchdog must not take that for a stall. */
	txq_trans_cond_update(queue);
}

void oxnic_xdp_tx_unlock(struct netdev_queue *queue)
{
	__netif_tx_unlock(queue);
}

unsigned int oxnic_c_smp_processor_id(void)
{
	return smp_processor_id();
}

void oxnic_c_smp_mb(void)
{
	smp_mb();
}
