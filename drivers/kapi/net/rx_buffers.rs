// SPDX-License-Identifier: GPL-2.0-only

//! What a receive ring refers to: buffers from a page pool, and the packets that are made of them.
//!
//! The pool maps pages for DMA once and gets them back from wherever a packet is freed. A page holds one or two buffers. The
//! buffers of a ring have ids below the ring's size; an id is either posted, i.e. the device may write to its buffer, or
//! free. What the device says of a buffer is checked: a buffer that is not posted, or a length beyond it, is an error, after
//! which the caller resets the queue.
//!
//! All of this is used in the NAPI poll of the queue, or while it is disabled: there is no lock.

mod frame;
mod layout;
mod packet;

#[cfg(CONFIG_KUNIT)]
pub(super) use packet::fixture;

pub use frame::{Frame, HashKind, Metadata};
pub use layout::Layout;

use layout::HEADROOM;

use super::napi::{Context, Place};
use super::xdp::RxInfo;
use crate::pci::Binding;
use core::ptr::NonNull;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// # Invariants
///
/// `memory` is null, or one part of a page of the pool that is ours; `address` is the bus address of where
/// the device writes in it.
struct Entry {
    memory: *mut u8,
    address: u64,
    posted: bool,
}

/// A page pool; it outlives its owner until all packets with pages of it are freed.
struct Pool(NonNull<bindings::page_pool>);

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: The pool is ours; it waits by itself for pages that packets have.
        unsafe { bindings::page_pool_destroy(self.0.as_ptr()) };
    }
}

/// The buffers of a receive ring.
///
/// # Invariants
///
/// - `pool` is valid; it refers to the NAPI instance that `self` lives in.
/// - `entries` and `free` have `mask + 1` elements, a power of two.
/// - `free[i & mask]` for `i` in `[posted, taken + size)` are the ids that are not posted, each once.
pub struct Buffers {
    // `drop()` has given back all pages that are ours before this is dropped.
    pool: Pool,
    entries: KVVec<Entry>,
    free: KVVec<u16>,
    mask: u32,
    posted: u32,
    taken: u32,
    layout: Layout,
    copybreak: u32,
    /// The other half of the page that was taken last, and its bus address.
    spare: *mut u8,
    spare_address: u64,
    /// What XDP knows of the ring, if it was made for it.
    xdp: Option<RxInfo>,
    // Keeps the device bound that the pages are mapped for.
    _owner: Option<Binding>,
}

// SAFETY: The pool and its pages belong to no CPU; the queue's NAPI instance guards them.
unsafe impl Send for Buffers {}

impl Buffers {
    /// Makes a pool for a ring of `1 << log2` descriptors; posts nothing. Frames of at most `copybreak` bytes are copied, and
    /// their buffers stay with the ring. Sleeps.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: more than 2^15 descriptors; [`EBUSY`]: the instance has some already; [`ENOMEM`].
    pub fn new(
        binding: &Binding,
        place: &Place<'_>,
        log2: u8,
        layout: Layout,
        copybreak: u32,
    ) -> Result<Self> {
        if log2 > 15 {
            return Err(EINVAL);
        }
        if !place.pool.get().is_null() {
            return Err(EBUSY);
        }
        let size = 1u32 << log2;
        // SAFETY: The device is bound, the NAPI instance and the net device outlive the pool, which is in the instance.
        let pool = unsafe {
            bindings::rx_pool_create(
                binding.raw_device(),
                place.device.as_raw(),
                place.napi,
                place.index.into(),
                size >> (layout.parts() - 1),
                layout.xdp,
            )
        };
        let pool = kernel::error::from_err_ptr(pool)?;
        // SAFETY: The pool is new, and the instance takes over this reference.
        unsafe { bindings::rx_pool_hold(pool) };
        place.pool.set(pool);
        let mut this = Self::with_pool(pool, size, layout, copybreak, Some(binding.clone()))?;
        if layout.xdp {
            // SAFETY: The pool is ours, and the NAPI instance keeps the device.
            let info = unsafe { RxInfo::register(place.device, place.index, layout.size, pool) };
            this.xdp = Some(info?);
        }
        Ok(this)
    }

