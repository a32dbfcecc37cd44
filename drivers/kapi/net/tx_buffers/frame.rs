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
    /// Maps the first part of a frame for the next descriptor. `own`: it was received by the pair that the ring is of, so that the ring goes
    /// before the page pool does, which unmaps its pages wherever they are; then it is mapped already.
    ///
    /// # Errors
    ///
    /// As [`Self::map_head`].
    #[inline]
    pub fn map_frame(&mut self, frame: &Frame, own: bool) -> Result<Mapped> {
        let entry = self.entry()?;
        let (device, always) = (self.shared.device, self.shared.unmap);
        // SAFETY: The device is bound, the frame valid, the entry the producer's.
        let address = unsafe {
            bindings::oxnic_xdp_map_head(
                device,
                frame.as_raw(),
                own,
                always,
                &raw mut (*entry).unmap,
            )
        };
        self.mapped(entry, address, frame.head_len())
    }

    /// Maps fragment `index` of a frame for the next descriptor; `own` as of [`Self::map_frame`].
    ///
    /// # Errors
    ///
    /// As [`Self::map_fragment`].
    pub fn map_frame_fragment(&mut self, frame: &Frame, index: u32, own: bool) -> Result<Mapped> {
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
                own,
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

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_xdp_frames)]
mod tests {
    use super::super::{rewind, with_owner, Consumer};
    use super::*;
    use crate::net::napi::Context;
    use crate::net::rx_buffers::fixture::Rig;
    use kernel::types::Opaque;

    fn ring() -> Result<(Producer, Consumer)> {
        with_owner(5, core::ptr::null_mut(), false, None)
    }

    fn send(rig: &mut Rig, id: u16, producer: &mut Producer) -> Result {
        let packet = rig.buffers.begin_packet(id, 100)?;
        let frame = packet.into_frame().map_err(|_| EINVAL)?;
        producer.skip()?;
        producer.commit_frame(frame);
        Ok(())
    }

    #[test]
    fn frames_are_completed_apart_from_packets() -> Result {
        let mut rig = Rig::new()?;
        let (mut producer, mut consumer) = ring()?;
        assert!(!consumer.may_hold_frames());
        for id in 0..3 {
            send(&mut rig, id, &mut producer)?;
        }
        assert!(consumer.may_hold_frames());
        let napi = Opaque::<bindings::napi_struct>::zeroed();
        let completed = consumer.complete(Context::for_test(&napi, 1), 3)?;
        assert_eq!(
            (completed.packets, completed.bytes, completed.frames),
            (0, 0, 3)
        );
        Ok(())
    }

    #[test]
    fn frames_that_are_left_are_dropped() -> Result {
        let mut rig = Rig::new()?;
        let (mut producer, mut consumer) = ring()?;
        send(&mut rig, 0, &mut producer)?;
        rewind(&mut producer, &mut consumer)?;
        assert_eq!(producer.next(), 0);
        send(&mut rig, 1, &mut producer)
    }

    #[test]
    fn a_frame_without_a_descriptor_is_not_queued() -> Result {
        let mut rig = Rig::new()?;
        let (mut producer, consumer) = ring()?;
        let packet = rig.buffers.begin_packet(0, 100)?;
        producer.commit_frame(packet.into_frame().map_err(|_| EINVAL)?);
        assert!(!consumer.may_hold_frames());
        Ok(())
    }
}
