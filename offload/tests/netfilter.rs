// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Rules of nftables: what the device decides is what a chain decides that is run by bytes, and what is not certain goes up.

mod support;

use oxnic_offload::oracle::netfilter::{run, ChainRule, Load, Match, Statement};
use oxnic_offload::packet::{dissect, ethernet, Frame, Tunnel};
use oxnic_offload::plan::{netfilter, position};
use oxnic_offload::reject::Reject;
use oxnic_offload::rule::{
    Action, Chain, Classifier, Cookie, Direction, Field, Key, Port, Rule, Seen, Values, Verdict,
};
use proptest::prelude::*;
use support::{ethernet_frame, received, tagged};

/// A match as a test writes it: offset, mask, value.
#[derive(Clone, Debug)]
struct Wanted {
    load: Load,
    mask: Vec<u8>,
    value: Vec<u8>,
}

fn exact(load: Load, value: &[u8]) -> Wanted {
    Wanted {
        load,
        mask: vec![0xff; value.len()],
        value: value.to_vec(),
    }
}

/// A rule as a test writes it.
#[derive(Clone, Debug)]
struct Written {
    matches: Vec<Wanted>,
    statements: Vec<Statement>,
}

/// What the kernel makes of a rule (`nf_tables_offload.c` and the offload callbacks of its expressions).
fn key(rule: &Written) -> Key<'static> {
    let mut key = Key::default();
    // Type, first tag's type, second tag's type, as the kernel's three places have them before it moves them.
    let mut types = [None; 3];
    let mut tags = [None; 2];
    let mut network = 0;
    for wanted in &rule.matches {
        let (value, mask) = (&wanted.value[..], &wanted.mask[..]);
        let number = || u16::from_be_bytes([value[0], value[1]]);
        let field = match wanted.load {
            Load::Protocol | Load::Link(12) => {
                (types[0], network) = (Some(number()), number());
                continue;
            }
            Load::Link(16) => {
                (types[1], network) = (Some(number()), number());
                continue;
            }
            Load::Link(20) => {
                (types[2], network) = (Some(number()), number());
                continue;
            }
            Load::Link(at @ (14 | 18)) => {
                let mask = u16::from_be_bytes([mask[0], mask[1]]);
                tags[(at - 14) / 4] = Some((number(), mask));
                continue;
            }
            Load::Link(0) => Field::EthDst,
            Load::Link(6) => Field::EthSrc,
            Load::TransportProtocol => Field::IpProto,
            Load::Network(12) if network == ethernet::IPV4 => Field::Ipv4Src,
            Load::Network(16) if network == ethernet::IPV4 => Field::Ipv4Dst,
            Load::Network(9) if network == ethernet::IPV4 => Field::IpProto,
            Load::Network(8) if network == ethernet::IPV6 => Field::Ipv6Src,
            Load::Network(24) if network == ethernet::IPV6 => Field::Ipv6Dst,
            Load::Network(6) if network == ethernet::IPV6 => Field::IpProto,
            Load::Transport(0) => Field::SrcPort,
            Load::Transport(2) => Field::DstPort,
            other => panic!("the kernel does not offload {other:?}"),
        };
        key.set(field, value, mask).unwrap();
    }
    let is_tag = |kind: Option<u16>| matches!(kind, Some(0x8100 | 0x88a8));
    let [kind, first, second] = types;
    let (kind, first, second) = if is_tag(first) {
        (second, kind, first)
    } else if is_tag(kind) {
        (first, kind, second)
    } else {
        (kind, first, second)
    };
    for (field, kind) in [
        (Field::EthType, kind),
        (Field::VlanTpid, first),
        (Field::CvlanTpid, second),
    ] {
        if let Some(kind) = kind {
            key.exact(field, &kind.to_be_bytes()).unwrap();
        }
    }
    let ids = [Field::VlanId, Field::CvlanId];
    let priorities = [Field::VlanPriority, Field::CvlanPriority];
    for ((tag, id), priority) in tags.into_iter().zip(ids).zip(priorities) {
        if let Some((value, mask)) = tag {
            let part = |bits: u16| (bits & 0xfff).to_be_bytes();
            key.set(id, &part(value), &part(mask)).unwrap();
            let part = |bits: u16| [(bits >> 13) as u8];
            key.set(priority, &part(value), &part(mask)).unwrap();
        }
    }
    key
}

