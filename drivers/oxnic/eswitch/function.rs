// SPDX-License-Identifier: GPL-2.0-only

//! What `devlink port function` shows and sets of a VF: the same settings as `ip link set vf`, and kept with them.

use crate::{device::Device, vf};
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::{
    devlink::{self, HW_ADDR_LENGTH},
    extack::{refuse, Extack}, //
};

/// The VF that a port of the eswitch leads to.
pub(crate) struct Function {
    pub(crate) device: Arc<Device>,
    pub(crate) vf: u16,
}

impl devlink::Function for Function {
    fn hw_addr(&self, extack: Option<&mut Extack>) -> Result<[u8; HW_ADDR_LENGTH]> {
        let info = self
            .device
            .vf_info(self.vf)
            .map_err(|error| refuse(extack, error, fmt!("VF {} cannot be asked", self.vf)))?;
        Ok(info.mac)
    }

    fn set_hw_addr(&self, address: &[u8; HW_ADDR_LENGTH], extack: Option<&mut Extack>) -> Result {
        vf::change_mac(&self.device, self.vf, *address).map_err(|error| {
            let code = Error::from(error);
            refuse(extack, code, fmt!("hw_addr: {}", error))
        })
    }
}
