// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Receiving: from a frame at a vport to buffers and completions of one of its queues.
//!
//! Functions of [`Nic`], which owns all that is touched. Whatever is not delivered is counted by reason.

use super::Nic;
use super::checksum::Sum;
use super::event::Notice;
use super::flow::Up;
use super::frame::{BROADCAST, Frame, STAG, Tag};
use super::ids::VportId;
use super::limits;
use super::packet::{Checks, Packet, SCTP, TCP, UDP};
use super::ptp;
use super::rss::Hash;
use super::transmit::queue_reason;
use super::vport::Vport;
use crate::host::Host;
use oxnic_abi::clock::StampFilter;
use oxnic_abi::event::{EventKind, QueueError};
use oxnic_abi::ring::{RxCompletion, completion_flags, rx_kind};
use oxnic_abi::steering::SteeringAction;
use oxnic_abi::vport::vport_flags;

/// What is known of a frame, found once for all its receivers.
pub struct Arrival {
    source_port: u16,
    group: bool,
    packet: Packet,
    checks: Option<Checks>,
    /// When it came in, as the host's clock has it; taken when the first receiver wants to know if not known before.
    pub at: Option<u64>,
    /// What the flow engine says of it.
    note: Up,
    /// It comes back to its sender.
    looped: bool,
}

impl Arrival {
    /// Looks at a frame, which came in at some time of the host if it came from the wire.
    pub fn new(frame: &Frame, source_port: u16, group: bool, at: Option<u64>) -> Self {
        Self {
            source_port,
            group,
            packet: Packet::parse(frame),
            checks: None,
            at,
            note: Up::Plain,
            looped: false,
        }
    }

    /// The same of the frame out of which the outermost tag was taken, if there were too many to see what is behind them.
    pub fn below_tag(&self, frame: &Frame) -> Option<Self> {
        (frame.tags() == 2).then(|| Self {
            packet: Packet::parse(frame),
            checks: None,
            ..*self
        })
    }

    /// The same with what the flow engine says of it.
    #[must_use]
    pub fn with_note(self, note: Up) -> Self {
        Self { note, ..self }
    }

    /// The same of a frame that comes back to its sender.
    #[must_use]
    pub fn come_back(self) -> Self {
        Self {
            looped: true,
            ..self
        }
    }

    fn checks(&mut self, frame: &Frame) -> Checks {
        *self.checks.get_or_insert_with(|| self.packet.check(frame))
    }

    fn kind(&self) -> u16 {
        let mut kind = 0;
        if let Some(network) = &self.packet.network {
            kind |= if network.version == 4 {
                rx_kind::IPV4
            } else {
                rx_kind::IPV6
            };
            if network.fragment {
                kind |= rx_kind::FRAGMENT;
            }
        }
        kind | match self.packet.transport.map(|transport| transport.protocol) {
            Some(TCP) => rx_kind::TCP,
            Some(UDP) => rx_kind::UDP,
            Some(SCTP) => rx_kind::SCTP,
            _ => 0,
        }
    }
}

/// Where a frame goes within a vport.
enum Choice {
    Queue(u16, Hash),
    Dropped,
    Nowhere,
}

/// Steering, then hashing.
fn choose(vport: &Vport, frame: &Frame, packet: &Packet) -> Choice {
    let mut context = 0;
    let mut added = 0;
    let mut queue = None;
    if let Some(rule) = vport.rules.find(frame, packet) {
        match rule.action {
            SteeringAction::QUEUE => queue = Some(rule.queue),
            SteeringAction::CONTEXT => (context, added) = (rule.context, rule.queue),
            _ => return Choice::Dropped,
        }
    }
    let context = vport
        .contexts
        .get(usize::from(context))
        .and_then(Option::as_ref);
    let hash = context.map_or(Hash::default(), |context| {
        context.hash(packet, frame.buffer())
    });
    let queue = queue.or_else(|| match context {
        Some(context) => context.queue(hash.value).checked_add(added),
        None => vport.first_queue(),
    });
    match queue.filter(|queue| vport.rx_queues.contains(queue)) {
        Some(queue) => Choice::Queue(queue, hash),
        None => Choice::Nowhere,
    }
}

