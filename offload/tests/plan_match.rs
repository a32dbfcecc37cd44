// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Conditions and packed keys of any rule against any packet: the device takes what the key takes, and a stand-in at least that.

#[path = "support/device.rs"]
mod device;
#[path = "support/hybrid.rs"]
mod hybrid;
#[path = "support/planner.rs"]
mod planner;
#[path = "support/stage.rs"]
mod stage;
mod support;

use device::takes;
use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::tunnel::TunnelKind as Number;
use oxnic_offload::oracle::Packet;
use oxnic_offload::packet::tunnel::{Tunnel, TunnelKind, TunnelOptions};
use oxnic_offload::packet::{dissect, ethernet, Address};
use oxnic_offload::plan::{Context, TunnelDevice};
use oxnic_offload::rule::field::{Layer, TABLE};
use oxnic_offload::rule::{
    check, Action, Chain, Classifier, Cookie, Field, Key, OptionsMatch, Port, Range, Rule, Seen,
    Values, Verdict,
};
use planner::{context, everything, plan, plan_as, GENEVE, VXLAN};
use proptest::prelude::*;
use support::{ethernet_frame, sample, tagged, udp};

const ROOM: usize = 16;

/// Frames of many kinds, some cut.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let whole = (0..9usize, 0..3usize).prop_map(|(kind, tags)| {
        let arp = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[7; 20]].concat();
        // A fragment, MPLS in IP, and a frame with a length.
        let ip = |flags: u8, protocol: u8| {
            let head = [0x45, 0xb8, 0, 40, 0, 1, flags, 0, 9, protocol, 0, 0];
            [
                &head[..],
                &[10, 0, 0, 1, 10, 0, 0, 2],
                &udp(53, 5353, &[0; 12]),
            ]
            .concat()
        };
        let mut frame = match kind {
            0..=2 => sample(kind),
            3 => ethernet_frame(ethernet::ARP, &arp),
            4 => ethernet_frame(ethernet::IPV4, &ip(0x20, 17)),
            5 => ethernet_frame(ethernet::IPV4, &ip(0, 137)),
            6 => ethernet_frame(40, &[0; 40]),
            7 => ethernet_frame(ethernet::MPLS, &[[0, 0x12, 0x3c, 64]; 9].concat()),
            _ => ethernet_frame(ethernet::IPV4, &ip(0, 132)),
        };
        for tag in 0..tags {
            let tpid = [ethernet::VLAN, ethernet::SERVICE_VLAN][tag];
            frame = tagged(&frame, tpid, 0x6005 + tag as u16);
        }
        frame
    });
    (whole, prop::option::weighted(0.2, 22..50usize)).prop_map(|(mut frame, cut)| {
        frame.truncate(cut.unwrap_or(usize::MAX));
        frame
    })
}

/// What a key asks of some fields: of each, the bits of a mask, as the packet has them or with one flipped.
#[derive(Clone, Debug)]
struct Asked {
    fields: Vec<(usize, [u8; 16], bool)>,
    protocol: bool,
    range: Option<(u16, u16)>,
    options: (u8, bool),
}

fn asked() -> impl Strategy<Value = Asked> {
    let mask = prop_oneof![
        3 => Just([0xff; 16]),
        2 => any::<[u8; 16]>(),
        1 => (0..128u32).prop_map(|bits| (u128::MAX << bits).to_be_bytes()),
    ];
    // Few frames have what fields of MPLS need.
    let labels = Field::MplsEntries as usize;
    let number = prop_oneof![12 => 0..labels, 1 => labels..TABLE.len()];
    let fields = prop::collection::vec((number, mask, prop::bool::weighted(0.1)), 0..4);
    let range = prop::option::weighted(0.2, (0..3000u16, 1..3000u16));
    (fields, any::<bool>(), range, (0..4u8, any::<bool>())).prop_map(
        |(fields, protocol, range, options)| Asked {
            fields,
            protocol,
            range: range.map(|(min, more)| (min, min + more)),
            options,
        },
    )
}

