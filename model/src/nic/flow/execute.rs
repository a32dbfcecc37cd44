// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The actions of a rule, one after the other.

use super::Engine;
use super::actions::operands;
use super::encap::Inner;
use super::limits;
use super::outcome::{Outcome, Sent, To, Up};
use super::packet::Packet;
use super::parse::ETHERNET;
use super::run::{Dropped, Visit, World};
use super::store::Rule;
use super::{csum, edit, index, tags};
use crate::nic::checksum::Sum;
use crate::nic::frame::Tag;
use crate::nic::packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use oxnic_abi::flow::action::{
    FlowAction, FlowActionKind as Kind, FlowNote, FlowVerdict, NO_ENCAP, action_flags, decap_flags,
};
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::port::FlowDirection;
use oxnic_abi::flow::table::TableView;

/// How a rule ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The frame goes where it would go without rules.
    Default(Up),
    /// It goes to the port's representor.
    Trap(Up),
    /// Another table.
    Goto(u32),
    /// The same table, behind the class of this priority.
    Continue(u32),
    /// As if nothing had been.
    Rewind,
    /// It is dropped.
    Drop(Dropped),
    /// It went into a port.
    Consumed,
}

/// What follows an action.
enum Then {
    /// The next one.
    Next,
    /// One further on.
    Skip(u32),
    /// Nothing.
    End(Ended),
}

/// A rule with the action that is done.
struct Step<'a> {
    rule: &'a Rule,
    action: FlowAction,
    operands: [u32; 4],
    /// The table's view is TUNNEL.
    tunnel: bool,
}

impl Engine {
    /// Whether all headers that a rule names can be put around frames.
    pub(super) fn is_ready(&self, rule: u32) -> bool {
        let template = self
            .rule(rule)
            .and_then(|rule| Some((rule, self.action_templates.get(rule.actions)?)));
        let Some((rule, template)) = template.filter(|(_, template)| template.encaps) else {
            return true;
        };
        let arguments = template.arguments.get(rule.arguments);
        template.actions.iter().all(|action| {
            let sends = matches!(action.kind, Kind::MIRROR | Kind::REDIRECT);
            let [_, encap, ..] = operands(action, arguments);
            let ready = |id| self.encaps.get(id).is_some_and(|encap| encap.is_ready());
            !sends || encap == NO_ENCAP || ready(encap)
        })
    }

    /// Does what a rule says.
    pub(super) fn execute(
        &mut self,
        world: &World<'_>,
        rule: u32,
        visit: &mut Visit,
        outcome: &mut Outcome,
    ) -> Ended {
        let Some(rule) = self.rule(rule).copied() else {
            return Ended::Default(Up::Plain);
        };
        let tunnel = self
            .tables
            .get(rule.table)
            .is_some_and(|table| table.view == TableView::TUNNEL);
        let mut number = 0;
        let mut edited = true;
        loop {
            let template = self.action_templates.get(rule.actions);
            let action =
                template.and_then(|template| Some((template, template.actions.get(number)?)));
            let Some((template, action)) = action else {
                return accept(&rule, FlowNote::COOKIE.0, &visit.packet);
            };
            let step = Step {
                rule: &rule,
                action: *action,
                operands: operands(action, template.arguments.get(rule.arguments)),
                tunnel,
            };
            if action.kind == Kind::EDIT {
                let continued = action.flags & action_flags::CONTINUED != 0;
                edited = (edited || !continued) && self.edit(&step, &mut visit.packet);
                number += 1;
                continue;
            }
            match self.act(world, &step, visit, outcome) {
                Then::Next => number += 1,
                Then::Skip(count) => {
                    number = number.saturating_add(count as usize).saturating_add(1);
                }
                Then::End(ended) => return ended,
            }
        }
    }

    fn edit(&mut self, step: &Step<'_>, packet: &mut Packet) -> bool {
        let [header, kind] = step.action.choice;
        let done = edit::apply(packet, header, kind, &step.operands);
        self.stats.edits_left_out += u64::from(!done);
        done
    }

