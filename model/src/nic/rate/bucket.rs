// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A token bucket: how much may be sent, and when it may go on.
//!
//! It belongs to a leaf or node. A packet may take the bucket below zero once.

/// Cost of a byte: a rate of one byte a second earns one token each nanosecond.
const BYTE: i128 = 1_000_000_000;
/// Nanoseconds of sending that the bucket holds.
const DEPTH: i128 = 2_000_000;
/// Least depth of the bucket: some packets of 64 KiB.
const DEPTH_MIN: i128 = 131_072 * BYTE;

/// What a promise may owe: some turns of short packets.
const DEBT: i128 = 16_384 * BYTE;

/// A token bucket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    rate: i128,
    tokens: i128,
    filled: u64,
}

impl Bucket {
    /// A full bucket for a rate in bytes a second; 0: none.
    pub fn new(rate: u64, now: u64) -> Self {
        let rate = i128::from(rate);
        Self {
            rate,
            tokens: Self::depth(rate),
            filled: now,
        }
    }

    fn depth(rate: i128) -> i128 {
        (rate * DEPTH).max(DEPTH_MIN)
    }

    /// The rate that it is for.
    pub fn rate(&self) -> u64 {
        self.rate as u64
    }

    fn fill(&mut self, now: u64) {
        let elapsed = i128::from(now.saturating_sub(self.filled));
        self.tokens = (self.tokens + elapsed * self.rate).min(Self::depth(self.rate));
        self.filled = self.filled.max(now);
    }

    /// Whether something may be sent now; else the time from which it may. Without a rate it always may.
    pub fn ready(&mut self, now: u64) -> Result<(), u64> {
        if self.rate == 0 {
            return Ok(());
        }
        self.fill(now);
        if self.tokens > 0 {
            return Ok(());
        }
        let wait = -self.tokens / self.rate + 1;
        Err(now.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// For how many nanoseconds at its rate it has not sent; 0 without a rate.
    pub fn owed(&mut self, now: u64) -> u64 {
        if self.rate == 0 {
            return 0;
        }
        self.fill(now);
        u64::try_from(self.tokens.max(0) / self.rate).unwrap_or(u64::MAX)
    }

    /// Pays for what was sent.
    pub fn pay(&mut self, bytes: u64) {
        if self.rate != 0 {
            self.tokens -= i128::from(bytes) * BYTE;
        }
    }

    /// Pays for what was sent, and owes no more than that or 16 KiB: what was sent beyond a promise is not held against it later.
    pub fn pay_promise(&mut self, bytes: u64) {
        let cost = i128::from(bytes) * BYTE;
        self.tokens = (self.tokens - cost).max(-cost.max(DEBT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that go through in `time` nanoseconds.
    fn run(rate: u64, time: u64, packet: u64) -> u64 {
        let mut bucket = Bucket::new(rate, 0);
        let (mut now, mut sent) = (0, 0);
        while now < time {
            match bucket.ready(now) {
                Ok(()) => {
                    bucket.pay(packet);
                    sent += packet;
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
        for (rate, packet) in [
            (1_250_000, 64),
            (12_500_000, 1514),
            (125_000_000, 65536),
            (3_125_000_000, 262_144),
        ] {
            let sent = run(rate, 10_000_000_000, packet);
            let due = rate * 10;
            let slack = (Bucket::depth(i128::from(rate)) / BYTE) as u64 + packet;
            assert!(
                sent >= due && sent <= due + slack,
                "{rate} bytes a second: {sent} instead of {due}"
            );
        }
    }

    #[test]
    fn no_rate_is_no_limit_and_no_promise() {
        let mut bucket = Bucket::new(0, 0);
        bucket.pay(1 << 40);
        assert_eq!((bucket.ready(0), bucket.owed(u64::MAX)), (Ok(()), 0));
    }

    #[test]
    fn extreme_rates_and_times_do_not_overflow() {
        for rate in [1, 1 << 50] {
            let mut bucket = Bucket::new(rate, 0);
            bucket.pay(u64::MAX);
            assert!(bucket.ready(1).is_err());
            assert!(bucket.ready(u64::MAX).is_err() || rate != 1);
            bucket.pay_promise(u64::MAX);
            bucket.owed(u64::MAX);
        }
    }
}
