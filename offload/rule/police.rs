// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Policers: a rate with a burst, a largest size, and two verdicts.

use super::action::Verdict;

/// A rate that a token bucket keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// None: only the size counts.
    None,
    /// Bytes a second. The burst is in nanoseconds of that rate, as tc keeps it.
    Bytes {
        /// Bytes a second, not zero.
        rate: u64,
        /// Nanoseconds.
        burst: u64,
    },
    /// Packets a second. The burst is in nanoseconds of that rate.
    Packets {
        /// Packets a second, not zero.
        rate: u64,
        /// Nanoseconds.
        burst: u64,
    },
}

/// A policer, see [`crate::oracle::bucket`] for what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Police {
    /// tc's index of the action: rules with the same one share the bucket.
    pub index: u32,
    /// The rate.
    pub rate: Rate,
    /// Longer packets exceed, whatever the rate. tc has `u32::MAX` where none is said, or what the burst allows.
    pub mtu: u32,
    /// For packets within.
    pub conform: Verdict,
    /// For packets beyond.
    pub exceed: Verdict,
}

impl Police {
    /// For packets within, and beyond.
    pub fn verdicts(&self) -> (Verdict, Verdict) {
        (self.conform, self.exceed)
    }
}
