// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Random rules in hardware and software, as a driver would put them there, and what tc means by them. The hardware is whoever takes plans:
//! the small device of `device.rs`, or the reference device.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};

use oxnic_abi::flow::capability::FlowCaps;
use oxnic_offload::oracle::{Count, Entry, Fate, Table};
use oxnic_offload::packet::{Address, Tunnel};
use oxnic_offload::plan::chains::{miss, Miss};
use oxnic_offload::plan::order::{Ranges, Slot};
use oxnic_offload::plan::{Context, Counts, Course, Exit, Need, Order, Software, Statistics};
use oxnic_offload::rule::action::checksum;
use oxnic_offload::rule::police::Rate;
use oxnic_offload::rule::{
    Action, Chain, Classifier, Cookie, Direction, Edit, Field, Header, Key, Operation, Police,
    Port, Range, Rule, Verdict,
};
use proptest::prelude::*;

use crate::planner::{above, plan, plan_as, Planned, VXLAN};
use crate::stage::{Event, Stage};
use crate::support::{ethernet_frame, received, sample, tagged};

/// Chains in which there are rules; one more is only gone to.
pub const CHAINS: u32 = 4;

/// A rule in a table.
pub struct Installed<'r> {
    pub cookie: u64,
    pub chain: u32,
    pub priority: u32,
    pub planned: Planned<'r>,
}

/// How a frame left the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Dropped, or put into a port.
    Gone,
    /// Up: with what the table's miss says.
    Missed(u32, Vec<u8>),
    /// Up, sent by the rule of that cookie.
    SentUp(u64, Vec<u8>),
    /// Up, accepted, with a mark.
    Marked(u32, Vec<u8>),
    /// Up, as it came.
    Rewound,
}

/// What became of a frame.
pub struct Ended {
    pub left: Left,
    pub events: Vec<Event>,
    /// Rule, first action that the counter stands for, bytes.
    pub counts: Vec<(u64, (u8, Counts), u32)>,
}

/// A device.
pub trait Hardware<'r> {
    /// A device of these capabilities, with a table for each chain, bound to port 1, or to the tunnel device.
    fn new(around: &Around, device: &FlowCaps, misses: &[(u32, Miss)]) -> Self;
    /// Puts a rule into a table.
    fn install(&mut self, rule: &Installed<'r>);
    /// Takes a rule out.
    fn remove(&mut self, cookie: u64);
    /// Takes a frame that comes in at port 1. Everything is sampled; out of a tunnel, `frame` is what is within.
    fn run(&mut self, frame: &[u8], note: Option<Tunnel<'_>>) -> Ended;
}

/// The world in which rules are planned.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    pub restores_chain: bool,
    pub skips_tc: bool,
    pub rewinds: bool,
    pub tunnel: bool,
    /// On a VLAN device, whose tag the frames here have lost already.
    pub upper: bool,
    pub statistics: Statistics,
}

pub fn around() -> impl Strategy<Value = Around> {
    let statistics = prop_oneof![
        Just(Statistics::Off),
        Just(Statistics::Rule),
        Just(Statistics::Actions)
    ];
    let above = prop_oneof![
        4 => Just((false, false)),
        2 => Just((true, false)),
        2 => Just((false, true))
    ];
    (any::<[bool; 3]>(), above, statistics).prop_map(
        |([restores_chain, skips_tc, rewinds], (tunnel, upper), statistics)| Around {
            restores_chain,
            skips_tc,
            // A driver does not bind VLAN devices where the device cannot.
            rewinds: rewinds || upper,
            tunnel,
            upper,
            statistics,
        },
    )
}

impl Around {
    fn caps(&self, all: &FlowCaps) -> FlowCaps {
        let mut caps = *all;
        if !self.rewinds {
            caps.misses &= !(1 << 3);
        }
        caps
    }

