// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Flow queues: requests with every kind of fault, their order and results, rings that wrap, and what stops a queue.

use super::{Bench, KEY, OK, Why, delete, rule};
use crate::mock::FlowQueue;
use oxnic_abi::command::{Opcode, Qualifier, Status};
use oxnic_abi::event::{EventKind, QueueError};
use oxnic_abi::flow::completion::FlowCompletion;
use oxnic_abi::flow::info::FlowObject;
use oxnic_abi::flow::queue::FlowQueueCreate;
use oxnic_abi::flow::request::{FlowOp, FlowRequest};
use oxnic_abi::queue::{CqCreate, QueueId, TxCreate};
use oxnic_abi::ring::completion_flags;
use oxnic_model::host::Function;

fn field(offset: u16) -> Why {
    (Status::EINVAL, Qualifier::FIELD, offset)
}

fn missing(offset: u16) -> Why {
    (Status::ENOENT, Qualifier::OBJECT, offset)
}

#[test]
fn a_rule_is_added_changed_and_deleted() {
    let mut bench = Bench::new();
    let mut queue = bench.with_rules();
    let dut = &mut bench.dut;
    assert_eq!(queue.run(dut, rule(7), &KEY, &[5, 0, 0, 0]), OK);
    let exists = (Status::EEXIST, Qualifier::CONFLICT, 4);
    assert_eq!(queue.run(dut, rule(7), &KEY, &[5, 0, 0, 0]), exists);
    let update = FlowRequest {
        op: FlowOp::UPDATE,
        rule: 7,
        action_template: 3,
        cookie: 1,
        ..FlowRequest::ZERO
    };
    assert_eq!(queue.run(dut, update, &[], &[6, 0, 0, 0]), OK);
    let info = bench.info(FlowObject::RULE);
    assert_eq!((info.used, info.high_water), (1, 1));
    assert_eq!(bench.info(FlowObject::COUNTER).used, 1);
    let busy = (Status::EBUSY, Qualifier::REFERENCED, 24);
    assert_eq!(bench.destroy(Opcode::TABLE_DESTROY, 1), busy);
    assert_eq!(bench.destroy(Opcode::MATCH_TEMPLATE_DESTROY, 2), busy);
    assert_eq!(bench.destroy(Opcode::ACTION_TEMPLATE_DESTROY, 3), busy);
    assert_eq!(queue.run(&mut bench.dut, delete(7), &[], &[]), OK);
    assert_eq!(queue.run(&mut bench.dut, delete(7), &[], &[]), missing(4));
    assert_eq!(bench.info(FlowObject::COUNTER).used, 0);
    assert_eq!(bench.destroy(Opcode::TABLE_DESTROY, 1), OK);
    assert_eq!(bench.destroy(Opcode::MATCH_TEMPLATE_DESTROY, 2), OK);
    assert_eq!(bench.destroy(Opcode::ACTION_TEMPLATE_DESTROY, 3), OK);
}

