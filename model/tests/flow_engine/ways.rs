// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The ways of frames: through tables, into ports, back to where they came from.

use crate::bench::{
    Bench, action, condition, count, goto, mirror, out, plain, redirect, table, tagged, udp,
};
use oxnic_abi::flow::action::{FlowActionKind as Kind, FlowEdit, FlowHeader};
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::port::FlowDirection;
use oxnic_abi::flow::table::{TableMiss, TableView};
use oxnic_model::nic::flow::{To, Up};

const EGRESS: FlowDirection = FlowDirection::EGRESS;
const INGRESS: FlowDirection = FlowDirection::INGRESS;

/// Changes the destination address.
fn change() -> oxnic_abi::flow::action::FlowAction {
    action(
        Kind::EDIT,
        [FlowHeader::ETHERNET.0, FlowEdit::SET.0],
        &[0, 0, 0x0606_0606],
    )
}

fn changed(frame: &[u8]) -> Vec<u8> {
    [&[6; 4], &frame[4..]].concat()
}

#[test]
fn a_port_without_a_table_is_not_asked() {
    let mut bench = Bench::new();
    bench.rule(0, 0, &[plain(Kind::DROP)]);
    assert!(!bench.engine.has_table(2));
    assert_eq!(bench.ways(&udp()), []);
    bench.bind(1, INGRESS, oxnic_abi::flow::table::NO_TABLE);
    assert!(!bench.engine.has_table(1));
}

#[test]
fn the_lowest_priority_wins_within_and_across_templates() {
    let mut bench = Bench::new();
    let by_type = [condition(FlowField::ETH_TYPE, &[0xff, 0xff])];
    let by_port = [condition(FlowField::DST_PORT, &[0xff, 0])];
    let mut rule = |priority, conditions: &[_], key: &[u8], port| {
        bench
            .try_rule(0, priority, conditions, key, &[out(port)])
            .unwrap()
    };
    rule(0x5_0000, &[], &[], 5);
    let three = rule(0x3_0000, &by_type, &[8, 0], 3);
    rule(0x2_0000, &by_type, &[0x86, 0xdd], 2);
    rule(0x4_0000, &by_type, &[8, 0], 4);
    let one = rule(0x1_0005, &by_port, &[0x20, 0], 6);
    assert_eq!(bench.ways(&udp()), [To::Out(6)]);
    bench.engine.delete_rule(one).unwrap();
    assert_eq!(bench.ways(&udp()), [To::Out(3)]);
    bench.engine.delete_rule(three).unwrap();
    assert_eq!(bench.ways(&udp()), [To::Out(4)]);
    let arp = [&udp()[..12], &[8, 6], &[0; 46]].concat();
    assert_eq!(bench.ways(&arp), [To::Out(5)]);
}

#[test]
fn equal_rules_stand_together() {
    let mut bench = Bench::new();
    let conditions = [condition(FlowField::ETH_TYPE, &[0xff, 0xff])];
    bench
        .engine
        .set_match_template(9, &conditions, &[])
        .unwrap();
    bench.engine.set_action_template(8, &[out(8)]).unwrap();
    bench.engine.set_action_template(9, &[out(9)]).unwrap();
    let request = |rule, action_template| oxnic_abi::flow::request::FlowRequest {
        rule,
        priority: 7,
        match_template: 9,
        action_template,
        ..oxnic_abi::flow::request::FlowRequest::ZERO
    };
    bench
        .engine
        .add_rule(&request(100, 8), &[8, 0], &[])
        .unwrap();
    bench
        .engine
        .add_rule(&request(50, 9), &[8, 0], &[])
        .unwrap();
    assert_eq!(bench.ways(&udp()).len(), 1);
    bench.engine.delete_rule(100).unwrap();
    assert_eq!(bench.ways(&udp()), [To::Out(9)]);
    bench.engine.add_rule(&request(3, 8), &[8, 0], &[]).unwrap();
    bench.engine.delete_rule(50).unwrap();
    assert_eq!(bench.ways(&udp()), [To::Out(8)]);
    bench.engine.delete_rule(3).unwrap();
    assert_eq!(bench.ways(&udp()), [To::Up(1, Up::Miss(1000))]);
    assert!(bench.engine.destroy_match_template(9).is_ok());
}

#[test]
fn continue_leaves_out_the_rest_of_the_class() {
    let mut bench = Bench::new();
    bench.rule(0, 0x1_0000, &[count(1), plain(Kind::CONTINUE)]);
    bench.rule(0, 0x1_0001, &[out(2)]);
    bench.rule(0, 0x2_0000, &[count(2), plain(Kind::CONTINUE)]);
    let last = bench.rule(0, 0xffff_0000, &[count(3), plain(Kind::CONTINUE)]);
    assert_eq!(bench.ways(&udp()), [To::Up(1, Up::Miss(1000))]);
    assert_eq!([1, 2, 3].map(|id| bench.counted(id).0), [1, 1, 1]);
    bench.engine.delete_rule(last).unwrap();
    bench.rule(0, 0x3_0000, &[out(3)]);
    assert_eq!(bench.ways(&udp()), [To::Out(3)]);
}

