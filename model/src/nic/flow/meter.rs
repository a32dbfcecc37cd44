// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Meters: token buckets, as Linux' policer has them. Tokens are nanoseconds of the rate.

use oxnic_abi::flow::meter::{MeterSet, MeterStats, MeterUnit};

/// Nanoseconds in a second.
const SECOND: u128 = 1_000_000_000;

/// A meter.
#[derive(Clone, Debug)]
pub struct Meter {
    unit: MeterUnit,
    /// Nanoseconds for 2^shift units.
    factor: u32,
    shift: u32,
    burst: i64,
    mtu: u32,
    tokens: i64,
    taken: u64,
    /// What it let pass, and what not.
    pub stats: MeterStats,
}

/// Nanoseconds for a unit of a rate, as 32 significant bits and how far these are shifted: as Linux rounds.
fn factor(rate: u64) -> (u32, u32) {
    let rate = u128::from(rate.max(1));
    // SECOND has 30 bits, so that shifts up to 34 keep it within 64 bits.
    let shift = (0..34).find(|shift| ((SECOND << shift) / rate) as u32 >> 31 != 0);
    let shift = shift.unwrap_or(34);
    (((SECOND << shift) / rate) as u32, shift)
}

impl Meter {
    /// From a command that was checked. Bytes find the bucket full, frames find it empty.
    pub fn new(set: &MeterSet, now: u64) -> Self {
        let burst = i64::try_from(set.burst).unwrap_or(i64::MAX);
        let (factor, shift) = factor(set.rate);
        Self {
            unit: set.unit,
            factor,
            shift,
            burst,
            mtu: set.mtu,
            tokens: if set.unit == MeterUnit::BYTES {
                burst
            } else {
                0
            },
            taken: now,
            stats: MeterStats::ZERO,
        }
    }

    /// Whether a frame is within: its counted bytes, its length with the Ethernet header, and the time in nanoseconds.
    pub fn pass(&mut self, bytes: u32, length: u32, now: u64) -> bool {
        let within = length <= self.mtu && self.take(bytes, now);
        let (packets, sum) = match within {
            true => (&mut self.stats.within_packets, &mut self.stats.within_bytes),
            false => (&mut self.stats.beyond_packets, &mut self.stats.beyond_bytes),
        };
        *packets = packets.wrapping_add(1);
        *sum = sum.wrapping_add(u64::from(bytes));
        within
    }

    /// Takes the tokens of a frame; where there are too few, the bucket and its clock stay as they are.
    fn take(&mut self, bytes: u32, now: u64) -> bool {
        let units = match self.unit {
            MeterUnit::BYTES => u64::from(bytes),
            MeterUnit::PACKETS => 1,
            _ => return true,
        };
        let cost = (units * u64::from(self.factor)) >> self.shift;
        let since = i64::try_from(now.saturating_sub(self.taken)).unwrap_or(i64::MAX);
        let filled = self
            .tokens
            .saturating_add(since.min(self.burst))
            .min(self.burst);
        let left = filled.saturating_sub(i64::try_from(cost).unwrap_or(i64::MAX));
        if left < 0 {
            return false;
        }
        self.tokens = left;
        self.taken = now;
        true
    }
}
