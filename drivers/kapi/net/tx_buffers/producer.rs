// SPDX-License-Identifier: GPL-2.0-only

//! The end of a transmit ring that queues packets.

use super::{Entry, Shared};
use crate::net::skb::{DropReason, SkBuff};
use core::sync::atomic::Ordering::{Acquire, Release};
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_bindings as bindings;

/// A stretch of memory as the device sees it.
#[derive(Clone, Copy)]
pub struct Mapped {
    /// Bus address.
    pub address: u64,
    /// Bytes.
    pub length: u32,
}

/// The end that queues packets. The transmit queue's lock guards it.
///
/// # Invariants
///
/// The `free` entries from `next` on belong to the producer.
pub struct Producer {
    pub(super) shared: Arc<Shared>,
    /// Next descriptor of the packet being queued.
    pub(super) next: u32,
    /// First descriptor of it.
    pub(super) committed: u32,
    /// Free descriptors as far as is known; there may be more.
    pub(super) free: u32,
}

impl Producer {
    /// Free descriptors; where fewer than `wanted` are known of, the other end's index is looked at.
    #[inline(always)]
    pub fn free(&mut self, wanted: u32) -> u32 {
        if self.free < wanted {
            self.look();
        }
        self.free
    }

    /// Takes over what the other end has freed.
    fn look(&mut self) {
        let consumed = self.shared.consumed.0.load(Acquire);
        // INVARIANT: Entries in `[next, consumed + size)` are the producer's.
        self.free = self
            .shared
            .size()
            .wrapping_sub(Shared::distance(consumed, self.next));
    }

    /// Index of the next descriptor, free-running modulo 2^16.
    #[inline(always)]
    pub fn next(&self) -> u32 {
        self.next
    }

    /// The entry of the next descriptor, which is taken by [`Self::advance`].
    #[inline(always)]
    pub(super) fn entry(&mut self) -> Result<*mut Entry> {
        if self.free(1) == 0 {
            return Err(ENOSPC);
        }
        Ok(self.shared.entry(self.next))
    }

    #[inline(always)]
    fn advance(&mut self) {
        // INVARIANT: One entry less is free, from one further on.
        self.next = self.next.wrapping_add(1);
        self.free = self.free.wrapping_sub(1);
    }

    /// A descriptor that refers to no memory.
    ///
    /// # Errors
    ///
    /// [`ENOSPC`]: the ring is full.
    #[inline]
    pub fn skip(&mut self) -> Result {
        let entry = self.entry()?;
        // SAFETY: The entry is the producer's.
        unsafe { entry.write(Entry::EMPTY) };
        self.advance();
        Ok(())
    }

    /// Maps the linear part of a packet for the next descriptor.
    ///
    /// # Errors
    ///
    /// [`ENOSPC`]: the ring is full; [`ENOMEM`]: it cannot be mapped.
    #[inline(always)]
    pub fn map_head(&mut self, skb: &SkBuff) -> Result<Mapped> {
        let entry = self.entry()?;
        let length = skb.head_len();
        let (device, always) = (self.shared.device, self.shared.unmap);
        // SAFETY: The device is bound, the packet valid, the entry the producer's.
        let address = unsafe {
            bindings::tx_map_head(
                device,
                skb.as_raw(),
                length,
                always,
                &raw mut (*entry).unmap,
            )
        };
        self.mapped(entry, address, length)
    }

    /// Maps fragment `index` of a packet for the next descriptor.
    ///
    /// # Errors
    ///
    /// [`ENOSPC`]: the ring is full; [`EINVAL`]: no such fragment; [`ENOMEM`]: it cannot be mapped.
    #[inline]
    pub fn map_fragment(&mut self, skb: &SkBuff, index: usize) -> Result<Mapped> {
        let entry = self.entry()?;
        let (fragment, length) = skb.fragment(index).ok_or(EINVAL)?;
        let (device, always) = (self.shared.device, self.shared.unmap);
        // SAFETY: The device is bound, the fragment belongs to a valid packet, the entry is the producer's.
        let address =
            unsafe { bindings::tx_map_frag(device, fragment, always, &raw mut (*entry).unmap) };
        self.mapped(entry, address, length)
    }

    #[inline(always)]
    pub(super) fn mapped(
        &mut self,
        entry: *mut Entry,
        address: u64,
        length: u32,
    ) -> Result<Mapped> {
        if address == u64::MAX {
            return Err(ENOMEM);
        }
        // SAFETY: The entry is the producer's; the helper has written `unmap`.
        unsafe {
            (*entry).skb = core::ptr::null_mut();
            (*entry).address = address;
        }
        self.advance();
        Ok(Mapped { address, length })
    }

    /// Hands the packet over to the ring, after its descriptors were made: the consumer end drops it. Without a descriptor
    /// made since the last packet, the ring could not own it, and drops it at once.
    #[inline(always)]
    pub fn commit(&mut self, skb: SkBuff) {
        if self.next == self.committed {
            skb.drop_with(DropReason::Unsupported);
            return;
        }
        let last = self.shared.entry(self.next.wrapping_sub(1));
        // SAFETY: This entry was made since the last commit, so it belongs to the producer still.
        unsafe { (*last).skb = skb.into_raw() };
        self.committed = self.next;
        self.shared.produced.0.store(self.next, Release);
    }

    /// Unmaps what was mapped since the last commit, whose descriptors the device has not seen.
    #[cold]
    pub fn abort(&mut self) {
        while self.next != self.committed {
            self.next = self.next.wrapping_sub(1);
            self.free = self.free.wrapping_add(1);
            // SAFETY: The entry was made since the last commit.
            let entry = unsafe { &*self.shared.entry(self.next) };
            self.shared.release(entry);
        }
    }
}
