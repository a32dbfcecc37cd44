// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What the shaper owes to whom, tried on a link without a device.

use super::settings::{DEPTH, Fault, NODES, Name, Plan, RATE_MAX, Settings};
use super::{CLASSES, LOOK, Next, PATIENCE, Shaper, TURN_BYTES};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;
/// Of a bucket, plus what a packet takes it below zero.
const SLACK: u64 = 131_072 + 65_536;

/// A link, and VFs that always have packets, or not.
struct Link {
    shaper: Shaper,
    now: u64,
    /// Bytes a second that go through.
    speed: u64,
    /// Length of packets, by VF and class; 0: none.
    packets: Vec<[u64; CLASSES]>,
    sent: Vec<[u64; CLASSES]>,
}

impl Link {
    fn new(plan: Plan, speed: u64, packets: Vec<[u64; CLASSES]>) -> Self {
        let count = packets.len();
        let mut link = Self {
            shaper: Shaper::new(count as u16),
            now: 0,
            speed,
            packets,
            sent: vec![[0; CLASSES]; count],
        };
        assert!(link.shaper.change(plan, 0).is_empty());
        for vf in 0..count as u16 {
            link.start(vf);
        }
        link
    }

    /// All VFs with packets of one length, of class 0.
    fn full(plan: Plan, speed: u64) -> Self {
        let packets = plan.leaves.iter().map(|_| [1514, 0, 0, 0, 0, 0, 0, 0]);
        let packets = packets.collect();
        Self::new(plan, speed, packets)
    }

    fn start(&mut self, vf: u16) {
        for class in 0..CLASSES {
            if self.packets[usize::from(vf)][class] != 0 {
                self.shaper.add(vf, class as u16, class as u8, self.now);
            }
        }
    }

    fn run(&mut self, time: u64) {
        let end = self.now + time;
        while self.now < end {
            match self.shaper.next(self.now) {
                Next::Idle => self.now = end,
                Next::Wait(at) => {
                    assert!(at > self.now, "it waits for a time that has passed");
                    self.now = at.min(end);
                }
                Next::Turn(vf, queue) => {
                    let class = usize::from(queue);
                    let length = self.packets[usize::from(vf)][class];
                    assert_ne!(length, 0, "VF {vf} has its turn without packets");
                    while self.shaper.goes_on(self.now) {
                        self.sent[usize::from(vf)][class] += length;
                        self.shaper.pay(length);
                        self.now += length * SECOND / self.speed;
                    }
                    self.shaper.add(vf, queue, class as u8, self.now);
                }
            }
        }
    }

    fn of(&self, vf: usize) -> u64 {
        self.sent[vf].iter().sum()
    }

    /// What everything below a node has sent.
    fn below(&self, node: u16) -> u64 {
        let plan = self.shaper.plan();
        let is_below = |vf: u16| {
            let mut parent = plan.leaves[usize::from(vf)].parent;
            while parent != 0 && parent != node {
                parent = plan.node(parent).map_or(0, |settings| settings.parent);
            }
            parent == node
        };
        let leaves = (0..self.sent.len() as u16).filter(|vf| is_below(*vf));
        leaves.map(|vf| self.of(usize::from(vf))).sum()
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    let rate = prop_oneof![2 => Just(0u64), 3 => 100_000u64..20_000_000];
    let classes = prop_oneof![3 => Just([0u8; CLASSES]), 1 => prop::array::uniform8(0u8..=100)];
    let weight = prop_oneof![Just(0u32), 1u32..=1000];
    (0u16..=4, rate.clone(), rate, 0u32..=7, weight, classes).prop_map(
        |(parent, share, max, priority, weight, classes)| Settings {
            parent,
            share,
            max,
            priority,
            weight,
            classes,
            ..Settings::default()
        },
    )
}

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![
        (0u16..6).prop_map(Name::Leaf),
        (1u16..=6).prop_map(Name::Node)
    ]
}

/// A tree that came about by changes that were checked; others have changed nothing.
fn plan() -> impl Strategy<Value = Plan> {
    prop::collection::vec((name(), settings()), 0..40).prop_map(|changes| {
        let mut plan = Plan::new(6);
        for (name, settings) in changes {
            let mut changed = plan.clone();
            changed.put(name, settings);
            if changed.check(name).is_ok() {
                plan = changed;
            }
        }
        plan
    })
}