    fn context<'c>(&self, device: &'c FlowCaps, skip_sw: bool) -> Context<'c> {
        Context {
            device,
            software: Software {
                restores_chain: self.restores_chain,
                skips_tc: self.skips_tc,
            },
            tunnel: self.tunnel.then_some(VXLAN),
            upper: self.upper.then(above),
            egress: false,
            skip_sw,
            statistics: self.statistics,
        }
    }

    fn note(&self) -> Option<Tunnel<'static>> {
        self.tunnel.then_some(Tunnel {
            address: Address::V4([192, 0, 2, 1], [192, 0, 2, 2]),
            src_port: 5555,
            dst_port: 4789,
            key_id: 5,
            ttl: 64,
            ..Tunnel::default()
        })
    }
}

#[derive(Clone)]
pub struct Wish {
    chain: u32,
    priority: u32,
    key: Key<'static>,
    actions: Vec<Action<'static>>,
    skip_sw: bool,
}

impl Wish {
    fn rule(&self, cookie: u64) -> Rule<'_> {
        Rule {
            cookie: Cookie(cookie),
            classifier: self.classifier(),
            chain: Chain(self.chain),
            priority: self.priority,
            protocol: if (self.chain + self.priority) % 3 == 0 {
                0x0800
            } else {
                3
            },
            key: self.key,
            actions: &self.actions,
        }
    }

    /// In the third priority there is matchall only.
    fn classifier(&self) -> Classifier {
        if self.priority == 3 {
            Classifier::Matchall
        } else {
            Classifier::Flower
        }
    }
}

impl std::fmt::Debug for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "chain {} prio {} skip_sw {}:",
            self.chain, self.priority, self.skip_sw
        )?;
        for field in self.key.fields() {
            write!(
                f,
                " {} {:x?}/{:x?}",
                field.name(),
                self.key.value(field),
                self.key.mask(field)
            )?;
        }
        write!(f, " {:?} {:?}", self.key.dst_range, self.actions)
    }
}

fn key() -> impl Strategy<Value = Key<'static>> {
    let field = prop_oneof![
        Just((
            Field::EthDst,
            vec![2, 2, 2, 2, 2, 2],
            vec![0xff, 0, 0, 0, 0, 0]
        )),
        Just((
            Field::EthSrc,
            vec![1, 1, 1, 1, 1, 1],
            vec![0, 0, 0, 0, 0, 1]
        )),
        Just((Field::EthType, vec![8, 0], vec![0xff, 0xff])),
        Just((
            Field::Ipv4Dst,
            vec![10, 0, 0, 2],
            vec![0xff, 0xff, 0xff, 0xff]
        )),
        Just((Field::Ipv4Dst, vec![10, 9, 9, 9], vec![0xff, 0, 0, 0])),
        Just((Field::Ipv4Dst, vec![10, 9, 9, 9], vec![0xff, 0xff, 0, 0])),
        Just((Field::IpTtl, vec![64], vec![0x40])),
        Just((Field::IpTtl, vec![1], vec![0x41])),
        Just((Field::VlanId, vec![0, 5], vec![0x0f, 0xff])),
        Just((Field::NumOfVlans, vec![0], vec![0xff])),
        Just((Field::IngressPort, vec![0, 0, 0, 1], vec![0xff; 4])),
    ];
    let range = prop::option::weighted(
        0.15,
        prop_oneof![
            Just((0u16, 2500u16)),
            Just((1500, 2500)),
            Just((1, 1600)),
            Just((1700, 9000))
        ],
    );
    (prop::collection::vec(field, 0..2), range).prop_map(|(fields, range)| {
        let mut key = Key::default();
        for (field, value, mask) in fields {
            key.set(field, &value, &mask).unwrap();
            match field {
                Field::IpTtl => key.exact(Field::EthType, &[8, 0]).unwrap(),
                Field::VlanId => key.exact(Field::VlanTpid, &[0x81, 0]).unwrap(),
                _ => {}
            }
        }
        if let Some((min, max)) = range {
            key.exact(Field::EthType, &[8, 0]).unwrap();
            key.exact(Field::IpProto, &[6]).unwrap();
            key.dst_range = Some(Range { min, max });
        }
        key
    })
}

