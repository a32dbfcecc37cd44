// SPDX-License-Identifier: GPL-2.0-only

//! Taking back what the device has sent.

use super::TxRing;
use crate::queue::stats::PairStats;
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_abi::ring::completion_flags;
use oxnic_kapi::dma::{self, Ring};
use oxnic_kapi::net::napi::Context;
use oxnic_kapi::net::queue::TxQueue;
use oxnic_kapi::net::tx_buffers::{self, Consumer};

/// A transmit ring from the side of completions.
pub(crate) struct TxDone {
    pub(super) consumer: Consumer,
    pub(super) cq: Arc<Ring<2>>,
    pub(super) cq_log2: u32,
    pub(super) cq_next: u32,
    pub(super) queue: TxQueue,
    pub(super) stats: Arc<PairStats>,
    pub(super) room: u32,
    pub(super) broken: bool,
}

impl TxDone {
    /// Takes back what the device is done with. False: the device broke the rules, and the queue is not looked at any more.
    #[inline(always)]
    pub(crate) fn poll(&mut self, context: Context<'_>) -> bool {
        let mut head = None;
        let mut errors = 0;
        // At most one pass over the ring, whatever the device does meanwhile.
        for _ in 0..self.cq.entries() {
            let word = self.cq.word(self.cq_next, 1);
            let generation = (word >> 48) as u32 & u32::from(completion_flags::GENERATION);
            if generation == self.cq_next >> self.cq_log2 & 1 {
                break;
            }
            if word >> 48 & u64::from(completion_flags::TIMESTAMP) != 0 {
                self.take_timestamp(context, word as u16);
            }
            self.cq_next = self.cq_next.wrapping_add(1);
            head = Some(word as u16);
            errors += word >> 16 & 0xffff;
        }
        let Some(head) = head else {
            return !self.broken;
        };
        dma::rmb();
        if errors != 0 {
            self.stats.tx.device_drops.add(errors);
        }
        self.take(context, head)
    }

    /// Hands on when the packet before `head` left, as the next completion says.
    #[cold]
    fn take_timestamp(&mut self, context: Context<'_>, head: u16) {
        dma::rmb();
        let time = self.cq.word(self.cq_next, 0);
        let stamps = &self.stats.stamps;
        match self
            .consumer
            .timestamp(context, head, (time != 0).then_some(time))
        {
            Ok(()) if time != 0 => stamps.taken.add(1),
            Ok(()) => stamps.lost.add(1),
            Err(_) => stamps.stray.add(1),
        }
    }

    #[inline]
    fn take(&mut self, context: Context<'_>, head: u16) -> bool {
        if self.broken {
            return false;
        }
        let Ok(completed) = self.consumer.complete(context, head) else {
            self.stats.tx.faults.add(1);
            self.broken = true;
            return false;
        };
        let (consumer, room) = (&self.consumer, self.room);
        if self
            .queue
            .completed(completed.packets, completed.bytes, || {
                consumer.free() >= room
            })
        {
            self.stats.tx.wakes.add(1);
        }
        if completed.frames != 0 && self.queue.completed_frames(|| consumer.free() >= room) {
            self.stats.tx.wakes.add(1);
        }
        true
    }

    /// Whether completing may give XDP frames back, which netpoll must not.
    pub(crate) fn may_hold_frames(&self) -> bool {
        self.consumer.may_hold_frames()
    }

    /// Drops what was queued and makes both ends as new. The device does not know the ring any more.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: it is the end of another ring.
    pub(crate) fn rewind(&mut self, ring: &mut TxRing) -> Result {
        tx_buffers::rewind(&mut ring.producer, &mut self.consumer)?;
        ring.rung = 0;
        self.cq_next = 0;
        self.broken = false;
        Ok(())
    }

    /// Index of the completion ring's next entry, for arming.
    #[inline(always)]
    pub(crate) fn next(&self) -> u32 {
        self.cq_next
    }
}
