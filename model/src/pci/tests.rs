// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The hierarchy as software uses it: enumeration, VFs, resets, hot plug, errors, and arbitrary accesses.

use super::aer::Severity;
use super::hierarchy::{Effect, Hierarchy, Identity, Window};
use super::map::{Bar, Place};
use super::pcie::PCIE;
use crate::host::Function;
use oxnic_abi::pci::VF_REGISTERS_SIZE;
use proptest::prelude::*;

const MEMORY64: u64 = 0x38_0000_0000;
const PF_BARS: [u64; 3] = [0x10_0000, 0x11_0000, 0x12_0000];
const VF_BARS: [u64; 3] = [0x20_0000, 0x40_0000, 0x60_0000];
const SRIOV: u64 = 0x160;

struct Guest {
    bus: Hierarchy,
}

impl Guest {
    fn at(bus: u64, devfn: u64, register: u64) -> u64 {
        (bus << 20) | (devfn << 12) | register
    }

    fn write(&mut self, bus: u64, devfn: u64, register: u64, data: &[u8]) {
        self.bus.write_config(Self::at(bus, devfn, register), data);
    }

    fn read32(&self, bus: u64, devfn: u64, register: u64) -> u32 {
        let mut data = [0; 4];
        self.bus
            .read_config(Self::at(bus, devfn, register), &mut data);
        u32::from_le_bytes(data)
    }

    fn read16(&self, bus: u64, devfn: u64, register: u64) -> u16 {
        (self.read32(bus, devfn, register & !3) >> (8 * (register & 2))) as u16
    }

    /// Powers on and does what firmware and kernel do before a driver is bound.
    fn boot() -> Self {
        let mut guest = Guest {
            bus: Hierarchy::new(Identity {
                vectors: 64,
                total_vfs: 128,
                serial: 0x1122_3344_5566_7788,
            }),
        };
        guest.bus.write_vmd(0x20, &MEMORY64.to_le_bytes());
        guest.bus.write_vmd(0x04, &[0x06, 0x04]);
        guest.write(0, 0, 0x18, &[0, 1, 1]);
        let base = (MEMORY64 >> 16) as u16 & 0xFFF0;
        guest.write(0, 0, 0x24, &base.to_le_bytes());
        guest.write(0, 0, 0x26, &(base + 0x3F0).to_le_bytes());
        guest.write(0, 0, 0x28, &((MEMORY64 >> 32) as u32).to_le_bytes());
        guest.write(0, 0, 0x2C, &((MEMORY64 >> 32) as u32).to_le_bytes());
        guest.write(0, 0, 0x3E, &[0x02, 0]); // SERR forwarding
        guest.write(0, 0, 0x54, &0xFEE0_1000u32.to_le_bytes());
        guest.write(0, 0, 0x5C, &0x4021u16.to_le_bytes());
        guest.write(0, 0, 0x52, &[1, 0]);
        guest.write(0, 0, 0x04, &[0x06, 0x04]);
        guest.write(0, 0, PCIE as u64 + 0x28, &[0x20, 0]); // ARI forwarding
        guest.set_up_pf();
        guest.bus.take_effects();
        guest
    }

    fn set_up_pf(&mut self) {
        for (index, base) in PF_BARS.iter().enumerate() {
            let register = 0x10 + 8 * index as u64;
            self.write(1, 0, register, &(MEMORY64 + base).to_le_bytes());
        }
        for (index, base) in VF_BARS.iter().enumerate() {
            let register = SRIOV + 0x24 + 8 * index as u64;
            self.write(1, 0, register, &(MEMORY64 + base).to_le_bytes());
        }
        self.write(1, 0, PCIE as u64 + 0x08, &[0x17, 0x28]);
        self.write(1, 0, 0x04, &[0x06, 0x04]);
    }

    fn enable_vfs(&mut self, count: u16) {
        self.write(1, 0, SRIOV + 0x10, &count.to_le_bytes());
        self.write(1, 0, SRIOV + 0x08, &[0x19, 0]);
    }

    fn decode(&mut self, offset: u64) -> Option<(Function, Bar, u64)> {
        self.bus
            .decode_read(Window::Memory64, offset, 4)
            .map(|place: Place| (place.function, place.bar, place.offset))
    }
}

#[test]
fn only_port_and_pf_answer_at_first() {
    let guest = Guest::boot();
    for devfn in 0..256 {
        let alone = devfn == 0;
        assert_eq!(guest.read32(0, devfn, 0) != u32::MAX, alone);
        assert_eq!(guest.read32(1, devfn, 0) != u32::MAX, alone);
        assert_eq!(guest.read32(2, devfn, 0), u32::MAX);
    }
    assert_eq!(guest.read32(1, 0, 0), 0x0001_6F78);
    assert_eq!(guest.read32(1, 0, 8), 0x0200_0001);
    assert_eq!(guest.read16(1, 0, 0x72), 63);
}

