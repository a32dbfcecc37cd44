// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Registers, handshake, reset, admin queue and events.

use crate::mock::{Device, Driver};
use oxnic_abi::command::{Completion, Opcode, Status, Submission};
use oxnic_abi::doorbell::DoorbellKind;
use oxnic_abi::event::EventKind;
use oxnic_abi::regs::{
    self, BlockHeader, BlockKind, Reason, ResetReason, control, device, health, self_test, status,
};
use oxnic_model::host::{Function, NicCore};

const PF: Function = Function::Pf;
const READY: u32 = status::READY | status::RESET_DONE;

fn blocks(dut: &mut Device, function: Function) -> Vec<(u32, BlockHeader)> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let words =
            u64::from(dut.read(function, at)) | (u64::from(dut.read(function, at + 4)) << 32);
        let header = BlockHeader::from_words(&[words]);
        found.push((at, header));
        if header.next == 0 {
            return found;
        }
        assert!(u32::from(header.next) >= at + u32::from(header.length));
        at = u32::from(header.next);
    }
}

fn block(dut: &mut Device, kind: BlockKind) -> u32 {
    blocks(dut, PF)
        .into_iter()
        .find(|(_, header)| header.kind == kind)
        .unwrap()
        .0
}

fn reason(dut: &mut Device) -> (Reason, u32) {
    let value = dut.read(PF, device::REASON);
    (Reason(value as u16), value >> 16)
}

#[test]
fn block_list_begins_with_the_device_and_ends() {
    let mut dut = Device::new(2, 4);
    let kinds: Vec<_> = blocks(&mut dut, PF)
        .iter()
        .map(|(_, header)| header.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            BlockKind::DEVICE,
            BlockKind::SELF_TEST,
            BlockKind::HEALTH,
            BlockKind::CLOCK
        ]
    );
    assert_eq!(dut.read(PF, device::MAGIC), regs::MAGIC);
    assert_eq!(dut.read(PF, device::ABI_VERSION), 1 << 16);
    assert_eq!(dut.read(PF, device::FUNCTION), 1);
    assert_eq!(dut.read(Function::Vf(3), device::FUNCTION), 2 | (3 << 16));
    assert_eq!(
        (
            dut.read(PF, device::PORTS),
            dut.read(Function::Vf(0), device::PORTS)
        ),
        (2, 0)
    );
    assert_eq!(
        (
            dut.read(PF, device::DOORBELL_PAGES),
            dut.read(PF, device::STATUS)
        ),
        (16, READY)
    );
}

#[test]
fn only_aligned_words_are_answered() {
    let mut dut = Device::new(1, 0);
    let mut read = |offset: u64, length: usize| {
        let mut data = vec![0xee; length];
        dut.nic.register_read(&mut dut.host, PF, offset, &mut data);
        data
    };
    assert_eq!(read(8, 4), b"OXNC");
    assert_eq!(read(8, 8), [b'O', b'X', b'N', b'C', 0, 0, 1, 0]);
    for (offset, length) in [
        (8, 1),
        (8, 2),
        (9, 4),
        (10, 4),
        (12, 8),
        (8, 3),
        (8, 16),
        (0, 64),
    ] {
        assert!(
            read(offset, length).iter().all(|byte| *byte == 0),
            "{offset} {length}"
        );
    }
    assert_eq!(read(0xfffc, 4), [0; 4]);
    dut.nic
        .register_write(&mut dut.host, PF, u64::from(device::DEPTH), &[1, 2]);
    dut.nic.register_write(
        &mut dut.host,
        PF,
        u64::from(device::DEPTH) + 1,
        &[1, 2, 3, 4],
    );
    assert_eq!(dut.read(PF, device::DEPTH), 0);
    let both = [1, 0, 0, 0, 2, 0, 0, 0];
    dut.nic
        .register_write(&mut dut.host, PF, u64::from(device::ADMIN_SQ), &both);
    assert_eq!(
        (
            dut.read(PF, device::ADMIN_SQ),
            dut.read(PF, device::ADMIN_SQ + 4)
        ),
        (1, 2)
    );
}

