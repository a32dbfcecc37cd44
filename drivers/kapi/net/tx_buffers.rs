// SPDX-License-Identifier: GPL-2.0-only

//! What a transmit ring refers to: packets and their DMA mappings, from when they are queued until the device is done.
//!
//! A ring has two ends that run at the same time on different CPUs: the [`Producer`], under the transmit queue's lock, and the
//! [`Consumer`], in the NAPI poll. They share one entry for each descriptor. The producer writes entries in `[produced,
//! consumed + size)`, the consumer those in `[consumed, produced)`; each publishes its own index after it is done with
//! entries. What the device says has been taken is checked against both, so that a wrong index cannot reach a foreign entry.
//!
//! Dropping the last of both unmaps and drops all that is left: the device must have let go of the ring by then.

use super::napi::Context;
use super::skb::SkBuff;
use crate::pci::Binding;
use core::cell::UnsafeCell;
use kernel::prelude::*;
use kernel::sync::atomic::{Acquire, Atomic, Relaxed, Release};
use kernel::sync::Arc;
use oxnic_bindings as bindings;

/// What belongs to one descriptor.
#[repr(C)]
struct Entry {
    /// In the entry of a packet's last descriptor; null in others.
    skb: *mut bindings::sk_buff,
    address: u64,
    /// 0: nothing is mapped.
    length: u32,
}

/// An index on a cache line of its own, since the other end writes the neighbour.
#[repr(C, align(64))]
struct Index(Atomic<u32>);

/// # Invariants
///
/// - `entries` has a power-of-two number of entries, `mask` is that less 1.
/// - Both indices are 16 bits wide, and `produced - consumed` modulo 2^16 is at most the size.
/// - Entries in `[consumed, produced)` are initialised and belong to the consumer, the others to the producer.
struct Shared {
    entries: KVVec<UnsafeCell<Entry>>,
    mask: u32,
    unmap: bool,
    binding: Binding,
    produced: Index,
    consumed: Index,
}

// SAFETY: Entries pass between the ends as the invariants say; packets and mappings belong to no CPU.
unsafe impl Send for Shared {}
// SAFETY: As above.
unsafe impl Sync for Shared {}

/// Makes both ends for a ring of `1 << log2` descriptors. Sleeps.
///
/// # Errors
///
/// [`EINVAL`]: more than 2^15; [`ENOMEM`].
pub fn new(binding: &Binding, log2: u8) -> Result<(Producer, Consumer)> {
    if log2 > 15 {
        return Err(EINVAL);
    }
    let size = 1usize << log2;
    let mut entries = KVVec::with_capacity(size, GFP_KERNEL)?;
    for _ in 0..size {
        let empty = Entry { skb: core::ptr::null_mut(), address: 0, length: 0 };
        entries.push(UnsafeCell::new(empty), GFP_KERNEL)?;
    }
    // SAFETY: The device is bound.
    let unmap = unsafe { bindings::dma_need_unmap(binding.raw_device()) };
    // INVARIANT: Size and mask as allocated; no entry is in use.
    let shared = Arc::new(
        Shared {
            entries,
            mask: size as u32 - 1,
            unmap,
            binding: binding.clone(),
            produced: Index(Atomic::new(0)),
            consumed: Index(Atomic::new(0)),
        },
        GFP_KERNEL,
    )?;
    let producer = Producer { shared: shared.clone(), next: 0, committed: 0 };
    Ok((producer, Consumer { shared, next: 0 }))
}

/// Drops what is queued, and starts again at index 0. The device must have let go of the ring.
///
/// # Errors
///
/// [`EINVAL`]: these are not the ends of one ring.
pub fn rewind(producer: &mut Producer, consumer: &mut Consumer) -> Result {
    if !Arc::ptr_eq(&producer.shared, &consumer.shared) {
        return Err(EINVAL);
    }
    producer.abort();
    consumer.shared.drop_rest(consumer.next);
    producer.next = 0;
    producer.committed = 0;
    consumer.next = 0;
    // INVARIANT: The ring is empty, and both ends are ours here.
    consumer.shared.produced.0.store(0, Release);
    consumer.shared.consumed.0.store(0, Release);
    Ok(())
}