#[test]
fn vfs_come_and_go_with_vf_enable() {
    let mut guest = Guest::boot();
    guest.enable_vfs(128);
    assert_eq!(guest.bus.take_effects(), [Effect::VfsEnabled(128)]);
    assert_eq!(guest.read16(1, 128, 0x2C), 0x6F78);
    assert_eq!(guest.read32(1, 129, 0x2C), u32::MAX);
    assert_eq!(guest.read32(1, 1, 0), u32::MAX);
    let last = VF_BARS[2] + 127 * VF_REGISTERS_SIZE;
    assert_eq!(
        guest.decode(last + 16),
        Some((Function::Vf(127), Bar::Msix, 16))
    );
    guest.write(1, 0, SRIOV + 0x08, &[0x10, 0]);
    assert_eq!(guest.bus.take_effects(), [Effect::VfsEnabled(0)]);
    assert_eq!(guest.read32(1, 1, 0x2C), u32::MAX);
    assert_eq!(guest.decode(last + 16), None);
}

#[test]
fn more_vfs_than_there_are_cannot_be_chosen() {
    let mut guest = Guest::boot();
    guest.enable_vfs(129);
    assert_eq!(guest.bus.take_effects(), [Effect::VfsEnabled(0)]);
    assert_eq!(guest.bus.vf_count(), 0);
}

#[test]
fn number_of_vfs_is_fixed_while_they_exist() {
    let mut guest = Guest::boot();
    guest.enable_vfs(4);
    guest.write(1, 0, SRIOV + 0x10, &[9, 0]);
    assert_eq!(guest.read16(1, 0, SRIOV + 0x10), 4);
}

#[test]
fn without_ari_only_eight_functions_are_reached() {
    let mut guest = Guest::boot();
    guest.enable_vfs(16);
    guest.write(0, 0, PCIE as u64 + 0x28, &[0, 0]);
    assert_ne!(guest.read32(1, 7, 0x2C), u32::MAX);
    assert_eq!(guest.read32(1, 8, 0x2C), u32::MAX);
}

#[test]
fn vf_memory_follows_its_own_enable() {
    let mut guest = Guest::boot();
    guest.enable_vfs(4);
    guest.write(1, 0, SRIOV + 0x08, &[0x11, 0]);
    assert_eq!(guest.decode(VF_BARS[0]), None);
    guest.write(1, 0, SRIOV + 0x08, &[0x19, 0]);
    assert_eq!(
        guest.decode(VF_BARS[0]),
        Some((Function::Vf(0), Bar::Registers, 0))
    );
    guest.write(1, 0, 0x04, &[0x04, 0]); // the PF's memory enable is its own
    assert_eq!(guest.decode(PF_BARS[0]), None);
    assert!(guest.decode(VF_BARS[0]).is_some());
}

#[test]
fn flr_of_a_vf_touches_no_other() {
    let mut guest = Guest::boot();
    guest.enable_vfs(2);
    guest.write(1, 1, 0x04, &[0x04, 0]);
    guest.write(1, 2, 0x04, &[0x04, 0]);
    guest.bus.take_effects();
    guest.write(1, 2, PCIE as u64 + 0x08, &[0, 0x80]);
    assert_eq!(
        guest.bus.take_effects(),
        [
            Effect::BusMaster(Function::Vf(1), false),
            Effect::Reset(Function::Vf(1))
        ]
    );
    assert!(guest.bus.masters(Function::Vf(0)));
    assert!(!guest.bus.masters(Function::Vf(1)));
    assert_eq!(guest.read16(1, 2, PCIE as u64 + 0x08), 0);
}

#[test]
fn flr_of_the_pf_takes_the_vfs_away() {
    let mut guest = Guest::boot();
    guest.enable_vfs(3);
    guest.bus.take_effects();
    guest.write(1, 0, PCIE as u64 + 0x08, &[0x10, 0xA8]);
    assert_eq!(
        guest.bus.take_effects(),
        [
            Effect::BusMaster(Function::Pf, false),
            Effect::VfsEnabled(0),
            Effect::Reset(Function::Pf)
        ]
    );
    assert_eq!(guest.read32(1, 0, 0x10), 0xC);
    assert_eq!(guest.read16(1, 0, SRIOV + 0x08), 0);
}

