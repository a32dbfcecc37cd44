// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A ring of entries in host memory that its driver fills and the device takes, told by a doorbell with a free-running index.

/// Where a ring is, and how far both sides are. `ENTRY` is the size of an entry in bytes.
#[derive(Clone, Debug)]
pub struct Ring<const ENTRY: usize> {
    log2: u8,
    address: u64,
    producer: u16,
    consumer: u16,
}

impl<const ENTRY: usize> Ring<ENTRY> {
    /// An empty ring of `1 << log2` entries at a bus address; at most 32768 entries.
    pub fn new(log2: u8, address: u64) -> Self {
        Self {
            log2,
            address,
            producer: 0,
            consumer: 0,
        }
    }

    /// Number of entries, log2.
    pub fn log2(&self) -> u8 {
        self.log2
    }

    /// Number of entries.
    pub fn size(&self) -> u16 {
        1 << self.log2
    }

    /// The index that the last doorbell said.
    pub fn producer(&self) -> u16 {
        self.producer
    }

    /// The index of the next entry to take.
    pub fn consumer(&self) -> u16 {
        self.consumer
    }

    /// Entries that were not taken yet.
    pub fn pending(&self) -> u16 {
        self.producer.wrapping_sub(self.consumer)
    }

    /// Takes a doorbell. False if the index is out of range.
    pub fn ring(&mut self, index: u16) -> bool {
        let ahead = index.wrapping_sub(self.consumer);
        if ahead > self.size() {
            return false;
        }
        if ahead > self.pending() {
            self.producer = index;
        }
        true
    }

    /// Takes entries; the caller has seen that they are there.
    pub fn take(&mut self, count: u16) {
        self.consumer = self.consumer.wrapping_add(count);
    }

    /// Address of the entry with a free-running index, and how many follow it before the ring starts again, itself included.
    pub fn place(&self, index: u16) -> (u64, u16) {
        let entry = index & (self.size() - 1);
        let address = self.address.wrapping_add(u64::from(entry) * ENTRY as u64);
        (address, self.size() - entry)
    }
}
