// SPDX-License-Identifier: GPL-2.0-only

//! Memory that driver and device share: rings and buffers of little-endian 64-bit words.
//!
//! The device may write at any time, so every access is a single volatile load or store of a whole word; nothing here gives
//! out a reference to the memory. Order between words is the caller's, by [`rmb`] and [`wmb`].

use crate::pci::Binding;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// What was read before is read before what follows is read, both from memory that the device writes.
#[inline(always)]
pub fn rmb() {
    // The kernel crate's barrier is a call. On x86 reads stay in order by themselves, so it is enough to stop the compiler.
    #[cfg(target_arch = "x86_64")]
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::Acquire);
    #[cfg(not(target_arch = "x86_64"))]
    kernel::sync::barrier::dma_mb(kernel::sync::barrier::Read);
}

/// What was written before is visible to the device before what follows is.
#[inline(always)]
pub fn wmb() {
    // As above, for writes to ordinary memory.
    #[cfg(target_arch = "x86_64")]
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::Release);
    #[cfg(not(target_arch = "x86_64"))]
    kernel::sync::barrier::dma_mb(kernel::sync::barrier::Write);
}

/// Allows the device to reach all of memory by 64-bit addresses.
///
/// # Errors
///
/// `EIO` and others: the platform has no mapping for such a device.
pub fn enable_64bit(binding: &Binding) -> Result {
    // SAFETY: The device is bound, and no DMA mapping of it exists yet.
    kernel::error::to_result(unsafe {
        bindings::dma_set_mask_and_coherent(binding.raw_device(), u64::MAX)
    })
}

/// A zeroed array of words in coherent memory, aligned to a page.
///
/// # Invariants
///
/// `base` points to `words` words that live as long as `self`; `address` is their bus address.
pub struct Words {
    base: *mut u64,
    words: usize,
    address: u64,
    owner: Owner,
}

/// Whose the memory is.
enum Owner {
    /// Coherent memory of this device.
    Device(Binding),
    /// Ordinary memory, for tests.
    #[cfg(CONFIG_KUNIT)]
    Memory(KVec<u64>),
}

// SAFETY: The memory belongs to `self` and is not tied to a task or CPU.
unsafe impl Send for Words {}
// SAFETY: Accesses are volatile and of whole words; concurrent ones yield one of the values written.
unsafe impl Sync for Words {}

impl Words {
    /// Allocates; may sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no words; `ENOMEM`.
    pub fn new(binding: &Binding, words: usize) -> Result<Self> {
        if words == 0 {
            return Err(EINVAL);
        }
        let bytes = words.checked_mul(8).ok_or(ENOMEM)?;
        let mut address = 0;
        // SAFETY: The device is bound. The memory comes zeroed.
        let base = unsafe {
            bindings::dma_alloc_coherent(
                binding.raw_device(),
                bytes,
                &mut address,
                bindings::GFP_KERNEL,
            )
        };
        if base.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: As allocated.
        Ok(Self {
            base: base.cast(),
            words,
            address,
            owner: Owner::Device(binding.clone()),
        })
    }

    /// Number of words, never 0.
    #[expect(clippy::len_without_is_empty)]
    #[inline]
    pub fn len(&self) -> usize {
        self.words
    }

    /// Bus address of the first word.
    #[inline]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The word at `index`, in CPU order; 0 beyond the end.
    #[inline(always)]
    pub fn read(&self, index: usize) -> u64 {
        if index >= self.words {
            return 0;
        }
        // SAFETY: Within the memory by the type's invariant.
        unsafe { self.base.add(index).read_volatile() }.to_le()
    }

    /// Stores a word given in CPU order at `index`; does nothing beyond the end.
    #[inline(always)]
    pub fn write(&self, index: usize, value: u64) {
        if index < self.words {
            // SAFETY: Within the memory by the type's invariant.
            unsafe { self.base.add(index).write_volatile(value.to_le()) };
        }
    }

