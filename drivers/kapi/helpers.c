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
#include <linux/pldmfw.h>
#include <linux/ptp_clock_kernel.h>
#include <linux/rtnetlink.h>
#include <linux/rwsem.h>
#include <linux/semaphore.h>
#include <linux/skbuff.h>
#include <linux/workqueue.h>
#include <net/devlink.h>
#include <net/netdev_lock.h>
#include <net/netdev_queues.h>
#include <net/page_pool/helpers.h>

/* sync.rs */

void oxnic_c_reinit_completion(struct completion *completion)
{
	reinit_completion(completion);
}

void oxnic_c_init_completion(struct completion *completion)
{
	init_completion(completion);
}

void oxnic_c_sema_init(struct semaphore *semaphore, int permits)
{
	sema_init(semaphore, permits);
}

void oxnic_c_init_rwsem(struct rw_semaphore *semaphore)
{
	init_rwsem(semaphore);
}

/* work.rs */

void oxnic_init_delayed_work(struct delayed_work *work, work_func_t function)
{
	INIT_DELAYED_WORK(work, function);
}

/* True if it was neither pending nor disabled, so that it took a reference. */
bool oxnic_queue_work(struct delayed_work *work, unsigned int ms)
{
	return queue_delayed_work(system_dfl_wq, work, msecs_to_jiffies(ms));
}

/* dma.rs */

int oxnic_c_dma_set_mask_and_coherent(struct device *dev, u64 mask)
{
	return dma_set_mask_and_coherent(dev, mask);
}

void *oxnic_c_dma_alloc_coherent(struct device *dev, size_t size, dma_addr_t *address, gfp_t gfp)
{
	return dma_alloc_coherent(dev, size, address, gfp);
}

void oxnic_c_dma_free_coherent(struct device *dev, size_t size, void *base, dma_addr_t address)
{
	dma_free_coherent(dev, size, base, address);
}

/* mmio.rs */

u32 oxnic_c_readl(const void __iomem *address)
{
	return readl(address);
}

u64 oxnic_c_readq(const void __iomem *address)
{
	return readq(address);
}

void oxnic_c_writel(u32 value, void __iomem *address)
{
	writel(value, address);
}

void oxnic_c_writeq(u64 value, void __iomem *address)
{
	writeq(value, address);
}

/* irq.rs */

int oxnic_c_pci_alloc_irq_vectors(struct pci_dev *dev, unsigned int least, unsigned int most, unsigned int flags)
{
	return pci_alloc_irq_vectors(dev, least, most, flags);
}

int oxnic_c_request_irq(unsigned int irq, irq_handler_t handler, unsigned long flags, const char *name, void *cookie)
{
	return request_irq(irq, handler, flags, name, cookie);
}

/* The nth CPU of a spread over those near the device first; the hint must stay valid, as this mask does. */
void oxnic_irq_spread(unsigned int irq, unsigned int nth)
{
	int node = irq_get_affinity_mask(irq) ? irq_data_get_node(irq_get_irq_data(irq)) : NUMA_NO_NODE;

	irq_set_affinity_and_hint(irq, cpumask_of(cpumask_local_spread(nth, node)));
}

void oxnic_irq_unspread(unsigned int irq)
{
	irq_update_affinity_hint(irq, NULL);
}

/* pci */

int oxnic_c_pci_request_mem_regions(struct pci_dev *dev, const char *name)
{
	return pci_request_mem_regions(dev, name);
}

void oxnic_c_pci_release_mem_regions(struct pci_dev *dev)
{
	pci_release_mem_regions(dev);
}

void oxnic_c_pci_set_drvdata(struct pci_dev *dev, void *data)
{
	pci_set_drvdata(dev, data);
}

void *oxnic_c_pci_get_drvdata(struct pci_dev *dev)
{
	return pci_get_drvdata(dev);
}

void oxnic_c_device_lock(struct device *dev)
{
	device_lock(dev);
}

void oxnic_c_device_unlock(struct device *dev)
{
	device_unlock(dev);
}

struct pci_dev *oxnic_c_pci_physfn(struct pci_dev *dev)
{
	return pci_physfn(dev);
}

/* ptp.rs */

void oxnic_c_ptp_read_system_prets(struct ptp_system_timestamp *sts)
{
	ptp_read_system_prets(sts);
}

void oxnic_c_ptp_read_system_postts(struct ptp_system_timestamp *sts)
{
	ptp_read_system_postts(sts);
}

/* devlink/package.rs */

/* A kernel has this library if a driver of its own asks for it. The module loads without it, too. */
extern int pldmfw_flash_image(struct pldmfw *context, const struct firmware *fw) __weak;
extern bool pldmfw_op_pci_match_record(struct pldmfw *context, struct pldmfw_record *record) __weak;

bool oxnic_has_pldmfw(void)
{
	return pldmfw_flash_image && pldmfw_op_pci_match_record;
}

int oxnic_pldmfw_flash_image(struct pldmfw *context, const struct firmware *fw)
{
	return pldmfw_flash_image(context, fw);
}

bool oxnic_pldmfw_match_record(struct pldmfw *context, struct pldmfw_record *record)
{
	return pldmfw_op_pci_match_record(context, record);
}

#include "net/helpers.c"
