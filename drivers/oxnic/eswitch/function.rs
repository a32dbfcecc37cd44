// SPDX-License-Identifier: GPL-2.0-only

//! What `devlink port function` shows and sets of a VF: the same settings as `ip link set vf` and `sriov_vf_msix_count`, and kept with them.

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

    fn max_io_eqs(&self, extack: Option<&mut Extack>) -> Result<u32> {
        let info = self
            .device
            .vf_info(self.vf)
            .map_err(|error| refuse(extack, error, fmt!("VF {} cannot be asked", self.vf)))?;
        Ok(u32::from(info.vectors).saturating_sub(vf::CONTROL_VECTORS.into()))
    }

    fn set_max_io_eqs(&self, count: u32, extack: Option<&mut Extack>) -> Result {
        let most = self.device.caps().vf_vectors_max;
        let most = most.saturating_sub(vf::CONTROL_VECTORS);
        let possible = u16::try_from(count).ok();
        let possible = possible.filter(|count| (1..=most).contains(count));
        let Some(count) = possible else {
            return Err(refuse(
                extack,
                EINVAL,
                fmt!("max_io_eqs: from 1 to {} are possible", most),
            ));
        };
        let vectors = count.saturating_add(vf::CONTROL_VECTORS);
        let set = || vf::change_vectors(&self.device, self.vf, vectors);
        match self.device.binding().while_vf_is_free(self.vf, set) {
            None => Err(refuse(
                extack,
                EBUSY,
                fmt!("max_io_eqs: the VF is in use, unbind its driver first"),
            )),
            Some(Err(error)) if Error::from(error) == ENOSPC => Err(refuse(
                extack,
                ENOSPC,
                fmt!("max_io_eqs: not so many are left of those for all VFs"),
            )),
            Some(Err(error)) => Err(refuse(extack, error.into(), fmt!("max_io_eqs: {}", error))),
            Some(Ok(())) => Ok(()),
        }
    }
}
