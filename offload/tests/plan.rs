// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What rules become: conditions and keys, lists and arguments, tunnels.

#[path = "support/planner.rs"]
mod planner;

use oxnic_abi::flow::action::{
    action_flags, decap_flags, flow_checksum, FlowAction, FlowActionKind as Kind, FlowEdit,
    FlowHeader, FlowNote, FlowVerdict, NO_ENCAP,
};
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::table::TableMiss;
use oxnic_abi::flow::template::{ConditionKind, FlowCondition};
use oxnic_abi::flow::tunnel::TunnelKind;
use oxnic_offload::packet::tunnel::{flag, TunnelOptions};
use oxnic_offload::packet::{ethernet, tunnel, Address};
use oxnic_offload::plan::chains::miss;
use oxnic_offload::plan::conditions::number;
use oxnic_offload::plan::{
    reached, Counts, Course, Exit, Need, Statistics, TunnelDevice, TunnelId,
};
use oxnic_offload::reject::{Loss, Reject};
use oxnic_offload::rule::action::checksum;
use oxnic_offload::rule::field::TABLE;
use oxnic_offload::rule::police::Rate;
use oxnic_offload::rule::{
    Action, Chain, Classifier, Cookie, Direction, Edit, Encap, Field, Header, Key, Operation,
    OptionsMatch, Police, Port, Range, Rule, Verdict,
};
use planner::{above, context, everything, plan, plan_as, Planned, GENEVE, GRETAP, VXLAN};

const DROP: &[Action<'static>] = &[Action::Control(Verdict::Drop)];

fn rule<'a>(key: Key<'a>, actions: &'a [Action<'a>]) -> Rule<'a> {
    Rule {
        cookie: Cookie(1),
        classifier: Classifier::Flower,
        chain: Chain(0),
        priority: 1,
        protocol: ethernet::ALL,
        key,
        actions,
    }
}

fn key(fields: &[(Field, &[u8])]) -> Key<'static> {
    let mut key = Key::default();
    for (field, value) in fields {
        key.exact(*field, value).unwrap();
    }
    key
}

