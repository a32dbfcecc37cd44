// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Device, then software from where the plan says, against software alone: packets, copies and counters, for random rules.

#[path = "support/device.rs"]
mod device;
#[path = "support/planner.rs"]
mod planner;
#[path = "support/stage.rs"]
mod stage;
mod support;

use std::collections::BTreeMap;

use device::{Device, Installed, Left};
use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::tunnel::TunnelKind;
use oxnic_offload::oracle::{Entry, Fate, Table};
use oxnic_offload::packet::{Address, Tunnel};
use oxnic_offload::plan::chains::miss;
use oxnic_offload::plan::order::{Ranges, Slot};
use oxnic_offload::plan::{Context, Course, Exit, Need, Order, Software, Statistics};
use oxnic_offload::rule::action::checksum;
use oxnic_offload::rule::police::Rate;
use oxnic_offload::rule::{
    Action, Chain, Classifier, Cookie, Direction, Edit, Field, Header, Key, Operation, Police,
    Port, Range, Rule, Verdict,
};
use planner::{everything, plan, plan_as, VXLAN};
use proptest::prelude::*;
use stage::{Event, Stage};
use support::{ethernet_frame, received, sample, tagged};

const CHAINS: u32 = 4;

/// The world in which rules are planned.
#[derive(Clone, Copy, Debug)]
struct Around {
    restores_chain: bool,
    skips_tc: bool,
    rewinds: bool,
    tunnel: bool,
    statistics: Statistics,
}

fn around() -> impl Strategy<Value = Around> {
    let statistics = prop_oneof![
        Just(Statistics::Off),
        Just(Statistics::Rule),
        Just(Statistics::Actions)
    ];
    (any::<[bool; 3]>(), prop::bool::weighted(0.25), statistics).prop_map(
        |([restores_chain, skips_tc, rewinds], tunnel, statistics)| Around {
            restores_chain,
            skips_tc,
            rewinds,
            tunnel,
            statistics,
        },
    )
}