#[test]
fn no_read_only_register_is_all_ones_or_changes_by_writing() {
    let mut dut = Device::new(1, 1);
    let writable = [
        0x30, 0x34, 0x38, 0x40, 0x44, 0x48, 0x4c, 0x50, 0x54, 0x58, 0x5c, 0x60,
    ];
    for offset in (0..0x80)
        .step_by(4)
        .filter(|offset| !writable.contains(offset))
    {
        let before = dut.read(PF, offset);
        dut.write(PF, offset, !before);
        assert_eq!(dut.read(PF, offset), before, "{offset:#x}");
        assert_ne!(before, u32::MAX, "{offset:#x}");
    }
}

#[test]
fn each_fault_of_the_handshake_is_rejected_and_a_right_try_accepted() {
    let mut dut = Device::new(1, 0);
    let driver = Driver::new(&mut dut, PF);
    let faults: [(u32, u32, Reason); 11] = [
        (device::DRIVER_ABI_MIN, 2 << 16, Reason::VERSION),
        (device::DRIVER_ABI_MIN, (1 << 16) | 1, Reason::VERSION),
        (device::DRIVER_ABI_MAX, 2 << 16, Reason::VERSION),
        (device::DRIVER_ABI_MAX, 0xffff, Reason::VERSION),
        (device::ADMIN_SQ, driver.sq as u32 + 2048, Reason::ALIGNMENT),
        (device::ADMIN_CQ, driver.cq as u32 + 1, Reason::ALIGNMENT),
        (
            device::EVENT_RING,
            driver.events as u32 + 64,
            Reason::ALIGNMENT,
        ),
        (device::DEPTH, 3 | (6 << 8), Reason::DEPTH),
        (device::DEPTH, 5 | (11 << 8), Reason::DEPTH),
        (device::DEPTH, 5 | (6 << 8) | (1 << 16), Reason::DEPTH),
        (device::ADMIN_CQ + 4, 0x7777, Reason::DMA),
    ];
    for (register, value, expected) in faults {
        dut.reset(PF);
        driver.handshake_without_ok(&mut dut);
        dut.write(PF, register, value);
        dut.write(PF, device::CONTROL, control::DRIVER_OK);
        assert_eq!(
            dut.read(PF, device::STATUS),
            READY | status::REJECTED,
            "{register:#x}"
        );
        assert_eq!(reason(&mut dut).0, expected, "{register:#x}");
        assert_eq!(dut.read(PF, device::AGREED_ABI), 0);
        driver.handshake(&mut dut);
        assert_eq!(dut.read(PF, device::STATUS), READY | status::ACCEPTED);
        assert_eq!(reason(&mut dut), (Reason::NONE, 0));
        assert_eq!(dut.read(PF, device::AGREED_ABI), 1 << 16);
    }
}

#[test]
fn deepest_and_shallowest_control_rings_work() {
    for log2 in [4, 10] {
        let mut dut = Device::new(1, 0);
        assert_eq!(dut.read(PF, device::DEPTH_MAX), 10 | (10 << 8));
        let mut driver = Driver::with_depth(&mut dut, PF, log2, log2);
        driver.set_ok(&mut dut, Opcode::NOP, 0, [0; 5]);
    }
}

#[test]
fn second_driver_ok_halts_and_a_reset_helps() {
    let mut dut = Device::new(1, 0);
    let driver = Driver::new(&mut dut, PF);
    dut.settle();
    dut.host.take_interrupts();
    dut.write(PF, device::CONTROL, control::DRIVER_OK);
    assert_eq!(dut.read(PF, device::STATUS), status::HALTED);
    assert_eq!(reason(&mut dut), (Reason::STATE, 0));
    dut.settle();
    assert_eq!(dut.host.take_interrupts(), [(PF, 0)]);
    let beat = dut.read(PF, device::HEARTBEAT);
    dut.advance(1_000_000_000);
    assert_eq!(dut.read(PF, device::HEARTBEAT), beat);
    let health = block(&mut dut, BlockKind::HEALTH);
    assert_eq!(dut.read(PF, health + health::SEVERITY), 3);
    assert_eq!(
        dut.read(PF, health + health::SYNDROME),
        u32::from(Reason::STATE.0)
    );
    dut.reset(PF);
    assert_eq!(dut.read(PF, health + health::SEVERITY), 0);
    assert_eq!(dut.read(PF, health + health::COUNT), 1);
    driver.handshake(&mut dut);
    assert_eq!(dut.read(PF, device::STATUS), READY | status::ACCEPTED);
}

