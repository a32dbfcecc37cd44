// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! How fast the NIC core is by itself: `cargo run --release --example nic_bench`. Prints figures, judges nothing.
//!
//! The host is one array; a frame sent to the wire is dropped, and frames from the wire are made of nothing but addresses.

#[path = "../tests/nic_core/mock/mod.rs"]
#[allow(dead_code, unused_imports)] // the tests use the rest
mod mock;

use mock::{Device, Driver, FlowQueue, Port, frame};
use oxnic_abi::command::{Opcode, Status, Submission};
use oxnic_abi::eswitch::{EswitchConfig, EswitchMode};
use oxnic_abi::flow::action::{FlowAction, FlowActionKind, action_flags};
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::flow_set;
use oxnic_abi::flow::request::{FlowOp, FlowRequest};
use oxnic_abi::flow::table::TableSet;
use oxnic_abi::flow::template::{ConditionKind, FlowCondition, TemplateSet};
use oxnic_abi::ring::{TxContext, TxData, tx_flags};
use oxnic_abi::vport::vport_flags;
use oxnic_model::host::{Function, NicCore};
use std::time::{Duration, Instant};

const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];

fn print(what: &str, count: u64, bytes: u64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{what:32} {:>10.0} packets/s {:>8.2} Gbit/s",
        count as f64 / seconds,
        bytes as f64 * 8.0 / seconds / 1e9
    );
}

fn device() -> (Device, Port) {
    let mut dut = Device::new(1, 2);
    dut.host.keep_frames = false;
    let port = Port::new(&mut dut, Function::Pf);
    (dut, port)
}

/// Rings for a batch of the same packet, over and over; the descriptors stay in place.
fn transmit(what: &str, length: usize, batch: u16, context: Option<TxContext>) {
    let (mut dut, mut port) = device();
    let mut out = frame(PEER, port.mac, length);
    if context.is_some() {
        out = tcp(PEER, port.mac, length);
    }
    while port.tx.producer < 256 {
        port.tx.queue(&mut dut, &out, &[], context, TxData::ZERO);
    }
    let per_packet = if context.is_some() { 2 } else { 1 };
    let start = Instant::now();
    let mut index = 0u16;
    let mut packets = 0u64;
    while start.elapsed().as_secs() < 2 {
        for _ in 0..64 {
            index = index.wrapping_add(batch * per_packet);
            let value = oxnic_abi::doorbell::encode(
                oxnic_abi::doorbell::DoorbellKind::TX,
                0,
                u32::from(index),
            );
            dut.nic
                .doorbell_write(&mut dut.host, Function::Pf, 0, &value.to_le_bytes());
            while dut
                .nic
                .poll(&mut dut.host)
                .is_some_and(|at| at <= dut.host.now)
            {}
            packets += u64::from(batch);
        }
    }
    print(what, packets, packets * length as u64, start);
}

fn tcp(destination: [u8; 6], source: [u8; 6], length: usize) -> Vec<u8> {
    let mut out = frame(destination, source, length);
    out[12..14].copy_from_slice(&[8, 0]);
    out[14..34].copy_from_slice(&[
        0x45, 0, 0, 0, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ]);
    out[34..54].fill(0);
    out[46] = 0x50;
    out
}

fn receive(what: &str, length: usize, flags: u32) {
    let (mut dut, mut port) = device();
    port.driver.flags(&mut dut, 0, flags, flags);
    let mut into = tcp(port.mac, PEER, length);
    let total = (length - 14) as u16;
    into[16..18].copy_from_slice(&total.to_be_bytes());
    let start = Instant::now();
    let mut packets = 0u64;
    while start.elapsed().as_secs() < 2 {
        for _ in 0..64 {
            for _ in 0..32 {
                dut.nic.wire_receive(&mut dut.host, 0, &into);
            }
            dut.nic.poll(&mut dut.host);
            packets += 32;
            // The descriptors in the ring are good for every pass.
            port.rx.producer = port.rx.producer.wrapping_add(32);
            port.rx.ring(&mut dut);
        }
    }
    print(what, packets, packets * length as u64, start);
}