#[test]
fn misses_go_where_tables_say() {
    let mut bench = Bench::new();
    bench.table(1);
    let miss = |id, miss, to| table(id, TableView::PACKET, miss, to, 0);
    bench
        .engine
        .set_table(&miss(2, TableMiss::TABLE, 1))
        .unwrap();
    bench
        .engine
        .set_table(&miss(3, TableMiss::DROP, 0))
        .unwrap();
    bench
        .engine
        .set_table(&miss(4, TableMiss::REWIND, 0))
        .unwrap();
    let rule = bench.rule(0, 0, &[count(1), change(), goto(2)]);
    assert_eq!(
        bench.run(&udp()),
        [(To::Up(1, Up::Miss(1001)), changed(&udp()))]
    );
    bench.engine.delete_rule(rule).unwrap();
    let rule = bench.rule(0, 0, &[count(2), change(), goto(3)]);
    assert_eq!(bench.run(&udp()), []);
    assert_eq!(bench.engine.stats().dropped_miss, 1);
    bench.engine.delete_rule(rule).unwrap();
    // As it came, and nothing was counted; the copy stays.
    bench.rule(0, 0, &[count(3), mirror(2, EGRESS), change(), goto(4)]);
    let frame = tagged(&udp(), 0x8100, 3);
    let sent = bench.run(&frame);
    assert_eq!(
        sent,
        [(To::Out(2), frame.clone()), (To::Up(1, Up::Plain), frame)]
    );
    assert_eq!([1, 2, 3].map(|id| bench.counted(id).0), [1, 1, 0]);
}

#[test]
fn misses_in_circles_end() {
    let mut bench = Bench::new();
    bench.table(1);
    let set = |id, to| oxnic_abi::flow::table::TableSet {
        flags: 0,
        ..table(id, TableView::PACKET, TableMiss::TABLE, to, 0)
    };
    bench.engine.set_table(&set(0, 1)).unwrap();
    bench.engine.set_table(&set(1, 0)).unwrap();
    assert_eq!(bench.ways(&udp()), []);
    let stats = bench.engine.stats();
    assert_eq!((stats.dropped_loop, stats.lookups), (1, 17));
}

#[test]
fn rewind_is_an_action_too() {
    let mut bench = Bench::new();
    bench.rule(0, 0, &[count(1), change(), plain(Kind::REWIND)]);
    assert_eq!(bench.run(&udp()), [(To::Up(1, Up::Plain), udp())]);
    assert_eq!(bench.counted(1), (0, 0));
}

#[test]
fn an_egress_table_sees_what_rules_send_there() {
    let mut bench = Bench::new();
    bench.table(7);
    bench.bind(2, EGRESS, 7);
    bench.rule(0, 0, &[change(), out(2)]);
    let conditions = [condition(FlowField::INGRESS_PORT, &[0xff; 4])];
    bench
        .try_rule(
            7,
            0,
            &conditions,
            &[0, 0, 0, 2],
            &[count(1), plain(Kind::TRAP)],
        )
        .unwrap();
    // With the Ethernet header, without the tag.
    let frame = tagged(&udp(), 0x8100, 3);
    let up = To::Up(2, Up::Rule(2));
    assert_eq!(bench.run(&frame), [(up, changed(&frame))]);
    assert_eq!(bench.counted(1), (1, 60));
    bench.engine.delete_rule(1).unwrap();
    assert_eq!(bench.run(&frame), [(To::Out(2), changed(&frame))]);
    bench.rule(7, 0, &[plain(Kind::ACCEPT)]);
    assert_eq!(bench.run(&frame), [(To::Out(2), changed(&frame))]);
    // Out of the same port again is a loop, in at it is not.
    bench.rule(7, 0x1_0000, &[out(2)]);
    bench.engine.delete_rule(2).unwrap();
    assert_eq!(bench.ways(&frame), []);
    assert_eq!(bench.engine.stats().dropped_port, 1);
}

#[test]
fn ingress_is_as_if_it_came_in_there() {
    let mut bench = Bench::new();
    bench.table(7);
    bench.bind(2, INGRESS, 7);
    bench.rule(0, 0, &[change(), redirect(2, INGRESS)]);
    bench.rule(7, 0, &[count(1), out(3)]);
    assert_eq!(bench.run(&udp()), [(To::Out(3), changed(&udp()))]);
    assert_eq!(bench.outcome.sent[0].source, 2);
    assert_eq!(bench.counted(1), (1, 46));
    bench.engine.delete_rule(1).unwrap();
    assert_eq!(bench.ways(&udp()), [To::Up(2, Up::Miss(1007))]);
    bench.bind(2, INGRESS, oxnic_abi::flow::table::NO_TABLE);
    assert_eq!(bench.ways(&udp()), [To::Up(2, Up::Plain)]);
}

#[test]
fn a_port_that_is_down_takes_nothing() {
    let mut bench = Bench::new();
    bench.rule(
        0,
        0,
        &[
            mirror(100, EGRESS),
            mirror(1, INGRESS),
            mirror(2, EGRESS),
            out(200),
        ],
    );
    assert_eq!(bench.ways(&udp()), [To::Out(2)]);
    assert_eq!(bench.engine.stats().dropped_port, 3);
}

#[test]
fn frames_that_go_round_between_ports_end() {
    let mut bench = Bench::new();
    bench.table(7);
    bench.bind(2, INGRESS, 7);
    bench.rule(0, 0, &[count(1), redirect(2, INGRESS)]);
    bench.rule(7, 0, &[count(2), redirect(1, INGRESS)]);
    assert_eq!(bench.ways(&udp()), []);
    assert_eq!([1, 2].map(|id| bench.counted(id).0), [5, 4]);
    assert_eq!(bench.engine.stats().dropped_loop, 1);
}

#[test]
fn a_frame_whose_tag_is_cut_off_is_not_seen() {
    let mut bench = Bench::new();
    bench.rule(0, 0, &[plain(Kind::DROP)]);
    let cut = [&udp()[..12], &[0x81, 0, 0, 5, 8, 0, 1]].concat();
    assert_eq!(bench.run(&cut), [(To::Up(1, Up::Plain), cut)]);
    assert_eq!(bench.engine.stats().lookups, 0);
    for length in 0..14 {
        assert_eq!(bench.ways(&udp()[..length]), [To::Up(1, Up::Plain)]);
    }
}