const TTL: Edit = Edit {
    header: Header::Ipv4,
    offset: 8,
    operation: Operation::Add,
    keep: [0, 0xff, 0xff, 0xff],
    value: [0xff, 0, 0, 0],
};

const MAC: Edit = Edit {
    header: Header::Ethernet,
    offset: 0,
    operation: Operation::Set,
    keep: [0, 0xff, 0xff, 0xff],
    value: [4, 0, 0, 0],
};

const TCP: Edit = Edit {
    header: Header::Tcp,
    offset: 0,
    operation: Operation::Set,
    keep: [0xff, 0xff, 0, 0],
    value: [0, 0, 0x06, 0xa0],
};

fn verdict(chain: u32) -> impl Strategy<Value = Verdict> {
    prop_oneof![
        3 => Just(Verdict::Pipe),
        1 => Just(Verdict::Accept),
        2 => Just(Verdict::Drop),
        2 => Just(Verdict::Continue),
        2 => (chain + 1..CHAINS + 1).prop_map(|to| Verdict::Goto(Chain(to))),
        1 => (0..6u32).prop_map(Verdict::Jump),
        3 => (2..4u32).prop_map(Verdict::Jump),
    ]
}

fn action(chain: u32) -> impl Strategy<Value = Action<'static>> {
    let direction = prop_oneof![4 => Just(Direction::Egress), 1 => Just(Direction::Ingress)];
    let plain = prop_oneof![
        Just(Action::VlanPush {
            tpid: 0x8100,
            id: 5,
            priority: 3
        }),
        Just(Action::VlanPush {
            tpid: 0x88a8,
            id: 6,
            priority: 0
        }),
        Just(Action::VlanPop),
        Just(Action::VlanModify {
            tpid: 0x8100,
            id: 9,
            priority: Some(2)
        }),
        Just(Action::VlanModify {
            tpid: 0x8100,
            id: 5,
            priority: None
        }),
        Just(Action::Pedit(&[TTL])),
        Just(Action::Pedit(&[MAC, TCP, TTL])),
        Just(Action::Checksum(checksum::IPV4)),
        Just(Action::Checksum(checksum::ALL)),
        Just(Action::Mark(7)),
        Just(Action::Priority(3)),
        Just(Action::TunnelUnset),
        Just(Action::Sample {
            group: 4,
            rate: 1,
            truncate: None
        }),
        Just(Action::Sample {
            group: 4,
            rate: 1,
            truncate: Some(20)
        }),
    ];
    let police = (
        verdict(chain),
        verdict(chain),
        prop_oneof![Just(40u32), Just(62), Just(u32::MAX)],
    );
    prop_oneof![
        5 => plain,
        2 => (1..4u32, direction).prop_map(|(port, to)| Action::Mirror(Port(port), to)),
        2 => police.prop_map(|(conform, exceed, mtu)| Action::Police(Police {
            index: mtu,
            rate: Rate::None,
            mtu,
            conform,
            exceed,
        })),
    ]
}

fn last(chain: u32) -> impl Strategy<Value = Option<Action<'static>>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Action::Control(Verdict::Accept))),
        2 => Just(Some(Action::Control(Verdict::Drop))),
        1 => Just(Some(Action::Control(Verdict::Trap))),
        5 => (chain + 1..CHAINS + 1).prop_map(|to| Some(Action::Control(Verdict::Goto(Chain(to))))),
        3 => (1..4u32).prop_map(|to| Some(Action::Redirect(Port(to), Direction::Egress))),
        1 => Just(Some(Action::Redirect(Port(2), Direction::Ingress))),
    ]
}

