// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! From a request to a frame and back: rules made as a driver makes them, frames of VFs and wires, and what the driver sees of it
//! in completions and in counters.

use super::{Bench, OK, PF, action, count};
use crate::mock::{FlowQueue, Port, Rx, Tx, frame, tagged};
use oxnic_abi::command::{Opcode, Submission};
use oxnic_abi::eswitch::EswitchMode;
use oxnic_abi::flow::action::{FlowAction, FlowActionKind, FlowNote, NO_ENCAP, action_flags};
use oxnic_abi::flow::counter::CounterRecord;
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::info::FlowStats;
use oxnic_abi::flow::port::{FlowDirection, PortTable};
use oxnic_abi::flow::request::{FlowOp, FlowRequest};
use oxnic_abi::flow::table::TableSet;
use oxnic_abi::ring::completion_flags;
use oxnic_abi::vport::vport_flags;
use oxnic_model::host::Function;

const WIRE: u16 = 1;
const VF: u16 = 0x100;
const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];
const PERIOD: u64 = 10_000_000;
/// Vport of the PF that represents VF 0.
const REPRESENTOR: u16 = 2;

/// A VF with its representor, both up; ingress of the VF is bound to table 1, whose rules match destination addresses.
pub(super) struct Switch {
    pub(super) bench: Bench,
    pub(super) vf: Port,
    representor: Rx,
    uplink: Rx,
    queue: FlowQueue,
    page: u64,
}

impl Switch {
    pub(super) fn new() -> Self {
        let mut bench = Bench::legacy();
        let mut vfs = Port::vfs(&mut bench.dut, &mut bench.pf, 1);
        let vf = vfs.remove(0);
        assert_eq!(bench.mode(EswitchMode::SWITCHDEV), OK);
        let (dut, pf) = (&mut bench.dut, &mut bench.pf);
        Tx::new(dut, pf, REPRESENTOR, 10, 10, 6);
        let representor = Rx::new(dut, pf, REPRESENTOR, 10, 10, 6, 2048);
        let uplink = Rx::new(dut, pf, 0, 11, 11, 6, 2048);
        pf.enable(dut, 0);
        pf.enable(dut, REPRESENTOR);
        let page = dut.host.allocate(4096);
        let queue = FlowQueue::new(dut, pf, 0, 20, 6);
        assert_eq!(bench.counter_memory(0, 10, &[page]), OK);
        let cookie = 0x1111;
        let table = TableSet {
            id: 1,
            flags: 1,
            cookie,
            ..TableSet::ZERO
        };
        assert_eq!(bench.table(table), OK);
        let condition = super::exact(FlowField::ETH_DST, &[0xff; 6]);
        assert_eq!(bench.match_template(1, &[condition]), OK);
        let mut switch = Self {
            bench,
            vf,
            representor,
            uplink,
            queue,
            page,
        };
        switch.bind(VF, FlowDirection::INGRESS, 1);
        switch
    }

    pub(super) fn bind(&mut self, port: u16, direction: FlowDirection, table: u32) {
        let set = PortTable {
            port,
            direction,
            table,
        };
        assert_eq!(self.bench.set(Opcode::PORT_TABLE, set.to_words()), OK);
    }

    /// Action template: counts with the rule's counter, then these.
    pub(super) fn actions(&mut self, id: u32, then: &[FlowAction]) {
        let list = [&[count()], then].concat();
        assert_eq!(self.bench.action_template(id, &list), OK);
    }

    /// A rule of table 1 for a destination, with counter `rule`.
    pub(super) fn add(&mut self, rule: u32, actions: u32, destination: [u8; 6]) {
        let request = FlowRequest {
            op: FlowOp::ADD,
            rule,
            table: 1,
            priority: 1 << 16,
            match_template: 1,
            action_template: actions,
            cookie: 0x2200 + rule,
            ..FlowRequest::ZERO
        };
        let dut = &mut self.bench.dut;
        let done = self
            .queue
            .run(dut, request, &destination, &rule.to_le_bytes());
        assert_eq!(done, OK);
    }

    pub(super) fn counter(&mut self, id: u32) -> (u64, u64) {
        self.bench.dut.advance(PERIOD);
        let record = self.record(id);
        (record.packets, record.bytes)
    }

    /// What the host's memory says of a counter at the moment.
    fn record(&self, id: u32) -> CounterRecord {
        let words = self.bench.dut.host.words(self.page + u64::from(id) * 32);
        CounterRecord::from_words(&words)
    }