    /// Sets all words to zero.
    pub fn clear(&self) {
        for index in 0..self.words {
            self.write(index, 0);
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        match &mut self.owner {
            // SAFETY: What `dma_alloc_coherent` gave for this device, given back once; the device is still bound.
            Owner::Device(binding) => unsafe {
                bindings::dma_free_coherent(
                    binding.raw_device(),
                    self.words * 8,
                    self.base.cast(),
                    self.address,
                )
            },
            #[cfg(CONFIG_KUNIT)]
            Owner::Memory(memory) => memory.clear(),
        }
    }
}

/// A ring of a power-of-two number of entries of `W` words each. Indices are free-running and taken modulo the size.
///
/// # Invariants
///
/// `words` has `(mask + 1) * W` words, and `mask + 1` is a power of two.
pub struct Ring<const W: usize> {
    words: Words,
    mask: u32,
}

impl<const W: usize> Ring<W> {
    /// Allocates `1 << log2` zeroed entries; may sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: more than 2^16 entries; `ENOMEM`.
    pub fn new(binding: &Binding, log2: u8) -> Result<Self> {
        if log2 > 16 {
            return Err(EINVAL);
        }
        let words = Words::new(binding, W << log2)?;
        // INVARIANT: As allocated.
        Ok(Self {
            words,
            mask: (1 << log2) - 1,
        })
    }

    /// Number of entries.
    #[inline]
    pub fn entries(&self) -> u32 {
        self.mask + 1
    }

    /// Bus address of the first entry.
    #[inline]
    pub fn address(&self) -> u64 {
        self.words.address()
    }

    /// One word of an entry, in CPU order; 0 if `word` is not below `W`.
    #[inline(always)]
    pub fn word(&self, index: u32, word: usize) -> u64 {
        if word >= W {
            return 0;
        }
        // SAFETY: `(index & mask) * W + word` is below the number of words by the type's invariant.
        unsafe {
            self.words
                .base
                .add((index & self.mask) as usize * W + word)
                .read_volatile()
        }
        .to_le()
    }

    /// A whole entry, in CPU order, word by word from the first.
    #[inline(always)]
    pub fn read(&self, index: u32) -> [u64; W] {
        let mut out = [0; W];
        for (word, value) in out.iter_mut().enumerate() {
            *value = self.word(index, word);
        }
        out
    }

    /// Stores an entry given in CPU order, word by word from the first.
    #[inline(always)]
    pub fn write(&self, index: u32, entry: &[u64; W]) {
        for (word, value) in entry.iter().enumerate() {
            // SAFETY: As in `word`; `word` is below `W`.
            unsafe {
                self.words
                    .base
                    .add((index & self.mask) as usize * W + word)
                    .write_volatile(value.to_le());
            }
        }
    }

    /// Sets all entries to zero. The device must not be using the ring.
    pub fn clear(&self) {
        self.words.clear();
    }
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_dma)]
mod tests {
    use super::*;

    fn words(count: usize) -> Result<Words> {
        let mut memory = KVec::from_elem(0u64, count, GFP_KERNEL)?;
        let base = memory.as_mut_ptr();
        // INVARIANT: The vector does not grow, so its memory stays.
        Ok(Words {
            base,
            words: count,
            address: 0x1000,
            owner: Owner::Memory(memory),
        })
    }

    #[test]
    fn words_are_little_endian_in_memory() -> Result {
        let words = words(2)?;
        words.write(1, 0x0807_0605_0403_0201);
        // SAFETY: The second word lies within the memory.
        let bytes = unsafe { words.base.add(1).cast::<[u8; 8]>().read() };
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(words.read(1), 0x0807_0605_0403_0201);
        assert_eq!(words.read(0), 0);
        Ok(())
    }

    #[test]
    fn the_end_is_not_passed() -> Result {
        let words = words(2)?;
        words.write(2, 1);
        words.write(usize::MAX, 1);
        assert_eq!(words.read(2), 0);
        assert_eq!(words.read(usize::MAX), 0);
        assert_eq!((words.read(0), words.read(1)), (0, 0));
        Ok(())
    }

    #[test]
    fn ring_indices_run_freely() -> Result {
        let ring = Ring::<2> {
            words: words(8)?,
            mask: 3,
        };
        assert_eq!(ring.entries(), 4);
        assert_eq!(ring.address(), 0x1000);
        for index in 0..4u32 {
            ring.write(index, &[u64::from(index), 100 + u64::from(index)]);
        }
        assert_eq!(ring.read(5), [1, 101]);
        assert_eq!(ring.word(7, 1), 103);
        assert_eq!(ring.word(7, 2), 0);
        ring.write(u32::MAX, &[8, 9]);
        assert_eq!(ring.read(3), [8, 9]);
        assert_eq!(ring.read(2), [2, 102]);
        ring.clear();
        assert_eq!(ring.read(3), [0, 0]);
        Ok(())
    }
}
