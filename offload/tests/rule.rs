// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Keys, tunnel options, edits and refusals.

mod support;

use oxnic_offload::packet::tunnel::{Tunnel, TunnelOptions};
use oxnic_offload::packet::{dissect, ethernet, vxlan, Address, Frame};
use oxnic_offload::reject::{errno, Reject};
use oxnic_offload::rule::action::checksum;
use oxnic_offload::rule::check::ACTIONS_MAX;
use oxnic_offload::rule::field::{Needs, SIZE, TABLE};
use oxnic_offload::rule::police::Rate;
use oxnic_offload::rule::{
    check, Action, Chain, Classifier, Cookie, Direction, Edit, Encap, Field, Header, Key,
    Operation, OptionsMatch, Police, Port, Range, Rule, Seen, Values, Verdict,
};
use proptest::prelude::*;
use support::{ethernet_frame, received, sample};

fn with_values<T>(frame: &[u8], tunnel: &Tunnel<'_>, look: impl FnOnce(&Values<'_>) -> T) -> T {
    let (data, tag, protocol) = received(frame);
    let packet = dissect(&Frame {
        data: &data,
        tag,
        protocol,
    });
    look(&Values::new(&Seen {
        port: Port(3),
        packet: &packet,
        tunnel,
    }))
}

fn matches(key: &Key<'_>, frame: &[u8]) -> bool {
    with_values(frame, &Tunnel::default(), |values| key.matches(values))
}

fn key(fields: &[(Field, &[u8])]) -> Key<'static> {
    let mut key = Key::default();
    for (field, value) in fields {
        key.exact(*field, value).unwrap();
    }
    key
}

fn with_options(options: OptionsMatch<'_>) -> Key<'_> {
    let mut key = Key::default();
    key.options = options;
    key
}

fn rule<'a>(key: Key<'a>, actions: &'a [Action<'a>]) -> Rule<'a> {
    Rule {
        cookie: Cookie(1),
        classifier: Classifier::Flower,
        chain: Chain(0),
        priority: 1,
        protocol: 0x0800,
        key,
        actions,
    }
}

const IP_TCP: &[(Field, &[u8])] = &[(Field::EthType, &[8, 0]), (Field::IpProto, &[6])];

#[test]
fn fields_lie_one_behind_the_other() {
    let mut end = 0;
    for row in TABLE {
        assert_eq!(row.field.range().start, end, "{}", row.name);
        end = row.field.range().end;
        assert_eq!(row.field.width(), row.bits.div_ceil(8));
    }
    assert_eq!(end, SIZE);
}

#[test]
fn every_field_of_a_packet_matches_itself_and_not_another_value() {
    let tunnel = Tunnel {
        address: Address::V4([9, 9, 9, 9], [8, 8, 8, 8]),
        src_port: 1,
        dst_port: 2,
        key_id: 3,
        tos: 4,
        ttl: 5,
        flags: 1,
        options: TunnelOptions::None,
    };
    for kind in 0..4 {
        with_values(
            &support::tagged(&sample(kind), 0x88a8, 0x2005),
            &tunnel,
            |values| {
                for row in TABLE {
                    let value = values.get(row.field).to_vec();
                    let mut one = Key::default();
                    one.exact(row.field, &value).unwrap();
                    let family = matches!(
                        row.field,
                        Field::Ipv4Src
                            | Field::Ipv4Dst
                            | Field::Ipv6Src
                            | Field::Ipv6Dst
                            | Field::EncIpv6Src
                            | Field::EncIpv6Dst
                    );
                    assert!(one.matches(values) || family, "{} of kind {kind}", row.name);
                    let mut other = value.clone();
                    *other.last_mut().unwrap() ^= 1;
                    let mut key = Key::default();
                    key.exact(row.field, &other).unwrap();
                    assert!(!key.matches(values), "{} of kind {kind}", row.name);
                }
            },
        );
    }
}

#[test]
fn missing_field_matches_zero() {
    let mut ports = Key::default();
    ports.set(Field::DstPort, &[0, 0], &[0x80, 0]).unwrap();
    assert!(matches(&ports, &ethernet_frame(0x1234, &[])));
    assert!(matches(&ports, &sample(2)), "ICMP");
    let mut range = Key::default();
    range.dst_range = Some(Range { min: 0, max: 9 });
    assert!(matches(&range, &sample(2)), "ICMP");
    range.dst_range = Some(Range { min: 1, max: 9 });
    assert!(!matches(&range, &sample(2)));
}

