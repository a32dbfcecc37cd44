// SPDX-License-Identifier: GPL-2.0-only

//! Noticing that a completion does not come.
//!
//! The core's watchdog looks at queues that are stopped. One that has room is not, and if it is the completion of the last
//! packet that got lost, nothing follows that would make up for it: who sent the packet may wait for its buffer for ever.

use oxnic_kapi::net::tx_buffers::Watch;

/// After so long without progress, in milliseconds, the completion ring is looked at: the interrupt may have got lost.
const POLL_MS: u64 = 2_000;
/// After so long the completion itself is taken for lost. Twice the watchdog's time: where that can tell, it does.
const STALL_MS: u64 = 10_000;

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing is missing, or not for long.
    Fine,
    /// It is time to poll.
    Late,
    /// The queue has to be made anew.
    Stalled,
}

/// What was seen of a transmit ring.
pub(crate) struct TxWatch {
    ring: Watch,
    /// The oldest descriptor without a completion, and when it was first seen as that.
    oldest: Option<(u32, u64)>,
    polled: bool,
}

impl TxWatch {
    pub(super) fn new(ring: Watch) -> Self {
        Self {
            ring,
            oldest: None,
            polled: false,
        }
    }

    /// The queue is made anew: its indices mean others.
    pub(crate) fn restart(&mut self) {
        self.oldest = None;
    }

    /// How many descriptors were completed and queued, by numbers that run on.
    pub(crate) fn indices(&self) -> (u32, u32) {
        self.ring.indices()
    }

    /// Since when the oldest descriptor waits for its completion, as far as it was looked at.
    pub(crate) fn waits_since(&self) -> Option<u64> {
        self.oldest.map(|(_, since)| since)
    }

    /// Looks at the ring, at a time in milliseconds.
    pub(crate) fn look(&mut self, now: u64) -> Progress {
        let seen = self.ring.oldest();
        let waited = match (self.oldest, seen) {
            (Some((before, since)), Some(index)) if before == index => now.wrapping_sub(since),
            _ => {
                self.oldest = seen.map(|index| (index, now));
                self.polled = false;
                return Progress::Fine;
            }
        };
        if waited >= STALL_MS {
            self.oldest = None;
            return Progress::Stalled;
        }
        if waited < POLL_MS || core::mem::replace(&mut self.polled, true) {
            return Progress::Fine;
        }
        Progress::Late
    }
}
