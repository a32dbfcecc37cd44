// SPDX-License-Identifier: GPL-2.0-only

//! Receiving: buffers are posted, completions turned into packets. All of it in the NAPI poll, or while it is disabled.
//!
//! What the device writes is checked: that a buffer was posted and a length is within it, that the queue is ours. A completion
//! that breaks the rules stops the queue until the function was reset.

mod watch;

pub(crate) use watch::RxWatch;

use crate::device::Device;
use crate::flow::upcall::{Upcall, SPOKEN_OF};
use crate::queue::stats::PairStats;
use crate::queue::xdp::RxXdp;
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_abi::doorbell::{self, DoorbellKind};
use oxnic_abi::ring::{completion_flags, rx_kind, RxDescriptor};
use oxnic_kapi::dma::{self, Ring};
use oxnic_kapi::net::napi::{Context, Place};
use oxnic_kapi::net::rx_buffers::{Buffers, Frame, HashKind, Layout, Metadata};
use watch::Taken;

/// Frames up to this many bytes are copied out of buffers that take a page each, so that a short frame does not hold a page.
/// Out of half pages they are not: new memory for the copy costs more, above all where the kernel clears what it allocates.
const COPYBREAK: u32 = 256;
/// Buffers are posted at least so many at a time, so that a doorbell tells of several.
const POST_BATCH: u32 = 32;

/// Parameters of a receive ring.
pub(crate) struct RxSetup<'a> {
    pub(crate) device: &'a Arc<Device>,
    pub(crate) id: u16,
    pub(crate) log2: u8,
    /// Longest frame in bytes, tags included.
    pub(crate) frame: u32,
    pub(crate) stats: &'a Arc<PairStats>,
    /// Where the program is, if packets take the way of XDP.
    pub(crate) xdp: Option<RxXdp>,
}

/// The memory of a receive ring as the device is told of it.
pub(crate) struct RxMemory {
    pub(crate) ring: Arc<Ring<2>>,
    pub(crate) cq: Arc<Ring<4>>,
    /// Length of each buffer.
    pub(crate) buffer: u16,
}

/// A receive ring.
pub(crate) struct RxRing {
    ring: Arc<Ring<2>>,
    pub(super) cq: Arc<Ring<4>>,
    cq_log2: u32,
    cq_next: u32,
    /// For who watches.
    taken: Arc<Taken>,
    pub(super) buffers: Buffers,
    pub(super) device: Arc<Device>,
    pub(super) stats: Arc<PairStats>,
    pub(super) id: u32,
    /// A frame of which some buffers have come.
    partial: Partial,
    broken: bool,
    /// Packets take the way of XDP.
    pub(super) xdp: Option<RxXdp>,
}

/// What is there of a frame that spans buffers.
enum Partial {
    /// No frame has begun.
    None,
    /// These parts.
    Frame(Frame),
    /// The rest of a frame that is dropped is skipped.
    Skip,
}

/// What a poll received, to be added to the counters at its end.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) packets: u32,
    pub(super) bytes: u64,
    pub(super) csum_ok: u32,
}

impl RxSetup<'_> {
    /// Allocates. Posts no buffer yet. Sleeps.
    pub(crate) fn allocate(self, place: &Place<'_>) -> Result<(RxRing, RxWatch, RxMemory)> {
        let binding = self.device.binding();
        let shortest = u32::from(self.device.caps().rx_buffer_min);
        let layout = match self.xdp {
            Some(_) => Layout::for_xdp(),
            None => Layout::for_frame(self.frame.max(shortest)),
        };
        let ring = Arc::new(Ring::new(binding, self.log2)?, GFP_KERNEL)?;
        let cq = Arc::new(Ring::new(binding, self.log2)?, GFP_KERNEL)?;
        let copybreak = if layout.parts() == 1 { COPYBREAK } else { 0 };
        let buffers = Buffers::new(binding, place, self.log2, layout, copybreak)?;
        let buffer = u16::try_from(buffers.usable())?;
        let taken = Arc::new(Taken::default(), GFP_KERNEL)?;
        let watch = RxWatch {
            cq: cq.clone(),
            cq_log2: self.log2.into(),
            taken: taken.clone(),
            waiting: None,
        };
        let rx = RxRing {
            ring: ring.clone(),
            cq: cq.clone(),
            cq_log2: self.log2.into(),
            cq_next: 0,
            taken,
            buffers,
            device: self.device.clone(),
            stats: self.stats.clone(),
            id: self.id.into(),
            partial: Partial::None,
            broken: false,
            xdp: self.xdp,
        };
        Ok((rx, watch, RxMemory { ring, cq, buffer }))
    }
}