fn actions(statements: &[Statement]) -> Vec<Action<'static>> {
    let action = |statement: &Statement| match *statement {
        Statement::Dup(port) => Action::Mirror(port, Direction::Egress),
        Statement::Fwd(port) => Action::Redirect(port, Direction::Egress),
        Statement::Drop => Action::Control(Verdict::Drop),
        Statement::Accept => Action::Control(Verdict::Accept),
    };
    statements.iter().map(action).collect()
}

/// What became of a frame in the device: up, or the copies and the end of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Became {
    Up,
    Decided(Vec<Port>, Statement),
}

/// What the parts of a rule do with a frame. Which of several that match is taken cannot be said: they have one number.
fn by_rule(rule: &Written, frame: &[u8]) -> Result<Vec<Became>, Reject> {
    let actions = actions(&rule.statements);
    let rule = Rule {
        cookie: Cookie(8),
        classifier: Classifier::Nftables,
        chain: Chain(0),
        priority: 0,
        protocol: ethernet::ALL,
        key: key(rule),
        actions: &actions,
    };
    let (data, tag, protocol) = received(frame);
    let seen = Frame {
        data: &data,
        tag,
        protocol,
    };
    let dissection = dissect(&seen);
    let tunnel = Tunnel::default();
    let values = Values::new(&Seen {
        port: Port(1),
        packet: &dissection,
        tunnel: &tunnel,
    });
    let mut all = Vec::new();
    let mut numbers = Vec::new();
    netfilter::parts::<Reject>(&rule, |part| {
        assert!(part.number < netfilter::PARTS_MAX);
        numbers.push(part.number);
        let types = [ethernet::ALL, seen.filter_protocol()];
        if types.contains(&part.rule.protocol) && part.rule.key.matches(&values) {
            all.push(match part.decides {
                true => decided(part.rule.actions),
                false => Became::Up,
            });
        }
        Ok(())
    })?;
    assert!(numbers.iter().copied().eq(0..numbers.len()));
    Ok(all)
}

fn decided(actions: &[Action<'_>]) -> Became {
    let mut copies = Vec::new();
    for (at, action) in actions.iter().enumerate() {
        let ends = match *action {
            Action::Mirror(port, Direction::Egress) => {
                copies.push(port);
                continue;
            }
            Action::Redirect(port, Direction::Egress) => Statement::Fwd(port),
            Action::Control(Verdict::Drop) => Statement::Drop,
            other => panic!("the device has {other:?}"),
        };
        assert_eq!(at, actions.len() - 1, "nothing behind the end");
        return Became::Decided(copies, ends);
    }
    panic!("a part that decides has an end");
}

fn by_device(rules: &[Written], frame: &[u8]) -> Vec<Became> {
    let first = rules.iter().find_map(|rule| {
        // What is refused is not in the chain.
        let became = by_rule(rule, frame).unwrap();
        (!became.is_empty()).then_some(became)
    });
    first.unwrap_or_else(|| vec![Became::Up])
}

fn by_chain(rules: &[Written], frame: &[u8]) -> (Vec<Port>, Statement) {
    let matches: Vec<Vec<Match<'_>>> = rules.iter().map(|rule| lend(&rule.matches)).collect();
    let rules: Vec<ChainRule<'_>> = rules
        .iter()
        .zip(&matches)
        .map(|(rule, matches)| ChainRule {
            matches,
            statements: &rule.statements,
        })
        .collect();
    let mut copies = Vec::new();
    let (end, _) = run(&rules, frame, |port| copies.push(port)).unwrap();
    (copies, end)
}

fn lend(all: &[Wanted]) -> Vec<Match<'_>> {
    all.iter()
        .map(|wanted| Match {
            load: wanted.load,
            mask: &wanted.mask,
            value: &wanted.value,
        })
        .collect()
}

