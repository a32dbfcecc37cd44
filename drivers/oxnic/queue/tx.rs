// SPDX-License-Identifier: GPL-2.0-only

//! Sending: [`TxRing`] queues packets, under the transmit queue's lock; [`TxDone`] takes back what the device is done with,
//! in the NAPI poll.
//!
//! A packet costs a data descriptor for its head and one for each fragment; where it is to be segmented, a context descriptor
//! before them. The device is asked for a completion (REPORT) with the last packet before each doorbell, so that whatever
//! it was told of is completed, and not more often than doorbells are rung.

mod done;
mod watch;

pub(crate) use done::TxDone;
pub(crate) use watch::{Progress, TxWatch};

use crate::device::Device;
use crate::queue::stats::PairStats;
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_abi::doorbell::{self, DoorbellKind};
use oxnic_abi::ring::tx_flags;
use oxnic_kapi::dma::Ring;
use oxnic_kapi::net::netdev::Device as NetDevice;
use oxnic_kapi::net::queue::TxQueue;
use oxnic_kapi::net::skb::{DropReason, Segmentation, SkBuff};
use oxnic_kapi::net::tx_buffers::{self, Producer};

/// Longest stretch of memory that a descriptor can describe.
pub(super) const LENGTH_MAX: u32 = u16::MAX as u32;
/// Where the fields of a data descriptor's second word start: see [`oxnic_abi::ring::TxData`].
const FLAGS_SHIFT: u32 = 16;
const VLAN_SHIFT: u32 = 32;
const CSUM_START_SHIFT: u32 = 48;
const CSUM_OFFSET_SHIFT: u32 = 56;

pub(super) const fn flag(flags: u16) -> u64 {
    (flags as u64) << FLAGS_SHIFT
}

/// What the ring may do, from the device's capabilities.
#[derive(Clone, Copy)]
pub(crate) struct TxLimits {
    /// Shortest frame in bytes.
    pub(crate) frame_min: u32,
    /// Data descriptors of a packet.
    pub(crate) fragments: u32,
}

/// A transmit ring from the side of those who send.
pub(crate) struct TxRing {
    pub(super) ring: Arc<Ring<2>>,
    pub(super) producer: Producer,
    queue: TxQueue,
    device: Arc<Device>,
    pub(super) stats: Arc<PairStats>,
    id: u32,
    pub(super) limits: TxLimits,
    /// Descriptors that the largest packet takes.
    pub(super) room: u32,
    /// The last descriptor, if the device was not told of it: a completion can be asked for afterwards.
    pub(super) last: (u32, [u64; 2]),
    /// Index that the device was told last.
    rung: u32,
}

/// Parameters of a transmit ring.
pub(crate) struct TxSetup<'a> {
    pub(crate) device: &'a Arc<Device>,
    pub(crate) netdev: &'a NetDevice,
    pub(crate) index: u16,
    pub(crate) id: u16,
    pub(crate) log2: u8,
    pub(crate) limits: TxLimits,
    pub(crate) stats: &'a Arc<PairStats>,
}

/// The memory of a transmit ring as the device is told of it.
pub(crate) struct TxMemory {
    pub(crate) ring: Arc<Ring<2>>,
    pub(crate) cq: Arc<Ring<2>>,
}

impl TxSetup<'_> {
    /// Allocates. Sleeps.
    pub(crate) fn allocate(&self) -> Result<(TxRing, TxDone, TxWatch, TxMemory)> {
        let binding = self.device.binding();
        let ring = Arc::new(Ring::new(binding, self.log2)?, GFP_KERNEL)?;
        let cq = Arc::new(Ring::new(binding, self.log2)?, GFP_KERNEL)?;
        let (producer, consumer) = tx_buffers::new(binding, self.log2)?;
        let watch = TxWatch::new(consumer.watch());
        // A context descriptor, and all data descriptors; but a queue has to run again before it is empty.
        let room = (self.limits.fragments + 1).min(1 << (self.log2 - 1));
        let tx = TxRing {
            ring: ring.clone(),
            producer,
            queue: TxQueue::new(self.netdev, self.index)?,
            device: self.device.clone(),
            stats: self.stats.clone(),
            id: self.id.into(),
            limits: TxLimits {
                fragments: self.limits.fragments.min(room - 1),
                ..self.limits
            },
            room,
            last: (0, [0; 2]),
            rung: 0,
        };
        let done = TxDone {
            consumer,
            cq: cq.clone(),
            cq_log2: self.log2.into(),
            cq_next: 0,
            queue: TxQueue::new(self.netdev, self.index)?,
            stats: self.stats.clone(),
            room: room * 2,
            broken: false,
        };
        Ok((tx, done, watch, TxMemory { ring, cq }))
    }
}