const OPTIONS: [u8; 12] = [1, 2, 0x83, 2, 5, 6, 7, 8, 9, 10, 11, 12];

fn note(kind: u8, key_id: u32) -> Tunnel<'static> {
    Tunnel {
        address: Address::V4([192, 0, 2, 1], [192, 0, 2, 2]),
        src_port: 5555,
        dst_port: if kind == 1 { 4789 } else { 6081 },
        key_id,
        tos: 0xb8,
        ttl: 64,
        flags: 3,
        options: match kind {
            1 => TunnelOptions::Group(0x12),
            _ => TunnelOptions::Geneve(&OPTIONS),
        },
    }
}

fn key_of(asked: &Asked, values: &Values<'_>, outer: bool) -> Key<'static> {
    let mut key = Key::default();
    for (field, mask, flip) in &asked.fields {
        let row = &TABLE[*field];
        if (row.layer == Layer::Outer) && !outer {
            continue;
        }
        let width = row.field.width();
        let spare = width * 8 - row.bits;
        let mut mask = mask[..width].to_vec();
        mask[0] &= 0xff >> spare;
        if row.field == Field::IngressPort {
            mask.fill(0xff);
        }
        let mut value = values.get(row.field).to_vec();
        if *flip {
            value[width - 1] ^= 1;
        }
        key.set(row.field, &value, &mask).unwrap();
    }
    if let Some((min, max)) = asked.range {
        key.dst_range = Some(Range { min, max });
    }
    if outer {
        key.options = match asked.options {
            (0, _) => OptionsMatch::Any,
            (_, true) => OptionsMatch::Group {
                value: 0x12,
                mask: 0xff,
            },
            (1, _) => OptionsMatch::Geneve {
                value: &OPTIONS,
                mask: &[0xff; 12],
            },
            (2, _) => OptionsMatch::Geneve {
                value: &OPTIONS,
                mask: &[0, 0, 0, 0, 0xff, 1, 0, 0, 0, 0, 0, 0],
            },
            _ => OptionsMatch::Geneve {
                value: &[1, 2, 0x83, 0],
                mask: &[0xff, 0xff, 0xff, 0],
            },
        };
    }
    key
}

/// A key with what tc's front end would have insisted on, taken from the packet.
fn completed(mut key: Key<'static>, values: &Values<'_>) -> Option<Key<'static>> {
    let rule = |key| Rule {
        cookie: Cookie(1),
        classifier: Classifier::Flower,
        chain: Chain(0),
        priority: 1,
        protocol: 3,
        key,
        actions: &[],
    };
    let needed = [
        None,
        Some(Field::EthType),
        Some(Field::IpProto),
        Some(Field::NumOfVlans),
    ];
    needed.into_iter().find_map(|field| {
        if let Some(field) = field {
            key.exact(field, values.get(field)).unwrap();
        }
        check(&rule(key)).is_ok().then_some(key)
    })
}

