// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Every refusal of the plan: that it can be had, what its text names, and its number.

#[path = "support/planner.rs"]
mod planner;

use std::collections::BTreeSet;

use oxnic_abi::flow::action::{FlowActionKind as Kind, FlowHeader, FlowVerdict};
use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::encap::encap_flags;
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::meter::MeterUnit;
use oxnic_abi::flow::tunnel::TunnelKind as Number;
use oxnic_offload::packet::tunnel::{TunnelKind, TunnelOptions};
use oxnic_offload::packet::{ethernet, Address};
use oxnic_offload::plan::conditions::number;
use oxnic_offload::plan::order::Ranges;
use oxnic_offload::plan::{Context, Statistics, TunnelDevice, TunnelId};
use oxnic_offload::reject::{errno, Lack, Loss, Obstacle, Reject};
use oxnic_offload::rule::edit::PLACES;
use oxnic_offload::rule::field::TABLE;
use oxnic_offload::rule::police::Rate;
use oxnic_offload::rule::{
    Action, Chain, Classifier, Cookie, Direction, Edit, Encap, Field, Header, Key, Operation,
    OptionsMatch, Police, Port, Range, Rule, Verdict,
};
use planner::{context, everything, plan, GENEVE, GRETAP, VXLAN};

const DROP: &[Action<'static>] = &[Action::Control(Verdict::Drop)];
const REDIRECT: Action<'static> = Action::Redirect(Port(2), Direction::Egress);
const GOTO: Action<'static> = Action::Control(Verdict::Goto(Chain(5)));
const MIRROR: Action<'static> = Action::Mirror(Port(2), Direction::Egress);

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

fn lacking(caps: &FlowCaps, key: Key<'_>, actions: &[Action<'_>]) -> Reject {
    let mut context = context(caps);
    context.skip_sw = true;
    context.software.skips_tc = true;
    context.software.restores_chain = true;
    plan(&rule(key, actions), &context).unwrap_err()
}

fn lack(lack: Lack) -> Reject {
    Reject::Lacks(lack)
}

fn police(rate: Rate, conform: Verdict, exceed: Verdict) -> Action<'static> {
    Action::Police(Police {
        index: 1,
        rate,
        mtu: 100,
        conform,
        exceed,
    })
}

fn pedit(header: Header, byte: u32, operation: Operation) -> [Edit; 1] {
    let mut edit = Edit {
        header,
        offset: byte / 4 * 4,
        operation,
        keep: [255; 4],
        value: [0; 4],
    };
    edit.keep[(byte % 4) as usize] = 0;
    [edit]
}

/// A key that uses a field, with what it needs, and may be that of a rule on a tunnel device.
fn key_with(field: Field) -> Option<Key<'static>> {
    let mut value = vec![0; field.width()];
    value[field.width() - 1] = 1;
    let needs: [&[(Field, &[u8])]; 6] = [
        &[],
        &[(Field::EthType, &[8, 0]), (Field::IpProto, &[6])],
        &[(Field::EthType, &[8, 0]), (Field::IpProto, &[1])],
        &[(Field::EthType, &[8, 6])],
        &[(Field::EthType, &[0x88, 0x47])],
        &[(Field::NumOfVlans, &[2])],
    ];
    needs.into_iter().find_map(|needs| {
        let mut key = key(needs);
        key.exact(field, &value).unwrap();
        oxnic_offload::rule::check(&rule(key, DROP))
            .is_ok()
            .then_some(key)
    })
}

#[test]
fn device_without_a_field_is_told_its_name() {
    for row in TABLE.iter().filter(|row| !row.name.starts_with("enc")) {
        let number = number(row.field);
        let mut caps = everything();
        caps.fields &= !number.bit();
        let key = key_with(row.field).unwrap_or_else(|| panic!("{}", row.name));
        let reject = lacking(&caps, key, DROP);
        assert_eq!(reject, lack(Lack::Field { field: number }));
        assert_eq!(
            reject.to_string(),
            format!("{} cannot be matched by this device", row.name)
        );
        assert_eq!(reject.errno(), errno::EOPNOTSUPP);
    }
}

#[test]
fn device_without_masks_of_a_field_is_told_its_name_and_takes_the_whole_field() {
    for row in TABLE.iter().filter(|row| !row.name.starts_with("enc")) {
        let number = number(row.field);
        let mut caps = everything();
        caps.masks &= !number.bit();
        let mut key = key_with(row.field).unwrap();
        let context = context(&caps);
        plan(&rule(key, DROP), &context).unwrap();
        let width = row.field.width();
        let mut mask = vec![0; width];
        mask[width - 1] = 1;
        let value = mask.clone();
        key.set(row.field, &value, &mask).unwrap();
        if oxnic_offload::rule::check(&rule(key, DROP)).is_err() {
            continue;
        }
        let reject = plan(&rule(key, DROP), &context).unwrap_err();
        assert_eq!(reject, lack(Lack::Mask { field: number }));
        assert!(reject.to_string().starts_with(row.name), "{reject}");
    }
}

