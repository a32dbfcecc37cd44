// SPDX-License-Identifier: GPL-2.0-only

//! `devlink dev param` of a function. All take effect at once, and none outlives the driver.
//!
//! What is set is kept in atomics, which change with the lock of the devlink instance held and are read by anybody.

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
}

impl Settings {
    pub(crate) const fn new() -> Self {
        Self {
            error_reset: Atomic::new(true),
            remote_reset: Atomic::new(true),
            snapshots: Atomic::new(false),
            sriov: Atomic::new(true),
            vfs: Atomic::new(u32::MAX),
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
        })
    }

    fn default(&self, parameter: Parameter) -> Value {
        match parameter {
            Parameter::RegionSnapshot => Value::Flag(false),
            Parameter::TotalVfs => Value::Number(self.0.caps().vfs.into()),
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
}

/// Shows the parameters that a function has.
pub(crate) fn parameters(device: &Arc<Device>, instance: &Arc<Instance>) -> Result<Parameters> {
    let all = [
        Parameter::InternalErrorReset,
        Parameter::RemoteReset,
        Parameter::RegionSnapshot,
        Parameter::EnableSriov,
        Parameter::TotalVfs,
    ];
    // The last two are a PF's.
    let count = if device.is_vf() {
        all.len() - 2
    } else {
        all.len()
    };
    Parameters::new(instance, &all[..count])
}
