// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The way of one packet from its descriptors into the VEB: read, checked, offloaded, tagged, counted.
//!
//! Functions of [`Nic`], which owns all that is touched. The order of work is that of the interface's specification.

use super::Nic;
use super::chaos::Fault;
use super::frame::{BROADCAST, Frame, STAG, Tag, is_group};
use super::ids::{EswitchPort, FunctionId, VportId};
use super::limits;
use super::segment::{Segments, insert_checksum};
use super::tx::TxPacket;
use super::veb::Source;
use crate::host::Host;
use oxnic_abi::caps::privilege;
use oxnic_abi::event::QueueError;
use oxnic_abi::ring::tx_flags;
use oxnic_abi::stats::VportStats;
use oxnic_abi::vport::vport_flags;

/// Why a packet was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Bad,
    TooLong,
    Disabled,
    Spoofed,
    Vlan,
    Inactive,
}

impl Refusal {
    fn counter(self, stats: &mut VportStats) -> &mut u64 {
        match self {
            Refusal::Bad => &mut stats.tx_bad,
            Refusal::TooLong => &mut stats.tx_too_long,
            Refusal::Disabled => &mut stats.tx_disabled,
            Refusal::Spoofed => &mut stats.tx_spoofed,
            Refusal::Vlan => &mut stats.tx_vlan,
            Refusal::Inactive => &mut stats.tx_inactive,
        }
    }
}

/// What a packet became.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Frames.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// It was dropped.
    pub refused: bool,
    /// It is to be told when it leaves.
    pub stamped: bool,
    /// When the last frame left, with `stamped`; 0: none did.
    pub stamp: u64,
}

impl Nic {
    /// Sends a packet; one that cannot be sent is counted. Where it is to be cut into more segments than a turn has room for,
    /// those that are left are returned.
    ///
    /// # Errors
    /// Its memory cannot be read.
    pub(super) fn send(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        packet: &TxPacket,
        frame: &mut Frame,
    ) -> Result<(Sent, Option<Segments>), QueueError> {
        let mut sent = Sent {
            stamped: packet.is_stamped(),
            ..Sent::default()
        };
        let mut result = match self.admit(id, packet) {
            Err(refusal) => Err(refusal),
            Ok(()) => {
                self.gather(host, id, packet, frame)?;
                self.offload(host, id, packet, frame, &mut sent)
            }
        };
        let rest = result.as_mut().ok().and_then(Option::take);
        self.count_refused(id, result.map(|_| ()), &mut sent);
        Ok((sent, rest.filter(|rest| !rest.is_done())))
    }

    /// Counts a packet that is dropped.
    pub(super) fn count_refused(
        &mut self,
        id: VportId,
        result: Result<(), Refusal>,
        sent: &mut Sent,
    ) {
        if let Err(refusal) = result {
            self.count(id, |stats| *refusal.counter(stats) += 1);
            sent.refused = true;
        }
    }

    pub(super) fn count(&mut self, id: VportId, add: impl FnOnce(&mut VportStats)) {
        if let Some(vport) = self.vports.get_mut(id.index()) {
            add(&mut vport.stats);
        }
    }

    /// Whether a vport sends anything.
    pub(super) fn may_send(&self, id: VportId) -> Result<(), Refusal> {
        let (link, _) = self.vport_link(id);
        let vport = self.vports.get(id.index()).ok_or(Refusal::Disabled)?;
        if !vport.has(vport_flags::ENABLED) || !(link || vport.has(vport_flags::LOOPBACK)) {
            return Err(Refusal::Disabled);
        }
        Ok(())
    }

    /// Whether a packet may be read at all.
    fn admit(&self, id: VportId, packet: &TxPacket) -> Result<(), Refusal> {
        self.may_send(id)?;
        let longest = match packet.is_segmented() {
            true => limits::TSO_MAX as usize,
            false => limits::FRAME_LONGEST,
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
            self.count(id, |stats| stats.tx_bad += 1);
            return Err(QueueError::DMA);
        }
        self.read_packet(host, id, packet, 0, frame.prepare(packet.length))
    }