#[test]
fn outer_fields_and_options_that_the_device_lacks_are_named() {
    let names = [
        (FlowField::ENC_KEY_ID, "enc_key_id"),
        (FlowField::ENC_DST_PORT, "enc_dst_port"),
        (FlowField::ENC_IPV4_DST, "enc_dst_ip"),
        (FlowField::ENC_FAMILY, "enc address family"),
        (FlowField::TUNNEL_KIND, "tunnel kind"),
        (FlowField::ENC_OPTIONS_LENGTH, "enc_opts length"),
        (FlowField::ENC_OPTIONS, "enc_opts"),
    ];
    for (field, name) in names {
        let mut caps = everything();
        caps.fields &= !field.bit();
        let mut key = key(&[(Field::EncKeyId, &[0, 0, 0, 1])]);
        key.options = OptionsMatch::Group { value: 1, mask: 1 };
        let mut context = context(&caps);
        context.tunnel = Some(VXLAN);
        let reject = plan(&rule(key, DROP), &context).unwrap_err();
        assert_eq!(reject, lack(Lack::Field { field }));
        assert!(reject.to_string().starts_with(name), "{reject}");
    }
    let mut caps = everything();
    caps.fields &= !FlowField::PROTOCOL.bit();
    let mut ip = rule(Key::default(), DROP);
    ip.protocol = ethernet::IPV4;
    let reject = plan(&ip, &context(&caps)).unwrap_err();
    assert_eq!(
        reject.to_string(),
        "protocol cannot be matched by this device"
    );
}

#[test]
fn ranges_that_the_device_lacks_are_named() {
    for (field, name) in [
        (FlowField::SRC_PORT, "src_port"),
        (FlowField::DST_PORT, "dst_port"),
    ] {
        let mut caps = everything();
        caps.ranges &= !field.bit();
        let mut key = key(&[(Field::EthType, &[8, 0]), (Field::IpProto, &[6])]);
        key.src_range = Some(Range { min: 1, max: 2 });
        key.dst_range = Some(Range { min: 1, max: 2 });
        let reject = lacking(&caps, key, DROP);
        assert_eq!(reject, lack(Lack::Range { field }));
        assert!(reject.to_string().starts_with(name), "{reject}");
    }
}

#[test]
fn conditions_key_and_options_have_limits_to_the_unit() {
    let one = key(&[(Field::EthType, &[8, 0]), (Field::IpProto, &[6])]);
    let mut caps = everything();
    (caps.conditions_max, caps.key_max) = (2, 3);
    assert!(plan(&rule(one, DROP), &context(&caps)).is_ok());
    caps.conditions_max = 1;
    let reject = lacking(&caps, one, DROP);
    assert_eq!(
        reject.to_string(),
        "ip_proto: this device matches at most 1 fields at once"
    );
    assert_eq!(reject.errno(), errno::ERANGE);
    (caps.conditions_max, caps.key_max) = (2, 2);
    let reject = lacking(&caps, one, DROP);
    assert_eq!(
        reject.to_string(),
        "ip_proto: this device matches at most 2 bytes at once"
    );
    let mut caps = everything();
    let options = [1, 2, 3, 1, 5, 6, 7, 8];
    let mut one = key(&[(Field::EncIpv4Dst, &[1; 4])]);
    one.options = OptionsMatch::Geneve {
        value: &options,
        mask: &[255; 8],
    };
    caps.options_max = 8;
    let tunnelled = |caps: &FlowCaps| {
        let mut context = context(caps);
        context.tunnel = Some(GENEVE);
        plan(&rule(one, DROP), &context).map(|_| ())
    };
    assert_eq!(tunnelled(&caps), Ok(()));
    caps.options_max = 4;
    let reject = tunnelled(&caps).unwrap_err();
    assert_eq!(
        reject,
        lack(Lack::Options {
            length: 8,
            limit: 4
        })
    );
    assert!(reject.to_string().starts_with("enc_opts"), "{reject}");
}