    pub(super) fn stats(&mut self) -> FlowStats {
        let query = Submission {
            ..self.bench.pf.submission(Opcode::FLOW_STATS)
        };
        FlowStats::from_words(&self.bench.pf.query(&mut self.bench.dut, query).unwrap())
    }

    /// A request as it is, and its result.
    pub(super) fn request(
        &mut self,
        request: FlowRequest,
        key: &[u8],
        arguments: &[u8],
    ) -> super::Why {
        self.queue.run(&mut self.bench.dut, request, key, arguments)
    }

    /// What came to the PF's interface on the wire, as of the representor.
    pub(super) fn uplink(&mut self) -> Vec<(usize, u16, u32)> {
        up(self.uplink.take(&mut self.bench.dut))
    }

    /// What came to the representor: bytes, flags about rules, cookie.
    pub(super) fn represented(&mut self) -> Vec<(usize, u16, u32)> {
        up(self.representor.take(&mut self.bench.dut))
    }
}

fn up(frames: Vec<crate::mock::Received>) -> Vec<(usize, u16, u32)> {
    let about = completion_flags::FLOW_RULE
        | completion_flags::FLOW_MISS
        | completion_flags::FLOW_MARK
        | completion_flags::FLOW_SAMPLE;
    let frames = frames.into_iter();
    frames
        .map(|frame| {
            (
                frame.bytes.len(),
                frame.last.flags & about,
                frame.last.cookie,
            )
        })
        .collect()
}

pub(super) fn redirect(port: u16) -> FlowAction {
    FlowAction {
        operands: [port.into(), NO_ENCAP, 0, 0],
        ..action(FlowActionKind::REDIRECT)
    }
}

#[test]
fn a_frame_of_a_vf_goes_where_its_rule_says_and_is_counted() {
    let mut switch = Switch::new();
    switch.actions(1, &[redirect(WIRE)]);
    switch.add(5, 1, PEER);
    let bytes = frame(PEER, switch.vf.mac, 100);
    for _ in 0..3 {
        switch.vf.tx.send(&mut switch.bench.dut, &bytes);
    }
    let wire = switch.bench.dut.host.take_wire();
    assert_eq!(wire, vec![(0, bytes); 3]);
    assert_eq!(switch.represented(), []);
    assert_eq!(switch.counter(5), (3, 3 * 86));
    let stats = switch.stats();
    assert_eq!((stats.lookups, stats.hits), (3, 3));
}

#[test]
fn what_no_rule_takes_comes_with_the_tables_cookie() {
    let mut switch = Switch::new();
    switch.actions(1, &[redirect(WIRE)]);
    switch.add(5, 1, PEER);
    let other = frame([2, 9, 9, 9, 9, 9], switch.vf.mac, 80);
    switch.vf.tx.send(&mut switch.bench.dut, &other);
    assert!(switch.bench.dut.host.take_wire().is_empty());
    let missed = [(80, completion_flags::FLOW_MISS, 0x1111)];
    assert_eq!(switch.represented(), missed);
    // Without a table it goes the same way, and nothing is said.
    switch.bind(VF, FlowDirection::INGRESS, oxnic_abi::flow::table::NO_TABLE);
    switch.vf.tx.send(&mut switch.bench.dut, &other);
    assert_eq!(switch.represented(), [(80, 0, 0)]);
}

#[test]
fn what_a_rule_lets_go_comes_with_its_cookie_or_mark() {
    let mut switch = Switch::new();
    switch.actions(1, &[action(FlowActionKind::ACCEPT)]);
    switch.actions(2, &[action(FlowActionKind::TRAP)]);
    let mark = FlowAction {
        operands: [0x77, 0, 0, 0],
        ..action(FlowActionKind::MARK)
    };
    let marked = FlowAction {
        choice: [FlowNote::MARK.0, 0],
        ..action(FlowActionKind::ACCEPT)
    };
    switch.actions(3, &[mark, marked]);
    let address = |last| [2, 0xbb, 0, 0, 0, last];
    for rule in [1, 2, 3] {
        switch.add(rule, rule, address(rule as u8));
    }
    for rule in [1, 2, 3] {
        let bytes = frame(address(rule), switch.vf.mac, 60 + usize::from(rule));
        switch.vf.tx.send(&mut switch.bench.dut, &bytes);
    }
    let rule = completion_flags::FLOW_RULE;
    assert_eq!(
        switch.represented(),
        [
            (61, rule, 0x2201),
            (62, rule, 0x2202),
            (63, completion_flags::FLOW_MARK, 0x77)
        ]
    );
}