#[test]
fn every_fault_of_a_request_is_told_and_changes_nothing() {
    let mut bench = Bench::new();
    let rules = bench.info(FlowObject::RULE).size;
    let counters = bench.info(FlowObject::COUNTER).size;
    let mut queue = bench.with_rules();
    let dut = &mut bench.dut;
    let good = FlowQueue::bytes(rule(7), &KEY, &[5, 0, 0, 0]);
    let reserved = |at| (Status::EINVAL, Qualifier::RESERVED, at);
    // Bytes of the request that are set to a value, and what comes of it.
    let set = |at: usize, value: u32, width: usize| (at, value.to_le_bytes()[..width].to_vec());
    let opcode = (Status::EOPNOTSUPP, Qualifier::OPCODE, 0);
    let limit = |at| (Status::EINVAL, Qualifier::LIMIT, at);
    let cases = [
        (set(0, 0, 1), opcode),
        (set(0, 6, 1), opcode),
        (set(2, 1, 1), reserved(2)),
        (set(3, 1, 1), reserved(3)),
        (set(4, rules, 4), limit(4)),
        (set(8, 9, 4), missing(8)),
        (set(16, 9, 4), missing(16)),
        (set(20, 9, 4), missing(20)),
        (set(28, 5, 2), field(28)),
        (set(28, 500, 2), field(1)),
        (set(30, 0, 2), reserved(44)),
        (set(30, 8, 2), field(30)),
        (set(30, 500, 2), field(1)),
        (set(32, 1, 4), field(32)),
        (set(36, 1, 1), reserved(36)),
        (set(43, 0xff, 1), field(43)),
        (set(44, counters, 4), missing(44)),
        (set(48, 1, 1), reserved(48)),
        (set(63, 1, 1), reserved(63)),
    ];
    for ((at, value), expected) in cases {
        let mut bytes = good.clone();
        bytes[at..at + value.len()].copy_from_slice(&value);
        assert_eq!(queue.raw(dut, &bytes), expected, "at {at}");
    }
    // Bytes between key and arguments, and fields that an operation does not use.
    let mut odd = FlowQueue::bytes(rule(7), &[8, 0, 0x12], &[5, 0, 0, 0]);
    odd[43] = 1;
    assert_eq!(queue.raw(dut, &odd), reserved(43));
    for (at, offset) in [
        (8, 8),
        (12, 12),
        (16, 16),
        (20, 20),
        (24, 24),
        (28, 28),
        (30, 30),
    ] {
        let mut bytes = FlowQueue::bytes(delete(7), &[], &[]);
        bytes[at] = 1;
        assert_eq!(queue.raw(dut, &bytes), field(offset), "at {at}");
    }
    let reset = FlowRequest {
        op: FlowOp::COUNTER,
        counter: counters,
        ..FlowRequest::ZERO
    };
    assert_eq!(queue.run(dut, reset, &[], &[]), missing(32));
    let write = FlowRequest {
        op: FlowOp::COUNTER_WRITE,
        ..reset
    };
    assert_eq!(queue.run(dut, write, &[], &[]), missing(32));
    let write = FlowRequest {
        counter: counters - 1,
        ..write
    };
    let without = (Status::EINVAL, Qualifier::STATE, 32);
    assert_eq!(queue.run(dut, write, &[], &[]), without);
    let write = FlowRequest { cookie: 1, ..write };
    assert_eq!(queue.run(dut, write, &[], &[]), field(24));
    let injected = (Status::ENOSPC, Qualifier::INJECTED, 0);
    dut.control(serde_json::json!({"cmd": "chaos", "spec": "nic.fail-allocation=1"}));
    assert_eq!(queue.raw(dut, &good), injected);
    let info = bench.info(FlowObject::RULE);
    assert_eq!((info.used, info.high_water), (0, 0));
    assert_eq!(queue.raw(&mut bench.dut, &good), OK);
}

#[test]
fn requests_wrap_and_results_come_in_order() {
    let mut bench = Bench::new();
    let mut queue = bench.with_rules();
    let dut = &mut bench.dut;
    // Two slots each, over the end of a ring of 32 more than once, in batches of one doorbell; each third one is refused.
    let mut expected = Vec::new();
    for batch in 0..20u32 {
        for number in 0..11 {
            let id = batch * 11 + number;
            let table = if id % 3 == 2 { 9 } else { 1 };
            let request = FlowRequest { table, ..rule(id) };
            let key = [8, 0, (id >> 4) as u8, (id << 4) as u8];
            let mut bytes = FlowQueue::bytes(request, &key, &id.to_le_bytes());
            bytes[1] = 2;
            bytes.resize(128, 0);
            queue.put(dut, &bytes);
            expected.push((
                id,
                if id % 3 == 2 {
                    Status::ENOENT
                } else {
                    Status::OK
                },
            ));
        }
        queue.ring(dut);
        for (id, status) in expected.drain(..) {
            let result = queue.result(dut).expect("no result");
            assert_eq!((result.object, result.status), (id, status));
        }
        assert!(queue.result(dut).is_none());
        assert_eq!(queue.head, queue.producer);
    }
    assert_eq!(bench.info(FlowObject::RULE).used, 147);
}

#[test]
fn a_request_in_parts_waits_for_its_end_and_interrupts_once() {
    let mut bench = Bench::new();
    let mut queue = bench.with_rules();
    let dut = &mut bench.dut;
    let mut bytes = FlowQueue::bytes(rule(1), &KEY, &[5, 0, 0, 0]);
    bytes[1] = 3;
    bytes.resize(192, 0);
    queue.put(dut, &bytes[..64]);
    queue.ring(dut);
    queue.put(dut, &bytes[64..128]);
    queue.ring(dut);
    assert!(queue.result(dut).is_none());
    dut.host.take_interrupts();
    dut.ring(Function::Pf, oxnic_abi::doorbell::DoorbellKind::ARM, 20, 0);
    dut.settle();
    queue.put(dut, &bytes[128..]);
    queue.put(dut, &FlowQueue::bytes(delete(1), &[], &[]));
    queue.ring(dut);
    assert_eq!(queue.result(dut).map(|result| result.head), Some(3));
    assert_eq!(queue.result(dut).map(|result| result.head), Some(4));
    assert_eq!(dut.host.take_interrupts(), [(Function::Pf, 20)]);
}

