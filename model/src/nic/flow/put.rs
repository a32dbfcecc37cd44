// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Putting frames and copies into ports, with headers around them where a rule says so.

use super::Engine;
use super::bytes;
use super::encap::Inner;
use super::execute::Step;
use super::index;
use super::limits;
use super::outcome::Outcome;
use super::packet::Packet;
use super::parse::ETHERNET;
use super::run::{Dropped, Visit, World};
use crate::nic::packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use oxnic_abi::flow::action::NO_ENCAP;
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::port::FlowDirection;

impl Engine {
    /// Puts the frame itself, or a copy, into a port.
    pub(super) fn put(
        &mut self,
        world: &World<'_>,
        step: &Step<'_>,
        visit: &Visit,
        redirected: Option<Packet>,
        outcome: &mut Outcome,
    ) {
        let [port, encap, ..] = step.operands;
        let port = port as u16;
        let direction = FlowDirection(step.action.choice[0]);
        let mirror = redirected.is_none();
        if (port, direction) == (visit.port, visit.direction) || !(world.is_up)(port) {
            return self.drop_for(Dropped::Port);
        }
        if visit.hops >= self.caps.hops_max || outcome.copies >= limits::COPIES_PER_FRAME {
            return self.drop_for(Dropped::Loop);
        }
        outcome.copies += 1;
        self.stats.mirrored += u64::from(mirror);
        let mut packet = match encap {
            NO_ENCAP => redirected.unwrap_or_else(|| visit.packet.clone()),
            id => {
                let mut copy;
                let inner = match redirected {
                    Some(packet) => {
                        copy = packet;
                        &mut copy
                    }
                    None => {
                        copy = visit.packet.clone();
                        &mut copy
                    }
                };
                match self.put_around(id, inner) {
                    Some(packet) => packet,
                    None => return self.drop_for(Dropped::Action),
                }
            }
        };
        packet.enter(direction == FlowDirection::EGRESS);
        let visit = Visit {
            port,
            direction,
            source: match direction {
                FlowDirection::EGRESS => visit.source,
                _ => port,
            },
            packet,
            hops: visit.hops + 1,
            counts: Vec::new(),
        };
        self.visit(world, visit, outcome);
    }

    /// A frame with headers around it. None where it gets too long.
    fn put_around(&mut self, id: u32, packet: &mut Packet) -> Option<Packet> {
        let encap = self.encaps.get(id)?;
        if packet.length() + encap.length() > limits::LENGTH_MAX {
            return None;
        }
        let inner = look(packet, self.seed);
        let mut bytes = Vec::new();
        encap.put(&packet.bytes(), &inner, self.next_id, &mut bytes);
        self.next_id = self.next_id.wrapping_add(1);
        let mut around = Packet::new(&bytes)?;
        around.mark = packet.mark;
        around.priority = packet.priority;
        Some(around)
    }
}

/// What headers take over from a frame.
fn look(packet: &mut Packet, seed: u64) -> Inner {
    let tagged = packet.tag().is_some();
    let plain = match packet.protocol() {
        _ if tagged => 0,
        ETHERTYPE_IPV4 => 4,
        ETHERTYPE_IPV6 => 6,
        _ => 0,
    };
    let dont_fragment = plain == 4
        && bytes::word(packet.data(), ETHERNET + 6).is_some_and(|flags| flags & 0x4000 != 0);
    let (values, _) = packet.plain();
    const FLOW: [FlowField; 9] = [
        FlowField::ETH_DST,
        FlowField::ETH_SRC,
        FlowField::IPV4_SRC,
        FlowField::IPV4_DST,
        FlowField::IPV6_SRC,
        FlowField::IPV6_DST,
        FlowField::IP_PROTO,
        FlowField::SRC_PORT,
        FlowField::DST_PORT,
    ];
    let mut flow = [0; 64];
    let bytes = FLOW.iter().flat_map(|field| values.get(*field));
    for (place, byte) in flow.iter_mut().zip(bytes) {
        *place = *byte;
    }
    let family = values.number(FlowField::FAMILY) as u8;
    Inner {
        family: if family == plain { family } else { 0 },
        tos: values.number(FlowField::IP_TOS) as u8,
        ttl: values.number(FlowField::IP_TTL) as u8,
        dont_fragment,
        hash: index::hash(seed, &flow),
    }
}