#[test]
fn a_rule_that_is_changed_does_one_thing_or_the_other() {
    let mut switch = Switch::new();
    switch.actions(1, &[redirect(WIRE)]);
    switch.actions(2, &[action(FlowActionKind::DROP)]);
    switch.add(5, 1, PEER);
    let bytes = frame(PEER, switch.vf.mac, 64);
    switch.vf.tx.send(&mut switch.bench.dut, &bytes);
    let update = FlowRequest {
        op: FlowOp::UPDATE,
        rule: 5,
        action_template: 2,
        ..FlowRequest::ZERO
    };
    let dut = &mut switch.bench.dut;
    assert_eq!(switch.queue.run(dut, update, &[], &6u32.to_le_bytes()), OK);
    switch.vf.tx.send(&mut switch.bench.dut, &bytes);
    assert_eq!(switch.bench.dut.host.take_wire().len(), 1);
    assert_eq!((switch.counter(5), switch.counter(6)), ((1, 50), (1, 50)));
    assert_eq!(switch.stats().dropped_rule, 1);
    let gone = super::delete(5);
    let dut = &mut switch.bench.dut;
    assert_eq!(switch.queue.run(dut, gone, &[], &[]), OK);
    switch.vf.tx.send(&mut switch.bench.dut, &bytes);
    assert_eq!(switch.represented().len(), 1);
    assert_eq!(switch.counter(6), (1, 50));
}

#[test]
fn behind_the_deletion_of_a_rule_its_counter_has_all_that_it_has_counted() {
    let mut switch = Switch::new();
    switch.actions(1, &[redirect(WIRE)]);
    switch.add(5, 1, PEER);
    let bytes = frame(PEER, switch.vf.mac, 64);
    for _ in 0..3 {
        switch.vf.tx.send(&mut switch.bench.dut, &bytes);
    }
    // No period has passed.
    assert_eq!(switch.record(5).packets, 0);
    let write = FlowRequest {
        op: FlowOp::COUNTER_WRITE,
        counter: 5,
        ..FlowRequest::ZERO
    };
    assert_eq!(switch.request(super::delete(5), &[], &[]), OK);
    assert_eq!(switch.request(write, &[], &[]), OK);
    let record = switch.record(5);
    assert_eq!((record.packets, record.bytes), (3, 150));
    switch.vf.tx.send(&mut switch.bench.dut, &bytes);
    assert_eq!(switch.counter(5), (3, 150));
}

#[test]
fn frames_of_the_wire_reach_vfs_and_copies_and_samples_reach_the_pf() {
    let mut switch = Switch::new();
    let mirror = FlowAction {
        kind: FlowActionKind::MIRROR,
        flags: 0,
        ..redirect(WIRE)
    };
    let sample = FlowAction {
        operands: [1, 40, 0x33, 0],
        ..action(FlowActionKind::SAMPLE)
    };
    switch.actions(1, &[sample, mirror, redirect(VF)]);
    let mac = switch.vf.mac;
    switch.add(5, 1, mac);
    switch.bind(WIRE, FlowDirection::INGRESS, 1);
    let bytes = frame(mac, PEER, 100);
    switch.bench.dut.receive(0, &bytes);
    let received = switch.vf.rx.take(&mut switch.bench.dut);
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].bytes, bytes);
    assert_eq!(received[0].last.source_port, WIRE);
    // The copy goes out of the wire that it came from: egress is not where it came in.
    assert_eq!(switch.bench.dut.host.take_wire(), [(0, bytes)]);
    let sampled = switch.uplink.take(&mut switch.bench.dut);
    assert_eq!(sampled.len(), 1);
    assert_eq!(sampled[0].last.csum, 100);
    assert_eq!(up(sampled), [(40, completion_flags::FLOW_SAMPLE, 0x33)]);
    let stats = switch.stats();
    assert_eq!((stats.sampled, stats.mirrored), (1, 1));
    assert_eq!(switch.counter(5), (1, 86));
}