#[test]
fn what_cannot_be_read_on_stops_its_queue_alone() {
    let stopped = |bench: &mut Bench, queue: &FlowQueue, error: QueueError| {
        let events = bench.pf.events(&mut bench.dut);
        let told = events
            .iter()
            .filter(|event| event.kind == EventKind::FLOW_ERROR);
        let told: Vec<_> = told.map(|event| (event.object, event.detail)).collect();
        assert_eq!(told, [(queue.id, error.0)]);
    };
    let mut bench = Bench::new();
    let mut healthy = bench.with_rules();
    for (number, slots) in [(1, 0), (2, 0xff)] {
        let mut queue = FlowQueue::new(&mut bench.dut, &mut bench.pf, number, 20 + number, 5);
        let mut bytes = FlowQueue::bytes(rule(1), &KEY, &[5, 0, 0, 0]);
        bytes[1] = slots;
        queue.put(&mut bench.dut, &bytes);
        queue.ring(&mut bench.dut);
        assert!(queue.result(&bench.dut).is_none());
        stopped(&mut bench, &queue, QueueError::DESCRIPTOR);
        // It stays so.
        queue.put(&mut bench.dut, &FlowQueue::bytes(delete(1), &[], &[]));
        queue.ring(&mut bench.dut);
        assert!(queue.result(&bench.dut).is_none());
    }
    let mut queue = FlowQueue::new(&mut bench.dut, &mut bench.pf, 3, 23, 5);
    queue.producer = 33;
    queue.ring(&mut bench.dut);
    stopped(&mut bench, &queue, QueueError::INDEX);
    let good = FlowQueue::bytes(rule(7), &KEY, &[5, 0, 0, 0]);
    assert_eq!(healthy.raw(&mut bench.dut, &good), OK);
    // Destroyed, it is as new.
    let id = QueueId { id: 3 }.to_words();
    assert_eq!(bench.set(Opcode::FLOW_QUEUE_DESTROY, id), OK);
    let cq = QueueId { id: queue.cq }.to_words();
    assert_eq!(bench.set(Opcode::CQ_DESTROY, cq), OK);
    let mut queue = FlowQueue::new(&mut bench.dut, &mut bench.pf, 3, 23, 5);
    assert_eq!(queue.run(&mut bench.dut, delete(7), &[], &[]), OK);
}

#[test]
fn a_ring_that_cannot_be_reached_stops_with_a_dma_fault() {
    let mut bench = Bench::new();
    let mut queue = bench.with_rules();
    queue.put(
        &mut bench.dut,
        &FlowQueue::bytes(rule(7), &KEY, &[5, 0, 0, 0]),
    );
    let end = (queue.ring - crate::mock::BASE) as usize;
    let memory = bench.dut.host.memory.split_off(end);
    queue.ring(&mut bench.dut);
    bench.dut.host.memory.extend(memory);
    let events = bench.pf.events(&mut bench.dut);
    assert!(
        events.iter().any(|event| {
            event.kind == EventKind::FLOW_ERROR && event.detail == QueueError::DMA.0
        })
    );
    assert_eq!(bench.info(FlowObject::RULE).used, 0);
}

