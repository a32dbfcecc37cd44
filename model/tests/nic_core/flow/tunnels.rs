// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Frames into tunnels and out of them, with everything set up by commands and requests.

use super::frames::{Switch, redirect};
use super::{OK, action};
use crate::mock::frame;
use oxnic_abi::command::Opcode;
use oxnic_abi::flow::action::{FlowAction, FlowActionKind, decap_flags};
use oxnic_abi::flow::encap::{EncapSet, encap_flags};
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::flow_set;
use oxnic_abi::flow::port::FlowDirection;
use oxnic_abi::flow::request::{FlowOp, FlowRequest};
use oxnic_abi::flow::table::{TableMiss, TableSet, TableView};
use oxnic_abi::flow::tunnel::{TunnelKind, TunnelPort, tunnel_flags};
use oxnic_abi::ring::completion_flags;

const WIRE: u16 = 1;
const VF: u16 = 0x100;
const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];
/// Table of the tunnel's rules, and the cookie of its miss.
const TUNNEL: u32 = 2;
const COOKIE: u32 = 0x5555;
/// Bytes of VXLAN over UDP over IPv4, with the Ethernet header.
const HEADERS: usize = 50;

/// One's complement sum of 16-bit words, folded.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2);
    let total: u32 = words
        .map(|word| (u32::from(word[0]) << 8) | u32::from(word.get(1).copied().unwrap_or(0)))
        .sum();
    let folded = (total & 0xffff) + (total >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}

/// Headers of VXLAN 7 without what depends on the frame.
fn headers() -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    bytes.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    bytes.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    bytes.extend([0, 0, 0x12, 0xb5, 0, 0, 0, 0]);
    bytes.extend([8, 0, 0, 0, 0, 0, 7, 0]);
    assert_eq!(bytes.len(), HEADERS);
    bytes
}

/// The frame in its tunnel, as a neighbour sends it.
fn tunnelled(within: &[u8]) -> Vec<u8> {
    let mut bytes = [headers(), within.to_vec()].concat();
    let length = (bytes.len() - 14) as u16;
    bytes[16..18].copy_from_slice(&length.to_be_bytes());
    bytes[38..40].copy_from_slice(&(length - 20).to_be_bytes());
    let right = !sum(&bytes[14..34]);
    bytes[24..26].copy_from_slice(&right.to_be_bytes());
    bytes
}

/// The wire's table misses to the tunnel's, which has a rule for VXLAN 7: out of the tunnel and to the VF.
fn receiver() -> Switch {
    let mut switch = Switch::new();
    let bench = &mut switch.bench;
    let port = TunnelPort {
        kind: TunnelKind::VXLAN,
        port: [0x12, 0xb5],
        flags: tunnel_flags::ON,
    };
    assert_eq!(bench.set(Opcode::TUNNEL_PORT, port.to_words()), OK);
    let tables = [
        TableSet {
            id: TUNNEL,
            flags: flow_set::CREATE,
            view: TableView::TUNNEL,
            cookie: COOKIE,
            ..TableSet::ZERO
        },
        TableSet {
            id: 3,
            flags: flow_set::CREATE,
            miss: TableMiss::TABLE,
            miss_table: TUNNEL,
            ..TableSet::ZERO
        },
    ];
    for table in tables {
        assert_eq!(bench.table(table), OK);
    }
    let conditions = [
        super::exact(FlowField::TUNNEL_KIND, &[0xff]),
        super::exact(FlowField::ENC_KEY_ID, &[0xff; 4]),
        super::exact(FlowField::ETH_DST, &[0xff; 6]),
    ];
    assert_eq!(bench.match_template(2, &conditions), OK);
    let decap = FlowAction {
        operands: [decap_flags::FORGET, 0, 0, 0],
        ..action(FlowActionKind::DECAP)
    };
    let list = [decap, super::count(), redirect(VF)];
    assert_eq!(bench.action_template(2, &list), OK);
    switch.bind(WIRE, FlowDirection::INGRESS, 3);
    let key = [&[TunnelKind::VXLAN.0, 0, 0, 0, 7][..], &switch.vf.mac].concat();
    let request = FlowRequest {
        op: FlowOp::ADD,
        rule: 1,
        table: TUNNEL,
        match_template: 2,
        action_template: 2,
        ..FlowRequest::ZERO
    };
    let counter = 4u32.to_le_bytes();
    assert_eq!(switch.request(request, &key, &counter), OK);
    switch
}

