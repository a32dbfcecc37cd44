// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The health block: what is acknowledged, and dumps.

use crate::mock::{Device, Driver, Port};
use oxnic_abi::command::Opcode;
use oxnic_abi::doorbell::DoorbellKind;
use oxnic_abi::dump::{
    DumpHeader, DumpLine, DumpQueue, DumpQueueKind, DumpRegister, DumpTrigger, SectionKind,
};
use oxnic_abi::regs::{DumpAction, DumpResult, Reason, device, health, status};
use oxnic_abi::sections;
use oxnic_abi::sensor::SensorEntry;
use oxnic_model::host::{Function, NicCore};
use serde_json::json;

const PF: Function = Function::Pf;
/// Where the reference device has the block.
const HEALTH: u32 = 0x200;

fn read(dut: &mut Device, function: Function, register: u32) -> u32 {
    dut.read(function, HEALTH + register)
}

fn act(dut: &mut Device, function: Function, action: DumpAction) -> DumpResult {
    dut.write(function, HEALTH + health::DUMP_CONTROL, action.0);
    DumpResult(read(dut, function, health::DUMP_RESULT))
}

/// Reads the dump that is held, in pieces of so many bytes.
fn fetch(dut: &mut Device, function: Function, piece: u32) -> Vec<u64> {
    let size = read(dut, function, health::DUMP_SIZE);
    let buffer = dut.host.allocate(piece as usize);
    dut.write64(function, HEALTH + health::DUMP_ADDRESS, buffer);
    dut.write(function, HEALTH + health::DUMP_LENGTH, piece);
    let mut words = Vec::new();
    for offset in (0..size).step_by(piece as usize) {
        dut.write(function, HEALTH + health::DUMP_OFFSET, offset);
        assert_eq!(act(dut, function, DumpAction::READ), DumpResult::DONE);
        for at in (0..u64::from(piece)).step_by(8) {
            words.extend(dut.host.words::<1>(buffer + at));
        }
    }
    words.truncate((size / 8) as usize);
    words
}

fn lines(words: &[u64]) -> Vec<String> {
    let (_, found) = sections::read(words).expect("a dump");
    found
        .filter(|section| section.kind == SectionKind::LOG)
        .flat_map(|section| section.entries::<{ DumpLine::WORDS }, DumpLine>())
        .map(|line| {
            String::from_utf8_lossy(&line.text)
                .trim_end_matches('\0')
                .to_string()
        })
        .collect()
}

fn queues(words: &[u64], kind: DumpQueueKind) -> Vec<DumpQueue> {
    let (_, found) = sections::read(words).expect("a dump");
    found
        .filter(|section| section.kind == SectionKind::QUEUES)
        .flat_map(|section| section.entries::<{ DumpQueue::WORDS }, DumpQueue>())
        .filter(|queue| queue.kind == kind)
        .collect()
}

#[test]
fn a_dump_shows_the_function_as_it_is() {
    let mut dut = Device::new(1, 0);
    let _port = Port::new(&mut dut, PF);
    assert_eq!(read(&mut dut, PF, health::DUMP_SIZE), 0);
    assert_eq!(act(&mut dut, PF, DumpAction::MAKE), DumpResult::DONE);
    let words = fetch(&mut dut, PF, 64);
    assert_eq!(words, fetch(&mut dut, PF, 4096), "in other pieces");
    let (header, mut found) = sections::read(&words).unwrap();
    assert_eq!(
        (header.length as usize, header.number),
        (words.len() * 8, 1)
    );
    assert_eq!(header.trigger, DumpTrigger::REQUEST);
    assert_eq!(header.status, dut.read(PF, device::STATUS));
    let registers = found.next().unwrap();
    assert_eq!(registers.kind, SectionKind::REGISTERS);
    let generation = registers
        .entries::<{ DumpRegister::WORDS }, DumpRegister>()
        .find(|register| register.offset == device::GENERATION);
    assert_eq!(generation.unwrap().value, header.generation);
    let receive = queues(&words, DumpQueueKind::RECEIVE);
    assert_eq!((receive.len(), receive[0].consumer), (1, 0));
    assert_eq!(queues(&words, DumpQueueKind::TRANSMIT).len(), 1);
    assert_eq!(queues(&words, DumpQueueKind::COMPLETION).len(), 2);
    assert_eq!(lines(&words), ["reset", "handshake accepted"]);
}

