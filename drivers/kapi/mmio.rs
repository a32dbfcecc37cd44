// SPDX-License-Identifier: GPL-2.0-only

//! Registers and doorbells in PCI base address registers.
//!
//! A device that was pulled or that is cut off by error handling reads as all ones. [`Presence`] remembers it: from then on no
//! access reaches the bus, reads fail with `ENODEV` and writes do nothing, so that loops over a vanished device end.

use crate::pci::Binding;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use oxnic_bindings as bindings;

/// Whether the device behind the registers is still there; shared by all mappings of a function.
pub struct Presence {
    // Not the kernel crate's atomic, whose accesses are calls: this is read for each doorbell.
    gone: AtomicBool,
}

impl Presence {
    /// A device that is there.
    pub fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                gone: AtomicBool::new(false),
            },
            GFP_KERNEL,
        )?)
    }

    /// Whether it is gone.
    #[inline]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Takes it for gone.
    pub fn set_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Takes it for back, after error recovery has found it again.
    pub fn set_back(&self) {
        self.gone.store(false, Ordering::Relaxed);
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
    owner: Owner,
}

/// Whose the mapped memory is.
enum Owner {
    /// A BAR of this device.
    Device(Binding),
    /// Ordinary memory, for tests.
    #[cfg(CONFIG_KUNIT)]
    Memory(KVec<u64>),
}

