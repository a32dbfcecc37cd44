// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The device's clock, and what it stamps.
//!
//! A device with [`crate::caps::features::TIMESTAMP`] has one clock, free-running, in nanoseconds. All functions read it
//! ([`crate::regs::clock`]) and get their stamps from it; only the PF sets it ([`crate::command::Opcode::CLOCK_SET`]). It
//! starts at 0 when the device is powered on, and no reset of a function touches it.

use crate::{open_enum, wire};

/// The clock never shows more than this; a device that gets there stands still.
pub const TIME_MAX: u64 = (1 << 63) - 1;
/// The latest time that the clock can be set to: more than a century before [`TIME_MAX`].
pub const SET_MAX: u64 = 1 << 62;

wire! {
    /// Capability [`crate::caps::CapabilityId::CLOCK`].
    pub struct ClockCaps: 2 {
        /// Furthest that the rate can be set off the nominal one, either way, in parts in 10^9; less than 10^9.
        0: rate_max: u32,
        /// Nanoseconds between two values that the clock can show, 1 or more.
        4: resolution: u32,
        /// Bit n: the receive filter n of [`StampFilter`] can be set.
        8: filters: u8,
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::CLOCK_SET`]. What `fields` names takes effect in one instant, the rate last.
    pub struct ClockConfig: 5 {
        /// Which fields are meant, see [`clock_fields`].
        0: fields: u32,
        /// Time in nanoseconds, up to [`SET_MAX`].
        8: time: u64,
        /// Two's complement: nanoseconds that are added to the time. The sum is 0 to [`SET_MAX`].
        16: offset: u64,
        /// Two's complement: how much faster than nominal the clock runs, in units of 2^-16 parts in 10^6.
        24: rate: u64,
    }
}

/// Bits of [`ClockConfig::fields`].
pub mod clock_fields {
    /// `time`. Not together with OFFSET.
    pub const TIME: u32 = 1 << 0;
    /// `offset`.
    pub const OFFSET: u32 = 1 << 1;
    /// `rate`.
    pub const RATE: u32 = 1 << 2;
    /// All of them.
    pub const ALL: u32 = TIME | OFFSET | RATE;
}

wire! {
    /// Answer of [`crate::command::Opcode::CLOCK_QUERY`].
    pub struct ClockInfo: 3 {
        /// Time in nanoseconds when the command was carried out.
        0: time: u64,
        /// Two's complement: rate in force, as in [`ClockConfig`].
        8: rate: u64,
        /// Times that TIME or OFFSET was set since power-on, saturating; 0: the time means nothing yet.
        16: steps: u32,
    }
}

open_enum! {
    /// Which received frames are stamped.
    pub enum StampFilter: u8 {
        /// None.
        NONE = 0: "none",
        /// All.
        EVERY = 1: "all",
        /// PTP event messages (IEEE 1588, version 2) over Ethernet or UDP.
        PTP = 2: "PTP events",
    }
}