impl Shared {
    /// Entry `index`, modulo the size.
    #[inline(always)]
    fn entry(&self, index: u32) -> *mut Entry {
        // SAFETY: The masked index is below the number of entries.
        unsafe { self.entries.get_unchecked((index & self.mask) as usize).get() }
    }

    /// Descriptors between two indices.
    #[inline(always)]
    fn distance(from: u32, to: u32) -> u32 {
        to.wrapping_sub(from) & 0xffff
    }

    #[inline(always)]
    fn release_mapping(&self, entry: &Entry) {
        if self.unmap && entry.length != 0 {
            self.unmap_entry(entry);
        }
    }

    fn unmap_entry(&self, entry: &Entry) {
        let device = self.binding.raw_device();
        let direction = bindings::dma_data_direction::DMA_TO_DEVICE;
        // SAFETY: The entry holds what was mapped for this device, and is unmapped once.
        unsafe {
            bindings::dma_unmap_page_attrs(device, entry.address, entry.length as usize, direction, 0);
        }
    }

    /// Unmaps and drops what is left from index `next` on.
    fn drop_rest(&self, next: u32) {
        let produced = self.produced.0.load(Acquire);
        let mut index = next;
        while Self::distance(index, produced) != 0 {
            // SAFETY: The entry is in `[consumed, produced)`, and the caller is the consumer or alone.
            let entry = unsafe { &mut *self.entry(index) };
            if entry.length != 0 {
                self.unmap_entry(entry);
            }
            let skb = core::mem::replace(&mut entry.skb, core::ptr::null_mut());
            if !skb.is_null() {
                let reason = bindings::skb_drop_reason_SKB_DROP_REASON_DEV_READY;
                // SAFETY: The entry owned the packet, and gives it up.
                unsafe { bindings::dev_kfree_skb_any_reason(skb, reason) };
            }
            index = index.wrapping_add(1);
        }
        self.consumed.0.store(index, Release);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.drop_rest(self.consumed.0.load(Relaxed));
    }
}

/// A stretch of memory as the device sees it.
#[derive(Clone, Copy)]
pub struct Mapped {
    /// Bus address.
    pub address: u64,
    /// Bytes.
    pub length: u32,
}

/// The end that queues packets. The transmit queue's lock guards it.
pub struct Producer {
    shared: Arc<Shared>,
    /// Next descriptor of the packet being queued.
    next: u32,
    /// First descriptor of it.
    committed: u32,
}

impl Producer {
    /// Free descriptors.
    #[inline(always)]
    pub fn free(&self) -> u32 {
        let consumed = self.shared.consumed.0.load(Acquire);
        (self.shared.mask + 1).wrapping_sub(Shared::distance(consumed, self.committed))
    }

    /// Index of the next descriptor, free-running modulo 2^16.
    #[inline(always)]
    pub fn next(&self) -> u32 {
        self.next
    }

    #[inline(always)]
    fn put(&mut self, address: u64, length: u32) {
        let entry = self.shared.entry(self.next);
        // SAFETY: The entry belongs to the producer: callers have made sure of room.
        unsafe { entry.write(Entry { skb: core::ptr::null_mut(), address, length }) };
        self.next = self.next.wrapping_add(1);
    }

    /// Whether there is room for another descriptor of this packet.
    #[inline(always)]
    fn has_room(&self) -> bool {
        let consumed = self.shared.consumed.0.load(Acquire);
        Shared::distance(consumed, self.next) <= self.shared.mask
    }

    /// A descriptor that refers to no memory.
    ///
    /// # Errors
    ///
    /// [`ENOSPC`]: the ring is full.
    #[inline]
    pub fn skip(&mut self) -> Result {
        if !self.has_room() {
            return Err(ENOSPC);
        }
        self.put(0, 0);
        Ok(())
    }

    /// Maps the linear part of a packet for the next descriptor.
    ///
    /// # Errors
    ///
    /// [`ENOSPC`]: the ring is full; [`ENOMEM`]: it cannot be mapped.
    #[inline(always)]
    pub fn map_head(&mut self, skb: &SkBuff) -> Result<Mapped> {
        if !self.has_room() {
            return Err(ENOSPC);
        }
        let length = skb.head_len();
        // SAFETY: The device is bound, the packet valid.
        let address = unsafe { bindings::tx_map_head(self.shared.binding.raw_device(), skb.as_raw(), length) };
        if address == u64::MAX {
            return Err(ENOMEM);
        }
        self.put(address, length);
        Ok(Mapped { address, length })
    }

