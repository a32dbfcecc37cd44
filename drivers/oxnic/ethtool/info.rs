// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -i`: the device's model and interface version stand for its firmware.

use crate::netdev::NetPort;
use kernel::prelude::*;
use oxnic_kapi::net::ethtool::info::{DriverInfo, Operations};
use oxnic_kapi::net::netdev::Locked;

#[vtable]
impl Operations for NetPort {
    fn driver_info(&self, _netdev: &Locked, info: &mut DriverInfo) {
        let limits = self.device.registers.limits();
        let (major, minor) = (limits.version >> 16, limits.version & 0xffff);
        info.set_firmware(fmt!("model {} interface {}.{}", limits.model, major, minor));
    }
}
