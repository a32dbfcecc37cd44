// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -m`: what is plugged into the wire port, by its own memory.

use crate::cmd;
use crate::netdev::NetPort;
use kernel::prelude::*;
use oxnic_abi::caps::features;
use oxnic_abi::port::ModuleRead;
use oxnic_kapi::extack::{refuse, Extack};
use oxnic_kapi::net::ethtool::module::{Operations, Place};
use oxnic_kapi::net::netdev::Locked;

#[vtable]
impl Operations for NetPort {
    fn read_module(
        &self,
        _netdev: &Locked,
        place: Place,
        out: &mut [u8],
        mut extack: Option<&mut Extack>,
    ) -> Result<usize> {
        if !self.has_wire() {
            return Err(refuse(extack, EOPNOTSUPP, fmt!("the module is the PF's")));
        }
        if self.device.caps().features & features::MODULE == 0 {
            let text = fmt!("the device does not read modules");
            return Err(refuse(extack, EOPNOTSUPP, text));
        }
        // In one half of the memory, as the device wants it.
        let length = u8::try_from(out.len())
            .map_err(|_| refuse(extack.as_deref_mut(), EINVAL, fmt!("a page ends before")))?;
        let read = ModuleRead {
            page: place.page,
            bank: place.bank,
            address: place.address,
            offset: place.offset,
            length,
        };
        cmd::port::module(&self.device, self.share.vport, &read, out)
            .map_err(|error| refuse(extack, error.into(), fmt!("{}", error)))?;
        Ok(out.len())
    }
}
