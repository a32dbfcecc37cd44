// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Transmitting: from descriptors of a queue to frames in the VEB.
//!
//! Functions of [`Nic`], which owns all that is touched. Queues with work take turns of bounded length, so that none can
//! keep the others waiting; a vport over its rate leaves its packets in the rings.

use super::Nic;
use super::chaos::Fault;
use super::event::Notice;
use super::frame::{BROADCAST, CTAG, Frame, STAG, Tag, is_group};
use super::ids::{EswitchPort, FunctionId, VportId};
use super::limits;
use super::segment::{Segments, insert_checksum};
use super::timers::Timer;
use super::tx::{DESCRIPTOR, TxPacket, TxQueue};
use super::veb::Source;
use crate::host::Host;
use oxnic_abi::caps::privilege;
use oxnic_abi::event::{EventKind, QueueError};
use oxnic_abi::regs::Reason;
use oxnic_abi::ring::{TxCompletion, tx_flags};
use oxnic_abi::stats::VportStats;
use oxnic_abi::vport::vport_flags;

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
    /// The vport may not send before this time.
    Wait(u64),
}

/// Why a packet was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Bad,
    TooLong,
    Disabled,
    Spoofed,
    Vlan,
}

impl Refusal {
    fn counter(self, stats: &mut VportStats) -> &mut u64 {
        match self {
            Refusal::Bad => &mut stats.tx_bad,
            Refusal::TooLong => &mut stats.tx_too_long,
            Refusal::Disabled => &mut stats.tx_disabled,
            Refusal::Spoofed => &mut stats.tx_spoofed,
            Refusal::Vlan => &mut stats.tx_vlan,
        }
    }
}

/// What a packet became.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    frames: u64,
    bytes: u64,
    /// It was dropped.
    refused: bool,
}

