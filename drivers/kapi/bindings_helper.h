/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What our own bindgen pass reads: the subsystems that the kernel crate has no bindings for, and our helpers. Headers that
 * the kernel crate's own pass has read are left out of the result; their items come from kernel::bindings.
 */

#include <linux/aer.h>
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/dim.h>
#include <linux/dma-mapping.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/hwmon.h>
#include <linux/if_link.h>
#include <linux/if_vlan.h>
#include <linux/inetdevice.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/irq.h>
#include <linux/module.h>
#include <linux/msi.h>
#include <linux/net_tstamp.h>
#include <linux/netdevice.h>
#include <linux/netlink.h>
#include <linux/pci.h>
#include <linux/pldmfw.h>
#include <linux/ptp_clock_kernel.h>
#include <linux/rtnetlink.h>
#include <linux/rwsem.h>
#include <linux/semaphore.h>
#include <linux/seq_file.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/timer.h>
#include <linux/u64_stats_sync.h>
#include <linux/udp.h>
#include <linux/workqueue.h>
#include <net/devlink.h>
#include <net/fib_notifier.h>
#include <net/addrconf.h>
#include <net/flow_offload.h>
#include <net/gro.h>
#include <net/ip_tunnels.h>
#include <net/ip6_checksum.h>
#include <net/netdev_lock.h>
#include <net/netdev_queues.h>
#include <net/netdev_rx_queue.h>
#include <net/netevent.h>
#include <net/netfilter/nf_tables.h>
#include <net/page_pool/helpers.h>
#include <net/page_pool/types.h>
#include <net/pkt_cls.h>
#include <net/pkt_sched.h>
#include <net/psample.h>
#include <net/rtnetlink.h>
#include <net/tso.h>
#include <net/xdp.h>

#include "net/ethtool/constants.h"
#include "helpers.c"
