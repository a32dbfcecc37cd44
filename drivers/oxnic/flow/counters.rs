// SPDX-License-Identifier: GPL-2.0-only

//! Counters: the memory in which the device keeps them, and which rule has which.
//!
//! Memory comes a page of 128 counters at a time, when the first of them is needed, and stays until the engine goes. A counter that is
//! taken gets a new generation, so that what was counted for another rule is never taken for its own. Whoever has a counter
//! reads it without any lock.
//!
//! `pages`, a spinlock, is held to find the page of a counter that is taken; `growth`, a mutex, while the device is told of memory. The
//! former is taken under the latter, and nothing else but the lock of the admin queue.

use super::{ids::Ids, refusal::Refusal};
use crate::{
    cmd,
    command::{told, CommandError},
    device::Device, //
};
use kernel::{
    alloc::AllocError,
    new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
        Mutex,
        SpinLock, //
    },
};
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
#[derive(Clone)]
pub(crate) struct Counter {
    /// Its number.
    pub(crate) id: u32,
    /// Its generation.
    pub(crate) generation: u32,
    /// The memory that it is in.
    page: Arc<Words>,
}

/// What a counter says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Packets.
    pub(crate) packets: u64,
    /// Bytes.
    pub(crate) bytes: u64,
    /// Of these packets, those that a policer has dropped. That is another counter's to say.
    pub(crate) drops: u64,
    /// When it last counted, in milliseconds of the system's clock; means nothing where it has not.
    pub(crate) last: u64,
}

impl Count {
    /// Adds what came besides.
    pub(crate) fn add(&mut self, more: &Self) {
        self.packets = self.packets.saturating_add(more.packets);
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.drops = self.drops.saturating_add(more.drops);
        if more.packets > 0 || more.drops > 0 {
            self.last = self.last.max(more.last);
        }
    }
}

/// How far a counter was read: what the kernel was told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    packets: u64,
    bytes: u64,
}

impl Told {
    /// What came since the last time. A counter that goes back, which none does, has seen nothing.
    pub(crate) fn advance(&mut self, now: &Count) -> Count {
        let since = |now: u64, before: u64| (now.wrapping_sub(before) as i64).max(0) as u64;
        let count = Count {
            packets: since(now.packets, self.packets),
            bytes: since(now.bytes, self.bytes),
            drops: 0,
            last: now.last,
        };
        (self.packets, self.bytes) = (now.packets, now.bytes);
        count
    }

    /// The counter starts from zero again. What it says now, and the kernel was not told of, is added to what it will say. So is what
    /// remains from the last time that this was done.
    pub(crate) fn rebase(&mut self, now: Option<&Count>) {
        let rest = |told: u64, now: Option<u64>| match now {
            Some(now) => told.wrapping_sub(now),
            None => (told as i64).min(0) as u64,
        };
        self.packets = rest(self.packets, now.map(|now| now.packets));
        self.bytes = rest(self.bytes, now.map(|now| now.bytes));
    }
}

/// The counters of an engine.
#[pin_data]
pub(crate) struct Counters {
    #[pin]
    ids: Ids,
    /// A page for each 128 counters, from the first on. Has room for all.
    #[pin]
    pages: SpinLock<KVVec<Arc<Words>>>,
    #[pin]
    growth: Mutex<()>,
    period: u16,
    /// The device's time less the system's, in milliseconds, modulo 2^32.
    offset: Atomic<u32>,
    /// The device was reset, and what is in the memory is from before. See [`Self::freeze`].
    frozen: Atomic<bool>,
}

