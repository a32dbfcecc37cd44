// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The driver's half for tests: a host made of one array, and a driver that does the real bring-up against the NIC core.
//!
//! [`FakeHost`] owns memory, the clock and what went out; [`Device`] joins it with a core; [`Driver`] knows one function's
//! control rings, [`Tx`] and [`Rx`] a queue each, [`Port`] all of a function that works. The host can be told which memory
//! the device may write, and panics when it writes elsewhere.

mod device;
mod driver;
mod flow;
mod host;
mod rx;
mod tx;

pub use device::Device;
pub use driver::Driver;
pub use flow::FlowQueue;
pub use host::{BASE, FakeHost};
use oxnic_abi::command::Opcode;
use oxnic_model::host::{Function, NicCore};
pub use rx::{Received, Rx};
pub use tx::Tx;

/// A function that works: driver, one transmit and one receive queue, enabled vport.
pub struct Port {
    pub driver: Driver,
    pub tx: Tx,
    pub rx: Rx,
    pub mac: [u8; 6],
}

impl Port {
    pub fn new(device: &mut Device, function: Function) -> Self {
        let mut driver = Driver::new(device, function);
        let tx = Tx::new(device, &mut driver, 0, 0, 1, 8);
        let rx = Rx::new(device, &mut driver, 0, 0, 1, 8, 2048);
        driver.enable(device, 0);
        let mac = driver.info(device, 0).mac;
        Self {
            driver,
            tx,
            rx,
            mac,
        }
    }

    /// Enables VFs on the bus and in the PF, and brings each up.
    pub fn vfs(device: &mut Device, pf: &mut Driver, count: u16) -> Vec<Self> {
        pf.enable_vfs(device, count);
        (0..count)
            .map(|vf| Self::new(device, Function::Vf(vf)))
            .collect()
    }
}

impl Driver {
    pub fn enable_vfs(&mut self, device: &mut Device, count: u16) {
        let range = oxnic_abi::vf::VfRange { first: 0, count };
        self.set_ok(device, Opcode::VF_ENABLE, 0, range.to_words());
        device.nic.set_vfs_enabled(&mut device.host, count);
        for vf in 0..count {
            device.nic.set_bus_master(Function::Vf(vf), true);
        }
    }
}

/// An Ethernet frame with a payload that can be told from others.
pub fn frame(destination: [u8; 6], source: [u8; 6], length: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = destination
        .into_iter()
        .chain(source)
        .chain([0x12, 0x34])
        .collect();
    frame.extend((frame.len()..length.max(14)).map(|i| (i * 7 + length) as u8));
    frame
}

/// The same with a tag behind the addresses.
pub fn tagged(frame: &[u8], tpid: u16, tci: u16) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    out.extend(tpid.to_be_bytes());
    out.extend(tci.to_be_bytes());
    out.extend(&frame[12..]);
    out
}