#[test]
fn bus_reset_holds_the_functions_and_lets_them_go_empty() {
    let mut guest = Guest::boot();
    guest.write(0, 0, 0x3E, &[0x42, 0]);
    assert_eq!(
        guest.bus.take_effects(),
        [
            Effect::BusMaster(Function::Pf, false),
            Effect::Reset(Function::Pf)
        ]
    );
    assert_eq!(guest.read32(1, 0, 0), u32::MAX);
    guest.write(0, 0, 0x3E, &[0x02, 0]);
    assert_eq!(guest.read32(1, 0, 0), 0x0001_6F78);
    assert_eq!(guest.read16(1, 0, 0x04), 0);
}

#[test]
fn vf_msix_size_is_what_the_core_says() {
    let mut guest = Guest::boot();
    guest.enable_vfs(2);
    let register = Guest::at(1, 2, 0x70);
    assert_eq!(guest.bus.asks_for_vectors(register, 4), Some(1));
    assert_eq!(guest.bus.asks_for_vectors(register, 2), None);
    guest.bus.set_vf_vectors(1, 17);
    assert_eq!(guest.read16(1, 2, 0x72), 16);
    assert_eq!(guest.read16(1, 1, 0x72), 0);
}

fn set_up_msix(guest: &mut Guest, devfn: u64, function: Function) {
    guest
        .bus
        .write_msix(function, 0, &0xFEE0_2000u64.to_le_bytes());
    guest
        .bus
        .write_msix(function, 8, &0x0000_0000_0000_4031u64.to_le_bytes());
    guest.write(1, devfn, 0x72, &[0, 0x80]);
    guest.write(1, devfn, 0x04, &[0x06, 0x04]);
}

#[test]
fn a_vf_interrupts_only_while_all_above_it_may() {
    let mut guest = Guest::boot();
    guest.enable_vfs(1);
    set_up_msix(&mut guest, 1, Function::Vf(0));
    guest.bus.raise(Function::Vf(0), 0);
    assert_eq!(guest.bus.take_messages().len(), 1);
    guest.write(0, 0, 0x04, &[0x02, 0]);
    guest.bus.raise(Function::Vf(0), 0);
    guest.bus.raise(Function::Vf(7), 0);
    guest.bus.raise(Function::Vf(0), 1);
    assert_eq!(guest.bus.take_messages(), []);
    assert_eq!(guest.bus.counters().interrupts_dropped, 3);
}

#[test]
fn surprise_removal_and_hot_plug_interrupt() {
    let mut guest = Guest::boot();
    guest.enable_vfs(4);
    guest.write(0, 0, PCIE as u64 + 0x18, &[0x28, 0x10]);
    guest.bus.take_effects();
    guest.bus.remove();
    assert_eq!(guest.read32(1, 0, 0), u32::MAX);
    assert_eq!(guest.decode(PF_BARS[0]), None);
    assert!(!guest.bus.masters(Function::Pf));
    assert_eq!(
        guest.bus.take_effects(),
        [
            Effect::BusMaster(Function::Pf, false),
            Effect::VfsEnabled(0),
            Effect::Reset(Function::Pf)
        ]
    );
    assert_eq!(guest.bus.take_messages().len(), 1);
    assert_eq!(guest.read16(0, 0, PCIE as u64 + 0x1A), 0x0108);
    guest.write(0, 0, PCIE as u64 + 0x1A, &[0x08, 0x01]);
    guest.bus.insert();
    assert_eq!(guest.bus.take_messages().len(), 1);
    assert_eq!(guest.read16(0, 0, PCIE as u64 + 0x1A), 0x0148);
    assert_eq!(guest.read32(1, 0, 0), 0x0001_6F78);
}

#[test]
fn slot_power_off_takes_the_link_down() {
    let mut guest = Guest::boot();
    guest.write(0, 0, PCIE as u64 + 0x18, &[0x00, 0x04]);
    assert_eq!(guest.read32(1, 0, 0), u32::MAX);
    assert_eq!(guest.read16(0, 0, PCIE as u64 + 0x12) >> 13, 0);
    guest.write(0, 0, PCIE as u64 + 0x18, &[0x00, 0x00]);
    assert_eq!(guest.read16(0, 0, PCIE as u64 + 0x12) >> 13, 1);
    assert_ne!(guest.read32(1, 0, 0), u32::MAX);
}

#[test]
fn an_enable_after_the_event_interrupts() {
    let mut guest = Guest::boot();
    guest.bus.remove();
    assert_eq!(guest.bus.take_messages(), []);
    guest.write(0, 0, PCIE as u64 + 0x18, &[0x28, 0x10]);
    assert_eq!(guest.bus.take_messages().len(), 1);
}

