// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Counters of the flow engine by DMA: which pages of the host hold them, and writing those that have changed.
//!
//! Once a period all changed counters are taken from the engine; they are written over as many polls as it takes, so that a
//! million of them does not hold up frames. What is written is what a counter says at that moment, so that a record never goes
//! back behind one that a request had written.

use super::Nic;
use super::flow::{CounterValue, Counters};
use super::ids::FunctionId;
use super::timers::Timer;
use crate::host::{DmaFault, Host};
use oxnic_abi::flow::counter::{COUNTER_PAGE, COUNTERS_IN_PAGE, CounterRecord};
use oxnic_abi::regs::Reason;

/// Records that one poll writes.
const POLL_RECORDS: usize = 4096;

/// A whole record.
fn record(value: CounterValue, sequence: u32) -> CounterRecord {
    CounterRecord {
        packets: value.packets,
        bytes: value.bytes,
        last_use: value.last_use,
        generation: value.generation,
        sequence,
        sequence_end: sequence,
    }
}

/// A page of records in the host's memory.
#[derive(Clone, Debug)]
pub struct Page {
    address: u64,
    /// Of each record, as it was last written.
    sequences: [u32; COUNTERS_IN_PAGE as usize],
}

impl Page {
    /// A page at an address, with no record written yet.
    pub fn new(address: u64) -> Self {
        Self {
            address,
            sequences: [0; COUNTERS_IN_PAGE as usize],
        }
    }

    /// Writes the record of every counter from `first` on, in one piece: nobody reads a page that is just being given.
    ///
    /// # Errors
    /// The page cannot be written.
    pub fn fill(
        mut self,
        host: &mut dyn Host,
        function: FunctionId,
        first: u32,
        counters: &Counters,
    ) -> Result<Self, DmaFault> {
        let mut bytes = Vec::with_capacity(COUNTER_PAGE as usize);
        for (id, sequence) in (first..).zip(&mut self.sequences) {
            *sequence = 2;
            let words = record(counters.value(id), *sequence).to_words();
            bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        host.dma_write(function.bus(), self.address, &bytes)?;
        Ok(self)
    }

    /// Writes a record: the sequence becomes odd, then the counts, then both sequences the next even number.
    fn write(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        index: u32,
        value: CounterValue,
    ) -> Result<(), DmaFault> {
        let Some(sequence) = self.sequences.get_mut(index as usize) else {
            return Ok(());
        };
        let before = *sequence;
        *sequence = before.wrapping_add(2);
        let [packets, bytes, used, end] = record(value, *sequence).to_words();
        let under_way = u64::from(before.wrapping_add(1)) | (u64::from(before) << 32);
        let mut counts = [0; 24];
        for (chunk, word) in counts.chunks_exact_mut(8).zip([packets, bytes, used]) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        let address = self
            .address
            .wrapping_add(u64::from(index) * CounterRecord::BYTES as u64);
        let last = address.wrapping_add(24);
        host.dma_write(function.bus(), last, &under_way.to_le_bytes())?;
        host.dma_write(function.bus(), address, &counts)?;
        host.dma_write(function.bus(), last, &end.to_le_bytes())
    }
}

/// Where counters go.
#[derive(Debug, Default)]
pub struct CounterMemory {
    /// By number of the page; those beyond the last are none.
    pages: Vec<Option<Box<Page>>>,
    /// Nanoseconds between two rounds.
    period: u64,
    /// Counters of the round that is under way, the last one first.
    due: Vec<u32>,
    /// When the next round begins.
    next: u64,
}

impl CounterMemory {
    /// Whether there is any page.
    pub fn is_used(&self) -> bool {
        self.pages.iter().any(Option::is_some)
    }

    fn page(&mut self, counter: u32) -> Option<&mut Option<Box<Page>>> {
        self.pages.get_mut((counter / COUNTERS_IN_PAGE) as usize)
    }
}

impl Nic {
    /// Milliseconds since the device started, modulo 2^32, as the health block tells them.
    pub(super) fn uptime(&self) -> u32 {
        let started = self.started.unwrap_or(self.now);
        (self.now.saturating_sub(started) / 1_000_000) as u32
    }

    /// Puts pages, whose records are written, in the place of those from a counter on.
    pub(super) fn set_counter_pages(&mut self, first: u32, pages: Vec<Option<Page>>, period: u64) {
        let memory = &mut self.counter_memory;
        let used = memory.is_used();
        let start = (first / COUNTERS_IN_PAGE) as usize;
        let end = start + pages.len();
        if memory.pages.len() < end {
            memory.pages.resize_with(end, || None);
        }
        for (place, page) in memory.pages.iter_mut().skip(start).zip(pages) {
            *place = page.map(Box::new);
        }
        // What the round would still write of these is older than what stands there now.
        let covered = start..end;
        memory
            .due
            .retain(|id| !covered.contains(&((id / COUNTERS_IN_PAGE) as usize)));
        memory.period = period;
        if memory.is_used() {
            // Pages may come faster than the period: those that are there do not wait for them.
            let later = self.now.saturating_add(period);
            memory.next = if used { memory.next.min(later) } else { later };
            let at = if memory.due.is_empty() {
                memory.next
            } else {
                self.now
            };
            self.timers.set(Timer::Counters, at);
        } else {
            self.stop_counters();
        }
    }

    /// No page is left.
    pub(super) fn stop_counters(&mut self) {
        self.counter_memory = CounterMemory::default();
        self.timers.cancel(Timer::Counters);
    }

    /// Counters are due: begins a round, or goes on with one.
    pub(super) fn counters_due(&mut self, host: &mut dyn Host) {
        let now = self.now;
        let memory = &mut self.counter_memory;
        if memory.due.is_empty() && memory.next <= now {
            memory.next = now.saturating_add(memory.period);
            self.flow.counters.take_changed(&mut memory.due, usize::MAX);
        }
        if !self.state(FunctionId::PF).works() {
            // What is due stays so; without bus mastering there is nothing to hurry for.
            let later = now.saturating_add(self.counter_memory.period);
            return self.timers.set(Timer::Counters, later);
        }
        self.write_counters(host);
        let memory = &self.counter_memory;
        if !memory.is_used() {
            return self.stop_counters();
        }
        let next = if memory.due.is_empty() {
            memory.next
        } else {
            now
        };
        self.timers.set(Timer::Counters, next);
    }

    fn write_counters(&mut self, host: &mut dyn Host) {
        for _ in 0..POLL_RECORDS {
            let Some(id) = self.counter_memory.due.pop() else {
                return;
            };
            // One without memory has nothing to be written to; a fault is told of, and the others go on.
            let _ = self.write_counter(host, id);
        }
    }

    /// Writes the record of a counter as it is now; says whether it has any memory. A page that cannot be written is given up.
    ///
    /// # Errors
    /// The page could not be written.
    pub(super) fn write_counter(&mut self, host: &mut dyn Host, id: u32) -> Result<bool, DmaFault> {
        let value = self.flow.counters.value(id);
        let Some(place) = self.counter_memory.page(id) else {
            return Ok(false);
        };
        let Some(page) = place.as_mut() else {
            return Ok(false);
        };
        let written = page.write(host, FunctionId::PF, id % COUNTERS_IN_PAGE, value);
        if written.is_err() {
            *place = None;
            log::warn!("flow: page of counter {id} is not written any more: DMA fault");
            self.note(host, FunctionId::PF, 1, Reason::DMA);
        }
        written.map(|()| true)
    }
}
