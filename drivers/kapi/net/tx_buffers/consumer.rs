// SPDX-License-Identifier: GPL-2.0-only

//! The end of a transmit ring that completes packets.

use super::{frame, Shared};
use crate::net::napi::Context;
use core::sync::atomic::Ordering::{Acquire, Release};
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_bindings as bindings;

/// What [`Consumer::complete`] let go of.
#[derive(Clone, Copy, Default)]
pub struct Completed {
    /// Packets as they were queued.
    pub packets: u32,
    /// Their bytes, as they were queued.
    pub bytes: u32,
    /// XDP frames, which are not among the packets.
    pub frames: u32,
}

/// The end that completes packets. The NAPI instance guards it.
pub struct Consumer {
    pub(super) shared: Arc<Shared>,
    pub(super) next: u32,
}

/// A view of a ring that can be had at any time, from anywhere. It keeps the ring's memory.
pub struct Watch(Arc<Shared>);

impl Watch {
    /// Index of the oldest descriptor that was queued and not completed, if there is one. While both ends are at work an index
    /// that has passed can be given, but the same one twice only if nothing was completed in between.
    pub fn oldest(&self) -> Option<u32> {
        let consumed = self.0.consumed.0.load(Acquire);
        let produced = self.0.produced.0.load(Acquire);
        (Shared::distance(consumed, produced) != 0).then_some(consumed)
    }

    /// How many descriptors were completed and queued, by numbers that run on, for those who only show them.
    pub fn indices(&self) -> (u32, u32) {
        let consumed = self.0.consumed.0.load(Acquire);
        (consumed, self.0.produced.0.load(Acquire))
    }
}

impl Consumer {
    /// A view of the ring.
    pub fn watch(&self) -> Watch {
        Watch(self.shared.clone())
    }

    /// Free descriptors.
    #[inline]
    pub fn free(&self) -> u32 {
        let produced = self.shared.produced.0.load(Acquire);
        self.shared
            .size()
            .wrapping_sub(Shared::distance(self.next, produced))
    }

    /// The device says when the packet left whose last descriptor is the one before `head` (modulo 2^16), in nanoseconds of
    /// its clock: its sender is told. To be called before [`Self::complete`] for this or a later head. Without a time, the
    /// packet was dropped.
    ///
    /// # Errors
    ///
    /// [`EPROTO`]: there is no such packet, or it did not ask, or was told already.
    #[cold]
    pub fn timestamp(&mut self, _context: Context<'_>, head: u16, time: Option<u64>) -> Result {
        let produced = self.shared.produced.0.load(Acquire);
        let count = Shared::distance(self.next, head.into());
        if count == 0 || count > Shared::distance(self.next, produced) {
            return Err(EPROTO);
        }
        // SAFETY: The entry is in `[consumed, produced)`.
        let skb = unsafe { (*self.shared.entry(u32::from(head).wrapping_sub(1))).skb };
        if skb.is_null() || frame::is_frame(skb) {
            return Err(EPROTO);
        }
        // SAFETY: The entry owns the packet; see `skb_shinfo()`.
        let flags = unsafe {
            let info = (*skb).head.add((*skb).end as usize);
            &raw mut (*info.cast::<bindings::skb_shared_info>()).tx_flags
        };
        let progress = bindings::SKBTX_IN_PROGRESS as u8;
        // SAFETY: The flags are the packet's, which is ours; who else has its data does not change them any more.
        if unsafe { flags.read() } & progress == 0 {
            return Err(EPROTO);
        }
        if let Some(time) = time {
            let mut stamps = bindings::skb_shared_hwtstamps::default();
            stamps.__bindgen_anon_1.hwtstamp = time as i64;
            // SAFETY: The packet is valid, and the stamps are copied.
            unsafe { bindings::skb_tstamp_tx(skb, &mut stamps) };
        }
        // SAFETY: As above.
        unsafe { *flags &= !progress };
        Ok(())
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
            self.shared.release(entry);
            let skb = core::mem::replace(&mut entry.skb, core::ptr::null_mut());
            if frame::is_frame(skb) {
                completed.frames += 1;
                // SAFETY: The entry owned the frame, and gives it up.
                drop(unsafe { frame::take_frame(skb) });
            } else if !skb.is_null() {
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
