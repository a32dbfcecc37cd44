// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What senders leave to the device is done before rules look: checksums, segments, tags. And whose frames rules look at.

use super::action;
use super::frames::{Switch, redirect};
use crate::mock::{Tx, frame};
use crate::packets::{Ip, assert_valid, partial, payload, tcp};
use oxnic_abi::flow::action::{FlowAction, FlowActionKind};
use oxnic_abi::flow::port::FlowDirection;
use oxnic_abi::ring::{TxContext, TxData, tx_flags};

const WIRE: u16 = 1;
const VF: u16 = 0x100;
const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];
/// Vport of the PF that represents VF 0, and the queue that the bench gave it.
const REPRESENTOR: u16 = 2;

#[test]
fn rules_see_segments_with_their_tags() {
    let mut switch = Switch::new();
    let pop = action(FlowActionKind::VLAN_POP);
    switch.actions(1, &[pop, redirect(WIRE)]);
    switch.add(5, 1, PEER);
    let made = tcp((PEER, switch.vf.mac), Ip::V4, &[], false, &payload(3000));
    let context = TxContext {
        flags: tx_flags::TSO,
        mss: 1000,
        l3_start: (made.l3 / 2) as u8,
        l4_start: (made.l4 / 2) as u8,
        header_length: made.payload as u16,
        ..TxContext::ZERO
    };
    let first = TxData {
        flags: tx_flags::VLAN,
        vlan: 7,
        ..TxData::ZERO
    };
    let dut = &mut switch.bench.dut;
    switch
        .vf
        .tx
        .queue(dut, &made.bytes, &[], Some(context), first);
    switch.vf.tx.ring(dut);
    let wire = dut.host.take_wire();
    assert_eq!(wire.len(), 3);
    for (_, bytes) in wire {
        assert_eq!(bytes.len(), made.payload + 1000);
        assert_valid(&bytes);
    }
    let counted = made.payload as u64 + 1000 - 14;
    assert_eq!(switch.counter(5), (3, 3 * counted));
}

#[test]
fn rules_see_checksums_that_the_device_makes() {
    let mut switch = Switch::new();
    switch.actions(1, &[redirect(WIRE)]);
    switch.add(5, 1, PEER);
    let made = tcp((PEER, switch.vf.mac), Ip::V4, &[], false, &payload(300));
    let first = TxData {
        flags: tx_flags::CSUM,
        csum_start: (made.l4 / 2) as u8,
        csum_offset: 8,
        ..TxData::ZERO
    };
    let dut = &mut switch.bench.dut;
    switch
        .vf
        .tx
        .queue(dut, &partial(&made, 16), &[], None, first);
    switch.vf.tx.ring(dut);
    let wire = dut.host.take_wire();
    assert_eq!(wire.len(), 1);
    assert_valid(&wire[0].1);
}

#[test]
fn what_the_pf_sends_is_seen_by_no_table() {
    let mut switch = Switch::new();
    switch.actions(1, &[action(FlowActionKind::DROP)]);
    let mac = switch.vf.mac;
    switch.add(5, 1, mac);
    switch.bind(VF, FlowDirection::EGRESS, 1);
    switch.bind(WIRE, FlowDirection::EGRESS, 1);
    switch.bind(WIRE, FlowDirection::INGRESS, 1);
    let bytes = frame(mac, PEER, 90);
    let (dut, pf) = (&mut switch.bench.dut, &mut switch.bench.pf);
    let mut representor = Tx::new(dut, pf, REPRESENTOR, 12, 12, 6);
    let mut uplink = Tx::new(dut, pf, 0, 13, 13, 6);
    representor.send(dut, &bytes);
    assert_eq!(switch.vf.rx.take(dut).len(), 1);
    uplink.send(dut, &bytes);
    assert_eq!(dut.host.take_wire(), [(0, bytes.clone())]);
    assert_eq!(switch.stats().lookups, 0);
    // The same frame from the wire is dropped.
    switch.bench.dut.receive(0, &bytes);
    assert_eq!(switch.counter(5), (1, 76));
}

#[test]
fn a_vf_is_told_where_a_frame_came_from_and_gets_what_is_not_its() {
    let mut switch = Switch::new();
    switch.actions(1, &[redirect(VF)]);
    switch.add(5, 1, PEER);
    switch.bind(WIRE, FlowDirection::INGRESS, 1);
    let bytes = frame(PEER, [2; 6], 90);
    switch.bench.dut.receive(0, &bytes);
    let received = switch.vf.rx.one(&mut switch.bench.dut);
    assert_eq!(received.bytes, bytes);
    assert_eq!((received.last.source_port, received.last.cookie), (WIRE, 0));
}

#[test]
fn a_frame_that_rules_make_too_long_for_the_wire_is_dropped_there() {
    let mut switch = Switch::new();
    let push = |operand| FlowAction {
        choice: [0x81, 0],
        operands: [operand, 0, 0, 0],
        ..action(FlowActionKind::VLAN_PUSH)
    };
    switch.actions(1, &[push(1), push(2), redirect(WIRE)]);
    switch.actions(2, &[push(1), push(2), push(3), redirect(WIRE)]);
    switch.add(5, 1, PEER);
    let long = frame(PEER, switch.vf.mac, 9614);
    let dut = &mut switch.bench.dut;
    switch.vf.tx.send(dut, &long);
    assert_eq!(dut.host.take_wire()[0].1.len(), 9622);
    let other = [2, 7, 7, 7, 7, 7];
    switch.add(6, 2, other);
    let long = frame(other, switch.vf.mac, 9614);
    let dut = &mut switch.bench.dut;
    switch.vf.tx.send(dut, &long);
    assert!(dut.host.take_wire().is_empty());
    assert_eq!(switch.bench.pf.port_stats(dut).tx_dropped, 1);
}
