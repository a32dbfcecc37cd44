// SPDX-License-Identifier: GPL-2.0-only

//! The function in devlink: its versions, and a port for each of its interfaces.

use crate::device::Device;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use oxnic_kapi::{
    devlink::{Flavour, InfoRequest, Instance, Operations, Port, Registered},
    extack::Extack,
    pci::Binding, //
};

/// What `devlink dev info` shows; it does not change while the function is bound.
struct Versions {
    binding: Binding,
    model: u32,
    device: u32,
}

impl Operations for Versions {
    fn info(&self, request: &mut InfoRequest<'_>, _extack: Option<&mut Extack>) -> Result {
        if let Some(serial) = self.binding.serial_number() {
            let [a, b, c, d, e, f, g, h] = serial.to_be_bytes();
            request.serial(fmt!(
                "{a:02x}-{b:02x}-{c:02x}-{d:02x}-{e:02x}-{f:02x}-{g:02x}-{h:02x}"
            ))?;
        }
        request.fixed(c"asic.id", fmt!("{:#x}", self.model))?;
        request.running(
            c"fw.mgmt.api",
            fmt!("{}.{}", self.device >> 16, self.device & 0xffff),
        )
    }
}

/// The devlink instance of a function, visible until dropped.
pub(crate) struct Devlink {
    registered: Registered,
}

impl Devlink {
    /// Makes the instance of a function and shows it.
    pub(crate) fn new(device: &Arc<Device>) -> Result<Self> {
        let limits = device.registers.limits();
        let versions = Versions {
            binding: device.binding().clone(),
            model: limits.model,
            device: limits.version,
        };
        let instance = Instance::new(device.binding(), KBox::new(versions, GFP_KERNEL)?)?;
        Ok(Self {
            registered: Registered::new(instance),
        })
    }

    /// Makes the port that goes with an interface of the function.
    pub(crate) fn port(&self, device: &Device, vport: u16) -> Result<Arc<Port>> {
        let flavour = if device.is_vf() {
            Flavour::Virtual
        } else {
            Flavour::Physical(vport.into())
        };
        Port::new(self.registered.instance(), vport.into(), flavour)
    }
}
