// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Deadlines of the device, ordered by time.
//!
//! Whoever sets a timer keeps no copy of its deadline: there is at most one deadline for each [`Timer`].

use super::ids::{FunctionId, VportId};
use std::collections::{BTreeMap, BTreeSet};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A vector's moderation time ends.
    Vector(FunctionId, u16),
    /// A vport's statistics are due.
    Stats(VportId),
    /// A VF's statistics are due at its PF.
    Watch(VportId),
    /// Somebody may send again whose rate is limited.
    Rate,
    /// A flow queue that was made to rest goes on.
    FlowQueue(u16),
    /// Firmware that was started has to be ready, or has proven itself.
    Firmware,
    /// Counters of rules are due in the host's memory.
    Counters,
}

/// The deadlines that are set.
#[derive(Debug, Default)]
pub struct Timers {
    by_time: BTreeSet<(u64, Timer)>,
    by_timer: BTreeMap<Timer, u64>,
}

impl Timers {
    /// Sets or moves a deadline, in nanoseconds of the host's clock.
    pub fn set(&mut self, timer: Timer, at: u64) {
        if let Some(old) = self.by_timer.insert(timer, at) {
            if old == at {
                return;
            }
            self.by_time.remove(&(old, timer));
        }
        self.by_time.insert((at, timer));
    }

    /// Takes a deadline back.
    pub fn cancel(&mut self, timer: Timer) {
        if let Some(old) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(old, timer));
        }
    }

    /// The first deadline.
    pub fn next(&self) -> Option<u64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the first deadline out if it is not after `now`.
    pub fn expire(&mut self, now: u64) -> Option<Timer> {
        let (at, timer) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.cancel(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_expire_in_order_and_move() {
        let mut timers = Timers::default();
        let (a, b) = (Timer::Stats(VportId(1)), Timer::Rate);
        timers.set(a, 10);
        timers.set(b, 20);
        timers.set(a, 30);
        assert_eq!((timers.next(), timers.expire(19)), (Some(20), None));
        assert_eq!(timers.expire(30), Some(b));
        assert_eq!(timers.expire(30), Some(a));
        assert_eq!((timers.expire(30), timers.next()), (None, None));
    }

    #[test]
    fn a_cancelled_deadline_does_not_expire() {
        let mut timers = Timers::default();
        timers.set(Timer::Vector(FunctionId(0), 3), 1);
        timers.cancel(Timer::Vector(FunctionId(0), 3));
        assert_eq!(timers.expire(u64::MAX), None);
    }
}
