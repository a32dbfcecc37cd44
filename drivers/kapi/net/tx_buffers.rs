// SPDX-License-Identifier: GPL-2.0-only

//! What a transmit ring refers to: packets and their DMA mappings, from when they are queued until the device is done.
//!
//! A ring has two ends that run at the same time on different CPUs: the [`Producer`], under the transmit queue's lock, and the
//! [`Consumer`], in the NAPI poll. They share one entry for each descriptor. The producer writes entries in `[produced,
//! consumed + size)`, the consumer those in `[consumed, produced)`; each publishes its own index after it is done with
//! entries. What the device says has been taken is checked against both, so that a wrong index cannot reach a foreign entry.
//!
//! Dropping the last of both unmaps and drops all that is left: the device must have let go of the ring by then.

mod consumer;
mod frame;
mod producer;

pub use consumer::{Completed, Consumer, Watch};
pub use producer::{Mapped, Producer};

use crate::pci::Binding;
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32};
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_bindings as bindings;

/// What belongs to one descriptor.
#[repr(C)]
struct Entry {
    /// In the entry of a packet's last descriptor; null in others. May be an XDP frame, see [`frame`].
    skb: *mut bindings::sk_buff,
    address: u64,
    /// Bytes to be unmapped, 0 where there is nothing to undo.
    unmap: u32,
}

impl Entry {
    const EMPTY: Self = Self {
        skb: core::ptr::null_mut(),
        address: 0,
        unmap: 0,
    };
}

/// An index on a cache line of its own, since the other end writes the neighbour. Core's atomic, not the kernel crate's,
/// whose accesses are calls.
#[repr(C, align(64))]
struct Index(AtomicU32);

/// # Invariants
///
/// - `entries` has a power-of-two number of entries, `mask` is that less 1.
/// - Both indices are 16 bits wide, and `produced - consumed` modulo 2^16 is at most the size.
/// - Entries in `[consumed, produced)` are initialised and belong to the consumer, the others to the producer.
struct Shared {
    entries: KVVec<UnsafeCell<Entry>>,
    mask: u32,
    /// Mappings always have to be undone; else each says whether it has.
    unmap: bool,
    device: *mut bindings::device,
    produced: Index,
    consumed: Index,
    /// XDP frames have been queued.
    frames: AtomicBool,
    // Keeps `device` bound.
    _owner: Option<Binding>,
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
    // SAFETY: The device is bound.
    let unmap = unsafe { bindings::dma_need_unmap(binding.raw_device()) };
    with_owner(log2, binding.raw_device(), unmap, Some(binding.clone()))
}

