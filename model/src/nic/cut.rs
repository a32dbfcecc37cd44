// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Packets to be cut: their segments go out over several turns of their queue where there are many.
//!
//! A [`Cut`] belongs to its transmit queue, and goes with it. The packet stays in the ring until its last segment was sent, so
//! that only headers have to be kept; payload is read when its turn comes. Functions of [`Nic`] own all else that is touched.

use super::Nic;
use super::frame::Frame;
use super::ids::{FunctionId, VportId};
use super::segment::Segments;
use super::send::{Refusal, Sent};
use super::transmit::{Way, queue};
use super::tx::TxPacket;
use crate::host::Host;
use oxnic_abi::event::QueueError;

/// Segments of a packet that go out in one turn.
const TURN_SEGMENTS: usize = 64;

/// A packet of which segments are left to be sent.
#[derive(Clone, Debug)]
pub struct Cut {
    /// As its descriptors were checked.
    pub packet: TxPacket,
    /// Those that are left.
    pub segments: Segments,
    /// What became of the others.
    pub sent: Sent,
}

impl Nic {
    /// Sends segments for a turn, from payload that is in the frame's buffer. Those after one that is refused are not sent.
    pub(super) fn send_segments(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        packet: &TxPacket,
        segments: &mut Segments,
        frame: &mut Frame,
        sent: &mut Sent,
    ) -> Result<(), Refusal> {
        let destination = self.destination(id, packet)?;
        let before = sent.frames;
        let mut result = Ok(());
        for _ in 0..TURN_SEGMENTS {
            if result.is_err() || !segments.next(frame) {
                break;
            }
            result = self.emit(host, id, frame, packet.tag(), destination, sent);
        }
        let frames = sent.frames - before;
        let begun = before == 0 && frames != 0;
        self.count(id, |stats| {
            stats.tx_csum += frames;
            stats.tx_segmented += u64::from(begun);
            stats.tx_segmented_bytes += if begun { packet.length as u64 } else { 0 };
        });
        result
    }

    /// Sends further segments of a packet. False if there are still some left.
    ///
    /// # Errors
    /// Its memory cannot be read.
    fn send_rest(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        cut: &mut Cut,
        frame: &mut Frame,
    ) -> Result<bool, QueueError> {
        let Cut {
            packet,
            segments,
            sent,
        } = cut;
        let result = match self.may_send(id) {
            Err(refusal) => Err(refusal),
            Ok(()) => {
                let (left, room) = segments.refill(frame, TURN_SEGMENTS);
                let from = packet.length.saturating_sub(left);
                self.read_packet(host, id, packet, from, room)?;
                self.send_segments(host, id, packet, segments, frame, sent)
            }
        };
        let done = result.is_err() || segments.is_done();
        self.count_refused(id, result, sent);
        Ok(done)
    }

    /// Goes on with the packet of a queue of which segments are left, if there is one. False if there are still some left.
    ///
    /// # Errors
    /// See [`Nic::send_rest`] and [`Nic::taken`].
    pub(super) fn go_on(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        id: u16,
        frame: &mut Frame,
        way: Way,
        frames: &mut u32,
    ) -> Result<bool, QueueError> {
        let found = queue(self, function, id).and_then(|tx| Some((tx.vport, tx.cut.take()?)));
        let Some((vport, mut cut)) = found else {
            return Ok(true);
        };
        let before = cut.sent;
        let done = match way {
            Way::Dropped => {
                cut.sent.refused = self.drop_late(vport, &cut.packet).refused;
                true
            }
            _ => self.send_rest(host, vport, &mut cut, frame)?,
        };
        let sent = Sent {
            frames: cut.sent.frames - before.frames,
            bytes: cut.sent.bytes - before.bytes,
            ..cut.sent
        };
        self.spend(function, id, way, sent, frames);
        if done {
            self.taken(host, function, id, &cut.packet, cut.sent)?;
        } else if let Some(tx) = queue(self, function, id) {
            tx.cut = Some(cut);
        }
        Ok(done)
    }

    /// Counts what a queue has sent of a packet.
    pub(super) fn spend(
        &mut self,
        function: FunctionId,
        id: u16,
        way: Way,
        sent: Sent,
        frames: &mut u32,
    ) {
        *frames = frames.saturating_add(sent.frames as u32 + 1);
        if way == Way::Shaped {
            self.shaper.pay(sent.bytes);
        }
        if let Some(tx) = queue(self, function, id) {
            tx.stats.frames += sent.frames;
            tx.stats.bytes += sent.bytes;
        }
    }
}