/// `police … continue` as it is accepted, and nearly so.
fn policed() -> impl Strategy<Value = Wish> {
    let police = Action::Police(Police {
        index: 62,
        rate: Rate::None,
        mtu: 62,
        conform: Verdict::Continue,
        exceed: Verdict::Drop,
    });
    let before = prop::option::weighted(0.3, Just(Action::Pedit(&[TTL])));
    (0..2u32, 1..4u32, before, prop::bool::weighted(0.9)).prop_map(
        move |(chain, priority, before, skip_sw)| Wish {
            chain,
            priority,
            key: Key::default(),
            actions: before.into_iter().chain([police]).collect(),
            skip_sw,
        },
    )
}

pub fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![9 => any_wish(), 1 => policed()]
}

fn any_wish() -> impl Strategy<Value = Wish> {
    (0..CHAINS).prop_flat_map(|chain| {
        let actions = prop::collection::vec(action(chain), 0..4);
        (
            1..5u32,
            key(),
            actions,
            last(chain),
            prop::bool::weighted(0.4),
        )
            .prop_map(move |(priority, key, mut actions, last, skip_sw)| {
                actions.extend(last);
                let key = if priority == 3 { Key::default() } else { key };
                Wish {
                    chain,
                    priority,
                    key,
                    actions,
                    skip_sw,
                }
            })
    })
}

/// A frame; a tunnel device drops those that are cut within their IP header, so that of a tunnel has it.
fn frame(number: usize, tunnel: bool) -> Vec<u8> {
    match number {
        0..=2 => sample(number),
        3 => tagged(&sample(0), 0x8100, 0x3005),
        4 => tagged(&tagged(&sample(0), 0x8100, 5), 0x88a8, 6),
        5 => ethernet_frame(0x0806, &[0; 40]),
        _ => sample(0)[..if tunnel { 34 } else { 30 }].to_vec(),
    }
}

const FRAMES: usize = 7;

/// Hardware and software with the same rules.
struct Setup<'r, H> {
    /// All rules that were put in, in software.
    all: Vec<Option<Entry<'r>>>,
    /// Those that have gone since.
    gone: BTreeSet<u64>,
    hardware: H,
    rules: BTreeMap<u64, Known>,
    misses: Vec<(u32, Miss)>,
    slots: BTreeMap<(u32, u32), Vec<Slot>>,
}

/// What the driver keeps of a rule.
struct Known {
    chain: Chain,
    skip_sw: bool,
    course: Course,
    exit: Exit,
    /// Which actions each of its counters stands for, by the first of them. Of a counter of a whole rule it is that one only: how far packets get
    /// does not count.
    counters: BTreeMap<usize, Vec<usize>>,
    /// Policers that have a counter of what they drop.
    dropping: BTreeSet<usize>,
    slot: usize,
    /// Whether it stands in for one that was refused for the order of its range.
    out_of_order: bool,
}

