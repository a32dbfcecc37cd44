// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The way of a frame through tables, from one port to others.
//!
//! A *visit* is what happens between two ports: from the table of a port until the frame leaves, is put into another port or is
//! dropped. Visits nest, where copies are put into ports that have tables; their depth and all that one frame can cause are
//! bounded, so that rules that send frames in circles cost little.

use super::Engine;
use super::execute::Ended;
use super::group::Member;
use super::limits;
use super::outcome::{Outcome, Sent, To, Up};
use super::packet::Packet;
use oxnic_abi::flow::port::FlowDirection;
use oxnic_abi::flow::table::{TableMiss, TableView};

/// What the engine asks of the world.
pub struct World<'a> {
    /// Nanoseconds; do not go back.
    pub now: u64,
    /// Milliseconds since the device started.
    pub uptime: u32,
    /// Whether a port is there, not a PF's, and has a link.
    pub is_up: &'a dyn Fn(u16) -> bool,
}

/// Chance, for samples.
#[derive(Clone, Copy, Debug)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// True once in so many.
    pub fn one_in(&mut self, many: u32) -> bool {
        // Xorshift (Marsaglia 2003): enough for statistics.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        many != 0 && ((self.0 >> 32) * u64::from(many)) >> 32 == 0
    }
}

/// A frame between two ports.
pub struct Visit {
    /// The port whose table it is.
    pub port: u16,
    /// Which of its two tables.
    pub direction: FlowDirection,
    /// The port at which the frame came in last.
    pub source: u16,
    /// The frame.
    pub packet: Packet,
    /// How often it was put into a port before.
    pub hops: u16,
    /// Counters that it has passed, with what they get.
    pub counts: Vec<(u32, u32)>,
}

/// Why a frame is dropped: where it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// By a rule.
    Rule,
    /// By a miss.
    Miss,
    /// Sent on too often.
    Loop,
    /// The port does not take it.
    Port,
    /// An action could not be done.
    Action,
}

impl Engine {
    /// Whether frames that come in at a port are looked at.
    pub fn has_table(&self, port: u16) -> bool {
        self.ports.contains_key(&(port, FlowDirection::INGRESS))
    }

    /// Takes a frame that came in at a port through the tables. False if no table sees it: it takes DEFAULT.
    pub fn run(
        &mut self,
        world: &World<'_>,
        port: u16,
        frame: &[u8],
        outcome: &mut Outcome,
    ) -> bool {
        outcome.clear();
        if !self.has_table(port) {
            return false;
        }
        let Some(packet) = Packet::new(frame) else {
            return false;
        };
        let visit = Visit {
            port,
            direction: FlowDirection::INGRESS,
            source: port,
            packet,
            hops: 0,
            counts: Vec::new(),
        };
        self.visit(world, visit, outcome);
        true
    }

    pub(super) fn drop_for(&mut self, why: Dropped) {
        let stats = &mut self.stats;
        *match why {
            Dropped::Rule => &mut stats.dropped_rule,
            Dropped::Miss => &mut stats.dropped_miss,
            Dropped::Loop => &mut stats.dropped_loop,
            Dropped::Port => &mut stats.dropped_port,
            Dropped::Action => &mut stats.dropped_action,
        } += 1;
    }

