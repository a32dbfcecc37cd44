// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Any rules over any frames: what leaves, in which order, with which bytes, and what is counted.

use crate::device::{CHAINS, Device};
use crate::fields::{oracle_ports, received};
use crate::frames::{self, Outer};
use crate::oracle::{Event, Noted};
use oxnic_offload::oracle::{Entry, Table};
use oxnic_offload::packet::tunnel::{Opened, TunnelKind, TunnelOptions, open};
use oxnic_offload::packet::{Frame, Tunnel, dissect, ethernet};
use oxnic_offload::plan::{TunnelDevice, TunnelId};
use oxnic_offload::rule::field::TABLE;
use oxnic_offload::rule::police::Rate;
use oxnic_offload::rule::{
    Action, Chain, Classifier, Cookie, Direction, Edit, Field, Header, Key, Operation,
    OptionsMatch, Police, Port, Range, Rule, Seen, Values, Verdict,
};
use proptest::prelude::*;
use proptest::sample::Index;

/// An action as it is made up; edits have no owner else.
#[derive(Clone, Debug)]
enum Step {
    Plain(Action<'static>),
    Edits(Vec<Edit>),
    /// Which of the policers, and its verdicts.
    Police(usize, Verdict, Verdict),
}

/// How a field is matched.
#[derive(Clone, Debug)]
struct Match {
    field: Index,
    /// 0: all bits, 1: the first half, else some.
    how: u8,
    noise: u8,
}

/// A rule as it is made up. It matches what some frame has.
#[derive(Clone, Debug)]
struct Spec {
    chain: u32,
    priority: u32,
    protocol: Option<Index>,
    frame: Index,
    fields: Vec<Match>,
    ranges: [Option<(u16, u16)>; 2],
    options: Option<u8>,
    matchall: bool,
    steps: Vec<Step>,
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

/// A frame that rules match by, as the oracle sees it.
struct Sample<'f> {
    values: Values<'f>,
    protocol: u16,
}

impl Spec {
    fn key<'r>(&'r self, sample: &Sample<'r>, mask: &'r [u8], external: bool) -> Key<'r> {
        let mut key = Key::default();
        for one in &self.fields {
            let field = TABLE[one.field.index(TABLE.len())].field;
            let width = field.width();
            let spare = width * 8 - field.description().bits;
            let mut bits = vec![0xffu8; width];
            match one.how {
                0 => {}
                1 => bits[width / 2..].fill(0),
                _ => bits.iter_mut().for_each(|byte| *byte = one.noise),
            }
            // Of ports no part can be matched, nor what is not in the packet at all.
            if field == Field::IngressPort {
                bits.fill(0xff);
            }
            bits[0] &= 0xff >> spare;
            let value: Vec<u8> = sample
                .values
                .get(field)
                .iter()
                .zip(&bits)
                .map(|(value, bits)| value & bits)
                .collect();
            if bits.iter().any(|byte| *byte != 0) {
                key.set(field, &value, &bits).unwrap();
            }
        }
        let range = |range: Option<(u16, u16)>| range.map(|(min, max)| Range { min, max });
        [key.src_range, key.dst_range] = self.ranges.map(range);
        if external {
            // Whose frames a rule of a tunnel device opens has to be said.
            let v6 = sample.values.get(Field::EncFamily) == [6];
            let field = if v6 {
                Field::EncIpv6Dst
            } else {
                Field::EncIpv4Dst
            };
            key.exact(field, sample.values.get(field)).unwrap();
            key.options = match (self.options, sample.values.options) {
                (Some(length), TunnelOptions::Geneve(options)) => {
                    let length = (usize::from(length % 8) * 4).min(options.len());
                    let value = &options[..length];
                    let mask = &mask[..length];
                    if length == 0 {
                        OptionsMatch::Any
                    } else {
                        OptionsMatch::Geneve { value, mask }
                    }
                }
                (Some(bits), TunnelOptions::Group(value)) => {
                    let mask = 0x0048_ff00 | u32::from(bits);
                    OptionsMatch::Group {
                        value: value & mask,
                        mask,
                    }
                }
                _ => OptionsMatch::Any,
            };
        }
        key
    }
}

/// Everything that a case is made of.
#[derive(Clone, Debug)]
struct Case {
    specs: Vec<Spec>,
    polices: Vec<(Rate, u32)>,
    frames: Vec<(Vec<u8>, u64)>,
    gone: Vec<Index>,
}

fn case() -> impl Strategy<Value = Case> {
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

/// What a tunnelled frame is, as the oracle has it.
fn opened<'a>(frame: &Frame<'a>, kind: TunnelKind) -> Option<Opened<'a>> {
    open(frame, &oracle_ports(true)).filter(|opened| opened.port.kind == kind)
}

fn sample<'f>(bytes: &[u8], tunnel: &Tunnel<'f>) -> Option<Sample<'f>> {
    let (data, tag, protocol) = received(bytes)?;
    let frame = Frame {
        data: &data,
        tag,
        protocol,
    };
    let packet = dissect(&frame);
    let seen = Seen {
        port: Port(1),
        packet: &packet,
        tunnel,
    };
    let bytes = Values::new(&seen).bytes;
    Some(Sample {
        values: Values {
            bytes,
            options: tunnel.options,
        },
        protocol: frame.filter_protocol(),
    })
}

