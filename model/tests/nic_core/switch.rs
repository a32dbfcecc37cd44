// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Forwarding: random topologies and frames against an oracle that is a plain loop over all vports.

use crate::mock::{Device, Port, frame, tagged};
use oxnic_abi::command::Opcode;
use oxnic_abi::vf::{VfConfig, vf_fields};
use oxnic_abi::vport::vport_flags;
use oxnic_model::host::Function;
use proptest::prelude::*;

const BROADCAST: [u8; 6] = [0xff; 6];

/// A vport as the oracle sees it. Index 0 is the PF's.
#[derive(Clone, Debug)]
struct Model {
    mac: [u8; 6],
    list: Vec<[u8; 6]>,
    flags: u32,
    vlans: Vec<u16>,
    transparent: Option<(u16, u16)>,
}

#[derive(Clone, Debug)]
struct Step {
    from: usize,
    to: usize,
    address: usize,
    tags: Vec<(u16, u16)>,
    length: usize,
}

const VFS: usize = 4;
const WIRE: usize = VFS + 1;

fn multicast(n: usize) -> [u8; 6] {
    [0x01, 0, 0x5e, 0, 0, n as u8]
}

fn extra(n: usize) -> [u8; 6] {
    [0x06, 0, 0, 0, 0, n as u8]
}

