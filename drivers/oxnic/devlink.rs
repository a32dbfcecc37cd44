// SPDX-License-Identifier: GPL-2.0-only

//! The function in devlink: its versions, its eswitch, its firmware, and a port for each of its interfaces.

use crate::{
    device::Device,
    eswitch::{Function, Switch},
    firmware::{activate, Firmware},
    flow::{
        occupancy,
        reporter::{reporter, Rules}, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use oxnic_kapi::{
    devlink::{
        Action, Eswitch, Flavour, Health, InfoRequest, Instance, Operations, Port, Registered,
        Reload, Resources, SwitchId,
    },
    extack::Extack,
    pci::Binding, //
};

/// What devlink asks of a function.
struct Answers {
    binding: Binding,
    model: u32,
    version: u32,
    device: Arc<Device>,
    switch: Option<Switch>,
    firmware: Option<Firmware>,
}

impl Operations for Answers {
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
            fmt!("{}.{}", self.version >> 16, self.version & 0xffff),
        )?;
        match &self.firmware {
            Some(firmware) => firmware.info(request),
            None => Ok(()),
        }
    }

    fn eswitch(&self) -> Option<&dyn Eswitch> {
        self.switch.as_ref().map(|switch| switch as &dyn Eswitch)
    }

    fn reload(&self) -> &dyn Reload {
        self
    }

    fn firmware(&self) -> Option<&dyn oxnic_kapi::devlink::Firmware> {
        let firmware = self.firmware.as_ref()?;
        Some(firmware)
    }
}

impl Reload for Answers {
    fn down(&self, action: Action, extack: Option<&mut Extack>) -> Result {
        match (action, &self.firmware) {
            (Action::Reinit, _) => self.device.take_down(extack),
            (_, Some(firmware)) => {
                activate::begin(firmware, action == Action::ActivateLive, extack)
            }
            (_, None) => Err(EOPNOTSUPP),
        }
    }

    fn up(&self, action: Action, extack: Option<&mut Extack>) -> Result {
        match (action, &self.firmware) {
            (Action::Reinit, _) => self.device.bring_back(extack),
            (_, Some(firmware)) => {
                activate::finish(firmware, action == Action::ActivateLive, extack)
            }
            (_, None) => Err(EOPNOTSUPP),
        }
    }
}

/// What all ports of the device have in common: its serial number.
fn switch_id(device: &Device) -> Option<SwitchId> {
    if !device.eswitch.is_there() {
        return None;
    }
    device.binding().serial_number().map(u64::to_be_bytes)
}

/// The devlink instance of a function, visible until dropped.
pub(crate) struct Devlink {
    // In this order: they go before what they belong to.
    _resources: Option<Resources>,
    rules: Option<Arc<Health<Rules>>>,
    registered: Registered,
}

impl Devlink {
    /// Makes the instance of a function and shows it.
    pub(crate) fn new(device: &Arc<Device>) -> Result<Self> {
        let limits = device.registers.limits();
        let there = device.eswitch.is_there();
        let answers = Answers {
            binding: device.binding().clone(),
            model: limits.model,
            version: limits.version,
            // References go with the instance, which remove takes from the device.
            device: device.clone(),
            switch: there.then(|| Switch(device.clone())),
            firmware: Firmware::discover(device),
        };
        let instance = Instance::new(device.binding(), KBox::new(answers, GFP_KERNEL)?)?;
        let resources = match there {
            true => Some(occupancy::resources(device, &instance)?),
            false => None,
        };
        let rules = match there {
            true => Some(Arc::new(reporter(device, &instance)?, GFP_KERNEL)?),
            false => None,
        };
        Ok(Self {
            _resources: resources,
            rules,
            registered: Registered::new(instance),
        })
    }

    /// The instance, to take its lock.
    pub(crate) fn instance(&self) -> &Arc<Instance> {
        self.registered.instance()
    }

    /// The reporter of rules, of a device that can have any.
    pub(crate) fn rules(&self) -> Option<Arc<Health<Rules>>> {
        self.rules.clone()
    }

    /// Makes the port that goes with an interface of the function.
    pub(crate) fn port(&self, device: &Device, vport: u16) -> Result<Arc<Port>> {
        let flavour = if device.is_vf() {
            Flavour::Virtual
        } else {
            Flavour::Physical {
                number: vport.into(),
                switch: switch_id(device),
            }
        };
        Port::new(self.instance(), vport.into(), flavour, None)
    }
}

/// Makes the port that goes with the representor of a VF.
pub(crate) fn vf_port(
    instance: &Arc<Instance>,
    device: &Arc<Device>,
    vport: u16,
    vf: u16,
) -> Result<Arc<Port>> {
    let function = KBox::new(
        Function {
            device: device.clone(),
            vf,
        },
        GFP_KERNEL,
    )?;
    let flavour = Flavour::PciVf {
        pf: 0,
        vf,
        switch: switch_id(device).unwrap_or_default(),
    };
    Port::new(instance, vport.into(), flavour, Some(function))
}
