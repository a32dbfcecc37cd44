// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What a case is made of: rules as they are made up, policers, frames with the time between them.

use crate::device::CHAINS;
use crate::frames;
use oxnic_offload::rule::police::Rate;
use oxnic_offload::rule::{Action, Chain, Direction, Edit, Header, Operation, Port, Verdict};
use proptest::prelude::*;
use proptest::sample::Index;

/// An action as it is made up; edits have no owner else.
#[derive(Clone, Debug)]
pub enum Step {
    Plain(Action<'static>),
    Edits(Vec<Edit>),
    /// Which of the policers, and its verdicts.
    Police(usize, Verdict, Verdict),
}

/// How a field is matched.
#[derive(Clone, Debug)]
pub struct Match {
    pub field: Index,
    /// 0: all bits, 1: the first half, else some.
    pub how: u8,
    pub noise: u8,
}

/// A rule as it is made up. It matches what some frame has.
#[derive(Clone, Debug)]
pub struct Spec {
    pub chain: u32,
    pub priority: u32,
    pub protocol: Option<Index>,
    pub frame: Index,
    pub fields: Vec<Match>,
    pub ranges: [Option<(u16, u16)>; 2],
    pub options: Option<u8>,
    pub matchall: bool,
    pub steps: Vec<Step>,
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![3 => Just(Direction::Egress), 1 => Just(Direction::Ingress)]
}

fn edit() -> impl Strategy<Value = Edit> {
    let headers = [
        (Header::Ethernet, 14u32),
        (Header::Network, 20),
        (Header::Ipv4, 20),
        (Header::Ipv6, 40),
        (Header::Tcp, 20),
        (Header::Udp, 8),
    ];
    let header = proptest::sample::select(headers.to_vec());
    let small = prop_oneof![any::<[u8; 4]>(), Just([1, 0, 0, 0]), Just([0, 0, 0, 0])];
    (
        header,
        any::<Index>(),
        any::<bool>(),
        small,
        any::<[u8; 4]>(),
    )
        .prop_map(|((header, length), at, add, keep, value)| {
            let offset = at.index(length.div_ceil(4) as usize) as u32 * 4;
            let mut keep = keep;
            for (byte, keep) in (offset..).zip(&mut keep) {
                *keep = if byte < length { *keep } else { 0xff };
            }
            let mut value = value;
            for (value, keep) in value.iter_mut().zip(keep) {
                *value &= !keep;
            }
            Edit {
                header,
                offset,
                operation: if add { Operation::Add } else { Operation::Set },
                keep,
                value,
            }
        })
}

fn police() -> impl Strategy<Value = (Rate, u32)> {
    let rate = prop_oneof![
        Just(Rate::None),
        (1u64..2_000_000, 1u64..5_000_000_000)
            .prop_map(|(rate, burst)| Rate::Bytes { rate, burst }),
        (1u64..5, 1u64..5_000_000_000).prop_map(|(rate, burst)| Rate::Packets { rate, burst }),
    ];
    (rate, prop_oneof![Just(u32::MAX), 40u32..120])
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        4 => Just(Verdict::Pipe),
        2 => Just(Verdict::Drop),
        1 => Just(Verdict::Accept),
        1 => Just(Verdict::Continue),
        1 => (0..CHAINS).prop_map(|chain| Verdict::Goto(Chain(chain))),
        1 => (0u32..6).prop_map(Verdict::Jump),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let tpid = || proptest::sample::select(vec![0x8100u16, 0x88a8]);
    let plain = prop_oneof![
        3 => (1u32..6, direction()).prop_map(|(port, to)| Action::Mirror(Port(port), to)),
        2 => (1u32..6, direction()).prop_map(|(port, to)| Action::Redirect(Port(port), to)),
        2 => (tpid(), 0u16..4, 0u8..8).prop_map(|(tpid, id, priority)| Action::VlanPush { tpid, id, priority }),
        2 => Just(Action::VlanPop),
        1 => (tpid(), 0u16..4, proptest::option::of(0u8..8)).prop_map(|(tpid, id, priority)| Action::VlanModify { tpid, id, priority }),
        3 => any::<u8>().prop_map(|what| Action::Checksum(what & 0x7f)),
        1 => Just(Action::Checksum(0x7f)),
        1 => any::<u32>().prop_map(Action::Mark),
        1 => any::<u32>().prop_map(Action::Priority),
        1 => (1u32..9, proptest::option::of(1u32..80)).prop_map(|(group, truncate)| Action::Sample { group, rate: 1, truncate }),
        1 => Just(Action::TunnelUnset),
        1 => Just(Action::Control(Verdict::Drop)),
        1 => Just(Action::Control(Verdict::Accept)),
        1 => Just(Action::Control(Verdict::Trap)),
        2 => (0..CHAINS).prop_map(|chain| Action::Control(Verdict::Goto(Chain(chain)))),
    ];
    prop_oneof![
        8 => plain.prop_map(Step::Plain),
        3 => proptest::collection::vec(edit(), 1..4).prop_map(Step::Edits),
        1 => (0usize..2, verdict(), verdict()).prop_map(|(which, within, beyond)| Step::Police(which, within, beyond)),
    ]
}

fn spec() -> impl Strategy<Value = Spec> {
    let one = (any::<Index>(), 0u8..4, any::<u8>());
    let one = one.prop_map(|(field, how, noise)| Match { field, how, noise });
    // From a port that frames have, or to one, or beside it.
    let range = || {
        let ends = [
            (0u16, 53u16),
            (1, 53),
            (53, 80),
            (54, 79),
            (80, 1000),
            (81, 0xffff),
            (1000, 4789),
        ];
        proptest::option::weighted(0.15, proptest::sample::select(ends.to_vec()))
    };
    let first = (
        0..CHAINS,
        1u32..4,
        proptest::option::weighted(0.3, any::<Index>()),
        any::<Index>(),
    );
    let second = (
        proptest::collection::vec(one, 0..4),
        [range(), range()],
        proptest::option::weighted(0.3, any::<u8>()),
        proptest::bool::weighted(0.05),
        proptest::collection::vec(step(), 1..6),
    );
    (first, second).prop_map(
        |((chain, priority, protocol, frame), (fields, ranges, options, matchall, steps))| Spec {
            // Most rules are where frames start.
            chain: if frame.index(3) == 0 { chain } else { 0 },
            priority,
            protocol,
            frame,
            fields,
            ranges,
            options,
            matchall,
            steps,
        },
    )
}

/// Everything that a case is made of.
#[derive(Clone, Debug)]
pub struct Case {
    pub specs: Vec<Spec>,
    pub polices: Vec<(Rate, u32)>,
    pub frames: Vec<(Vec<u8>, u64)>,
    pub gone: Vec<Index>,
}

pub fn case() -> impl Strategy<Value = Case> {
    let frame = (frames::frame(), 0u64..3_000_000_000);
    (
        proptest::collection::vec(spec(), 1..14),
        proptest::collection::vec(police(), 2),
        proptest::collection::vec(frame, 1..8),
        proptest::collection::vec(any::<Index>(), 0..3),
    )
        .prop_map(|(specs, polices, frames, gone)| Case {
            specs,
            polices,
            frames,
            gone,
        })
}
