// SPDX-License-Identifier: GPL-2.0-only

//! Noticing that the interrupt for received packets does not come.
//!
//! What is sent later has the queue polled sooner or later, see [`crate::queue::tx::TxWatch`]. Where a queue only receives, its
//! vector stays disarmed for ever: the ring fills, and the device drops the rest.

use super::is_new;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use kernel::sync::Arc;
use oxnic_kapi::dma::Ring;

/// After so long, in milliseconds, a packet that nobody has taken has come without an interrupt.
const POLL_MS: u64 = 2_000;

/// Index of the next completion to be taken, as the last poll that has ended left it.
#[derive(Default)]
// Not the kernel crate's atomic, whose accesses are calls.
pub(super) struct Taken(AtomicU32);

impl Taken {
    /// A poll ends, or the ring starts anew.
    #[inline(always)]
    pub(super) fn set(&self, next: u32) {
        self.0.store(next, Relaxed);
    }
}

/// What was seen of a receive ring. Looks at the memory of the ring only; an index that a poll is just changing is no harm, since
/// only one that stays says something.
pub(crate) struct RxWatch {
    pub(super) cq: Arc<Ring<4>>,
    pub(super) cq_log2: u32,
    pub(super) taken: Arc<Taken>,
    /// The completion that waits, and since when it was seen doing so.
    pub(super) waiting: Option<(u32, u64)>,
}

impl RxWatch {
    /// The queue is made anew: its indices mean others.
    pub(crate) fn restart(&mut self) {
        self.waiting = None;
    }

    /// Index of the next completion to be taken.
    pub(crate) fn next(&self) -> u32 {
        self.taken.0.load(Relaxed)
    }

    /// Since when a completion waits to be taken, as far as it was looked at.
    pub(crate) fn waits_since(&self) -> Option<u64> {
        self.waiting.map(|(_, since)| since)
    }

    /// Looks at the ring, at a time in milliseconds. True: it is time to poll; said once for each [`POLL_MS`].
    pub(crate) fn is_late(&mut self, now: u64) -> bool {
        let index = self.taken.0.load(Relaxed);
        if !is_new(self.cq.word(index, 3), index, self.cq_log2) {
            self.waiting = None;
            return false;
        }
        match self.waiting {
            Some((before, since)) if before == index => {
                let late = now.wrapping_sub(since) >= POLL_MS;
                if late {
                    self.waiting = Some((index, now));
                }
                late
            }
            _ => {
                self.waiting = Some((index, now));
                false
            }
        }
    }
}
