// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A core and its host: accesses, time, frames.

use super::FakeHost;
use oxnic_abi::doorbell::{self, DoorbellKind};
use oxnic_abi::regs::{control, device};
use oxnic_model::host::{Function, NicConfig, NicCore};
use oxnic_model::nic::Nic;

/// A core and its host.
pub struct Device {
    pub nic: Nic,
    pub host: FakeHost,
}

impl Device {
    pub fn new(ports: u8, vfs: u16) -> Self {
        Self::with_memory(ports, vfs, 64 << 20)
    }

    pub fn with_memory(ports: u8, vfs: u16, bytes: usize) -> Self {
        let config = NicConfig {
            ports,
            max_vfs: vfs,
            mac: [0x02, 0, 0, 0x12, 0x34, 0x10],
        };
        let mut device = Self {
            nic: Nic::new(config),
            host: FakeHost::new(bytes),
        };
        device.nic.set_bus_master(Function::Pf, true);
        for port in 0..ports {
            device.carrier(port, true);
        }
        device
    }

    pub fn carrier(&mut self, port: u8, up: bool) {
        self.nic.wire_carrier(&mut self.host, port, up);
    }

    /// Polls until nothing is due.
    pub fn settle(&mut self) -> Option<u64> {
        for _ in 0..100_000 {
            match self.nic.poll(&mut self.host) {
                Some(at) if at <= self.host.now => {}
                other => return other,
            }
        }
        panic!("the device always has more to do");
    }

    /// Lets time pass, with polls at each deadline.
    pub fn advance(&mut self, nanoseconds: u64) {
        let end = self.host.now + nanoseconds;
        while let Some(at) = self.settle().filter(|at| *at <= end) {
            self.host.now = at.max(self.host.now);
        }
        self.host.now = end;
        self.settle();
    }

    pub fn read(&mut self, function: Function, offset: u32) -> u32 {
        let mut word = [0; 4];
        self.nic
            .register_read(&mut self.host, function, u64::from(offset), &mut word);
        u32::from_le_bytes(word)
    }

    pub fn write(&mut self, function: Function, offset: u32, value: u32) {
        let offset = u64::from(offset);
        self.nic
            .register_write(&mut self.host, function, offset, &value.to_le_bytes());
    }

    pub fn write64(&mut self, function: Function, offset: u32, value: u64) {
        self.write(function, offset, value as u32);
        self.write(function, offset + 4, (value >> 32) as u32);
    }

    pub fn ring(&mut self, function: Function, kind: DoorbellKind, queue: u16, index: u32) {
        let value = doorbell::encode(kind, u32::from(queue), index);
        self.nic
            .doorbell_write(&mut self.host, function, 0, &value.to_le_bytes());
    }

    pub fn receive(&mut self, port: u8, frame: &[u8]) {
        self.nic.wire_receive(&mut self.host, port, frame);
        self.settle();
    }

    pub fn control(&mut self, request: serde_json::Value) -> serde_json::Value {
        self.nic.control(&mut self.host, &request).unwrap().unwrap()
    }

    pub fn try_control(&mut self, request: serde_json::Value) -> Result<serde_json::Value, String> {
        self.nic.control(&mut self.host, &request).unwrap()
    }

    pub fn function_level_reset(&mut self, function: Function) {
        self.nic.function_reset(&mut self.host, function);
        self.settle();
    }

    pub fn reset(&mut self, function: Function) {
        self.write(function, device::CONTROL, control::RESET);
    }
}