impl Around {
    fn caps(&self) -> FlowCaps {
        let mut caps = everything();
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
struct Wish {
    chain: u32,
    priority: u32,
    key: Key<'static>,
    actions: Vec<Action<'static>>,
    skip_sw: bool,
}

impl Wish {
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
        2 => (0..6u32).prop_map(Verdict::Jump),
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

fn wish() -> impl Strategy<Value = Wish> {
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

fn frame(number: usize) -> Vec<u8> {
    match number {
        0..=2 => sample(number),
        3 => tagged(&sample(0), 0x8100, 0x3005),
        4 => tagged(&tagged(&sample(0), 0x8100, 5), 0x88a8, 6),
        5 => ethernet_frame(0x0806, &[0; 40]),
        _ => sample(0)[..30].to_vec(),
    }
}

const FRAMES: usize = 7;

/// Hardware and software with the same rules, as a driver would have put them in.
struct Setup<'r> {
    /// Everything, in software.
    all: Vec<Option<Entry<'r>>>,
    /// What tc let in, with whether it is in hardware only.
    skip_sw: BTreeMap<u64, bool>,
    device: Device<'r>,
    exits: BTreeMap<u64, Exit>,
    /// Rules that software does, with their chains.
    upwards: BTreeMap<u64, Chain>,
    refused: usize,
    stand_ins: usize,
    in_hardware: usize,
}

/// Whether the order refused a rule that stands in: its place is right as long as no rule goes.
fn build<'r>(wishes: &'r [Wish], around: &Around, caps: &FlowCaps) -> Setup<'r> {
    let mut setup = Setup {
        all: vec![None; wishes.len()],
        skip_sw: BTreeMap::new(),
        device: Device {
            tunnel: around.tunnel.then_some(TunnelKind::VXLAN),
            ..Device::default()
        },
        exits: BTreeMap::new(),
        upwards: BTreeMap::new(),
        refused: 0,
        stand_ins: 0,
        in_hardware: 0,
    };
    let mut slots: BTreeMap<(u32, u32), Vec<Slot>> = BTreeMap::new();
    let mut masks: Vec<Key<'r>> = Vec::new();
    let mut entries = vec![None; wishes.len()];
    let mut table = Table::new(&mut entries);
    for (number, wish) in wishes.iter().enumerate() {
        let rule = Rule {
            cookie: Cookie(number as u64),
            classifier: wish.classifier(),
            chain: Chain(wish.chain),
            priority: wish.priority,
            protocol: if (wish.chain + wish.priority) % 3 == 0 {
                0x0800
            } else {
                3
            },
            key: wish.key,
            actions: &wish.actions,
        };
        if oxnic_offload::rule::check(&rule).is_err() || table.insert(rule).is_err() {
            continue;
        }
        let mask = masks.iter().position(|key| key.has_mask_of(&rule.key));
        let mask = mask.unwrap_or_else(|| {
            masks.push(rule.key);
            masks.len() - 1
        });
        let slots = slots.entry((wish.chain, wish.priority));
        let slots = slots.or_insert_with(|| vec![Slot::default(); wishes.len()]);
        let mut order = Order::new(wish.priority, slots).unwrap();
        let context = around.context(caps, wish.skip_sw);
        let ranges = Ranges {
            src: rule.key.src_range,
            dst: rule.key.dst_range,
        };
        let placed = order.enter(mask as u32, ranges, false);
        let planned = placed.and_then(|_| plan(&rule, &context));
        let (place, planned) = match (placed, planned) {
            (Ok(place), Ok(planned)) => {
                setup.in_hardware += 1;
                (place, planned)
            }
            (placed, _) if wish.skip_sw => {
                setup.refused += 1;
                if let Ok(place) = placed {
                    order.leave(place.slot);
                }
                table.remove(rule.cookie).unwrap();
                continue;
            }
            (placed, _) => {
                let place = placed.or_else(|_| order.enter(mask as u32, ranges, true));
                setup.stand_ins += 1;
                (place.unwrap(), plan_as(&rule, &context, true).unwrap())
            }
        };
        setup.skip_sw.insert(number as u64, wish.skip_sw);
        setup.exits.insert(number as u64, planned.exit);
        if planned.course == Course::Upwards {
            setup.upwards.insert(number as u64, rule.chain);
        }
        setup.device.rules.push(Installed {
            cookie: number as u64,
            chain: wish.chain,
            priority: place.priority,
            planned,
        });
    }
    let context = around.context(caps, false);
    let chains = 0..CHAINS + 1;
    setup.device.misses = chains
        .map(|chain| (chain, miss(&context, Chain(chain))))
        .collect();
    setup.all = entries;
    setup
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
}

impl Seen {
    fn count(&mut self, rule: u64, action: usize, bytes: u32) {
        let count = self.counts.entry((rule, action)).or_default();
        count.0 += 1;
        count.1 += bytes;
    }
}

/// Runs software tc from a chain on.
fn software<'r>(
    entries: &[Option<Entry<'r>>],
    only: impl Fn(u64) -> bool,
    (frame, note, chain): (&[u8], Option<Tunnel<'r>>, Chain),
    accounted: Option<u32>,
    counted: impl Fn(u64, usize) -> bool,
    sampled: bool,
    seen: &mut Seen,
) {
    let mut slots = vec![None; entries.len()];
    let mut table = Table::new(&mut slots);
    let mut rules: Vec<Rule<'r>> = entries
        .iter()
        .flatten()
        .map(|entry| *entry.rule())
        .collect();
    rules.sort_by_key(|rule| rule.cookie);
    for rule in &rules {
        table.insert(*rule).unwrap();
    }
    // Masks of rules in hardware only are masks in software too.
    for rule in rules.iter().filter(|rule| !only(rule.cookie.0)) {
        table.remove(rule.cookie).unwrap();
    }
    let mut stage = Stage {
        sampled,
        accounted,
        ..Stage::default()
    };
    let end = stage.play_table(&table, frame, note, chain);
    seen.events.append(&mut stage.events);
    for (rule, action, count) in stage.counts {
        if counted(rule, action) {
            seen.count(rule, action, count.bytes);
        }
    }
    match end.fate {
        Fate::Accept | Fate::Miss(_) => seen.up = Some((end.bytes, end.mark)),
        Fate::Trap => seen.trapped = true,
        Fate::Drop | Fate::Consumed => {}
    }
}

/// What counters count of a frame as it comes in: no Ethernet header, no first tag.
fn accounted(frame: &[u8]) -> u32 {
    received(frame).0.len() as u32 - 14
}

/// What tc means. A rule in hardware only is not there for a packet that software has taken over; software takes a packet over at the first rule
/// that it does itself, and all that was done before stays done.
fn reference(setup: &Setup<'static>, around: &Around, frame: &[u8]) -> Seen {
    let counted = |rule: u64, action: usize| around.counts(setup, rule, action);
    let mut slots = vec![None; setup.all.len()];
    let mut stopped = Table::new(&mut slots);
    let mut rules: Vec<Rule<'_>> = setup
        .all
        .iter()
        .flatten()
        .map(|entry| *entry.rule())
        .collect();
    rules.sort_by_key(|rule| rule.cookie);
    for rule in &mut rules {
        if setup.upwards.contains_key(&rule.cookie.0) {
            rule.actions = &[Action::Control(Verdict::Trap)];
        }
        stopped.insert(*rule).unwrap();
    }
    let mut seen = Seen::default();
    let mut stage = Stage {
        sampled: setup.device.sampled,
        ..Stage::default()
    };
    let end = stage.play_table(&stopped, frame, around.note(), Chain(0));
    let last = stage.counts.last().map(|count| count.0);
    let taken_over = last.and_then(|rule| setup.upwards.get(&rule)).copied();
    if taken_over.is_some() {
        stage.counts.pop();
    }
    seen.events = stage.events;
    for (rule, action, count) in stage.counts {
        if counted(rule, action) {
            seen.count(rule, action, count.bytes);
        }
    }
    match (taken_over, end.fate) {
        (Some(chain), _) => software(
            &setup.all,
            |rule| !setup.skip_sw[&rule],
            (&end.bytes, around.note(), chain),
            // Where software goes on with the packet as it was changed, it accounts it as that.
            (!around.restores_chain || around.tunnel).then(|| accounted(frame)),
            counted,
            setup.device.sampled,
            &mut seen,
        ),
        (None, Fate::Accept | Fate::Miss(_)) => seen.up = Some((end.bytes, end.mark)),
        (None, Fate::Trap) => seen.trapped = true,
        (None, Fate::Drop | Fate::Consumed) => {}
    }
    seen
}

fn hybrid(setup: &Setup<'_>, around: &Around, frame: &[u8]) -> Seen {
    let note = around.note();
    let ended = setup.device.run(frame, note);
    let mut seen = Seen {
        events: ended.events,
        ..Seen::default()
    };
    // A counter stands for all actions up to the next one; compared is the first of them.
    for (rule, action, bytes) in ended.counts {
        seen.count(rule, usize::from(action), bytes);
    }
    let from = |exit, bytes: Vec<u8>| match exit {
        Exit::Past => None,
        Exit::Start => Some((bytes, Chain(0))),
        Exit::Chain(chain) => Some((bytes, chain)),
    };
    let onward = match ended.left {
        Left::Gone => return seen,
        Left::Rewound => Some((frame.to_vec(), Chain(0))),
        Left::Missed(chain, bytes) => {
            let misses = setup.device.misses.iter();
            let (_, miss) = misses.clone().find(|(of, _)| *of == chain).unwrap();
            from(miss.exit, bytes)
        }
        Left::Accepted(rule, bytes, mark) => {
            let exit = setup.exits[&rule];
            if exit == Exit::Past {
                seen.up = Some((bytes.clone(), mark));
            }
            from(exit, bytes)
        }
        Left::Trapped(..) => {
            seen.trapped = true;
            None
        }
    };
    if let Some((bytes, chain)) = onward {
        let counted = |rule: u64, action: usize| around.counts(setup, rule, action);
        software(
            &setup.all,
            |rule| !setup.skip_sw[&rule],
            (&bytes, note, chain),
            None,
            counted,
            setup.device.sampled,
            &mut seen,
        );
    }
    seen
}

impl Around {
    /// Whether an action's count is compared: where the device has a counter for just that one.
    fn counts(&self, setup: &Setup<'_>, rule: u64, action: usize) -> bool {
        let mut rules = setup.device.rules.iter();
        let installed = rules.find(|installed| installed.cookie == rule).unwrap();
        let counters = installed.planned.needs.iter();
        let mut counters = counters.filter_map(|need| match need {
            Need::Counter { action, .. } => Some(usize::from(*action)),
            _ => None,
        });
        counters.any(|counter| counter == action)
    }
}

fn compare(
    wishes: &[Wish],
    around: &Around,
    frames: &[usize],
) -> Result<Setup<'static>, TestCaseError> {
    // Rules are kept for good, as the oracle borrows them; a test's worth of them is small.
    let wishes: &'static [Wish] = Box::leak(wishes.to_vec().into_boxed_slice());
    let caps = around.caps();
    let mut setup = build(wishes, around, &caps);
    setup.device.sampled = true;
    for number in frames {
        let frame = frame(*number);
        let reference = reference(&setup, around, &frame);
        let hybrid = hybrid(&setup, around, &frame);
        prop_assert_eq!(&reference, &hybrid, "frame {}", number);
    }
    Ok(setup)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn device_and_then_software_do_what_software_alone_does(
        wishes in prop::collection::vec(wish(), 1..14),
        around in around(),
    ) {
        compare(&wishes, &around, &(0..FRAMES).collect::<Vec<_>>())?;
    }
}
