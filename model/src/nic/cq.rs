// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Completion rings and the interrupt vectors that they raise.
//!
//! Both belong to the function. A [`Vector`] has two slots, one ring each; when to raise it follows from what is unseen in
//! the rings, since when, and how they are moderated.

use super::event::write_entry;
use super::ids::FunctionId;
use crate::host::{DmaFault, Host};
use oxnic_abi::queue::CqCreate;
use oxnic_abi::ring::completion_flags;

/// A completion ring.
#[derive(Clone, Debug)]
pub struct Cq {
    /// MSI-X vector.
    pub vector: u16,
    /// Slot in it.
    pub slot: u8,
    /// Bytes of an entry.
    pub entry: u8,
    /// log2 of entries.
    pub log2: u8,
    /// Moderation time in microseconds.
    pub microseconds: u16,
    /// Moderation count.
    pub frames: u16,
    /// Entries that the queues using it may need, together.
    pub reserved: u32,
    /// Queues that use it.
    pub users: u16,
    address: u64,
    producer: u16,
    /// When each entry was written.
    times: Vec<u64>,
}

impl Cq {
    /// From a command that was checked.
    pub fn new(create: &CqCreate) -> Self {
        Self {
            vector: create.vector,
            slot: create.slot,
            entry: create.entry,
            log2: create.log2,
            microseconds: create.microseconds,
            frames: create.frames,
            reserved: 0,
            users: 0,
            address: create.address,
            producer: 0,
            times: vec![0; 1 << create.log2],
        }
    }

    /// Number of entries.
    pub fn size(&self) -> u32 {
        1 << self.log2
    }

    /// Writes an entry and adds its generation bit.
    ///
    /// # Errors
    /// The ring cannot be written.
    pub fn put(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        words: &mut [u64],
        now: u64,
    ) -> Result<(), DmaFault> {
        let entry = usize::from(self.producer & ((self.size() - 1) as u16));
        let first_pass = u64::from((self.producer >> self.log2) & 1 == 0);
        if let Some(last) = words.last_mut() {
            *last ^= (first_pass * u64::from(completion_flags::GENERATION)) << 48;
        }
        let address = self
            .address
            .wrapping_add(entry as u64 * u64::from(self.entry));
        write_entry(host, function, address, words)?;
        if let Some(time) = self.times.get_mut(entry) {
            *time = now;
        }
        self.producer = self.producer.wrapping_add(1);
        Ok(())
    }

    /// Entries written so far, modulo 2^16.
    pub fn producer(&self) -> u16 {
        self.producer
    }

    /// When the vector is to be raised for what is unseen after `seen`: none if nothing is.
    fn due(&self, seen: u16, now: u64) -> Option<u64> {
        let unseen = self.producer.wrapping_sub(seen);
        if unseen == 0 {
            return None;
        }
        if self.microseconds == 0 || self.frames != 0 && unseen >= self.frames {
            return Some(now);
        }
        let first = self
            .times
            .get(usize::from(seen & ((self.size() - 1) as u16)))
            .copied();
        Some(
            first
                .unwrap_or(now)
                .saturating_add(u64::from(self.microseconds) * 1000),
        )
    }
}

/// An interrupt vector with its two slots.
#[derive(Clone, Debug, Default)]
pub struct Vector {
    /// Completion rings in the slots.
    pub slots: [Option<u16>; 2],
    /// What the driver has consumed of each, as the last doorbell since the ring was made said.
    pub seen: [Option<u16>; 2],
    /// The next unseen entry raises it.
    pub armed: bool,
    /// It is on the list of vectors to look at.
    pub listed: bool,
}

impl Vector {
    /// When the vector is to be raised.
    pub fn due(&self, cqs: &[Option<Cq>], now: u64) -> Option<u64> {
        if !self.armed {
            return None;
        }
        let rings = self.slots.iter().zip(self.seen);
        rings
            .filter_map(|(slot, seen)| cqs.get(usize::from((*slot)?))?.as_ref()?.due(seen?, now))
            .min()
    }
}
