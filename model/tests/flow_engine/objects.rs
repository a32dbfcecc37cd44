// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Objects name each other: what is named stays, and nothing is lost.

use crate::bench::{Bench, action, count, goto, plain, table, udp};
use oxnic_abi::flow::action::{FlowAction, FlowActionKind as Kind, FlowVerdict, action_flags};
use oxnic_abi::flow::flow_set::CREATE;
use oxnic_abi::flow::info::FlowObject;
use oxnic_abi::flow::meter::{MeterSet, MeterUnit};
use oxnic_abi::flow::port::FlowDirection;
use oxnic_abi::flow::request::FlowRequest;
use oxnic_abi::flow::table::{NO_TABLE, TableMiss, TableView};
use oxnic_model::nic::flow::{Place, Why};

fn from_rule(kind: Kind) -> FlowAction {
    FlowAction {
        flags: action_flags::ARGUMENT,
        ..plain(kind)
    }
}

#[test]
fn a_table_stays_while_anything_names_it() {
    let mut bench = Bench::new();
    let busy = |bench: &mut Bench, id| {
        let refused = bench.engine.destroy_table(id).unwrap_err();
        assert_eq!((refused.why, refused.place), (Why::Busy, Place::Object));
    };
    busy(&mut bench, 0);
    bench.table(1);
    let rule = bench.rule(1, 0, &[plain(Kind::DROP)]);
    busy(&mut bench, 1);
    bench.engine.delete_rule(rule).unwrap();
    // By a template, by a rule's argument, by a miss.
    bench.engine.set_action_template(50, &[goto(1)]).unwrap();
    busy(&mut bench, 1);
    bench.engine.destroy_action_template(50).unwrap();
    bench
        .engine
        .set_action_template(50, &[from_rule(Kind::GOTO)])
        .unwrap();
    bench.engine.set_match_template(50, &[], &[]).unwrap();
    let request = FlowRequest {
        rule: 9,
        match_template: 50,
        action_template: 50,
        ..FlowRequest::ZERO
    };
    let refused = bench
        .engine
        .add_rule(&request, &[], &[7, 0, 0, 0])
        .unwrap_err();
    assert_eq!(
        (refused.why, refused.place),
        (Why::Missing, Place::Argument(0))
    );
    bench.engine.add_rule(&request, &[], &[1, 0, 0, 0]).unwrap();
    busy(&mut bench, 1);
    bench.engine.delete_rule(9).unwrap();
    let miss = table(2, TableView::PACKET, TableMiss::TABLE, 1, 0);
    bench.engine.set_table(&miss).unwrap();
    busy(&mut bench, 1);
    bench.engine.destroy_table(2).unwrap();
    bench.engine.destroy_table(1).unwrap();
    bench.bind(1, FlowDirection::INGRESS, NO_TABLE);
    bench.engine.destroy_table(0).unwrap();
}

#[test]
fn when_all_is_taken_down_nothing_is_left() {
    let mut bench = Bench::new();
    bench.table(1);
    let meter = MeterSet {
        id: 4,
        flags: CREATE,
        unit: MeterUnit::PACKETS,
        rate: 1,
        burst: 1,
        mtu: 1,
    };
    bench.engine.set_meter(&meter, 0).unwrap();
    let verdicts = [FlowVerdict::PIPE.0, FlowVerdict::GOTO.0];
    let metered = FlowAction {
        operands: [0, 0, 1, 0],
        argument: 4,
        ..action(Kind::METER, verdicts, &[])
    };
    let metered = FlowAction {
        flags: action_flags::ARGUMENT,
        ..metered
    };
    bench
        .engine
        .set_action_template(0, &[from_rule(Kind::COUNT), metered])
        .unwrap();
    bench.engine.set_match_template(0, &[], &[]).unwrap();
    for rule in 0..100 {
        let request = FlowRequest {
            rule,
            priority: rule,
            ..FlowRequest::ZERO
        };
        let arguments = [rule.to_le_bytes(), 4u32.to_le_bytes()].concat();
        bench.engine.add_rule(&request, &[], &arguments).unwrap();
    }
    let used = |bench: &Bench, kind| bench.engine.usage(kind).unwrap().used;
    assert_eq!(used(&bench, FlowObject::RULE), 100);
    assert_eq!(used(&bench, FlowObject::COUNTER), 100);
    assert!(bench.engine.destroy_meter(4).is_err());
    assert!(bench.engine.destroy_match_template(0).is_err());
    for rule in (0..100).rev() {
        bench.engine.delete_rule(rule).unwrap();
    }
    assert_eq!(used(&bench, FlowObject::COUNTER), 0);
    bench.engine.destroy_meter(4).unwrap();
    bench.engine.destroy_match_template(0).unwrap();
    bench.engine.destroy_action_template(0).unwrap();
    bench.bind(1, FlowDirection::INGRESS, NO_TABLE);
    bench.engine.destroy_table(0).unwrap();
    assert!(!bench.engine.is_empty());
    bench.engine.destroy_table(1).unwrap();
    assert!(bench.engine.is_empty());
    assert_eq!(
        bench.engine.usage(FlowObject::RULE).unwrap().high_water,
        100
    );
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut bench = Bench::new();
    let rule = bench.rule(0, 5, &[count(1), plain(Kind::DROP)]);
    let before = format!(
        "{:?}",
        FlowObject::ALL
            .iter()
            .map(|kind| bench.engine.usage(*kind))
            .collect::<Vec<_>>()
    );
    let good = FlowRequest {
        rule: 77,
        ..FlowRequest::ZERO
    };
    let wrong = [
        FlowRequest { rule, ..good },
        FlowRequest {
            rule: u32::MAX,
            ..good
        },
        FlowRequest { table: 9, ..good },
        FlowRequest {
            match_template: 9,
            ..good
        },
        FlowRequest {
            action_template: 9,
            ..good
        },
    ];
    for request in wrong {
        assert!(bench.engine.add_rule(&request, &[], &[]).is_err());
    }
    assert!(bench.engine.add_rule(&good, &[1], &[]).is_err());
    assert!(bench.engine.add_rule(&good, &[], &[1, 2, 3, 4]).is_err());
    assert!(
        bench
            .engine
            .update_rule(
                &FlowRequest {
                    rule,
                    action_template: 9,
                    ..good
                },
                &[]
            )
            .is_err()
    );
    assert!(bench.engine.update_rule(&good, &[]).is_err());
    assert!(bench.engine.delete_rule(78).is_err());
    let after = format!(
        "{:?}",
        FlowObject::ALL
            .iter()
            .map(|kind| bench.engine.usage(*kind))
            .collect::<Vec<_>>()
    );
    assert_eq!(before, after);
    assert_eq!(bench.ways(&udp()), []);
    assert_eq!(bench.counted(1).0, 1);
    bench.engine.add_rule(&good, &[], &[]).unwrap();
}
