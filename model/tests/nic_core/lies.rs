// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Chaos: what is asked to go wrong does, then and only then.

use crate::mock::{Device, Driver, Port, frame};
use oxnic_abi::command::{Opcode, Qualifier, Status, Submission};
use oxnic_abi::queue::CqCreate;
use oxnic_abi::regs::device;
use oxnic_model::host::Function;
use serde_json::json;

const PF: Function = Function::Pf;
const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];

fn chaos(dut: &mut Device, spec: &str) {
    dut.control(json!({"cmd": "chaos", "spec": spec}));
}

#[test]
fn the_kth_command_fails_as_injected_and_changes_nothing() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let ring = dut.host.allocate(1 << 16);
    let create = CqCreate {
        vector: 1,
        log2: 5,
        entry: 16,
        address: ring,
        ..CqCreate::ZERO
    };
    chaos(&mut dut, "nic.fail-command=2");
    driver.set_ok(&mut dut, Opcode::NOP, 0, [0; 5]);
    let failed = driver.set(&mut dut, Opcode::CQ_CREATE, 0, create.to_words());
    assert_eq!(
        (failed.status, failed.qualifier),
        (Status::EIO, Qualifier::INJECTED)
    );
    driver.set_ok(&mut dut, Opcode::CQ_CREATE, 0, create.to_words());
    chaos(&mut dut, "nic.fail-command=1+");
    chaos(&mut dut, "");
    driver.set_ok(&mut dut, Opcode::NOP, 0, [0; 5]);
    chaos(&mut dut, "off,nic.fail-allocation=1");
    let create = CqCreate {
        id: 1,
        slot: 1,
        ..create
    };
    let failed = driver.set(&mut dut, Opcode::CQ_CREATE, 0, create.to_words());
    assert_eq!(
        (failed.status, failed.qualifier),
        (Status::ENOSPC, Qualifier::INJECTED)
    );
    driver.set_ok(&mut dut, Opcode::CQ_CREATE, 0, create.to_words());
}

#[test]
fn commands_can_be_left_without_an_answer() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    chaos(&mut dut, "nic.command-silent=1");
    driver.submit(
        &mut dut,
        &Submission {
            opcode: Opcode::NOP,
            ..Submission::ZERO
        }
        .to_words(),
    );
    dut.settle();
    assert_eq!(driver.completion(&mut dut), None);
    driver.set_ok(&mut dut, Opcode::NOP, 0, [0; 5]);
    chaos(&mut dut, "nic.command-id=1");
    driver.submit(
        &mut dut,
        &Submission {
            opcode: Opcode::NOP,
            ..Submission::ZERO
        }
        .to_words(),
    );
    dut.settle();
    assert_ne!(driver.completion(&mut dut).unwrap().id, 0);
}

#[test]
fn completions_lie_in_the_field_that_was_asked_for() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let honest = |dut: &mut Device, port: &mut Port| {
        dut.receive(0, &frame(port.mac, PEER, 100));
        dut.host
            .words::<4>(port.rx.completions + u64::from(port.rx.seen & 255) * 32)
    };
    let right = honest(&mut dut, &mut port);
    for spec in [
        "rx-length",
        "rx-buffer",
        "rx-queue",
        "rx-end",
        "rx-flags",
        "rx-generation",
    ] {
        let mut port = Port::new(&mut dut, PF);
        chaos(&mut dut, &format!("nic.off,nic.seed=7,nic.{spec}=1"));
        let lie = honest(&mut dut, &mut port);
        assert_ne!(lie, right, "{spec}");
        let hits = dut.control(json!({"cmd": "stats"}))["chaos_hits"].as_u64();
        assert!(hits > Some(0));
    }
    let mut port = Port::new(&mut dut, PF);
    chaos(&mut dut, "nic.off,nic.tx-head=1");
    port.tx.queue(
        &mut dut,
        &frame(PEER, port.mac, 60),
        &[],
        None,
        oxnic_abi::ring::TxData::ZERO,
    );
    dut.ring(PF, oxnic_abi::doorbell::DoorbellKind::TX, 0, 1);
    dut.settle();
    let words = dut.host.words::<2>(port.tx.completions);
    assert_ne!(words[1] as u16, 1);
}

#[test]
fn the_operator_sees_where_rings_stand() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    port.tx.send(&mut dut, &frame(PEER, port.mac, 64));
    chaos(&mut dut, "nic.tx-silent=1");
    port.tx.queue(
        &mut dut,
        &frame(PEER, port.mac, 64),
        &[],
        None,
        oxnic_abi::ring::TxData::ZERO,
    );
    dut.ring(PF, oxnic_abi::doorbell::DoorbellKind::TX, 0, 2);
    dut.settle();
    let rings = dut.control(json!({"cmd": "rings", "function": 0}));
    let tx = json!({"producer": 2, "consumer": 2, "listed": false, "stopped": false});
    assert_eq!(rings["tx"]["0"], tx);
    let produced = rings["completion"].as_object().into_iter().flatten();
    assert_eq!(
        produced.map(|(_, cq)| cq["producer"].as_u64()).max(),
        Some(Some(1))
    );
}

#[test]
fn interrupts_and_registers_can_fail() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    dut.host.take_interrupts();
    chaos(&mut dut, "nic.interrupt-lost=1,nic.register-ones=2");
    driver.set_ok(&mut dut, Opcode::NOP, 0, [0; 5]);
    assert!(dut.host.take_interrupts().is_empty());
    driver.set_ok(&mut dut, Opcode::NOP, 0, [0; 5]);
    assert_eq!(dut.host.take_interrupts().len(), 1);
    assert_ne!(dut.read(PF, device::STATUS), u32::MAX);
    assert_eq!(dut.read(PF, device::STATUS), u32::MAX);
    assert_ne!(dut.read(PF, device::STATUS), u32::MAX);
}

#[test]
fn wrong_requests_are_refused_with_a_reason() {
    let mut dut = Device::new(1, 0);
    let mut ask = |request| dut.nic.control(&mut dut.host, &request);
    use oxnic_model::host::NicCore;
    assert!(ask(json!({"cmd": "unknown"})).is_none());
    assert!(ask(json!({"nothing": 1})).is_none());
    for request in [
        json!({"cmd": "chaos"}),
        json!({"cmd": "chaos", "spec": "nic.nonsense=1"}),
        json!({"cmd": "halt", "function": 7}),
        json!({"cmd": "halt", "function": "pf"}),
        json!({"cmd": "halt", "reason": 70000}),
    ] {
        assert!(ask(request.clone()).unwrap().is_err(), "{request}");
    }
}
