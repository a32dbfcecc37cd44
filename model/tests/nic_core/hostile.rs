// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A driver that writes anything anywhere: no panic, no write outside the memory it gave, no effect on another function.

use crate::mock::{BASE, Device, Driver, Port, frame};
use oxnic_abi::command::Opcode;
use oxnic_abi::doorbell::DoorbellKind;
use oxnic_abi::regs::{control, device};
use oxnic_abi::ring::tx_flags;
use oxnic_model::host::{Function, NicCore};
use proptest::prelude::*;

/// Words that are often nearly right.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0u64..300,
        (0u64..0x4000).prop_map(|page| BASE + page * 4096),
        (0u64..1 << 26).prop_map(|offset| BASE + offset),
        any::<u16>().prop_map(u64::from),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| u64::from(a) | (u64::from(b) << 48)),
        Just(u64::MAX),
    ]
}

fn function() -> impl Strategy<Value = Function> {
    prop_oneof![Just(Function::Pf), (0u16..6).prop_map(Function::Vf)]
}

#[derive(Clone, Debug)]
enum Step {
    Write(Function, u64, Vec<u8>),
    Read(Function, u64, usize),
    Doorbell(Function, u8, u32, u32),
    Raw(Function, u64, Vec<u8>),
    Command(bool, u16, [u64; 7]),
    Descriptor(bool, u16, [u64; 2]),
    Memory(u64, Vec<u8>),
    Frame(u8, Vec<u8>),
    Reset(Function),
    BusMaster(Function, bool),
    Vfs(u16),
    Carrier(u8, bool),
    Time(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = |most: usize| proptest::collection::vec(any::<u8>(), 0..most);
    let kind = prop_oneof![4 => 1u8..7, 1 => any::<u8>()];
    let opcode = prop_oneof![6 => 0u16..0x7a, 1 => any::<u16>()];
    let seven = proptest::array::uniform7(word());
    prop_oneof![
        2 => (function(), 0u64..0x240, bytes(12)).prop_map(|(f, at, data)| Step::Write(f, at, data)),
        1 => (function(), 0u64..0x1_0000, 0usize..70).prop_map(|(f, at, length)| Step::Read(f, at, length)),
        6 => (function(), kind, 0u32..20, prop_oneof![0u32..80, any::<u32>()])
            .prop_map(|(f, kind, queue, index)| Step::Doorbell(f, kind, queue, index)),
        1 => (function(), 0u64..0x1000, bytes(12)).prop_map(|(f, at, data)| Step::Raw(f, at, data)),
        12 => (any::<bool>(), opcode, seven).prop_map(|(vf, opcode, words)| Step::Command(vf, opcode, words)),
        12 => (any::<bool>(), any::<u16>(), [word(), word()])
            .prop_map(|(tx, at, words)| Step::Descriptor(tx, at, words)),
        2 => (0u64..1 << 22, bytes(64)).prop_map(|(at, data)| Step::Memory(at, data)),
        4 => (0u8..5, bytes(300)).prop_map(|(port, data)| Step::Frame(port, data)),
        1 => function().prop_map(Step::Reset),
        1 => (function(), any::<bool>()).prop_map(|(f, on)| Step::BusMaster(f, on)),
        1 => (0u16..8).prop_map(Step::Vfs),
        1 => (0u8..5, any::<bool>()).prop_map(|(port, up)| Step::Carrier(port, up)),
        2 => (0u64..200_000_000).prop_map(Step::Time),
    ]
}

fn apply(dut: &mut Device, drivers: &mut [Driver; 2], rings: [u64; 2], step: Step) {
    match step {
        Step::Write(f, at, data) => dut.nic.register_write(&mut dut.host, f, at, &data),
        Step::Read(f, at, length) => {
            dut.nic
                .register_read(&mut dut.host, f, at, &mut vec![0; length]);
        }
        Step::Doorbell(f, kind, queue, index) => {
            dut.ring(f, DoorbellKind(kind), queue as u16, index);
        }
        Step::Raw(f, at, data) => dut.nic.doorbell_write(&mut dut.host, f, at, &data),
        Step::Command(vf, opcode, words) => {
            let driver = &mut drivers[usize::from(vf)];
            driver.id = driver.id.wrapping_add(1);
            let first = u64::from(opcode) | (u64::from(driver.id) << 16) | (words[0] << 32);
            let mut all = [first, words[1], words[2] & 0xffff_ffff, 0, 0, 0, 0, 0];
            all[3..].copy_from_slice(&[words[3], words[4], words[5], words[6], 0]);
            driver.submit(dut, &all);
            dut.settle();
            while driver.completion(dut).is_some() {}
        }
        Step::Descriptor(tx, at, mut words) => {
            if tx && at & 3 == 0 {
                words[1] = words[1] & !(0xffff << 16) | (u64::from(tx_flags::END) << 16);
            }
            let at = rings[usize::from(tx)] + u64::from(at % 64) * 16;
            dut.host.put_words(at, &words);
        }
        Step::Memory(at, data) => {
            let at = BASE + at;
            if at + data.len() as u64 <= BASE + dut.host.memory.len() as u64 {
                dut.host.write(at, &data);
            }
        }
        Step::Frame(port, data) => dut.nic.wire_receive(&mut dut.host, port, &data),
        Step::Reset(f) => dut.nic.function_reset(&mut dut.host, f),
        Step::BusMaster(f, on) => dut.nic.set_bus_master(f, on),
        Step::Vfs(count) => dut.nic.set_vfs_enabled(&mut dut.host, count),
        Step::Carrier(port, up) => dut.carrier(port, up),
        Step::Time(time) => dut.advance(time.min(20_000_000)),
    }
    dut.settle();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn anything_written_anywhere_is_survived(steps in proptest::collection::vec(step(), 1..120)) {
        let mut dut = Device::with_memory(2, 6, 32 << 20);
        let mut pf = Port::new(&mut dut, Function::Pf);
        pf.driver.enable_vfs(&mut dut, 6);
        let vf = Port::new(&mut dut, Function::Vf(0));
        let rings = [pf.rx.ring, pf.tx.ring];
        let mut drivers = [pf.driver, vf.driver];
        for step in steps {
            apply(&mut dut, &mut drivers, rings, step);
        }
        // Whatever happened, a reset makes the PF as good as new.
        dut.nic.set_vfs_enabled(&mut dut.host, 0);
        dut.nic.function_reset(&mut dut.host, Function::Pf);
        dut.nic.set_bus_master(Function::Pf, true);
        let mut fresh = Device { nic: dut.nic, host: crate::mock::FakeHost::new(32 << 20) };
        fresh.host.now = dut.host.now;
        fresh.carrier(0, true);
        fresh.write(Function::Pf, device::CONTROL, control::RESET);
        let mut port = Port::new(&mut fresh, Function::Pf);
        let peer = [2, 0xaa, 0, 0, 0, 1];
        fresh.receive(0, &frame(port.mac, peer, 77));
        prop_assert_eq!(port.rx.one(&mut fresh).bytes.len(), 77);
        port.tx.send(&mut fresh, &frame(peer, port.mac, 77));
        prop_assert_eq!(fresh.host.take_wire().len(), 1);
    }

    #[test]
    fn random_descriptors_write_to_completion_rings_only(
        descriptors in proptest::collection::vec([word(), word()], 1..200),
    ) {
        let mut dut = Device::with_memory(1, 0, 16 << 20);
        let mut port = Port::new(&mut dut, Function::Pf);
        let tx = port.tx.completions..port.tx.completions + (16 << 8);
        let events = port.driver.events..port.driver.events + (64 << 6);
        let admin = port.driver.cq..port.driver.cq + (32 << 5);
        let rx = port.rx.completions..port.rx.completions + (32 << 8);
        let buffers = port.rx.buffers..port.rx.buffers + (2048 << 8);
        let answers = port.driver.buffer..port.driver.buffer + 65536;
        dut.host.writable = Some(vec![tx, events, admin, rx, buffers, answers]);
        for chunk in descriptors.chunks(8) {
            for words in chunk {
                port.tx.put(&mut dut, *words);
            }
            dut.ring(Function::Pf, DoorbellKind::TX, 0, u32::from(port.tx.producer));
            dut.settle();
        }
        port.driver.set_ok(&mut dut, Opcode::NOP, 0, [0; 5]);
    }

    #[test]
    fn a_vf_cannot_change_what_belongs_to_others(
        commands in proptest::collection::vec((0u16..0x7a, proptest::array::uniform7(word())), 1..150),
    ) {
        let mut dut = Device::with_memory(1, 2, 32 << 20);
        let mut pf = Port::new(&mut dut, Function::Pf);
        let mut vfs = Port::vfs(&mut dut, &mut pf.driver, 2);
        let query = |dut: &mut Device, pf: &mut Driver| {
            let submission = oxnic_abi::command::Submission { function: 2, ..pf.submission(Opcode::VF_QUERY) };
            (pf.info(dut, 0), pf.query::<6>(dut, submission).unwrap())
        };
        let before = query(&mut dut, &mut pf.driver);
        let own = vfs[0].driver.buffer;
        for (opcode, words) in commands {
            let driver = &mut vfs[0].driver;
            driver.id = driver.id.wrapping_add(1);
            let first = u64::from(opcode) | (u64::from(driver.id) << 16) | ((words[0] & 0xffff) << 48);
            let all = [first, own, words[2] & 0xffff, words[3], words[4], words[5], words[6], 0];
            driver.submit(&mut dut, &all);
            dut.settle();
            while driver.completion(&mut dut).is_some() {}
        }
        pf.driver.events(&mut dut);
        prop_assert_eq!(query(&mut dut, &mut pf.driver), before);
        dut.receive(0, &frame(pf.mac, [2, 0xaa, 0, 0, 0, 1], 77));
        prop_assert_eq!(pf.rx.one(&mut dut).bytes.len(), 77);
    }
}
