// SPDX-License-Identifier: GPL-2.0-only

//! Virtual functions as the PCI core sees them. Both switches need the device's lock, hence a [`Core`].

use super::{Binding, Core};
use crate::raw;
use kernel::{error::to_result, prelude::*};
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

impl Binding {
    /// Number of VFs that are enabled.
    pub fn vf_count(&self) -> u16 {
        // SAFETY: The device is bound.
        u16::try_from(unsafe { bindings::pci_num_vf(self.raw()) }).unwrap_or(0)
    }
}