impl Nic {
    /// Delivers a frame to a vport. The frame is the same afterwards.
    pub(super) fn deliver(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        frame: &mut Frame,
        arrival: &mut Arrival,
    ) {
        let (link, _) = self.vport_link(id);
        let Some(vport) = self.vports.get_mut(id.index()) else {
            return;
        };
        let works = self
            .functions
            .get(vport.function.index())
            .is_some_and(|f| f.works());
        if !works || !(link || arrival.looped) || !vport.has(vport_flags::ENABLED) {
            vport.stats.rx_disabled += 1;
            return;
        }
        let length = frame.len() - 4 * frame.tags();
        let all = vport.has(vport_flags::RX_ALL) && frame.len() <= limits::FRAME_LONGEST;
        if length > usize::from(vport.frame_max) && !all {
            vport.stats.rx_too_long += 1;
            return;
        }
        let (queue, hash) = match choose(vport, frame, &arrival.packet) {
            Choice::Queue(queue, hash) => (queue, hash),
            Choice::Dropped => {
                vport.stats.rx_steering += 1;
                return;
            }
            Choice::Nowhere => {
                vport.stats.rx_disabled += 1;
                return;
            }
        };
        let stamped = match vport.stamps {
            StampFilter::NONE => false,
            StampFilter::PTP => ptp::is_event(frame, &arrival.packet),
            _ => true,
        };
        let visible = frame.len();
        let tag = frame.tag().filter(|tag| {
            vport.has(if tag.tpid == STAG {
                vport_flags::STAG_STRIP
            } else {
                vport_flags::VLAN_STRIP
            })
        });
        if tag.is_some() {
            let _ = frame.remove_tag();
        }
        let mut entry = completion(vport, frame, arrival, hash, tag);
        entry.queue = queue;
        if stamped {
            entry.timestamp = self
                .clock
                .stamp(*arrival.at.get_or_insert_with(|| host.now()));
            entry.flags |= completion_flags::TIMESTAMP;
        }
        if self.fill(host, id, queue, frame, visible, entry) {
            self.count_delivered(id, &frame.destination(), visible, arrival, frame);
        }
        if let Some(tag) = tag {
            let restored = frame.insert_tag(tag);
            debug_assert!(restored);
        }
    }

    fn count_delivered(
        &mut self,
        id: VportId,
        destination: &[u8; 6],
        length: usize,
        arrival: &mut Arrival,
        frame: &Frame,
    ) {
        let Some(vport) = self.vports.get_mut(id.index()) else {
            return;
        };
        let stats = &mut vport.stats;
        match (arrival.group, *destination == BROADCAST) {
            (_, true) => stats.rx_broadcast += 1,
            (true, _) => stats.rx_multicast += 1,
            _ => stats.rx_unicast += 1,
        }
        stats.rx_bytes += length as u64;
        if vport.has(vport_flags::RX_CSUM) && arrival.checks(frame).bad {
            vport.stats.rx_csum_bad += 1;
        }
    }

    /// Writes a frame, which has `visible` bytes with its tags, into buffers of a queue and tells so. False if it was dropped.
    fn fill(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        queue: u16,
        frame: &Frame,
        visible: usize,
        entry: RxCompletion,
    ) -> bool {
        match self.try_fill(host, id, queue, frame, visible, entry) {
            Ok(filled) => filled,
            Err(error) => {
                self.stop_rx(host, id, queue, error);
                false
            }
        }
    }

    fn try_fill(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        queue: u16,
        frame: &Frame,
        visible: usize,
        entry: RxCompletion,
    ) -> Result<bool, QueueError> {
        let now = self.now;
        let (Some(vport), false) = (self.vports.get_mut(id.index()), frame.is_empty()) else {
            return Ok(false);
        };
        let function = vport.function;
        let Some(state) = self.functions.get_mut(function.index()) else {
            return Ok(false);
        };
        let Some(rx) = state
            .rx
            .get_mut(usize::from(queue))
            .and_then(Option::as_mut)
        else {
            return Ok(false);
        };
        let Some(cq) = state
            .cqs
            .get_mut(usize::from(rx.cq))
            .and_then(Option::as_mut)
        else {
            return Ok(false);
        };
        let bytes = frame.bytes();
        let buffer_length = usize::from(rx.buffer_length).max(1);
        let needed = bytes.len().div_ceil(buffer_length);
        if usize::from(rx.ring.pending()) < needed || rx.stopped {
            vport.stats.rx_no_buffer += 1;
            rx.stats.drops += 1;
            return Ok(false);
        }
        let mut filled = std::mem::take(&mut self.scratch.filled);
        filled.clear();
        for chunk in bytes.chunks(buffer_length) {
            let descriptor = rx.take(host, function)?;
            host.dma_write(function.bus(), descriptor.address, chunk)
                .map_err(|_| QueueError::DMA)?;
            filled.push((descriptor.buffer, chunk.len() as u16));
        }
        for (at, (buffer, length)) in filled.iter().enumerate() {
            let last = at + 1 == filled.len();
            let mut words = one_of(&entry, *buffer, *length, last).to_words();
            for _ in 0..self.chaos.receive_entries(&mut words) {
                cq.put(host, function, &mut words.clone(), now)
                    .map_err(|_| QueueError::DMA)?;
            }
        }
        rx.stats.frames += 1;
        rx.stats.bytes += visible as u64;
        let vector = cq.vector;
        self.scratch.filled = filled;
        self.list_vector(function, vector);
        Ok(true)
    }