    /// Takes a frame from the table of a port to its end.
    pub(super) fn visit(&mut self, world: &World<'_>, mut visit: Visit, outcome: &mut Outcome) {
        let Some(mut table) = self.ports.get(&(visit.port, visit.direction)).copied() else {
            return self.finish(world, visit, Ended::Default(Up::Plain), outcome);
        };
        let (mut restarts, mut misses, mut from) = (0, 0, 0u64);
        let ended = loop {
            outcome.lookups += 1;
            if outcome.lookups > limits::LOOKUPS_PER_FRAME {
                break Ended::Drop(Dropped::Loop);
            }
            self.stats.lookups += 1;
            let found = self.lookup(table, &mut visit, from);
            let not_ready = found.is_some_and(|rule| !self.is_ready(rule));
            let (ended, sent_on, most) = match found.filter(|_| !not_ready) {
                Some(rule) => {
                    self.stats.hits += 1;
                    let ended = self.execute(world, rule, &mut visit, outcome);
                    (ended, &mut restarts, self.caps.restarts_max)
                }
                None => {
                    let ended = self.missed(table, not_ready);
                    (ended, &mut misses, self.caps.misses_max)
                }
            };
            match ended {
                Ended::Continue(priority) => from = u64::from((priority >> 16) + 1) << 16,
                Ended::Goto(_) if *sent_on >= most => break Ended::Drop(Dropped::Loop),
                Ended::Goto(next) => {
                    *sent_on += 1;
                    (table, from) = (next, 0);
                }
                ended => break ended,
            }
        };
        self.finish(world, visit, ended, outcome);
    }

    /// What a miss of a table says; a frame whose rule has headers that are not ready goes to software.
    fn missed(&mut self, table: u32, not_ready: bool) -> Ended {
        let Some(table) = self.tables.get(table) else {
            return Ended::Default(Up::Plain);
        };
        let up = match table.cookie {
            0 => Up::Plain,
            cookie => Up::Miss(cookie),
        };
        self.stats.encap_not_ready += u64::from(not_ready);
        match table.miss {
            TableMiss::REWIND => Ended::Rewind,
            _ if not_ready => Ended::Default(up),
            TableMiss::TABLE => Ended::Goto(table.miss_table),
            TableMiss::DROP => Ended::Drop(Dropped::Miss),
            _ => Ended::Default(up),
        }
    }

    /// The rule of a table that takes a frame, of those from a priority on.
    fn lookup(&mut self, table: u32, visit: &mut Visit, from: u64) -> Option<u32> {
        let from = u32::try_from(from).ok()?;
        let table = self.tables.get(table)?;
        if table.groups.is_empty() {
            return None;
        }
        let within = table.view == TableView::TUNNEL;
        let (values, options) = visit.packet.look(within, visit.port, &self.tunnels)?;
        let mut best: Option<Member> = None;
        for (lowest, number) in &table.groups {
            if best.is_some_and(|best| best.priority <= *lowest) {
                break;
            }
            let group = self.groups.get(*number as usize).and_then(Option::as_ref);
            let template = group.and_then(|group| self.match_templates.get(group.template));
            let (Some(group), Some(template)) = (group, template) else {
                continue;
            };
            if !template.in_ranges(values) {
                continue;
            }
            template.key(values, options, &mut self.key);
            let found = group.find(&self.key, from);
            best = match (best, found) {
                (Some(best), Some(found)) if found.priority >= best.priority => Some(best),
                (best, None) => best,
                (_, found) => found,
            };
        }
        best.map(|member| member.rule)
    }

    /// Ends a visit.
    fn finish(&mut self, world: &World<'_>, visit: Visit, ended: Ended, outcome: &mut Outcome) {
        let Visit {
            port,
            packet,
            source,
            ..
        } = &visit;
        let source = *source;
        let egress = visit.direction == FlowDirection::EGRESS;
        let default = |up| match egress {
            true => To::Out(*port),
            false => To::Up(*port, up),
        };
        let mut counts = true;
        match ended {
            Ended::Default(up) => outcome.sent.push(Sent {
                to: default(up),
                source,
                bytes: packet.for_default(),
            }),
            Ended::Trap(up) => outcome.sent.push(Sent {
                to: To::Up(*port, up),
                source,
                bytes: packet.for_default(),
            }),
            Ended::Rewind => {
                counts = false;
                outcome.sent.push(Sent {
                    to: default(Up::Plain),
                    source,
                    bytes: packet.original(),
                });
            }
            Ended::Drop(why) => self.drop_for(why),
            Ended::Consumed | Ended::Goto(_) | Ended::Continue(_) => {}
        }
        if counts {
            for (counter, bytes) in &visit.counts {
                self.counters.count(*counter, *bytes, world.uptime);
            }
        }
    }
}
