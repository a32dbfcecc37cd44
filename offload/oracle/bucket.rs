// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The token bucket of a policer (`tcf_police_act`). Tokens are nanoseconds of the rate.
//!
//! - A byte rate counts what counters count: the bytes **behind** the Ethernet header. The largest size counts the Ethernet header
//!   too, but no first tag (`tcf_police_mtu_check`).
//! - A packet beyond the rate takes nothing out, and does not move the clock.
//! - Where there is no rate, only the size decides.
//! - A bucket of bytes starts full, one of packets **empty** (`tcf_police_init` fills only the former).

use crate::rule::police::{Police, Rate};

const SECOND: u64 = 1_000_000_000;

/// A bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// When it was last taken from, in nanoseconds.
    last: u64,
    /// Nanoseconds left.
    tokens: i64,
}

impl Bucket {
    /// A new bucket.
    pub fn new(rate: Rate, now: u64) -> Self {
        let tokens = match rate {
            Rate::Bytes { burst, .. } => signed(burst),
            Rate::None | Rate::Packets { .. } => 0,
        };
        Self { last: now, tokens }
    }

    /// Whether a packet is within; if so, its tokens are taken. `accounted` is what counters count, `length` with the Ethernet
    /// header. Times are in nanoseconds and do not go back.
    pub fn take(&mut self, police: &Police, accounted: u32, length: u32, now: u64) -> bool {
        if length > police.mtu {
            return false;
        }
        let cost = match police.rate {
            Rate::None => return true,
            Rate::Bytes { rate, .. } => duration(rate, accounted),
            Rate::Packets { rate, .. } => duration(rate, 1),
        };
        let full = signed(burst(police.rate));
        let passed = signed(now.saturating_sub(self.last)).min(full);
        let tokens = passed
            .saturating_add(self.tokens)
            .min(full)
            .saturating_sub(signed(cost));
        if tokens < 0 {
            return false;
        }
        *self = Self { last: now, tokens };
        true
    }
}

fn burst(rate: Rate) -> u64 {
    match rate {
        Rate::None => 0,
        Rate::Bytes { burst, .. } | Rate::Packets { burst, .. } => burst,
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// How long so many units take at a rate, in nanoseconds, rounded as the kernel rounds (`psched_ratecfg_precompute`): with a
/// factor of 32 significant bits.
fn duration(rate: u64, units: u32) -> u64 {
    let mut factor = SECOND;
    let mut shift = 0u32;
    let multiplier = loop {
        let multiplier = factor.checked_div(rate).unwrap_or(0) as u32;
        if multiplier & (1 << 31) != 0 || factor & (1 << 63) != 0 {
            break multiplier;
        }
        factor <<= 1;
        shift += 1;
    };
    u64::from(units)
        .saturating_mul(u64::from(multiplier))
        .checked_shr(shift)
        .unwrap_or(0)
}
