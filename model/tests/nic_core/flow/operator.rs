// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What the operator sees of rules, and what he can make go wrong with them.

use super::{Bench, KEY, OK, delete, rule};
use crate::mock::FlowQueue;
use oxnic_abi::command::{Qualifier, Status};
use oxnic_abi::flow::info::FlowObject;
use oxnic_abi::flow::request::{FlowOp, FlowRequest};
use serde_json::json;

#[test]
fn rules_are_shown_as_they_were_asked_for() {
    let mut bench = Bench::new();
    let mut queue = bench.with_rules();
    let dut = &mut bench.dut;
    for id in [7, 2000] {
        assert_eq!(queue.run(dut, rule(id), &KEY, &[5, 0, 0, 0]), OK);
    }
    let shown = dut.control(json!({"cmd": "rules"}));
    let expected = |id: u32| {
        json!({
            "rule": id, "table": 1, "priority": 0x1_0000, "cookie": 99, "match_template": 2, "key": "08001230",
            "action_template": 3, "arguments": "05000000", "counters": [{"id": 5, "packets": 0, "bytes": 0}],
        })
    };
    assert_eq!(shown["rules"], json!([expected(7), expected(2000)]));
    assert_eq!(
        (&shown["next"], &shown["ports"]),
        (&json!(null), &json!([]))
    );
    assert_eq!(shown["tables"]["1"]["rules"], 2);
    let shown = dut.control(json!({"cmd": "rules", "first": 8}));
    assert_eq!(shown["rules"], json!([expected(2000)]));
    assert_eq!(queue.run(dut, delete(2000), &[], &[]), OK);
    let shown = dut.control(json!({"cmd": "rules", "first": 8}));
    assert_eq!(shown["rules"], json!([]));
}

#[test]
fn limits_change_while_nothing_is_in_use() {
    let mut bench = Bench::new();
    bench
        .dut
        .control(json!({"cmd": "flow-limits", "rules": 1, "tables": 2}));
    assert_eq!(bench.info(FlowObject::RULE).size, 1);
    assert_eq!(bench.info(FlowObject::TABLE).size, 2);
    let mut queue = bench.with_rules();
    let beyond = queue.run(&mut bench.dut, rule(1), &KEY, &[5, 0, 0, 0]);
    assert_eq!(beyond.1, Qualifier::LIMIT);
    assert_eq!(queue.run(&mut bench.dut, rule(0), &KEY, &[5, 0, 0, 0]), OK);
    let refused = bench
        .dut
        .try_control(json!({"cmd": "flow-limits", "rules": 9}));
    assert_eq!(refused, Err("the flow engine is in use".into()));
}

#[test]
fn a_request_fails_with_the_status_that_was_set_and_changes_nothing() {
    let mut bench = Bench::new();
    let mut queue = bench.with_rules();
    let spec = "nic.status=16,nic.fail-request=1";
    bench.dut.control(json!({"cmd": "chaos", "spec": spec}));
    let failed = (Status::EBUSY, Qualifier::INJECTED, 0);
    let dut = &mut bench.dut;
    assert_eq!(queue.run(dut, rule(7), &KEY, &[5, 0, 0, 0]), failed);
    assert_eq!(bench.info(FlowObject::RULE).used, 0);
    assert_eq!(queue.run(&mut bench.dut, rule(7), &KEY, &[5, 0, 0, 0]), OK);
}

#[test]
fn changes_of_rules_are_refused_while_other_requests_are_carried_out() {
    let mut bench = Bench::new();
    let mut queue = bench.with_rules();
    let dut = &mut bench.dut;
    dut.control(json!({"cmd": "chaos", "spec": "nic.fail-update=1+"}));
    assert_eq!(queue.run(dut, rule(7), &KEY, &[5, 0, 0, 0]), OK);
    let update = FlowRequest {
        op: FlowOp::UPDATE,
        rule: 7,
        action_template: 3,
        cookie: 1,
        ..FlowRequest::ZERO
    };
    let failed = (Status::EIO, Qualifier::INJECTED, 0);
    for _ in 0..2 {
        assert_eq!(queue.run(dut, update, &[], &[6, 0, 0, 0]), failed);
    }
    let shown = dut.control(json!({"cmd": "rules"}));
    assert_eq!(shown["rules"][0]["arguments"], "05000000");
    dut.control(json!({"cmd": "chaos", "spec": "off"}));
    assert_eq!(queue.run(dut, update, &[], &[6, 0, 0, 0]), OK);
    assert_eq!(queue.run(dut, delete(7), &[], &[]), OK);
}

#[test]
fn a_queue_that_is_late_goes_on_after_a_second_whatever_doorbells_say() {
    let mut bench = Bench::new();
    let mut queue = bench.with_rules();
    let dut = &mut bench.dut;
    dut.control(json!({"cmd": "chaos", "spec": "nic.flow-late=1"}));
    let bytes = |id| FlowQueue::bytes(rule(id), &KEY, &[5, 0, 0, 0]);
    queue.put(dut, &bytes(1));
    queue.ring(dut);
    queue.put(dut, &bytes(2));
    queue.ring(dut);
    dut.advance(900_000_000);
    assert!(queue.result(dut).is_none());
    dut.advance(200_000_000);
    for id in [1, 2] {
        let result = queue
            .result(dut)
            .map(|result| (result.status, result.object));
        assert_eq!(result, Some((Status::OK, id)));
    }
}
