// SPDX-License-Identifier: GPL-2.0-only

//! XDP frames in a transmit ring. An entry that owns one has its pointer with the lowest bit set.

use super::{Mapped, Producer};
use crate::net::xdp::Frame;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::{Relaxed, Release};
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// The bit that tells a frame from an skb: both are aligned to more than bytes.
const TAG: usize = 1;

/// Whether what an entry owns is a frame.
#[inline(always)]
pub(super) fn is_frame(owned: *mut bindings::sk_buff) -> bool {
    owned.addr() & TAG != 0
}

/// Takes the frame over that an entry owns.
///
/// # Safety
///
/// The entry owns a frame, and gives it up.
pub(super) unsafe fn take_frame(owned: *mut bindings::sk_buff) -> Frame {
    // SAFETY: The pointer was made by `commit_frame()`.
    unsafe {
        Frame::from_raw(NonNull::new_unchecked(
            owned.map_addr(|raw| raw & !TAG).cast(),
        ))
    }
}

impl Producer {
    /// Maps the first part of a frame for the next descriptor.
    ///
    /// # Errors
    ///
    /// As [`Self::map_head`].
    #[inline]
    pub fn map_frame(&mut self, frame: &Frame) -> Result<Mapped> {
        let entry = self.entry()?;
        let (device, always) = (self.shared.device, self.shared.unmap);
        // SAFETY: The device is bound, the frame valid, the entry the producer's.
        let address = unsafe {
            bindings::oxnic_xdp_map_head(device, frame.as_raw(), always, &raw mut (*entry).unmap)
        };
        self.mapped(entry, address, frame.head_len())
    }

    /// Maps fragment `index` of a frame for the next descriptor.
    ///
    /// # Errors
    ///
    /// As [`Self::map_fragment`].
    pub fn map_frame_fragment(&mut self, frame: &Frame, index: u32) -> Result<Mapped> {
        let entry = self.entry()?;
        if index >= frame.fragments() {
            return Err(EINVAL);
        }
        let (device, always) = (self.shared.device, self.shared.unmap);
        let mut length = 0;
        // SAFETY: As above; the index was checked.
        let address = unsafe {
            bindings::oxnic_xdp_map_frag(
                device,
                frame.as_raw(),
                index,
                always,
                &raw mut (*entry).unmap,
                &mut length,
            )
        };
        self.mapped(entry, address, length)
    }

    /// Hands a frame over to the ring, as [`Self::commit`] does a packet.
    #[inline]
    pub fn commit_frame(&mut self, frame: Frame) {
        if self.next == self.committed {
            return drop(frame);
        }
        let last = self.shared.entry(self.next.wrapping_sub(1));
        let owned = frame
            .into_raw()
            .cast::<bindings::sk_buff>()
            .map_addr(|raw| raw | TAG);
        // SAFETY: This entry was made since the last commit, so it belongs to the producer still.
        unsafe { (*last).skb = owned };
        self.committed = self.next;
        self.shared.frames.store(true, Relaxed);
        self.shared.produced.0.store(self.next, Release);
    }
}

impl super::Consumer {
    /// Whether frames may be queued: they must not be completed with interrupts disabled, as netpoll would.
    #[inline]
    pub fn may_hold_frames(&self) -> bool {
        self.shared.frames.load(Relaxed)
    }
}
