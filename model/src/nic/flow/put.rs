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
    Inner {
        hash: index::hash(seed, &flow),
        ..first_ip(packet).unwrap_or_default()
    }
}

/// What the first IP header says, also behind tags; another one may follow, which rules see in its place.
fn first_ip(packet: &Packet) -> Option<Inner> {
    let (protocol, at) = packet.behind_tags()?;
    let data = packet.data();
    let first = bytes::word(data, at)?;
    let inner = match protocol {
        ETHERTYPE_IPV4 => Inner {
            family: 4,
            tos: first as u8,
            ttl: (bytes::word(data, at + 8)? >> 8) as u8,
            dont_fragment: bytes::word(data, at + 6)? & 0x4000 != 0,
            ..Inner::default()
        },
        ETHERTYPE_IPV6 => Inner {
            family: 6,
            tos: (first >> 4) as u8,
            ttl: bytes::word(data, at + 6)? as u8,
            ..Inner::default()
        },
        _ => return None,
    };
    Some(inner)
}