#[test]
fn reset_clears_what_the_driver_wrote_and_counts() {
    let mut dut = Device::new(1, 0);
    let _ = Driver::new(&mut dut, PF);
    let generation = dut.read(PF, device::GENERATION);
    let value = control::RESET | (u32::from(ResetReason::TX_TIMEOUT.0) << control::REASON_SHIFT);
    dut.write(PF, device::CONTROL, value);
    assert_eq!(dut.read(PF, device::GENERATION), generation + 1);
    dut.nic.function_reset(&mut dut.host, PF);
    assert_eq!(dut.read(PF, device::GENERATION), generation + 2);
    for offset in [0x34, 0x38, 0x48, 0x4c, 0x50, 0x58, 0x60, 0x20, 0x70] {
        assert_eq!(dut.read(PF, offset), 0, "{offset:#x}");
    }
    let health = block(&mut dut, BlockKind::HEALTH);
    let last = dut.read(PF, health + health::LAST_RESET);
    assert_eq!(last, u32::from(ResetReason::TX_TIMEOUT.0));
}

#[test]
fn heartbeat_beats_ten_times_a_second() {
    let mut dut = Device::new(1, 0);
    let first = dut.read(PF, device::HEARTBEAT);
    dut.advance(1_000_000_000);
    assert_eq!(dut.read(PF, device::HEARTBEAT), first + 10);
}

#[test]
fn self_test_block_does_what_it_says() {
    let mut dut = Device::new(1, 0);
    let at = block(&mut dut, BlockKind::SELF_TEST);
    dut.write(PF, at + self_test::SCRATCH, 0x1234_5678);
    assert_eq!(dut.read(PF, at + self_test::SCRATCH), !0x1234_5678);
    dut.write(PF, at + self_test::INTERRUPT, 3);
    dut.write(PF, at + self_test::INTERRUPT, 129);
    dut.write(PF, at + self_test::INTERRUPT, 0x1_0003);
    assert_eq!(dut.host.take_interrupts(), [(PF, 3)]);
    let buffer = dut.host.allocate(4096);
    let run = |dut: &mut Device, length: u32, kind: u32| {
        dut.write64(PF, at + self_test::DMA_ADDRESS, buffer);
        dut.write(PF, at + self_test::DMA_LENGTH, length);
        dut.write(PF, at + self_test::DMA_CONTROL, kind);
        dut.read(PF, at + self_test::DMA_RESULT)
    };
    assert_eq!(run(&mut dut, 4096, 1), 1);
    assert_eq!(dut.host.read(buffer, 4096), [0x5a; 4096]);
    assert_eq!(run(&mut dut, 8, 2), 1);
    assert_eq!(
        dut.host.read(buffer, 9),
        [0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0x5a]
    );
    for (length, kind) in [(0, 1), (4, 1), (12, 1), (4104, 1), (8, 0), (8, 3)] {
        assert_eq!(run(&mut dut, length, kind), 3, "{length} {kind}");
    }
    dut.write64(PF, at + self_test::DMA_ADDRESS, 0);
    dut.write(PF, at + self_test::DMA_LENGTH, 8);
    dut.write(PF, at + self_test::DMA_CONTROL, 1);
    assert_eq!(dut.read(PF, at + self_test::DMA_RESULT), 2);
}