impl TxRing {
    /// Queues a packet, or drops it with a reason.
    #[inline(always)]
    pub(crate) fn send(&mut self, mut skb: SkBuff) {
        if self.producer.free(self.room) < self.room {
            return self.overflow(skb);
        }
        let length = skb.length();
        if length < self.limits.frame_min && skb.pad_to(self.limits.frame_min).is_err() {
            return self.drop_packet(skb, Fault::Memory);
        }
        let mut word = match self.offloads(&skb) {
            Ok(word) => word,
            Err(fault) => return self.drop_packet(skb, fault),
        };
        if skb.wants_hw_timestamp() {
            word |= self.ask_timestamp(&mut skb);
        }
        let segmentation = skb.segmentation();
        if let Some(segmentation) = segmentation {
            if let Err(fault) = self.put_context(&skb, segmentation) {
                return self.drop_packet(skb, fault);
            }
        }
        if skb.is_linear() {
            let Ok(head) = self.producer.map_head(&skb) else {
                return self.drop_packet(skb, Fault::Memory);
            };
            if head.length > LENGTH_MAX {
                return self.drop_packet(skb, Fault::Form);
            }
            word |= u64::from(head.length) | flag(tx_flags::END);
            self.finish(skb, segmentation, head.address, word);
        } else {
            self.send_fragments(skb, segmentation, word);
        }
    }

    /// Flags and offloads of a packet's first descriptor.
    #[inline(always)]
    fn offloads(&self, skb: &SkBuff) -> Result<u64, Fault> {
        let mut word = 0;
        if let Some((start, offset)) = skb.checksum() {
            // features_check() leaves only what fits; the stack has no way around it.
            if start > 2 * u32::from(u8::MAX)
                || (start | u32::from(offset)) & 1 != 0
                || offset > 2 * u16::from(u8::MAX)
            {
                return Err(Fault::Form);
            }
            word |= flag(tx_flags::CSUM)
                | u64::from(start / 2) << CSUM_START_SHIFT
                | u64::from(offset / 2) << CSUM_OFFSET_SHIFT;
        }
        if let Some((protocol, tag)) = skb.vlan_tag() {
            word |= flag(tx_flags::VLAN) | u64::from(tag) << VLAN_SHIFT;
            if protocol == ETH_P_8021AD {
                word |= flag(tx_flags::VLAN_STAG);
            }
        }
        Ok(word)
    }

    /// Asks the device when the packet leaves, if the interface is set to.
    #[cold]
    fn ask_timestamp(&self, skb: &mut SkBuff) -> u64 {
        if !self.stats.stamps.is_enabled() {
            return 0;
        }
        skb.begin_hw_timestamp();
        self.stats.stamps.asked.add(1);
        flag(tx_flags::TIMESTAMP)
    }

    /// The descriptor before a packet that is to be segmented.
    #[cold]
    fn put_context(&mut self, skb: &SkBuff, segmentation: Segmentation) -> Result<(), Fault> {
        let (l3, l4, headers) = (
            skb.network_offset(),
            skb.transport_offset(),
            skb.segment_headers(),
        );
        if (l3 | l4) & 1 != 0
            || l4 > 2 * u32::from(u8::MAX)
            || headers > LENGTH_MAX
            || headers > skb.length()
        {
            return Err(Fault::Form);
        }
        let mut flags = tx_flags::CONTEXT
            | if segmentation.udp {
                tx_flags::USO
            } else {
                tx_flags::TSO
            };
        if segmentation.fixed_id {
            flags |= tx_flags::FIXED_ID;
        }
        let index = self.producer.next();
        self.producer.skip().map_err(|_| Fault::Memory)?;
        let places =
            u64::from(segmentation.size) << 32 | u64::from(l3 / 2) << 48 | u64::from(l4 / 2) << 56;
        self.ring
            .write(index, &[places, u64::from(headers) | flag(flags)]);
        Ok(())
    }