fn lengths() -> impl Strategy<Value = Vec<[u64; CLASSES]>> {
    let length = prop_oneof![2 => Just(0u64), 3 => 60u64..=65_536];
    prop::collection::vec(prop::array::uniform8(length), 6)
}

/// A node with these below it.
fn group(max: u64, leaves: &[Settings]) -> Plan {
    let mut plan = Plan::new(leaves.len() as u16);
    let node = Settings {
        max,
        ..Settings::default()
    };
    plan.put(Name::Node(1), node);
    for (vf, leaf) in (0u16..).zip(leaves) {
        plan.put(Name::Leaf(vf), Settings { parent: 1, ..*leaf });
        assert_eq!(plan.check(Name::Leaf(vf)), Ok(()));
    }
    plan
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_that_was_checked_has_no_loop_and_keeps_its_limits(plan in plan()) {
        for node in 1..=NODES {
            let Some(settings) = plan.node(node) else { continue };
            let (mut parent, mut depth) = (settings.parent, 1);
            while parent != 0 {
                depth += 1;
                prop_assert!(depth <= DEPTH);
                parent = plan.node(parent).unwrap().parent;
            }
            prop_assert!(settings.max == 0 || plan.promised(Name::Node(node)) <= settings.max);
        }
        for leaf in &plan.leaves {
            prop_assert!(leaf.max == 0 || leaf.share <= leaf.max);
            prop_assert!(leaf.parent == 0 || plan.node(leaf.parent).is_some());
        }
    }

    #[test]
    fn nobody_sends_more_than_its_max_in_any_stretch_of_time(plan in plan(), lengths in lengths(), stop in 0u16..6) {
        let mut link = Link::new(plan, 1_000_000_000, lengths);
        for (round, time) in [SECOND / 3, SECOND, SECOND / 2].into_iter().enumerate() {
            let before: Vec<u64> = (0..6).map(|vf| link.of(vf)).collect();
            let nodes: Vec<u64> = (1..=6).map(|node| link.below(node)).collect();
            let start = link.now;
            link.run(time);
            let elapsed = link.now - start;
            let most = |max: u64| (u128::from(max) * u128::from(elapsed) / u128::from(SECOND)) as u64 + max / 500 + SLACK;
            for (vf, before) in before.into_iter().enumerate() {
                let max = link.shaper.plan().leaves[vf].max;
                prop_assert!(max == 0 || link.of(vf) - before <= most(max), "VF {}", vf);
            }
            for (node, before) in (1u16..).zip(nodes) {
                let max = link.shaper.plan().node(node).map_or(0, |settings| settings.max);
                prop_assert!(max == 0 || link.below(node) - before <= most(max), "node {}", node);
            }
            // One stops, and starts again.
            match round {
                0 => link.shaper.forget(stop),
                _ => {
                    link.shaper.forget(stop);
                    link.start(stop);
                }
            }
        }
    }

    #[test]
    fn the_link_is_never_idle_while_somebody_may_send(mut plan in plan(), lengths in lengths()) {
        // One has no limit, nor is there one above it.
        plan.put(Name::Leaf(0), Settings { max: 0, parent: 0, ..plan.leaves[0] });
        let mut lengths = lengths;
        lengths[0][3] = 1514;
        let mut link = Link::new(plan, 100_000_000, lengths);
        link.run(SECOND);
        let all: u64 = (0..6).map(|vf| link.of(vf)).sum();
        prop_assert!(all >= 99_000_000, "{} bytes at 100000000 a second", all);
    }

    #[test]
    fn promises_are_kept_whatever_the_others_want(
        shares in prop::collection::vec(0u64..=12_000_000, 6),
        others in prop::collection::vec((0u32..=7, 0u32..=1000), 6),
        limited in any::<bool>(),
    ) {
        let leaf = |(share, (priority, weight)): (&u64, &(u32, u32))| Settings {
            share: *share,
            priority: *priority,
            weight: *weight,
            ..Settings::default()
        };
        let leaves: Vec<Settings> = shares.iter().zip(&others).map(leaf).collect();
        // Either the node is what is scarce, or the link.
        let (max, speed) = if limited { (80_000_000, 1_000_000_000) } else { (0, 80_000_000) };
        let mut link = Link::full(group(max, &leaves), speed);
        link.run(SECOND);
        let start: Vec<u64> = (0..6).map(|vf| link.of(vf)).collect();
        link.run(3 * SECOND);
        for (vf, start) in start.into_iter().enumerate() {
            let sent = link.of(vf) - start;
            let due = shares[vf] * 3;
            prop_assert!(sent + due / 50 + SLACK >= due, "VF {}: {} of {}", vf, sent, due);
        }
    }

    #[test]
    fn what_is_left_goes_by_weight(
        weights in prop::collection::vec(1u32..=1000, 5),
        lengths in prop::collection::vec(60u64..=9000, 5),
    ) {
        let leaf = |weight: &u32| Settings { weight: *weight, ..Settings::default() };
        let leaves: Vec<Settings> = weights.iter().map(leaf).collect();
        let packets = lengths.iter().map(|length| [*length, 0, 0, 0, 0, 0, 0, 0]).collect();
        let mut link = Link::new(group(200_000_000, &leaves), 1_000_000_000, packets);
        link.run(4 * SECOND);
        let (all, sum): (u64, u64) = ((0..5).map(|vf| link.of(vf)).sum(), weights.iter().map(|w| u64::from(*w)).sum());
        for (vf, weight) in weights.iter().enumerate() {
            let due = all * u64::from(*weight) / sum;
            // Each may be one turn ahead of or behind what is due, and so may all others.
            let bound = 6 * (TURN_BYTES + 9000) + due / 100;
            prop_assert!(link.of(vf).abs_diff(due) <= bound, "VF {}: {} of {}", vf, link.of(vf), due);
        }
    }

    #[test]
    fn classes_get_their_parts(parts in prop::array::uniform8(0u8..=100), of_node in any::<bool>()) {
        prop_assume!(parts.iter().any(|part| *part != 0));
        let mut plan = Plan::new(1);
        let with = Settings { classes: parts, ..Settings::default() };
        let name = if of_node { Name::Node(1) } else { Name::Leaf(0) };
        plan.put(name, with);
        if of_node {
            plan.put(Name::Leaf(0), Settings { parent: 1, ..Settings::default() });
        }
        let mut link = Link::new(plan, 100_000_000, vec![[1514; CLASSES]]);
        link.run(2 * SECOND);
        let sum: u64 = parts.iter().map(|part| u64::from(*part)).sum();
        for (class, part) in parts.iter().enumerate() {
            let due = link.of(0) * u64::from(*part) / sum;
            let sent = link.sent[0][class];
            prop_assert!(sent.abs_diff(due) <= due / 100 + 16 * 1514, "class {}: {} of {}", class, sent, due);
        }
    }
}

