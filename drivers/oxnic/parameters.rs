// SPDX-License-Identifier: GPL-2.0-only

//! `devlink dev param` of a function. Some take effect at once, some with the next `driver_reinit`, and none outlives the driver.
//!
//! What is in force is kept in atomics, which change with the lock of the devlink instance held and are read by anybody.

use crate::device::Device;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, //
    },
};
use oxnic_kapi::{
    devlink::{Instance, Parameter, Parameters, Value, Values},
    extack::{refuse, Extack},
};

/// What users have set of a function.
pub(crate) struct Settings {
    /// Faults are recovered from where devlink asks for it, and not only where a user does.
    error_reset: Atomic<bool>,
    /// A reset that the device asks for is done.
    remote_reset: Atomic<bool>,
    /// A core dump is taken when a fatal fault is told.
    snapshots: Atomic<bool>,
    /// VFs can be enabled.
    sriov: Atomic<bool>,
    /// The most that can be.
    vfs: Atomic<u32>,
    /// The most addresses that a port filters by itself.
    macs: Atomic<u32>,
}

impl Settings {
    pub(crate) const fn new() -> Self {
        Self {
            error_reset: Atomic::new(true),
            remote_reset: Atomic::new(true),
            snapshots: Atomic::new(false),
            sriov: Atomic::new(true),
            vfs: Atomic::new(u32::MAX),
            macs: Atomic::new(u32::MAX),
        }
    }

    /// Whether the driver resets the function after a fault by itself.
    pub(crate) fn resets_after_errors(&self) -> bool {
        self.error_reset.load(Relaxed)
    }

    /// Whether it does where the device asks for it.
    pub(crate) fn resets_on_request(&self) -> bool {
        self.remote_reset.load(Relaxed)
    }

    /// Whether core dumps are taken by themselves.
    pub(crate) fn takes_snapshots(&self) -> bool {
        self.snapshots.load(Relaxed)
    }
}

impl Device {
    /// The most VFs that can be enabled as the user has set it.
    pub(crate) fn vfs_allowed(&self) -> u16 {
        let most = self.settings.vfs.load(Relaxed).min(self.caps().vfs.into());
        if self.settings.sriov.load(Relaxed) {
            most as u16
        } else {
            0
        }
    }

    /// The most addresses of its own that a port filters by itself.
    pub(crate) fn macs_allowed(&self) -> usize {
        let most = self.settings.macs.load(Relaxed);
        most.min(self.caps().mac_list.into()) as usize
    }

    /// The fewest and the most vectors that can be asked for, and how many are needed.
    fn vectors_possible(&self) -> (u16, u16) {
        (1 + self.port_count(), self.registers.limits().vectors)
    }

    /// Brings into force what users have set for the next reload. There are no interfaces, and commands do not work.
    ///
    /// # Errors
    ///
    /// The function does not work with it, and the text says why.
    pub(crate) fn adopt(self: &Arc<Self>, extack: Option<&mut Extack>) -> Result {
        let number = |parameter| {
            let devlink = self.devlink.lock();
            let set = devlink
                .as_ref()
                .and_then(|devlink| devlink.reload_parameters());
            set.map_or(Err(ENODEV), |set| set.number(parameter))
        };
        self.settings
            .macs
            .store(number(Parameter::MaxMacs)?, Relaxed);
        let events = number(Parameter::EventQueueSize)?;
        self.events
            .resize(events.checked_ilog2().unwrap_or(0) as u8);
        if self.is_vf() {
            return Ok(());
        }
        let least = number(Parameter::VectorsMin)? as u16;
        let most = number(Parameter::VectorsMax)? as u16;
        if least > most {
            return Err(refuse(
                extack,
                EINVAL,
                fmt!("msix_vec_per_pf_min: it is above msix_vec_per_pf_max"),
            ));
        }
        self.renew_vectors(least, most).map_err(|error| {
            refuse(
                extack,
                error,
                fmt!("msix_vec_per_pf_min: so many vectors cannot be had"),
            )
        })
    }
}

/// The parameters as devlink sees them.
pub(crate) struct Knobs(pub(crate) Arc<Device>);

impl Values for Knobs {
    fn get(&self, parameter: Parameter) -> Result<Value> {
        let settings = &self.0.settings;
        Ok(match parameter {
            Parameter::InternalErrorReset => Value::Flag(settings.resets_after_errors()),
            Parameter::RemoteReset => Value::Flag(settings.resets_on_request()),
            Parameter::RegionSnapshot => Value::Flag(settings.takes_snapshots()),
            Parameter::EnableSriov => Value::Flag(settings.sriov.load(Relaxed)),
            Parameter::TotalVfs => {
                Value::Number(settings.vfs.load(Relaxed).min(self.0.caps().vfs.into()))
            }
            _ => return Err(EINVAL),
        })
    }