/// Puts rules in as tc and a driver would: what is refused is only in software, with a stand-in in hardware, or with `skip_sw` nowhere.
fn build<'r, H: Hardware<'r>>(
    wishes: &'r [Wish],
    around: &Around,
    caps: &FlowCaps,
) -> Setup<'r, H> {
    let context = around.context(caps, false);
    let chains = 0..CHAINS + 1;
    let misses: Vec<_> = chains
        .map(|chain| (chain, miss(&context, Chain(chain))))
        .collect();
    let mut hardware = H::new(around, caps, &misses);
    let mut rules = BTreeMap::new();
    let mut slots: BTreeMap<(u32, u32), Vec<Slot>> = BTreeMap::new();
    let mut masks: Vec<Key<'r>> = Vec::new();
    let mut all = vec![None; wishes.len()];
    let mut table = Table::new(&mut all);
    for (number, wish) in wishes.iter().enumerate() {
        let rule = wish.rule(number as u64);
        if oxnic_offload::rule::check(&rule).is_err() || table.insert(rule).is_err() {
            continue;
        }
        let mask = masks.iter().position(|key| key.has_mask_of(&rule.key));
        let mask = mask.unwrap_or_else(|| {
            masks.push(rule.key);
            masks.len() - 1
        });
        let known = slots.entry((wish.chain, wish.priority));
        let slots = known.or_insert_with(|| vec![Slot::default(); wishes.len()]);
        let mut order = Order::new(wish.priority, slots).unwrap();
        let context = around.context(caps, wish.skip_sw);
        let ranges = Ranges {
            src: rule.key.src_range,
            dst: rule.key.dst_range,
        };
        let placed = order.enter(mask as u32, ranges, false);
        let planned = placed.and_then(|_| plan(&rule, &context));
        let (place, planned) = match (placed, planned) {
            (Ok(place), Ok(planned)) => (place, planned),
            (placed, _) if wish.skip_sw => {
                if let Ok(place) = placed {
                    order.leave(place.slot);
                }
                table.remove(rule.cookie).unwrap();
                continue;
            }
            (placed, _) => {
                let place = placed.or_else(|_| order.enter(mask as u32, ranges, true));
                (place.unwrap(), plan_as(&rule, &context, true).unwrap())
            }
        };
        let known = Known {
            chain: rule.chain,
            skip_sw: wish.skip_sw,
            course: planned.course,
            exit: planned.exit,
            counters: counters(&planned, rule.actions, around.statistics),
            dropping: dropping(&planned),
            slot: place.slot,
            out_of_order: placed.is_err(),
        };
        rules.insert(rule.cookie.0, known);
        hardware.install(&Installed {
            cookie: rule.cookie.0,
            chain: wish.chain,
            priority: place.priority,
            planned,
        });
    }
    Setup {
        all,
        gone: BTreeSet::new(),
        hardware,
        rules,
        misses,
        slots,
    }
}

/// Which actions each counter stands for.
fn counters(
    planned: &Planned<'_>,
    actions: &[Action<'_>],
    statistics: Statistics,
) -> BTreeMap<usize, Vec<usize>> {
    let firsts = planned.needs.iter().filter_map(|need| match need {
        Need::Counter {
            action,
            counts: Counts::Taken,
            ..
        } => Some(usize::from(*action)),
        _ => None,
    });
    let firsts: Vec<usize> = firsts.collect();
    let ends = |action: &Action<'_>| {
        matches!(
            action,
            Action::Control(_) | Action::Redirect(..) | Action::Police(_)
        )
    };
    let segment = |first: usize| {
        let next = firsts.iter().find(|other| **other > first);
        let mut until = next.copied().unwrap_or(actions.len());
        if let Some(last) = (first..until).find(|at| ends(&actions[*at])) {
            until = last + 1;
        }
        match statistics {
            Statistics::Actions => (first..until).collect(),
            _ => vec![first],
        }
    };
    firsts
        .iter()
        .map(|first| (*first, segment(*first)))
        .collect()
}

/// Policers that have a counter of what they drop.
fn dropping(planned: &Planned<'_>) -> BTreeSet<usize> {
    let dropping = planned.needs.iter().filter_map(|need| match need {
        Need::Counter {
            action,
            counts: Counts::Dropped,
            ..
        } => Some(usize::from(*action)),
        _ => None,
    });
    dropping.collect()
}

/// What one sees of a packet's way.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    events: Vec<Event>,
    /// Up to the host, with bytes and mark.
    up: Option<(Vec<u8>, u32)>,
    trapped: bool,
    /// Bytes that rules, or actions, counted.
    counts: BTreeMap<(u64, usize), (usize, u32)>,
    /// Packets that policers counted as dropped.
    drops: BTreeMap<(u64, usize), usize>,
}

impl Seen {
    fn count(&mut self, rule: u64, action: usize, bytes: u32) {
        let count = self.counts.entry((rule, action)).or_default();
        count.0 += 1;
        count.1 += bytes;
    }

