// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inline functions and macros of C headers as functions, for Rust to call: one function each, named after what it wraps
 * with the prefix oxnic_c_. The bindgen pass reads this file for the prototypes.
 *
 * Sections are sorted by the kapi file that uses them. Nothing here has behaviour of its own.
 */

#include <linux/aer.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/irq.h>
#include <linux/msi.h>
#include <linux/netdevice.h>
#include <linux/netlink.h>
#include <linux/pci.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <linux/workqueue.h>
#include <net/devlink.h>
#include <net/netdev_lock.h>
#include <net/netdev_queues.h>
#include <net/page_pool/helpers.h>

/* dma.rs */

void oxnic_c_dma_rmb(void)
{
	dma_rmb();
}

void oxnic_c_dma_wmb(void)
{
	dma_wmb();
}

/* mmio.rs */

u32 oxnic_c_readl(const void __iomem *address)
{
	return readl(address);
}

void oxnic_c_writel(u32 value, void __iomem *address)
{
	writel(value, address);
}

void oxnic_c_writeq(u64 value, void __iomem *address)
{
	writeq(value, address);
}