#[test]
fn the_highest_priority_goes_first_and_leaves_what_it_may_not_send() {
    let leaf = |priority, max| Settings {
        priority,
        max,
        ..Settings::default()
    };
    let leaves = [leaf(3, 0), leaf(2, 0), leaf(7, 30_000_000)];
    let mut link = Link::full(group(100_000_000, &leaves), 1_000_000_000);
    link.run(2 * SECOND);
    assert!(
        link.of(2).abs_diff(60_000_000) < 1_000_000,
        "{:?}",
        link.sent
    );
    assert!(
        link.of(0).abs_diff(140_000_000) < 2_000_000,
        "{:?}",
        link.sent
    );
    assert_eq!(link.of(1), 0, "the lowest has its turn");
    // Once the highest has stopped, the lowest has its turn.
    link.shaper.forget(0);
    link.run(SECOND);
    assert!(
        link.of(1).abs_diff(70_000_000) < 2_000_000,
        "{:?}",
        link.sent
    );
}

#[test]
fn what_is_promised_below_is_promised_above() {
    let mut plan = Plan::new(2);
    let put = |plan: &mut Plan, name, settings| {
        plan.put(name, settings);
        assert_eq!(plan.check(name), Ok(()));
    };
    let node = |parent, priority| Settings {
        parent,
        priority,
        ..Settings::default()
    };
    put(&mut plan, Name::Node(1), node(0, 0));
    put(&mut plan, Name::Node(2), node(1, 0));
    put(&mut plan, Name::Node(3), node(0, 7));
    let promised = Settings {
        parent: 2,
        share: 20_000_000,
        ..Settings::default()
    };
    put(&mut plan, Name::Leaf(0), promised);
    put(&mut plan, Name::Leaf(1), node(3, 0));
    let mut link = Link::full(plan, 100_000_000);
    link.run(3 * SECOND);
    assert!(
        link.of(0).abs_diff(60_000_000) < 2_000_000,
        "{:?}",
        link.sent
    );
}

