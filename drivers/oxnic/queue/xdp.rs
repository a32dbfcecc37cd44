// SPDX-License-Identifier: GPL-2.0-only

//! XDP: the path of received packets that a program sees first, and of frames that programs send.
//!
//! Receive rings are made for it while a program is attached: each buffer has a page with the room before the packet that
//! programs count on, so that a packet of an MTU up to [`MTU_MAX`] is in one buffer. A ring that was made so can do without a
//! program, too, and then hands everything up.
//!
//! What a program sends back goes by the transmit queue of the same pair, which the stack uses, too: a poll gathers frames and
//! takes the queue's lock once for all of them. What others redirect here goes by the queue of the CPU that they run on. A
//! ring that such frames fill stops the queue for the stack, as the stack's own packets do. They are not accounted to byte
//! queue limits.

use super::rx::{metadata, RxRing, Tally};
use super::stats::PairStats;
use super::tx::{flag, TxRing, LENGTH_MAX};
use crate::flow::upcall::{Upcall, SPOKEN_OF};
use crate::netdev::{NetPort, HEADER, TAGS};
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_abi::ring::{completion_flags, tx_flags};
use oxnic_kapi::net::napi::Context;
use oxnic_kapi::net::queue::TxAccess;
use oxnic_kapi::net::rx_buffers::{Buffers, Metadata};
use oxnic_kapi::net::xdp::{self, Batch, Buff, Frame, ProgramRef, ProgramSlot, Verdict};

/// Largest MTU whose packets are in one buffer while a program is attached.
pub(crate) const MTU_MAX: u32 = Buffers::packet_max() - HEADER - TAGS;

/// What XDP adds to a receive ring.
pub(crate) struct RxXdp {
    program: Arc<ProgramSlot>,
    /// The transmit queue of the pair.
    tx: TxAccess<NetPort>,
    /// What the program sends back in this poll.
    batch: KBox<Batch>,
    /// Something was redirected in this poll.
    redirected: bool,
    partial: Partial,
}

/// What is there of a packet that spans buffers.
enum Partial {
    /// No packet has begun.
    None,
    /// These buffers.
    Packet(Buff),
    /// The rest of a packet that is dropped is skipped.
    Skip,
}

impl RxXdp {
    /// For a pair whose transmit queue is this.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(program: &Arc<ProgramSlot>, tx: TxAccess<NetPort>) -> Result<Self> {
        Ok(Self {
            program: program.clone(),
            tx,
            batch: KBox::new(Batch::default(), GFP_KERNEL)?,
            redirected: false,
            partial: Partial::None,
        })
    }

    /// Sends what the poll has gathered.
    #[inline]
    pub(super) fn finish(&mut self, context: Context<'_>, stats: &PairStats) {
        if !self.batch.is_empty() {
            self.send_batch(context, stats);
        }
        if core::mem::take(&mut self.redirected) {
            xdp::flush(context);
        }
    }

    fn send_batch(&mut self, context: Context<'_>, stats: &PairStats) {
        let batch = &mut self.batch;
        let sent = self.tx.with(context, |ring| {
            batch.drain(|frame| drop(ring.send_frame(frame, true)));
            ring.flush();
        });
        if sent.is_none() {
            // The queue is being stopped.
            self.batch.drain(|frame| {
                stats.rx.xdp_aborted.add(1);
                drop(frame);
            });
        }
    }

    /// Forgets a packet that has come in part.
    pub(super) fn rewind(&mut self) {
        self.partial = Partial::None;
    }
}

impl RxRing {
    /// One completion, where packets take the way of XDP.
    pub(super) fn take_packet(
        &mut self,
        context: Context<'_>,
        index: u32,
        last: u64,
        flags: u16,
        tally: &mut Tally,
    ) -> Result {
        let (length, id) = (u32::from(last as u16), (last >> 16) as u16);
        let Some(xdp) = &mut self.xdp else {
            return Err(EINVAL);
        };
        let partial = match core::mem::replace(&mut xdp.partial, Partial::None) {
            Partial::None => Partial::Packet(self.buffers.begin_packet(id, length)?),
            Partial::Packet(mut packet) => {
                if self.buffers.append_packet(&mut packet, id, length)? {
                    Partial::Packet(packet)
                } else {
                    self.stats.rx.truncated.add(1);
                    Partial::Skip
                }
            }
            Partial::Skip => {
                self.buffers.skip(id, length)?;
                Partial::Skip
            }
        };
        if flags & completion_flags::END == 0 {
            xdp.partial = partial;
            return Ok(());
        }
        let Partial::Packet(packet) = partial else {
            return Ok(());
        };
        let first = self.cq.word(index, 1);
        if self.cq.word(index, 2) >> 48 != u64::from(self.id) {
            return Err(EPROTO);
        }
        if flags & completion_flags::TRUNCATED != 0 {
            self.stats.rx.truncated.add(1);
            return Ok(());
        }
        if flags & completion_flags::CSUM_BAD != 0 {
            self.stats.rx.csum_bad.add(1);
        }
        let metadata = metadata(first, last, flags);
        tally.packets += 1;
        tally.bytes += u64::from(packet.length());
        tally.csum_ok += u32::from(metadata.verified);
        let time = (flags & completion_flags::TIMESTAMP != 0).then(|| self.cq.word(index, 0));
        let upcall = match flags & SPOKEN_OF {
            0 => Upcall::Start,
            _ => Upcall::new(flags, self.cq.word(index, 2) as u32),
        };
        if let Upcall::Sample(_) = upcall {
            // A copy for listeners, of a packet that programs see or do not see by itself.
            self.pass(context, packet, metadata, time, upcall);
        } else {
            self.decide(context, packet, metadata, time, upcall);
        }
        Ok(())
    }