#[test]
fn self_tests_do_nothing_while_a_function_is_not_ready() {
    let mut dut = Device::new(1, 1);
    let at = block(&mut dut, BlockKind::SELF_TEST);
    let buffer = dut.host.allocate(4096);
    let vf = Function::Vf(0);
    dut.nic.set_vfs_enabled(&mut dut.host, 1);
    dut.nic.set_bus_master(vf, true);
    dut.control(serde_json::json!({"cmd": "halt", "function": 0}));
    dut.settle();
    dut.host.take_interrupts();
    // One has halted, the other one is not enabled.
    for f in [PF, vf] {
        dut.write(f, at + self_test::INTERRUPT, 0);
        dut.write64(f, at + self_test::DMA_ADDRESS, buffer);
        dut.write(f, at + self_test::DMA_LENGTH, 8);
        dut.write(f, at + self_test::DMA_CONTROL, 1);
        assert_eq!(dut.read(f, at + self_test::DMA_RESULT), 0);
        assert_eq!(dut.host.read(buffer, 8), [0; 8]);
        assert!(dut.host.take_interrupts().is_empty());
    }
}

#[test]
fn a_full_ring_of_commands_is_answered_through_three_passes() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::with_depth(&mut dut, PF, 4, 4);
    for pass in 0..7u16 {
        for i in 0..16 {
            let id = (pass << 8) | i;
            let nop = Submission {
                opcode: Opcode::NOP,
                id,
                ..Submission::ZERO
            };
            driver.submit(&mut dut, &nop.to_words());
        }
        dut.settle();
        for i in 0..16 {
            let completion = driver.completion(&mut dut).unwrap();
            assert_eq!(
                (completion.id, completion.status),
                ((pass << 8) | i, Status::OK)
            );
        }
        assert_eq!(driver.completion(&mut dut), None);
    }
}

#[test]
fn a_command_id_used_twice_halts() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let nop = Submission {
        opcode: Opcode::NOP,
        id: 77,
        ..Submission::ZERO
    };
    driver.submit(&mut dut, &nop.to_words());
    driver.submit(&mut dut, &nop.to_words());
    dut.settle();
    assert_eq!(reason(&mut dut), (Reason::COMMAND_ID, 77));
}

#[test]
fn bad_admin_and_event_indices_halt() {
    let mut dut = Device::new(1, 0);
    for (kind, index) in [
        (DoorbellKind::ADMIN, 33),
        (DoorbellKind::ADMIN, 0xffff),
        (DoorbellKind::ADMIN, 0x1_0000),
        (DoorbellKind::EVENT, 1),
        (DoorbellKind::EVENT, 0x1_0000),
    ] {
        let _ = Driver::new(&mut dut, PF);
        dut.ring(PF, kind, 0, index);
        dut.settle();
        assert_eq!(
            reason(&mut dut),
            (Reason::DOORBELL, u32::from(kind.0)),
            "{kind:?} {index:#x}"
        );
    }
    let mut driver = Driver::new(&mut dut, PF);
    let nop = Submission {
        opcode: Opcode::NOP,
        ..Submission::ZERO
    };
    driver.raw(&mut dut, &nop.to_words());
    dut.ring(PF, DoorbellKind::ADMIN, 0, 1);
    dut.settle();
    assert_eq!(dut.read(PF, device::STATUS), READY | status::ACCEPTED);
}

#[test]
fn admin_rings_that_vanish_halt() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let size = dut.host.memory.len();
    dut.host
        .memory
        .truncate((driver.sq - crate::mock::BASE) as usize);
    dut.ring(PF, DoorbellKind::ADMIN, 0, 1);
    dut.settle();
    assert_eq!(reason(&mut dut), (Reason::DMA, 0));
    dut.host.memory.resize(size, 0);
    driver = Driver::new(&mut dut, PF);
    driver.set_ok(&mut dut, Opcode::NOP, 0, [0; 5]);
}

#[test]
fn a_full_event_ring_drops_and_tells() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::with_depth(&mut dut, PF, 4, 4);
    for i in 0..20 {
        dut.carrier(0, i % 2 == 1);
    }
    dut.settle();
    let mut sequence = 0;
    let mut overruns = Vec::new();
    while let Some(event) = driver.event(&mut dut) {
        sequence += 1;
        if event.kind == EventKind::OVERRUN {
            sequence += event.payload[0];
            overruns.push(event.payload[0]);
        }
        assert_eq!(event.sequence, sequence, "{event:?}");
    }
    // 20 changes of the link, of which 4 were dropped, and so was the warning that came with the first of them.
    assert_eq!((overruns, sequence), (vec![5], 22));
    let health = block(&mut dut, BlockKind::HEALTH);
    assert_eq!(dut.read(PF, health + health::SEVERITY), 1);
}