/// Plays a case on both. `outer` puts all frames into a tunnel, and the rules on the device of that.
fn play(case: &Case, outer: Option<&Outer>) {
    let kind = outer.map(|outer| match outer.kind {
        0 => TunnelKind::Vxlan {
            group_policy: false,
        },
        1 => TunnelKind::Vxlan { group_policy: true },
        2 => TunnelKind::Geneve,
        _ => TunnelKind::Gretap,
    });
    let wire: Vec<Vec<u8>> = case
        .frames
        .iter()
        .map(|(frame, _)| match outer {
            Some(outer) => outer.around(frame),
            None => frame.clone(),
        })
        .collect();
    let outers: Vec<_> = wire.iter().map(|bytes| received(bytes)).collect();
    let notes: Vec<Option<(Tunnel<'_>, &[u8])>> = outers
        .iter()
        .zip(&wire)
        .map(|(outer, bytes)| {
            let Some(kind) = kind else {
                return Some((Tunnel::default(), bytes.as_slice()));
            };
            let (data, tag, protocol) = outer.as_ref()?;
            let frame = Frame {
                data,
                tag: *tag,
                protocol: *protocol,
            };
            let opened = opened(&frame, kind)?;
            received(opened.inner)?;
            Some((opened.tunnel, opened.inner))
        })
        .collect();
    let samples: Vec<Sample<'_>> = notes
        .iter()
        .flatten()
        .filter_map(|(note, bytes)| sample(bytes, note))
        .collect();
    if samples.is_empty() {
        return;
    }
    let polices: Vec<Police> = case
        .polices
        .iter()
        .zip(0..)
        .map(|((rate, mtu), index)| Police {
            index,
            rate: *rate,
            mtu: *mtu,
            conform: Verdict::Pipe,
            exceed: Verdict::Drop,
        })
        .collect();
    let mask = [0xffu8; 252];
    let actions: Vec<Vec<Action<'_>>> = case
        .specs
        .iter()
        .map(|spec| {
            spec.steps
                .iter()
                .map(|step| match step {
                    Step::Plain(action) => *action,
                    Step::Edits(edits) => Action::Pedit(edits),
                    Step::Police(which, conform, exceed) => Action::Police(Police {
                        conform: *conform,
                        exceed: *exceed,
                        ..polices[*which]
                    }),
                })
                .collect()
        })
        .collect();
    let rules = case
        .specs
        .iter()
        .zip(&actions)
        .zip(0..)
        .map(|((spec, actions), number)| {
            let sample = &samples[spec.frame.index(samples.len())];
            let matchall = spec.matchall && kind.is_none();
            Rule {
                cookie: Cookie(number),
                classifier: if matchall {
                    Classifier::Matchall
                } else {
                    Classifier::Flower
                },
                chain: Chain(spec.chain),
                priority: spec.priority,
                protocol: spec.protocol.map_or(ethernet::ALL, |index| {
                    samples[index.index(samples.len())].protocol
                }),
                key: if matchall {
                    Key::default()
                } else {
                    spec.key(sample, &mask, kind.is_some())
                },
                actions,
            }
        });
    let device = kind.map(|kind| TunnelDevice {
        number: 1,
        kind,
        port: match kind {
            TunnelKind::Gretap => 0,
            _ => frames::PORTS[usize::from(outer.unwrap().kind)],
        },
        id: TunnelId::External,
        local: None,
        remote: None,
    });
    let mut slots: Vec<Option<Entry<'_>>> = vec![None; case.specs.len()];
    let mut table = Table::new(&mut slots);
    let mut device = Device::new(device);
    for police in &polices {
        device.meter(police);
    }
    let mut there = Vec::new();
    for rule in rules {
        // What tc itself refuses, or the plan, is on neither side.
        if table.insert(rule).is_err() {
            continue;
        }
        match device.add(&rule) {
            Ok(()) => there.push(rule),
            Err(_) => {
                table.remove(rule.cookie).unwrap();
            }
        }
    }
    let mut oracle = Noted::default();
    let half = case.frames.len() / 2;
    for (at, ((_, wait), (bytes, note))) in
        case.frames.iter().zip(wire.iter().zip(&notes)).enumerate()
    {
        if at == half {
            for gone in case.gone.iter().take(there.len()) {
                let rule = there.swap_remove(gone.index(there.len()));
                table.remove(rule.cookie).unwrap();
                device.remove(rule.cookie.0);
            }
        }
        oracle.now += wait;
        oracle.events.clear();
        match (note, kind) {
            (Some((note, inner)), Some(_)) => oracle.play(&table, inner, Some(*note)),
            (Some((_, bytes)), None) => oracle.play(&table, bytes, None),
            (None, _) => {}
        }
        let mut events = device.play(bytes, oracle.now);
        if kind.is_some() {
            // What goes up has its tunnel around it.
            for event in &mut events {
                if let Event::Up(_, up) = event {
                    assert_eq!(up, bytes);
                    up.clear();
                }
            }
            for event in &mut oracle.events {
                if let Event::Up(_, up) = event {
                    up.clear();
                }
            }
            if note.is_none() {
                events.clear();
            }
        }
        assert_eq!(events, oracle.events, "frame {at}");
    }
    for (rule, action, packets, bytes) in device.counts() {
        let expected = oracle
            .counts
            .get(&(rule, action))
            .copied()
            .unwrap_or_default();
        assert_eq!((packets, bytes), expected, "rule {rule} action {action}");
    }
}

proptest! {
    #![proptest_config(crate::config(3000))]

    #[test]
    fn over_frames(case in case()) {
        play(&case, None);
    }

    #[test]
    fn over_tunnels(case in case(), outer in frames::outer()) {
        // The oracle does not join congestion marks.
        let outer = Outer { tos: outer.tos & !3, fragment: outer.fragment & 0x4000, ..outer };
        play(&case, Some(&outer));
    }
}