impl RxRing {
    /// Posts buffers, without telling the device.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]: not even one could be had.
    pub(crate) fn fill(&mut self) -> Result {
        self.post(self.buffers.unposted());
        if self.buffers.unposted() == self.ring.entries() {
            return Err(ENOMEM);
        }
        Ok(())
    }

    /// Tells the device of all posted buffers.
    #[inline]
    pub(crate) fn ring_doorbell(&self) {
        let next = self.buffers.next() & 0xffff;
        self.device
            .doorbells()
            .ring(doorbell::encode(DoorbellKind::RX, self.id, next));
    }

    #[inline(always)]
    fn post(&mut self, count: u32) -> bool {
        for _ in 0..count {
            let index = self.buffers.next();
            let Some((buffer, address)) = self.buffers.post() else {
                self.stats.rx.no_page.add(1);
                return false;
            };
            self.ring
                .write(index, &RxDescriptor { address, buffer }.to_words());
        }
        true
    }

    /// Receives at most `budget` packets. True in the second place: there is more to do.
    #[inline(always)]
    pub(crate) fn poll(&mut self, context: Context<'_>, budget: u32) -> (u32, bool) {
        if self.broken {
            return (0, false);
        }
        let mut tally = Tally::default();
        while tally.packets < budget {
            let last = self.cq.word(self.cq_next, 3);
            let flags = (last >> 48) as u16;
            if !is_new(last, self.cq_next, self.cq_log2) {
                break;
            }
            dma::rmb();
            let index = self.cq_next;
            self.cq_next = index.wrapping_add(1);
            if self.take(context, index, last, flags, &mut tally).is_err() {
                self.stats.rx.faults.add(1);
                self.broken = true;
                break;
            }
        }
        self.taken.set(self.cq_next);
        if let Some(xdp) = &mut self.xdp {
            xdp.finish(context, &self.stats);
        }
        if tally.packets == 0 && !self.broken && self.is_passed_over() {
            self.stats.rx.faults.add(1);
            self.broken = true;
        }
        let starved = self.refill();
        if tally.packets != 0 {
            let stats = &self.stats.rx;
            stats.packets.add(tally.packets.into());
            stats.bytes.add(tally.bytes);
            stats.csum_ok.add(tally.csum_ok.into());
        }
        (tally.packets, starved)
    }

    /// Whether the entry after the next one is there before that: entries come in order, so the next one has a wrong
    /// generation, or was lost, and would never be seen.
    fn is_passed_over(&self) -> bool {
        let after = self.cq_next.wrapping_add(1);
        if !is_new(self.cq.word(after, 3), after, self.cq_log2) {
            return false;
        }
        // What was written before that entry is visible from here on.
        dma::rmb();
        !is_new(self.cq.word(self.cq_next, 3), self.cq_next, self.cq_log2)
    }

    /// Whether the device broke the rules.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Posts what was used up. True: hardly any buffer is left, so polling has to go on until there is memory.
    #[inline(always)]
    fn refill(&mut self) -> bool {
        let missing = self.buffers.unposted();
        if missing < POST_BATCH {
            return false;
        }
        let before = self.buffers.next();
        let enough = self.post(missing);
        if self.buffers.next() != before {
            self.ring_doorbell();
        }
        !enough && self.buffers.unposted() > self.ring.entries() - POST_BATCH / 2
    }

    /// One completion.
    #[inline(always)]
    fn take(
        &mut self,
        context: Context<'_>,
        index: u32,
        last: u64,
        flags: u16,
        tally: &mut Tally,
    ) -> Result {
        if self.xdp.is_some() {
            return self.take_packet(context, index, last, flags, tally);
        }
        let (length, id) = (last as u16, (last >> 16) as u16);
        let end = flags & completion_flags::END != 0;
        if let (Partial::None, true) = (&self.partial, end) {
            let Some(frame) = self.buffers.begin(context, id, length.into())? else {
                self.stats.rx.dropped_memory.add(1);
                return Ok(());
            };
            return self.hand_up(context, frame, index, last, flags, tally);
        }
        self.take_part(context, index, last, flags, tally)
    }