    /// Takes over a pool. Without an owner, in tests, it maps nothing.
    fn with_pool(
        pool: *mut bindings::page_pool,
        size: u32,
        layout: Layout,
        copybreak: u32,
        owner: Option<Binding>,
    ) -> Result<Self> {
        let pool = Pool(NonNull::new(pool).ok_or(ENOMEM)?);
        let mut entries = KVVec::with_capacity(size as usize, GFP_KERNEL)?;
        let mut free = KVVec::with_capacity(size as usize, GFP_KERNEL)?;
        for id in 0..size {
            entries.push(
                Entry {
                    memory: core::ptr::null_mut(),
                    address: 0,
                    posted: false,
                },
                GFP_KERNEL,
            )?;
            free.push(id as u16, GFP_KERNEL)?;
        }
        // INVARIANT: As made above; all ids are free.
        Ok(Self {
            pool,
            entries,
            free,
            mask: size - 1,
            posted: 0,
            taken: 0,
            layout,
            copybreak,
            spare: core::ptr::null_mut(),
            spare_address: 0,
            xdp: None,
            _owner: owner,
        })
    }

    /// Bytes that the device can write to each buffer.
    pub fn usable(&self) -> u32 {
        self.layout.usable()
    }

    /// Descriptors that are not posted.
    #[inline(always)]
    pub fn unposted(&self) -> u32 {
        (self.mask + 1).wrapping_sub(self.posted.wrapping_sub(self.taken))
    }

    /// Index of the next descriptor to be posted, free-running.
    #[inline(always)]
    pub fn next(&self) -> u32 {
        self.posted
    }

    /// Memory for a buffer.
    #[inline(always)]
    fn memory(&mut self) -> Option<(*mut u8, u64)> {
        if !self.spare.is_null() {
            let spare = core::mem::replace(&mut self.spare, core::ptr::null_mut());
            return Some((spare, self.spare_address));
        }
        let (pool, parts) = (self.pool.0.as_ptr(), self.layout.parts());
        let mut address = 0;
        // SAFETY: The pool is valid; we are in its NAPI context, or alone.
        let page = unsafe { bindings::rx_page(pool, parts as isize, &mut address) };
        let page = page.cast::<u8>();
        if page.is_null() {
            return None;
        }
        if parts == 2 {
            self.spare = page.wrapping_add(self.layout.size as usize);
            self.spare_address = address.wrapping_add(self.layout.size.into());
        }
        Some((page, address))
    }

    /// Posts a buffer: its id and the bus address that the device writes to. `None`: all are posted, or there is no memory.
    #[inline(always)]
    pub fn post(&mut self) -> Option<(u16, u64)> {
        if self.unposted() == 0 {
            return None;
        }
        // SAFETY: The masked index is in bounds.
        let id = unsafe { *self.free.get_unchecked((self.posted & self.mask) as usize) };
        let index = usize::from(id) & self.mask as usize;
        // SAFETY: As above.
        if unsafe { self.entries.get_unchecked(index).memory.is_null() } {
            let headroom = self.layout.headroom;
            let (memory, address) = self.memory()?;
            // SAFETY: As above.
            let entry = unsafe { self.entries.get_unchecked_mut(index) };
            entry.memory = memory;
            entry.address = address.wrapping_add(headroom.into());
        }
        // SAFETY: As above.
        let entry = unsafe { self.entries.get_unchecked_mut(index) };
        entry.posted = true;
        self.posted = self.posted.wrapping_add(1);
        Some((id, entry.address))
    }