impl Mapping {
    fn new(binding: &Binding, bar: u8, at_least: usize) -> Result<Self> {
        let length = usize::try_from(binding.resource_len(bar.into())?)?;
        if length < at_least {
            dev_err!(
                binding,
                "BAR {} has {} bytes, less than {}\n",
                bar,
                length,
                at_least
            );
            return Err(ENODEV);
        }
        // SAFETY: The device is bound, and `bar` was checked by `resource_len`.
        let base = unsafe { bindings::pci_iomap(binding.raw(), bar.into(), 0) }.cast::<u8>();
        if base.is_null() {
            dev_err!(binding, "BAR {} cannot be mapped\n", bar);
            return Err(ENOMEM);
        }
        // INVARIANT: A length of 0 maps the whole BAR.
        Ok(Self {
            base,
            length,
            owner: Owner::Device(binding.clone()),
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        match &mut self.owner {
            // SAFETY: `base` is what `pci_iomap` gave for this device, and it is given back once.
            Owner::Device(binding) => unsafe {
                bindings::pci_iounmap(binding.raw(), self.base.cast())
            },
            #[cfg(CONFIG_KUNIT)]
            Owner::Memory(memory) => memory.clear(),
        }
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
    pub fn map(
        binding: &Binding,
        bar: u8,
        at_least: usize,
        presence: &Arc<Presence>,
    ) -> Result<Self> {
        let mapping = Mapping::new(binding, bar, at_least)?;
        Ok(Self {
            mapping,
            presence: presence.clone(),
        })
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
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

    /// Reads a register for somebody who only looks: all ones are what it holds, and nothing is concluded from them.
    ///
    /// # Errors
    ///
    /// `ENODEV`: the device was found to be gone; `ERANGE`: no such register.
    pub fn peek(&self, offset: u32) -> Result<u32> {
        let address = self.at(offset)?;
        if self.presence.is_gone() {
            return Err(ENODEV);
        }
        // SAFETY: `at` gave an aligned word of the mapping.
        Ok(unsafe { bindings::readl(address) })
    }

    /// Reads an aligned register of 64 bits in one access. All ones are an error here, and nothing is concluded from them:
    /// so reads a function whose memory space is disabled for the moment, too, as in a reset.
    ///
    /// # Errors
    ///
    /// `ENODEV`: the device is gone, or does not answer; `ERANGE`: no such register.
    #[cfg(CONFIG_64BIT)]
    pub fn read64(&self, offset: u32) -> Result<u64> {
        let address = self.at(offset)?;
        self.at(offset.checked_add(4).ok_or(ERANGE)?)?;
        if offset % 8 != 0 {
            return Err(ERANGE);
        }
        if self.presence.is_gone() {
            return Err(ENODEV);
        }
        // SAFETY: `at` gave a word of the mapping, as is the next one; the offset is aligned.
        match unsafe { bindings::readq(address) } {
            u64::MAX => Err(ENODEV),
            value => Ok(value),
        }
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
        Ok(Self {
            mapping,
            presence: presence.clone(),
        })
    }

    /// One posted 64-bit write. All earlier writes to memory are visible to the device before it.
    #[inline(always)]
    pub fn ring(&self, value: u64) {
        if !self.presence.is_gone() {
            // What `writeq` is on x86, without a call: one store, which the CPU does not let pass earlier ones.
            // SAFETY: The mapping has at least a page.
            #[cfg(target_arch = "x86_64")]
            unsafe {
                core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::Release);
                self.mapping.base.cast::<u64>().write_volatile(value);
            }
            // SAFETY: The mapping has at least a page. `writeq` orders it after earlier stores.
            #[cfg(not(target_arch = "x86_64"))]
            unsafe {
                bindings::writeq(value, self.mapping.base.cast());
            }
        }
    }
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_mmio)]
mod tests {
    use super::*;

    /// A mapping of ordinary memory that holds these words.
    fn mapping(words: &[u64]) -> Result<Mapping> {
        let mut memory = KVec::new();
        memory.extend_from_slice(words, GFP_KERNEL)?;
        let base = memory.as_mut_ptr().cast::<u8>();
        // INVARIANT: The vector does not grow, so its memory stays.
        Ok(Mapping {
            base,
            length: words.len() * 8,
            owner: Owner::Memory(memory),
        })
    }

    fn registers(words: &[u64]) -> Result<Registers> {
        Ok(Registers {
            mapping: mapping(words)?,
            presence: Presence::new()?,
        })
    }

    #[test]
    fn registers_are_words_at_byte_offsets() -> Result {
        let registers = registers(&[0x2222_2222_1111_1111, 0x4444_4444_3333_3333])?;
        assert_eq!(registers.size(), 16);
        assert_eq!(registers.read(0), Ok(0x1111_1111));
        assert_eq!(registers.read(4), Ok(0x2222_2222));
        assert_eq!(registers.read(12), Ok(0x4444_4444));
        registers.write(8, 5)?;
        assert_eq!(registers.read(8), Ok(5));
        assert_eq!(registers.read(12), Ok(0x4444_4444));
        Ok(())
    }

    #[test]
    fn offsets_outside_and_between_words_are_refused() -> Result {
        let registers = registers(&[0, 0])?;
        assert_eq!(registers.read(16), Err(ERANGE));
        assert_eq!(registers.read(13), Err(ERANGE));
        assert_eq!(registers.read(2), Err(ERANGE));
        assert_eq!(registers.read(u32::MAX), Err(ERANGE));
        assert_eq!(registers.write(16, 1), Err(ERANGE));
        Ok(())
    }

    #[test]
    fn a_register_of_64_bits_is_aligned_and_whole() -> Result {
        let registers = registers(&[0x2222_2222_1111_1111, u64::MAX])?;
        assert_eq!(registers.read64(0), Ok(0x2222_2222_1111_1111));
        assert_eq!(registers.read64(4), Err(ERANGE));
        assert_eq!(registers.read64(12), Err(ERANGE));
        assert_eq!(registers.read64(16), Err(ERANGE));
        assert_eq!(registers.read64(8), Err(ENODEV));
        assert!(!registers.presence.is_gone());
        registers.presence.set_gone();
        assert_eq!(registers.read64(0), Err(ENODEV));
        Ok(())
    }

    #[test]
    fn all_ones_mean_that_the_device_is_gone() -> Result {
        let registers = registers(&[u64::MAX, 7])?;
        assert_eq!(registers.read(8), Ok(7));
        assert!(!registers.presence.is_gone());
        assert_eq!(registers.read(0), Err(ENODEV));
        assert!(registers.presence.is_gone());
        // From now on nothing reaches the bus.
        assert_eq!(registers.read(8), Err(ENODEV));
        registers.write(8, 9)?;
        registers.presence.set_back();
        assert_eq!(registers.read(8), Ok(7));
        Ok(())
    }

    #[test]
    fn a_doorbell_is_one_word_and_silent_when_the_device_is_gone() -> Result {
        let doorbells = Doorbells {
            mapping: mapping(&[0; 512])?,
            presence: Presence::new()?,
        };
        let word = doorbells.mapping.base.cast::<u64>();
        doorbells.ring(0x0300_0007_0000_ffff);
        // SAFETY: The mapping has 512 words.
        assert_eq!(unsafe { word.read_volatile() }, 0x0300_0007_0000_ffff);
        doorbells.presence.set_gone();
        doorbells.ring(1);
        // SAFETY: As above.
        assert_eq!(unsafe { word.read_volatile() }, 0x0300_0007_0000_ffff);
        Ok(())
    }
}