    fn act(
        &mut self,
        world: &World<'_>,
        step: &Step<'_>,
        visit: &mut Visit,
        outcome: &mut Outcome,
    ) -> Then {
        let [first, second, third, _] = step.operands;
        let done = match step.action.kind {
            Kind::COUNT => {
                let bytes = self.counted(step, &mut visit.packet);
                visit.counts.push((first, bytes));
                true
            }
            Kind::METER => return self.meter(world, step, visit),
            Kind::MIRROR => {
                self.put(world, step, visit, None, outcome);
                true
            }
            Kind::REDIRECT => {
                let packet = std::mem::take(&mut visit.packet);
                self.put(world, step, visit, Some(packet), outcome);
                return Then::End(Ended::Consumed);
            }
            Kind::VLAN_PUSH => {
                let room = visit.packet.length() + 4 <= limits::LENGTH_MAX;
                if room {
                    tags::push(&mut visit.packet, tag(step));
                }
                room
            }
            Kind::VLAN_POP => tags::pop(&mut visit.packet),
            Kind::VLAN_MODIFY => tags::modify(&mut visit.packet, tag(step), second as u16),
            Kind::CSUM => csum::correct(&mut visit.packet, first),
            Kind::MARK => {
                visit.packet.mark = first;
                true
            }
            Kind::PRIORITY => {
                visit.packet.priority = first;
                true
            }
            Kind::SAMPLE => {
                if self.chance.one_in(first) {
                    self.sample(visit, second, third, outcome);
                }
                true
            }
            Kind::DECAP => self.decap(first, &mut visit.packet),
            _ => return Then::End(last(step, &visit.packet)),
        };
        match done {
            true => Then::Next,
            false => Then::End(Ended::Drop(Dropped::Action)),
        }
    }

    /// What COUNT and METER count.
    fn counted(&self, step: &Step<'_>, packet: &mut Packet) -> u32 {
        match step.tunnel {
            true => packet.counted_within(&self.tunnels),
            false => packet.counted,
        }
    }

    fn meter(&mut self, world: &World<'_>, step: &Step<'_>, visit: &mut Visit) -> Then {
        let bytes = self.counted(step, &mut visit.packet);
        // What counts in an EGRESS table has the Ethernet header in it already.
        let header = match visit.direction {
            FlowDirection::EGRESS => 0,
            _ => ETHERNET as u32,
        };
        let [meter, within, beyond, _] = step.operands;
        let pass = self
            .meters
            .get_mut(meter)
            .is_none_or(|meter| meter.pass(bytes, bytes.saturating_add(header), world.now));
        let [first, second] = step.action.choice;
        let (verdict, operand) = if pass {
            (first, within)
        } else {
            (second, beyond)
        };
        let rule = step.rule;
        let note = FlowNote::COOKIE.0;
        Then::End(match FlowVerdict(verdict) {
            FlowVerdict::DROP => Ended::Drop(Dropped::Rule),
            FlowVerdict::ACCEPT => accept(rule, note, &visit.packet),
            FlowVerdict::TRAP => Ended::Trap(up(rule, note, &visit.packet)),
            FlowVerdict::GOTO => Ended::Goto(operand),
            FlowVerdict::CONTINUE => Ended::Continue(rule.priority),
            FlowVerdict::REWIND => Ended::Rewind,
            FlowVerdict::SKIP => return Then::Skip(operand),
            _ => return Then::Next,
        })
    }

    fn sample(&mut self, visit: &Visit, longest: u32, cookie: u32, outcome: &mut Outcome) {
        if outcome.copies >= limits::COPIES_PER_FRAME {
            return self.drop_for(Dropped::Loop);
        }
        outcome.copies += 1;
        self.stats.sampled += 1;
        let mut bytes = visit.packet.data().to_vec();
        let whole = bytes.len() as u16;
        if longest != 0 {
            bytes.truncate(longest as usize);
        }
        outcome.sent.push(Sent {
            to: To::Up(visit.port, Up::Sample(cookie, whole)),
            source: visit.source,
            bytes,
        });
    }