fn packed(key: Key<'_>) -> Planned<'_> {
    plan(&rule(key, DROP), &context(&everything())).unwrap()
}

fn lowered<'a>(actions: &'a [Action<'a>]) -> Planned<'a> {
    let device = everything();
    let mut context = context(&device);
    context.statistics = Statistics::Off;
    context.skip_sw = true;
    context.software.skips_tc = true;
    context.software.restores_chain = true;
    plan(&rule(Key::default(), actions), &context).unwrap()
}

fn kinds(planned: &Planned<'_>) -> Vec<Kind> {
    planned.list.iter().map(|entry| entry.kind).collect()
}

fn words(planned: &Planned<'_>) -> Vec<u32> {
    let words = planned.arguments.chunks(4);
    words
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

fn masked(field: FlowField, mask: &[u8]) -> FlowCondition {
    let mut condition = FlowCondition {
        field,
        kind: ConditionKind::MASK,
        ..FlowCondition::ZERO
    };
    condition.mask[..mask.len()].copy_from_slice(mask);
    condition
}

#[test]
fn fields_are_those_of_the_device_interface() {
    for (index, row) in TABLE.iter().enumerate() {
        let field = number(row.field);
        assert_eq!(row.field as usize, index);
        assert_eq!(field.text(), row.name);
        assert_eq!(field.bits(), row.bits, "{}", row.name);
        assert_eq!(field.width(), row.field.width(), "{}", row.name);
    }
    let ours: Vec<_> = TABLE.iter().map(|row| number(row.field)).collect();
    let others: Vec<_> = FlowField::ALL
        .iter()
        .filter(|field| !ours.contains(field))
        .collect();
    assert_eq!(ours.len() + others.len(), FlowField::ALL.len());
    assert_eq!(
        others,
        [
            &FlowField::TUNNEL_KIND,
            &FlowField::ENC_OPTIONS_LENGTH,
            &FlowField::ENC_OPTIONS,
            &FlowField::PROTOCOL
        ]
    );
}

#[test]
fn other_numbers_are_those_of_the_device_interface_too() {
    for (ours, theirs) in [
        (checksum::IPV4, flow_checksum::IPV4),
        (checksum::ICMP, flow_checksum::ICMP),
        (checksum::IGMP, flow_checksum::IGMP),
        (checksum::TCP, flow_checksum::TCP),
        (checksum::UDP, flow_checksum::UDP),
        (checksum::UDP_LITE, flow_checksum::UDP_LITE),
        (checksum::SCTP, flow_checksum::SCTP),
        (checksum::ALL, flow_checksum::ALL),
    ] {
        assert_eq!(u32::from(ours), theirs);
    }
    for (ours, theirs) in [
        (Header::Ethernet, FlowHeader::ETHERNET),
        (Header::Network, FlowHeader::NETWORK),
        (Header::Ipv4, FlowHeader::IPV4),
        (Header::Ipv6, FlowHeader::IPV6),
        (Header::Tcp, FlowHeader::TCP),
        (Header::Udp, FlowHeader::UDP),
    ] {
        assert_eq!(ours.name(), theirs.text());
    }
    assert_eq!(
        [
            tunnel::flag::CSUM,
            tunnel::flag::DF,
            tunnel::flag::OAM,
            tunnel::flag::CRIT
        ],
        [1, 2, 4, 8],
        "as the description of ENC_FLAGS has them"
    );
}

#[test]
fn every_field_becomes_a_condition_with_its_value_in_the_key() {
    for row in TABLE {
        let width = row.field.width();
        let mut value = vec![0; width];
        value[width - 1] = 1;
        let mut one = Key::default();
        one.exact(row.field, &value).unwrap();
        // What the field needs is not the plan's business.
        let mut complete = one;
        for (field, value) in [
            (Field::EthType, &[8u8, 0][..]),
            (Field::IpProto, &[6]),
            (Field::NumOfVlans, &[2]),
        ] {
            if row.field != field {
                complete.exact(field, value).unwrap();
            }
        }
        let outer = row.name.starts_with("enc");
        let device = everything();
        let mut context = context(&device);
        let mut rule = rule(one, DROP);
        if outer {
            context.tunnel = Some(planner::TUNNEL_ANYWHERE);
            rule.key.exact(Field::EncIpv4Dst, &[0, 0, 0, 1]).unwrap();
            if [Field::EncIpv6Dst, Field::EncIpv6Src, Field::EncFamily].contains(&row.field) {
                continue;
            }
        }
        if oxnic_offload::rule::check(&rule).is_err() {
            rule.key = complete;
        }
        if oxnic_offload::rule::check(&rule).is_err() {
            rule.key.exact(Field::IpProto, &[1]).unwrap();
        }
        if oxnic_offload::rule::check(&rule).is_err() {
            rule.key = one;
            rule.key.exact(Field::EthType, &[8, 6]).unwrap();
        }
        if oxnic_offload::rule::check(&rule).is_err() {
            rule.key.exact(Field::EthType, &[0x88, 0x47]).unwrap();
        }
        let planned = plan(&rule, &context).unwrap();
        let mut conditions = planned.conditions.iter();
        let place = conditions.position(|condition| condition.field == number(row.field));
        let place = place.unwrap_or_else(|| panic!("{}", row.name));
        let (before, found) = (&planned.conditions[..place], &planned.conditions[place]);
        let at: usize = before.iter().map(|condition| condition.field.width()).sum();
        assert_eq!(
            found.mask[..width],
            *rule.key.mask(row.field),
            "{}",
            row.name
        );
        assert_eq!(planned.key[at..at + width], value, "{}", row.name);
    }
}

#[test]
fn key_is_the_values_one_behind_the_other_in_the_order_of_the_conditions() {
    let mut one = key(&[
        (Field::IpProto, &[17]),
        (Field::EthType, &[8, 0]),
        (Field::DstPort, &[0, 53]),
    ]);
    one.set(Field::Ipv4Dst, &[10, 1, 2, 3], &[255, 255, 0, 0])
        .unwrap();
    let planned = packed(one);
    assert_eq!(
        planned.conditions,
        [
            masked(FlowField::ETH_TYPE, &[255, 255]),
            masked(FlowField::FAMILY, &[255]),
            masked(FlowField::IPV4_DST, &[255, 255, 0, 0]),
            masked(FlowField::IP_PROTO, &[255]),
            masked(FlowField::DST_PORT, &[255, 255]),
        ]
    );
    assert_eq!(planned.key, [8, 0, 4, 10, 1, 0, 0, 17, 0, 53]);
}

#[test]
fn rules_with_one_mask_share_a_template_however_they_were_put_together() {
    let one = packed(key(&[(Field::EthDst, &[1; 6]), (Field::EthType, &[8, 0])]));
    let two = packed(key(&[(Field::EthType, &[8, 6]), (Field::EthDst, &[2; 6])]));
    assert_eq!(one.conditions, two.conditions);
    assert_ne!(one.key, two.key);
}

#[test]
fn protocol_is_a_field_to_the_device_unless_it_is_all() {
    let device = everything();
    let mut ip = rule(Key::default(), DROP);
    ip.protocol = ethernet::IPV4;
    let planned = plan(&ip, &context(&device)).unwrap();
    assert_eq!(
        planned.conditions,
        [masked(FlowField::PROTOCOL, &[255, 255])]
    );
    assert_eq!(planned.key, [8, 0]);
    assert!(packed(Key::default()).conditions.is_empty());
}

#[test]
fn range_is_in_the_template_and_not_in_the_key() {
    let mut one = key(&[(Field::EthType, &[8, 0]), (Field::IpProto, &[6])]);
    one.src_range = Some(Range { min: 5, max: 9 });
    let planned = packed(one);
    let range = planned.conditions.last().unwrap();
    assert_eq!(
        (range.field, range.kind, range.minimum, range.maximum),
        (FlowField::SRC_PORT, ConditionKind::RANGE, 5, 9)
    );
    assert_eq!(planned.key, [8, 0, 6]);
}

#[test]
fn address_without_a_mask_still_asks_for_its_family() {
    let mut one = Key::default();
    one.set(Field::Ipv6Src, &[0; 16], &[0; 16]).unwrap();
    let planned = packed(one);
    assert_eq!(planned.conditions, [masked(FlowField::FAMILY, &[255])]);
    assert_eq!(planned.key, [6]);
}

#[test]
fn actions_become_entries_with_their_values_as_arguments() {
    let edits = [Edit {
        header: Header::Ipv4,
        offset: 8,
        operation: Operation::Add,
        keep: [0, 255, 255, 255],
        value: [255, 0, 0, 0],
    }];
    let actions = [
        Action::VlanPop,
        Action::VlanPush {
            tpid: 0x88a8,
            id: 5,
            priority: 3,
        },
        Action::VlanModify {
            tpid: 0x8100,
            id: 6,
            priority: None,
        },
        Action::VlanModify {
            tpid: 0x8100,
            id: 7,
            priority: Some(1),
        },
        Action::Pedit(&edits),
        Action::Checksum(checksum::IPV4),
        Action::Priority(2),
        Action::Sample {
            group: 3,
            rate: 100,
            truncate: Some(64),
        },
        Action::Mirror(Port(4), Direction::Ingress),
        Action::Redirect(Port(5), Direction::Egress),
    ];
    let device = everything();
    let mut context = context(&device);
    context.statistics = Statistics::Off;
    // A note does not get into another port, so the priority is tried without one.
    let mut without = actions.to_vec();
    without.remove(6);
    let planned = plan(&rule(Key::default(), &without), &context).unwrap();
    assert_eq!(
        kinds(&planned),
        [
            Kind::VLAN_POP,
            Kind::VLAN_PUSH,
            Kind::VLAN_MODIFY,
            Kind::VLAN_MODIFY,
            Kind::EDIT,
            Kind::CSUM,
            Kind::SAMPLE,
            Kind::MIRROR,
            Kind::REDIRECT
        ]
    );
    let list = &planned.list;
    assert_eq!(list[1].choice, [0x88, 0xa8]);
    assert_eq!((list[2].choice, list[2].operands[1]), ([0x81, 0], 0xf000));
    assert_eq!(list[3].operands[1], 0x1000);
    assert_eq!(list[4].choice, [FlowHeader::IPV4.0, FlowEdit::ADD.0]);
    assert_eq!(list[4].operands, [8, 0xffff_ff00, 0, 0]);
    assert_eq!(list[5].operands[0], 1);
    assert_eq!((list[7].choice[0], list[8].choice[0]), (1, 0));
    assert_eq!(
        words(&planned),
        [0x6005, 6, 0x2007, 0xff, 100, 64, 0, 4, NO_ENCAP, 5, NO_ENCAP]
    );
    let sampler = Need::Sampler {
        at: 24,
        group: 3,
        rate: 100,
        truncate: Some(64),
    };
    assert_eq!(planned.needs, [sampler]);
    for entry in list {
        let (first, count) = entry.kind.arguments();
        assert_eq!(entry.flags & action_flags::ARGUMENT != 0, count > 0);
        for operand in first..first + count {
            assert_eq!(entry.operands[operand], 0, "{:?}", entry.kind);
        }
    }
}

#[test]
fn rules_that_differ_in_values_share_an_action_template() {
    let list = |port, id, mac: u8, rate| {
        let edits = [Edit {
            header: Header::Ethernet,
            offset: 0,
            operation: Operation::Set,
            keep: [0; 4],
            value: [mac; 4],
        }];
        let actions = [
            Action::Police(Police {
                index: u32::from(id),
                rate: Rate::Bytes { rate, burst: 1000 },
                mtu: 2000,
                conform: Verdict::Pipe,
                exceed: Verdict::Drop,
            }),
            Action::VlanPush {
                tpid: 0x8100,
                id,
                priority: mac & 7,
            },
            Action::Pedit(&edits),
            Action::Mirror(Port(port + 1), Direction::Egress),
            Action::Redirect(Port(port), Direction::Egress),
        ];
        let planned = plan(&rule(Key::default(), &actions), &context(&everything())).unwrap();
        (planned.list, planned.arguments)
    };
    let (one, two) = (list(1, 5, 9, 100), list(2, 6, 10, 200));
    assert_eq!(one.0, two.0);
    assert_ne!(one.1, two.1);
}

#[test]
fn goto_names_its_table_as_an_argument() {
    let planned = lowered(&[Action::Control(Verdict::Goto(Chain(7)))]);
    assert_eq!(kinds(&planned), [Kind::GOTO]);
    assert_eq!(words(&planned), [1007]);
}

#[test]
fn edits_behind_the_first_of_an_action_hang_on_it() {
    let edit = |offset| Edit {
        header: Header::Udp,
        offset,
        operation: Operation::Set,
        keep: [0; 4],
        value: [1; 4],
    };
    let (one, two) = ([edit(0), edit(4)], [edit(0)]);
    let actions = [
        Action::Pedit(&one),
        Action::Pedit(&two),
        Action::Control(Verdict::Drop),
    ];
    let planned = lowered(&actions);
    let hang: Vec<_> = planned
        .list
        .iter()
        .map(|entry| entry.flags & action_flags::CONTINUED != 0)
        .collect();
    assert_eq!(hang, [false, true, false, false]);
}

#[test]
fn list_that_lets_packets_through_ends_with_accept() {
    assert_eq!(kinds(&lowered(&[])), [Kind::ACCEPT]);
    assert_eq!(
        kinds(&lowered(&[Action::VlanPop])),
        [Kind::VLAN_POP, Kind::ACCEPT]
    );
    assert_eq!(
        kinds(&lowered(&[Action::Control(Verdict::Trap)])),
        [Kind::TRAP]
    );
}

#[test]
fn actions_that_no_packet_reaches_are_left_out() {
    let actions = [Action::Control(Verdict::Drop), Action::VlanPop];
    assert_eq!(kinds(&lowered(&actions)), [Kind::DROP]);
}

fn police<'a>(conform: Verdict, exceed: Verdict) -> Action<'a> {
    Action::Police(Police {
        index: 1,
        rate: Rate::None,
        mtu: 100,
        conform,
        exceed,
    })
}

#[test]
fn jump_skips_the_entries_between() {
    let edits = [Edit {
        header: Header::Ipv4,
        offset: 12,
        operation: Operation::Set,
        keep: [0; 4],
        value: [1; 4],
    }; 2];
    let actions = [
        police(Verdict::Pipe, Verdict::Jump(2)),
        Action::Pedit(&edits),
        Action::Control(Verdict::Drop),
    ];
    let planned = lowered(&actions);
    assert_eq!(
        kinds(&planned),
        [Kind::METER, Kind::EDIT, Kind::EDIT, Kind::DROP]
    );
    assert_eq!(
        planned.list[0].choice,
        [FlowVerdict::PIPE.0, FlowVerdict::SKIP.0]
    );
    assert_eq!(planned.list[0].operands, [0, 0, 2, 0]);
    let actions = [
        police(Verdict::Jump(1), Verdict::Jump(9)),
        Action::Control(Verdict::Drop),
    ];
    let planned = lowered(&actions);
    assert_eq!(
        planned.list[0].choice,
        [FlowVerdict::PIPE.0, FlowVerdict::ACCEPT.0]
    );
}

#[test]
fn verdicts_of_a_policer_are_the_templates() {
    let actions = [police(Verdict::Goto(Chain(3)), Verdict::Drop)];
    let planned = lowered(&actions);
    let entry = planned.list[0];
    assert_eq!(entry.choice, [FlowVerdict::GOTO.0, FlowVerdict::DROP.0]);
    assert_eq!(entry.operands, [0, 1003, 0, 0]);
    assert_eq!(planned.needs.len(), 1);
    assert!(matches!(planned.needs[0], Need::Meter { at: 0, .. }));
}

#[test]
fn what_a_policer_drops_is_counted_where_actions_are() {
    let device = everything();
    let mut context = context(&device);
    context.software.skips_tc = true;
    context.statistics = Statistics::Actions;
    let actions = [
        police(Verdict::Pipe, Verdict::Drop),
        Action::Redirect(Port(3), Direction::Egress),
    ];
    let planned = plan(&rule(Key::default(), &actions), &context).unwrap();
    assert_eq!(
        kinds(&planned),
        [
            Kind::COUNT,
            Kind::METER,
            Kind::COUNT,
            Kind::REDIRECT,
            Kind::COUNT,
            Kind::DROP
        ]
    );
    let meter = planned.list[1];
    assert_eq!(meter.choice, [FlowVerdict::PIPE.0, FlowVerdict::SKIP.0]);
    assert_eq!(meter.operands[2], 2);
    assert!(planned.needs.contains(&Need::Counter {
        at: planned.list[4].argument,
        action: 0,
        counts: Counts::Dropped,
    }));
}

#[test]
fn what_a_policer_drops_is_not_counted_where_there_is_no_room_or_no_skip() {
    let mut few = everything();
    few.actions_max = 5;
    let mut unskipping = everything();
    unskipping.verdicts &= !(1 << FlowVerdict::SKIP.0);
    let actions = [
        police(Verdict::Pipe, Verdict::Drop),
        Action::Redirect(Port(3), Direction::Egress),
    ];
    for device in [few, unskipping] {
        let mut context = context(&device);
        context.software.skips_tc = true;
        context.statistics = Statistics::Actions;
        let planned = plan(&rule(Key::default(), &actions), &context).unwrap();
        assert_eq!(
            kinds(&planned),
            [Kind::COUNT, Kind::METER, Kind::COUNT, Kind::REDIRECT]
        );
        assert_eq!(planned.list[1].choice[1], FlowVerdict::DROP.0);
    }
}

#[test]
fn mark_goes_up_with_the_packet_past_a_policer_too() {
    let actions = [Action::Mark(9), police(Verdict::Accept, Verdict::Drop)];
    let planned = lowered(&actions);
    assert_eq!(kinds(&planned), [Kind::MARK, Kind::METER, Kind::ACCEPT]);
    assert_eq!(planned.list[1].choice[0], FlowVerdict::SKIP.0);
    assert_eq!(planned.list[1].operands[1], 0);
    assert_eq!(planned.list[2].choice[0], FlowNote::MARK.0);
    assert_eq!(planned.exit, Exit::Past);
}

#[test]
fn one_counter_counts_a_rule_and_more_where_packets_go_apart() {
    let device = everything();
    let mut context = context(&device);
    context.software.skips_tc = true;
    let actions = [
        Action::Mirror(Port(2), Direction::Egress),
        police(Verdict::Pipe, Verdict::Jump(3)),
        Action::Sample {
            group: 1,
            rate: 1,
            truncate: None,
        },
        Action::Redirect(Port(3), Direction::Egress),
    ];
    let mut counters = |statistics| {
        context.statistics = statistics;
        let planned = plan(&rule(Key::default(), &actions), &context).unwrap();
        let counters = planned.needs.iter().filter_map(|need| match need {
            Need::Counter { action, .. } => Some(*action),
            _ => None,
        });
        counters.collect::<Vec<_>>()
    };
    assert_eq!(counters(Statistics::Off), []);
    assert_eq!(counters(Statistics::Rule), [0]);
    assert_eq!(counters(Statistics::Actions), [0, 2, 3]);
}

#[test]
fn what_no_packet_gets_to_is_known() {
    let drop = Action::Control(Verdict::Drop);
    let pop = Action::VlanPop;
    assert_eq!(reached(&[pop, drop]), 0b11);
    assert_eq!(reached(&[drop, pop, pop]), 0b1);
    let jump = police(Verdict::Drop, Verdict::Jump(2));
    assert_eq!(reached(&[jump, pop, pop, drop, pop]), 0b1101);
    // It is refused.
    assert_eq!(reached(&[pop, police(Verdict::Pipe, Verdict::Jump(1))]), 0);
}

#[test]
fn thirty_one_copies_with_their_own_edits_fit() {
    let edits: Vec<[Edit; 1]> = (0..15u8)
        .map(|byte| {
            [Edit {
                header: Header::Ethernet,
                offset: 0,
                operation: Operation::Set,
                keep: [255, 255, 255, 0],
                value: [0, 0, 0, byte],
            }]
        })
        .collect();
    let mut actions = Vec::new();
    for (number, edit) in edits.iter().enumerate() {
        actions.push(Action::Pedit(edit));
        actions.push(Action::Mirror(Port(number as u32), Direction::Egress));
    }
    actions.push(Action::Redirect(Port(40), Direction::Egress));
    let planned = lowered(&actions);
    assert_eq!(planned.list.len(), 31);
    let mirrors: Vec<_> = (0..31)
        .map(|at| Action::Mirror(Port(at), Direction::Egress))
        .collect();
    assert_eq!(lowered(&mirrors).list.len(), 32);
}

#[test]
fn needs_fill_the_arguments_that_are_theirs() {
    let encap = Encap {
        address: Address::V4([1; 4], [2; 4]),
        key_id: 5,
        ..Encap::default()
    };
    let actions = [
        Action::TunnelSet(encap),
        Action::Mirror(Port(3), Direction::Egress),
        Action::Mirror(Port(200), Direction::Egress),
        Action::TunnelUnset,
        Action::Redirect(Port(4), Direction::Egress),
    ];
    let planned = lowered(&actions);
    assert_eq!(
        kinds(&planned),
        [Kind::MIRROR, Kind::MIRROR, Kind::REDIRECT]
    );
    assert_eq!(
        planned.needs,
        [Need::Encap {
            at: 8,
            encap,
            device: VXLAN
        }]
    );
    let mut arguments = planned.arguments.clone();
    assert!(planned.needs[0].fill(&mut arguments, &[17, 99]));
    let filled = Planned {
        arguments,
        ..planned
    };
    assert_eq!(words(&filled), [3, NO_ENCAP, 17, 99, 4, NO_ENCAP]);
    assert!(!filled.needs[0].fill(&mut [0; 12], &[1, 2]), "too short");
}

#[test]
fn rule_of_a_tunnel_device_is_about_that_devices_packets() {
    let device = everything();
    let mut context = context(&device);
    context.tunnel = Some(VXLAN);
    let mut one = key(&[(Field::EncKeyId, &[0, 0, 0, 5])]);
    one.options = OptionsMatch::Group {
        value: 0x12,
        mask: 0xff,
    };
    let planned = plan(&rule(one, DROP), &context).unwrap();
    let all = [255; 4];
    let conditions = &planned.conditions;
    assert_eq!(
        conditions[..7],
        [
            masked(FlowField::ENC_FAMILY, &[255]),
            masked(FlowField::ENC_IPV4_DST, &all),
            masked(FlowField::ENC_KEY_ID, &all),
            masked(FlowField::ENC_DST_PORT, &[255, 255]),
            masked(FlowField::TUNNEL_KIND, &[255]),
            masked(FlowField::ENC_OPTIONS_LENGTH, &[255]),
            FlowCondition {
                field: FlowField::ENC_OPTIONS,
                kind: ConditionKind::OPTIONS,
                length: 4,
                ..FlowCondition::ZERO
            },
        ]
    );
    assert_eq!(planned.masks, [0, 0, 0, 255]);
    let kind = TunnelKind::VXLAN.0;
    let ports = [0x12, 0xb5];
    let key = [
        &[4][..],
        &[192, 0, 2, 2, 0, 0, 0, 5],
        &ports,
        &[kind, 4, 0, 0, 0, 0x12],
    ]
    .concat();
    assert_eq!(planned.key, key);
}

#[test]
fn length_of_geneve_options_is_masked_with_itself() {
    let device = everything();
    let mut context = context(&device);
    context.tunnel = Some(GENEVE);
    let mut one = key(&[(Field::EncIpv4Dst, &[192, 0, 2, 2])]);
    one.options = OptionsMatch::Geneve {
        value: &[1, 2, 3, 1, 5, 6, 7, 8],
        mask: &[255, 255, 255, 255, 255, 0, 0, 0],
    };
    let planned = plan(&rule(one, DROP), &context).unwrap();
    let found = |field| {
        *planned
            .conditions
            .iter()
            .find(|one| one.field == field)
            .unwrap()
    };
    assert_eq!(found(FlowField::ENC_OPTIONS_LENGTH).mask[0], 8);
    assert_eq!(found(FlowField::ENC_OPTIONS).length, 8);
    assert!(
        planned.key.ends_with(&[8, 1, 2, 3, 1, 5, 0, 0, 0]),
        "{:?}",
        planned.key
    );
}

#[test]
fn gretap_device_with_a_peer_takes_its_packets_only() {
    let device = everything();
    let mut context = context(&device);
    context.tunnel = Some(GRETAP);
    let planned = plan(&rule(Key::default(), DROP), &context).unwrap();
    let fields: Vec<_> = planned.conditions.iter().map(|one| one.field).collect();
    assert_eq!(
        fields,
        [
            FlowField::ENC_FAMILY,
            FlowField::ENC_IPV4_SRC,
            FlowField::ENC_IPV4_DST,
            FlowField::ENC_KEY_ID,
            FlowField::ENC_FLAGS,
            FlowField::TUNNEL_KIND
        ]
    );
    assert_eq!(
        planned.key,
        [4, 192, 0, 2, 1, 192, 0, 2, 2, 0, 0, 0, 5, 0, 3]
    );
}

#[test]
fn flags_with_which_software_drops_are_not_taken() {
    let external = TunnelDevice {
        id: TunnelId::External,
        ..GRETAP
    };
    let fixed = TunnelDevice {
        id: TunnelId::Fixed(0),
        local: VXLAN.local,
        ..GENEVE
    };
    let device = everything();
    for (tunnel, asked, mask) in [
        (GRETAP, false, Some(flag::CSUM)),
        (external, false, Some(flag::CSUM)),
        (external, true, Some(flag::CSUM | flag::DF)),
        (fixed, false, Some(flag::CRIT)),
        (GENEVE, false, None),
        (VXLAN, false, None),
    ] {
        let mut context = context(&device);
        context.tunnel = Some(tunnel);
        let mut key = key(&[(Field::EncIpv4Dst, &[192, 0, 2, 2])]);
        if tunnel.id != TunnelId::External {
            key = Key::default();
        }
        if asked {
            key.set(Field::EncFlags, &[flag::DF], &[flag::DF]).unwrap();
        }
        let planned = plan(&rule(key, DROP), &context).unwrap();
        let mut conditions = planned.conditions.iter();
        let flags = conditions.find(|one| one.field == FlowField::ENC_FLAGS);
        assert_eq!(flags.map(|one| one.mask[0]), mask, "{tunnel:?}");
        if mask.is_some() {
            let value = if asked { flag::DF } else { 0 };
            assert_eq!(planned.key[planned.key.len() - 2], value);
        }
    }
}

#[test]
fn packet_is_taken_out_of_its_tunnel_before_anything_is_done_to_it() {
    let device = everything();
    let mut context = context(&device);
    context.tunnel = Some(VXLAN);
    let opened = |actions: &[Action<'_>]| {
        let planned = plan(&rule(Key::default(), actions), &context).unwrap();
        let list = planned
            .list
            .iter()
            .map(|entry| (entry.kind, entry.operands[0]));
        list.collect::<Vec<_>>()
    };
    let redirect = Action::Redirect(Port(2), Direction::Egress);
    let (ecn, forget) = (decap_flags::ECN, decap_flags::FORGET);
    assert_eq!(
        opened(&[redirect]),
        [(Kind::COUNT, 0), (Kind::DECAP, ecn), (Kind::REDIRECT, 0)]
    );
    assert_eq!(
        opened(&[Action::TunnelUnset, redirect]),
        [
            (Kind::COUNT, 0),
            (Kind::DECAP, ecn),
            (Kind::DECAP, forget),
            (Kind::REDIRECT, 0)
        ]
    );
    assert_eq!(opened(DROP), [(Kind::COUNT, 0), (Kind::DROP, 0)]);
}

#[test]
fn encap_keeps_its_options_for_who_makes_the_headers() {
    let encap = Encap {
        address: Address::V6([1; 16], [2; 16]),
        key_id: 7,
        options: TunnelOptions::Geneve(&[1, 2, 3, 1, 5, 6, 7, 8]),
        ..Encap::default()
    };
    let actions = [
        Action::TunnelSet(encap),
        Action::Redirect(Port(201), Direction::Egress),
    ];
    let planned = lowered(&actions);
    assert_eq!(
        planned.needs,
        [Need::Encap {
            at: 0,
            encap,
            device: GENEVE
        }]
    );
}

#[test]
fn rule_that_software_has_too_and_that_accepts_is_software_s() {
    let device = everything();
    let context = context(&device);
    let actions = [Action::VlanPop, Action::Control(Verdict::Accept)];
    let planned = plan(&rule(Key::default(), &actions), &context).unwrap();
    assert_eq!(
        (kinds(&planned), planned.course),
        (vec![Kind::ACCEPT], Course::Upwards)
    );
    assert_eq!((planned.exit, planned.needs), (Exit::Start, vec![]));
}

#[test]
fn policer_that_accepts_is_the_devices_where_tc_can_be_left_out() {
    let device = everything();
    let mut context = context(&device);
    let actions = [police(Verdict::Pipe, Verdict::Drop)];
    let course = |context: &_| {
        plan(&rule(Key::default(), &actions), context)
            .unwrap()
            .course
    };
    assert_eq!(course(&context), Course::Upwards);
    context.software.skips_tc = true;
    assert_eq!(course(&context), Course::Device);
}

#[test]
fn frames_of_later_chains_go_up_with_their_chain_or_as_they_came() {
    let mut device = everything();
    let later = |device: &_, restores_chain| {
        let mut context = context(device);
        context.software.restores_chain = restores_chain;
        let mut accept = rule(Key::default(), &[]);
        accept.chain = Chain(3);
        let planned = plan(&accept, &context).unwrap();
        let miss = miss(&context, Chain(3));
        assert_eq!(miss.exit, planned.exit);
        (miss.kind, planned.list[0].kind, planned.exit)
    };
    let chain = Exit::Chain(Chain(3));
    assert_eq!(
        later(&device, true),
        (TableMiss::DEFAULT, Kind::ACCEPT, chain)
    );
    assert_eq!(
        later(&device, false),
        (TableMiss::REWIND, Kind::REWIND, Exit::Start)
    );
    device.misses = 1;
    assert_eq!(
        later(&device, false),
        (TableMiss::DEFAULT, Kind::ACCEPT, Exit::Start)
    );
    let first = miss(&context(&device), Chain(0));
    assert_eq!((first.kind, first.exit), (TableMiss::DEFAULT, Exit::Start));
}

#[test]
fn at_egress_the_device_does_it_all_and_what_no_rule_takes_leaves() {
    let device = everything();
    let mut context = context(&device);
    context.egress = true;
    let push = Action::VlanPush {
        tpid: 0x8100,
        id: 5,
        priority: 0,
    };
    let goto = Action::Control(Verdict::Goto(Chain(3)));
    let continues = police(Verdict::Continue, Verdict::Drop);
    for skip_sw in [false, true] {
        context.skip_sw = skip_sw;
        let planned = |actions: &[Action<'_>]| {
            let planned = plan(&rule(Key::default(), actions), &context).unwrap();
            assert_eq!(planned.course, Course::Device);
            kinds(&planned)
        };
        assert_eq!(
            planned(&[push]),
            [Kind::COUNT, Kind::VLAN_PUSH, Kind::ACCEPT]
        );
        let mirror = Action::Mirror(Port(2), Direction::Egress);
        assert_eq!(
            planned(&[mirror, goto]),
            [Kind::COUNT, Kind::MIRROR, Kind::GOTO]
        );
        assert_eq!(planned(&[continues]), [Kind::COUNT, Kind::METER]);
    }
    assert_eq!(miss(&context, Chain(3)).kind, TableMiss::DEFAULT);
}

#[test]
fn stand_in_matches_more_rather_than_not_at_all() {
    let mut device = everything();
    device.fields &= !FlowField::IP_TTL.bit();
    device.masks &= !FlowField::IPV4_DST.bit();
    let mut one = key(&[(Field::EthType, &[8, 0]), (Field::IpTtl, &[9])]);
    one.set(Field::Ipv4Dst, &[10, 0, 0, 0], &[255, 0, 0, 0])
        .unwrap();
    let rule = rule(one, DROP);
    let context = context(&device);
    assert!(plan(&rule, &context).is_err());
    let planned = plan_as(&rule, &context, true).unwrap();
    assert!(planned.wider);
    let fields: Vec<_> = planned.conditions.iter().map(|one| one.field).collect();
    assert_eq!(fields, [FlowField::ETH_TYPE, FlowField::FAMILY]);
    assert_eq!(planned.key, [8, 0, 4]);
    assert_eq!(kinds(&planned), [Kind::ACCEPT]);
    assert_eq!(
        planned.list[0],
        FlowAction {
            kind: Kind::ACCEPT,
            ..FlowAction::ZERO
        }
    );
}

#[test]
fn stand_in_of_a_tunnel_device_is_about_any_address_of_the_host() {
    let caps = everything();
    let mut context = context(&caps);
    context.tunnel = Some(GENEVE);
    let rule = rule(Key::default(), DROP);
    assert!(plan(&rule, &context).is_err());
    let stand_in = plan_as(&rule, &context, true).unwrap();
    let fields: Vec<_> = stand_in.conditions.iter().map(|one| one.field).collect();
    assert_eq!(fields, [FlowField::ENC_DST_PORT, FlowField::TUNNEL_KIND]);
    assert_eq!(kinds(&stand_in), [Kind::ACCEPT]);
}

#[test]
fn what_is_sent_to_a_vlan_device_gets_its_tags_and_a_copy_alone_keeps_them() {
    let actions = [
        Action::Mirror(Port(101), Direction::Egress),
        Action::Redirect(Port(100), Direction::Egress),
    ];
    let planned = lowered(&actions);
    assert_eq!(
        kinds(&planned),
        [
            Kind::VLAN_PUSH,
            Kind::VLAN_PUSH,
            Kind::MIRROR,
            Kind::VLAN_POP,
            Kind::VLAN_POP,
            Kind::VLAN_PUSH,
            Kind::REDIRECT,
        ]
    );
    let pushes = planned.list.iter();
    let pushes = pushes.filter(|entry| entry.kind == Kind::VLAN_PUSH);
    let types: Vec<_> = pushes.map(|entry| entry.choice).collect();
    // The outermost tag is pushed last.
    assert_eq!(types, [[0x81, 0], [0x88, 0xa8], [0x81, 0]]);
    let expected = [5, 6, 8, NO_ENCAP, 0x3005, 7, NO_ENCAP];
    assert_eq!(words(&planned), expected);
    let into = [Action::Redirect(Port(100), Direction::Ingress)];
    let caps = everything();
    let refused = plan(&rule(Key::default(), &into), &context(&caps)).map(|_| ());
    let action = into[0].name();
    assert_eq!(refused, Err(Reject::Lost(Loss::UpperIngress { action })));
}

#[test]
fn a_rule_of_a_vlan_device_puts_nothing_into_the_port_below_as_if_it_came_in_there() {
    let caps = everything();
    let mut context = context(&caps);
    context.upper = Some(above());
    let refusal = |action: Action<'_>| {
        let actions = [action, Action::Control(Verdict::Drop)];
        let planned = plan(&rule(Key::default(), &actions), &context);
        planned.map(|_| ()).err()
    };
    for into_below in [
        Action::Redirect(Port(7), Direction::Ingress),
        Action::Mirror(Port(7), Direction::Ingress),
    ] {
        let action = into_below.name();
        let below = Reject::Lost(Loss::Below { action });
        assert_eq!(refusal(into_below), Some(below));
    }
    for other in [
        Action::Redirect(Port(7), Direction::Egress),
        Action::Redirect(Port(8), Direction::Ingress),
    ] {
        assert_eq!(refusal(other), None);
    }
}

#[test]
fn rules_of_a_vlan_device_send_packets_up_as_they_came() {
    let caps = everything();
    let mut context = context(&caps);
    context.software.restores_chain = true;
    context.software.skips_tc = true;
    context.upper = Some(above());
    for chain in [0, 3] {
        let miss = miss(&context, Chain(chain));
        assert_eq!((miss.kind, miss.exit), (TableMiss::REWIND, Exit::Start));
    }
    let accept = [Action::VlanPop, Action::Control(Verdict::Accept)];
    let planned = plan(&rule(Key::default(), &accept), &context).unwrap();
    assert_eq!(kinds(&planned), [Kind::REWIND]);
    assert_eq!(planned.course, Course::Upwards);
    let stand_in = plan_as(&rule(Key::default(), DROP), &context, true).unwrap();
    assert_eq!(kinds(&stand_in), [Kind::REWIND]);
    let drop = plan(&rule(Key::default(), DROP), &context).unwrap();
    assert_eq!(kinds(&drop), [Kind::COUNT, Kind::DROP]);
    context.skip_sw = true;
    let refused = plan(&rule(Key::default(), &accept), &context).map(|_| ());
    let upper = |what| Err(Reject::Lost(Loss::Upper { what }));
    assert_eq!(refused, upper("ok"));
    context.skip_sw = false;
    let indev = rule(key(&[(Field::IngressPort, &[0, 0, 0, 1])]), DROP);
    assert_eq!(plan(&indev, &context).map(|_| ()), upper("indev"));
    assert!(plan_as(&indev, &context, true).unwrap().wider);
}