#[test]
fn what_halts_leaves_a_dump_of_what_was_there_which_a_reset_keeps() {
    let mut dut = Device::new(1, 1);
    let mut port = Port::new(&mut dut, PF);
    let vf = &Port::vfs(&mut dut, &mut port.driver, 1)[0];
    dut.control(json!({"cmd": "halt", "function": 1, "reason": 8}));
    let f = vf.driver.function;
    let halted = fetch(&mut dut, f, 4096);
    let (header, _) = sections::read(&halted).unwrap();
    assert_eq!(header.trigger, DumpTrigger::HALT);
    assert_eq!(Reason(header.reason as u16), Reason::INTERNAL);
    assert_ne!(header.status & status::HALTED, 0);
    assert_eq!(queues(&halted, DumpQueueKind::TRANSMIT).len(), 1);
    assert_eq!(lines(&halted).last().unwrap(), "halted: internal error");
    dut.reset(f);
    assert_eq!(read(&mut dut, f, health::DUMP_RESULT), 0);
    assert_eq!(fetch(&mut dut, f, 4096), halted);
    assert_eq!(act(&mut dut, f, DumpAction::DROP), DumpResult::DONE);
    assert_eq!(act(&mut dut, f, DumpAction::READ), DumpResult::MISSING);
    assert_eq!(read(&mut dut, f, health::DUMP_SIZE), 0);
    assert_eq!(read(&mut dut, f, health::DUMP_NUMBER), 1);
    assert_eq!(
        read(&mut dut, PF, health::DUMP_SIZE),
        0,
        "that was no other function's"
    );
}

#[test]
fn what_was_noted_and_measured_before_power_went_is_gone() {
    let mut dut = Device::new(1, 1);
    let mut port = Port::new(&mut dut, PF);
    Port::vfs(&mut dut, &mut port.driver, 1);
    for function in [PF, Function::Vf(0)] {
        assert_eq!(act(&mut dut, function, DumpAction::MAKE), DumpResult::DONE);
    }
    for value in [90_000, 50_000] {
        dut.control(json!({"cmd": "sensor", "index": 0, "value": value}));
    }
    let highest = |dut: &mut Device, driver: &mut Driver| {
        let query = driver.submission(Opcode::SENSORS);
        let words = driver.query::<20>(dut, query).unwrap();
        SensorEntry::from_words(words.first_chunk().unwrap()).highest
    };
    assert_eq!(highest(&mut dut, &mut port.driver), 90_000);
    dut.nic.function_reset(&mut dut.host, PF);
    dut.nic.power_on(&mut dut.host);
    for function in [PF, Function::Vf(0)] {
        assert_eq!(read(&mut dut, function, health::DUMP_SIZE), 0);
        assert_eq!(
            act(&mut dut, function, DumpAction::READ),
            DumpResult::BAD,
            "no address, no length"
        );
        dut.write(function, HEALTH + health::DUMP_LENGTH, 64);
        assert_eq!(
            act(&mut dut, function, DumpAction::READ),
            DumpResult::MISSING
        );
    }
    let mut driver = Driver::new(&mut dut, PF);
    assert_eq!(highest(&mut dut, &mut driver), 50_000);
    assert_eq!(act(&mut dut, PF, DumpAction::MAKE), DumpResult::DONE);
    let words = fetch(&mut dut, PF, 4096);
    assert_eq!(lines(&words), ["reset", "handshake accepted"]);
}