const V4: [u8; 2] = [8, 0];
const V6: [u8; 2] = [0x86, 0xdd];

fn small() -> impl Strategy<Value = u8> {
    0u8..3
}

/// Matches on the types of a frame, with what they announce.
fn types() -> impl Strategy<Value = (Vec<Wanted>, Option<[u8; 2]>)> {
    let by = prop_oneof![Just(Load::Protocol), Just(Load::Link(12))];
    let behind = prop_oneof![Just(V4), Just(V6), Just([8, 6]), Just([0x88, 0x64])];
    let tpid = prop_oneof![3 => Just([0x81, 0]), 1 => Just([0x88, 0xa8])];
    let id = |at: usize, id: u8| Wanted {
        load: Load::Link(at),
        mask: vec![0x0f, 0xff],
        value: vec![0, id],
    };
    prop_oneof![
        2 => Just((Vec::new(), None)),
        4 => (by, behind.clone()).prop_map(|(load, kind)| (vec![exact(load, &kind)], Some(kind))),
        1 => tpid.clone().prop_map(|tpid| (vec![exact(Load::Link(12), &tpid)], None)),
        1 => Just((vec![exact(Load::Protocol, &[0x81, 0])], None)),
        1 => (tpid.clone(), small()).prop_map(move |(tpid, vid)| {
            (vec![exact(Load::Link(12), &tpid), id(14, vid)], None)
        }),
        2 => (tpid.clone(), small(), behind.clone()).prop_map(move |(tpid, vid, kind)| {
            let all = vec![exact(Load::Link(12), &tpid), id(14, vid), exact(Load::Link(16), &kind)];
            (all, Some(kind))
        }),
        1 => (tpid, small(), small(), behind).prop_map(move |(tpid, vid, inner, kind)| {
            let all = vec![
                exact(Load::Link(12), &tpid),
                id(14, vid),
                exact(Load::Link(16), &[0x81, 0]),
                id(18, inner),
                exact(Load::Link(20), &kind),
            ];
            (all, Some(kind))
        }),
    ]
}

/// Matches behind the types. The kernel takes those of a network header only where its type is said.
fn deep(network: Option<[u8; 2]>) -> BoxedStrategy<Vec<Wanted>> {
    let transport = (
        prop_oneof![Just(6u8), Just(17)],
        prop_oneof![Just(0usize), Just(2)],
        small(),
    );
    let transport = transport.prop_map(|(protocol, at, port)| {
        vec![
            exact(Load::TransportProtocol, &[protocol]),
            exact(Load::Transport(at), &[0, port]),
        ]
    });
    let protocol = prop_oneof![
        2 => Just(6u8),
        2 => Just(17),
        1 => Just(0),
        1 => Just(44),
        1 => Just(51),
        1 => Just(60),
        1 => Just(137),
    ];
    let protocol = protocol.prop_map(|number| vec![exact(Load::TransportProtocol, &[number])]);
    let none = Just(Vec::new());
    match network {
        None => prop_oneof![3 => none, 2 => transport, 1 => protocol].boxed(),
        Some(V4) => {
            let address = (prop_oneof![Just(12usize), Just(16)], small(), 0u8..2);
            let address = address.prop_map(|(at, last, cut)| Wanted {
                load: Load::Network(at),
                mask: vec![0xff, 0xff, 0xff, 0xff << (cut * 2)],
                value: vec![10, 0, 0, last & (0xff << (cut * 2))],
            });
            let header = Just(vec![exact(Load::Network(9), &[17])]);
            let behind = prop_oneof![2 => none, 2 => transport, 1 => protocol, 1 => header];
            (proptest::option::of(address), behind)
                .prop_map(|(address, behind)| address.into_iter().chain(behind).collect())
                .boxed()
        }
        Some(V6) => {
            let address = (prop_oneof![Just(8usize), Just(24)], small());
            let address = address.prop_map(|(at, last)| {
                let mut value = [0; 16];
                value[15] = last;
                exact(Load::Network(at), &value)
            });
            // That of an extension header, which is told apart.
            let header = Just(vec![exact(Load::Network(6), &[44])]);
            let behind = prop_oneof![2 => none, 2 => transport, 1 => protocol, 1 => header];
            (proptest::option::of(address), behind)
                .prop_map(|(address, behind)| address.into_iter().chain(behind).collect())
                .boxed()
        }
        Some(_) => none.boxed(),
    }
}