    fn default(&self, parameter: Parameter) -> Value {
        match parameter {
            Parameter::RegionSnapshot => Value::Flag(false),
            Parameter::TotalVfs => Value::Number(self.0.caps().vfs.into()),
            Parameter::MaxMacs => Value::Number(self.0.caps().mac_list.into()),
            Parameter::EventQueueSize => Value::Number(1 << self.0.events.default_log2()),
            Parameter::VectorsMax => Value::Number(self.0.vectors_possible().1.into()),
            Parameter::VectorsMin => Value::Number(self.0.vectors_possible().0.into()),
            _ => Value::Flag(true),
        }
    }

    fn set(&self, parameter: Parameter, value: Value, extack: Option<&mut Extack>) -> Result {
        let settings = &self.0.settings;
        match (parameter, value) {
            (Parameter::InternalErrorReset, Value::Flag(on)) => {
                settings.error_reset.store(on, Relaxed);
            }
            (Parameter::RemoteReset, Value::Flag(on)) => settings.remote_reset.store(on, Relaxed),
            (Parameter::RegionSnapshot, Value::Flag(on)) => settings.snapshots.store(on, Relaxed),
            (Parameter::EnableSriov, Value::Flag(on)) => {
                // Held so that none is enabled meanwhile.
                let vfs = self.0.vfs.lock();
                if !on && vfs.count() != 0 {
                    return Err(refuse(
                        extack,
                        EBUSY,
                        fmt!("enable_sriov: VFs are enabled; disable them first"),
                    ));
                }
                settings.sriov.store(on, Relaxed);
            }
            (Parameter::TotalVfs, Value::Number(most)) => {
                let there = self.0.caps().vfs;
                let vfs = self.0.vfs.lock();
                if most > there.into() {
                    return Err(refuse(
                        extack,
                        EINVAL,
                        fmt!("total_vfs: the device has {} VFs", there),
                    ));
                }
                if most < vfs.count().into() {
                    return Err(refuse(
                        extack,
                        EBUSY,
                        fmt!("total_vfs: {} VFs are enabled", vfs.count()),
                    ));
                }
                settings.vfs.store(most, Relaxed);
            }
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    fn check(&self, parameter: Parameter, value: Value, extack: Option<&mut Extack>) -> Result {
        let Value::Number(number) = value else {
            return Err(EINVAL);
        };
        let within = |least: u32, most: u32| (least..=most).contains(&number);
        match parameter {
            Parameter::MaxMacs => {
                let most = self.0.caps().mac_list;
                if !within(0, most.into()) {
                    return Err(refuse(
                        extack,
                        ERANGE,
                        fmt!("max_macs: the device filters {} addresses of a port", most),
                    ));
                }
            }
            Parameter::EventQueueSize => {
                let (least, most) = self.0.events.sizes();
                if !within(least, most) || !number.is_power_of_two() {
                    return Err(refuse(
                        extack,
                        ERANGE,
                        fmt!("event_eq_size: a power of two from {} to {}", least, most),
                    ));
                }
            }
            Parameter::VectorsMax | Parameter::VectorsMin => {
                let (least, most) = self.0.vectors_possible();
                if !within(least.into(), most.into()) {
                    return Err(refuse(
                        extack,
                        ERANGE,
                        fmt!("vectors of the function: {} to {}", least, most),
                    ));
                }
            }
            _ => return Err(EINVAL),
        }
        Ok(())
    }
}

/// Shows the parameters of a function that was taken over that take effect with a reload.
pub(crate) fn reload_parameters(
    device: &Arc<Device>,
    instance: &Arc<Instance>,
) -> Result<Parameters> {
    let all = [
        Parameter::MaxMacs,
        Parameter::EventQueueSize,
        Parameter::VectorsMax,
        Parameter::VectorsMin,
    ];
    show(device, instance, &all)
}

/// Shows the parameters that a function has, taken over or not.
pub(crate) fn parameters(device: &Arc<Device>, instance: &Arc<Instance>) -> Result<Parameters> {
    let all = [
        Parameter::InternalErrorReset,
        Parameter::RemoteReset,
        Parameter::RegionSnapshot,
        Parameter::EnableSriov,
        Parameter::TotalVfs,
    ];
    show(device, instance, &all)
}

/// Shows parameters, the last two of which are a PF's.
fn show(device: &Device, instance: &Arc<Instance>, all: &[Parameter]) -> Result<Parameters> {
    let count = if device.is_vf() {
        all.len() - 2
    } else {
        all.len()
    };
    Parameters::new(instance, &all[..count])
}
