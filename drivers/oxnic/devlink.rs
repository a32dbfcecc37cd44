// SPDX-License-Identifier: GPL-2.0-only

//! The function in devlink: its versions, its eswitch, its firmware, its parameters, and a port for each of its interfaces.

use crate::{
    device::Device,
    eswitch::{Function, Switch},
    firmware::{activate, flash::Flash, Firmware},
    flow::{
        occupancy,
        reporter::{reporter, Rules}, //
    },
    parameters::{parameters, reload_parameters, Knobs},
    rate::Verbs,
    regions::Regions, //
};
use kernel::{
    prelude::*,
    sync::{Arc, SetOnce}, //
};
use oxnic_kapi::{
    devlink::{
        Action, Eswitch, Flavour, Health, InfoRequest, Instance, Operations, Parameters, Port,
        Rates, Region, Registered, Reload, Resources, SwitchId, Values,
    },
    extack::{refuse, Extack},
    pci::Binding, //
};

/// What devlink asks of a function.
struct Answers {
    binding: Binding,
    model: u32,
    version: u32,
    device: Arc<Device>,
    knobs: Knobs,
    /// Of a PF, which has one or not.
    switch: Option<Switch>,
    /// Of a PF that has rates, or has not said yet whether it has.
    rates: Option<Verbs>,
    /// Once the device has said that it has some.
    firmware: Arc<SetOnce<Firmware>>,
}

impl Answers {
    fn known_firmware(&self) -> Option<&Firmware> {
        SetOnce::as_ref(&self.firmware)
    }
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
        match self.known_firmware() {
            Some(firmware) => firmware.info(request),
            None => Ok(()),
        }
    }

    fn parameters(&self) -> Option<&dyn Values> {
        Some(&self.knobs)
    }

    fn is_pf(&self) -> bool {
        self.switch.is_some()
    }

    fn eswitch(&self) -> Option<&dyn Eswitch> {
        let switch = self.switch.as_ref()?;
        self.device.eswitch.is_there().then_some(switch)
    }

    fn rates(&self) -> Option<&dyn Rates> {
        self.rates.as_ref().map(|rates| rates as &dyn Rates)
    }

    fn reload(&self) -> &dyn Reload {
        self
    }

    fn firmware(&self) -> Option<&dyn oxnic_kapi::devlink::Firmware> {
        let firmware = self.known_firmware()?;
        Some(firmware)
    }
}

impl Reload for Answers {
    fn down(&self, action: Action, extack: Option<&mut Extack>) -> Result {
        match (action, self.known_firmware()) {
            (Action::Reinit, _) => self.device.take_down(extack),
            (_, Some(firmware)) => {
                activate::begin(firmware, action == Action::ActivateLive, extack)
            }
            (_, None) => Err(no_firmware(extack)),
        }
    }

    fn up(&self, action: Action, extack: Option<&mut Extack>) -> Result {
        match (action, self.known_firmware()) {
            (Action::Reinit, _) => self.device.bring_back(extack),
            (_, Some(firmware)) => {
                activate::finish(firmware, action == Action::ActivateLive, extack)
            }
            (_, None) => Err(no_firmware(extack)),
        }
    }
}

fn no_firmware(extack: Option<&mut Extack>) -> Error {
    refuse(
        extack,
        EOPNOTSUPP,
        fmt!("fw_activate: the device has no firmware that can be updated"),
    )
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
    resources: Option<Resources>,
    rules: Option<Arc<Health<Rules>>>,
    reload_parameters: Option<Parameters>,
    _parameters: Parameters,
    flash: Option<Region<Flash>>,
    pub(crate) regions: Arc<Regions>,
    firmware: Arc<SetOnce<Firmware>>,
    registered: Registered,
}

impl Devlink {
    /// Makes the instance of a function and shows it. The function may not have been taken over yet.
    pub(crate) fn new(device: &Arc<Device>) -> Result<Self> {
        let limits = device.registers.limits();
        let firmware = Arc::new(SetOnce::new(), GFP_KERNEL)?;
        let answers = Answers {
            binding: device.binding().clone(),
            model: limits.model,
            version: limits.version,
            // References go with the instance, which remove takes from the device.
            device: device.clone(),
            knobs: Knobs(device.clone()),
            switch: (!device.is_vf()).then(|| Switch(device.clone())),
            rates: device.may_have_rates().then(|| Verbs(device.clone())),
            firmware: firmware.clone(),
        };
        let instance = Instance::new(device.binding(), KBox::new(answers, GFP_KERNEL)?)?;
        Ok(Self {
            resources: None,
            rules: None,
            reload_parameters: None,
            _parameters: parameters(device, &instance)?,
            flash: None,
            regions: Arc::new(Regions::new(device, &instance)?, GFP_KERNEL)?,
            firmware,
            registered: Registered::new(instance),
        })
    }

    /// Adds what a function that was taken over has, as far as that is not there yet. The lock of the instance is held or not.
    pub(crate) fn complete(&mut self, device: &Arc<Device>) -> Result {
        self.find_firmware(device);
        if let (None, Some(firmware)) = (&self.flash, SetOnce::as_ref(&self.firmware)) {
            self.flash = firmware.region(self.instance())?;
        }
        if self.reload_parameters.is_none() {
            self.reload_parameters = Some(reload_parameters(device, self.instance())?);
        }
        if device.eswitch.is_there() && self.rules.is_none() {
            self.resources = Some(occupancy::resources(device, self.instance())?);
            let rules = reporter(device, self.instance())?;
            self.rules = Some(Arc::new(rules, GFP_KERNEL)?);
        }
        Ok(())
    }

    /// Asks a device whose commands work for its firmware.
    pub(crate) fn find_firmware(&self, device: &Arc<Device>) {
        if SetOnce::as_ref(&self.firmware).is_none() {
            if let Some(firmware) = Firmware::discover(device) {
                self.firmware.populate(firmware);
            }
        }
    }

    /// What users set for the next reload, of a function that was taken over.
    pub(crate) fn reload_parameters(&self) -> Option<&Parameters> {
        self.reload_parameters.as_ref()
    }

    /// The instance, to take its lock.
    pub(crate) fn instance(&self) -> &Arc<Instance> {
        self.registered.instance()
    }

    /// The reporter of rules, of a device that can have any.
    pub(crate) fn rules(&self) -> Option<Arc<Health<Rules>>> {
        self.rules.clone()
    }
}

/// Makes the port that goes with an interface of the function.
pub(crate) fn own_port(instance: &Arc<Instance>, device: &Device, vport: u16) -> Result<Arc<Port>> {
    let flavour = if device.is_vf() {
        Flavour::Virtual
    } else {
        Flavour::Physical {
            number: vport.into(),
            switch: switch_id(device),
        }
    };
    Port::new(instance, vport.into(), flavour, None)
}

/// Makes the port that goes with the representor of a VF, and its leaf. The lock of the instance is held.
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
    let port = Port::new(instance, vport.into(), flavour, Some(function))?;
    if device.rates.caps().is_some() {
        port.add_leaf(vf, &device.rates.leaf(vf))?;
    }
    Ok(port)
}