    /// Takes a frame out of its tunnel. False if it is to be dropped.
    fn decap(&mut self, flags: u32, packet: &mut Packet) -> bool {
        if packet.take_out(&self.tunnels) {
            self.stats.decapsulated += 1;
            let outer = packet.note().tos;
            if flags & decap_flags::ECN != 0 && !join_marks(packet, outer) {
                return false;
            }
        }
        if flags & decap_flags::FORGET != 0 {
            packet.forget_note();
        }
        true
    }

    /// Puts the frame itself, or a copy, into a port.
    fn put(
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
        && super::bytes::word(packet.data(), ETHERNET + 6).is_some_and(|flags| flags & 0x4000 != 0);
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

/// Joins the congestion mark of outer headers with that of the frame within (RFC 6040). False if the frame is to be dropped.
fn join_marks(packet: &mut Packet, outer: u8) -> bool {
    const CE: u8 = 3;
    const ECT_1: u8 = 1;
    if packet.tag().is_some() {
        return true;
    }
    let [first, second] = super::bytes::take(packet.data(), ETHERNET).unwrap_or_default();
    let v4 = match packet.protocol() {
        ETHERTYPE_IPV4 => true,
        ETHERTYPE_IPV6 => false,
        _ => return true,
    };
    let old = if v4 {
        second
    } else {
        (first << 4) | (second >> 4)
    };
    let new = match (outer & 3, old & 3) {
        (CE, 0) => return false,
        (_, 0) => return true,
        (CE, _) => old | CE,
        (ECT_1, 2) => (old & !3) | ECT_1,
        _ => return true,
    };
    if new == old {
        return true;
    }
    let least = if v4 { 20 } else { 40 };
    let Some(header) = packet.change().get_mut(ETHERNET..ETHERNET + least) else {
        return true;
    };
    if !v4 {
        header[0] = (header[0] & 0xf0) | (new >> 4);
        header[1] = (new << 4) | (header[1] & 0xf);
        return true;
    }
    header[1] = new;
    // The checksum follows by arithmetic (RFC 1624), so that one that was wrong stays wrong.
    let sum = Sum::default()
        .and(&[!header[10], !header[11]])
        .and(&[!0, !old])
        .and(&[0, new])
        .finish();
    header[10..12].copy_from_slice(&sum);
    true
}

/// The tag of an action.
fn tag(step: &Step<'_>) -> Tag {
    Tag {
        tpid: u16::from_be_bytes(step.action.choice),
        tci: step.operands[0] as u16,
    }
}

/// What is said with a frame that a rule sends up.
fn up(rule: &Rule, note: u8, packet: &Packet) -> Up {
    match (FlowNote(note), rule.cookie, packet.mark) {
        (FlowNote::MARK, _, 0) => Up::Plain,
        (FlowNote::MARK, _, mark) => Up::Mark(mark),
        (_, 0, _) => Up::Plain,
        (_, cookie, _) => Up::Rule(cookie),
    }
}

fn accept(rule: &Rule, note: u8, packet: &Packet) -> Ended {
    Ended::Default(up(rule, note, packet))
}

/// How an action ends a rule.
fn last(step: &Step<'_>, packet: &Packet) -> Ended {
    let note = step.action.choice[0];
    match step.action.kind {
        Kind::ACCEPT => accept(step.rule, note, packet),
        Kind::TRAP => Ended::Trap(up(step.rule, note, packet)),
        Kind::GOTO => Ended::Goto(step.operands[0]),
        Kind::CONTINUE => Ended::Continue(step.rule.priority),
        Kind::REWIND => Ended::Rewind,
        _ => Ended::Drop(Dropped::Rule),
    }
}
