// SPDX-License-Identifier: GPL-2.0-only

//! Packets on their way out: of a program of ours, or redirected by one of another device.
//!
//! Transmit rings take them by [`Producer::commit_frame`](crate::net::tx_buffers::Producer::commit_frame).

use super::Buff;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use oxnic_bindings as bindings;

/// Most packets that a [`Batch`] holds.
const BATCH: usize = 64;

/// A packet that nobody but us has, described in its own headroom.
#[repr(transparent)]
pub struct Frame(NonNull<bindings::xdp_frame>);

// SAFETY: A packet belongs to no CPU.
unsafe impl Send for Frame {}

impl Frame {
    /// # Safety
    ///
    /// `raw` is valid, and is the caller's to give.
    #[inline(always)]
    pub(in crate::net) unsafe fn from_raw(raw: NonNull<bindings::xdp_frame>) -> Self {
        Self(raw)
    }

    /// Gives up ownership.
    #[inline(always)]
    pub(in crate::net) fn into_raw(self) -> *mut bindings::xdp_frame {
        ManuallyDrop::new(self).0.as_ptr()
    }

    #[inline(always)]
    pub(in crate::net) fn as_raw(&self) -> *mut bindings::xdp_frame {
        self.0.as_ptr()
    }

    /// Bytes of all its parts.
    #[inline(always)]
    pub fn length(&self) -> u32 {
        // SAFETY: The packet is ours.
        unsafe { bindings::xdp_get_frame_len(self.as_raw()) }
    }

    /// Bytes of its first part.
    #[inline(always)]
    pub(in crate::net) fn head_len(&self) -> u32 {
        // SAFETY: The packet is ours.
        unsafe { self.0.as_ref().len }
    }

    /// Number of parts after the first.
    #[inline(always)]
    pub fn fragments(&self) -> u32 {
        // SAFETY: The packet is ours.
        unsafe { bindings::oxnic_xdp_frame_frags(self.as_raw()) }
    }

    /// Makes it at least `length` bytes long, with zeros; false: it has no room.
    #[inline(always)]
    pub fn pad_to(&mut self, length: u32) -> bool {
        if self.length() >= length {
            return true;
        }
        // SAFETY: The packet is ours.
        self.fragments() == 0 && unsafe { bindings::oxnic_xdp_frame_pad(self.as_raw(), length) }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: The packet is ours and given up. This function itself looks whether it is in the poll of the page's pool.
        unsafe { bindings::xdp_return_frame(self.as_raw()) };
    }
}

/// Frames that a poll gathers, to be sent together.
pub struct Batch {
    frames: [Option<Frame>; BATCH],
    count: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            frames: [const { None }; BATCH],
            count: 0,
        }
    }
}

impl Batch {
    /// Whether there is none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether [`Self::push`] has no room.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.count == BATCH
    }

    /// Adds the packet as a frame.
    ///
    /// # Errors
    ///
    /// The packet: there is no room for it here, or in its headroom.
    #[inline(always)]
    pub fn push(&mut self, packet: Buff) -> Result<(), Buff> {
        let Some(slot) = self.frames.get_mut(self.count) else {
            return Err(packet);
        };
        *slot = Some(packet.into_frame()?);
        self.count += 1;
        Ok(())
    }

    /// Takes out all frames, oldest first.
    #[inline(always)]
    pub fn drain(&mut self, mut f: impl FnMut(Frame)) {
        let count = core::mem::take(&mut self.count);
        for slot in self.frames.iter_mut().take(count) {
            if let Some(frame) = slot.take() {
                f(frame);
            }
        }
    }
}

/// Frames that the core hands over to be sent; those that are not taken stay its own.
pub struct Frames<'a>(pub(super) &'a [NonNull<bindings::xdp_frame>]);

impl Frames<'_> {
    /// Calls `send` for one after the other until it gives one back, and says how many it took.
    #[inline(always)]
    pub fn send_each(self, mut send: impl FnMut(Frame) -> Result<(), Frame>) -> u32 {
        let mut sent = 0;
        for &raw in self.0 {
            // SAFETY: The core hands over the frame, and gets it back if it is not taken.
            match send(unsafe { Frame::from_raw(raw) }) {
                Err(frame) if frame.0 == raw => {
                    let _ = frame.into_raw();
                    break;
                }
                // Another one is not the core's: it kept that which it was given.
                Err(_) => {
                    sent += 1;
                    break;
                }
                Ok(()) => sent += 1,
            }
        }
        sent
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_xdp_frames)]
mod tests {
    use super::*;
    use crate::net::rx_buffers::fixture::Rig;
    use kernel::prelude::*;

    #[test]
    fn a_frame_that_is_kept_is_sent_whatever_is_given_back_for_it() -> Result {
        let mut rig = Rig::new()?;
        let mut frame = |id| {
            rig.buffers
                .begin_packet(id, 100)?
                .into_frame()
                .or(Err(EINVAL))
        };
        let (first, second, mut kept) = (frame(0)?, frame(1)?, frame(2)?);
        let raw = [first.0, second.0];
        let _ = (first.into_raw(), second.into_raw());
        let sent = Frames(&raw).send_each(|frame| Err(core::mem::replace(&mut kept, frame)));
        assert_eq!(sent, 1);
        assert!(kept.0 == raw[0]);
        assert_eq!(Frames(&raw[1..]).send_each(Err), 0);
        // SAFETY: It was not sent, and so is ours.
        drop(unsafe { Frame::from_raw(raw[1]) });
        Ok(())
    }
}