#[test]
fn every_action_that_the_device_lacks_is_named() {
    let edits = pedit(Header::Ipv4, 8, Operation::Set);
    let sample = Action::Sample {
        group: 1,
        rate: 1,
        truncate: None,
    };
    let cases: &[(Kind, &[Action<'_>], &str)] = &[
        (
            Kind::METER,
            &[police(Rate::None, Verdict::Drop, Verdict::Drop)],
            "police",
        ),
        (Kind::MIRROR, &[MIRROR, REDIRECT], "mirred egress mirror"),
        (Kind::REDIRECT, &[REDIRECT], "mirred egress redirect"),
        (Kind::DROP, DROP, "drop"),
        (Kind::ACCEPT, &[Action::Control(Verdict::Accept)], "ok"),
        (Kind::TRAP, &[Action::Control(Verdict::Trap)], "trap"),
        (Kind::GOTO, &[GOTO], "goto chain"),
        (
            Kind::VLAN_PUSH,
            &[Action::VlanPush {
                tpid: 0x8100,
                id: 1,
                priority: 0,
            }],
            "vlan push",
        ),
        (Kind::VLAN_POP, &[Action::VlanPop], "vlan pop"),
        (
            Kind::VLAN_MODIFY,
            &[Action::VlanModify {
                tpid: 0x8100,
                id: 1,
                priority: None,
            }],
            "vlan modify",
        ),
        (Kind::EDIT, &[Action::Pedit(&edits)], "pedit"),
        (Kind::CSUM, &[Action::Checksum(1)], "csum"),
        (Kind::MARK, &[Action::Mark(1)], "skbedit mark"),
        (
            Kind::PRIORITY,
            &[Action::Priority(1), REDIRECT],
            "skbedit priority",
        ),
        (Kind::SAMPLE, &[sample], "sample"),
    ];
    for (kind, actions, name) in cases {
        let mut caps = everything();
        caps.actions &= !kind.bit();
        let reject = lacking(&caps, Key::default(), actions);
        assert_eq!(
            reject,
            lack(Lack::Action {
                action: name,
                kind: *kind
            })
        );
        assert!(
            reject
                .to_string()
                .starts_with(&format!("action {name} cannot")),
            "{reject}"
        );
    }
    let mut caps = everything();
    caps.actions &= !Kind::COUNT.bit();
    let reject = lacking(&caps, Key::default(), DROP);
    assert_eq!(
        reject.to_string(),
        "action drop cannot be done by this device (count)"
    );
}

#[test]
fn every_byte_of_a_header_that_the_device_cannot_edit_is_named() {
    for header in [
        Header::Ethernet,
        Header::Network,
        Header::Ipv4,
        Header::Ipv6,
        Header::Tcp,
        Header::Udp,
    ] {
        let number = FlowHeader::ALL
            .iter()
            .find(|one| one.text() == header.name())
            .unwrap();
        for byte in 0..number.length() {
            for operation in [Operation::Set, Operation::Add] {
                let mut caps = everything();
                let table = match operation {
                    Operation::Set => &mut caps.edit_set,
                    Operation::Add => &mut caps.edit_add,
                };
                table[usize::from(number.0)] &= !(1 << byte);
                let edits = pedit(header, byte, operation);
                let actions = [Action::Pedit(&edits), Action::Control(Verdict::Drop)];
                let reject = lacking(&caps, Key::default(), &actions);
                assert_eq!(
                    reject,
                    lack(Lack::Edit {
                        header,
                        byte,
                        operation
                    })
                );
                let place = PLACES.iter().find(|place| {
                    place.header == header
                        && (place.start..place.start + place.bytes).contains(&byte)
                });
                let name = place.map_or(header.name(), |place| place.name);
                assert!(
                    reject.to_string().starts_with(&format!("pedit {name} ")),
                    "{reject}"
                );
                let other = pedit(header, (byte + 1) % number.length(), operation);
                let actions = [Action::Pedit(&other), Action::Control(Verdict::Drop)];
                assert!(plan(&rule(Key::default(), &actions), &context(&caps)).is_ok());
            }
        }
    }
}

#[test]
fn every_checksum_unit_and_verdict_that_the_device_lacks_is_named() {
    let names = ["ip4h", "icmp", "igmp", "tcp", "udp", "udplite", "sctp"];
    for (bit, name) in names.iter().enumerate() {
        let mut caps = everything();
        caps.checksums &= !(1 << bit);
        let actions = [Action::Checksum(0x7f), Action::Control(Verdict::Drop)];
        let reject = lacking(&caps, Key::default(), &actions);
        assert_eq!(
            reject.to_string(),
            format!("action csum {name} cannot be done by this device")
        );
    }
    for (rate, unit) in [
        (Rate::None, MeterUnit::NONE),
        (Rate::Bytes { rate: 1, burst: 1 }, MeterUnit::BYTES),
        (Rate::Packets { rate: 1, burst: 1 }, MeterUnit::PACKETS),
    ] {
        let mut caps = everything();
        caps.meter_units &= !(1 << unit.0);
        let reject = lacking(
            &caps,
            Key::default(),
            &[police(rate, Verdict::Drop, Verdict::Drop)],
        );
        assert_eq!(reject, lack(Lack::Meter { unit }));
        assert!(reject.to_string().ends_with(unit.text()), "{reject}");
    }
    for (verdict, number) in [
        (Verdict::Drop, FlowVerdict::DROP),
        (Verdict::Accept, FlowVerdict::ACCEPT),
        (Verdict::Goto(Chain(1)), FlowVerdict::GOTO),
        (Verdict::Continue, FlowVerdict::CONTINUE),
        (Verdict::Jump(2), FlowVerdict::SKIP),
        (Verdict::Pipe, FlowVerdict::PIPE),
    ] {
        for (which, conform, exceed) in [
            ("conform", verdict, Verdict::Jump(1)),
            ("exceed", Verdict::Jump(1), verdict),
        ] {
            let mut caps = everything();
            caps.verdicts &= !(1 << number.0);
            let actions = [police(Rate::None, conform, exceed), MIRROR, REDIRECT];
            let mut rule = rule(Key::default(), &actions);
            rule.classifier = Classifier::Matchall;
            let mut context = context(&caps);
            context.skip_sw = true;
            context.software.skips_tc = true;
            context.software.restores_chain = true;
            let reject = plan(&rule, &context).unwrap_err();
            let Reject::Lacks(Lack::Verdict {
                which: found,
                verdict,
            }) = reject
            else {
                panic!("{reject}");
            };
            assert_eq!(verdict, number);
            // Where both take the same, the first is named.
            assert!(found == which || number == FlowVerdict::PIPE);
            let start = format!("action police: {found} {}", number.text());
            assert!(reject.to_string().starts_with(&start), "{reject}");
        }
    }
}

#[test]
fn actions_arguments_copies_and_counters_have_limits_to_the_unit() {
    let actions = [MIRROR, MIRROR, REDIRECT];
    let mut caps = everything();
    (caps.actions_max, caps.arguments_max, caps.copies_max) = (4, 28, 2);
    assert!(plan(&rule(Key::default(), &actions), &context(&caps)).is_ok());
    let name = "mirred egress redirect";
    caps.actions_max = 3;
    let reject = lacking(&caps, Key::default(), &actions);
    assert_eq!(
        reject,
        lack(Lack::Actions {
            action: name,
            limit: 3
        })
    );
    assert!(reject.to_string().contains(name), "{reject}");
    (caps.actions_max, caps.arguments_max) = (4, 27);
    let reject = lacking(&caps, Key::default(), &actions);
    assert_eq!(
        reject,
        lack(Lack::Arguments {
            action: name,
            limit: 27
        })
    );
    assert!(reject.to_string().contains(name), "{reject}");
    (caps.arguments_max, caps.copies_max) = (28, 1);
    let reject = lacking(&caps, Key::default(), &actions);
    assert_eq!(reject, lack(Lack::Copies { limit: 1 }));
    assert!(reject.to_string().contains("mirror"), "{reject}");
    caps = everything();
    caps.counters = 0;
    let reject = lacking(&caps, Key::default(), &actions);
    assert_eq!(reject, lack(Lack::Counters));
    assert!(reject.to_string().starts_with("hw_stats"), "{reject}");
    let mut context = context(&caps);
    context.statistics = Statistics::Off;
    assert!(plan(&rule(Key::default(), &actions), &context).is_ok());
}

#[test]
fn what_is_not_there_and_what_goes_back_is_refused() {
    let caps = everything();
    let far = [Action::Redirect(Port(150), Direction::Egress)];
    let mirror = [Action::Mirror(Port(150), Direction::Ingress), REDIRECT];
    let into = [Action::Control(Verdict::Goto(Chain(100)))];
    let back = [
        MIRROR,
        police(Rate::None, Verdict::Jump(1), Verdict::Drop),
        REDIRECT,
    ];
    let none = Key::default();
    for (key, actions, text) in [
        (
            none,
            &far[..],
            "mirred egress redirect: the interface is not on this device",
        ),
        (
            none,
            &mirror,
            "mirred ingress mirror: the interface is not on this device",
        ),
        (
            key(&[(Field::IngressPort, &[0, 0, 0, 150])]),
            DROP,
            "indev: the interface is not on this device",
        ),
        (
            none,
            &into,
            "action goto chain 100: the device has no table for it",
        ),
        (
            none,
            &back,
            "action police: jump to action 1, which is not behind it",
        ),
    ] {
        assert_eq!(lacking(&caps, key, actions).to_string(), text);
    }
    let mut half = Key::default();
    half.set(Field::IngressPort, &[0; 4], &[0, 0, 0, 1])
        .unwrap();
    let field = FlowField::INGRESS_PORT;
    assert_eq!(lacking(&caps, half, DROP), lack(Lack::Mask { field }));
}

/// A change of the context of a case.
type Change = fn(&mut Context<'_>);

#[test]
fn what_would_be_lost_in_software_is_refused_by_name() {
    let edits = pedit(Header::Ipv4, 8, Operation::Set);
    let of_type = pedit(Header::Ethernet, 13, Operation::Set);
    let goto_police = [police(Rate::None, Verdict::Goto(Chain(5)), Verdict::Drop)];
    let continues = |more: &[Action<'static>]| {
        let mut actions = more.to_vec();
        actions.push(police(Rate::None, Verdict::Continue, Verdict::Drop));
        actions
    };
    let encap = Encap {
        address: Address::V4([1; 4], [2; 4]),
        ..Encap::default()
    };
    let plain: Change = |_| {};
    let only: Change = |context| context.skip_sw = true;
    let restores: Change = |context| context.software.restores_chain = true;
    let uncounted: Change = |context| {
        context.skip_sw = true;
        context.statistics = Statistics::Off;
    };
    let skips: Change = |context| {
        context.skip_sw = true;
        context.software.skips_tc = true;
    };
    let lost = |loss| Reject::Lost(loss);
    let note = |action, at| lost(Loss::Note { action, at });
    let again = |action| lost(Loss::Again { action, chain: 5 });
    let sample = Action::Sample {
        group: 1,
        rate: 1,
        truncate: None,
    };
    let cases: &[(Change, Vec<Action<'_>>, Reject, &[&str])] = &[
        (
            only,
            vec![GOTO],
            lost(Loss::Unknown { chain: 5 }),
            &["goto chain 5", "skip_sw"],
        ),
        (
            plain,
            vec![MIRROR, GOTO],
            again("mirred egress mirror"),
            &["mirred egress mirror", "goto chain 5"],
        ),
        (plain, vec![sample, GOTO], again("sample"), &["sample"]),
        (plain, goto_police.to_vec(), again("police"), &["police"]),
        (
            plain,
            vec![Action::Control(Verdict::Goto(Chain(0)))],
            lost(Loss::Back),
            &["goto chain 0"],
        ),
        (
            restores,
            vec![Action::Mark(1), GOTO],
            note("skbedit mark", "goto chain"),
            &["skbedit mark", "goto chain"],
        ),
        (
            restores,
            vec![Action::Priority(1), GOTO],
            note("skbedit priority", "goto chain"),
            &["skbedit priority"],
        ),
        (
            restores,
            vec![Action::TunnelSet(encap), GOTO],
            note("tunnel_key set", "goto chain"),
            &["tunnel_key set"],
        ),
        (
            restores,
            vec![Action::Pedit(&of_type), GOTO],
            note("pedit eth type", "goto chain"),
            &["pedit eth type"],
        ),
        (
            plain,
            vec![
                Action::Mark(1),
                Action::Redirect(Port(2), Direction::Ingress),
            ],
            note("skbedit mark", "mirred ingress redirect"),
            &["skbedit mark", "mirred ingress redirect"],
        ),
        (
            only,
            vec![Action::VlanPop],
            lost(Loss::Accepted),
            &["ok", "skip_sw"],
        ),
        (
            skips,
            vec![Action::Priority(1)],
            note("skbedit priority", "ok"),
            &["skbedit priority", "ok"],
        ),
        (
            skips,
            vec![
                police(Rate::None, Verdict::Accept, Verdict::Pipe),
                Action::Control(Verdict::Trap),
            ],
            lost(Loss::Mixed),
            &["trap", "ok", "skip_sw"],
        ),
        (
            skips,
            vec![Action::Mark(1), Action::Control(Verdict::Trap)],
            note("skbedit mark", "trap"),
            &["skbedit mark", "trap"],
        ),
        (
            skips,
            vec![Action::TunnelSet(encap)],
            note("tunnel_key set", "ok"),
            &["tunnel_key set", "ok"],
        ),
        (
            plain,
            continues(&[]),
            lost(Loss::Continue),
            &["continue", "without skip_sw"],
        ),
        (
            only,
            continues(&[]),
            lost(Loss::ContinueAfter { what: "hw_stats" }),
            &["continue", "hw_stats"],
        ),
        (
            uncounted,
            continues(&[Action::VlanPop]),
            lost(Loss::ContinueAfter { what: "vlan pop" }),
            &["continue", "vlan pop"],
        ),
    ];
    let caps = everything();
    for (change, actions, expected, words) in cases {
        let mut context = context(&caps);
        change(&mut context);
        let mut rule = rule(Key::default(), actions);
        rule.classifier = Classifier::Matchall;
        check(&rule, &context, *expected, words);
    }
    let actions = continues(&[]);
    let mut rule = rule(Key::default(), &actions);
    let mut context = context(&caps);
    uncounted(&mut context);
    check(
        &rule,
        &context,
        lost(Loss::ContinueFlower),
        &["continue", "matchall"],
    );
    rule.classifier = Classifier::Matchall;
    assert!(plan(&rule, &context).is_ok());
    rule.chain = Chain(1);
    let expected = lost(Loss::ContinueAfter { what: "goto chain" });
    check(&rule, &context, expected, &["continue", "goto chain"]);
    let mut caps = everything();
    caps.misses = 1;
    let context = planner::context(&caps);
    for (actions, what) in [
        (vec![GOTO], "hw_stats"),
        (vec![Action::Pedit(&edits), GOTO], "pedit"),
    ] {
        let mut rule = rule;
        (rule.chain, rule.actions) = (Chain(0), &actions);
        check(
            &rule,
            &context,
            lost(Loss::Rewind { what, chain: 5 }),
            &[what, "goto chain 5"],
        );
    }
}

#[test]
fn what_cannot_be_had_at_egress_is_named() {
    let caps = everything();
    let mut context = context(&caps);
    context.egress = true;
    let indev = key(&[(Field::IngressPort, &[0, 0, 0, 1])]);
    let expected = |what| Reject::Lost(Loss::Egress { what });
    check(
        &rule(indev, DROP),
        &context,
        expected("indev"),
        &["indev", "egress"],
    );
    let encap = Encap {
        address: Address::V4([1; 4], [2; 4]),
        ..Encap::default()
    };
    let actions = [
        Action::TunnelSet(encap),
        Action::Redirect(Port(200), Direction::Egress),
    ];
    let name = "tunnel_key set";
    check(
        &rule(Key::default(), &actions),
        &context,
        expected(name),
        &[name],
    );
    let stand_in = planner::plan_as(&rule(Key::default(), DROP), &context, true);
    assert_eq!(stand_in.map(|_| ()), Err(expected("software")));
}

fn check(rule: &Rule<'_>, context: &Context<'_>, expected: Reject, words: &[&str]) {
    let reject = plan(rule, context).map(|_| ()).unwrap_err();
    assert_eq!(reject, expected);
    assert_eq!(reject.errno(), errno::EOPNOTSUPP);
    for word in words {
        assert!(reject.to_string().contains(word), "{reject}: {word}");
    }
}

#[test]
fn what_stands_in_the_way_of_rules_on_tunnel_devices_is_named() {
    let fixed = TunnelDevice {
        id: TunnelId::Fixed(5),
        ..VXLAN
    };
    let keyless = TunnelDevice {
        id: TunnelId::Keyless,
        ..GRETAP
    };
    let zero = TunnelDevice {
        id: TunnelId::Fixed(0),
        ..GRETAP
    };
    let external = TunnelDevice {
        id: TunnelId::External,
        ..GRETAP
    };
    let mut checksum = Key::default();
    checksum.set(Field::EncFlags, &[1], &[1]).unwrap();
    let id = key(&[(Field::EncKeyId, &[0, 0, 0, 5])]);
    let port = key(&[(Field::EncDstPort, &[0, 5])]);
    let elsewhere = key(&[(Field::EncIpv4Dst, &[1; 4])]);
    let v6 = key(&[(Field::EncIpv6Dst, &[1; 16])]);
    let mut net = Key::default();
    net.set(Field::EncIpv4Dst, &[10, 0, 0, 0], &[255, 0, 0, 0])
        .unwrap();
    let tos = key(&[(Field::EthType, &[8, 0]), (Field::IpTos, &[0])]);
    let mut group = Key::default();
    group.options = OptionsMatch::Group { value: 1, mask: 1 };
    let mut geneve = Key::default();
    geneve.options = OptionsMatch::Geneve {
        value: &[0; 4],
        mask: &[255; 4],
    };
    let plain = TunnelDevice {
        kind: TunnelKind::Vxlan {
            group_policy: false,
        },
        ..VXLAN
    };
    let ingress = [Action::Redirect(Port(2), Direction::Ingress)];
    let name = "mirred ingress redirect";
    let never = |field| Obstacle::NeverHere { field };
    let field = Field::EncKeyId;
    type Case<'a> = (
        Option<TunnelDevice>,
        Key<'a>,
        &'a [Action<'a>],
        Obstacle,
        &'a str,
    );
    let cases: &[Case<'_>] = &[
        (None, id, DROP, Obstacle::NoTunnel { field }, "enc_key_id"),
        (
            None,
            group,
            DROP,
            Obstacle::NoTunnel { field },
            "enc_key_id",
        ),
        (
            Some(fixed),
            id,
            DROP,
            Obstacle::NotExternal { field },
            "enc_key_id",
        ),
        (
            Some(fixed),
            group,
            DROP,
            Obstacle::NotExternal { field },
            "enc_key_id",
        ),
        (
            Some(VXLAN),
            port,
            DROP,
            never(Field::EncDstPort),
            "enc_dst_port",
        ),
        (
            Some(VXLAN),
            elsewhere,
            DROP,
            never(Field::EncIpv4Dst),
            "enc_dst_ip",
        ),
        (
            Some(VXLAN),
            v6,
            DROP,
            never(Field::EncIpv6Dst),
            "enc_dst_ip",
        ),
        (
            Some(VXLAN),
            geneve,
            DROP,
            Obstacle::NoSuchOptions,
            "enc_opts",
        ),
        (
            Some(plain),
            group,
            DROP,
            Obstacle::NoSuchOptions,
            "enc_opts",
        ),
        (
            Some(GENEVE),
            Key::default(),
            DROP,
            Obstacle::NoDestination,
            "enc_dst_ip",
        ),
        (
            Some(GENEVE),
            net,
            DROP,
            Obstacle::NoDestination,
            "enc_dst_ip",
        ),
        (
            Some(keyless),
            Key::default(),
            DROP,
            Obstacle::Keyless,
            "enc_key_id",
        ),
        (
            Some(zero),
            Key::default(),
            DROP,
            Obstacle::Keyless,
            "other than 0",
        ),
        (
            Some(external),
            checksum,
            DROP,
            never(Field::EncFlags),
            "enc_flags",
        ),
        (Some(VXLAN), tos, DROP, Obstacle::CongestionMark, "ip_tos"),
        (
            Some(VXLAN),
            Key::default(),
            &ingress,
            Obstacle::Ingress { action: name },
            name,
        ),
    ];
    let caps = everything();
    for (tunnel, key, actions, obstacle, word) in cases {
        let mut context = context(&caps);
        context.tunnel = *tunnel;
        let reject = plan(&rule(*key, actions), &context).unwrap_err();
        assert_eq!(reject, Reject::Tunnel(*obstacle));
        assert!(reject.to_string().contains(word), "{reject}");
    }
    let mut context = context(&caps);
    context.tunnel = Some(VXLAN);
    context.skip_sw = true;
    for (verdict, action) in [(Verdict::Accept, "ok"), (Verdict::Trap, "trap")] {
        let actions = [Action::Control(verdict)];
        let reject = plan(&rule(Key::default(), &actions), &context).unwrap_err();
        assert_eq!(reject, Reject::Tunnel(Obstacle::Upwards { action }));
        assert!(
            reject.to_string().starts_with(&format!("action {action}:")),
            "{reject}"
        );
    }
}

#[test]
fn tunnels_that_the_device_does_not_open_are_named() {
    let v6 = key(&[(Field::EncIpv6Dst, &[1; 16])]);
    for (tunnel, kind) in [
        (VXLAN, Number::VXLAN),
        (GENEVE, Number::GENEVE),
        (GRETAP, Number::GRETAP),
    ] {
        for over_v6 in [false, true] {
            if over_v6 && kind == Number::GRETAP {
                continue;
            }
            let mut caps = everything();
            let kinds = if over_v6 {
                &mut caps.decap_v6
            } else {
                &mut caps.decap_v4
            };
            *kinds &= !(1 << kind.0);
            let mut context = context(&caps);
            let local = (!over_v6).then_some(VXLAN.local).flatten();
            context.tunnel = Some(TunnelDevice { local, ..tunnel });
            let key = if over_v6 { v6 } else { Key::default() };
            let reject = plan(&rule(key, DROP), &context).unwrap_err();
            assert_eq!(reject, lack(Lack::Decap { kind, v6: over_v6 }));
            assert!(reject.to_string().starts_with(kind.text()), "{reject}");
        }
    }
    for (flag, actions, word) in [
        (2, &[REDIRECT][..], "congestion marks"),
        (1, &[Action::TunnelUnset, REDIRECT], "tunnel_key unset"),
    ] {
        let mut caps = everything();
        caps.decap_flags &= !flag;
        let mut context = context(&caps);
        context.tunnel = Some(VXLAN);
        let reject = plan(&rule(Key::default(), actions), &context).unwrap_err();
        assert!(reject.to_string().contains(word), "{reject}");
    }
}

#[test]
fn what_stands_in_the_way_into_a_tunnel_is_named() {
    let encap = Encap {
        address: Address::V4([1; 4], [2; 4]),
        key_id: 5,
        ..Encap::default()
    };
    let into = |encap, port| {
        vec![
            Action::TunnelSet(encap),
            Action::Redirect(Port(port), Direction::Egress),
        ]
    };
    let options = TunnelOptions::Geneve(&[1, 2, 3, 0]);
    let group = TunnelOptions::Group(1);
    let name = "mirred egress redirect";
    let ingress = vec![
        Action::TunnelSet(encap),
        Action::Mirror(Port(200), Direction::Ingress),
        REDIRECT,
    ];
    let into_host = "mirred ingress mirror";
    let inherits = Encap {
        ttl: 64,
        tos: 1,
        ..encap
    };
    let cases = [
        (
            vec![Action::Redirect(Port(200), Direction::Egress)],
            Obstacle::NoEncap { action: name },
            name,
        ),
        (
            into(encap, 202),
            Obstacle::EncapNotExternal,
            "tunnel_key set",
        ),
        (
            into(
                Encap {
                    address: Address::None,
                    ..encap
                },
                200,
            ),
            Obstacle::EncapAddress,
            "src_ip",
        ),
        (
            into(
                Encap {
                    key_id: 1 << 24,
                    ..encap
                },
                200,
            ),
            Obstacle::EncapId,
            "id",
        ),
        (into(encap, 203), Obstacle::EncapTtl, "needs a ttl"),
        (into(inherits, 203), Obstacle::EncapTos, "tos 1"),
        (
            into(Encap { options, ..encap }, 200),
            Obstacle::EncapOptions,
            "options",
        ),
        (
            into(
                Encap {
                    options: group,
                    ..encap
                },
                201,
            ),
            Obstacle::EncapOptions,
            "options",
        ),
    ];
    let caps = everything();
    for (actions, obstacle, word) in cases {
        let reject = lacking(&caps, Key::default(), &actions);
        assert_eq!(reject, Reject::Tunnel(obstacle));
        assert!(reject.to_string().contains(word), "{reject}");
    }
    let reject = plan(&rule(Key::default(), &ingress), &context(&caps)).unwrap_err();
    // The note would be lost as well, which is found first.
    assert!(reject.to_string().contains(into_host), "{reject}");
    let alone = [Action::Mirror(Port(200), Direction::Ingress), REDIRECT];
    let reject = lacking(&caps, Key::default(), &alone);
    assert_eq!(
        reject,
        Reject::Tunnel(Obstacle::EncapIngress { action: into_host })
    );
    assert!(reject.to_string().contains(into_host), "{reject}");
    assert!(plan(
        &rule(
            Key::default(),
            &into(
                Encap {
                    key_id: 0xff_ffff,
                    ..encap
                },
                200
            )
        ),
        &context(&caps)
    )
    .is_ok());
}

#[test]
fn headers_that_the_device_does_not_put_are_named() {
    let v4 = Encap {
        address: Address::V4([1; 4], [2; 4]),
        csum: true,
        ..Encap::default()
    };
    let v6 = Encap {
        address: Address::V6([1; 16], [2; 16]),
        ..v4
    };
    for (port, kind) in [(200, Number::VXLAN), (201, Number::GENEVE)] {
        for (encap, over_v6) in [(v4, false), (v6, true)] {
            let actions = [
                Action::TunnelSet(encap),
                Action::Redirect(Port(port), Direction::Egress),
            ];
            let mut caps = everything();
            let kinds = if over_v6 {
                &mut caps.encap_v6
            } else {
                &mut caps.encap_v4
            };
            *kinds &= !(1 << kind.0);
            let reject = lacking(&caps, Key::default(), &actions);
            assert_eq!(reject, lack(Lack::Encap { kind, v6: over_v6 }));
            assert!(reject.to_string().contains(kind.text()), "{reject}");
            let mut caps = everything();
            let length = if over_v6 { 78 } else { 58 };
            caps.encap_max = length as u16;
            assert!(plan(&rule(Key::default(), &actions), &context(&caps)).is_ok());
            caps.encap_max -= 1;
            let limit = caps.encap_max;
            let reject = lacking(&caps, Key::default(), &actions);
            assert_eq!(reject, lack(Lack::EncapLength { length, limit }));
            assert_eq!(reject.errno(), errno::ERANGE);
        }
    }
    let actions = [
        Action::TunnelSet(v4),
        Action::Redirect(Port(200), Direction::Egress),
    ];
    for (flag, word) in [
        (encap_flags::READY, "later"),
        (encap_flags::CHECKSUM, "checksum"),
        (encap_flags::SOURCE_PORT, "source port"),
        (encap_flags::ECN, "congestion"),
    ] {
        let mut caps = everything();
        caps.encap_flags &= !flag;
        let reject = lacking(&caps, Key::default(), &actions);
        assert!(matches!(reject, Reject::Lacks(Lack::EncapFlag { .. })));
        assert!(reject.to_string().contains(word), "{reject}");
    }
    // A gretap device over IPv6 takes over none.
    let actions = [
        Action::TunnelSet(Encap { ttl: 9, ..v6 }),
        Action::Redirect(Port(203), Direction::Egress),
    ];
    let mut caps = everything();
    caps.encap_flags &= !encap_flags::ECN;
    assert!(plan(&rule(Key::default(), &actions), &context(&caps)).is_ok());
}

/// Every refusal that the plan adds, with the longest names and numbers that it can have.
fn all() -> Vec<Reject> {
    let field = Field::EncFamily;
    let number = FlowField::ENC_FAMILY;
    let action = "mirred ingress redirect";
    let (note, kind, chain) = ("skbedit priority", Number::GENEVE, u32::MAX);
    let lacks = [
        Lack::Field { field: number },
        Lack::Mask { field: number },
        Lack::Range {
            field: FlowField::DST_PORT,
        },
        Lack::Conditions {
            field: number,
            limit: 65535,
        },
        Lack::KeyLength {
            field: number,
            limit: 65535,
        },
        Lack::Options {
            length: 252,
            limit: 248,
        },
        Lack::Action {
            action,
            kind: Kind::REDIRECT,
        },
        Lack::Action {
            action: "drop",
            kind: Kind::DROP,
        },
        Lack::Verdict {
            which: "conform",
            verdict: FlowVerdict::CONTINUE,
        },
        Lack::Meter {
            unit: MeterUnit::PACKETS,
        },
        Lack::Edit {
            header: Header::Ipv6,
            byte: 3,
            operation: Operation::Add,
        },
        Lack::Edit {
            header: Header::Network,
            byte: 39,
            operation: Operation::Set,
        },
        Lack::Checksum { name: "udplite" },
        Lack::Actions {
            action,
            limit: 65535,
        },
        Lack::Arguments {
            action,
            limit: 65535,
        },
        Lack::Copies { limit: 65535 },
        Lack::Counters,
        Lack::Decap { kind, v6: true },
        Lack::Decap { kind, v6: false },
        Lack::DecapFlag {
            name: "forget outer headers (tunnel_key unset)",
        },
        Lack::Encap { kind, v6: true },
        Lack::EncapLength {
            length: 65535,
            limit: 65535,
        },
        Lack::EncapFlag {
            name: "headers that come later",
        },
    ];
    let losses = [
        Loss::Unknown { chain },
        Loss::Again {
            action: "mirred ingress mirror",
            chain,
        },
        Loss::Rewind {
            what: "vlan modify",
            chain,
        },
        Loss::Back,
        Loss::Note {
            action: note,
            at: action,
        },
        Loss::Mixed,
        Loss::Upper { what: note },
        Loss::Below { action },
        Loss::UpperIngress { action },
        Loss::Egress {
            what: "tunnel_key set",
        },
        Loss::Accepted,
        Loss::Continue,
        Loss::ContinueFlower,
        Loss::ContinueAfter {
            what: "vlan modify",
        },
    ];
    let obstacles = [
        Obstacle::NoTunnel { field },
        Obstacle::NotExternal { field },
        Obstacle::NeverHere { field },
        Obstacle::NoSuchOptions,
        Obstacle::NoDestination,
        Obstacle::Keyless,
        Obstacle::CongestionMark,
        Obstacle::Ingress { action },
        Obstacle::Upwards { action: "trap" },
        Obstacle::NoEncap { action },
        Obstacle::EncapIngress { action },
        Obstacle::EncapNotExternal,
        Obstacle::EncapAddress,
        Obstacle::EncapTtl,
        Obstacle::EncapTos,
        Obstacle::EncapId,
        Obstacle::EncapOptions,
    ];
    let port = Range {
        min: 60000,
        max: 65535,
    };
    let ranges = Ranges {
        src: Some(port),
        dst: None,
    };
    let others = [
        Reject::Jump { to: 31 },
        Reject::NoTable { chain },
        Reject::NoPort { what: action },
        Reject::Priority { priority: u32::MAX },
        Reject::OrderFull { priority: 65535 },
        Reject::Unordered { priority: 65535 },
        Reject::RangeOrder {
            own: ranges,
            other: ranges,
        },
        Reject::EditShape {
            header: Header::Ethernet,
            offset: 14,
        },
    ];
    let lacks = lacks.into_iter().map(Reject::Lacks);
    let losses = losses.into_iter().map(Reject::Lost);
    let obstacles = obstacles.into_iter().map(Reject::Tunnel);
    lacks.chain(losses).chain(obstacles).chain(others).collect()
}

#[test]
fn texts_are_one_line_that_the_kernel_does_not_cut() {
    let texts: Vec<String> = all().iter().map(Reject::to_string).collect();
    for text in &texts {
        assert!(!text.contains('\n') && !text.is_empty());
        assert!(text.len() <= 79, "{}: {text}", text.len());
    }
    assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), texts.len());
}

#[test]
fn numbers_of_errors_say_whether_it_is_room_or_ability() {
    for reject in all() {
        let expected = match reject {
            Reject::NoTable { .. } | Reject::OrderFull { .. } => errno::ENOSPC,
            Reject::Priority { .. } | Reject::EditShape { .. } => errno::EINVAL,
            Reject::Tunnel(Obstacle::NoSuchOptions | Obstacle::EncapId) => errno::EINVAL,
            Reject::Tunnel(Obstacle::EncapOptions | Obstacle::EncapAddress) => errno::EINVAL,
            Reject::Lacks(
                Lack::Conditions { .. }
                | Lack::KeyLength { .. }
                | Lack::Options { .. }
                | Lack::Actions { .. }
                | Lack::Arguments { .. }
                | Lack::Copies { .. }
                | Lack::EncapLength { .. },
            ) => errno::ERANGE,
            _ => errno::EOPNOTSUPP,
        };
        assert_eq!(reject.errno(), expected, "{reject}");
    }
}
