// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Queues of VFs whose rates are set: in which order they send.
//!
//! Functions of [`Nic`], which owns all that is touched. As long as nothing is set of any VF, no queue comes here.

use super::Nic;
use super::frame::{CTAG, STAG};
use super::ids::{FunctionId, VportId};
use super::rate::settings::Settings;
use super::rate::{LOOK, Next};
use super::send::Sent;
use super::timers::Timer;
use super::transmit::{Way, queue};
use super::tx::TxPacket;
use crate::host::Host;
use oxnic_abi::ring::tx_flags;
use serde_json::{Map, Value, json};

/// Bytes of a frame up to the end of its first tag.
const TO_TAG: usize = 16;

/// The priority in a tag's control information.
fn priority(tci: u16) -> u8 {
    (tci >> 13) as u8
}

impl Nic {
    /// Whether the queues of a function take their turns by rates.
    pub(super) fn is_shaped(&self, function: FunctionId) -> bool {
        self.shaper.shapes() && !function.is_pf()
    }

    /// Hands a queue that was on the list over, as one that waits for its turn.
    pub(super) fn enter_shaper(&mut self, host: &mut dyn Host, function: FunctionId, id: u16) {
        let Some(vf) = function.vf_index() else {
            return;
        };
        if queue(self, function, id).is_none() {
            return;
        }
        let class = match self.shaper.plan().has_classes(vf) {
            true => self.class_of_next(host, function, id),
            false => 0,
        };
        self.shaper.add(vf, id, class, self.now);
    }

    /// Gives a turn to the VF that is next. False if there is none that may send now.
    pub(super) fn run_shaped(&mut self, host: &mut dyn Host, frames: &mut u32) -> bool {
        if self.shaper.is_empty() {
            return false;
        }
        let (vf, id, way) = match self.shaper.overdue(self.now) {
            Some((vf, id)) => (vf, id, Way::Dropped),
            None => match self.shaper.next(self.now) {
                Next::Turn(vf, id) => (vf, id, Way::Shaped),
                Next::Wait(at) => {
                    let look = self.now.saturating_add(LOOK);
                    self.timers.set(Timer::Rate, at.min(look));
                    return false;
                }
                Next::Idle => return false,
            },
        };
        let function = FunctionId::vf(vf);
        *frames += 1;
        self.give_turn(host, function, id, way, frames);
        // Not behind others: what is next depends on who has packets.
        if self.tx_ready.back() == Some(&(function, id)) {
            self.tx_ready.pop_back();
            self.enter_shaper(host, function, id);
        }
        true
    }

    /// A packet that has waited for too long is dropped.
    pub(super) fn drop_late(&mut self, vport: VportId, packet: &TxPacket) -> Sent {
        self.count(vport, |stats| stats.tx_rate += 1);
        Sent {
            refused: true,
            stamped: packet.is_stamped(),
            ..Sent::default()
        }
    }

    /// What is set of VFs and nodes; with `offered`, whether the device says from now on that rates can be set.
    pub(super) fn operate_rates(&mut self, request: &Value) -> Result<Value, String> {
        if let Some(offered) = request.get("offered") {
            self.without_rates = !offered
                .as_bool()
                .ok_or("\"offered\" is not a truth value")?;
        }
        let report = |settings: &Settings| {
            json!({
                "parent": settings.parent, "share": settings.share, "max": settings.max,
                "priority": settings.priority, "weight": settings.weight, "classes": settings.classes,
            })
        };
        let plan = self.shaper.plan();
        let nodes: Map<String, Value> = (1u16..)
            .zip(&plan.nodes)
            .filter_map(|(number, node)| Some((number.to_string(), report(node.as_ref()?))))
            .collect();
        let leaves: Vec<Value> = plan.leaves.iter().map(report).collect();
        Ok(json!({
            "leaves": leaves, "nodes": nodes, "in_force": self.shaper.shapes(),
            "waiting": !self.shaper.is_empty(), "asked": self.shaper.asked(),
        }))
    }

    /// A poll has ended before everything was sent.
    pub(super) fn shape_later(&mut self) {
        if !self.shaper.is_empty() {
            self.timers.set(Timer::Rate, self.now);
        }
    }

    /// The class of a queue's next packet: the priority of the outermost tag that it leaves with, 0 without one.
    fn class_of_next(&mut self, host: &mut dyn Host, function: FunctionId, id: u16) -> u8 {
        let vport = queue(self, function, id).map(|tx| tx.vport);
        let laid = vport.and_then(|vport| self.transparent_tag(vport));
        if let Some(tag) = laid.filter(|_| !self.is_switchdev()) {
            return priority(tag.tci);
        }
        let mut descriptors = std::mem::take(&mut self.scratch.descriptors);
        let mut packet = std::mem::take(&mut self.scratch.packet);
        let read = self.read_descriptors(host, function, id, &mut descriptors);
        // What is wrong with it is found when it has its turn.
        let whole = read.is_ok() && packet.take(&descriptors) == Ok(true);
        let class = match whole {
            true if packet.first.flags & tx_flags::VLAN != 0 => priority(packet.first.vlan),
            true => own_priority(host, function, &packet),
            false => 0,
        };
        self.scratch.descriptors = descriptors;
        self.scratch.packet = packet;
        class
    }
}

/// The priority of the tag in a packet's memory.
fn own_priority(host: &mut dyn Host, function: FunctionId, packet: &TxPacket) -> u8 {
    let mut head = [0; TO_TAG];
    let mut filled = 0;
    for piece in &packet.pieces {
        if filled == TO_TAG {
            break;
        }
        let length = usize::from(piece.length).min(TO_TAG - filled);
        let part = &mut head[filled..filled + length];
        if host.dma_read(function.bus(), piece.address, part).is_err() {
            return 0;
        }
        filled += length;
    }
    let [.., type_high, type_low, high, low] = head;
    match u16::from_be_bytes([type_high, type_low]) {
        CTAG | STAG if filled == TO_TAG => priority(u16::from_be_bytes([high, low])),
        _ => 0,
    }
}
