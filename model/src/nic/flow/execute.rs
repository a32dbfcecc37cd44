// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The actions of a rule, one after the other.

use super::Engine;
use super::actions::operands;
use super::limits;
use super::outcome::{Outcome, Sent, To, Up};
use super::packet::{Counted, Packet};
use super::run::{Dropped, Visit, World};
use super::store::Rule;
use super::{csum, edit, tags};
use crate::nic::frame::Tag;
use oxnic_abi::flow::action::{
    FlowAction, FlowActionKind as Kind, FlowNote, FlowVerdict, NO_ENCAP, action_flags,
};
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
pub(super) struct Step<'a> {
    rule: &'a Rule,
    pub(super) action: FlowAction,
    pub(super) operands: [u32; 4],
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
                let counted = self.counted(step, &mut visit.packet);
                visit.counts.push((first, counted.bytes));
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
    fn counted(&self, step: &Step<'_>, packet: &mut Packet) -> Counted {
        match step.tunnel {
            true => packet.counted_within(&self.tunnels),
            false => packet.counted,
        }
    }

    fn meter(&mut self, world: &World<'_>, step: &Step<'_>, visit: &mut Visit) -> Then {
        let counted = self.counted(step, &mut visit.packet);
        let [meter, within, beyond, _] = step.operands;
        let pass = self
            .meters
            .get_mut(meter)
            .is_none_or(|meter| meter.pass(counted.bytes, counted.length(), world.now));
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