    /// The device has filled buffer `id` with `length` bytes: the buffer is not posted any more.
    #[inline(always)]
    fn take(&mut self, id: u16, length: u32) -> Result<&mut Entry> {
        if u32::from(id) > self.mask || length > self.layout.usable() || length == 0 {
            return Err(EPROTO);
        }
        // SAFETY: The id was checked.
        let entry = unsafe { self.entries.get_unchecked_mut(usize::from(id)) };
        if !core::mem::replace(&mut entry.posted, false) {
            return Err(EPROTO);
        }
        // SAFETY: The masked index is in bounds.
        // INVARIANT: The id was posted, so it is not in the list; it goes to its end.
        unsafe {
            *self
                .free
                .get_unchecked_mut((self.taken & self.mask) as usize) = id
        };
        self.taken = self.taken.wrapping_add(1);
        Ok(entry)
    }

    /// Takes all buffers back. The device must have let go of the ring.
    pub fn rewind(&mut self) {
        self.posted = 0;
        self.taken = 0;
        for (id, (free, entry)) in self
            .free
            .iter_mut()
            .zip(self.entries.iter_mut())
            .enumerate()
        {
            // INVARIANT: No id is posted, each is in the list.
            *free = id as u16;
            entry.posted = false;
        }
    }

    /// Begins a frame with what the device put into buffer `id`. `None`: no memory, the frame has to be skipped.
    ///
    /// # Errors
    ///
    /// [`EPROTO`]: the device named a buffer that is not posted, or a length beyond it or without
    /// a whole Ethernet header.
    #[inline(always)]
    pub fn begin(&mut self, context: Context<'_>, id: u16, length: u32) -> Result<Option<Frame>> {
        let (pool, size, copybreak) = (self.pool.0.as_ptr(), self.layout.size, self.copybreak);
        if length < bindings::ETH_HLEN {
            return Err(EPROTO);
        }
        let entry = self.take(id, length)?;
        let skb = if length <= copybreak {
            // SAFETY: We are polling the pool's instance; the buffer is ours, and holds `length` bytes.
            unsafe {
                bindings::rx_copy(
                    pool,
                    context.as_raw(),
                    entry.memory.cast(),
                    HEADROOM,
                    length,
                )
            }
        } else {
            // SAFETY: As above; on success the packet owns the buffer.
            let skb =
                unsafe { bindings::rx_build(pool, entry.memory.cast(), size, HEADROOM, length) };
            if !skb.is_null() {
                entry.memory = core::ptr::null_mut();
            }
            skb
        };
        Ok(NonNull::new(skb).map(Frame))
    }

    /// Adds what the device put into buffer `id` to a frame. False: it has too many parts, and has to be dropped.
    ///
    /// # Errors
    ///
    /// As [`Self::begin`].
    pub fn append(&mut self, frame: &mut Frame, id: u16, length: u32) -> Result<bool> {
        let (pool, size) = (self.pool.0.as_ptr(), self.layout.size);
        let entry = self.take(id, length)?;
        if frame.parts() >= bindings::MAX_SKB_FRAGS as usize {
            return Ok(false);
        }
        // SAFETY: The packet and the buffer are ours; the packet owns the buffer from now on, and has room for it.
        unsafe {
            bindings::rx_add(
                pool,
                frame.0.as_ptr(),
                entry.memory.cast(),
                size,
                HEADROOM,
                length,
            )
        };
        entry.memory = core::ptr::null_mut();
        Ok(true)
    }

    /// Lets go of what the device put into buffer `id`.
    ///
    /// # Errors
    ///
    /// As [`Self::begin`].
    pub fn skip(&mut self, id: u16, length: u32) -> Result {
        self.take(id, length).map(drop)
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        let pool = self.pool.0.as_ptr();
        for entry in &self.entries {
            if !entry.memory.is_null() {
                // SAFETY: The buffer is ours; the device has let go of the ring.
                unsafe { bindings::rx_put(pool, entry.memory.cast(), false) };
            }
        }
        if !self.spare.is_null() {
            // SAFETY: As above.
            unsafe { bindings::rx_put(pool, self.spare.cast(), false) };
        }
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_rx_buffers)]
mod tests {
    use super::layout::PAGE;
    use super::*;