#[test]
fn events_pass_their_ring_three_times() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::with_depth(&mut dut, PF, 4, 4);
    for i in 0..60 {
        dut.carrier(0, i % 2 == 1);
        let event = driver.event(&mut dut).unwrap();
        assert_eq!((event.kind, event.detail), (EventKind::LINK, i % 2));
        assert_eq!(event.payload[0], if i % 2 == 1 { 400_000 } else { 0 });
        assert!(driver.peek_event(&mut dut).is_none());
    }
}

#[test]
fn commands_and_events_raise_vector_0() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    driver.set_ok(&mut dut, Opcode::NOP, 0, [0; 5]);
    assert_eq!(dut.host.take_interrupts(), [(PF, 0)]);
    dut.carrier(0, false);
    dut.settle();
    assert_eq!(dut.host.take_interrupts(), [(PF, 0)]);
    dut.settle();
    assert!(dut.host.take_interrupts().is_empty());
}

#[test]
fn nothing_happens_without_bus_mastering_and_goes_on_with_it() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    dut.nic.set_bus_master(PF, false);
    let nop = Submission {
        opcode: Opcode::NOP,
        id: 5,
        ..Submission::ZERO
    };
    driver.submit(&mut dut, &nop.to_words());
    dut.settle();
    assert_eq!(
        (
            driver.completion(&mut dut),
            dut.host.take_interrupts().len()
        ),
        (None, 0)
    );
    dut.nic.set_bus_master(PF, true);
    dut.settle();
    assert_eq!(
        driver
            .completion(&mut dut)
            .map(|completion: Completion| completion.id),
        Some(5)
    );
}

#[test]
fn events_without_bus_mastering_are_dropped_and_an_overrun_follows() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    dut.carrier(0, false);
    assert_eq!(driver.event(&mut dut).unwrap().sequence, 1);
    dut.nic.set_bus_master(PF, false);
    dut.carrier(0, true);
    dut.carrier(0, false);
    dut.host.take_interrupts();
    dut.ring(PF, DoorbellKind::EVENT, 0, u32::from(driver.event_index));
    dut.settle();
    assert!(driver.event(&mut dut).is_none());
    assert!(dut.host.take_interrupts().is_empty());
    dut.nic.set_bus_master(PF, true);
    dut.settle();
    assert_eq!(dut.host.take_interrupts(), [(PF, 0)]);
    let overrun = driver.event(&mut dut).unwrap();
    // Two of the link, and that the health is worse.
    assert_eq!(
        (overrun.kind, overrun.sequence, overrun.payload[0]),
        (EventKind::OVERRUN, 5, 3)
    );
    dut.carrier(0, true);
    let next = driver.event(&mut dut).unwrap();
    assert_eq!((next.kind, next.sequence), (EventKind::LINK, 6));
}

#[test]
fn doorbells_that_are_no_aligned_words_are_ignored() {
    let mut dut = Device::new(1, 0);
    let _ = Driver::new(&mut dut, PF);
    dut.nic.doorbell_write(&mut dut.host, PF, 4, &[0xff; 8]);
    dut.nic.doorbell_write(&mut dut.host, PF, 0, &[0x01; 4]);
    dut.nic.doorbell_write(&mut dut.host, PF, 8, &[0x77; 8]);
    dut.settle();
    assert_eq!(dut.read(PF, device::STATUS), READY | status::ACCEPTED);
}

#[test]
fn reset_request_sets_the_bit_and_tells() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    dut.control(serde_json::json!({"cmd": "reset-request"}));
    assert_eq!(
        driver.event(&mut dut).unwrap().kind,
        EventKind::RESET_REQUESTED
    );
    let value = dut.read(PF, device::STATUS);
    assert_eq!(value, READY | status::ACCEPTED | status::RESET_REQUESTED);
    dut.reset(PF);
    assert_eq!(dut.read(PF, device::STATUS), READY);
}
