// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What becomes of objects with the mode, with resets and with halts.

use super::{Bench, KEY, OK, PF, Why, rule};
use crate::mock::{Driver, FlowQueue};
use oxnic_abi::command::{Opcode, Qualifier, Status};
use oxnic_abi::doorbell::DoorbellKind;
use oxnic_abi::eswitch::EswitchMode;
use oxnic_abi::flow::encap::EncapSet;
use oxnic_abi::flow::flow_set;
use oxnic_abi::flow::meter::MeterSet;
use oxnic_abi::flow::port::{FlowDirection, PortTable};
use oxnic_abi::flow::table::{NO_TABLE, TableSet};
use oxnic_abi::flow::tunnel::{TunnelKind, TunnelPort, tunnel_flags};
use oxnic_abi::queue::QueueId;
use oxnic_model::host::{Function, NicCore};

const BUSY: Why = (Status::EBUSY, Qualifier::STATE, 24);

/// One object of each kind, and how it goes again.
type Maker = (&'static str, fn(&mut Bench), fn(&mut Bench));

fn makers() -> Vec<Maker> {
    fn destroy(bench: &mut Bench, opcode: Opcode) {
        assert_eq!(bench.destroy(opcode, 1), OK);
    }
    fn tunnel(bench: &mut Bench, flags: u16) {
        let set = TunnelPort {
            kind: TunnelKind::GENEVE,
            port: [0x17, 0xc1],
            flags,
        };
        assert_eq!(bench.set(Opcode::TUNNEL_PORT, set.to_words()), OK);
    }
    vec![
        (
            "table",
            |b| b.make_table(1),
            |b| destroy(b, Opcode::TABLE_DESTROY),
        ),
        (
            "match template",
            |b| assert_eq!(b.match_template(1, &[]), OK),
            |b| destroy(b, Opcode::MATCH_TEMPLATE_DESTROY),
        ),
        (
            "action template",
            |b| assert_eq!(b.action_template(1, &[]), OK),
            |b| destroy(b, Opcode::ACTION_TEMPLATE_DESTROY),
        ),
        (
            "encap",
            |b| {
                let set = EncapSet {
                    id: 1,
                    flags: flow_set::CREATE,
                    kind: TunnelKind::VXLAN,
                    ..EncapSet::ZERO
                };
                assert_eq!(b.send(Opcode::ENCAP_SET, set.to_words(), &[]), OK);
            },
            |b| destroy(b, Opcode::ENCAP_DESTROY),
        ),
        (
            "meter",
            |b| {
                let set = MeterSet {
                    id: 1,
                    flags: flow_set::CREATE,
                    ..MeterSet::ZERO
                };
                assert_eq!(b.set(Opcode::METER_SET, set.to_words()), OK);
            },
            |b| destroy(b, Opcode::METER_DESTROY),
        ),
        (
            "tunnel port",
            |b| tunnel(b, tunnel_flags::ON),
            |b| tunnel(b, 0),
        ),
        (
            "counter memory",
            |b| {
                let page = b.dut.host.allocate(4096);
                assert_eq!(b.counter_memory(0, 10, &[page]), OK);
            },
            |b| assert_eq!(b.counter_memory(0, 10, &[0]), OK),
        ),
        (
            "flow queue",
            |b| {
                FlowQueue::new(&mut b.dut, &mut b.pf, 1, 20, 5);
            },
            |b| {
                let id = QueueId { id: 1 }.to_words();
                assert_eq!(b.set(Opcode::FLOW_QUEUE_DESTROY, id), OK);
            },
        ),
    ]
}

#[test]
fn the_mode_becomes_legacy_only_when_every_object_is_gone() {
    for (name, make, destroy) in makers() {
        let mut bench = Bench::new();
        make(&mut bench);
        assert_eq!(bench.mode(EswitchMode::LEGACY), BUSY, "{name}");
        assert_eq!(bench.mode(EswitchMode::SWITCHDEV_INACTIVE), OK, "{name}");
        assert_eq!(bench.mode(EswitchMode::LEGACY), BUSY, "{name}");
        destroy(&mut bench);
        assert_eq!(bench.mode(EswitchMode::LEGACY), OK, "{name}");
    }
}

#[test]
fn nothing_is_made_in_legacy_mode() {
    let mut bench = Bench::legacy();
    let busy = (Status::EBUSY, Qualifier::STATE, 0);
    let set = TableSet {
        flags: flow_set::CREATE,
        ..TableSet::ZERO
    };
    assert_eq!(bench.table(set), busy);
    assert_eq!(bench.match_template(1, &[]), busy);
    assert_eq!(bench.action_template(1, &[]), busy);
    assert_eq!(bench.counter_memory(0, 10, &[4096]), busy);
    for opcode in [
        Opcode::PORT_TABLE,
        Opcode::ENCAP_SET,
        Opcode::METER_SET,
        Opcode::TUNNEL_PORT,
        Opcode::FLOW_QUEUE_CREATE,
    ] {
        assert_eq!(bench.set(opcode, [0; 5]), busy, "{}", opcode.text());
    }
    assert!(bench.used().iter().all(|(_, used)| *used == 0));
}

/// All objects, bound and named.
fn everything() -> Bench {
    let mut bench = Bench::new();
    let mut queue = bench.with_rules();
    let good = FlowQueue::bytes(rule(7), &KEY, &[5, 0, 0, 0]);
    assert_eq!(queue.raw(&mut bench.dut, &good), OK);
    let wire = {
        let ports = bench.pf.submission(Opcode::ESWITCH_PORTS);
        let words: [u64; 8] = bench.pf.query(&mut bench.dut, ports).unwrap();
        words[0] as u16
    };
    let bind = PortTable {
        port: wire,
        direction: FlowDirection::EGRESS,
        table: 1,
    };
    assert_eq!(bench.set(Opcode::PORT_TABLE, bind.to_words()), OK);
    let page = bench.dut.host.allocate(4096);
    assert_eq!(bench.counter_memory(0, 10, &[page]), OK);
    bench
}

#[test]
fn resets_of_the_pf_forget_everything() {
    type Reset = fn(&mut Bench);
    let resets: [(&str, Reset); 3] = [
        ("reset", |b| b.dut.reset(PF)),
        ("flr", |b| b.dut.function_level_reset(PF)),
        ("halt", |b| {
            b.dut.control(serde_json::json!({"cmd": "halt"}));
        }),
    ];
    for (name, reset) in resets {
        let mut bench = everything();
        let before = bench.used();
        assert!(before.iter().filter(|(_, used)| *used != 0).count() >= 5);
        bench.dut.host.writable = Some(Vec::new());
        reset(&mut bench);
        // Neither results nor counters are written any more.
        bench.dut.ring(PF, DoorbellKind::FLOW, 0, 9);
        bench.dut.advance(100_000_000);
        bench.dut.host.writable = None;
        bench.dut.nic.set_bus_master(PF, true);
        bench.pf = Driver::new(&mut bench.dut, PF);
        assert!(bench.used().iter().all(|(_, used)| *used == 0), "{name}");
        assert_eq!(bench.mode(EswitchMode::LEGACY), OK, "{name}");
        assert_eq!(bench.mode(EswitchMode::SWITCHDEV), OK, "{name}");
        bench.with_rules();
    }
}

#[test]
fn vfs_that_go_leave_rules_and_bindings() {
    let mut bench = everything();
    bench.pf.enable_vfs(&mut bench.dut, 2);
    Driver::new(&mut bench.dut, Function::Vf(1));
    let ports = bench.pf.submission(Opcode::ESWITCH_PORTS);
    let words: [u64; 12] = bench.pf.query(&mut bench.dut, ports).unwrap();
    let port = words[10] as u16;
    let bind = |table| {
        PortTable {
            port,
            direction: FlowDirection::INGRESS,
            table,
        }
        .to_words()
    };
    assert_eq!(bench.set(Opcode::PORT_TABLE, bind(1)), OK);
    let before = bench.used();
    bench.dut.nic.set_vfs_enabled(&mut bench.dut.host, 0);
    let range = oxnic_abi::vf::VfRange { first: 0, count: 2 };
    assert_eq!(bench.set(Opcode::VF_DISABLE, range.to_words()), OK);
    assert_eq!(bench.used(), before);
    assert_eq!(bench.set(Opcode::PORT_TABLE, bind(NO_TABLE)), OK);
}

#[test]
fn doorbells_of_flow_queues_are_the_pfs() {
    let mut bench = everything();
    bench.pf.enable_vfs(&mut bench.dut, 1);
    let _vf = Driver::new(&mut bench.dut, Function::Vf(0));
    bench.dut.ring(Function::Vf(0), DoorbellKind::FLOW, 0, 2);
    bench.dut.ring(PF, DoorbellKind::FLOW, 99, 2);
    bench.dut.settle();
    let stats = bench.dut.control(serde_json::json!({"cmd": "stats"}));
    let functions = stats["functions"].as_object().unwrap();
    let strays: Vec<u64> = functions
        .values()
        .map(|function| function["stray_doorbells"].as_u64().unwrap())
        .collect();
    assert_eq!(strays, [1, 1]);
    assert!(
        bench
            .pf
            .events(&mut bench.dut)
            .iter()
            .all(|event| { event.kind != oxnic_abi::event::EventKind::FLOW_ERROR })
    );
}