#[test]
fn a_frame_comes_out_of_its_tunnel_by_a_rule_only() {
    let mut switch = receiver();
    let within = frame(switch.vf.mac, PEER, 90);
    switch.bench.dut.receive(0, &tunnelled(&within));
    let received = switch.vf.rx.take(&mut switch.bench.dut);
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].bytes, within);
    assert_eq!(switch.uplink(), []);
    assert_eq!(switch.counter(4), (1, 76));
    assert_eq!(switch.stats().decapsulated, 1);
    // Another network, and another address within: as it came, with the cookie of the tunnel's table.
    let mut network = tunnelled(&within);
    network[48] = 8;
    let stranger = tunnelled(&frame([2, 9, 9, 9, 9, 9], PEER, 90));
    for bytes in [&network, &stranger] {
        switch.bench.dut.receive(0, bytes);
        let missed = [(140, completion_flags::FLOW_MISS, COOKIE)];
        assert_eq!(switch.uplink(), missed);
    }
    assert_eq!(switch.vf.rx.take(&mut switch.bench.dut).len(), 0);
    assert_eq!(switch.counter(4), (1, 76));
}

#[test]
fn what_is_no_tunnel_for_one_byte_is_none() {
    let mut switch = receiver();
    let within = frame(switch.vf.mac, PEER, 90);
    let good = tunnelled(&within);
    // IP checksum, fragment, UDP length, flags of VXLAN, reserved byte behind the identifier.
    for (at, value) in [(24, 0xaa), (20, 0x20), (39, 0xff), (42, 0), (49, 1)] {
        let mut bytes = good.clone();
        bytes[at] = value;
        if at == 20 {
            bytes[24..26].fill(0);
            let right = !sum(&bytes[14..34]);
            bytes[24..26].copy_from_slice(&right.to_be_bytes());
        }
        switch.bench.dut.receive(0, &bytes);
        assert_eq!(switch.vf.rx.take(&mut switch.bench.dut).len(), 0, "{at}");
        assert_eq!(switch.uplink().len(), 1, "{at}");
    }
    // With the port off, the right one is none either.
    let off = TunnelPort {
        kind: TunnelKind::VXLAN,
        port: [0x12, 0xb5],
        flags: 0,
    };
    assert_eq!(switch.bench.set(Opcode::TUNNEL_PORT, off.to_words()), OK);
    switch.bench.dut.receive(0, &good);
    assert_eq!(switch.vf.rx.take(&mut switch.bench.dut).len(), 0);
    assert_eq!(switch.uplink().len(), 1);
}

#[test]
fn a_frame_gets_its_headers_once_they_are_ready() {
    let mut switch = Switch::new();
    let set = |flags, options| EncapSet {
        id: 1,
        flags,
        options: options | encap_flags::SOURCE_PORT | encap_flags::CHECKSUM,
        length: HEADERS as u16,
        network: 14,
        transport: 34,
        kind: TunnelKind::VXLAN,
        port_min: 0xc000,
        port_max: 0xcfff,
    };
    let mut bytes = headers();
    bytes.resize(56, 0);
    let words: Vec<u64> = bytes
        .chunks(8)
        .map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap()))
        .collect();
    let first = set(flow_set::CREATE, 0).to_words();
    assert_eq!(switch.bench.send(Opcode::ENCAP_SET, first, &words), OK);
    let sends = FlowAction {
        operands: [WIRE.into(), 1, 0, 0],
        ..redirect(WIRE)
    };
    switch.actions(1, &[sends]);
    switch.add(5, 1, PEER);
    let within = frame(PEER, switch.vf.mac, 90);
    switch.vf.tx.send(&mut switch.bench.dut, &within);
    let missed = [(90, completion_flags::FLOW_MISS, 0x1111)];
    assert_eq!(switch.represented(), missed);
    assert_eq!(switch.stats().encap_not_ready, 1);
    assert_eq!(switch.counter(5), (0, 0));
    let ready = set(0, encap_flags::READY).to_words();
    assert_eq!(switch.bench.send(Opcode::ENCAP_SET, ready, &words), OK);
    switch.vf.tx.send(&mut switch.bench.dut, &within);
    let wire = switch.bench.dut.host.take_wire();
    let [(0, outer)] = wire.as_slice() else {
        panic!("{wire:?}");
    };
    assert_eq!(outer.len(), HEADERS + within.len());
    assert_eq!(&outer[HEADERS..], within);
    assert_eq!(sum(&outer[14..34]), 0xffff);
    assert_eq!(outer[16..18], 126u16.to_be_bytes());
    assert_eq!(outer[38..40], 106u16.to_be_bytes());
    let port = u16::from_be_bytes([outer[34], outer[35]]);
    assert!((0xc000..=0xcfff).contains(&port), "{port:#x}");
    let pseudo = [&outer[26..34], &[0, 17, 0, 106], &outer[34..]].concat();
    assert_eq!(sum(&pseudo), 0xffff);
    assert_eq!(switch.counter(5), (1, 76));
}