    /// Reads a stretch of a packet's memory, from a byte of the packet on; counts the packet if it cannot.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read_packet(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        packet: &TxPacket,
        from: usize,
        into: &mut [u8],
    ) -> Result<(), QueueError> {
        let function = self
            .vports
            .get(id.index())
            .map_or(FunctionId::PF, |v| v.function)
            .bus();
        let read = packet
            .stretch(from, into.len())
            .try_fold(into, |rest, piece| {
                let (part, after) = rest.split_at_mut_checked(usize::from(piece.length))?;
                host.dma_read(function, piece.address, part).ok()?;
                Some(after)
            });
        if read.is_none() {
            self.count(id, |stats| stats.tx_bad += 1);
        }
        read.map(|_| ()).ok_or(QueueError::DMA)
    }

    /// Does what the descriptors ask for and sends what comes out, the first of its segments where it is to be cut.
    fn offload(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        packet: &TxPacket,
        frame: &mut Frame,
        sent: &mut Sent,
    ) -> Result<Option<Segments>, Refusal> {
        let destination = self.destination(id, packet)?;
        if packet.is_segmented() {
            let mut segments = Segments::new(&packet.context, frame).map_err(|_| Refusal::Bad)?;
            check_length(segments.longest(), frame.tags())?;
            self.send_segments(host, id, packet, &mut segments, frame, sent)?;
            return Ok(Some(segments));
        }
        let summed = packet.first.flags & tx_flags::CSUM != 0;
        check_length(frame.len(), frame.tags())?;
        if summed {
            let start = usize::from(packet.first.csum_start) * 2;
            let offset = usize::from(packet.first.csum_offset) * 2;
            insert_checksum(frame, start, offset).map_err(|_| Refusal::Bad)?;
        }
        self.emit(host, id, frame, packet.tag(), destination, sent)?;
        self.count(id, |stats| stats.tx_csum += u64::from(summed));
        Ok(None)
    }

    /// Where a context sends a packet past all rules.
    pub(super) fn destination(
        &self,
        id: VportId,
        packet: &TxPacket,
    ) -> Result<Option<EswitchPort>, Refusal> {
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
    pub(super) fn emit(
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
        if !self.is_switchdev() {
            self.check_sender(id, frame)?;
        }
        let looped = self
            .vports
            .get(id.index())
            .is_some_and(|vport| vport.has(vport_flags::LOOPBACK));
        if self.is_inactive() && destination.is_none() && !looped {
            return Err(Refusal::Inactive);
        }
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
        let (port, number, function) = (vport.port, vport.eswitch_port, vport.function);
        if looped {
            self.stamp(host, sent);
            self.loop_back(host, id, number, frame);
            return Ok(());
        }
        let transparent = self.transparent_tag(id).filter(|_| !self.is_switchdev());
        if transparent.is_some_and(|tag| !frame.insert_tag(tag)) {
            return Err(Refusal::Bad);
        }
        self.stamp(host, sent);
        match destination {
            Some(destination) => self.direct(host, destination, number, frame),
            None if self.is_switchdev() => {
                // What the PF sends, its own software has taken through the rules.
                let seen = !function.is_pf() && self.through_tables(host, number, None, frame);
                if !seen {
                    self.miss_from_vport(host, id, frame);
                }
            }
            None => {
                self.bridge(host, Source::Vport(id), port, frame);
            }
        }
        Ok(())
    }

    /// A frame leaves now.
    fn stamp(&self, host: &dyn Host, sent: &mut Sent) {
        if sent.stamped {
            sent.stamp = self.clock.stamp(host.now());
        }
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
}

fn check_length(length: usize, tags: usize) -> Result<(), Refusal> {
    if length - 4 * tags > usize::from(limits::FRAME_MAX) {
        return Err(Refusal::TooLong);
    }
    Ok(())
}