    /// Maps fragment `index` of a packet for the next descriptor.
    ///
    /// # Errors
    ///
    /// [`ENOSPC`]: the ring is full; [`EINVAL`]: no such fragment; [`ENOMEM`]: it cannot be mapped.
    #[inline]
    pub fn map_fragment(&mut self, skb: &SkBuff, index: usize) -> Result<Mapped> {
        if !self.has_room() {
            return Err(ENOSPC);
        }
        let (fragment, length) = skb.fragment(index).ok_or(EINVAL)?;
        // SAFETY: The device is bound, the fragment belongs to a valid packet.
        let address = unsafe { bindings::tx_map_frag(self.shared.binding.raw_device(), fragment) };
        if address == u64::MAX {
            return Err(ENOMEM);
        }
        self.put(address, length);
        Ok(Mapped { address, length })
    }

    /// Hands the packet over to the ring, after its descriptors were made: the consumer end drops it. Without a descriptor
    /// made since the last packet, the ring could not own it, and gives it back.
    #[inline(always)]
    pub fn commit(&mut self, skb: SkBuff) {
        if self.next == self.committed {
            skb.drop_with(super::skb::DropReason::Unsupported);
            return;
        }
        let last = self.shared.entry(self.next.wrapping_sub(1));
        // SAFETY: This entry was made by `put()` since the last commit, so it belongs to the producer still.
        unsafe { (*last).skb = skb.into_raw() };
        self.committed = self.next;
        self.shared.produced.0.store(self.next, Release);
    }

    /// Unmaps what was mapped since the last commit, whose descriptors the device has not seen.
    #[cold]
    pub fn abort(&mut self) {
        while self.next != self.committed {
            self.next = self.next.wrapping_sub(1);
            // SAFETY: The entry was made by `put()` since the last commit.
            let entry = unsafe { &*self.shared.entry(self.next) };
            if entry.length != 0 {
                self.shared.unmap_entry(entry);
            }
        }
    }
}

/// What [`Consumer::complete`] let go of.
#[derive(Clone, Copy, Default)]
pub struct Completed {
    /// Packets as they were queued.
    pub packets: u32,
    /// Their bytes, as they were queued.
    pub bytes: u32,
}

/// The end that completes packets. The NAPI instance guards it.
pub struct Consumer {
    shared: Arc<Shared>,
    next: u32,
}

impl Consumer {
    /// Free descriptors.
    #[inline]
    pub fn free(&self) -> u32 {
        let produced = self.shared.produced.0.load(Acquire);
        (self.shared.mask + 1).wrapping_sub(Shared::distance(self.next, produced))
    }

    /// The device has taken all descriptors before `head` (modulo 2^16).
    ///
    /// # Errors
    ///
    /// [`EPROTO`]: more than were queued; nothing was done.
    #[inline]
    pub fn complete(&mut self, context: Context<'_>, head: u16) -> Result<Completed> {
        let produced = self.shared.produced.0.load(Acquire);
        let count = Shared::distance(self.next, head.into());
        if count > Shared::distance(self.next, produced) {
            return Err(EPROTO);
        }
        let mut completed = Completed::default();
        for _ in 0..count {
            // SAFETY: The entry is in `[consumed, produced)`.
            let entry = unsafe { &mut *self.shared.entry(self.next) };
            self.shared.release_mapping(entry);
            let skb = core::mem::replace(&mut entry.skb, core::ptr::null_mut());
            if !skb.is_null() {
                completed.packets += 1;
                // SAFETY: The entry owned the packet, and gives it up.
                unsafe {
                    completed.bytes = completed.bytes.wrapping_add((*skb).len);
                    bindings::napi_consume_skb(skb, context.budget());
                }
            }
            self.next = self.next.wrapping_add(1);
        }
        self.shared.consumed.0.store(self.next, Release);
        Ok(completed)
    }
}
