// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -d`: the register blocks of BAR 0 as they are, which the region `registers` of devlink shows, too. Version 1 of the layout; a
//! register that cannot be read, as the device is gone, is all ones, as on the bus.

use crate::netdev::NetPort;
use kernel::prelude::*;
use oxnic_kapi::net::ethtool::registers::Operations;
use oxnic_kapi::net::netdev::Locked;

/// Version of the layout.
const VERSION: u32 = 1;

#[vtable]
impl Operations for NetPort {
    fn registers_length(&self) -> usize {
        self.device.registers.length()
    }

    fn registers(&self, _device: &Locked, data: &mut [u8]) -> u32 {
        for (offset, bytes) in (0..).step_by(4).zip(data.chunks_exact_mut(4)) {
            let word = self.device.registers.peek(offset).unwrap_or(u32::MAX);
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        VERSION
    }
}