#[test]
fn a_wrong_request_changes_nothing_and_is_told() {
    let mut dut = Device::new(1, 0);
    let _driver = Driver::new(&mut dut, PF);
    let buffer = dut.host.allocate(4096);
    let mut ask = |address: u64, length: u32, offset: u32| {
        dut.write64(PF, HEALTH + health::DUMP_ADDRESS, address);
        dut.write(PF, HEALTH + health::DUMP_LENGTH, length);
        dut.write(PF, HEALTH + health::DUMP_OFFSET, offset);
        act(&mut dut, PF, DumpAction::READ)
    };
    assert_eq!(ask(buffer, 4096, 0), DumpResult::MISSING);
    for (address, length, offset) in [
        (buffer + 4, 64, 0),
        (buffer, 0, 0),
        (buffer, 12, 0),
        (buffer, 65544, 0),
        (buffer, 64, 4),
    ] {
        assert_eq!(ask(address, length, offset), DumpResult::BAD);
    }
    assert_eq!(act(&mut dut, PF, DumpAction(9)), DumpResult::BAD);
    assert_eq!(act(&mut dut, PF, DumpAction::MAKE), DumpResult::DONE);
    dut.write64(PF, HEALTH + health::DUMP_ADDRESS, 1 << 60);
    dut.write(PF, HEALTH + health::DUMP_LENGTH, 64);
    dut.write(PF, HEALTH + health::DUMP_OFFSET, 0);
    assert_eq!(act(&mut dut, PF, DumpAction::READ), DumpResult::DMA);
    // Beyond the end there are zeros.
    dut.host.write(buffer, &[0xee; 64]);
    dut.write64(PF, HEALTH + health::DUMP_ADDRESS, buffer);
    dut.write(PF, HEALTH + health::DUMP_OFFSET, 0xffff_fff8);
    assert_eq!(act(&mut dut, PF, DumpAction::READ), DumpResult::DONE);
    assert_eq!(dut.host.words::<8>(buffer), [0; 8]);
}

#[test]
fn acknowledging_all_errors_ends_the_severity_and_less_does_not() {
    let mut dut = Device::new(1, 0);
    let _port = Port::new(&mut dut, PF);
    dut.ring(PF, DoorbellKind::TX, 0, 0x7fff);
    dut.settle();
    let count = read(&mut dut, PF, health::COUNT);
    assert_eq!((read(&mut dut, PF, health::SEVERITY), count), (2, 1));
    dut.write(PF, HEALTH + health::ACKNOWLEDGE, count - 1);
    assert_eq!(read(&mut dut, PF, health::SEVERITY), 2);
    dut.write(PF, HEALTH + health::ACKNOWLEDGE, count);
    assert_eq!(read(&mut dut, PF, health::SEVERITY), 0);
    assert_eq!(read(&mut dut, PF, health::COUNT), count);
    dut.control(json!({"cmd": "halt", "function": 0}));
    dut.write(PF, HEALTH + health::ACKNOWLEDGE, count + 1);
    assert_eq!(
        read(&mut dut, PF, health::SEVERITY),
        3,
        "a halted function stays as bad as it is"
    );
}

#[test]
fn what_stands_still_is_seen_by_its_heartbeat_only_and_can_be_dumped() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    dut.host.now += 1_000_000_000;
    dut.control(json!({"cmd": "hang", "function": 0}));
    let before = dut.read(PF, device::HEARTBEAT);
    dut.host.now += 1_000_000_000;
    assert_eq!(dut.read(PF, device::HEARTBEAT), before);
    assert_ne!(dut.read(PF, device::STATUS) & status::ACCEPTED, 0);
    let nop = driver.submission(Opcode::NOP);
    driver.submit(&mut dut, &nop.to_words());
    dut.settle();
    assert!(driver.completion(&mut dut).is_none());
    assert_eq!(act(&mut dut, PF, DumpAction::MAKE), DumpResult::DONE);
    let words = fetch(&mut dut, PF, 4096);
    assert_eq!(lines(&words).last().unwrap(), "stands still");
    assert_eq!(
        DumpHeader::from_words(words.first_chunk().unwrap()).heartbeat,
        before
    );
    let _works = Driver::new(&mut dut, PF);
    assert_ne!(dut.read(PF, device::HEARTBEAT), before);
}

#[test]
fn what_is_broken_halts_at_each_handshake_until_it_is_mended() {
    let mut dut = Device::new(1, 0);
    let driver = Driver::new(&mut dut, PF);
    dut.control(json!({"cmd": "broken", "function": 0, "on": true}));
    for _ in 0..2 {
        dut.reset(PF);
        driver.handshake(&mut dut);
        assert_ne!(dut.read(PF, device::STATUS) & status::HALTED, 0);
        assert_eq!(dut.read(PF, device::REASON), u32::from(Reason::INTERNAL.0));
    }
    dut.control(json!({"cmd": "broken", "function": 0, "on": false}));
    let _works = Driver::new(&mut dut, PF);
}