fn port() -> impl Strategy<Value = Port> {
    (2u32..5).prop_map(Port)
}

fn statements() -> impl Strategy<Value = Vec<Statement>> {
    let end = prop_oneof![
        2 => Just(Some(Statement::Drop)),
        3 => port().prop_map(|port| Some(Statement::Fwd(port))),
        1 => Just(Some(Statement::Accept)),
        1 => Just(None),
    ];
    let copies = proptest::collection::vec(port().prop_map(Statement::Dup), 0..3);
    (copies, end, port()).prop_map(|(mut all, end, port)| {
        match end {
            Some(end) => all.push(end),
            None => all.push(Statement::Dup(port)),
        }
        all
    })
}

fn rule() -> impl Strategy<Value = Written> {
    let ethernet = proptest::option::weighted(0.2, small());
    (types(), ethernet, statements()).prop_flat_map(|((types, network), ethernet, statements)| {
        deep(network).prop_map(move |deep| {
            let mut matches: Vec<Wanted> = Vec::new();
            if let Some(last) = ethernet {
                matches.push(exact(Load::Link(0), &[2, 0, 0, 0, 0, last]));
            }
            matches.extend(types.iter().cloned());
            matches.extend(deep);
            Written {
                matches,
                statements: statements.clone(),
            }
        })
    })
}

/// A frame with right lengths.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let parts = (
        0u8..8,
        (small(), small()),
        (small(), small()),
        prop_oneof![
            2 => Just(6u8),
            4 => Just(17),
            1 => Just(51),
            2 => Just(137),
            2 => Just(1),
        ],
        prop_oneof![1 => Just(0u8), 2 => 1u8..10],
        small(),
    );
    let tag = (
        prop_oneof![3 => Just(0x8100u16), 1 => Just(0x88a8)],
        0u16..3,
    );
    (parts, proptest::collection::vec(tag, 0..3)).prop_map(
        |((kind, addresses, ports, protocol, special, last), tags)| {
            let mut body = vec![0, ports.0, 0, ports.1];
            body.extend_from_slice(&[0; 24]);
            let mut frame = match kind {
                0..=2 => ethernet_frame(0x0800, &ipv4(addresses, protocol, special, &body)),
                3..=5 => ethernet_frame(0x86dd, &ipv6(addresses, protocol, special, &body)),
                6 => ethernet_frame(0x0806, &[0; 46]),
                // PPPoE with IPv4 within.
                _ => {
                    let inner = ipv4(addresses, protocol, 0, &body);
                    let length = (inner.len() as u16 + 2).to_be_bytes();
                    let head = [0x11, 0, 0, 1, length[0], length[1], 0, 0x21];
                    ethernet_frame(0x8864, &[&head[..], &inner].concat())
                }
            };
            frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, last]);
            for (tpid, id) in tags {
                frame = tagged(&frame, tpid, id);
            }
            frame
        },
    )
}