#[test]
fn address_matches_its_family_only_even_without_a_mask() {
    let mut any = Key::default();
    any.set(Field::Ipv4Src, &[0; 4], &[0; 4]).unwrap();
    assert!(matches(&any, &sample(0)));
    assert!(!matches(&any, &sample(1)), "IPv6");
    assert!(
        !matches(&any, &ethernet_frame(ethernet::IPV4, &[0x45; 19])),
        "cut header"
    );
}

#[test]
fn range_has_both_ends() {
    for (min, max, expected) in [
        (2000, 2001, true),
        (1999, 2000, true),
        (2001, 2002, false),
        (1998, 1999, false),
    ] {
        let mut range = Key::default();
        range.dst_range = Some(Range { min, max });
        assert_eq!(matches(&range, &sample(0)), expected, "{min}-{max}");
    }
}

#[test]
fn value_outside_of_the_mask_does_not_count() {
    let mut key = Key::default();
    key.set(
        Field::EthSrc,
        &[1, 1, 1, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0, 0, 0],
    )
    .unwrap();
    assert_eq!(key.value(Field::EthSrc), [1, 1, 1, 0, 0, 0]);
    assert!(matches(&key, &sample(0)));
}

#[test]
fn width_is_checked_to_the_bit() {
    let mut key = Key::default();
    assert_eq!(key.set(Field::VlanId, &[0x0f, 0xff], &[0x0f, 0xff]), Ok(()));
    assert_eq!(
        key.set(Field::VlanId, &[0x10, 0], &[0x0f, 0xff]),
        Err(Reject::Width {
            field: Field::VlanId
        })
    );
    assert_eq!(
        key.set(Field::VlanId, &[0, 0], &[0x1f, 0xff]),
        Err(Reject::Width {
            field: Field::VlanId
        })
    );
    assert_eq!(key.set(Field::IpFlags, &[3], &[3]), Ok(()));
    assert_eq!(
        key.set(Field::IpFlags, &[3], &[7]),
        Err(Reject::Width {
            field: Field::IpFlags
        })
    );
    assert_eq!(
        key.set(Field::DstPort, &[0], &[0]),
        Err(Reject::Width {
            field: Field::DstPort
        })
    );
}

#[test]
fn length_of_geneve_options_is_masked_with_itself() {
    let value = [1, 2, 3, 1, 9, 9, 9, 9];
    let rule = OptionsMatch::Geneve {
        value: &value,
        mask: &[0xff; 8],
    };
    for (length, expected) in [
        (4, false),
        (8, true),
        (12, true),
        (16, false),
        (20, false),
        (24, true),
        (28, true),
    ] {
        let mut options = value.to_vec();
        options.resize(length, 7);
        options.truncate(length);
        assert_eq!(
            rule.matches(TunnelOptions::Geneve(&options)),
            expected,
            "{length} bytes"
        );
    }
    assert!(!rule.matches(TunnelOptions::None));
    assert!(!rule.matches(TunnelOptions::Group(0)));
}

#[test]
fn group_matches_under_its_mask() {
    let rule = OptionsMatch::Group {
        value: 0x12,
        mask: 0xff,
    };
    assert!(rule.matches(TunnelOptions::Group(0x3412)));
    assert!(!rule.matches(TunnelOptions::Group(0x13)));
    assert!(!rule.matches(TunnelOptions::None));
}

fn edit(operation: Operation, keep: [u8; 4], value: [u8; 4]) -> Edit {
    Edit {
        header: Header::Tcp,
        offset: 0,
        operation,
        keep,
        value,
    }
}

#[test]
fn set_keeps_the_bits_outside() {
    assert_eq!(
        edit(Operation::Set, [0xff, 0xff, 0, 0], [0, 0, 7, 8]).apply([1, 2, 3, 4]),
        [1, 2, 7, 8]
    );
}

