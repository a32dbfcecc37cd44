// SPDX-License-Identifier: GPL-2.0-only

//! The health reporters of a function, as a set: who is told of which fault.
//!
//! They are made when the function is shown in devlink, those of queues once there are any, and go before interfaces do. All
//! of the function but bearable faults is recovered in one way, [`Device::revive`]; reporters differ in what they show and count.
//!
//! Devlink takes the lock of its instance while it is told of a fault, and who makes all interfaces anew holds that lock. So the mutex
//! `ports` is not held meanwhile: it counts those who tell of a port's queues, whose reporters cannot go before they are done. `telling` is held, so
//! that one fault is told at a time: to devlink, one that is told while it still waits for that lock with another is one that comes before the
//! first was recovered from, and nobody recovers then.

use super::{
    fault::{self, Fault, Part},
    firmware::{Fatal, Firmware},
    queues::{Flow, Queues, Receive, Transmit},
};
use crate::device::Device;
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{Arc, Mutex, SetOnce}, //
};
use oxnic_kapi::{
    devlink::{Health, Instance, Port},
    extack::{refuse, Extack}, //
};

/// Those of a port.
struct OfPort {
    transmit: Health<Queues<Transmit>>,
    receive: Health<Queues<Receive>>,
}

/// Those of all own ports.
struct Ports {
    /// By vport.
    all: Option<Arc<KVec<OfPort>>>,
    /// So many are telling of one, or may be.
    users: u32,
}

/// All of a function.
#[pin_data]
pub(crate) struct Reporters {
    // First, as they are dropped in this order: nobody tells of queues when nobody tells of the function.
    #[pin]
    ports: Mutex<Ports>,
    #[pin]
    telling: Mutex<()>,
    /// Where there is a flow engine.
    flow: SetOnce<Health<Flow>>,
    firmware: Health<Firmware>,
    fatal: Health<Fatal>,
}

impl Reporters {
    /// Those of a function that may not have been taken over yet.
    pub(crate) fn new(device: &Arc<Device>, instance: &Arc<Instance>) -> Result<Arc<Self>> {
        let none = Ports {
            all: None,
            users: 0,
        };
        Arc::pin_init(
            try_pin_init!(Self {
                ports <- new_mutex!(none),
                telling <- new_mutex!(()),
                flow: SetOnce::new(),
                firmware: Health::new(instance.clone(), Firmware(device.clone()))?,
                fatal: Health::new(instance.clone(), Fatal(device.clone()))?,
            }),
            GFP_KERNEL,
        )
    }

    /// Adds those of the queues of a function that was taken over and whose own ports are these, in their order. The lock of the
    /// instance is held by the caller or not.
    pub(crate) fn add_queues(
        &self,
        device: &Arc<Device>,
        instance: &Arc<Instance>,
        ports: &[Arc<Port>],
    ) -> Result {
        if device.eswitch.is_there() && self.flow.as_ref().is_none() {
            let flow = Health::new(instance.clone(), Flow(device.clone()))?;
            self.flow.populate(flow);
        }
        let mut all = KVec::with_capacity(ports.len(), GFP_KERNEL)?;
        for (vport, port) in ports.iter().enumerate() {
            let vport = vport as u16;
            let of_port = OfPort {
                transmit: Health::of_port(port.clone(), Queues::new(device, vport))?,
                receive: Health::of_port(port.clone(), Queues::new(device, vport))?,
            };
            all.push(of_port, GFP_KERNEL)?;
        }
        self.ports.lock().all = Some(Arc::new(all, GFP_KERNEL)?);
        Ok(())
    }

    /// Takes those of ports away, which are about to go. The lock of the instance is held.
    ///
    /// # Errors
    ///
    /// `EBUSY`: somebody is telling of one, and waits for that lock. They stay.
    pub(crate) fn remove_ports(&self) -> Result {
        let gone = {
            let mut ports = self.ports.lock();
            if ports.users != 0 {
                return Err(EBUSY);
            }
            ports.all.take()
        };
        drop(gone);
        Ok(())
    }

