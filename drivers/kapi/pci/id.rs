// SPDX-License-Identifier: GPL-2.0-only

//! The table of devices that a PCI driver drives. The kernel crate's own takes only vendors from the PCI id list.

use kernel::device_id::{RawDeviceId, RawDeviceIdIndex};
use oxnic_bindings as bindings;

/// An entry of a device table.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct DeviceId(bindings::pci_device_id);

impl DeviceId {
    /// Devices of this vendor and number, whatever their subsystem.
    pub const fn new(vendor: u16, device: u16) -> Self {
        const ANY: u32 = !0;
        Self(bindings::pci_device_id {
            vendor: vendor as u32,
            device: device as u32,
            subvendor: ANY,
            subdevice: ANY,
            class: 0,
            class_mask: 0,
            driver_data: 0,
            override_only: 0,
        })
    }
}

// SAFETY: A transparent wrapper of the raw type without further invariants.
unsafe impl RawDeviceId for DeviceId {
    type RawType = bindings::pci_device_id;
}

// SAFETY: The offset of `driver_data`.
unsafe impl RawDeviceIdIndex for DeviceId {
    const DRIVER_DATA_OFFSET: usize = core::mem::offset_of!(bindings::pci_device_id, driver_data);
}

/// A table of devices with what the driver keeps for each.
pub type IdTable<T> = &'static dyn kernel::device_id::IdTable<DeviceId, T>;
