// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! How fast the flow engine is by itself: `cargo run --release --example flow_bench`. Prints figures, judges nothing. Rates are by
//! the time that the processor took, so that what else it does meanwhile does not count.
//!
//! Rules match addresses, protocol and ports of TCP over IPv4 under one mask, count, set an address, mend checksums and redirect; each
//! has a counter of its own. The last figures are of rules under 16 masks.

use oxnic_abi::flow::action::{
    FlowAction, FlowActionKind as Kind, FlowEdit, FlowHeader, NO_ENCAP, action_flags, flow_checksum,
};
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::flow_set::CREATE;
use oxnic_abi::flow::port::{FlowDirection, PortTable};
use oxnic_abi::flow::request::FlowRequest;
use oxnic_abi::flow::table::TableSet;
use oxnic_abi::flow::template::{ConditionKind, FlowCondition};
use oxnic_model::nic::flow::run::World;
use oxnic_model::nic::flow::{Engine, Outcome};
use rustix::time::{ClockId, clock_gettime};

/// Seconds that the processor took for this process.
fn seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Resident memory in bytes.
fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0.0) * 4096.0
}

fn condition(field: FlowField, mask: &[u8]) -> FlowCondition {
    let mut condition = FlowCondition {
        field,
        kind: ConditionKind::MASK,
        ..FlowCondition::ZERO
    };
    condition.mask[..mask.len()].copy_from_slice(mask);
    condition
}

/// An engine whose templates 0 to `masks` - 1 differ in the last bits of the source address.
fn engine(masks: u32) -> Engine {
    let mut engine = Engine::default();
    let table = TableSet {
        flags: CREATE,
        ..TableSet::ZERO
    };
    engine.set_table(&table).unwrap();
    let bind = PortTable {
        port: 1,
        direction: FlowDirection::INGRESS,
        table: 0,
    };
    engine.set_port_table(&bind).unwrap();
    for mask in 0..masks {
        let source = (!0u32 << mask).to_be_bytes();
        let conditions = [
            condition(FlowField::ETH_TYPE, &[0xff; 2]),
            condition(FlowField::FAMILY, &[0xff]),
            condition(FlowField::IPV4_SRC, &source),
            condition(FlowField::IPV4_DST, &[0xff; 4]),
            condition(FlowField::IP_PROTO, &[0xff]),
            condition(FlowField::SRC_PORT, &[0xff; 2]),
            condition(FlowField::DST_PORT, &[0xff; 2]),
        ];
        engine.set_match_template(mask, &conditions, &[]).unwrap();
    }
    let from_rule = |kind, argument| FlowAction {
        kind,
        flags: action_flags::ARGUMENT,
        argument,
        ..FlowAction::ZERO
    };
    let actions = [
        from_rule(Kind::COUNT, 0),
        FlowAction {
            choice: [FlowHeader::IPV4.0, FlowEdit::SET.0],
            operands: [16, 0, 0, 0],
            ..from_rule(Kind::EDIT, 4)
        },
        FlowAction {
            kind: Kind::CSUM,
            operands: [flow_checksum::IPV4 | flow_checksum::TCP, 0, 0, 0],
            ..FlowAction::ZERO
        },
        from_rule(Kind::REDIRECT, 8),
    ];
    engine.set_action_template(0, &actions).unwrap();
    engine
}

/// Source address of the rule or frame of that number, destination port.
fn flow(number: u32) -> (u32, u16) {
    (
        0x0a00_0000 | (number >> 12 << 16),
        1024 + (number & 0xfff) as u16,
    )
}

fn add(engine: &mut Engine, rule: u32, mask: u32) {
    let (source, port) = flow(rule);
    let mut key = vec![8, 0, 4];
    key.extend(source.to_be_bytes());
    key.extend([192, 0, 2, 1, 6, 0, 80]);
    key.extend(port.to_be_bytes());
    let mut arguments = Vec::new();
    for word in [rule % 1_048_576, rule, 2, NO_ENCAP] {
        arguments.extend(word.to_le_bytes());
    }
    let request = FlowRequest {
        rule,
        priority: (1 << 16) | mask,
        match_template: mask,
        cookie: rule,
        ..FlowRequest::ZERO
    };
    engine.add_rule(&request, &key, &arguments).unwrap();
}

fn frame(number: u32) -> Vec<u8> {
    let (source, port) = flow(number);
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0, 0, 86, 0, 1, 0, 0, 64, 6, 0, 0]);
    frame.extend(source.to_be_bytes());
    frame.extend([192, 0, 2, 1, 0, 80]);
    frame.extend(port.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 1, 0, 0, 0, 0]);
    frame.resize(100, 7);
    frame
}

fn packets(engine: &mut Engine, rules: u32) -> f64 {
    let frames: Vec<Vec<u8>> = (0..1024u32)
        .map(|number| frame(number.wrapping_mul(0x9e37_79b1) % rules))
        .collect();
    let world = World {
        now: 0,
        uptime: 0,
        is_up: &|_| true,
    };
    let mut outcome = Outcome::default();
    let (start, mut count) = (seconds(), 0u64);
    while seconds() - start < 0.2 {
        for frame in &frames {
            engine.run(&world, 1, frame, &mut outcome);
            assert_eq!(outcome.sent.len(), 1);
        }
        count += frames.len() as u64;
    }
    assert_eq!(engine.stats().hits, engine.stats().lookups);
    count as f64 / (seconds() - start)
}

fn measure(rules: u32, masks: u32, before: f64) {
    let mut engine = engine(masks);
    let start = seconds();
    for rule in 0..rules {
        add(&mut engine, rule, rule % masks);
    }
    let added = f64::from(rules) / (seconds() - start);
    let bytes = (resident() - before) / f64::from(rules);
    let rate = packets(&mut engine, rules);
    let start = seconds();
    for rule in 0..rules {
        engine.delete_rule(rule).unwrap();
    }
    let deleted = f64::from(rules) / (seconds() - start);
    println!(
        "{rules:>8} rules, {masks:>2} masks: {:>6.0} k added/s, {:>6.0} k deleted/s, {bytes:>5.0} bytes/rule, {:>5.0} k packets/s",
        added / 1e3,
        deleted / 1e3,
        rate / 1e3
    );
}

fn main() {
    // What was freed is used again, so that what there was at the start is what all are compared with.
    let before = resident();
    for (rules, masks) in [
        (1, 1),
        (1000, 1),
        (1_000_000, 1),
        (2_000_000, 1),
        (16, 16),
        (1_000_000, 16),
    ] {
        measure(rules, masks, before);
    }
}