#[test]
fn add_carries_from_the_first_byte_on_and_is_cut_to_the_field() {
    let add = |value, old| edit(Operation::Add, [0, 0, 0xff, 0xff], value).apply(old);
    assert_eq!(add([0, 1, 0, 0], [0, 1, 9, 9]), [0, 2, 9, 9]);
    assert_eq!(
        add([0, 1, 0, 0], [0, 0xff, 9, 9]),
        [0, 0, 9, 9],
        "not 0x0100"
    );
    assert_eq!(
        add([1, 0, 0, 0], [0xff, 0, 9, 9]),
        [0, 1, 9, 9],
        "the carry goes to the byte behind"
    );
    let ttl = edit(Operation::Add, [0, 0xff, 0xff, 0xff], [0xff, 0, 0, 0]);
    assert_eq!(
        ttl.apply([64, 6, 1, 1]),
        [63, 6, 1, 1],
        "minus one in one byte"
    );
}

#[test]
fn edits_have_names() {
    let names = |edit: Edit| edit.places().map(|place| place.name).collect::<Vec<_>>();
    assert_eq!(
        names(edit(Operation::Set, [0xff, 0xff, 0, 0], [0; 4])),
        ["tcp dport"]
    );
    assert_eq!(
        names(edit(Operation::Set, [0; 4], [0; 4])),
        ["tcp sport", "tcp dport"]
    );
    let ttl = Edit {
        header: Header::Ipv4,
        offset: 8,
        keep: [0, 0xff, 0xff, 0xff],
        ..edit(Operation::Set, [0; 4], [0; 4])
    };
    assert_eq!(names(ttl), ["ip ttl"]);
}

fn refused(key: Key<'_>, actions: &[Action<'_>]) -> (String, i32) {
    let reject = check(&rule(key, actions)).unwrap_err();
    (reject.to_string(), reject.errno())
}

#[test]
fn field_without_what_it_needs_is_refused_by_name() {
    for row in TABLE {
        let mut one = Key::default();
        one.exact(row.field, &vec![0; row.field.width()]).unwrap();
        let result = check(&rule(one, &[]));
        if row.needs == Needs::Nothing {
            assert_eq!(result, Ok(()), "{}", row.name);
        } else {
            assert_eq!(
                result,
                Err(Reject::Prerequisite {
                    field: row.field,
                    needs: row.needs
                })
            );
            let text = result.unwrap_err().to_string();
            assert_eq!(text, format!("{} needs {}", row.name, row.needs.text()));
        }
    }
}

#[test]
fn field_with_what_it_needs_is_taken() {
    let icmp: &[(Field, &[u8])] = &[
        (Field::EthType, &[0x86, 0xdd]),
        (Field::IpProto, &[58]),
        (Field::IcmpType, &[128]),
    ];
    for fields in [
        icmp,
        &[
            (Field::VlanTpid, &[0x81, 0]),
            (Field::VlanId, &[0, 5]),
            (Field::VlanEthType, &[0x88, 0xa8]),
            (Field::CvlanId, &[0, 6]),
        ],
        &[
            (Field::NumOfVlans, &[2]),
            (Field::VlanId, &[0, 5]),
            (Field::CvlanPriority, &[6]),
        ],
        &[
            (Field::EthType, &[0x08, 0x06]),
            (Field::ArpTargetIp, &[1, 2, 3, 4]),
        ],
        &[
            (Field::EthType, &[0x88, 0x48]),
            (Field::MplsEntries, &[3]),
            (Field::Mpls2, &[0, 0, 0x11, 255]),
        ],
    ] {
        assert_eq!(check(&rule(key(fields), &[])), Ok(()), "{fields:?}");
    }
    assert!(check(&rule(
        key(&[(Field::NumOfVlans, &[1]), (Field::CvlanId, &[0, 6])]),
        &[]
    ))
    .is_err());
    let mut masked = key(&[(Field::EthType, &[8, 0]), (Field::DstPort, &[0, 1])]);
    masked.set(Field::IpProto, &[6], &[7]).unwrap();
    assert!(check(&rule(masked, &[])).is_err(), "ip_proto must be exact");
}