/// As [`new`]; without an owner, in tests, nothing can be mapped.
fn with_owner(
    log2: u8,
    device: *mut bindings::device,
    unmap: bool,
    owner: Option<Binding>,
) -> Result<(Producer, Consumer)> {
    if log2 > 15 {
        return Err(EINVAL);
    }
    let size = 1usize << log2;
    let mut entries = KVVec::with_capacity(size, GFP_KERNEL)?;
    for _ in 0..size {
        entries.push(UnsafeCell::new(Entry::EMPTY), GFP_KERNEL)?;
    }
    // INVARIANT: Size and mask as allocated; no entry is in use.
    let shared = Arc::new(
        Shared {
            entries,
            mask: size as u32 - 1,
            unmap,
            device,
            produced: Index(AtomicU32::new(0)),
            consumed: Index(AtomicU32::new(0)),
            frames: AtomicBool::new(false),
            _owner: owner,
        },
        GFP_KERNEL,
    )?;
    let producer = Producer {
        shared: shared.clone(),
        next: 0,
        committed: 0,
        free: size as u32,
    };
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
    producer.free = producer.shared.size();
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
        unsafe {
            self.entries
                .get_unchecked((index & self.mask) as usize)
                .get()
        }
    }

    /// Descriptors between two indices.
    #[inline(always)]
    fn distance(from: u32, to: u32) -> u32 {
        to.wrapping_sub(from) & 0xffff
    }

    /// Number of entries.
    #[inline(always)]
    fn size(&self) -> u32 {
        self.mask.wrapping_add(1)
    }

    /// Undoes a mapping, where it has to be.
    #[inline(always)]
    fn release(&self, entry: &Entry) {
        if entry.unmap != 0 {
            self.unmap_entry(entry);
        }
    }

    fn unmap_entry(&self, entry: &Entry) {
        let direction = bindings::dma_data_direction::DMA_TO_DEVICE;
        // SAFETY: The entry holds what was mapped for this device, and is unmapped once.
        unsafe {
            bindings::dma_unmap_phys(
                self.device,
                entry.address,
                entry.unmap as usize,
                direction,
                0,
            )
        };
    }

    /// Unmaps and drops what is left from index `next` on.
    fn drop_rest(&self, next: u32) {
        let produced = self.produced.0.load(Acquire);
        let mut index = next;
        while Self::distance(index, produced) != 0 {
            // SAFETY: The entry is in `[consumed, produced)`, and the caller is the consumer or alone.
            let entry = unsafe { &mut *self.entry(index) };
            self.release(entry);
            let skb = core::mem::replace(&mut entry.skb, core::ptr::null_mut());
            if frame::is_frame(skb) {
                // SAFETY: The entry owned the frame, and gives it up.
                drop(unsafe { frame::take_frame(skb) });
            } else if !skb.is_null() {
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

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_tx_buffers)]
mod tests {
    use super::*;
    use crate::net::napi::Context;
    use crate::net::skb::SkBuff;
    use kernel::types::Opaque;

    const SIZE: u32 = 32;

    fn ring() -> Result<(Producer, Consumer)> {
        with_owner(5, core::ptr::null_mut(), false, None)
    }

    fn packet() -> Result<SkBuff> {
        // SAFETY: No requirements.
        let skb = unsafe { bindings::alloc_skb_with_frags(64, 0, 0, &mut 0, bindings::GFP_KERNEL) };
        if skb.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: The skb was just made and is ours; it has room for 60 bytes.
        unsafe {
            bindings::skb_put(skb, 60);
            Ok(SkBuff::from_raw(skb))
        }
    }

    /// Completes as netpoll does, which is allowed in any context.
    fn complete(consumer: &mut Consumer, head: u16) -> Result<Completed> {
        let napi = Opaque::<bindings::napi_struct>::zeroed();
        consumer.complete(Context::for_test(&napi, 0), head)
    }

    fn send(producer: &mut Producer, descriptors: u32) -> Result {
        for _ in 0..descriptors {
            producer.skip()?;
        }
        producer.commit(packet()?);
        Ok(())
    }

    #[test]
    fn ring_takes_as_many_as_it_has_entries() -> Result {
        let (mut producer, _consumer) = ring()?;
        for _ in 0..SIZE {
            send(&mut producer, 1)?;
        }
        assert_eq!(producer.free(1), 0);
        assert_eq!(producer.skip(), Err(ENOSPC));
        Ok(())
    }

    #[test]
    fn a_head_beyond_what_was_queued_is_refused() -> Result {
        let (mut producer, mut consumer) = ring()?;
        send(&mut producer, 2)?;
        assert_eq!(complete(&mut consumer, 3).err(), Some(EPROTO));
        assert_eq!(complete(&mut consumer, u16::MAX).err(), Some(EPROTO));
        let completed = complete(&mut consumer, 2)?;
        assert_eq!((completed.packets, completed.bytes), (1, 60));
        assert_eq!(complete(&mut consumer, 1).err(), Some(EPROTO));
        Ok(())
    }

    #[test]
    fn a_time_is_taken_once_and_for_packets_that_asked_only() -> Result {
        let napi = Opaque::<bindings::napi_struct>::zeroed();
        let context = || Context::for_test(&napi, 0);
        let (mut producer, mut consumer) = ring()?;
        send(&mut producer, 2)?;
        producer.skip()?;
        let mut skb = packet()?;
        skb.begin_hw_timestamp();
        producer.commit(skb);
        for head in [0, 1, 2, 4, u16::MAX] {
            assert_eq!(consumer.timestamp(context(), head, Some(7)), Err(EPROTO));
        }
        assert_eq!(consumer.timestamp(context(), 3, Some(7)), Ok(()));
        assert_eq!(consumer.timestamp(context(), 3, Some(7)), Err(EPROTO));
        assert_eq!(complete(&mut consumer, 3)?.packets, 2);
        assert_eq!(consumer.timestamp(context(), 3, Some(7)), Err(EPROTO));
        Ok(())
    }

    #[test]
    fn what_is_not_committed_is_not_completed() -> Result {
        let (mut producer, mut consumer) = ring()?;
        producer.skip()?;
        assert_eq!(complete(&mut consumer, 1).err(), Some(EPROTO));
        producer.abort();
        assert_eq!((producer.next(), producer.free(SIZE)), (0, SIZE));
        Ok(())
    }

    #[test]
    fn indices_wrap() -> Result {
        let (mut producer, mut consumer) = ring()?;
        let mut head = 0u16;
        for _ in 0..40_000 {
            send(&mut producer, 3)?;
            head = head.wrapping_add(3);
            assert_eq!(complete(&mut consumer, head)?.packets, 1);
            assert_eq!(consumer.free(), SIZE);
        }
        Ok(())
    }

    #[test]
    fn the_oldest_is_seen_from_outside() -> Result {
        let (mut producer, mut consumer) = ring()?;
        let watch = consumer.watch();
        assert_eq!(watch.oldest(), None);
        producer.skip()?;
        assert_eq!(watch.oldest(), None);
        producer.commit(packet()?);
        send(&mut producer, 2)?;
        assert_eq!(watch.oldest(), Some(0));
        complete(&mut consumer, 1)?;
        assert_eq!(watch.oldest(), Some(1));
        complete(&mut consumer, 3)?;
        assert_eq!(watch.oldest(), None);
        send(&mut producer, 1)?;
        rewind(&mut producer, &mut consumer)?;
        assert_eq!(watch.oldest(), None);
        Ok(())
    }

    #[test]
    fn rewinding_drops_what_is_left() -> Result {
        let (mut producer, mut consumer) = ring()?;
        send(&mut producer, 5)?;
        complete(&mut consumer, 5)?;
        send(&mut producer, 5)?;
        producer.skip()?;
        rewind(&mut producer, &mut consumer)?;
        assert_eq!(
            (producer.next(), producer.free(SIZE), consumer.free()),
            (0, SIZE, SIZE)
        );
        assert_eq!(complete(&mut consumer, 1).err(), Some(EPROTO));
        let (_, mut other) = ring()?;
        assert_eq!(rewind(&mut producer, &mut other), Err(EINVAL));
        Ok(())
    }
}