fn model() -> impl Strategy<Value = Model> {
    let flags = proptest::bits::u32::masked(
        vport_flags::PROMISCUOUS
            | vport_flags::ALL_MULTICAST
            | vport_flags::BROADCAST
            | vport_flags::VLAN_FILTER
            | vport_flags::ENABLED,
    );
    let list = proptest::collection::vec(
        prop_oneof![(0usize..3).prop_map(multicast), (0usize..4).prop_map(extra)],
        0..4,
    );
    let vlans = proptest::collection::vec(1u16..5, 0..3);
    let transparent = prop_oneof![
        3 => Just(None),
        1 => (1u16..5).prop_map(|vid| Some((0x8100, vid))),
        1 => (1u16..5).prop_map(|vid| Some((0x88a8, vid))),
    ];
    (flags, list, vlans, transparent).prop_map(|(flags, list, vlans, transparent)| Model {
        mac: [0; 6],
        list,
        // Mostly enabled, and mostly not promiscuous.
        flags: flags | vport_flags::ENABLED,
        vlans,
        transparent,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let tag = (prop_oneof![Just(0x8100u16), Just(0x88a8)], 0u16..5);
    (
        0..=WIRE,
        0..WIRE,
        0usize..12,
        proptest::collection::vec(tag, 0..3),
        60usize..200,
    )
        .prop_map(|(from, to, address, tags, length)| Step {
            from,
            to,
            address,
            tags,
            length,
        })
}

fn destination(step: &Step, models: &[Model]) -> [u8; 6] {
    match step.address {
        0..4 => models[step.to].mac,
        4 => BROADCAST,
        5..8 => multicast(step.address - 5),
        8..11 => extra(step.address - 8),
        _ => [0x06, 9, 9, 9, 9, 9],
    }
}

/// What the interface says happens, for a frame as it is inside the bridge: each receiver with the frame that it gets, and
/// whether the wire gets it.
fn oracle(models: &[Model], from: usize, inside: &[u8]) -> (Vec<(usize, Vec<u8>)>, bool) {
    let to: [u8; 6] = inside[..6].try_into().unwrap();
    let tag_of = |bytes: &[u8]| {
        let tpid = u16::from_be_bytes([bytes[12], bytes[13]]);
        let tci = u16::from_be_bytes([bytes[14], bytes[15]]);
        [0x8100, 0x88a8]
            .contains(&tpid)
            .then_some((tpid, tci & 0xfff))
    };
    let takes = |model: &Model| -> Option<Vec<u8>> {
        let seen = match model.transparent {
            None => inside.to_vec(),
            Some(own) => {
                if tag_of(inside) != Some(own) {
                    return None;
                }
                [&inside[..12], &inside[16..]].concat()
            }
        };
        let filter = model.flags & vport_flags::VLAN_FILTER != 0;
        match tag_of(&seen) {
            Some((0x8100, vid)) if filter && vid != 0 && !model.vlans.contains(&vid) => None,
            _ => Some(seen),
        }
    };
    let mut receivers = Vec::new();
    let mut found = false;
    for (index, model) in models
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != from)
    {
        let has = model.mac == to || model.list.contains(&to);
        let flag = |flag: u32| model.flags & flag != 0;
        let named = match to {
            BROADCAST => flag(vport_flags::BROADCAST),
            _ if to[0] & 1 != 0 => has || flag(vport_flags::ALL_MULTICAST),
            _ => has,
        };
        if !named && !flag(vport_flags::PROMISCUOUS) {
            continue;
        }
        if let Some(seen) = takes(model) {
            receivers.push((index, seen));
            found |= named;
        }
    }
    let wire = from != WIRE && (to[0] & 1 != 0 || !found);
    (receivers, wire)
}

fn set_up(models: &mut [Model]) -> (Device, Vec<Port>) {
    let mut dut = Device::with_memory(1, VFS as u16, 96 << 20);
    let mut pf = Port::new(&mut dut, Function::Pf);
    let vfs = Port::vfs(&mut dut, &mut pf.driver, VFS as u16);
    let mut ports = vec![pf];
    ports.extend(vfs);
    for (index, model) in models.iter_mut().enumerate() {
        model.mac = ports[index].mac;
        if index == 0 {
            model.transparent = None;
        } else {
            let (proto, vid) = model.transparent.unwrap_or((0x8100, 0));
            let config = VfConfig {
                fields: vf_fields::VLAN | vf_fields::TRUST | vf_fields::SPOOF_CHECK,
                trust: 1,
                vlan: vid,
                vlan_proto: proto,
                ..VfConfig::ZERO
            };
            ports[0].driver.vf_set(&mut dut, index as u16 - 1, config);
        }
        let driver = &mut ports[index].driver;
        let list: Vec<u64> = model
            .list
            .iter()
            .map(|mac| {
                mac.iter()
                    .rev()
                    .fold(0, |word, byte| (word << 8) | u64::from(*byte))
            })
            .collect();
        driver.request_ok(&mut dut, Opcode::MAC_LIST, 0, 0, &list);
        let mut set = [0u64; 64];
        model
            .vlans
            .iter()
            .for_each(|vid| set[usize::from(*vid) / 64] |= 1 << (vid % 64));
        driver.request_ok(&mut dut, Opcode::VLAN_SET, 0, 0, &set);
        driver.flags(&mut dut, 0, model.flags, vport_flags::ALL);
    }
    (dut, ports)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn frames_go_where_the_oracle_says(
        mut models in proptest::collection::vec(model(), WIRE),
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let (mut dut, mut ports) = set_up(&mut models);
        let mut filtered = 0;
        for step in &steps {
            let source = if step.from == WIRE { [0x06, 7, 7, 7, 7, 7] } else { models[step.from].mac };
            let mut sent = frame(destination(step, &models), source, step.length);
            for (tpid, vid) in &step.tags {
                sent = tagged(&sent, *tpid, *vid);
            }
            let mut inside = sent.clone();
            if step.from == WIRE {
                dut.receive(0, &sent);
            } else {
                if let Some((tpid, vid)) = models[step.from].transparent {
                    inside = tagged(&sent, tpid, vid);
                }
                ports[step.from].tx.send(&mut dut, &sent);
            }
            let (receivers, wire) = oracle(&models, step.from, &inside);
            filtered += u64::from(step.from == WIRE && receivers.is_empty());
            for (index, port) in ports.iter_mut().enumerate() {
                let got: Vec<Vec<u8>> = port.rx.take(&mut dut).into_iter().map(|frame| frame.bytes).collect();
                let expected: Vec<Vec<u8>> =
                    receivers.iter().filter(|(to, _)| *to == index).map(|(_, bytes)| bytes.clone()).collect();
                prop_assert_eq!(got, expected, "vport {} of {:?}", index, step);
            }
            let on_wire: Vec<Vec<u8>> = dut.host.take_wire().into_iter().map(|(_, bytes)| bytes).collect();
            let expected: Vec<Vec<u8>> = if wire { vec![inside] } else { vec![] };
            prop_assert_eq!(on_wire, expected, "wire of {:?}", step);
        }
        prop_assert_eq!(ports[0].driver.port_stats(&mut dut).rx_filtered, filtered);
    }
}

#[test]
fn bridges_of_different_ports_have_nothing_to_do_with_each_other() {
    let mut dut = Device::new(2, 1);
    let mut pf = Port::new(&mut dut, Function::Pf);
    pf.driver.enable_vfs(&mut dut, 1);
    let config = VfConfig {
        fields: vf_fields::PORT,
        port: 1,
        ..VfConfig::ZERO
    };
    pf.driver.vf_set(&mut dut, 0, config);
    let mut vf = Port::new(&mut dut, Function::Vf(0));
    pf.driver.flags(
        &mut dut,
        0,
        vport_flags::PROMISCUOUS,
        vport_flags::PROMISCUOUS,
    );
    vf.tx.send(&mut dut, &frame(pf.mac, vf.mac, 60));
    vf.tx.send(&mut dut, &frame(BROADCAST, vf.mac, 60));
    assert!(pf.rx.take(&mut dut).is_empty());
    let ports: Vec<u8> = dut.host.take_wire().iter().map(|(port, _)| *port).collect();
    assert_eq!(ports, [1, 1]);
    dut.receive(0, &frame(vf.mac, pf.mac, 60));
    dut.receive(1, &frame(vf.mac, pf.mac, 60));
    assert_eq!(vf.rx.take(&mut dut).len(), 1);
}

#[test]
fn a_unicast_frame_for_a_vport_that_cannot_take_it_stays_off_the_wire() {
    let mut dut = Device::new(1, 1);
    let mut pf = Port::new(&mut dut, Function::Pf);
    let mut vf = Port::vfs(&mut dut, &mut pf.driver, 1).remove(0);
    vf.driver.flags(&mut dut, 0, 0, vport_flags::ENABLED);
    pf.tx.send(&mut dut, &frame(vf.mac, pf.mac, 60));
    assert!(dut.host.take_wire().is_empty());
    assert_eq!(vf.driver.stats(&mut dut, 0).rx_disabled, 1);
    dut.reset(Function::Vf(0));
    pf.tx.send(&mut dut, &frame(vf.mac, pf.mac, 60));
    assert_eq!(dut.host.take_wire().len(), 1);
}

#[test]
fn destination_goes_past_all_rules_for_those_who_may() {
    use oxnic_abi::ring::{TxContext, TxData, tx_flags};
    let mut dut = Device::new(1, 2);
    let mut pf = Port::new(&mut dut, Function::Pf);
    let mut vfs = Port::vfs(&mut dut, &mut pf.driver, 2);
    let strange = frame([2, 2, 2, 2, 2, 2], [4, 4, 4, 4, 4, 4], 60);
    let context = |destination| TxContext {
        flags: tx_flags::DESTINATION,
        destination,
        ..TxContext::ZERO
    };
    let number = vfs[1].driver.info(&mut dut, 0).eswitch_port;
    pf.tx.queue(
        &mut dut,
        &strange,
        &[],
        Some(context(u32::from(number))),
        TxData::ZERO,
    );
    pf.tx
        .queue(&mut dut, &strange, &[], Some(context(1)), TxData::ZERO);
    pf.tx
        .queue(&mut dut, &strange, &[], Some(context(9999)), TxData::ZERO);
    pf.tx.ring(&mut dut);
    assert_eq!(vfs[1].rx.one(&mut dut).bytes, strange);
    assert_eq!(dut.host.take_wire(), [(0, strange.clone())]);
    let own = vfs[0].mac;
    let honest = frame([2; 6], own, 60);
    vfs[0]
        .tx
        .queue(&mut dut, &honest, &[], Some(context(1)), TxData::ZERO);
    vfs[0].tx.ring(&mut dut);
    assert!(dut.host.take_wire().is_empty());
    assert_eq!(pf.driver.stats(&mut dut, 0).tx_bad, 1);
    assert_eq!(vfs[0].driver.stats(&mut dut, 0).tx_bad, 1);
}