    /// Runs the program in force on a packet, and does what it says.
    #[inline(always)]
    fn decide(
        &mut self,
        context: Context<'_>,
        mut packet: Buff,
        metadata: Metadata,
        time: Option<u64>,
        upcall: Upcall,
    ) {
        let stats = &self.stats.rx;
        let Some(xdp) = &mut self.xdp else { return };
        let Some(program) = xdp.program.get(context) else {
            return self.pass(context, packet, metadata, time, upcall);
        };
        if packet.has_frags() && !program.has_frags() {
            // Only a device that splits packets without need comes here: the MTU is bounded for such programs.
            stats.xdp_aborted.add(1);
            return self.buffers.keep(packet);
        }
        match program.run(&mut packet) {
            Verdict::Pass => {
                stats.xdp_pass.add(1);
                self.pass(context, packet, metadata, time, upcall);
            }
            Verdict::Drop => {
                stats.xdp_drop.add(1);
                self.buffers.keep(packet);
            }
            Verdict::Transmit => self.transmit(context, packet, program),
            Verdict::Redirect => match program.redirect(packet) {
                Ok(()) => {
                    stats.xdp_redirect.add(1);
                    xdp.redirected = true;
                }
                Err(packet) => {
                    stats.xdp_aborted.add(1);
                    self.buffers.keep(packet);
                }
            },
            Verdict::Aborted(action) => {
                program.exception(&mut packet, action);
                stats.xdp_aborted.add(1);
                self.buffers.keep(packet);
            }
        }
    }

    fn pass(
        &mut self,
        context: Context<'_>,
        packet: Buff,
        metadata: Metadata,
        time: Option<u64>,
        upcall: Upcall,
    ) {
        let mut received = true;
        if upcall == Upcall::Start {
            received = packet.receive(context, metadata, time);
        } else {
            upcall.follow(&self.device.samplers, |onwards| {
                received = match onwards {
                    Some(onwards) => packet.receive_onwards(context, metadata, time, onwards),
                    None => packet.receive(context, metadata, time),
                };
            });
        }
        if !received {
            self.stats.rx.dropped_memory.add(1);
        }
    }

    /// The program sends a packet back.
    fn transmit(&mut self, context: Context<'_>, packet: Buff, program: ProgramRef<'_>) {
        let Some(xdp) = &mut self.xdp else { return };
        if xdp.batch.is_full() {
            xdp.send_batch(context, &self.stats);
        }
        match xdp.batch.push(packet) {
            Ok(()) => self.stats.rx.xdp_tx.add(1),
            Err(mut packet) => {
                program.cannot_transmit(&mut packet);
                self.stats.rx.xdp_aborted.add(1);
                self.buffers.keep(packet);
            }
        }
    }
}

impl TxRing {
    /// Queues a frame, without telling the device, which [`Self::flush`] does. `own`: the pair of this ring has received it.
    ///
    /// # Errors
    ///
    /// The frame, which was counted as refused.
    pub(super) fn send_frame(&mut self, mut frame: Frame, own: bool) -> Result<(), Frame> {
        let parts = frame.fragments() + 1;
        if self.producer.free(parts) < parts {
            self.stats.tx.xdp_full.add(1);
            return Err(frame);
        }
        if parts > self.limits.fragments || !frame.pad_to(self.limits.frame_min) {
            self.stats.tx.xdp_refused.add(1);
            return Err(frame);
        }
        let Ok(last) = self.put_parts(&frame, parts, own) else {
            self.producer.abort();
            self.stats.tx.xdp_refused.add(1);
            return Err(frame);
        };
        let stats = &self.stats.tx;
        stats.packets.add(1);
        stats.bytes.add(frame.length().into());
        stats.xdp_frames.add(1);
        self.producer.commit_frame(frame);
        self.last = last;
        if self.producer.free(self.room) < self.room {
            self.stop();
        }
        Ok(())
    }

    /// Writes the descriptors of a frame; gives the last, which could be written once more.
    fn put_parts(&mut self, frame: &Frame, parts: u32, own: bool) -> Result<(u32, [u64; 2])> {
        let mut index = self.producer.next();
        let mut part = self.producer.map_frame(frame, own)?;
        let mut fragment = 0;
        loop {
            if part.length > LENGTH_MAX {
                return Err(EMSGSIZE);
            }
            fragment += 1;
            let mut words = [part.address, u64::from(part.length)];
            if fragment == parts {
                words[1] |= flag(tx_flags::END);
                self.ring.write(index, &words);
                return Ok((index, words));
            }
            self.ring.write(index, &words);
            index = self.producer.next();
            part = self.producer.map_frame_fragment(frame, fragment - 1, own)?;
        }
    }

    /// Sends frames that were redirected here, until one finds no room; tells how many.
    pub(crate) fn send_frames(&mut self, frames: xdp::Frames<'_>) -> u32 {
        let sent = frames.send_each(|frame| self.send_frame(frame, false));
        self.flush();
        sent
    }
}
