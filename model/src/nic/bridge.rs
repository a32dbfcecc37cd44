// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Passing frames through a VEB: to vports, to the wire, and in from it.
//!
//! A frame in the VEB carries the tag that the PF laid on its sender, if any; it is taken out again for each receiver with
//! the same one. Functions of [`Nic`], which owns all that is touched.

use super::Nic;
use super::frame::{Frame, is_group};
use super::ids::{EswitchPort, VportId, wire_number};
use super::limits;
use super::port::WIRE_MIN;
use super::receive::Arrival;
use super::veb::Source;
use crate::host::Host;
use oxnic_abi::vport::vport_flags;

/// Bytes of an Ethernet header.
const ETHERNET_HEADER: usize = 14;

impl Nic {
    /// Takes a frame that came in on a wire port.
    pub(super) fn arrive(&mut self, host: &mut dyn Host, port: u8, bytes: &[u8]) {
        let active = !self.is_inactive();
        let Some(wire) = self.ports.get_mut(usize::from(port)) else {
            return;
        };
        if bytes.len() < ETHERNET_HEADER {
            wire.stats.rx_undersize += 1;
            if wire.enabled && active && !bytes.is_empty() {
                self.runt(host, port, bytes);
            }
            return;
        }
        if bytes.len() > limits::FRAME_LONGEST {
            wire.stats.rx_oversize += 1;
            return;
        }
        if wire.enabled && !wire.survives_noise() {
            return;
        }
        wire.count_received(bytes);
        if !wire.enabled {
            wire.stats.rx_filtered += 1;
            return;
        }
        let mut frame = std::mem::take(&mut self.scratch.frame);
        frame.copy_from(bytes);
        let wanted = match self.is_switchdev() {
            true => {
                self.through_tables(host, wire_number(port), Some(self.now), &frame)
                    || self.miss_from_wire(host, port, &mut frame)
            }
            false => self.bridge(host, Source::Wire, port, &mut frame),
        };
        if !wanted {
            if let Some(wire) = self.ports.get_mut(usize::from(port)) {
                wire.stats.rx_filtered += 1;
            }
        }
        self.scratch.frame = frame;
    }

    /// Delivers what is too short to have an address to those who want to see everything. It has no VLAN either, so nobody in a
    /// transparent one gets it.
    fn runt(&mut self, host: &mut dyn Host, port: u8, bytes: &[u8]) {
        let mut frame = std::mem::take(&mut self.scratch.frame);
        frame.copy_from(bytes);
        let mut arrival = Arrival::new(&frame, wire_number(port), false, Some(self.now));
        let only_pf = self.is_switchdev();
        for index in 0..self.vports.len() as u16 {
            let id = VportId(index);
            let vport = self.vport(id);
            let asks = vport.represents.is_none() && vport.has(vport_flags::RX_ALL);
            let member = self.transparent_tag(id).is_none();
            if vport.port == port && asks && (vport.function.is_pf() || member && !only_pf) {
                self.deliver(host, id, &mut frame, &mut arrival);
            }
        }
        self.scratch.frame = frame;
    }

    /// Brings a frame to whom it is for on a port. True if somebody wanted it.
    pub(super) fn bridge(
        &mut self,
        host: &mut dyn Host,
        source: Source,
        port: u8,
        frame: &mut Frame,
    ) -> bool {
        let address = frame.destination();
        let group = is_group(&address);
        let mut receivers = std::mem::take(&mut self.scratch.receivers);
        let named = self.receivers(source, port, &address, &mut receivers);
        let source_port = match source {
            Source::Wire => wire_number(port),
            Source::Vport(id) => self
                .vports
                .get(id.index())
                .map_or(0, |vport| vport.eswitch_port),
        };
        let at = (source == Source::Wire).then_some(self.now);
        let mut arrival = Arrival::new(frame, source_port, group, at);
        let mut found = false;
        let mut wanted = false;
        for (at, id) in receivers.iter().enumerate() {
            let taken = self.hand_to(host, *id, frame, &mut arrival);
            wanted |= taken;
            found |= taken && at < named;
        }
        receivers.clear();
        self.scratch.receivers = receivers;
        if source != Source::Wire && (group || !found) {
            self.depart(host, port, frame.bytes());
            wanted = true;
        }
        wanted
    }

    /// Who receives an address on a port; tells how many of them, from the front, the address names.
    fn receivers(
        &mut self,
        source: Source,
        port: u8,
        address: &[u8; 6],
        receivers: &mut Vec<VportId>,
    ) -> usize {
        let Some(veb) = self.vebs.get_mut(usize::from(port)) else {
            return 0;
        };
        if !veb.is_made() {
            let functions = &self.functions;
            let works = |index: usize| functions.get(index).is_some_and(|f| f.registers.accepted());
            veb.make(
                self.vports
                    .iter()
                    .filter(|vport| vport.port == port && vport.represents.is_none())
                    .filter(|vport| works(vport.function.index())),
            );
        }
        veb.select(source, address, receivers)
    }

    /// Hands a frame in the VEB to one receiver. False if its VLAN is not the receiver's.
    fn hand_to(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        frame: &mut Frame,
        arrival: &mut Arrival,
    ) -> bool {
        let transparent = self.transparent_tag(id);
        let tag = frame.tag();
        if let Some(own) = transparent {
            if !tag.is_some_and(|tag| tag.tpid == own.tpid && tag.vid() == own.vid()) {
                return false;
            }
            let _ = frame.remove_tag();
        }
        let passes = match transparent.and_then(|_| arrival.below_tag(frame)) {
            Some(mut below) => {
                let passes = self.hand_past_address(host, id, frame, &mut below);
                arrival.at = below.at;
                passes
            }
            None => self.hand_past_address(host, id, frame, arrival),
        };
        if let (Some(_), Some(tag)) = (&transparent, tag) {
            let restored = frame.insert_tag(tag);
            debug_assert!(restored);
        }
        passes
    }

    /// Puts a frame on the wire, padded.
    pub(super) fn depart(&mut self, host: &mut dyn Host, port: u8, bytes: &[u8]) {
        let Some(wire) = self.ports.get_mut(usize::from(port)) else {
            return;
        };
        let mut padded = [0; WIRE_MIN];
        let bytes = match padded.get_mut(..bytes.len()) {
            Some(start) if bytes.len() < WIRE_MIN => {
                start.copy_from_slice(bytes);
                &padded[..]
            }
            _ => bytes,
        };
        if wire.link() && host.transmit(port, bytes) {
            wire.count_sent(bytes);
        } else {
            wire.stats.tx_dropped += 1;
        }
    }

    /// Brings a frame back to its sender.
    pub(super) fn loop_back(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        source_port: u16,
        frame: &mut Frame,
    ) {
        let group = is_group(&frame.destination());
        let mut arrival = Arrival::new(frame, source_port, group, None).come_back();
        self.hand_past_address(host, id, frame, &mut arrival);
    }

    /// Brings a frame to one port of the eswitch, past all rules.
    pub(super) fn direct(
        &mut self,
        host: &mut dyn Host,
        destination: EswitchPort,
        source_port: u16,
        frame: &mut Frame,
    ) {
        match destination {
            EswitchPort::Wire(port) => self.depart(host, port, frame.bytes()),
            EswitchPort::Vport(id) => {
                let group = is_group(&frame.destination());
                let mut arrival = Arrival::new(frame, source_port, group, None);
                self.deliver(host, id, frame, &mut arrival);
            }
        }
    }
}
