// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -p`: the wire port blinks. Its light is the PF's alone.

use crate::cmd;
use crate::netdev::NetPort;
use kernel::prelude::*;
use oxnic_kapi::net::ethtool::identify::Operations;
use oxnic_kapi::net::netdev::Locked;

#[vtable]
impl Operations for NetPort {
    fn identify(&self, _netdev: &Locked, on: bool) -> Result {
        if !self.has_wire() {
            return Err(EOPNOTSUPP);
        }
        cmd::port::identify(&self.device, self.share.vport, on).map_err(|error| self.failed(error))
    }
}