fn ipv4(addresses: (u8, u8), protocol: u8, special: u8, body: &[u8]) -> Vec<u8> {
    // Options, a first fragment, a later one.
    let words = if special == 1 { 6 } else { 5 };
    let fragment: u16 = match special {
        2 => 0x2000,
        3 => 0x0010,
        _ => 0,
    };
    let total = (words * 4 + body.len() as u16).to_be_bytes();
    let fragment = fragment.to_be_bytes();
    let mut packet = vec![0x40 | words as u8, 0, total[0], total[1], 0, 1];
    packet.extend_from_slice(&[fragment[0], fragment[1], 64, protocol, 0, 0]);
    packet.extend_from_slice(&[10, 0, 0, addresses.0, 10, 0, 0, addresses.1]);
    packet.resize(usize::from(words) * 4, 1);
    packet.extend_from_slice(body);
    packet
}

fn ipv6(addresses: (u8, u8), protocol: u8, special: u8, body: &[u8]) -> Vec<u8> {
    let (next, extra): (u8, Vec<u8>) = match special {
        1 => (0, options(protocol).to_vec()),
        2 => (44, fragment(protocol, 1).to_vec()),
        3 => (44, fragment(protocol, 0x10).to_vec()),
        // Extension headers behind the fragment header: of a packet that is none, of a first fragment, of a later one.
        4 => (44, [fragment(60, 0), options(protocol)].concat()),
        5 => (
            44,
            [fragment(0, 1), options(60), options(protocol)].concat(),
        ),
        6 => (44, [fragment(60, 0x10), options(protocol)].concat()),
        // As many as software takes.
        7 => (
            0,
            [&options(60).repeat(11)[..], &options(protocol)].concat(),
        ),
        _ => (protocol, Vec::new()),
    };
    let length = ((extra.len() + body.len()) as u16).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
    for last in [addresses.0, addresses.1] {
        packet.extend_from_slice(&[0; 15]);
        packet.push(last);
    }
    packet.extend_from_slice(&extra);
    packet.extend_from_slice(body);
    packet
}

/// Options of 8 bytes.
fn options(next: u8) -> [u8; 8] {
    [next, 0, 1, 4, 0, 0, 0, 0]
}

/// A fragment header with this offset and "more".
fn fragment(next: u8, offset: u8) -> [u8; 8] {
    [next, 0, 0, offset, 0, 0, 0, 7]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn device_decides_as_the_chain_or_sends_up(
        rules in proptest::collection::vec(rule(), 1..8),
        frames in proptest::collection::vec(frame(), 1..16),
    ) {
        for frame in frames {
            let (copies, end) = by_chain(&rules, &frame);
            for became in by_device(&rules, &frame) {
                if let Became::Decided(ours, how) = became {
                    prop_assert_eq!((&ours, how), (&copies, end), "{:02x?}", frame);
                }
            }
        }
    }

    #[test]
    fn numbers_keep_the_order_in_which_rules_stand(
        steps in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..200),
    ) {
        let mut rules: Vec<u32> = Vec::new();
        for (at, takes) in steps {
            if takes && !rules.is_empty() {
                rules.remove(at.index(rules.len()));
                continue;
            }
            // Mostly at the end, and often at one place.
            let at = at.index(rules.len() + 1).min(5.max(rules.len() / 2) * 2).min(rules.len());
            let near = |at: Option<usize>| at.and_then(|at| rules.get(at)).copied();
            let number = position::between(near(at.checked_sub(1)), near(Some(at)));
            match number {
                Some(number) => rules.insert(at, number),
                None => {
                    let spread: Vec<u32> = (0..rules.len()).map(|index| position::spread(index, rules.len())).collect();
                    move_all(&mut rules, &spread);
                }
            }
            prop_assert!(rules.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", rules);
        }
    }
}

/// Moves rules one by one, and sees to it that they are in order at any time.
fn move_all(rules: &mut [u32], to: &[u32]) {
    for first in [true, false] {
        for step in 0..rules.len() {
            let at = if first { rules.len() - 1 - step } else { step };
            if rules[at] != to[at] && position::moves_first(rules[at], to[at]) == first {
                rules[at] = to[at];
                assert!(rules.windows(2).all(|pair| pair[0] < pair[1]), "{rules:?}");
            }
        }
    }
    assert_eq!(rules, to);
}

