// SPDX-License-Identifier: GPL-2.0-only

//! A received packet while a program decides about it, and what programs know of the queue that it came by.
//!
//! Packets are made by [`Buffers::begin_packet`](crate::net::rx_buffers::Buffers::begin_packet).

use super::Frame;
use crate::net::flow::Onwards;
use crate::net::napi::Context;
use crate::net::netdev::Device;
use crate::net::rx_buffers::Metadata;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::types::Opaque;
use oxnic_bindings as bindings;

/// A receive queue as programs see it, with its page pool known to XDP so that frames can come back to it.
///
/// # Invariants
///
/// The structure is registered, and stays where it is.
pub struct RxInfo(KBox<Opaque<bindings::xdp_rxq_info>>);

// SAFETY: The structure is not changed after it was registered, and belongs to no CPU.
unsafe impl Send for RxInfo {}

impl RxInfo {
    /// Registers a queue whose buffers have `size` bytes. Sleeps.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    ///
    /// # Safety
    ///
    /// The pool is valid, and its owner keeps the device for as long as the result lives.
    pub(in crate::net) unsafe fn register(
        device: &Device,
        queue: u16,
        size: u32,
        pool: *mut bindings::page_pool,
    ) -> Result<Self> {
        let info = KBox::new(Opaque::<bindings::xdp_rxq_info>::zeroed(), GFP_KERNEL)?;
        // SAFETY: The structure is zeroed and ours, the rest valid as the caller says.
        kernel::error::to_result(unsafe {
            bindings::oxnic_xdp_rxq_register(info.get(), device.as_raw(), queue.into(), size, pool)
        })?;
        Ok(Self(info))
    }

    pub(in crate::net) fn as_raw(&self) -> *mut bindings::xdp_rxq_info {
        self.0.get()
    }
}

impl Drop for RxInfo {
    fn drop(&mut self) {
        // SAFETY: The structure was registered. The pool is its owner's, and lives until all of its pages are back.
        unsafe { bindings::xdp_rxq_info_unreg(self.0.get()) };
    }
}

/// A received packet that nobody but us has.
///
/// # Invariants
///
/// The structure describes buffers of a page pool, which are ours; its queue is registered.
pub struct Buff {
    raw: bindings::xdp_buff,
    /// Id of its first buffer in the ring.
    pub(in crate::net) id: u16,
    /// Bus address of that buffer, for the ring.
    address: u64,
}

// SAFETY: A packet belongs to no CPU.
unsafe impl Send for Buff {}

impl Buff {
    /// # Safety
    ///
    /// The packet is as the invariants say, and is the caller's to give.
    #[inline(always)]
    pub(in crate::net) unsafe fn from_raw(raw: bindings::xdp_buff, id: u16, address: u64) -> Self {
        Self { raw, id, address }
    }

    #[inline(always)]
    pub(in crate::net) fn as_raw(&mut self) -> *mut bindings::xdp_buff {
        &mut self.raw
    }

    /// The queue that it came by.
    #[inline(always)]
    pub(in crate::net) fn queue(&self) -> *mut bindings::xdp_rxq_info {
        self.raw.rxq
    }

    /// Bytes of all its buffers.
    #[inline(always)]
    pub fn length(&self) -> u32 {
        if self.has_frags() {
            // SAFETY: By the type invariant.
            return unsafe { bindings::xdp_get_buff_len(&self.raw) };
        }
        (self.raw.data_end as usize).wrapping_sub(self.raw.data as usize) as u32
    }

    /// Whether it has more than one buffer.
    #[inline(always)]
    pub fn has_frags(&self) -> bool {
        // SAFETY: All bits of the union are initialised, and any are valid.
        let flags = unsafe { self.raw.__bindgen_anon_1.__bindgen_anon_1.as_ref().flags };
        flags & bindings::xdp_buff_flags_XDP_FLAGS_HAS_FRAGS != 0
    }

    /// Makes a packet of the stack's of it. `None`: no memory, it was dropped.
    #[inline]
    fn into_skb(self, time: Option<u64>) -> Option<NonNull<bindings::sk_buff>> {
        let mut packet = core::mem::ManuallyDrop::new(self);
        // SAFETY: The packet is ours, and is given up unless there is an error.
        let Some(skb) = NonNull::new(unsafe { bindings::xdp_build_skb_from_buff(packet.as_raw()) })
        else {
            drop(core::mem::ManuallyDrop::into_inner(packet));
            return None;
        };
        if let Some(time) = time {
            // SAFETY: The packet is ours.
            unsafe {
                (*bindings::skb_hwtstamps(skb.as_ptr()))
                    .__bindgen_anon_1
                    .hwtstamp = time as i64
            };
        }
        Some(skb)
    }

    /// Hands the packet up, through GRO, with metadata that a program has put in front of it, and the time of arrival in
    /// nanoseconds of the device's clock. False: there was no memory for it, and it is dropped.
    #[inline]
    pub fn receive(self, context: Context<'_>, metadata: Metadata, time: Option<u64>) -> bool {
        let Some(skb) = self.into_skb(time) else {
            return false;
        };
        // SAFETY: We are polling the instance; the packet is ours and given up.
        unsafe {
            bindings::oxnic_xdp_receive(
                context.as_raw(),
                skb.as_ptr(),
                metadata.hash,
                metadata.hash_kind as u32,
                metadata.tag,
                metadata.verified,
            )
        };
        true
    }

    /// Hands the packet on; false: no memory, it was dropped. The device's time goes along if there is one.
    #[cold]
    pub fn receive_onwards(
        self,
        context: Context<'_>,
        metadata: Metadata,
        time: Option<u64>,
        onwards: Onwards<'_>,
    ) -> bool {
        let Some(skb) = self.into_skb(time) else {
            return false;
        };
        // SAFETY: The packet is ours, its protocol and queue are known, and it is given up.
        unsafe {
            metadata.prepare(context, skb, false);
            onwards.receive(context, skb);
        }
        true
    }

    /// Makes a frame of it, which is described in its own headroom.
    ///
    /// # Errors
    ///
    /// The packet: the program has left no room.
    #[inline]
    pub fn into_frame(self) -> Result<Frame, Self> {
        let mut packet = core::mem::ManuallyDrop::new(self);
        // SAFETY: The packet is ours, and becomes the frame unless there is an error.
        let frame = unsafe { bindings::xdp_convert_buff_to_frame(packet.as_raw()) };
        match NonNull::new(frame) {
            // SAFETY: As above.
            Some(frame) => Ok(unsafe { Frame::from_raw(frame) }),
            None => Err(core::mem::ManuallyDrop::into_inner(packet)),
        }
    }

    /// Gives all buffers back but the first, which is returned with its id and its bus address.
    #[inline]
    pub(in crate::net) fn into_head(self) -> (*mut u8, u16, u64) {
        let mut packet = core::mem::ManuallyDrop::new(self);
        if packet.has_frags() {
            // SAFETY: The buffers are ours and given up.
            unsafe { bindings::oxnic_xdp_put(packet.as_raw(), false, false) };
        }
        (packet.raw.data_hard_start.cast(), packet.id, packet.address)
    }
}

impl Drop for Buff {
    fn drop(&mut self) {
        // SAFETY: The buffers are ours and given up.
        unsafe { bindings::oxnic_xdp_put(self.as_raw(), true, false) };
    }
}
