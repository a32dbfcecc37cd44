// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Counters by DMA.

use crate::wire;

/// Size in bytes of a page of counters in host memory, and its alignment.
pub const COUNTER_PAGE: u32 = 4096;
/// Records in a page.
pub const COUNTERS_IN_PAGE: u32 = 128;

wire! {
    /// Parameters of [`crate::command::Opcode::COUNTER_MEMORY`]. The buffer holds a bus address of 64 bits for each page, 0 for
    /// none; each aligned to [`COUNTER_PAGE`].
    pub struct CounterMemory: 5 {
        /// First counter, a multiple of [`COUNTERS_IN_PAGE`].
        0: first: u32,
        /// How many counters, a multiple of [`COUNTERS_IN_PAGE`].
        4: count: u32,
        /// Period of all counters in milliseconds.
        8: period: u16,
    }
}

wire! {
    /// A counter in host memory, aligned to its size. How it is written and read says `Documentation/device.rst`.
    pub struct CounterRecord: 4 {
        /// Frames.
        0: packets: u64,
        /// Their bytes behind the Ethernet header and the first tag, as they arrived.
        8: bytes: u64,
        /// When it last counted: milliseconds since the device started ([`crate::regs::health::TIME`]), modulo 2^32.
        16: last_use: u32,
        /// What the last COUNTER request said.
        20: generation: u32,
        /// Odd while the record is written.
        24: sequence: u32,
        /// Becomes `sequence` when the record is whole.
        28: sequence_end: u32,
    }
}
