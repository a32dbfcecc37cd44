// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Transmitting: from descriptors of a queue to frames in the VEB.
//!
//! Functions of [`Nic`], which owns all that is touched. Queues with work take turns of bounded length, so that none can
//! keep the others waiting. Where rates are set, those of VFs take theirs as [`super::shape`] says.

use super::Nic;
use super::cut::Cut;
use super::event::Notice;
use super::frame::Frame;
use super::ids::{FunctionId, VportId};
use super::send::Sent;
use super::tx::{DESCRIPTOR, TxPacket, TxQueue};
use crate::host::Host;
use oxnic_abi::event::{EventKind, QueueError};
use oxnic_abi::regs::Reason;
use oxnic_abi::ring::{TxCompletion, completion_flags};

/// Descriptors that a turn looks at.
const TURN_DESCRIPTORS: u16 = 128;
/// Frames after which a turn ends.
const TURN_FRAMES: u32 = 64;
/// Frames after which a poll ends.
const POLL_FRAMES: u32 = 512;

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Nothing left to do.
    Idle,
    /// There may be more.
    More,
}

/// What becomes of a queue's packets in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// They are sent.
    Plain,
    /// They are sent, as far as rates let them.
    Shaped,
    /// They have waited for too long, and are dropped.
    Dropped,
}

/// The queue of a function, if there is one.
pub(super) fn queue(nic: &mut Nic, function: FunctionId, id: u16) -> Option<&mut TxQueue> {
    nic.functions
        .get_mut(function.index())?
        .tx
        .get_mut(usize::from(id))?
        .as_mut()
}

impl Nic {
    /// Puts a queue on the list of those that have work.
    pub(super) fn list_tx(&mut self, function: FunctionId, id: u16) {
        match queue(self, function, id) {
            Some(tx) if !tx.listed && !tx.stopped && tx.ring.pending() != 0 => tx.listed = true,
            _ => return,
        }
        self.tx_ready.push_back((function, id));
    }

    /// Puts all queues of a vport on the list of those that have work.
    pub(super) fn list_vport(&mut self, id: VportId) {
        let Some(function) = self.vports.get(id.index()).map(|vport| vport.function) else {
            return;
        };
        let queues = self
            .functions
            .get(function.index())
            .map_or(0, |state| state.tx.len());
        for index in 0..queues as u16 {
            if queue(self, function, index).is_some_and(|tx| tx.vport == id) {
                self.list_tx(function, index);
            }
        }
    }

    /// A queue that had work is put on the list anew, though it was said to be on one.
    pub(super) fn relist_tx(&mut self, function: FunctionId, id: u16) {
        if let Some(tx) = queue(self, function, id) {
            tx.listed = false;
        }
        self.list_tx(function, id);
    }

    /// Takes a queue that is gone off all lists.
    pub(super) fn unlist_tx(&mut self, function: FunctionId, id: u16) {
        self.tx_ready.retain(|entry| *entry != (function, id));
        if let Some(vf) = function.vf_index() {
            self.shaper.forget_queue(vf, id);
        }
    }

    /// Gives turns to the queues that have work, within bounds.
    pub(super) fn run_tx(&mut self, host: &mut dyn Host) {
        let mut frames = 0;
        while frames < POLL_FRAMES {
            let listed = self.tx_ready.pop_front();
            if let Some((function, id)) = listed {
                frames += 1;
                if self.is_shaped(function) {
                    self.enter_shaper(host, function, id);
                } else {
                    self.give_turn(host, function, id, Way::Plain, &mut frames);
                }
            }
            if !self.run_shaped(host, &mut frames) && listed.is_none() {
                return;
            }
        }
        self.shape_later();
    }

    /// Gives a queue its turn.
    pub(super) fn give_turn(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        id: u16,
        way: Way,
        frames: &mut u32,
    ) {
        let works = self
            .functions
            .get(function.index())
            .is_some_and(|f| f.works());
        let Some(tx) = queue(self, function, id) else {
            return;
        };
        tx.listed = false;
        if !works || tx.stopped {
            return;
        }
        match self.turn(host, function, id, way, frames) {
            Ok(Turn::Idle) => {}
            Ok(Turn::More) => self.list_tx(function, id),
            Err(error) => self.stop_tx(host, function, id, error),
        }
    }

    /// Takes packets from a queue.
    fn turn(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        id: u16,
        way: Way,
        frames: &mut u32,
    ) -> Result<Turn, QueueError> {
        let mut descriptors = std::mem::take(&mut self.scratch.descriptors);
        let mut packet = std::mem::take(&mut self.scratch.packet);
        let mut frame = std::mem::take(&mut self.scratch.frame);
        let result = match self.go_on(host, function, id, &mut frame, way, frames) {
            Err(error) => Err(error),
            Ok(false) => Ok(Turn::More),
            Ok(true) => self
                .read_descriptors(host, function, id, &mut descriptors)
                .and_then(|()| {
                    let descriptors = descriptors.as_slice();
                    self.packets(
                        host,
                        function,
                        id,
                        descriptors,
                        &mut packet,
                        &mut frame,
                        way,
                        frames,
                    )
                }),
        };
        self.scratch.descriptors = descriptors;
        self.scratch.packet = packet;
        self.scratch.frame = frame;
        result
    }

