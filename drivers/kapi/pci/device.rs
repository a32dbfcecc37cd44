// SPDX-License-Identifier: GPL-2.0-only

//! Enabling a PCI function, and what configuration space tells about it.

use super::{Binding, Core};
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{Atomic, Relaxed}, //
};
use oxnic_bindings as bindings;

/// A function that decodes its memory, and may use DMA once [`Enabled::allow_master`] was called; dropping it ends both.
pub struct Enabled {
    binding: Binding,
    /// What is saved of configuration space is that of a function which this driver has set up.
    saved: Atomic<bool>,
}

impl Enabled {
    /// Enables memory, forbids DMA, and claims the BARs under `name`.
    ///
    /// # Errors
    ///
    /// `EBUSY`: another driver has the BARs; others as the PCI core says.
    pub fn new(binding: &Binding, name: &'static CStr) -> Result<Self> {
        // SAFETY: The device is bound.
        to_result(unsafe { bindings::pci_enable_device_mem(binding.raw()) })?;
        // SAFETY: The device is bound, and the name static.
        if let Err(error) = to_result(unsafe {
            bindings::pci_request_mem_regions(binding.raw(), name.as_char_ptr())
        }) {
            // SAFETY: It was enabled above.
            unsafe { bindings::pci_disable_device(binding.raw()) };
            return Err(error);
        }
        let enabled = Self {
            binding: binding.clone(),
            saved: Atomic::new(false),
        };
        // Who had the function before may have left it on, with queues whose memory is others' by now.
        enabled.clear_master();
        Ok(enabled)
    }

    /// Forbids DMA: for a function that cannot be reset, and for shutdown, where another kernel owns the memory next.
    pub fn clear_master(&self) {
        // SAFETY: The device is bound.
        unsafe { bindings::pci_clear_master(self.binding.raw()) }
    }

    fn set_master(&self) {
        // SAFETY: The device is bound and enabled.
        unsafe { bindings::pci_set_master(self.binding.raw()) }
    }

    /// The function is set up: saves configuration space as it is now, for [`Self::restore`]. Of a VF it is what the PCI core has saved
    /// as it found it: a VF's memory is enabled by its PF, and it gets bus mastering back behind the reset. Reading all of it again
    /// takes 28 round trips, a seventh of all that a VF costs until it works.
    pub fn save(&self, _dev: &Core<'_>) {
        if !self.binding.is_virtual() {
            // SAFETY: The device is bound, and its lock is held. It cannot fail for want of memory, which was had when the
            // device was found.
            unsafe { bindings::pci_save_state(self.binding.raw()) };
        }
        self.saved.store(true, Relaxed);
    }

    /// Restores what configuration space held when it was last saved, vectors included, after a reset that cleared it.
    pub fn restore(&self) {
        // SAFETY: The device is bound.
        unsafe { bindings::pci_restore_state(self.binding.raw()) }
    }
}

/// Length of the configuration space of a PCI Express function in bytes.
pub const CONFIG_SIZE: usize = 4096;

impl Enabled {
    /// Allows DMA. Restores configuration space before, if somebody has reset it, which the bus mastering that is off then shows: what
    /// was saved may be of a time when that was forbidden, as before a reset by the PCI core.
    pub fn allow_master(&self) {
        if !self.saved.load(Relaxed) {
            // It has been off since probe began.
            return self.set_master();
        }
        let mut command = 0u16;
        // SAFETY: The device is bound.
        let error = unsafe {
            bindings::pci_read_config_word(
                self.binding.raw(),
                bindings::PCI_COMMAND as c_int,
                &mut command,
            )
        };
        if error == 0 && u32::from(command) & bindings::PCI_COMMAND_MASTER == 0 {
            self.restore();
            self.set_master();
        }
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        // SAFETY: The device is bound, and was enabled by `new`.
        unsafe {
            bindings::pci_clear_master(self.binding.raw());
            bindings::pci_release_mem_regions(self.binding.raw());
            bindings::pci_disable_device(self.binding.raw());
        }
    }
}

impl Binding {
    /// Whether it answers in configuration space and is not known to be unplugged.
    pub fn is_present(&self) -> bool {
        // SAFETY: The device is bound.
        unsafe { bindings::pci_device_is_present(self.raw()) }
    }

    /// Whether the PCI core knows that it is unplugged; does not ask the device.
    pub fn is_disconnected(&self) -> bool {
        // SAFETY: The device is bound; the field is read once.
        unsafe {
            (&raw const (*self.raw()).error_state).read_volatile()
                == bindings::pci_channel_io_perm_failure
        }
    }

    /// A word of its configuration space, of all ones where it does not answer. The offset is a multiple of 4 below [`CONFIG_SIZE`].
    ///
    /// # Errors
    ///
    /// `EIO`: it cannot be read.
    pub fn read_config(&self, offset: u32) -> Result<u32> {
        let mut word = 0;
        // SAFETY: The device is bound.
        match unsafe { bindings::pci_read_config_dword(self.raw(), offset as c_int, &mut word) } {
            0 => Ok(word),
            _ => Err(EIO),
        }
    }

    /// Its serial number, if it has the capability that tells it.
    pub fn serial_number(&self) -> Option<u64> {
        // SAFETY: The device is bound.
        let serial = unsafe { bindings::pci_get_dsn(self.raw()) };
        (serial != 0).then_some(serial)
    }

    /// Whether it is a VF.
    pub fn is_virtual(&self) -> bool {
        // SAFETY: The device is bound; the bit never changes.
        unsafe { (*self.raw()).is_virtfn() != 0 }
    }
}

/// Whether the PCI core knows that the device is unplugged.
pub fn is_unplugged(dev: &Core<'_>) -> bool {
    // SAFETY: The device is valid; the field is read once.
    unsafe {
        (&raw const (*crate::raw::pci_dev(dev)).error_state).read_volatile()
            == bindings::pci_channel_io_perm_failure
    }
}