fn udp_rule(statements: &[Statement]) -> Written {
    Written {
        matches: vec![
            exact(Load::TransportProtocol, &[17]),
            exact(Load::Transport(2), &[0, 53]),
        ],
        statements: statements.to_vec(),
    }
}

fn datagram(special: u8) -> Vec<u8> {
    let body = [&[0, 9, 0, 53][..], &[0; 24]].concat();
    ethernet_frame(0x0800, &ipv4((1, 2), 17, special, &body))
}

const FWD: Statement = Statement::Fwd(Port(3));

#[test]
fn plain_frame_is_decided_by_the_device() {
    let statements = [Statement::Dup(Port(2)), FWD];
    let became = by_rule(&udp_rule(&statements), &datagram(0)).unwrap();
    assert_eq!(became, [Became::Decided(vec![Port(2)], FWD)]);
    let six = ethernet_frame(0x86dd, &ipv6((1, 2), 17, 1, &datagram(0)[34..]));
    let became = by_rule(&udp_rule(&statements), &six).unwrap();
    assert_eq!(became, [Became::Decided(vec![Port(2)], FWD)]);
}

#[test]
fn frame_that_ends_in_the_stack_goes_up_without_its_copies() {
    for statements in [
        vec![Statement::Accept],
        vec![Statement::Dup(Port(2))],
        vec![Statement::Dup(Port(2)), Statement::Accept],
    ] {
        let became = by_rule(&udp_rule(&statements), &datagram(0)).unwrap();
        assert_eq!(became, [Became::Up]);
    }
}

#[test]
fn first_fragment_goes_up_and_a_later_one_is_not_meant() {
    assert_eq!(
        by_rule(&udp_rule(&[FWD]), &datagram(2)).unwrap(),
        [Became::Up]
    );
    assert_eq!(by_rule(&udp_rule(&[FWD]), &datagram(3)).unwrap(), []);
}

/// A rule about the protocol only, and the one that would forward what it does not take.
fn dropped_before(matches: Vec<Wanted>) -> [Written; 2] {
    let statements = vec![Statement::Drop];
    let behind = Written {
        matches: vec![exact(Load::Protocol, &V6)],
        statements: vec![FWD],
    };
    [
        Written {
            matches,
            statements,
        },
        behind,
    ]
}

#[test]
fn no_rule_is_passed_by_headers_behind_the_fragment_header() {
    let body = [&[0, 9, 0, 53][..], &[0; 24]].concat();
    let protocol = || vec![exact(Load::TransportProtocol, &[17])];
    let any = [protocol(), vec![exact(Load::Transport(2), &[0, 0])]].concat();
    for matches in [udp_rule(&[]).matches, protocol(), any] {
        let rules = dropped_before(matches);
        for special in [4, 5] {
            let frame = ethernet_frame(0x86dd, &ipv6((1, 2), 17, special, &body));
            assert_eq!(by_device(&rules, &frame), [Became::Up]);
        }
    }
    let frame = ethernet_frame(0x86dd, &ipv6((1, 2), 17, 4, &body));
    let rules = dropped_before(udp_rule(&[]).matches);
    assert_eq!(by_chain(&rules, &frame), (vec![], Statement::Drop));
}

#[test]
fn protocol_of_a_later_fragment_is_not_known_where_a_header_is_next() {
    for next in [51, 60] {
        let rules = dropped_before(vec![exact(Load::TransportProtocol, &[next])]);
        let frame = ethernet_frame(0x86dd, &ipv6((1, 2), next, 3, &[0; 28]));
        assert_eq!(by_device(&rules, &frame), [Became::Up]);
        assert_eq!(by_chain(&rules, &frame), (vec![], FWD));
    }
}