/// The queue of a function, if there is one.
fn queue(nic: &mut Nic, function: FunctionId, id: u16) -> Option<&mut TxQueue> {
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
            Some(tx) if !tx.listed && !tx.stopped && tx.pending() != 0 => tx.listed = true,
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

    /// Gives turns to the queues that have work, within bounds.
    pub(super) fn run_tx(&mut self, host: &mut dyn Host) {
        let mut frames = 0;
        while frames < POLL_FRAMES {
            let Some((function, id)) = self.tx_ready.pop_front() else {
                return;
            };
            let works = self
                .functions
                .get(function.index())
                .is_some_and(|f| f.works());
            let Some(tx) = queue(self, function, id) else {
                continue;
            };
            tx.listed = false;
            if !works || tx.stopped {
                continue;
            }
            let vport = tx.vport;
            let turn = self.turn(host, function, id, &mut frames);
            match turn {
                Ok(Turn::Idle) => {}
                Ok(Turn::More) => self.list_tx(function, id),
                Ok(Turn::Wait(at)) => self.timers.set(Timer::Rate(vport), at),
                Err(error) => self.stop_tx(host, function, id, error),
            }
            frames += 1;
        }
    }

    /// Takes packets from a queue.
    fn turn(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        id: u16,
        frames: &mut u32,
    ) -> Result<Turn, QueueError> {
        let mut descriptors = std::mem::take(&mut self.scratch.descriptors);
        let mut packet = std::mem::take(&mut self.scratch.packet);
        let mut frame = std::mem::take(&mut self.scratch.frame);
        let result = self
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
                    frames,
                )
            });
        self.scratch.descriptors = descriptors;
        self.scratch.packet = packet;
        self.scratch.frame = frame;
        result
    }

    fn read_descriptors(
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
        let mut index = tx.consumer;
        let mut left = tx.pending().min(TURN_DESCRIPTORS);
        while left != 0 {
            let (address, until_wrap) = tx.place(index);
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
        frames: &mut u32,
    ) -> Result<Turn, QueueError> {
        let mut rest = descriptors;
        let turn_end = frames.saturating_add(TURN_FRAMES);
        while !rest.is_empty() {
            if *frames >= turn_end {
                return Ok(Turn::More);
            }
            if !packet.take(rest)? {
                // Its end was not read yet, or it was not announced.
                let pending = queue(self, function, id).map_or(0, |tx| tx.pending());
                let unread = usize::from(pending) > rest.len();
                return Ok(if unread { Turn::More } else { Turn::Idle });
            }
            let Some(vport) = queue(self, function, id).map(|tx| tx.vport) else {
                return Ok(Turn::Idle);
            };
            if let Err(at) = self.rate_ready(function) {
                return Ok(Turn::Wait(at));
            }
            rest = rest
                .get(usize::from(packet.descriptors)..)
                .unwrap_or_default();
            let sent = self.send(host, vport, packet, frame)?;
            *frames = frames.saturating_add(sent.frames as u32 + 1);
            self.rate_pay(function, sent.bytes);
            self.taken(host, function, id, packet, sent)?;
        }
        Ok(Turn::More)
    }

    fn rate_ready(&mut self, function: FunctionId) -> Result<(), u64> {
        let now = self.now;
        let vf = function
            .vf_index()
            .and_then(|vf| self.vfs.get_mut(usize::from(vf)));
        vf.map_or(Ok(()), |vf| vf.bucket.ready(now))
    }

    fn rate_pay(&mut self, function: FunctionId, bytes: u64) {
        let vf = function
            .vf_index()
            .and_then(|vf| self.vfs.get_mut(usize::from(vf)));
        if let Some(vf) = vf {
            vf.bucket.pay(bytes as usize);
        }
    }

    /// Moves the consumer on, and tells so where that is asked for.
    fn taken(
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
        tx.consumer = tx.consumer.wrapping_add(packet.descriptors);
        tx.stats.descriptors += u64::from(packet.descriptors);
        tx.stats.frames += sent.frames;
        tx.stats.bytes += sent.bytes;
        tx.stats.drops += u64::from(sent.frames == 0);
        tx.errors = tx.errors.saturating_add(u16::from(sent.refused));
        if !packet.report {
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
            head: tx.consumer,
            errors: std::mem::take(&mut tx.errors),
            queue: id,
            flags: 0,
            timestamp: 0,
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

    /// Sends a packet; one that cannot be sent is counted.
    ///
    /// # Errors
    /// Its memory cannot be read.
    fn send(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        packet: &TxPacket,
        frame: &mut Frame,
    ) -> Result<Sent, QueueError> {
        let mut sent = Sent::default();
        let refusal = match self.admit(id, packet) {
            Err(refusal) => Some(refusal),
            Ok(()) => {
                if let Err(error) = self.gather(host, id, packet, frame) {
                    self.count(id, |stats| stats.tx_bad += 1);
                    return Err(error);
                }
                self.offload(host, id, packet, frame, &mut sent).err()
            }
        };
        if let Some(refusal) = refusal {
            self.count(id, |stats| *refusal.counter(stats) += 1);
            sent.refused = true;
        }
        Ok(sent)
    }

    pub(super) fn count(&mut self, id: VportId, add: impl FnOnce(&mut VportStats)) {
        if let Some(vport) = self.vports.get_mut(id.index()) {
            add(&mut vport.stats);
        }
    }

    /// Whether a packet may be read at all.
    fn admit(&mut self, id: VportId, packet: &TxPacket) -> Result<(), Refusal> {
        let (link, _) = self.vport_link(id);
        let vport = self.vports.get(id.index()).ok_or(Refusal::Disabled)?;
        if !vport.has(vport_flags::ENABLED) || !(link || vport.has(vport_flags::LOOPBACK)) {
            return Err(Refusal::Disabled);
        }
        let longest = match packet.is_segmented() {
            true => limits::TSO_MAX as usize,
            false => usize::from(limits::FRAME_MAX) + limits::TAGS,
        };
        if packet.length > longest {
            return Err(Refusal::TooLong);
        }
        if packet.length < usize::from(limits::FRAME_MIN) {
            return Err(Refusal::Bad);
        }
        Ok(())
    }

    /// Reads a packet's memory into a frame.
    fn gather(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        packet: &TxPacket,
        frame: &mut Frame,
    ) -> Result<(), QueueError> {
        if self.chaos.hit(Fault::FailDma) {
            return Err(QueueError::DMA);
        }
        let function = self
            .vports
            .get(id.index())
            .map_or(FunctionId::PF, |v| v.function)
            .bus();
        let mut rest = frame.prepare(packet.length);
        for piece in &packet.pieces {
            let (part, after) = rest
                .split_at_mut_checked(usize::from(piece.length))
                .ok_or(QueueError::DESCRIPTOR)?;
            host.dma_read(function, piece.address, part)
                .map_err(|_| QueueError::DMA)?;
            rest = after;
        }
        Ok(())
    }

    /// Does what the descriptors ask for and sends what comes out.
    fn offload(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        packet: &TxPacket,
        frame: &mut Frame,
        sent: &mut Sent,
    ) -> Result<(), Refusal> {
        let has = |flag| packet.first.flags & flag != 0;
        let tag = has(tx_flags::VLAN).then(|| Tag {
            tpid: if has(tx_flags::VLAN_STAG) { STAG } else { CTAG },
            tci: packet.first.vlan,
        });
        let destination = self.destination(id, packet)?;
        if !packet.is_segmented() {
            check_length(frame.len(), frame.tags())?;
            if has(tx_flags::CSUM) {
                let start = usize::from(packet.first.csum_start) * 2;
                let offset = usize::from(packet.first.csum_offset) * 2;
                insert_checksum(frame, start, offset).map_err(|_| Refusal::Bad)?;
            }
            self.emit(host, id, frame, tag, destination, sent)?;
            self.count(id, |stats| stats.tx_csum += u64::from(has(tx_flags::CSUM)));
            return Ok(());
        }
        let mut segments = Segments::new(&packet.context, frame).map_err(|_| Refusal::Bad)?;
        check_length(segments.longest(), frame.tags())?;
        let mut refusal = Ok(());
        while segments.next(frame) {
            refusal = refusal.and(self.emit(host, id, frame, tag, destination, sent));
        }
        let frames = sent.frames;
        if sent.frames != 0 {
            self.count(id, |stats| {
                stats.tx_csum += frames;
                stats.tx_segmented += 1;
                stats.tx_segmented_bytes += packet.length as u64;
            });
        }
        refusal
    }

    /// Where a context sends a packet past all rules.
    fn destination(&self, id: VportId, packet: &TxPacket) -> Result<Option<EswitchPort>, Refusal> {
        if packet.context.flags & tx_flags::DESTINATION == 0 {
            return Ok(None);
        }
        let function = self.vports.get(id.index()).ok_or(Refusal::Bad)?.function;
        if self.privileges(function) & privilege::ESWITCH == 0 {
            return Err(Refusal::Bad);
        }
        self.eswitch_port(packet.context.destination)
            .map(Some)
            .ok_or(Refusal::Bad)
    }

    /// Sends one frame: tag, checks, VEB.
    fn emit(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        frame: &mut Frame,
        tag: Option<Tag>,
        destination: Option<EswitchPort>,
        sent: &mut Sent,
    ) -> Result<(), Refusal> {
        if tag.is_some_and(|tag| !frame.insert_tag(tag)) {
            return Err(Refusal::Bad);
        }
        self.check_sender(id, frame)?;
        let length = frame.len() as u64;
        let target = frame.destination();
        self.count(id, |stats| {
            match (is_group(&target), target == BROADCAST) {
                (_, true) => stats.tx_broadcast += 1,
                (true, _) => stats.tx_multicast += 1,
                _ => stats.tx_unicast += 1,
            }
            stats.tx_bytes += length;
        });
        sent.frames += 1;
        sent.bytes += length;
        let Some(vport) = self.vports.get(id.index()) else {
            return Ok(());
        };
        let (port, number) = (vport.port, vport.eswitch_port);
        if vport.has(vport_flags::LOOPBACK) {
            self.direct(host, EswitchPort::Vport(id), number, frame);
            return Ok(());
        }
        if self
            .transparent_tag(id)
            .is_some_and(|tag| !frame.insert_tag(tag))
        {
            return Err(Refusal::Bad);
        }
        match destination {
            Some(destination) => self.direct(host, destination, number, frame),
            None => {
                self.bridge(host, Source::Vport(id), port, frame);
            }
        }
        Ok(())
    }

    /// Whether a VF may send this frame: its source address, and its tag where the PF laid one on it.
    fn check_sender(&self, id: VportId, frame: &Frame) -> Result<(), Refusal> {
        let vport = self.vports.get(id.index()).ok_or(Refusal::Disabled)?;
        let Some(vf) = vport
            .function
            .vf_index()
            .and_then(|vf| self.vfs.get(usize::from(vf)))
        else {
            return Ok(());
        };
        if !vf.spoof_check {
            return Ok(());
        }
        if !vport.owns(&frame.source()) {
            return Err(Refusal::Spoofed);
        }
        // Below an S-tag the VF may have C-tags of its own, below a C-tag none.
        match (vf.tag, frame.tag()) {
            (Some(laid), Some(own)) if own.tpid == laid.tpid || own.tpid == STAG => {
                Err(Refusal::Vlan)
            }
            _ => Ok(()),
        }
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

fn check_length(length: usize, tags: usize) -> Result<(), Refusal> {
    if length - 4 * tags > usize::from(limits::FRAME_MAX) {
        return Err(Refusal::TooLong);
    }
    Ok(())
}