    fn drop(&mut self, rule: u64, action: usize) {
        *self.drops.entry((rule, action)).or_default() += 1;
    }
}

/// What counters count of a frame as it comes in: no Ethernet header, no first tag.
fn accounted(frame: &[u8]) -> u32 {
    received(frame).0.len() as u32 - 14
}

/// What tc means. A rule in hardware only is not there for a packet that software has taken over; software takes a packet over at the
/// first rule that it does itself, and all that was done before stays done.
fn reference<H>(setup: &Setup<'static, H>, around: &Around, frame: &[u8]) -> Seen {
    let mut slots = vec![None; setup.all.len()];
    let mut stopped = Table::new(&mut slots);
    for mut rule in setup.sorted() {
        if setup.rules[&rule.cookie.0].course == Course::Upwards {
            rule.actions = &[Action::Control(Verdict::Trap)];
        }
        stopped.insert(rule).unwrap();
    }
    for cookie in &setup.gone {
        stopped.remove(Cookie(*cookie)).unwrap();
    }
    let mut seen = Seen::default();
    let mut stage = Stage {
        sampled: true,
        ..Stage::default()
    };
    let end = stage.play_table(&stopped, frame, around.note(), Chain(0));
    let last = stage.counts.last().map(|count| &setup.rules[&count.0]);
    let taken_over = last.filter(|rule| rule.course == Course::Upwards);
    if taken_over.is_some() {
        stage.counts.pop();
    }
    seen.events = stage.events;
    for (rule, action, count) in stage.counts {
        setup.count(&mut seen, rule, action, &count);
    }
    match (taken_over, end.fate) {
        (Some(rule), _) => {
            // Where software goes on with the packet as it was changed, it accounts it as that.
            let again = !around.restores_chain || around.tunnel || around.upper;
            let accounted = again.then(|| accounted(frame));
            let from = (&end.bytes[..], around.note(), rule.chain);
            setup.software(from, accounted, &mut seen);
        }
        (None, Fate::Accept | Fate::Miss(_)) => seen.up = Some((end.bytes, end.mark)),
        (None, Fate::Trap) => seen.trapped = true,
        (None, Fate::Drop | Fate::Consumed) => {}
    }
    seen
}

/// The device, and then software from where the plan says.
fn hybrid<'r, H: Hardware<'r>>(setup: &mut Setup<'r, H>, around: &Around, frame: &[u8]) -> Seen {
    let note = around.note();
    let ended = setup.hardware.run(frame, note);
    let mut seen = Seen {
        events: ended.events,
        ..Seen::default()
    };
    for (rule, (action, counts), bytes) in ended.counts {
        if counts == Counts::Dropped {
            seen.drop(rule, usize::from(action));
            continue;
        }
        for action in &setup.rules[&rule].counters[&usize::from(action)] {
            seen.count(rule, *action, bytes);
        }
    }
    let (exit, bytes) = match ended.left {
        Left::Gone => return seen,
        Left::Rewound => (Exit::Start, frame.to_vec()),
        Left::Missed(chain, bytes) => {
            let mut misses = setup.misses.iter();
            (misses.find(|(of, _)| *of == chain).unwrap().1.exit, bytes)
        }
        Left::Marked(mark, bytes) => {
            seen.up = Some((bytes, mark));
            return seen;
        }
        Left::SentUp(rule, bytes) => {
            let rule = &setup.rules[&rule];
            if (rule.course, rule.exit) == (Course::Device, Exit::Start) {
                seen.trapped = true;
                return seen;
            }
            (rule.exit, bytes)
        }
    };
    let chain = match exit {
        Exit::Past => {
            seen.up = Some((bytes, 0));
            return seen;
        }
        Exit::Start => Chain(0),
        Exit::Chain(chain) => chain,
    };
    setup.software((&bytes, note, chain), None, &mut seen);
    seen
}

