// SPDX-License-Identifier: GPL-2.0-only

//! The time between probe and the end of remove, as a value.
//!
//! Everything that may be used only while the driver is bound (DMA memory, interrupts, mapped registers) keeps a
//! [`Binding`]. The adapter in [`super::driver`] waits, after remove, until the last one is gone: holding one too long stalls
//! the removal and says so, but cannot make anything dangle. No lock; the count is atomic.

use crate::raw;
use crate::sync::Completion;
use kernel::{
    device,
    pci,
    prelude::*,
    sync::{aref::ARef, Arc, Refcount}, //
};
use oxnic_bindings as bindings;

#[pin_data]
struct Tie {
    device: ARef<pci::Device>,
    users: Refcount,
    #[pin]
    released: Completion,
}

/// A counted handle that proves that a PCI device is bound to our driver.
///
/// # Invariants
///
/// The device stays bound for as long as any handle of the same tie exists.
pub struct Binding(Arc<Tie>);

impl Binding {
    /// Ties a device that is being probed.
    ///
    /// # Safety
    ///
    /// The caller lets [`Binding::wait_released`] return before the device is unbound.
    pub(super) unsafe fn new(device: &pci::Device<device::Core<'_>>) -> Result<Self> {
        let tie = Arc::pin_init(
            try_pin_init!(Tie {
                device: ARef::from(&**device),
                users: Refcount::new(1),
                released <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;
        // INVARIANT: by the caller's promise.
        Ok(Self(tie))
    }

    /// Gives up this handle and waits until all others are gone.
    pub(super) fn wait_released(self) {
        let tie = self.0.clone();
        drop(self);
        while !tie.released.wait_timeout_ms(10_000) {
            dev_warn!(
                tie.device,
                "removal waits for {} user(s) of the device\n",
                tie.users.as_atomic().load(kernel::sync::atomic::Relaxed)
            );
        }
    }

    /// The device, as generic code wants it.
    pub fn device(&self) -> &device::Device<device::Bound> {
        let dev: &pci::Device<device::Bound> = self;
        dev.as_ref()
    }

    pub(crate) fn raw(&self) -> *mut bindings::pci_dev {
        raw::pci_dev(&self.0.device)
    }

    pub(crate) fn raw_device(&self) -> *mut bindings::device {
        raw::device(self.device())
    }
}

impl Clone for Binding {
    fn clone(&self) -> Self {
        self.0.users.inc();
        // INVARIANT: `self` is of the same tie.
        Self(self.0.clone())
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        if self.0.users.dec_and_test() {
            self.0.released.complete_all();
        }
    }
}

impl core::ops::Deref for Binding {
    type Target = pci::Device<device::Bound>;

    fn deref(&self) -> &Self::Target {
        let dev: *const pci::Device = &*self.0.device;
        // SAFETY: By the type's invariant the device is bound, and the context is a marker without a representation.
        unsafe { &*dev.cast() }
    }
}
