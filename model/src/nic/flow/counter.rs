// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Counters: frames and bytes, and which of them changed since somebody looked.

use super::objects::Usage;
use super::pages::Pages;
use super::refused::{Place, Refused, Why};

/// What a counter says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterValue {
    /// Frames.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When it last counted: milliseconds since the device started, modulo 2^32.
    pub last_use: u32,
    /// What the driver last gave it.
    pub generation: u32,
}

#[derive(Debug, Default)]
struct Counter {
    value: CounterValue,
    references: u32,
    /// It is in the list of those that changed.
    listed: bool,
}

/// All counters.
#[derive(Debug)]
pub struct Counters {
    counters: Pages<Counter>,
    changed: Vec<u32>,
    usage: Usage,
}

impl Counters {
    /// So many, all of them zero.
    pub fn new(size: u32) -> Self {
        Self {
            counters: Pages::default(),
            changed: Vec::new(),
            usage: Usage::new(size),
        }
    }

    /// How many of them rules name.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether there is one with this id.
    ///
    /// # Errors
    /// There is not.
    pub fn named(&self, id: u32, place: Place) -> Result<(), Refused> {
        match id < self.usage.size {
            true => Ok(()),
            false => Err(Refused::new(Why::Missing, place)),
        }
    }

    /// Something names it now; it is within the limit.
    pub fn hold(&mut self, id: u32) {
        let counter = self.counters.touch(id);
        counter.references += 1;
        if counter.references == 1 {
            self.usage.add();
        }
    }

    /// Something names it no longer.
    pub fn release(&mut self, id: u32) {
        let Some(counter) = self.counters.get_mut(id) else {
            return;
        };
        if counter.references == 1 {
            self.usage.sub();
        }
        counter.references = counter.references.saturating_sub(1);
    }

    /// Counts a frame.
    pub fn count(&mut self, id: u32, bytes: u32, uptime: u32) {
        let Some(counter) = self.counters.get_mut(id) else {
            return;
        };
        let value = &mut counter.value;
        value.packets = value.packets.saturating_add(1);
        value.bytes = value.bytes.saturating_add(u64::from(bytes));
        value.last_use = uptime;
        list(&mut self.changed, id, counter);
    }

    /// Starts a counter from zero.
    ///
    /// # Errors
    /// There is none.
    pub fn reset(&mut self, id: u32, generation: u32) -> Result<(), Refused> {
        self.named(id, Place::Object)?;
        let counter = self.counters.touch(id);
        counter.value = CounterValue {
            generation,
            ..CounterValue::default()
        };
        list(&mut self.changed, id, counter);
        Ok(())
    }

    /// What a counter says.
    pub fn value(&self, id: u32) -> CounterValue {
        self.counters
            .get(id)
            .map_or(CounterValue::default(), |counter| counter.value)
    }

    /// Moves at most `max` of those that changed into a list.
    pub fn take_changed(&mut self, ids: &mut Vec<u32>, max: usize) {
        let from = self.changed.len().saturating_sub(max);
        for id in self.changed.drain(from..) {
            if let Some(counter) = self.counters.get_mut(id) {
                counter.listed = false;
                ids.push(id);
            }
        }
    }
}

fn list(changed: &mut Vec<u32>, id: u32, counter: &mut Counter) {
    if !counter.listed {
        counter.listed = true;
        changed.push(id);
    }
}