#[test]
fn ranges_must_rise() {
    let mut ranged = key(IP_TCP);
    for (min, max, good) in [(1, 2, true), (2, 2, false), (3, 2, false)] {
        ranged.src_range = Some(Range { min, max });
        assert_eq!(check(&rule(ranged, &[])).is_ok(), good);
    }
    assert_eq!(
        refused(ranged, &[]),
        (
            "src_port range 3-2: the first port must be below the last".into(),
            errno::EINVAL
        )
    );
}

#[test]
fn families_are_not_mixed() {
    let mut both = key(&[(Field::Ipv4Src, &[1; 4]), (Field::Ipv6Src, &[1; 16])]);
    assert_eq!(
        check(&rule(both, &[])),
        Err(Reject::MixedFamilies {
            field: Field::Ipv4Src
        })
    );
    both = key(&[(Field::EncIpv6Dst, &[1; 16]), (Field::EncIpv4Dst, &[1; 4])]);
    assert_eq!(
        check(&rule(both, &[])),
        Err(Reject::MixedFamilies {
            field: Field::EncIpv4Dst
        })
    );
}

#[test]
fn geneve_options_have_a_longest_length() {
    let bytes = [0u8; 256];
    for (length, good) in [(0, false), (4, true), (6, false), (252, true), (256, false)] {
        let options = OptionsMatch::Geneve {
            value: &bytes[..length],
            mask: &bytes[..length],
        };
        assert_eq!(
            check(&rule(with_options(options), &[])).is_ok(),
            good,
            "{length}"
        );
        let actions = [Action::TunnelSet(Encap {
            options: TunnelOptions::Geneve(&bytes[..length]),
            ..Encap::default()
        })];
        assert_eq!(
            check(&rule(Key::default(), &actions)).is_ok(),
            good,
            "{length}"
        );
    }
    let options = OptionsMatch::Geneve {
        value: &bytes[..8],
        mask: &bytes[..4],
    };
    assert_eq!(refused(with_options(options), &[]).1, errno::ERANGE);
    let options = OptionsMatch::Group {
        value: 0,
        mask: vxlan::GROUP_MASK + 1,
    };
    assert_eq!(check(&rule(with_options(options), &[])), Err(Reject::Group));
}

#[test]
fn actions_that_cannot_be_meant_are_refused() {
    let one = |action: Action<'_>| check(&rule(Key::default(), &[action]));
    assert_eq!(
        one(Action::VlanPush {
            tpid: 0x8100,
            id: 4095,
            priority: 7
        }),
        Ok(())
    );
    for action in [
        Action::VlanPush {
            tpid: 0x9100,
            id: 1,
            priority: 0,
        },
        Action::VlanPush {
            tpid: 0x8100,
            id: 4096,
            priority: 0,
        },
        Action::VlanModify {
            tpid: 0x88a8,
            id: 1,
            priority: Some(8),
        },
        Action::Control(Verdict::Pipe),
        Action::Control(Verdict::Jump(1)),
        Action::Sample {
            group: 1,
            rate: 0,
            truncate: None,
        },
        Action::Checksum(checksum::ALL + 1),
        Action::Police(Police {
            index: 1,
            rate: Rate::Packets { rate: 0, burst: 1 },
            mtu: 9,
            conform: Verdict::Pipe,
            exceed: Verdict::Drop,
        }),
        Action::Police(Police {
            index: 1,
            rate: Rate::None,
            mtu: 9,
            conform: Verdict::Pipe,
            exceed: Verdict::Reclassify,
        }),
    ] {
        assert!(one(action).is_err(), "{action:?}");
    }
    assert_eq!(one(Action::Checksum(checksum::ALL)), Ok(()));
}

#[test]
fn edits_stay_within_their_header() {
    let one = |edit: Edit| check(&rule(Key::default(), &[Action::Pedit(&[edit])]));
    let at = |header, offset, keep| Edit {
        header,
        offset,
        operation: Operation::Set,
        keep,
        value: [0; 4],
    };
    assert_eq!(one(at(Header::Ethernet, 12, [0, 0, 0xff, 0xff])), Ok(()));
    assert!(matches!(
        one(at(Header::Ethernet, 12, [0, 0, 0, 0xff])),
        Err(Reject::EditPlace { .. })
    ));
    assert_eq!(one(at(Header::Udp, 4, [0; 4])), Ok(()));
    assert!(matches!(
        one(at(Header::Udp, 8, [0; 4])),
        Err(Reject::EditPlace { .. })
    ));
    assert!(matches!(
        one(at(Header::Udp, 2, [0; 4])),
        Err(Reject::EditShape { .. })
    ));
}

