// SPDX-License-Identifier: GPL-2.0-only

//! A network device that is never registered, for tests.

use super::Device;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// The device, which is freed with this.
pub(in crate::net) struct Dummy(NonNull<bindings::net_device>);

impl Dummy {
    /// With so many transmit queues, and one receive queue.
    pub(in crate::net) fn new(queues: u32) -> Result<Self> {
        // SAFETY: No requirements.
        let raw = unsafe { bindings::alloc_etherdev_mqs(0, queues, 1) };
        Ok(Self(NonNull::new(raw).ok_or(ENOMEM)?))
    }
}

impl Deref for Dummy {
    type Target = Device;

    fn deref(&self) -> &Device {
        // SAFETY: The device is valid as long as `self` is.
        unsafe { Device::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for Dummy {
    fn drop(&mut self) {
        // SAFETY: The device is ours, and was never registered.
        unsafe { bindings::free_netdev(self.0.as_ptr()) };
    }
}
