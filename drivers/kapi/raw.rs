// SPDX-License-Identifier: GPL-2.0-only

//! Pointers of the kernel crate's types, which it keeps to itself.
//!
//! `kernel::pci::Device` and `kernel::device::Device` are documented to be transparent wrappers of the C structure; this is
//! the one place that relies on it. The result is typed by our own bindings, whose layouts are the same.

use kernel::device;
use kernel::pci;
use oxnic_bindings as bindings;

/// The `struct pci_dev` of a PCI device.
pub(crate) fn pci_dev<C: device::DeviceContext>(dev: &pci::Device<C>) -> *mut bindings::pci_dev {
    core::ptr::from_ref(dev).cast_mut().cast()
}

/// The `struct device` of a device.
pub(crate) fn device<C: device::DeviceContext>(dev: &device::Device<C>) -> *mut bindings::device {
    core::ptr::from_ref(dev).cast_mut().cast()
}

// The casts would be wrong if the wrappers grew a field.
const _: () = assert!(size_of::<pci::Device>() == size_of::<bindings::pci_dev>());
const _: () = assert!(size_of::<device::Device>() == size_of::<bindings::device>());
