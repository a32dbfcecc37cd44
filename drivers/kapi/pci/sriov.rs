// SPDX-License-Identifier: GPL-2.0-only

//! Virtual functions as the PCI core sees them. Both switches need the device's lock, hence a [`Core`].

use super::{driver, Binding, Core, Driver};
use crate::raw;
use kernel::{error::to_result, prelude::*, sync::Arc};
use oxnic_bindings as bindings;

/// Makes VFs appear on the bus; their driver, maybe this one, is bound before it returns.
///
/// # Errors
///
/// As the PCI core says; then there are none.
pub fn enable(dev: &Core<'_>, count: u16) -> Result {
    // SAFETY: The device is valid and locked.
    to_result(unsafe { bindings::pci_enable_sriov(raw::pci_dev(dev), count.into()) })
}

/// Takes all VFs from the bus, after their drivers have let go of them.
pub fn disable(dev: &Core<'_>) {
    // SAFETY: The device is valid and locked.
    unsafe { bindings::pci_disable_sriov(raw::pci_dev(dev)) }
}

/// Whether a VF is in the hands of a guest, and must not be taken away.
pub fn any_assigned(dev: &Core<'_>) -> bool {
    // SAFETY: The device is valid and locked.
    unsafe { bindings::pci_vfs_assigned(raw::pci_dev(dev)) != 0 }
}

/// The VF of `pf` behind `vf`, or the first one; null: there is none.
///
/// # Safety
///
/// `pf` is valid. `vf` is null or a reference of the caller's, which is given up; so is the result.
unsafe fn next_vf(
    pf: *mut bindings::pci_dev,
    mut vf: *mut bindings::pci_dev,
) -> *mut bindings::pci_dev {
    loop {
        // SAFETY: By the contract. The reference to the previous result is handed over, one to the next comes back.
        vf = unsafe {
            bindings::pci_get_device((*pf).vendor.into(), bindings::PCI_ANY_ID as c_uint, vf)
        };
        // SAFETY: `vf` is null or a reference of ours.
        if vf.is_null() || unsafe { (*vf).is_virtfn() != 0 && bindings::pci_physfn(vf) == pf } {
            return vf;
        }
    }
}

/// Calls `f` with the data of each VF of `dev` that driver `T` is bound to.
pub fn for_each_bound<T: Driver>(dev: &Core<'_>, mut f: impl FnMut(Arc<T>)) {
    let pf = raw::pci_dev(dev);
    let mut vf = core::ptr::null_mut();
    loop {
        // SAFETY: The device is valid; the reference is handed over.
        vf = unsafe { next_vf(pf, vf) };
        if vf.is_null() {
            return;
        }
        // SAFETY: `vf` is a reference of ours. The VF's lock keeps its driver from coming and going, and may be taken with that of its PF held.
        let data = unsafe {
            bindings::device_lock(&raw mut (*vf).dev);
            let data = driver::data_of::<T>(vf);
            bindings::device_unlock(&raw mut (*vf).dev);
            data
        };
        if let Some(data) = data {
            f(data);
        }
    }
}

impl Binding {
    /// Number of VFs that are enabled.
    pub fn vf_count(&self) -> u16 {
        // SAFETY: The device is bound.
        u16::try_from(unsafe { bindings::pci_num_vf(self.raw()) }).unwrap_or(0)
    }

    /// Runs `f` while no driver, of this host or for a guest, is bound to a VF or can be: with the VF's lock held. Not at all where one
    /// is, or where the VF is not on the bus.
    pub fn while_vf_is_free<R>(&self, index: u16, f: impl FnOnce() -> R) -> Option<R> {
        let mut vf = core::ptr::null_mut();
        loop {
            // SAFETY: The device is bound; the reference is handed over.
            vf = unsafe { next_vf(self.raw(), vf) };
            if vf.is_null() {
                return None;
            }
            // SAFETY: `vf` is a reference of ours to a VF.
            if unsafe { bindings::pci_iov_vf_id(vf) } == i32::from(index) {
                break;
            }
        }
        // SAFETY: As above. The VF's lock comes behind that of its PF, and behind those that are taken with that held.
        unsafe { bindings::device_lock(&raw mut (*vf).dev) };
        // SAFETY: The driver changes with the lock held.
        let is_free = unsafe { (*vf).dev.driver.is_null() };
        let done = is_free.then(f);
        // SAFETY: The lock was taken above, and the reference is not used any more.
        unsafe {
            bindings::device_unlock(&raw mut (*vf).dev);
            bindings::pci_dev_put(vf);
        }
        done
    }
}