/// A table, a match template of 13 bytes of key and an action template that counts: each has the id 0.
fn rule_objects(dut: &mut Device, pf: &mut Driver) {
    let mode = EswitchMode::SWITCHDEV;
    let set = EswitchConfig { mode }.to_words();
    pf.set_ok(dut, Opcode::ESWITCH_SET, 0, set);
    let table = TableSet {
        flags: flow_set::CREATE,
        ..TableSet::ZERO
    };
    pf.set_ok(dut, Opcode::TABLE_SET, 0, table.to_words());
    let fields = [
        FlowField::IPV4_SRC,
        FlowField::IPV4_DST,
        FlowField::IP_PROTO,
        FlowField::SRC_PORT,
        FlowField::DST_PORT,
    ];
    let conditions = fields.iter().flat_map(|field| {
        let mut mask = [0; 16];
        mask[..field.width()].fill(0xff);
        let condition = FlowCondition {
            field: *field,
            kind: ConditionKind::MASK,
            mask,
            ..FlowCondition::ZERO
        };
        condition.to_words()
    });
    let counts = FlowAction {
        kind: FlowActionKind::COUNT,
        flags: action_flags::ARGUMENT,
        ..FlowAction::ZERO
    };
    for (opcode, count, list) in [
        (Opcode::MATCH_TEMPLATE_SET, 5, conditions.collect()),
        (Opcode::ACTION_TEMPLATE_SET, 1, counts.to_words().to_vec()),
    ] {
        let set = TemplateSet {
            count,
            ..TemplateSet::ZERO
        };
        let submission = Submission {
            parameters: set.to_words(),
            ..pf.submission(opcode)
        };
        let made = pf.run(dut, submission, &list);
        assert_eq!(made.status, Status::OK);
    }
}

/// So many requests about the rules from 0 on, in batches; all succeed.
fn requests(
    what: &str,
    dut: &mut Device,
    queue: &mut FlowQueue,
    count: u32,
    make: impl Fn(u32) -> Vec<u8>,
) {
    const BATCH: u32 = 4096;
    let mut spent = Duration::ZERO;
    for first in (0..count).step_by(BATCH as usize) {
        let batch = first..count.min(first + BATCH);
        for rule in batch.clone() {
            queue.put(dut, &make(rule));
        }
        let start = Instant::now();
        queue.ring(dut);
        spent += start.elapsed();
        for rule in batch {
            let result = queue.result(dut).expect("no result");
            assert_eq!((result.object, result.status), (rule, Status::OK));
        }
    }
    let rate = f64::from(count) / spent.as_secs_f64();
    println!("{what:32} {rate:>10.0} requests/s");
}

/// Rules with a counter each, through a flow queue: added, and taken out again.
fn rules(count: u32) {
    let mut dut = Device::new(1, 2);
    let mut pf = Driver::new(&mut dut, Function::Pf);
    rule_objects(&mut dut, &mut pf);
    let mut queue = FlowQueue::new(&mut dut, &mut pf, 0, 2, 12);
    let add = |rule: u32| {
        let request = FlowRequest {
            op: FlowOp::ADD,
            rule,
            priority: 1 << 16,
            ..FlowRequest::ZERO
        };
        let mut key = [17; 13];
        key[..4].copy_from_slice(&rule.to_be_bytes());
        let counter = rule % 1_048_576;
        FlowQueue::bytes(request, &key, &counter.to_le_bytes())
    };
    let delete = |rule| {
        let request = FlowRequest {
            op: FlowOp::DELETE,
            rule,
            ..FlowRequest::ZERO
        };
        FlowQueue::bytes(request, &[], &[])
    };
    let what = format!("add {count} rules");
    requests(&what, &mut dut, &mut queue, count, add);
    let what = format!("delete {count} rules");
    requests(&what, &mut dut, &mut queue, count, delete);
}

fn main() {
    rules(1_000_000);
    transmit("transmit 60 B, batches of 32", 60, 32, None);
    transmit("transmit 60 B, one by one", 60, 1, None);
    transmit("transmit 1514 B, batches of 32", 1514, 32, None);
    let context = TxContext {
        flags: tx_flags::TSO,
        mss: 1448,
        l3_start: 7,
        l4_start: 17,
        header_length: 54,
        ..TxContext::ZERO
    };
    transmit("transmit TSO 60 KiB", 61_440, 8, Some(context));
    receive("receive 60 B", 60, 0);
    receive("receive 1514 B", 1514, 0);
    let checked = vport_flags::RX_CSUM | vport_flags::RX_HASH;
    receive("receive 60 B, checked", 60, checked);
    receive("receive 1514 B, checked", 1514, checked);
}
