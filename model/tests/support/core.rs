// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A NIC core for tests of what surrounds it. Registers are memory, but for a few that make it use its host.

use oxnic_model::host::{Function, Host, NicConfig, NicCore};
use oxnic_model::nic::firmware::flash::Flash;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Write: raises this vector.
pub const RAISE: u64 = 0x10;
/// Write: address to which [`PATTERN`] is written.
pub const DMA_WRITE: u64 = 0x18;
/// Write: address from which 8 bytes are read into [`DMA_DATA`].
pub const DMA_READ: u64 = 0x20;
/// Read: what was read; ones if it could not be.
pub const DMA_DATA: u64 = 0x28;
/// Write: sends a frame of this many bytes on port 0.
pub const TRANSMIT: u64 = 0x30;
/// Read: resets of this function so far.
pub const RESETS: u64 = 0x38;
/// Read: VFs that exist.
pub const VFS: u64 = 0x40;
/// Read: frames received on all ports.
pub const RECEIVED: u64 = 0x48;
/// Read: doorbells of this function so far.
pub const DOORBELLS: u64 = 0x50;
/// Read: carriers, a bit a port.
pub const CARRIERS: u64 = 0x58;
/// Write by the PF: number of MSI-X vectors of each VF.
pub const VF_VECTORS: u64 = 0x60;

pub const PATTERN: [u8; 24] = *b"what the device has sent";

pub struct TestCore {
    registers: HashMap<(Function, u64), u64>,
    vf_vectors: u16,
}

impl TestCore {
    pub fn make(_: &NicConfig, _: Box<dyn Flash>) -> Box<dyn NicCore> {
        Box::new(TestCore {
            registers: HashMap::new(),
            vf_vectors: 4,
        })
    }

    fn register(&mut self, function: Function, offset: u64) -> &mut u64 {
        self.registers.entry((function, offset)).or_default()
    }
}

impl NicCore for TestCore {
    fn register_read(&mut self, _: &mut dyn Host, f: Function, offset: u64, data: &mut [u8]) {
        let value = self.register(f, offset).to_le_bytes();
        let count = data.len().min(8);
        data[..count].copy_from_slice(&value[..count]);
    }

    fn register_write(&mut self, host: &mut dyn Host, f: Function, offset: u64, data: &[u8]) {
        let mut bytes = [0; 8];
        let count = data.len().min(8);
        bytes[..count].copy_from_slice(&data[..count]);
        let value = u64::from_le_bytes(bytes);
        match offset {
            RAISE => host.interrupt(f, value as u16),
            DMA_WRITE => drop(host.dma_write(f, value, &PATTERN)),
            DMA_READ => {
                let mut read = [0; 8];
                let result = host.dma_read(f, value, &mut read);
                let read = result.map_or(u64::MAX, |()| u64::from_le_bytes(read));
                *self.register(f, DMA_DATA) = read;
            }
            TRANSMIT => drop(host.transmit(0, &vec![0x42; value as usize])),
            VF_VECTORS => self.vf_vectors = value as u16,
            _ => *self.register(f, offset) = value,
        }
    }

    fn power_on(&mut self, _: &mut dyn Host) {}

    fn doorbell_write(&mut self, _: &mut dyn Host, f: Function, _: u64, _: &[u8]) {
        *self.register(f, DOORBELLS) += 1;
    }

    fn function_reset(&mut self, _: &mut dyn Host, f: Function) {
        *self.register(f, RESETS) += 1;
    }

    fn set_bus_master(&mut self, _: Function, _: bool) {}

    fn set_vfs_enabled(&mut self, _: &mut dyn Host, count: u16) {
        *self.register(Function::Pf, VFS) = u64::from(count);
    }

    fn vectors(&self, f: Function) -> u16 {
        match f {
            Function::Pf => 8,
            Function::Vf(_) => self.vf_vectors,
        }
    }

    fn wire_receive(&mut self, _: &mut dyn Host, _: u8, _: &[u8]) {
        *self.register(Function::Pf, RECEIVED) += 1;
    }

    fn wire_carrier(&mut self, _: &mut dyn Host, port: u8, up: bool) {
        let carriers = self.register(Function::Pf, CARRIERS);
        *carriers = *carriers & !(1 << port) | (u64::from(up) << port);
    }

    fn poll(&mut self, _: &mut dyn Host) -> Option<u64> {
        None
    }

    fn control(&mut self, _: &mut dyn Host, request: &Value) -> Option<Result<Value, String>> {
        match request["cmd"].as_str() {
            Some("stats") => Some(Ok(json!({"core": "test"}))),
            Some("fail") => Some(Err("told to".to_string())),
            _ => None,
        }
    }
}
