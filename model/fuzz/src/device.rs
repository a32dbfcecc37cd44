// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The input is a list of accesses and events on a device that firmware and kernel have enumerated.

use arbitrary::{Arbitrary, Unstructured};
use oxnic_model::board::Board;
use oxnic_model::chaos::Chaos;
use oxnic_model::host::{Function, NicConfig, NicCore};
use oxnic_model::machine::Device;
use oxnic_model::nic::Nic;
use oxnic_model::pci::hierarchy::{Hierarchy, Identity};
use oxnic_model::vfio::memory::MapRequest;
use oxnic_model::vfio::session::Backend;
use oxnic_model::wire::Wire;
use oxnic_model::wire::spec::WireSpec;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use serde_json::json;

const CONFIG_WINDOW: u32 = 0;
const MEMORY64: u32 = 4;
const CONFIG: u32 = 7;
const WINDOW: u64 = 0x38_0000_0000;
const MEMORY_SIZE: u64 = 1 << 16;

#[derive(Arbitrary, Debug)]
enum Step {
    Config {
        bus: bool,
        devfn: u8,
        register: u16,
        data: Data,
    },
    Vmd {
        register: u8,
        data: Data,
    },
    Registers {
        function: u8,
        offset: u16,
        data: Data,
    },
    Doorbells {
        function: u8,
        offset: u16,
        data: Data,
    },
    Msix {
        function: u8,
        offset: u16,
        data: Data,
    },
    Region {
        region: u8,
        offset: u32,
        data: Data,
    },
    Memory {
        address: u16,
        data: Data,
    },
    Frame {
        port: bool,
        data: Vec<u8>,
    },
    Control(Control),
    Poll,
    Reset,
}

#[derive(Arbitrary, Debug)]
enum Data {
    Read(u8),
    Byte(u8),
    Half(u16),
    Word(u32),
    Double(u64),
}

#[derive(Arbitrary, Debug)]
enum Control {
    Stats,
    Remove,
    Insert,
    Link(bool),
    Error(u8),
}

/// A device with a loopback on its first port and nothing on the second.
pub fn device() -> Device {
    let core = Nic::new(NicConfig {
        ports: 2,
        max_vfs: 4,
        mac: [2, 0x6F, 0x78, 0, 0, 0],
    });
    let hierarchy = Hierarchy::new(Identity {
        vectors: core.vectors(Function::Pf),
        total_vfs: 4,
        serial: 1,
    });
    let loopback = Wire::new(&WireSpec::Loopback, None);
    let wires = loopback.into_iter().chain([Wire::unconnected()]).collect();
    Device {
        board: Board::new(hierarchy, wires),
        core: Box::new(core),
        chaos: Chaos::default(),
    }
}

/// Runs the target.
pub fn run(data: &[u8]) {
    let Ok(steps) = Vec::<Step>::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let mut device = device();
    enumerate(&mut device);
    for step in steps {
        perform(&mut device, step);
        for port in 0..2 {
            let carrier = device.board.wires[usize::from(port)].has_carrier();
            device.with_core(|core, host| core.wire_carrier(host, port, carrier));
        }
    }
}

fn perform(device: &mut Device, step: Step) {
    match step {
        Step::Config {
            bus,
            devfn,
            register,
            data,
        } => {
            let offset = (u64::from(bus) << 20) | (u64::from(devfn % 8) << 12);
            access(
                device,
                CONFIG_WINDOW,
                offset | u64::from(register % 0x400),
                data,
            );
        }
        Step::Vmd { register, data } => access(device, CONFIG, u64::from(register), data),
        Step::Registers {
            function,
            offset,
            data,
        } => {
            access(
                device,
                MEMORY64,
                bar(function, 0) + u64::from(offset % 0x200),
                data,
            );
        }
        Step::Doorbells {
            function,
            offset,
            data,
        } => {
            access(
                device,
                MEMORY64,
                bar(function, 1) + u64::from(offset % 0x4000),
                data,
            );
        }
        Step::Msix {
            function,
            offset,
            data,
        } => {
            access(
                device,
                MEMORY64,
                bar(function, 2) + u64::from(offset % 0x4000),
                data,
            );
        }
        Step::Region {
            region,
            offset,
            data,
        } => {
            let region = u32::from(region % 9);
            let size = device.region_sizes()[region as usize];
            if u64::from(offset) + 8 <= size {
                access(device, region, u64::from(offset), data);
            }
        }
        Step::Memory { address, data } => {
            let _ = device.board.memory.write(u64::from(address), &bytes(&data));
        }
        Step::Frame { port, data } => {
            device.with_core(|core, host| core.wire_receive(host, u8::from(port), &data));
        }
        Step::Control(control) => command(device, &control),
        Step::Poll => {
            device.with_core(|core, host| core.poll(host));
        }
        Step::Reset => device.reset(),
    }
}