#[test]
fn who_comes_late_neither_catches_up_nor_waits() {
    let mut link = Link::full(group(100_000_000, &[Settings::default(); 3]), 1_000_000_000);
    link.shaper.forget(2);
    link.run(3 * SECOND);
    assert_eq!(link.of(2), 0);
    let before = [link.of(0), link.of(1)];
    link.start(2);
    link.run(3 * SECOND);
    for sent in [link.of(0) - before[0], link.of(1) - before[1], link.of(2)] {
        assert!(sent.abs_diff(100_000_000) < 2_000_000, "{:?}", link.sent);
    }
}

#[test]
fn one_that_has_stopped_leaves_nothing_behind() {
    let mut link = Link::full(group(1_000_000, &[Settings::default(); 2]), 1_000_000_000);
    link.run(SECOND);
    link.shaper.forget(0);
    link.shaper.forget(1);
    assert!(link.shaper.is_empty());
    assert_eq!(link.shaper.next(link.now), Next::Idle);
    // Nor does a tree that is gone: queues come back to be listed elsewhere.
    link.start(0);
    assert_eq!(link.shaper.change(Plan::new(2), link.now), [(0, 0)]);
    assert!(link.shaper.is_empty() && !link.shaper.shapes());
}

#[test]
fn who_waits_for_too_long_is_told_and_nobody_else() {
    let leaf = |priority| Settings {
        priority,
        ..Settings::default()
    };
    let mut link = Link::full(group(10_000_000, &[leaf(0), leaf(1)]), 1_000_000_000);
    link.run(PATIENCE - LOOK);
    assert_eq!(link.shaper.overdue(link.now), None);
    link.run(2 * LOOK);
    assert_eq!(link.shaper.overdue(link.now), Some((0, 0)));
    assert_eq!(link.shaper.overdue(link.now), None);
}

#[test]
fn trees_that_may_not_be_are_refused() {
    let mut plan = Plan::new(2);
    let mut fault = |name, settings| {
        let mut changed = plan.clone();
        changed.put(name, settings);
        let result = changed.check(name);
        if result.is_ok() {
            plan = changed;
        }
        result.err()
    };
    let below = |parent| Settings {
        parent,
        ..Settings::default()
    };
    for (number, parent) in [(1, 0), (2, 1), (3, 2), (4, 3)] {
        assert_eq!(fault(Name::Node(number), below(parent)), None);
    }
    assert_eq!(fault(Name::Node(5), below(4)), Some(Fault::Depth));
    assert_eq!(fault(Name::Leaf(0), below(4)), None);
    assert_eq!(fault(Name::Node(1), below(4)), Some(Fault::Loop));
    assert_eq!(fault(Name::Node(1), below(1)), Some(Fault::Loop));
    assert_eq!(fault(Name::Leaf(1), below(9)), Some(Fault::NoParent));
    assert_eq!(
        fault(Name::Leaf(1), below(NODES + 1)),
        Some(Fault::Limit(8))
    );
    let with = |share, max| Settings {
        share,
        max,
        ..below(4)
    };
    assert_eq!(fault(Name::Leaf(0), with(2, 1)), Some(Fault::ShareOverMax));
    assert_eq!(
        fault(Name::Leaf(0), with(RATE_MAX + 1, 0)),
        Some(Fault::Limit(16))
    );
    assert_eq!(
        fault(Name::Leaf(0), with(0, RATE_MAX + 1)),
        Some(Fault::Limit(24))
    );
    let limited = Settings {
        max: 100,
        ..below(1)
    };
    assert_eq!(fault(Name::Node(2), limited), None);
    assert_eq!(
        fault(Name::Leaf(0), with(101, 0)),
        Some(Fault::SharesOverParent)
    );
    assert_eq!(fault(Name::Leaf(0), with(60, 0)), None);
    assert_eq!(
        fault(Name::Leaf(1), with(41, 0)),
        Some(Fault::SharesOverParent)
    );
    let lower = Settings {
        max: 59,
        ..below(1)
    };
    assert_eq!(fault(Name::Node(2), lower), Some(Fault::SharesOverParent));
}