#[test]
fn what_the_pfs_vlan_filter_refuses_counts_at_the_port_that_it_came_in_at() {
    let mut switch = Switch::new();
    let filter = vport_flags::VLAN_FILTER;
    let Bench { dut, pf } = &mut switch.bench;
    pf.flags(dut, 0, filter, filter);
    switch.bind(WIRE, FlowDirection::INGRESS, 1);
    let filtered = |switch: &mut Switch| {
        let Bench { dut, pf } = &mut switch.bench;
        (pf.stats(dut, 0).rx_vlan, pf.port_stats(dut).rx_filtered)
    };
    let bytes = tagged(&frame(PEER, switch.vf.mac, 60), 0x8100, 5);
    switch.bench.dut.receive(0, &bytes);
    assert_eq!(filtered(&mut switch), (1, 1));
    // A copy for the PF is no frame of the port's.
    let sample = FlowAction {
        operands: [1, 0, 0x33, 0],
        ..action(FlowActionKind::SAMPLE)
    };
    switch.actions(1, &[sample, redirect(WIRE)]);
    switch.add(5, 1, PEER);
    let twice = tagged(&bytes, 0x8100, 6);
    switch.bench.dut.receive(0, &twice);
    assert_eq!(filtered(&mut switch), (2, 1));
    // Nor is one that came in at a VF.
    switch.actions(2, &[action(FlowActionKind::TRAP)]);
    switch.bench.make_table(4);
    switch.bind(WIRE, FlowDirection::EGRESS, 4);
    let trap = FlowRequest {
        op: FlowOp::ADD,
        rule: 6,
        table: 4,
        match_template: 1,
        action_template: 2,
        ..FlowRequest::ZERO
    };
    assert_eq!(switch.request(trap, &PEER, &6u32.to_le_bytes()), OK);
    switch.vf.tx.send(&mut switch.bench.dut, &bytes);
    assert_eq!(switch.counter(6), (1, 60));
    assert_eq!(filtered(&mut switch), (3, 1));
    assert_eq!(switch.uplink(), []);
}

#[test]
fn ports_that_are_gone_drop_and_work_again_when_they_are_back() {
    let mut switch = Switch::new();
    switch.actions(1, &[redirect(VF)]);
    let mac = switch.vf.mac;
    switch.add(5, 1, mac);
    switch.bind(WIRE, FlowDirection::INGRESS, 1);
    let bytes = frame(mac, PEER, 100);
    switch.bench.dut.function_level_reset(Function::Vf(0));
    switch.bench.dut.receive(0, &bytes);
    assert_eq!(switch.stats().dropped_port, 1);
    oxnic_model::host::NicCore::set_bus_master(&mut switch.bench.dut.nic, Function::Vf(0), true);
    let mut vf = Port::new(&mut switch.bench.dut, Function::Vf(0));
    switch.bench.dut.receive(0, &bytes);
    assert_eq!(vf.rx.take(&mut switch.bench.dut).len(), 1);
    assert_eq!(switch.stats().dropped_port, 1);
}

#[test]
fn tables_rest_while_the_eswitch_is_inactive_and_after_a_reset() {
    let mut switch = Switch::new();
    switch.actions(1, &[redirect(WIRE)]);
    switch.add(5, 1, PEER);
    let bytes = frame(PEER, switch.vf.mac, 100);
    assert_eq!(switch.bench.mode(EswitchMode::SWITCHDEV_INACTIVE), OK);
    switch.vf.tx.send(&mut switch.bench.dut, &bytes);
    assert!(switch.bench.dut.host.take_wire().is_empty());
    assert_eq!(switch.bench.mode(EswitchMode::SWITCHDEV), OK);
    switch.vf.tx.send(&mut switch.bench.dut, &bytes);
    assert_eq!(switch.bench.dut.host.take_wire().len(), 1);
    switch.bench.dut.reset(PF);
    switch.vf.tx.send(&mut switch.bench.dut, &bytes);
    assert!(switch.bench.dut.host.take_wire().is_empty());
}

#[test]
fn a_rule_by_argument_sends_each_frame_elsewhere() {
    let mut switch = Switch::new();
    let sends = FlowAction {
        flags: action_flags::ARGUMENT,
        argument: 4,
        ..action(FlowActionKind::REDIRECT)
    };
    switch.actions(1, &[sends]);
    let mut arguments = 7u32.to_le_bytes().to_vec();
    arguments.extend(2u32.to_le_bytes());
    arguments.extend(NO_ENCAP.to_le_bytes());
    let request = FlowRequest {
        op: FlowOp::ADD,
        rule: 9,
        table: 1,
        match_template: 1,
        action_template: 1,
        ..FlowRequest::ZERO
    };
    let dut = &mut switch.bench.dut;
    assert_eq!(switch.queue.run(dut, request, &PEER, &arguments), OK);
    let bytes = frame(PEER, switch.vf.mac, 70);
    switch.vf.tx.send(&mut switch.bench.dut, &bytes);
    assert_eq!(switch.bench.dut.host.take_wire(), [(1, bytes)]);
    assert_eq!(switch.counter(7), (1, 56));
}