#[test]
fn queues_need_a_completion_queue_of_their_own() {
    let mut bench = Bench::new();
    let ring = bench.dut.host.allocate(1 << 16);
    let cq = |id, slot, entry, log2| CqCreate {
        id,
        vector: 40,
        slot,
        entry,
        log2,
        address: ring,
        ..CqCreate::ZERO
    };
    let create = |bench: &mut Bench, change: &dyn Fn(&mut FlowQueueCreate)| {
        let mut create = FlowQueueCreate {
            id: 0,
            cq: 50,
            log2: 5,
            address: ring,
        };
        change(&mut create);
        bench.set(Opcode::FLOW_QUEUE_CREATE, create.to_words())
    };
    let limit = |offset| (Status::EINVAL, Qualifier::LIMIT, offset);
    assert_eq!(create(&mut bench, &|_| {}), missing(26));
    for (id, slot, entry) in [(50, 0, 16), (51, 1, 32)] {
        let create = cq(id, slot, entry, 5);
        assert_eq!(bench.set(Opcode::CQ_CREATE, create.to_words()), OK);
    }
    assert_eq!(create(&mut bench, &|q| q.id = 1000), limit(24));
    assert_eq!(
        create(&mut bench, &|q| q.cq = 51),
        (Status::EINVAL, Qualifier::CONFLICT, 26)
    );
    assert_eq!(create(&mut bench, &|q| q.log2 = 4), limit(28));
    assert_eq!(create(&mut bench, &|q| q.log2 = 16), limit(28));
    assert_eq!(
        create(&mut bench, &|q| q.log2 = 6),
        (Status::ENOSPC, Qualifier::LIMIT, 26)
    );
    assert_eq!(create(&mut bench, &|q| q.address += 8), field(32));
    let fault = (Status::EFAULT, Qualifier::DMA, 32);
    assert_eq!(create(&mut bench, &|q| q.address = 4096), fault);
    assert_eq!(create(&mut bench, &|_| {}), OK);
    assert_eq!(
        create(&mut bench, &|_| {}),
        (Status::EEXIST, Qualifier::CONFLICT, 24)
    );
    assert_eq!(
        create(&mut bench, &|q| q.id = 1),
        (Status::EBUSY, Qualifier::CONFLICT, 26)
    );
    // Nor may a transmit queue use it, nor may it go.
    let tx = TxCreate {
        id: 9,
        cq: 50,
        log2: 5,
        version: 0,
        address: ring,
    };
    let full = (Status::ENOSPC, Qualifier::LIMIT, 26);
    assert_eq!(bench.set(Opcode::TX_CREATE, tx.to_words()), full);
    let busy = (Status::EBUSY, Qualifier::REFERENCED, 24);
    let id = QueueId { id: 50 }.to_words();
    assert_eq!(bench.set(Opcode::CQ_DESTROY, id), busy);
    let info = bench.info(FlowObject::QUEUE);
    assert_eq!((info.used, info.high_water), (1, 1));
    let queue = QueueId { id: 0 }.to_words();
    assert_eq!(bench.set(Opcode::FLOW_QUEUE_DESTROY, queue), OK);
    assert_eq!(bench.set(Opcode::FLOW_QUEUE_DESTROY, queue), missing(24));
    assert_eq!(bench.set(Opcode::TX_CREATE, tx.to_words()), OK);
}

#[test]
fn results_can_be_made_to_lie() {
    let right = FlowCompletion {
        object: 7,
        head: 1,
        flags: completion_flags::GENERATION,
        ..FlowCompletion::ZERO
    };
    let entries = |spec: &str| {
        let mut bench = Bench::new();
        let mut queue = bench.with_rules();
        let dut = &mut bench.dut;
        let spec = format!("nic.seed=9{spec}");
        dut.control(serde_json::json!({"cmd": "chaos", "spec": spec}));
        queue.put(dut, &FlowQueue::bytes(rule(7), &KEY, &[5, 0, 0, 0]));
        queue.ring(dut);
        let entry = |index: u64| dut.host.words::<2>(queue.completions + index * 16);
        [entry(0), entry(1)]
    };
    assert_eq!(entries(""), [right.to_words(), [0; 2]]);
    assert_eq!(entries(",nic.flow-silent=1"), [[0; 2]; 2]);
    assert_eq!(entries(",nic.flow-twice=1"), [right.to_words(); 2]);
    for fault in ["head", "queue", "object", "status", "generation"] {
        let [first, second] = entries(&format!(",nic.flow-{fault}=1"));
        assert_ne!(first, right.to_words(), "{fault}");
        assert_eq!(second, [0; 2], "{fault}");
    }
}

#[test]
fn the_operator_sees_objects_and_queues() {
    let mut bench = Bench::new();
    let mut queue = bench.with_rules();
    let dut = &mut bench.dut;
    assert_eq!(queue.run(dut, rule(7), &KEY, &[5, 0, 0, 0]), OK);
    queue.run(dut, rule(7), &KEY, &[5, 0, 0, 0]);
    let flow = &dut.control(serde_json::json!({"cmd": "stats"}))["flow"];
    assert_eq!(flow["objects"]["rules"], 1);
    assert_eq!(flow["objects"]["match_templates"], 1);
    let expected = serde_json::json!({
        "producer": 2, "consumer": 2, "listed": false, "stopped": false, "done": 2, "refused": 1,
    });
    assert_eq!(flow["queues"]["0"], expected);
    assert_eq!(flow["counters"]["lookups"], 0);
}
