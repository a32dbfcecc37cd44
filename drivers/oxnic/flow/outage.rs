// SPDX-License-Identifier: GPL-2.0-only

//! When the device is asked again to take back what it did not.
//!
//! A device that refuses something goes on with the rest, and is asked again for what is missing. One that stops answering while it is
//! given rules is to work all the same: so it is left without rules for a while, then reset, and tried again.

/// The first pause, in milliseconds; each one is twice as long as the one before.
pub(super) const PAUSE: u32 = 1000;
/// Pauses do not get longer after so many.
const LONGEST: u32 = 5;
/// As often in a row the device may stop answering before new rules are refused.
const PATIENCE: u32 = 3;
/// As often rules are tried that it has stopped answering at.
const SUSPICIONS: u32 = 3;
/// As often in a row it is logged what is missing.
const LOUD: u32 = 3;

/// What is known of a device that has not taken everything back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outage {
    /// Times in a row that it has stopped answering.
    failures: u32,
    /// Times in a row that something was missing in the end.
    gaps: u32,
    /// Times that suspicious rules were tried.
    suspicions: u32,
    /// Until then it gets no rules, in milliseconds of the system's clock.
    until: u64,
    /// It has a part of them, so that it has to be reset first.
    dirty: bool,
    /// What was said last of objects and rules that are missing.
    said: (u32, u32),
}

fn pause(times: u32) -> u32 {
    PAUSE << times.saturating_sub(1).min(LONGEST)
}

impl Outage {
    /// Rules that come meanwhile can be taken over: the device is expected to get them soon.
    pub(crate) fn is_short(&self) -> bool {
        self.failures < PATIENCE
    }

    /// How long it has to be left alone yet, in milliseconds; 0: it can be tried.
    pub(crate) fn left(&self, now: u64) -> u32 {
        self.until
            .saturating_sub(now)
            .try_into()
            .unwrap_or(u32::MAX)
    }

    /// If it has no rules since it has stopped answering: in how many milliseconds it is tried again.
    pub(crate) fn ends_in(&self, now: u64) -> Option<u32> {
        (self.failures > 0).then(|| self.left(now))
    }

    /// Whether it has to be reset before it is tried.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// It was reset.
    pub(crate) fn was_reset(&mut self) {
        self.dirty = false;
    }

    /// Whether rules may be tried that it has stopped answering at.
    pub(crate) fn may_suspect(&self) -> bool {
        self.suspicions < SUSPICIONS
    }

    /// Such rules are about to be tried.
    pub(crate) fn suspected(&mut self) {
        self.suspicions = self.suspicions.saturating_add(1);
    }

    /// Whether each thing that is missing is to be logged: not again and again.
    pub(crate) fn is_loud(&self) -> bool {
        self.gaps < LOUD
    }

    /// It was given all. Answers when to try again, in milliseconds, if objects or rules are missing, and whether that is to be said.
    pub(crate) fn ended(&mut self, missing: (u32, u32)) -> (Option<u32>, bool) {
        let news = self.said != missing;
        if missing == (0, 0) {
            *self = Self::default();
            return (None, news);
        }
        *self = Self {
            failures: 0,
            until: 0,
            dirty: false,
            gaps: self.gaps.saturating_add(1),
            said: missing,
            ..*self
        };
        (Some(pause(self.gaps)), news)
    }

    /// It has stopped answering, or what rules need could not be had at all; `dirty`: when it had some of them. Answers when to try
    /// again, in milliseconds.
    pub(crate) fn failed(&mut self, now: u64, dirty: bool) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.dirty = dirty;
        let pause = pause(self.failures);
        self.until = now.saturating_add(pause.into());
        pause
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_outage)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_start_anew() {
        let mut outage = Outage::default();
        let pauses = [(); 8].map(|()| outage.failed(0, true));
        assert_eq!(pauses, [1000, 2000, 4000, 8000, 16000, 32000, 32000, 32000]);
        assert!(!outage.is_short());
        assert_eq!(outage.ended((0, 0)), (None, false));
        assert_eq!(outage, Outage::default());
        assert_eq!(outage.failed(0, false), 1000);
    }

    #[test]
    fn a_device_that_has_stopped_answering_is_left_alone_and_reset() {
        let mut outage = Outage::default();
        assert_eq!((outage.left(5000), outage.ends_in(5000)), (0, None));
        outage.failed(5000, true);
        assert_eq!(outage.ends_in(5600), Some(400));
        assert_eq!((outage.left(5000), outage.left(5600)), (1000, 400));
        assert_eq!(outage.left(6001), 0);
        assert!(outage.is_dirty() && outage.is_short());
        outage.was_reset();
        assert!(!outage.is_dirty());
    }

    #[test]
    fn what_is_missing_is_tried_again_and_suspicious_rules_not_for_ever() {
        let mut outage = Outage::default();
        assert_eq!(outage.ended((0, 2)), (Some(1000), true));
        assert_eq!(outage.ended((0, 2)), (Some(2000), false));
        assert_eq!(outage.ended((1, 2)), (Some(4000), true));
        for _ in 0..SUSPICIONS {
            assert!(outage.may_suspect());
            outage.suspected();
        }
        assert!(!outage.may_suspect());
        assert_eq!(outage.ended((0, 0)), (None, true));
        assert!(outage.may_suspect());
    }
}