    /// Works on the reporters of ports, if there are any.
    fn with_ports<R>(&self, f: impl FnOnce(&[OfPort]) -> R) -> Option<R> {
        let all = {
            let mut ports = self.ports.lock();
            let all = ports.all.clone()?;
            ports.users += 1;
            all
        };
        let result = f(&all);
        // Before anybody can think that these are all of them.
        drop(all);
        self.ports.lock().users -= 1;
        Some(result)
    }

    /// Works on those of a port. Those of the first wire port tell of representors, too, which come and go while others report.
    fn with_port(&self, vport: u16, f: impl FnOnce(&OfPort) -> Result) -> Result {
        let told = self.with_ports(|ports| {
            let port = ports.get(usize::from(vport)).or_else(|| ports.first());
            port.map_or(Err(ENOENT), f)
        });
        told.unwrap_or(Err(ENOENT))
    }

    fn report(&self, text: &CStr, fault: &Fault) -> Result {
        let _telling = self.telling.lock();
        match fault.part() {
            Part::Firmware => self.firmware.report(text, fault),
            Part::Fatal => self.fatal.report(text, fault),
            Part::Transmit => self.with_port(fault.vport, |port| port.transmit.report(text, fault)),
            Part::Receive => self.with_port(fault.vport, |port| port.receive.report(text, fault)),
            Part::Flow => self.flow.as_ref().ok_or(ENOENT)?.report(text, fault),
        }
    }

    fn set_well(&self) {
        self.firmware.set_well();
        self.fatal.set_well();
        if let Some(flow) = self.flow.as_ref() {
            flow.set_well();
        }
        self.with_ports(|ports| {
            for port in ports {
                port.transmit.set_well();
                port.receive.set_well();
            }
        });
    }
}

impl Device {
    pub(crate) fn reporters(&self) -> Option<Arc<Reporters>> {
        self.reporters.lock().clone()
    }

    /// Tells users of a fault by devlink, which has it recovered, where the user has not turned that off. Neither the lock of the
    /// instance nor the one of recovery is held.
    pub(crate) fn tell_fault(self: &Arc<Self>, fault: &Fault) {
        let text = CString::try_from_fmt(fmt!("{}", fault));
        let text: &CStr = text.as_deref().unwrap_or(c"no memory to say what");
        let reporters = self.reporters();
        if fault.part() == Part::Fatal {
            self.take_core();
        }
        let told = reporters.map_or(Err(ENOENT), |reporters| reporters.report(text, fault));
        if told == Err(ENOENT) && !fault.is_bearable() {
            // There is nobody to be told, before probe has come so far.
            let _ = self.revive(Some(fault), None);
        }
    }

    /// Has a reporter tell of a fault that there is not, soon, as a user wants.
    ///
    /// # Errors
    ///
    /// `EBUSY`: the function does not work, so that nothing would be told.
    pub(super) fn test_part(
        self: &Arc<Self>,
        part: Part,
        vport: u16,
        extack: Option<&mut Extack>,
    ) -> Result {
        if !self.commands.is_started() {
            return Err(refuse(extack, EBUSY, fmt!("the function does not work")));
        }
        self.request_reset(fault::test(part, vport));
        Ok(())
    }

    /// Keeps a core dump, where the user wants that.
    fn take_core(&self) {
        if let Some(instance) = self.instance() {
            let regions = self
                .devlink
                .lock()
                .as_ref()
                .map(|devlink| devlink.regions.clone());
            let _locked = instance.lock();
            if let Some(regions) = regions {
                regions.take_core(self);
            }
        }
    }

    /// The function works as a whole: nothing that was found of it before is still so.
    pub(crate) fn show_well(&self) {
        if let Some(reporters) = self.reporters() {
            reporters.set_well();
        }
    }

    /// The function does not work, and is not about to be recovered.
    pub(crate) fn show_failed(&self) {
        if let Some(reporters) = self.reporters() {
            reporters.fatal.set_failed();
        }
    }
}
