// SPDX-License-Identifier: GPL-2.0-only

//! Counters: the memory in which the device keeps them, and which rule has which.
//!
//! Memory comes a page of 128 counters at a time, when the first of them is needed, and stays until the engine goes. A counter that is
//! taken gets a new generation, so that what was counted for another rule is never taken for its own.

use super::ids::Ids;
use crate::{cmd, command::CommandError, device::Device};
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::flow::counter::{CounterMemory, CounterRecord, COUNTERS_IN_PAGE, COUNTER_PAGE};
use oxnic_kapi::{
    dma::{self, Words},
    time, //
};

/// Period in which the device writes changes, in milliseconds, unless it cannot be so short.
const PERIOD: u16 = 100;
/// Pages that the device is told of at a time.
const PAGES: usize = 64;
/// How often a record is read again that the device writes meanwhile.
const TRIES: u32 = 8;

/// A counter that a rule has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    /// Its number.
    pub(crate) id: u32,
    /// Its generation.
    pub(crate) generation: u32,
}

/// What a counter says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Packets.
    pub(crate) packets: u64,
    /// Bytes.
    pub(crate) bytes: u64,
    /// How long ago it last counted, in milliseconds; means nothing where it has not.
    pub(crate) age: u64,
}

impl Count {
    /// What came since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(before.packets),
            bytes: self.bytes.saturating_sub(before.bytes),
            age: self.age,
        }
    }

    /// This and what was counted earlier.
    pub(crate) fn and(&self, earlier: &Self) -> Self {
        Self {
            packets: self.packets.saturating_add(earlier.packets),
            bytes: self.bytes.saturating_add(earlier.bytes),
            age: if self.packets == 0 {
                earlier.age
            } else {
                self.age
            },
        }
    }
}

/// The counters of an engine.
pub(crate) struct Counters {
    ids: Ids,
    /// A page for each 128 counters, from the first on.
    pages: KVec<Words>,
    period: u16,
    /// Generation of the next counter that is taken. Not 0, which counters have from the start.
    generation: u32,
    /// The device's time less the system's, in milliseconds, modulo 2^32.
    offset: u32,
}

impl Counters {
    /// No counter, of at most `limit`.
    pub(crate) fn new(limit: u32, period_min: u16) -> Self {
        Self {
            ids: Ids::new(limit - limit % COUNTERS_IN_PAGE),
            pages: KVec::new(),
            period: PERIOD.max(period_min),
            generation: 1,
            offset: 0,
        }
    }

    /// Takes a counter. The device has to be told of its generation before a rule has it.
    ///
    /// # Errors
    ///
    /// `ENOSPC`: none is left; `ENOMEM`; or what the device says to its memory, which is logged.
    pub(crate) fn take(&mut self, device: &Arc<Device>) -> Result<Counter> {
        let id = self.ids.take()?;
        if let Err(error) = self.provide(device, id) {
            self.ids.give(id);
            return Err(error);
        }
        let generation = self.generation;
        self.generation = generation.checked_add(1).unwrap_or(1);
        Ok(Counter { id, generation })
    }

    /// Gives a counter back that no rule has any more.
    pub(crate) fn give(&mut self, counter: Counter) {
        self.ids.give(counter.id);
    }

    /// Memory for a counter. Ids are taken from the lowest on, so that at most one page is missing.
    fn provide(&mut self, device: &Arc<Device>, id: u32) -> Result {
        let number = (id / COUNTERS_IN_PAGE) as usize;
        if number < self.pages.len() {
            return Ok(());
        }
        self.pages.reserve(1, GFP_KERNEL)?;
        let page = Words::new(device.binding(), COUNTER_PAGE as usize / 8)?;
        self.tell(device, number, &[page.address()])
            .inspect_err(|error| dev_err!(device.binding(), "counters: {}\n", error))?;
        self.pages.push(page, GFP_KERNEL)?;
        Ok(())
    }

    /// Tells the device where pages of counters are, from one on; 0 for those that are no more.
    fn tell(
        &mut self,
        device: &Arc<Device>,
        page: usize,
        addresses: &[u64],
    ) -> Result<(), CommandError> {
        let memory = CounterMemory {
            first: page as u32 * COUNTERS_IN_PAGE,
            count: addresses.len() as u32 * COUNTERS_IN_PAGE,
            period: self.period,
        };
        let now = cmd::flow::counter_memory(device, &memory, addresses)?;
        self.offset = (now as u32).wrapping_sub(time::now_ms() as u32);
        Ok(())
    }

    /// Tells the device of all pages, by what `address` gives for each.
    fn tell_all(
        &mut self,
        device: &Arc<Device>,
        address: impl Fn(&Words) -> u64,
    ) -> Result<(), CommandError> {
        for first in (0..self.pages.len()).step_by(PAGES) {
            let mut addresses = [0; PAGES];
            let pages = self.pages.iter().skip(first);
            let mut count = 0;
            for (place, page) in addresses.iter_mut().zip(pages) {
                *place = address(page);
                count += 1;
            }
            self.tell(device, first, &addresses[..count])?;
        }
        Ok(())
    }

    /// Gives a device that was reset its memory again. All counters are at zero then, and of no generation.
    pub(crate) fn restore(&mut self, device: &Arc<Device>) -> Result<(), CommandError> {
        self.tell_all(device, Words::address)
    }

    /// Takes all memory away from the device.
    ///
    /// # Errors
    ///
    /// The device may still write to it.
    pub(crate) fn withdraw(&mut self, device: &Arc<Device>) -> Result<(), CommandError> {
        self.tell_all(device, |_| 0)?;
        self.pages.clear();
        Ok(())
    }

    /// What a counter says. `None` where the device writes it all the time, or has not written its generation yet: nothing is known.
    pub(crate) fn read(&self, counter: Counter) -> Option<Count> {
        let page = self.pages.get((counter.id / COUNTERS_IN_PAGE) as usize)?;
        let first = (counter.id % COUNTERS_IN_PAGE) as usize * CounterRecord::WORDS;
        let record = (0..TRIES).find_map(|_| read_record(page, first))?;
        if record.generation != counter.generation {
            return None;
        }
        let now = (time::now_ms() as u32).wrapping_add(self.offset);
        // A negative age is the clocks' difference.
        let age = now.wrapping_sub(record.last_use) as i32;
        Some(Count {
            packets: record.packets,
            bytes: record.bytes,
            age: age.max(0) as u64,
        })
    }
}

/// A record, if the device did not write it meanwhile.
fn read_record(page: &Words, first: usize) -> Option<CounterRecord> {
    const LAST: usize = CounterRecord::WORDS - 1;
    let mut words = [0; CounterRecord::WORDS];
    let before = page.read(first + LAST);
    dma::rmb();
    for (at, word) in words.iter_mut().enumerate() {
        *word = page.read(first + at);
    }
    dma::rmb();
    let after = page.read(first + LAST);
    let record = CounterRecord::from_words(&words);
    let whole = before == after && words[LAST] == after && record.sequence == record.sequence_end;
    whole.then_some(record)
}
