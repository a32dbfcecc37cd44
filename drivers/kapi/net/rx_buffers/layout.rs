// SPDX-License-Identifier: GPL-2.0-only

//! How a ring's buffers lie in pages.

use crate::net::xdp;
use oxnic_bindings as bindings;

/// Room before the frame in a buffer, for headers that the stack puts in front.
pub(super) const HEADROOM: u32 = bindings::RX_HEADROOM;
/// Room after it, for the packet's shared info.
pub(super) const TAILROOM: u32 = bindings::RX_TAILROOM;
/// A page of the pool.
pub(super) const PAGE: u32 = bindings::PAGE_SIZE as u32;

/// Parameters of a ring's buffers.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Bytes of memory of a buffer.
    pub(super) size: u32,
    /// Of these, before the frame.
    pub(super) headroom: u32,
    /// Programs see the frames.
    pub(super) xdp: bool,
}

impl Layout {
    /// Two buffers a page where a frame of so many bytes fits into one, else a page for each: longer frames span several.
    pub fn for_frame(bytes: u32) -> Self {
        let half = PAGE / 2;
        Self {
            size: if bytes <= half - HEADROOM - TAILROOM {
                half
            } else {
                PAGE
            },
            headroom: HEADROOM,
            xdp: false,
        }
    }

    /// A page for each buffer, with the room before the frame that XDP programs want.
    pub fn for_xdp() -> Self {
        Self {
            size: PAGE,
            headroom: xdp::HEADROOM,
            xdp: true,
        }
    }

    /// Buffers in a page.
    pub fn parts(&self) -> u32 {
        if self.size == PAGE {
            1
        } else {
            2
        }
    }

    /// Bytes that the device can write to a buffer.
    #[inline(always)]
    pub fn usable(&self) -> u32 {
        self.size - self.headroom - TAILROOM
    }
}