#[test]
fn numbers_of_actions_are_limited() {
    let copies = vec![Action::Mirror(Port(1), Direction::Egress); ACTIONS_MAX + 1];
    assert_eq!(check(&rule(Key::default(), &copies[..ACTIONS_MAX])), Ok(()));
    assert_eq!(
        check(&rule(Key::default(), &copies)),
        Err(Reject::TooManyActions { limit: ACTIONS_MAX })
    );
    assert_eq!(refused(Key::default(), &copies).0, "more than 32 actions");
}

#[test]
fn matchall_has_no_key() {
    let mut all = rule(key(&[(Field::EthSrc, &[1; 6])]), &[]);
    all.classifier = Classifier::Matchall;
    assert_eq!(check(&all), Err(Reject::MatchallKey));
    all.key = Key::default();
    assert_eq!(check(&all), Ok(()));
}

proptest! {
    #[test]
    fn wider_mask_never_matches_less(value in any::<[u8; 6]>(), mask in any::<[u8; 6]>(), fewer in any::<[u8; 6]>()) {
        let frame = ethernet_frame(0x1234, &value);
        let mut narrow = Key::default();
        narrow.set(Field::EthDst, &value, &mask).unwrap();
        let mut wide = Key::default();
        let less: Vec<u8> = mask.iter().zip(fewer).map(|(mask, fewer)| mask & fewer).collect();
        wide.set(Field::EthDst, &value, &less).unwrap();
        prop_assert!(!matches(&narrow, &frame) || matches(&wide, &frame));
    }

    #[test]
    fn set_writes_the_value_and_nothing_else(old in any::<[u8; 4]>(), keep in any::<[u8; 4]>(), value in any::<[u8; 4]>()) {
        let value: [u8; 4] = core::array::from_fn(|at| value[at] & !keep[at]);
        let new = edit(Operation::Set, keep, value).apply(old);
        for at in 0..4 {
            prop_assert_eq!(new[at], (old[at] & keep[at]) | value[at]);
        }
    }

    #[test]
    fn add_keeps_what_is_to_be_kept(old in any::<[u8; 4]>(), keep in any::<[u8; 4]>(), value in any::<[u8; 4]>()) {
        let new = edit(Operation::Add, keep, value).apply(old);
        for at in 0..4 {
            prop_assert_eq!(new[at] & keep[at], old[at] & keep[at]);
        }
    }
}

#[test]
fn an_action_without_what_it_borrows_does_the_same_with_its_edits() {
    let edits = [Edit {
        header: Header::Ipv4,
        offset: 8,
        operation: Operation::Set,
        keep: [0; 4],
        value: [1, 2, 3, 4],
    }];
    let police = Police {
        index: 8,
        rate: Rate::None,
        mtu: 9,
        conform: Verdict::Pipe,
        exceed: Verdict::Drop,
    };
    let sample = Action::Sample {
        group: 1,
        rate: 2,
        truncate: Some(3),
    };
    let plain = [
        Action::Control(Verdict::Goto(Chain(4))),
        Action::Redirect(Port(1), Direction::Ingress),
        Action::Mirror(Port(2), Direction::Egress),
        Action::VlanPush {
            tpid: 0x88a8,
            id: 3,
            priority: 4,
        },
        Action::VlanPop,
        Action::VlanModify {
            tpid: 0x8100,
            id: 5,
            priority: None,
        },
        Action::Checksum(checksum::UDP),
        Action::Mark(6),
        Action::Priority(7),
        sample,
        Action::Police(police),
        Action::TunnelUnset,
    ];
    for action in plain {
        let apart = action.apart().unwrap();
        assert_eq!(apart, (action, &[][..]));
    }
    let (without, borrowed) = Action::Pedit(&edits).apart().unwrap();
    assert_eq!((without, borrowed), (Action::Pedit(&[]), &edits[..]));
    assert_eq!(Action::TunnelSet(Encap::default()).apart(), None);
}