#[test]
fn errors_reach_the_root_port_as_configured() {
    let mut guest = Guest::boot();
    guest.bus.inject_error(Severity::NonFatal);
    assert_eq!(guest.bus.take_messages(), []);
    assert_eq!(guest.read32(0, 0, 0x130), 0x24);
    assert_eq!(guest.read32(1, 0, 0x104), 1 << 14);
    guest.write(0, 0, 0x12C, &[7, 0, 0, 0]);
    assert_eq!(guest.bus.take_messages().len(), 1);
    assert_eq!(guest.read32(0, 0, 0x134), 0x0100_0000);
    guest.write(0, 0, 0x130, &[0x7F, 0, 0, 0]);
    guest.bus.inject_error(Severity::Correctable);
    assert_eq!(guest.bus.take_messages().len(), 1);
}

#[test]
fn machine_reset_keeps_an_empty_slot_empty() {
    let mut guest = Guest::boot();
    guest.bus.remove();
    guest.bus.reset();
    assert!(!guest.bus.is_present());
    assert_eq!(guest.read16(0, 0, PCIE as u64 + 0x1A) & 0x40, 0);
}

#[derive(Clone, Debug)]
enum Access {
    Config(u64, Vec<u8>),
    Vmd(u64, Vec<u8>),
    Memory(u64, usize),
    Msix(u16, u64, Vec<u8>),
    Raise(u16, u16),
    Slot(bool),
    Error(Severity),
    Reset,
}

fn access() -> impl Strategy<Value = Access> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..9);
    let register =
        (0u64..3, 0u64..4, 0u64..0x200).prop_map(|(bus, devfn, at)| Guest::at(bus, devfn, at));
    prop_oneof![
        20 => (register, bytes()).prop_map(|(at, data)| Access::Config(at, data)),
        2 => (any::<u64>(), bytes()).prop_map(|(at, data)| Access::Config(at, data)),
        2 => (0u64..300, bytes()).prop_map(|(at, data)| Access::Vmd(at, data)),
        4 => (0u64..1 << 26, 0usize..16).prop_map(|(at, len)| Access::Memory(at, len)),
        4 => (0u16..5, 0u64..0x4000, bytes()).prop_map(|(vf, at, data)| Access::Msix(vf, at, data)),
        4 => (0u16..5, 0u16..600).prop_map(|(vf, vector)| Access::Raise(vf, vector)),
        1 => any::<bool>().prop_map(Access::Slot),
        1 => prop_oneof![Just(Severity::Correctable), Just(Severity::NonFatal), Just(Severity::Fatal)].prop_map(Access::Error),
        1 => Just(Access::Reset),
    ]
}

fn function(number: u16) -> Function {
    number.checked_sub(1).map_or(Function::Pf, Function::Vf)
}

proptest! {
    /// Whatever software does, nothing panics, VFs are announced whenever their number changes, and a function that is
    /// not there neither masters the bus nor interrupts.
    #[test]
    fn any_sequence_is_survived(accesses in prop::collection::vec(access(), 0..200)) {
        let mut guest = Guest::boot();
        let mut announced = 0;
        for access in accesses {
            match access {
                Access::Config(at, data) => {
                    guest.bus.write_config(at, &data);
                    let mut back = data.clone();
                    guest.bus.read_config(at, &mut back);
                }
                Access::Vmd(at, data) => guest.bus.write_vmd(at, &data),
                Access::Memory(at, len) => {
                    if let Some(place) = guest.bus.decode_write(Window::Memory64, at, len) {
                        prop_assert!(place.offset + len as u64 <= 64 << 10);
                    }
                }
                Access::Msix(number, at, data) => guest.bus.write_msix(function(number), at, &data),
                Access::Raise(number, vector) => guest.bus.raise(function(number), vector),
                Access::Slot(true) => guest.bus.insert(),
                Access::Slot(false) => guest.bus.remove(),
                Access::Error(severity) => guest.bus.inject_error(severity),
                Access::Reset => guest.bus.reset(),
            }
            for effect in guest.bus.take_effects() {
                if let Effect::VfsEnabled(count) = effect {
                    prop_assert!(announced == 0 || count == 0);
                    announced = count;
                }
            }
            prop_assert_eq!(announced, guest.bus.vf_count());
            for number in 0..5u16 {
                let there = guest.bus.is_present() && number <= announced;
                prop_assert!(there || !guest.bus.masters(function(number)));
            }
        }
    }
}
