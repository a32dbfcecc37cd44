// SPDX-License-Identifier: GPL-2.0-only

//! Registers and doorbells in PCI base address registers.
//!
//! A device that was pulled or that is cut off by error handling reads as all ones. [`Presence`] remembers it: from then on no
//! access reaches the bus, reads fail with `ENODEV` and writes do nothing, so that loops over a vanished device end.

use crate::pci::Binding;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, //
    },
};
use oxnic_bindings as bindings;

/// Whether the device behind the registers is still there; shared by all mappings of a function.
pub struct Presence {
    gone: Atomic<bool>,
}

impl Presence {
    /// A device that is there.
    pub fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self { gone: Atomic::new(false) }, GFP_KERNEL)?)
    }

    /// Whether it is gone.
    #[inline]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    /// Takes it for gone.
    pub fn set_gone(&self) {
        self.gone.store(true, Relaxed);
    }

    /// Takes it for back, after error recovery has found it again.
    pub fn set_back(&self) {
        self.gone.store(false, Relaxed);
    }
}

/// A whole base address register, mapped uncached until dropped.
///
/// # Invariants
///
/// `base` is a mapping of `length` bytes.
struct Mapping {
    base: *mut u8,
    length: usize,
    binding: Binding,
}

impl Mapping {
    fn new(binding: &Binding, bar: u8, at_least: usize) -> Result<Self> {
        let length = usize::try_from(binding.resource_len(bar.into())?)?;
        if length < at_least {
            dev_err!(binding, "BAR {} has {} bytes, less than {}\n", bar, length, at_least);
            return Err(ENODEV);
        }
        // SAFETY: The device is bound, and `bar` was checked by `resource_len`.
        let base = unsafe { bindings::pci_iomap(binding.raw(), bar.into(), 0) }.cast::<u8>();
        if base.is_null() {
            dev_err!(binding, "BAR {} cannot be mapped\n", bar);
            return Err(ENOMEM);
        }
        // INVARIANT: A length of 0 maps the whole BAR.
        Ok(Self { base, length, binding: binding.clone() })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `base` is what `pci_iomap` gave for this device, and it is given back once.
        unsafe { bindings::pci_iounmap(self.binding.raw(), self.base.cast()) }
    }
}

// SAFETY: Register accesses are single instructions that any CPU may issue; the mapping is not tied to a task.
unsafe impl Send for Mapping {}
// SAFETY: As above; the device orders concurrent accesses.
unsafe impl Sync for Mapping {}

/// 32-bit registers.
pub struct Registers {
    mapping: Mapping,
    presence: Arc<Presence>,
}

impl Registers {
    /// Maps a BAR that must have at least so many bytes.
    ///
    /// # Errors
    ///
    /// `ENODEV`: the BAR is too short; `ENOMEM`: it cannot be mapped.
    pub fn map(binding: &Binding, bar: u8, at_least: usize, presence: &Arc<Presence>) -> Result<Self> {
        let mapping = Mapping::new(binding, bar, at_least)?;
        Ok(Self { mapping, presence: presence.clone() })
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.mapping.length
    }

    fn at(&self, offset: u32) -> Result<*mut c_void> {
        let offset = offset as usize;
        if offset % 4 != 0 || offset > self.mapping.length.saturating_sub(4) {
            return Err(ERANGE);
        }
        // SAFETY: By the type's invariant and the check, the word lies within the mapping.
        Ok(unsafe { self.mapping.base.add(offset) }.cast())
    }

    /// Reads a register. This waits for the device: never on a hot path.
    ///
    /// # Errors
    ///
    /// `ENODEV`: the device is gone (which this may be the first to notice); `ERANGE`: no such register.
    pub fn read(&self, offset: u32) -> Result<u32> {
        let address = self.at(offset)?;
        if self.presence.is_gone() {
            return Err(ENODEV);
        }
        // SAFETY: `at` gave an aligned word of the mapping.
        let value = unsafe { bindings::readl(address) };
        if value == u32::MAX {
            // No register of the interface ever holds all ones.
            self.presence.set_gone();
            return Err(ENODEV);
        }
        Ok(value)
    }

    /// Writes a register; does nothing if the device is gone.
    ///
    /// # Errors
    ///
    /// `ERANGE`: no such register.
    pub fn write(&self, offset: u32, value: u32) -> Result {
        let address = self.at(offset)?;
        if !self.presence.is_gone() {
            // SAFETY: `at` gave an aligned word of the mapping.
            unsafe { bindings::writel(value, address) };
        }
        Ok(())
    }
}

/// The first page of a BAR of doorbells.
pub struct Doorbells {
    mapping: Mapping,
    presence: Arc<Presence>,
}

impl Doorbells {
    /// Maps a BAR of doorbells.
    ///
    /// # Errors
    ///
    /// `ENODEV`: the BAR is too short; `ENOMEM`: it cannot be mapped.
    pub fn map(binding: &Binding, bar: u8, presence: &Arc<Presence>) -> Result<Self> {
        let mapping = Mapping::new(binding, bar, 4096)?;
        Ok(Self { mapping, presence: presence.clone() })
    }

    /// One posted 64-bit write. All earlier writes to memory are visible to the device before it.
    #[inline]
    pub fn ring(&self, value: u64) {
        if !self.presence.is_gone() {
            // SAFETY: The mapping has at least a page. `writeq` orders it after earlier stores.
            unsafe { bindings::writeq(value, self.mapping.base.cast()) };
        }
    }
}