#[test]
fn software_takes_twelve_extension_headers() {
    let body = [&options(17)[..], &[0, 9, 0, 53], &[0; 24]].concat();
    let rules = dropped_before(udp_rule(&[]).matches);
    let frame = |body: &[u8], last| ethernet_frame(0x86dd, &ipv6((1, 2), last, 7, body));
    let twelve = by_chain(&rules, &frame(&body[8..], 17));
    assert_eq!(twelve, (vec![], Statement::Drop));
    assert_eq!(by_chain(&rules, &frame(&body, 60)), (vec![], FWD));
}

#[test]
fn frame_with_a_tag_goes_up_where_the_type_can_be_either() {
    let rule = Written {
        matches: vec![exact(Load::Protocol, &V4)],
        statements: vec![FWD],
    };
    let one = tagged(&datagram(0), 0x8100, 5);
    assert_eq!(by_rule(&rule, &one).unwrap(), [Became::Up]);
    // Software steps over the second tag, but not over one of 802.1ad.
    assert_eq!(
        by_rule(&rule, &tagged(&one, 0x88a8, 5)).unwrap(),
        [Became::Up]
    );
    let two = tagged(&tagged(&datagram(0), 0x88a8, 5), 0x8100, 5);
    assert_eq!(by_rule(&rule, &two).unwrap(), []);
}

#[test]
fn tag_is_decided_by_the_device() {
    let rule = Written {
        matches: vec![
            exact(Load::Link(12), &[0x81, 0]),
            exact(Load::Link(14), &[0, 5]),
            exact(Load::Link(16), &V4),
            exact(Load::Network(16), &[10, 0, 0, 2]),
        ],
        statements: vec![FWD],
    };
    let one = tagged(&datagram(0), 0x8100, 5);
    let decided = Became::Decided(vec![], FWD);
    assert_eq!(by_rule(&rule, &one).unwrap(), [decided]);
    assert_eq!(
        by_rule(&rule, &tagged(&datagram(0), 0x8100, 6)).unwrap(),
        []
    );
}

#[test]
fn what_cannot_be_known_is_refused() {
    let refused = |matches: Vec<Wanted>| {
        let statements = vec![FWD];
        by_rule(
            &Written {
                matches,
                statements,
            },
            &datagram(0),
        )
        .unwrap_err()
    };
    let unclear = |field| Reject::Unclear { field };
    // A tag without its type, what is behind a tag without one, a length for a type.
    assert_eq!(
        refused(vec![exact(Load::Link(14), &[0, 5])]),
        unclear(Field::VlanId)
    );
    assert_eq!(
        refused(vec![exact(Load::Link(16), &V4)]),
        unclear(Field::VlanTpid)
    );
    assert_eq!(
        refused(vec![exact(Load::Link(12), &[0, 46])]),
        unclear(Field::EthType)
    );
    // The kernel has overwritten the type that the address was said to be behind.
    let twice = vec![
        exact(Load::Protocol, &V4),
        exact(Load::Network(16), &[10, 0, 0, 2]),
        exact(Load::Link(12), &[8, 6]),
    ];
    assert_eq!(refused(twice), unclear(Field::EthType));
}

#[test]
fn numbers_end_and_begin_again() {
    let (mut low, mut count) = (position::between(None, None).unwrap(), 1);
    while let Some(number) = position::between(Some(low), None) {
        assert!(number > low);
        (low, count) = (number, count + 1);
    }
    assert!(count > 60_000);
    assert_eq!(position::between(Some(7), Some(8)), None);
    assert_eq!(position::between(Some(7), Some(9)), Some(8));
    assert_eq!(position::between(None, Some(1)), None);
    let all = [0, 1, 2].map(|index| position::spread(index, 3));
    assert!(all
        .windows(2)
        .all(|pair| pair[1] - pair[0] > position::STEP));
    assert!(position::between(Some(all[2]), None).is_some());
}