fn command(device: &mut Device, control: &Control) {
    let request = match control {
        Control::Stats => json!({"cmd": "stats"}),
        Control::Remove => json!({"cmd": "remove"}),
        Control::Insert => json!({"cmd": "insert"}),
        Control::Link(up) => json!({"cmd": "link", "port": 0, "up": up}),
        Control::Error(kind) => {
            let kind = ["correctable", "nonfatal", "fatal"][usize::from(kind % 3)];
            json!({"cmd": "aer", "kind": kind})
        }
    };
    // Refusals are answers, too.
    let _ = device.command(&request, None);
}

fn access(device: &mut Device, region: u32, offset: u64, data: Data) {
    match data {
        Data::Read(count) => {
            let mut bytes = [0; 8];
            let count = usize::from(count % 9);
            let size = device.region_sizes()[region as usize];
            if offset + count as u64 <= size {
                device.region_read(region, offset, &mut bytes[..count]);
            }
        }
        data => {
            let bytes = bytes(&data);
            if offset + bytes.len() as u64 <= device.region_sizes()[region as usize] {
                device.region_write(region, offset, &bytes);
            }
        }
    }
}

fn bytes(data: &Data) -> Vec<u8> {
    match data {
        Data::Read(count) => vec![0xFF; usize::from(*count)],
        Data::Byte(value) => value.to_le_bytes().to_vec(),
        Data::Half(value) => value.to_le_bytes().to_vec(),
        Data::Word(value) => value.to_le_bytes().to_vec(),
        Data::Double(value) => value.to_le_bytes().to_vec(),
    }
}

fn bar(function: u8, index: u64) -> u64 {
    match u64::from(function % 5).checked_sub(1) {
        None => 0x10_0000 + (index << 16),
        Some(vf) => 0x20_0000 + (index << 16) + (vf << 14),
    }
}

/// What firmware, kernel and PCI driver do: bus numbers, windows, BARs, enables, VFs; and some memory.
fn enumerate(device: &mut Device) {
    map_memory(device);
    let config = |device: &mut Device, bus: u64, register: u64, data: &[u8]| {
        device.region_write(CONFIG_WINDOW, (bus << 20) | register, data);
    };
    device.region_write(CONFIG, 0x20, &WINDOW.to_le_bytes());
    device.region_write(CONFIG, 0x04, &[0x06, 0x00]);
    config(device, 0, 0x18, &[0, 1, 1]);
    config(device, 0, 0x24, &[0, 0, 0xF0, 0x03]);
    config(device, 0, 0x28, &((WINDOW >> 32) as u32).to_le_bytes());
    config(device, 0, 0x2C, &((WINDOW >> 32) as u32).to_le_bytes());
    config(device, 0, 0x04, &[0x06, 0x00]);
    for index in 0..3 {
        let base = WINDOW + 0x10_0000 + (index << 16);
        config(device, 1, 0x10 + 8 * index, &base.to_le_bytes());
        let base = WINDOW + 0x20_0000 + (index << 16);
        config(device, 1, 0x184 + 8 * index, &base.to_le_bytes());
    }
    config(device, 1, 0x170, &[4, 0]);
    config(device, 1, 0x168, &[0x19, 0]);
    for devfn in 0..5 {
        config(device, 1, (devfn << 12) | 0x04, &[0x06, 0x00]);
        config(device, 1, (devfn << 12) | 0x72, &[0, 0x80]);
    }
}

fn map_memory(device: &mut Device) {
    let Ok(file) = memfd_create("guest", MemfdFlags::ALLOW_SEALING) else {
        return;
    };
    if ftruncate(&file, MEMORY_SIZE).is_ok() && fcntl_add_seals(&file, SealFlags::SHRINK).is_ok() {
        let _ = device.board.memory.map(MapRequest {
            start: 0,
            len: MEMORY_SIZE,
            writable: true,
            file: Some((file, 0)),
        });
    }
}
