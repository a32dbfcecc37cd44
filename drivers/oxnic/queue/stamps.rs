// SPDX-License-Identifier: GPL-2.0-only

//! Transmit time stamps of a queue pair: whether they are asked for, and what became of those that were. Like all counters
//! of a pair they outlive its queues.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use oxnic_kapi::net::stats::Counter;

/// Transmit time stamps of a pair.
#[derive(Default)]
pub(crate) struct Stamps {
    // Not the kernel crate's atomic, whose accesses are calls.
    enabled: AtomicBool,
    /// Packets that asked (written under the transmit queue's lock).
    pub(crate) asked: Counter,
    /// Packets that got their stamp (written in the poll).
    pub(crate) taken: Counter,
    /// Packets that got none (written in the poll, or while the queue is stopped).
    pub(crate) lost: Counter,
    /// Stamps that belong to no packet (written in the poll).
    pub(crate) stray: Counter,
}

impl Stamps {
    /// From the next packet on, stamps are asked for or not.
    pub(crate) fn set_enabled(&self, on: bool) {
        self.enabled.store(on, Relaxed);
    }

    /// Whether stamps are asked for.
    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    /// The queue was stopped: what it has not stamped it never will.
    pub(crate) fn settle(&self) {
        let settled = self.taken.get().wrapping_add(self.lost.get());
        self.lost.add(self.asked.get().saturating_sub(settled));
    }
}
