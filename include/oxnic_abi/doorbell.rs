// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Doorbells in BAR 2.
//!
//! BAR 2 is a row of 4096-byte pages. A doorbell is one aligned 64-bit write anywhere in a page; page 0 is the kernel's,
//! later pages can be given to user contexts. The write is posted and never read back (reads give 0).
//!
//! ```text
//!  63     56 55                      32 31                              0
//! +---------+--------------------------+---------------------------------+
//! |  kind   |          queue           |              index              |
//! +---------+--------------------------+---------------------------------+
//! ```
//!
//! Ringing again with the same index is always allowed and changes nothing, so a driver may re-ring when in doubt.

use crate::open_enum;

/// Size of a doorbell page in bytes.
pub const PAGE_SIZE: u32 = 4096;

open_enum! {
    /// What a doorbell tells.
    pub enum DoorbellKind: u8 {
        /// Admin submission ring: `index` is the free-running producer index modulo 2^16. `queue` is 0.
        ADMIN = 1: "admin",
        /// Event ring: `index` is the free-running consumer index modulo 2^16; frees the entries before it. `queue` is 0.
        EVENT = 2: "event",
        /// Transmit ring `queue`: `index` is the free-running producer index modulo 2^16, in descriptors.
        TX = 3: "transmit",
        /// Receive ring `queue`: `index` is the free-running producer index modulo 2^16, in descriptors.
        RX = 4: "receive",
        /// Arms the interrupt of vector `queue`: see [`arm_index`].
        ARM = 5: "arm",
        /// Flow queue `queue`: `index` is the free-running producer index modulo 2^16, in slots.
        FLOW = 6: "flow",
        /// Reserved: RDMA send queue, receive queue, completion queue arm.
        RDMA_SQ = 16: "rdma send",
        /// Reserved.
        RDMA_RQ = 17: "rdma receive",
        /// Reserved.
        RDMA_CQ = 18: "rdma arm",
    }
}

/// The 64-bit value of a doorbell. `queue` uses its low 24 bits.
#[inline(always)]
pub const fn encode(kind: DoorbellKind, queue: u32, index: u32) -> u64 {
    ((kind.0 as u64) << 56) | (((queue & 0xff_ffff) as u64) << 32) | index as u64
}

/// Kind, queue and index of a doorbell's value.
pub const fn decode(value: u64) -> (DoorbellKind, u32, u32) {
    (
        DoorbellKind((value >> 56) as u8),
        (value >> 32) as u32 & 0xff_ffff,
        value as u32,
    )
}

/// The index of an [`DoorbellKind::ARM`] doorbell: the free-running consumer indices, modulo 2^16, of the completion rings in
/// slot 0 (bits 15:0) and slot 1 (bits 31:16) of the vector.
///
/// The device raises the vector once when, after moderation, one of the rings holds an entry beyond its index; the vector is
/// then disarmed until the next doorbell. Since the doorbell says what was consumed, an entry written before the device
/// sees the doorbell is not lost, and the driver need not look again.
#[inline(always)]
pub const fn arm_index(slot0: u16, slot1: u16) -> u32 {
    slot0 as u32 | ((slot1 as u32) << 16)
}