fn with<T>(
    frame: &[u8],
    tunnel: Option<Tunnel<'static>>,
    look: impl FnOnce(&Packet<'_, 'static>, &Values<'_>) -> T,
) -> Option<T> {
    let mut buffer = [&[0; ROOM], frame].concat();
    let packet = Packet::receive(&mut buffer, ROOM, frame.len(), tunnel).ok()?;
    let found = dissect(&packet.frame());
    let note = packet.tunnel;
    let values = Values::new(&Seen {
        port: Port(1),
        packet: &found,
        tunnel: &note,
    });
    Some(look(&packet, &values))
}

const DROP: &[Action<'static>] = &[Action::Control(Verdict::Drop)];

/// Plans the rule that is asked for after a look at one packet, and compares what it takes of both. Says whether it was planned.
fn compare(
    asked: &Asked,
    (first, second): (&[u8], &[u8]),
    tunnel: Option<TunnelDevice>,
    caps: &FlowCaps,
    stand_in: bool,
) -> Result<bool, TestCaseError> {
    let kind = tunnel.map(|device| match device.kind {
        TunnelKind::Vxlan { .. } => Number::VXLAN,
        _ => Number::GENEVE,
    });
    let note = |key_id| kind.map(|kind| note(kind.0, key_id));
    let made = with(first, note(5), |packet, values| {
        let key = completed(key_of(asked, values, tunnel.is_some()), values)?;
        let protocol = match asked.protocol {
            true => packet.frame().filter_protocol(),
            false => ethernet::ALL,
        };
        Some((key, protocol))
    });
    let Some((key, protocol)) = made.flatten() else {
        return Ok(false);
    };
    let rule = Rule {
        cookie: Cookie(1),
        classifier: Classifier::Flower,
        chain: Chain(0),
        priority: 1,
        protocol,
        key,
        actions: DROP,
    };
    let context = Context {
        tunnel,
        ..context(caps)
    };
    let planned = match stand_in {
        true => plan_as(&rule, &context, true),
        false => plan(&rule, &context),
    };
    let Ok(planned) = planned else {
        return Ok(false);
    };
    for (frame, key_id) in [(first, 5), (second, 5), (first, 4)] {
        let both = with(frame, note(key_id), |packet, values| {
            let asked = protocol == ethernet::ALL || protocol == packet.frame().filter_protocol();
            let oracle = asked && key.matches(values);
            (oracle, takes(&planned, packet, kind))
        });
        let Some((oracle, device)) = both else {
            continue;
        };
        match stand_in && planned.wider {
            true => prop_assert!(device || !oracle),
            false => prop_assert_eq!(oracle, device),
        }
    }
    Ok(true)
}

fn device_of(number: u8) -> Option<TunnelDevice> {
    let local = VXLAN.local;
    match number {
        0 => None,
        1 => Some(VXLAN),
        _ => Some(TunnelDevice { local, ..GENEVE }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn device_takes_what_the_key_takes(asked in asked(), first in frame(), second in frame(), tunnel in 0..3u8) {
        let tunnel = device_of(tunnel);
        compare(&asked, (&first, &second), tunnel, &everything(), false)?;
    }

    #[test]
    fn stand_in_takes_all_that_the_key_takes_whatever_the_device_lacks(
        asked in asked(),
        first in frame(),
        second in frame(),
        tunnel in 0..3u8,
        (fields, masks, ranges) in any::<(u64, u64, u64)>(),
        (conditions_max, key_max, options_max) in (0..12u16, 0..40u16, 0..16u16),
    ) {
        let all = everything();
        let caps = FlowCaps {
            fields: all.fields & fields,
            masks: all.masks & masks,
            ranges: all.ranges & ranges,
            conditions_max,
            key_max,
            options_max,
            ..all
        };
        compare(&asked, (&first, &second), device_of(tunnel), &caps, true)?;
    }
}

#[test]
fn most_of_what_is_asked_can_be_planned() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut planned = [0, 0, 0];
    for _ in 0..300 {
        let mut draw = |strategy: BoxedStrategy<Vec<u8>>| {
            use proptest::strategy::ValueTree;
            strategy.new_tree(&mut runner).unwrap().current()
        };
        let (first, second) = (draw(frame().boxed()), draw(frame().boxed()));
        let asked = {
            use proptest::strategy::ValueTree;
            asked().new_tree(&mut runner).unwrap().current()
        };
        for (tunnel, planned) in planned.iter_mut().enumerate() {
            let device = device_of(tunnel as u8);
            let done = compare(&asked, (&first, &second), device, &everything(), false);
            *planned += usize::from(done.unwrap());
        }
    }
    assert!(planned[0] > 150, "{planned:?}");
    assert!(planned[1].min(planned[2]) > 40, "{planned:?}");
}