    const SIZE: u32 = 32;

    fn buffers(frame: u32) -> Result<Buffers> {
        let mut params = bindings::page_pool_params::default();
        // SAFETY: Both members of the union are the same, for C's `struct_group()`.
        let fast = unsafe { params.__bindgen_anon_1.fast.as_mut() };
        fast.pool_size = SIZE;
        fast.nid = -1;
        // SAFETY: The parameters are valid for a pool that maps nothing.
        let pool = kernel::error::from_err_ptr(unsafe { bindings::page_pool_create(&params) })?;
        Buffers::with_pool(pool, SIZE, Layout::for_frame(frame), 0, None)
    }

    fn post_all(buffers: &mut Buffers) -> u64 {
        let mut ids = 0u64;
        while let Some((id, _)) = buffers.post() {
            assert_eq!(ids & 1 << id, 0, "an id was posted twice");
            ids |= 1 << id;
        }
        ids
    }

    #[test]
    fn every_id_is_posted_once() -> Result {
        let mut buffers = buffers(1518)?;
        assert_eq!(buffers.unposted(), SIZE);
        assert_eq!(post_all(&mut buffers), u64::from(u32::MAX));
        assert_eq!(buffers.unposted(), 0);
        Ok(())
    }

    #[test]
    fn a_buffer_comes_back_once() -> Result {
        let mut buffers = buffers(1518)?;
        assert_eq!(buffers.skip(0, 60), Err(EPROTO));
        post_all(&mut buffers);
        buffers.skip(7, 60)?;
        assert_eq!(buffers.skip(7, 60), Err(EPROTO));
        Ok(())
    }

    #[test]
    fn ids_and_lengths_out_of_range_are_refused() -> Result {
        let mut buffers = buffers(1518)?;
        post_all(&mut buffers);
        let usable = buffers.usable();
        assert_eq!(buffers.skip(SIZE as u16, 60), Err(EPROTO));
        assert_eq!(buffers.skip(u16::MAX, 60), Err(EPROTO));
        assert_eq!(buffers.skip(0, usable + 1), Err(EPROTO));
        assert_eq!(buffers.skip(0, 0), Err(EPROTO));
        buffers.skip(0, usable)
    }

    #[test]
    fn ids_come_back_in_any_order() -> Result {
        let mut buffers = buffers(1518)?;
        post_all(&mut buffers);
        for round in 0..3000u32 {
            let (first, second) = ((round * 7 % SIZE) as u16, (round * 11 % SIZE) as u16);
            buffers.skip(first, 60)?;
            let free = if first == second { 1 } else { 2 };
            if first != second {
                buffers.skip(second, 60)?;
            }
            assert_eq!(buffers.unposted(), free);
            assert_eq!(post_all(&mut buffers).count_ones(), free);
        }
        Ok(())
    }

    #[test]
    fn two_buffers_share_a_page_where_frames_are_short() -> Result {
        let (mut short, mut long) = (buffers(1518)?, buffers(9000)?);
        let (first, second) = (short.post().ok_or(ENOMEM)?, short.post().ok_or(ENOMEM)?);
        assert_eq!(second.1.wrapping_sub(first.1), u64::from(PAGE / 2));
        assert!(long.usable() > PAGE / 2);
        long.post().ok_or(ENOMEM)?;
        Ok(())
    }

    #[test]
    fn rewinding_frees_every_id() -> Result {
        let mut buffers = buffers(1518)?;
        post_all(&mut buffers);
        buffers.skip(3, 60)?;
        buffers.rewind();
        assert_eq!(buffers.skip(5, 60), Err(EPROTO));
        assert_eq!(post_all(&mut buffers), u64::from(u32::MAX));
        Ok(())
    }
}