    /// One completion of a frame that spans buffers.
    #[cold]
    fn take_part(
        &mut self,
        context: Context<'_>,
        index: u32,
        last: u64,
        flags: u16,
        tally: &mut Tally,
    ) -> Result {
        let (length, id) = (last as u16, (last >> 16) as u16);
        let end = flags & completion_flags::END != 0;
        let partial = match core::mem::replace(&mut self.partial, Partial::None) {
            Partial::None => match self.buffers.begin(context, id, length.into())? {
                Some(frame) => Partial::Frame(frame),
                None => {
                    self.stats.rx.dropped_memory.add(1);
                    Partial::Skip
                }
            },
            Partial::Frame(mut frame) => {
                if self.buffers.append(&mut frame, id, length.into())? {
                    Partial::Frame(frame)
                } else {
                    self.stats.rx.truncated.add(1);
                    Partial::Skip
                }
            }
            Partial::Skip => {
                self.buffers.skip(id, length.into())?;
                Partial::Skip
            }
        };
        if !end {
            self.partial = partial;
            return Ok(());
        }
        match partial {
            Partial::Frame(frame) => self.hand_up(context, frame, index, last, flags, tally),
            _ => Ok(()),
        }
    }

    /// Hands a whole frame up with what its last completion says.
    #[inline(always)]
    fn hand_up(
        &mut self,
        context: Context<'_>,
        mut frame: Frame,
        index: u32,
        last: u64,
        flags: u16,
        tally: &mut Tally,
    ) -> Result {
        let first = self.cq.word(index, 1);
        if self.cq.word(index, 2) >> 48 != u64::from(self.id) {
            return Err(EPROTO);
        }
        if flags & (completion_flags::TRUNCATED | completion_flags::CSUM_BAD) != 0 {
            if flags & completion_flags::TRUNCATED != 0 {
                self.stats.rx.truncated.add(1);
                return Ok(());
            }
            self.stats.rx.csum_bad.add(1);
        }
        if flags & completion_flags::TIMESTAMP != 0 {
            frame.set_hw_timestamp(self.cq.word(index, 0));
        }
        let metadata = metadata(first, last, flags);
        tally.packets += 1;
        tally.bytes += u64::from(frame.length());
        tally.csum_ok += u32::from(metadata.verified);
        if flags & SPOKEN_OF != 0 {
            let upcall = Upcall::new(flags, self.cq.word(index, 2) as u32);
            upcall.follow(&self.device.samplers, |onwards| match onwards {
                Some(onwards) => frame.receive_onwards(context, metadata, onwards),
                None => frame.receive(context, metadata),
            });
        } else {
            frame.receive(context, metadata);
        }
        Ok(())
    }

    /// Takes back all buffers and posts them again. The device does not know the ring any more.
    ///
    /// # Errors
    ///
    /// As [`Self::fill`].
    pub(crate) fn rewind(&mut self) -> Result {
        self.partial = Partial::None;
        if let Some(xdp) = &mut self.xdp {
            xdp.rewind();
        }
        self.broken = false;
        self.cq_next = 0;
        self.taken.set(0);
        self.buffers.rewind();
        self.fill()
    }

    /// Index of the completion ring's next entry, for arming.
    #[inline(always)]
    pub(crate) fn next(&self) -> u32 {
        self.cq_next
    }
}

/// Whether the device has written an entry of a ring of `1 << log2` in this pass over it, by the last word of the entry.
#[inline(always)]
fn is_new(last: u64, index: u32, log2: u32) -> bool {
    let generation = (last >> 48) as u32 & u32::from(completion_flags::GENERATION);
    generation != index >> log2 & 1
}

/// What a completion says of its frame, by its second and its last word.
#[inline(always)]
pub(super) fn metadata(first: u64, last: u64, flags: u16) -> Metadata {
    let kind = (last >> 32) as u16;
    let hash_kind = match kind & (rx_kind::HASH_L3 | rx_kind::HASH_L4) {
        0 => HashKind::None,
        rx_kind::HASH_L3 => HashKind::Network,
        _ => HashKind::Transport,
    };
    let tag = if flags & completion_flags::VLAN == 0 {
        0
    } else {
        let tpid = if flags & completion_flags::VLAN_STAG != 0 {
            0x88a8
        } else {
            0x8100
        };
        (first >> 48) as u32 | tpid << 16
    };
    Metadata {
        hash: first as u32,
        hash_kind,
        tag,
        verified: flags & completion_flags::L4_OK != 0,
    }
}