impl Counters {
    /// No counter, of at most `limit`.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn new(limit: u32, period_min: u16) -> Result<impl PinInit<Self>, AllocError> {
        let limit = limit - limit % COUNTERS_IN_PAGE;
        let pages = KVVec::with_capacity((limit / COUNTERS_IN_PAGE) as usize, GFP_KERNEL)?;
        Ok(pin_init!(Self {
            ids <- Ids::new(limit),
            pages <- new_spinlock!(pages),
            growth <- new_mutex!(()),
            period: PERIOD.max(period_min),
            offset: Atomic::new(0),
            frozen: Atomic::new(false),
        }))
    }

    /// Takes a counter. The device has to be told of its generation before a rule has it; of its memory it is told here, if it can be
    /// reached.
    ///
    /// # Errors
    ///
    /// None is left, there is no memory, or what the device says to its memory.
    pub(crate) fn take(&self, device: &Arc<Device>, reached: bool) -> Result<Counter, Refusal> {
        let limit = self.ids.limit();
        let id = self.ids.take().map_err(|error| Refusal::Full {
            what: "counters",
            limit,
            error,
        })?;
        let page = self.page(device, id, reached);
        let page = page.inspect_err(|_| self.ids.give(id))?;
        // Not 0, which counters have from the start.
        let generation = loop {
            match device.counters_taken.fetch_add(1, Relaxed).wrapping_add(1) {
                0 => continue,
                generation => break generation,
            }
        };
        Ok(Counter {
            id,
            generation,
            page,
        })
    }

    /// Gives a counter back that no rule has any more.
    pub(crate) fn give(&self, counter: &Counter) {
        self.ids.give(counter.id);
    }

    /// The memory of a counter.
    fn page(&self, device: &Arc<Device>, id: u32, reached: bool) -> Result<Arc<Words>, Refusal> {
        let number = (id / COUNTERS_IN_PAGE) as usize;
        if let Some(page) = self.pages.lock().get(number) {
            return Ok(page.clone());
        }
        let _growth = self.growth.lock();
        loop {
            let next = {
                let pages = self.pages.lock();
                if let Some(page) = pages.get(number) {
                    return Ok(page.clone());
                }
                pages.len()
            };
            let page = Words::new(device.binding(), COUNTER_PAGE as usize / 8);
            let page = page.map_err(|_| Refusal::Memory)?;
            let page = Arc::new(page, GFP_KERNEL)?;
            // Where the device is being reset it will be told of all.
            let told = match reached {
                true => told(self.tell(device, next, &[page.address()])).map(drop),
                false => Ok(()),
            };
            // There is room for all that there can be, and pages come under the mutex only. The device may write to one of which it was told
            // without an answer, so that stays, and is told of again after the reset.
            if !told.is_err_and(|error| !error.may_be_done()) {
                self.pages.lock().push(page, GFP_NOWAIT)?;
            }
            told?;
        }
    }

    /// Tells the device where pages of counters are, from one on; 0 for those that are no more.
    fn tell(
        &self,
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
        let offset = (now as u32).wrapping_sub(time::now_ms() as u32);
        self.offset.store(offset, Relaxed);
        Ok(())
    }

    /// Tells the device of all pages, by what `address` gives for each.
    fn tell_all(
        &self,
        device: &Arc<Device>,
        address: impl Fn(&Words) -> u64,
    ) -> Result<(), CommandError> {
        let _growth = self.growth.lock();
        for first in (0..).step_by(PAGES) {
            let mut addresses = [0; PAGES];
            let mut count = 0;
            for (place, page) in addresses
                .iter_mut()
                .zip(self.pages.lock().iter().skip(first))
            {
                *place = address(page);
                count += 1;
            }
            if count == 0 {
                break;
            }
            self.tell(device, first, &addresses[..count])?;
        }
        Ok(())
    }

    /// Gives a device that was reset its memory again. All counters are at zero then, and of no generation.
    pub(crate) fn restore(&self, device: &Arc<Device>) -> Result<(), CommandError> {
        self.tell_all(device, Words::address)
    }

    /// Takes all memory away from the device. No rule has a counter any more.
    ///
    /// # Errors
    ///
    /// The device may still write to it.
    pub(crate) fn withdraw(&self, device: &Arc<Device>) -> Result<(), CommandError> {
        self.tell_all(device, |_| 0)?;
        let mut none = KVVec::new();
        core::mem::swap(&mut *self.pages.lock(), &mut none);
        Ok(())
    }

    /// The device was reset, and all counters will start from zero. What they said last is to be had by [`Self::read_frozen`], and nothing
    /// by [`Self::read`], until [`Self::thaw`]. Whoever keeps how far a counter was read holds the lock of that both to read and to
    /// rebase it, so that nothing is told twice.
    pub(crate) fn freeze(&self) {
        self.frozen.store(true, Relaxed);
    }

    /// Everybody has kept what counters said before the reset; the memory forgets it.
    pub(crate) fn thaw(&self) {
        for number in 0.. {
            let page = self.pages.lock().get(number).cloned();
            match page {
                Some(page) => page.clear(),
                None => break,
            }
        }
        self.frozen.store(false, Relaxed);
    }

    /// What a counter says. `None` where the device writes it all the time, or has not written its generation yet: nothing is known.
    pub(crate) fn read(&self, counter: &Counter) -> Option<Count> {
        if self.frozen.load(Relaxed) {
            return None;
        }
        self.read_frozen(counter)
    }

    /// What a counter said before a reset.
    pub(crate) fn read_frozen(&self, counter: &Counter) -> Option<Count> {
        let first = (counter.id % COUNTERS_IN_PAGE) as usize * CounterRecord::WORDS;
        let record = (0..TRIES).find_map(|_| read_record(&counter.page, first))?;
        if record.generation != counter.generation {
            return None;
        }
        let now = time::now_ms();
        let theirs = (now as u32).wrapping_add(self.offset.load(Relaxed));
        // A negative age is the clocks' difference.
        let age = theirs.wrapping_sub(record.last_use) as i32;
        Some(Count {
            packets: record.packets,
            bytes: record.bytes,
            drops: 0,
            last: now.saturating_sub(age.max(0) as u64),
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

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_counters)]
mod tests {
    use super::*;

    fn count(packets: u64) -> Count {
        Count {
            packets,
            bytes: packets * 100,
            drops: 0,
            last: 5,
        }
    }

    #[test]
    fn what_was_told_is_told_once_also_across_a_reset() {
        let mut told = Told::default();
        assert_eq!(told.advance(&count(3)), count(3));
        assert_eq!(told.advance(&count(10)), count(7));
        // Five more, then a reset, then two.
        told.rebase(Some(&count(15)));
        assert_eq!(told.advance(&count(2)), count(7));
        assert_eq!(told.advance(&count(2)), count(0));
        // One more, a reset, and another one before the counter could be read.
        told.rebase(Some(&count(3)));
        told.rebase(None);
        assert_eq!(told.advance(&count(0)), count(1));
    }

    #[test]
    fn of_two_the_later_one_says_when_it_was() {
        let at = |packets, last| Count {
            last,
            ..count(packets)
        };
        let mut all = at(3, 70);
        all.add(&at(2, 50));
        assert_eq!(all, at(5, 70));
        all.add(&at(1, 90));
        // What has seen nothing says nothing.
        all.add(&at(0, 95));
        assert_eq!(all, at(6, 90));
    }

    #[test]
    fn a_counter_that_goes_back_has_seen_nothing() {
        let mut told = Told::default();
        assert_eq!(told.advance(&count(10)), count(10));
        assert_eq!(told.advance(&count(4)), count(0));
        assert_eq!(told.advance(&count(5)), count(1));
    }
}
