// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The device's clock: a time that is derived from the host's, at a rate that can be tuned.
//!
//! The device owns it, and no reset of a function reaches it. It keeps where it was set last, on both time scales; all else
//! is computed, so that it needs no timer.

use oxnic_abi::clock::{SET_MAX, TIME_MAX};

/// Furthest from the nominal rate, in parts in 10^9: a tenth.
pub const RATE_MAX: u32 = 100_000_000;
/// Units of a rate in one: 2^-16 parts in 10^6.
const RATE_UNIT: i128 = 65_536 * 1_000_000;

/// The clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Its time when the host's clock showed `since`.
    base: u64,
    since: u64,
    /// In units of 2^-16 parts in 10^6.
    rate: i64,
    steps: u32,
}

impl Clock {
    /// As after power-on, at a time of the host.
    pub fn new(now: u64) -> Self {
        Self {
            since: now,
            ..Self::default()
        }
    }

    /// What it shows at a time of the host.
    pub fn time(&self, now: u64) -> u64 {
        let elapsed = i128::from(now.saturating_sub(self.since));
        let drift = (elapsed * i128::from(self.rate)).div_euclid(RATE_UNIT);
        let time = i128::from(self.base) + elapsed + drift;
        time.clamp(0, i128::from(TIME_MAX)) as u64
    }

    /// A stamp for what happens at a time of the host: never 0.
    pub fn stamp(&self, now: u64) -> u64 {
        self.time(now).max(1)
    }

    /// The rate that was set.
    pub fn rate(&self) -> i64 {
        self.rate
    }

    /// Times that it was set or stepped.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Whether it can run at a rate.
    pub fn allows(rate: i64) -> bool {
        i128::from(rate).abs() * 1000 <= i128::from(RATE_MAX) * 65_536
    }

    /// Where an offset would lead, if it may.
    pub fn shifted(&self, now: u64, offset: i64) -> Option<u64> {
        let time = self.time(now).checked_add_signed(offset)?;
        (time <= SET_MAX).then_some(time)
    }

    /// Sets it to a time that was checked.
    pub fn step(&mut self, now: u64, time: u64) {
        self.base = time;
        self.since = now;
        self.steps = self.steps.saturating_add(1);
    }

    /// Lets it run at another rate, which was checked, from now on.
    pub fn tune(&mut self, now: u64, rate: i64) {
        // Rounded down, so it is not ahead of what was read before.
        self.base = self.time(now);
        self.since = now;
        self.rate = rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;
    /// The rate of so many parts in 10^9.
    fn ppb(parts: i64) -> i64 {
        parts * 65_536 / 1000
    }

    #[test]
    fn runs_with_the_host_from_zero() {
        let clock = Clock::new(5 * SECOND);
        assert_eq!(
            (clock.time(5 * SECOND), clock.time(8 * SECOND + 7)),
            (0, 3 * SECOND + 7)
        );
        assert_eq!(clock.stamp(5 * SECOND), 1);
    }

    #[test]
    fn rate_counts_from_when_it_is_set() {
        let mut clock = Clock::new(0);
        clock.tune(SECOND, ppb(1_000_000));
        assert_eq!(clock.time(SECOND), SECOND);
        assert_eq!(clock.time(1001 * SECOND), 1002 * SECOND);
        clock.tune(1001 * SECOND, ppb(-1_000_000));
        assert_eq!(clock.time(2001 * SECOND), 2001 * SECOND);
    }

    #[test]
    fn limits_are_exact() {
        let most = i64::from(RATE_MAX) * 65_536 / 1000;
        assert!(Clock::allows(most) && Clock::allows(-most));
        assert!(!Clock::allows(most + 1) && !Clock::allows(-most - 1));
        assert!(!Clock::allows(i64::MIN) && !Clock::allows(i64::MAX));
        let mut clock = Clock::new(0);
        clock.step(0, 10);
        assert_eq!(clock.shifted(0, -10), Some(0));
        assert_eq!(clock.shifted(0, -11), None);
        assert_eq!(clock.shifted(0, (SET_MAX - 10) as i64), Some(SET_MAX));
        assert_eq!(clock.shifted(0, (SET_MAX - 9) as i64), None);
        assert_eq!(clock.shifted(0, i64::MIN), None);
        assert_eq!(clock.steps(), 1);
    }

    #[test]
    fn stands_still_at_its_end() {
        let mut clock = Clock::new(0);
        clock.step(0, SET_MAX);
        clock.tune(0, ppb(i64::from(RATE_MAX)));
        assert_eq!(clock.time(u64::MAX), TIME_MAX);
    }

    proptest! {
        #[test]
        fn never_goes_back_while_it_is_tuned(steps in proptest::collection::vec((0u64..10_000, -6_553_600_000i64..=6_553_600_000), 1..50)) {
            let (mut clock, mut now, mut last) = (Clock::new(0), 0, 0);
            for (pause, rate) in steps {
                now += pause;
                let time = clock.time(now);
                assert!(time >= last);
                clock.tune(now, rate);
                assert_eq!(clock.time(now), time);
                last = time;
            }
        }
    }
}