    /// Stops a receive queue after an error.
    pub(super) fn stop_rx(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        queue: u16,
        error: QueueError,
    ) {
        let Some(vport) = self.vports.get_mut(id.index()) else {
            return;
        };
        let function = vport.function;
        match error {
            QueueError::DMA => vport.stats.rx_dma += 1,
            QueueError::DESCRIPTOR => vport.stats.rx_no_buffer += 1,
            _ => {} // a doorbell stopped it, and no frame is lost
        }
        if let Some(rx) = self
            .functions
            .get_mut(function.index())
            .and_then(|state| state.rx.get_mut(usize::from(queue)))
            .and_then(Option::as_mut)
        {
            rx.stopped = true;
            rx.stats.drops += u64::from(error != QueueError::INDEX);
        }
        log::warn!(
            "{}: receive queue {queue} stopped: {}",
            function.bus(),
            error.text()
        );
        self.note(host, function, 2, queue_reason(error));
        self.tell(
            host,
            function,
            Notice::new(EventKind::RX_ERROR, queue, error.0),
        );
    }
}

/// The completion of one of the buffers of a frame: only that of the last one says all.
fn one_of(entry: &RxCompletion, buffer: u16, length: u16, last: bool) -> RxCompletion {
    let common = if last {
        *entry
    } else {
        RxCompletion {
            queue: entry.queue,
            ..RxCompletion::ZERO
        }
    };
    RxCompletion {
        buffer,
        length,
        ..common
    }
}

/// What the completion says of a frame; buffer, length and queue are still to come.
fn completion(
    vport: &Vport,
    frame: &Frame,
    arrival: &mut Arrival,
    hash: Hash,
    tag: Option<Tag>,
) -> RxCompletion {
    let mut entry = RxCompletion {
        kind: arrival.kind(),
        flags: completion_flags::END,
        source_port: arrival.source_port,
        ..RxCompletion::ZERO
    };
    let mut set = |condition, flag| {
        if condition {
            entry.flags |= flag;
        }
    };
    set(arrival.group, completion_flags::MULTICAST);
    if let Some(tag) = tag {
        set(true, completion_flags::VLAN);
        set(tag.tpid == STAG, completion_flags::VLAN_STAG);
    }
    if vport.has(vport_flags::RX_CSUM) {
        let checks = arrival.checks(frame);
        set(checks.network, completion_flags::L3_OK);
        set(checks.transport, completion_flags::L4_OK);
        set(checks.bad, completion_flags::CSUM_BAD);
    }
    set(
        vport.has(vport_flags::RX_CSUM_RAW),
        completion_flags::CSUM_RAW,
    );
    entry.vlan = tag.map_or(0, |tag| tag.tci);
    if vport.has(vport_flags::RX_CSUM_RAW) {
        entry.csum = Sum::default()
            .and(frame.bytes().get(14..).unwrap_or_default())
            .fold();
    }
    if vport.has(vport_flags::RX_HASH) {
        entry.hash = hash.value;
        entry.kind |= hash.kind;
    }
    note(arrival.note, &mut entry);
    entry
}

/// What the flow engine says goes into the completion.
fn note(note: Up, entry: &mut RxCompletion) {
    let (flag, cookie) = match note {
        Up::Plain => return,
        Up::Rule(cookie) => (completion_flags::FLOW_RULE, cookie),
        Up::Miss(cookie) => (completion_flags::FLOW_MISS, cookie),
        Up::Mark(mark) => (completion_flags::FLOW_MARK, mark),
        Up::Sample(cookie, length) => {
            entry.csum = length;
            entry.flags &= !completion_flags::CSUM_RAW;
            (completion_flags::FLOW_SAMPLE, cookie)
        }
    };
    entry.flags |= flag;
    entry.cookie = cookie;
}