    pub(super) fn read_descriptors(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        id: u16,
        descriptors: &mut Vec<[u64; 2]>,
    ) -> Result<(), QueueError> {
        descriptors.clear();
        let mut bytes = [0; TURN_DESCRIPTORS as usize * DESCRIPTOR];
        let Some(tx) = queue(self, function, id) else {
            return Ok(());
        };
        let mut index = tx.ring.consumer();
        let mut left = tx.ring.pending().min(TURN_DESCRIPTORS);
        while left != 0 {
            let (address, until_wrap) = tx.ring.place(index);
            let count = left.min(until_wrap);
            let bytes = &mut bytes[..usize::from(count) * DESCRIPTOR];
            host.dma_read(function.bus(), address, bytes)
                .map_err(|_| QueueError::DMA)?;
            descriptors.extend(bytes.chunks_exact(DESCRIPTOR).map(super::words::<2>));
            index = index.wrapping_add(count);
            left -= count;
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // the scratch buffers are taken out of self by the caller
    fn packets(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        id: u16,
        descriptors: &[[u64; 2]],
        packet: &mut TxPacket,
        frame: &mut Frame,
        way: Way,
        frames: &mut u32,
    ) -> Result<Turn, QueueError> {
        let mut rest = descriptors;
        // A driver that waits for room gets enough at once.
        let most = match way {
            Way::Dropped => u32::from(TURN_DESCRIPTORS),
            _ => TURN_FRAMES,
        };
        let turn_end = frames.saturating_add(most);
        while !rest.is_empty() {
            if *frames >= turn_end {
                return Ok(Turn::More);
            }
            if !packet.take(rest)? {
                // Its end was not read yet, or it was not announced.
                let pending = queue(self, function, id).map_or(0, |tx| tx.ring.pending());
                let unread = usize::from(pending) > rest.len();
                return Ok(if unread { Turn::More } else { Turn::Idle });
            }
            let Some(vport) = queue(self, function, id).map(|tx| tx.vport) else {
                return Ok(Turn::Idle);
            };
            if way == Way::Shaped && !self.shaper.goes_on(self.now) {
                return Ok(Turn::More);
            }
            rest = rest
                .get(usize::from(packet.descriptors)..)
                .unwrap_or_default();
            let (sent, segments) = match way {
                Way::Dropped => (self.drop_late(vport, packet), None),
                _ => self.send(host, vport, packet, frame)?,
            };
            self.spend(function, id, way, sent, frames);
            if let Some(segments) = segments {
                let packet = packet.clone();
                if let Some(tx) = queue(self, function, id) {
                    tx.cut = Some(Box::new(Cut {
                        packet,
                        segments,
                        sent,
                    }));
                }
                return Ok(Turn::More);
            }
            self.taken(host, function, id, packet, sent)?;
        }
        Ok(Turn::More)
    }

    /// Moves the consumer on, and tells so where that is asked for.
    pub(super) fn taken(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        id: u16,
        packet: &TxPacket,
        sent: Sent,
    ) -> Result<(), QueueError> {
        let now = self.now;
        let Some(state) = self.functions.get_mut(function.index()) else {
            return Ok(());
        };
        let Some(tx) = state.tx.get_mut(usize::from(id)).and_then(Option::as_mut) else {
            return Ok(());
        };
        tx.ring.take(packet.descriptors);
        tx.stats.descriptors += u64::from(packet.descriptors);
        tx.stats.drops += u64::from(sent.frames == 0);
        tx.errors = tx.errors.saturating_add(u16::from(sent.refused));
        if !packet.report && !sent.stamped {
            return Ok(());
        }
        let Some(cq) = state
            .cqs
            .get_mut(usize::from(tx.cq))
            .and_then(Option::as_mut)
        else {
            return Ok(());
        };
        let entry = TxCompletion {
            head: tx.ring.consumer(),
            errors: std::mem::take(&mut tx.errors),
            queue: id,
            flags: if sent.stamped {
                completion_flags::TIMESTAMP
            } else {
                0
            },
            timestamp: sent.stamp,
        };
        let mut words = entry.to_words();
        for _ in 0..self.chaos.transmit_entries(&mut words) {
            cq.put(host, function, &mut words.clone(), now)
                .map_err(|_| QueueError::DMA)?;
        }
        let vector = cq.vector;
        self.list_vector(function, vector);
        Ok(())
    }

    /// Stops a transmit queue after an error.
    pub(super) fn stop_tx(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        id: u16,
        error: QueueError,
    ) {
        let Some(tx) = queue(self, function, id) else {
            return;
        };
        tx.stopped = true;
        tx.cut = None;
        tx.stats.drops += 1;
        let vport = tx.vport;
        if error == QueueError::DESCRIPTOR {
            self.count(vport, |stats| stats.tx_bad += 1);
        }
        log::warn!(
            "{}: transmit queue {id} stopped: {}",
            function.bus(),
            error.text()
        );
        self.note(host, function, 2, queue_reason(error));
        self.tell(
            host,
            function,
            Notice::new(EventKind::TX_ERROR, id, error.0),
        );
    }
}

/// What the health block calls the reason of a stopped queue.
pub(super) fn queue_reason(error: QueueError) -> Reason {
    match error {
        QueueError::DMA => Reason::DMA,
        QueueError::INDEX => Reason::DOORBELL,
        _ => Reason::NONE,
    }
}