    /// Queues a packet that has fragments.
    fn send_fragments(&mut self, mut skb: SkBuff, segmentation: Option<Segmentation>, word: u64) {
        let mut fragments = skb.fragments();
        if fragments as u32 >= self.limits.fragments {
            self.stats.tx.linearized.add(1);
            if skb.linearize().is_err() {
                return self.drop_packet(skb, Fault::Memory);
            }
            fragments = 0;
        }
        let mut index = self.producer.next();
        let Ok(mut part) = self.producer.map_head(&skb) else {
            return self.drop_packet(skb, Fault::Memory);
        };
        let mut word = word;
        let mut fragment = 0;
        loop {
            if part.length > LENGTH_MAX {
                return self.drop_packet(skb, Fault::Form);
            }
            word |= u64::from(part.length);
            if fragment == fragments {
                break;
            }
            self.ring.write(index, &[part.address, word]);
            word = 0;
            index = self.producer.next();
            part = match self.producer.map_fragment(&skb, fragment) {
                Ok(part) => part,
                Err(_) => return self.drop_packet(skb, Fault::Memory),
            };
            fragment += 1;
        }
        self.finish(skb, segmentation, part.address, word | flag(tx_flags::END));
    }

    /// Writes the last descriptor of a packet, hands the packet over to the ring, and tells the device if it is time.
    #[inline(always)]
    fn finish(&mut self, skb: SkBuff, segmentation: Option<Segmentation>, address: u64, word: u64) {
        let length = skb.length();
        let stats = &self.stats.tx;
        let packets = match segmentation {
            None => {
                stats.bytes.add(length.into());
                1
            }
            Some(segmentation) => {
                let segments = u64::from(segmentation.segments.max(1));
                let wire = u64::from(length) + (segments - 1) * u64::from(skb.segment_headers());
                stats.bytes.add(wire);
                stats.segmented.add(1);
                stats.segmented_bytes.add(length.into());
                stats.segments.add(segments);
                stats.segments_bytes.add(wire);
                segments
            }
        };
        stats.packets.add(packets);
        if skb.checksum().is_some() {
            stats.csum.add(packets);
        }
        skb.timestamp();
        let index = self.producer.next().wrapping_sub(1);
        // Before the poll could take the packet away, if the device lies: the core ends the system where more is completed than was sent.
        let mut told = self.queue.sent(length);
        self.producer.commit(skb);
        if self.producer.free(self.room) < self.room {
            self.stop();
            told = true;
        }
        if told {
            self.ring
                .write(index, &[address, word | flag(tx_flags::REPORT)]);
            self.ring_doorbell();
        } else {
            self.ring.write(index, &[address, word]);
            self.last = (index, [address, word]);
        }
    }

    #[inline(always)]
    fn ring_doorbell(&mut self) {
        let next = self.producer.next();
        self.rung = next;
        self.device
            .doorbells()
            .ring(doorbell::encode(DoorbellKind::TX, self.id, next & 0xffff));
    }

    #[cold]
    pub(super) fn stop(&mut self) {
        let producer = &mut self.producer;
        let room = self.room;
        if self.queue.stop_unless(|| producer.free(room) >= room) {
            self.stats.tx.stops.add(1);
        }
    }

    /// The core must not have called with a full ring: the packet is dropped, the queue stopped.
    #[cold]
    fn overflow(&mut self, skb: SkBuff) {
        self.stats.tx.dropped_full.add(1);
        skb.drop_with(DropReason::DeviceNotReady);
        self.stop();
        self.flush();
    }

    /// Undoes what was made of a packet so far, and drops it.
    #[cold]
    fn drop_packet(&mut self, skb: SkBuff, fault: Fault) {
        self.producer.abort();
        match fault {
            Fault::Memory => {
                self.stats.tx.dropped_memory.add(1);
                skb.drop_with(DropReason::NoMemory);
            }
            Fault::Form => {
                self.stats.tx.dropped_form.add(1);
                skb.drop_with(DropReason::Unsupported);
            }
        }
        if !self.queue.more_follows() {
            self.flush();
        }
    }

    /// Tells the device of packets that were queued without a doorbell, since the last of a burst was dropped.
    #[cold]
    pub(super) fn flush(&mut self) {
        if self.rung == self.producer.next() {
            return;
        }
        let (index, [address, word]) = self.last;
        self.ring
            .write(index, &[address, word | flag(tx_flags::REPORT)]);
        self.ring_doorbell();
    }
}

/// Why a packet cannot be queued.
enum Fault {
    Memory,
    Form,
}

/// TPID of a service tag.
const ETH_P_8021AD: u16 = 0x88a8;
