// SPDX-License-Identifier: GPL-2.0-only

//! What `devlink health` shows of a pair of queues: how they stand, and what is in the memory that they share with the device.
//!
//! The lock of the interface's state is held, so that the pair stays. What packets change meanwhile is looked at as it is.

use super::pair::{Created, Pair};
use crate::health::Part;
use kernel::prelude::*;
use oxnic_abi::ring::completion_flags;
use oxnic_kapi::{devlink::Message, dma::Ring, time};

/// Entries of a ring that are shown.
const SHOWN: u32 = 8;

impl Pair {
    /// Says how one way of the pair stands, and on demand what is in its rings.
    pub(crate) fn tell(&self, part: Part, memory: bool, message: &mut Message<'_>) -> Result {
        message.number(c"queue", self.id.index.into());
        message.number(c"device_queue", self.id.queue.into());
        message.number(c"vector", self.id.vector.into());
        message.number(c"late_polls", self.stats.late_polls.get());
        let Created {
            tx,
            rx,
            tx_cq,
            rx_cq,
            ..
        } = self.created;
        match part {
            Part::Transmit => {
                message.flag(c"in_device", tx && tx_cq);
                self.tell_transmit(memory, message)
            }
            _ => {
                message.flag(c"in_device", rx && rx_cq);
                self.tell_receive(memory, message)
            }
        }
    }

    fn tell_transmit(&self, memory: bool, message: &mut Message<'_>) -> Result {
        let (ring, cq) = (&self.tx_memory.ring, &self.tx_memory.cq);
        message.number(c"size", ring.entries().into());
        let (completed, queued) = self.tx_watch.indices();
        message.number(c"queued", queued.into());
        message.number(c"completed", completed.into());
        if let Some(since) = self.tx_watch.waits_since() {
            message.number(c"waits_ms", time::now_ms().saturating_sub(since));
        }
        let stats = &self.stats.tx;
        message.number(c"packets", stats.packets.get());
        message.number(c"stops", stats.stops.get());
        message.number(c"wakes", stats.wakes.get());
        message.number(c"faults", stats.faults.get());
        message.number(c"stalls", stats.stalls.get());
        if !memory {
            return Ok(());
        }
        let waiting = queued.wrapping_sub(completed);
        entries(message, c"descriptors", ring, completed, waiting.min(SHOWN))?;
        let newest = newest(cq);
        entries(
            message,
            c"completions",
            cq,
            newest.wrapping_sub(SHOWN - 1),
            SHOWN,
        )
    }

    fn tell_receive(&self, memory: bool, message: &mut Message<'_>) -> Result {
        let (ring, cq) = (&self.rx_memory.ring, &self.rx_memory.cq);
        message.number(c"size", ring.entries().into());
        let taken = self.rx_watch.next();
        message.number(c"taken", taken.into());
        if let Some(since) = self.rx_watch.waits_since() {
            message.number(c"waits_ms", time::now_ms().saturating_sub(since));
        }
        let stats = &self.stats.rx;
        message.number(c"packets", stats.packets.get());
        message.number(c"no_page", stats.no_page.get());
        message.number(c"truncated", stats.truncated.get());
        message.number(c"faults", stats.faults.get());
        if !memory {
            return Ok(());
        }
        // Some that were taken, and what comes next, which may be what it stands still at.
        let first = taken.wrapping_sub(SHOWN / 2);
        entries(message, c"completions", cq, first, SHOWN)
    }
}

/// The completion that was written last: behind it the generation is another.
fn newest(cq: &Ring<2>) -> u32 {
    let generation = |index| cq.word(index, 1) >> 48 & u64::from(completion_flags::GENERATION);
    let first = generation(0);
    let end = (1..cq.entries()).find(|index| generation(*index) != first);
    end.unwrap_or(cq.entries()).wrapping_sub(1)
}

/// Lists entries of a ring, as words from the first one on.
fn entries<const N: usize>(
    message: &mut Message<'_>,
    name: &CStr,
    ring: &Ring<N>,
    first: u32,
    count: u32,
) -> Result {
    message.list(name, |message| {
        for offset in 0..count {
            let index = first.wrapping_add(offset) & (ring.entries() - 1);
            message.object(|message| {
                message.number(c"index", index.into());
                message.list(c"words", |message| {
                    ring.read(index)
                        .iter()
                        .try_for_each(|word| message.item(fmt!("{:016x}", word)))
                })
            })?;
        }
        Ok(())
    })
}
