// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Meters: token buckets.

use crate::{open_enum, wire};

wire! {
    /// Parameters of [`crate::command::Opcode::METER_SET`].
    pub struct MeterSet: 5 {
        /// Id.
        0: id: u32,
        /// See [`super::flow_set`]. A meter that is changed starts anew.
        4: flags: u16,
        /// What the rate is of.
        6: unit: MeterUnit,
        /// Units in a second; not zero, but for NONE.
        8: rate: u64,
        /// Size of the bucket, in nanoseconds of the rate.
        16: burst: u64,
        /// Longer frames are beyond, whatever the rate; in bytes, with Ethernet header and without the first tag.
        24: mtu: u32,
    }
}

open_enum! {
    /// What a meter's rate is of.
    pub enum MeterUnit: u8 {
        /// There is no rate; only the length counts.
        NONE = 0: "no rate",
        /// Bytes, as counters count them. The bucket starts full.
        BYTES = 1: "bytes",
        /// Frames. The bucket starts empty.
        PACKETS = 2: "packets",
    }
}

wire! {
    /// Answer of [`crate::command::Opcode::METER_QUERY`].
    pub struct MeterStats: 4 {
        /// Frames within.
        0: within_packets: u64,
        /// Their bytes, as counters count them.
        8: within_bytes: u64,
        /// Frames beyond.
        16: beyond_packets: u64,
        /// Their bytes.
        24: beyond_bytes: u64,
    }
}