impl<'r, H> Setup<'r, H> {
    fn sorted(&self) -> Vec<Rule<'r>> {
        let rules = self.all.iter().flatten();
        let mut rules: Vec<_> = rules.map(|entry| *entry.rule()).collect();
        rules.sort_by_key(|rule| rule.cookie);
        rules
    }

    /// Notes what an action counted, where the device has a counter for it.
    fn count(&self, seen: &mut Seen, rule: u64, action: usize, count: &Count) {
        let known = &self.rules[&rule];
        let mut counters = known.counters.values();
        if counters.any(|actions| actions.contains(&action)) {
            seen.count(rule, action, count.bytes);
        }
        if count.drop && known.dropping.contains(&action) {
            seen.drop(rule, action);
        }
    }

    /// Software tc, from a chain on.
    fn software(
        &self,
        (frame, note, chain): (&[u8], Option<Tunnel<'r>>, Chain),
        accounted: Option<u32>,
        seen: &mut Seen,
    ) {
        let mut slots = vec![None; self.all.len()];
        let mut table = Table::new(&mut slots);
        let rules = self.sorted();
        for rule in &rules {
            table.insert(*rule).unwrap();
        }
        // Masks of rules in hardware only are masks in software too, and rules that have gone may have brought masks.
        for (cookie, rule) in &self.rules {
            if rule.skip_sw || self.gone.contains(cookie) {
                table.remove(Cookie(*cookie)).unwrap();
            }
        }
        let mut stage = Stage {
            sampled: true,
            accounted,
            ..Stage::default()
        };
        let end = stage.play_table(&table, frame, note, chain);
        seen.events.append(&mut stage.events);
        for (rule, action, count) in stage.counts {
            self.count(seen, rule, action, &count);
        }
        match end.fate {
            Fate::Accept | Fate::Miss(_) => seen.up = Some((end.bytes, end.mark)),
            Fate::Trap => seen.trapped = true,
            Fate::Drop | Fate::Consumed => {}
        }
    }
}

impl<'r, H: Hardware<'r>> Setup<'r, H> {
    /// Takes a rule out of hardware and software.
    fn remove(&mut self, cookie: u64, wish: &Wish) {
        self.gone.insert(cookie);
        self.hardware.remove(cookie);
        let known = &self.rules[&cookie];
        let slots = self.slots.get_mut(&(wish.chain, wish.priority)).unwrap();
        Order::new(wish.priority, slots).unwrap().leave(known.slot);
    }
}

/// Plays all frames over rules, and again when some have gone.
pub fn compare<H: Hardware<'static>>(
    wishes: &[Wish],
    gone: &[usize],
    around: &Around,
    device: &FlowCaps,
) -> Result<(), TestCaseError> {
    // Rules are kept for good, as the oracle borrows them; a test's worth of them is small.
    let wishes: &'static [Wish] = Box::leak(wishes.to_vec().into_boxed_slice());
    let caps = around.caps(device);
    let mut setup = build::<H>(wishes, around, &caps);
    play(&mut setup, around)?;
    // The place of a rule out of order is right only as long as no other goes.
    if setup.rules.values().any(|rule| rule.out_of_order) {
        return Ok(());
    }
    for cookie in gone.iter().map(|at| at % wishes.len()) {
        let there = setup.rules.contains_key(&(cookie as u64));
        if there && !setup.gone.contains(&(cookie as u64)) {
            setup.remove(cookie as u64, &wishes[cookie]);
            play(&mut setup, around)?;
        }
    }
    Ok(())
}

fn play<H: Hardware<'static>>(
    setup: &mut Setup<'static, H>,
    around: &Around,
) -> Result<(), TestCaseError> {
    for number in 0..FRAMES {
        let frame = frame(number, around.tunnel);
        let reference = reference(setup, around, &frame);
        let hybrid = hybrid(setup, around, &frame);
        prop_assert_eq!(&reference, &hybrid, "frame {}", number);
    }
    Ok(())
}
