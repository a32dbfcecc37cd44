// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A token bucket: how much a VF may send, and when it may go on.
//!
//! It belongs to the VF's settings. What exceeds the bucket stays in the ring; a packet may take the bucket below zero once.

/// Cost of a byte: a rate of 1 Mbit/s earns one token each nanosecond.
const BYTE: i64 = 8000;
/// Nanoseconds of sending that the bucket holds.
const DEPTH: i64 = 2_000_000;
/// Least depth of the bucket: some packets of 64 KiB.
const DEPTH_MIN: i64 = 131_072 * BYTE;

/// A token bucket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    rate: i64,
    tokens: i64,
    filled: u64,
}

impl Bucket {
    /// A full bucket for a rate in Mbit/s; 0: unlimited.
    pub fn new(rate: u32, now: u64) -> Self {
        let rate = i64::from(rate);
        Self {
            rate,
            tokens: Self::depth(rate),
            filled: now,
        }
    }

    fn depth(rate: i64) -> i64 {
        (rate * DEPTH).max(DEPTH_MIN)
    }

    /// Whether something may be sent now; else the time from which it may.
    pub fn ready(&mut self, now: u64) -> Result<(), u64> {
        if self.rate == 0 {
            return Ok(());
        }
        let elapsed = now.saturating_sub(self.filled).min(u64::from(u32::MAX)) as i64;
        self.tokens = (self.tokens + elapsed * self.rate).min(Self::depth(self.rate));
        self.filled = now;
        if self.tokens > 0 {
            return Ok(());
        }
        Err(now.saturating_add((-self.tokens / self.rate + 1) as u64))
    }

    /// Pays for what was sent.
    pub fn pay(&mut self, bytes: usize) {
        if self.rate != 0 {
            self.tokens = self
                .tokens
                .saturating_sub((bytes as i64).saturating_mul(BYTE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that go through in `time` nanoseconds.
    fn run(rate: u32, time: u64, packet: usize) -> u64 {
        let mut bucket = Bucket::new(rate, 0);
        let (mut now, mut sent) = (0, 0);
        while now < time {
            match bucket.ready(now) {
                Ok(()) => {
                    bucket.pay(packet);
                    sent += packet as u64;
                }
                Err(at) => {
                    assert!(at > now);
                    now = at;
                }
            }
        }
        sent
    }

    #[test]
    fn rate_is_kept_within_a_bucket() {
        for (rate, packet) in [(10, 64), (100, 1514), (1000, 65536), (25_000, 262_144)] {
            let sent = run(rate, 10_000_000_000, packet);
            let due = u64::from(rate) * 1_000_000 / 8 * 10;
            let slack = (Bucket::depth(i64::from(rate)) / BYTE) as u64 + packet as u64;
            assert!(
                sent >= due && sent <= due + slack,
                "{rate} Mbit/s: {sent} instead of {due}"
            );
        }
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut bucket = Bucket::new(0, 0);
        bucket.pay(1 << 40);
        assert_eq!(bucket.ready(0), Ok(()));
    }
}
