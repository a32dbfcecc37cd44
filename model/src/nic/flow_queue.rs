// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A flow queue: the ring of slots in which requests about rules come.
//!
//! It belongs to the PF. What the requests do is in [`super::requests`].

use oxnic_abi::flow::queue::{FlowQueueCreate, SLOT_BYTES};

/// A flow queue.
#[derive(Clone, Debug)]
pub struct FlowQueue {
    /// Completion ring, which no other queue uses.
    pub cq: u16,
    /// log2 of slots.
    pub log2: u8,
    /// Bus address of the ring.
    pub address: u64,
    /// As the last doorbell said, in slots.
    pub producer: u16,
    /// Next slot to take.
    pub consumer: u16,
    /// It stopped after an error.
    pub stopped: bool,
    /// It is on the list of queues that have work.
    pub listed: bool,
    /// Requests that were carried out.
    pub done: u64,
    /// Requests that were refused.
    pub refused: u64,
}

impl FlowQueue {
    /// From a command that was checked.
    pub fn new(create: &FlowQueueCreate) -> Self {
        Self {
            cq: create.cq,
            log2: create.log2,
            address: create.address,
            producer: 0,
            consumer: 0,
            stopped: false,
            listed: false,
            done: 0,
            refused: 0,
        }
    }

    /// Number of slots.
    pub fn size(&self) -> u16 {
        1 << self.log2
    }

    /// Slots that were not taken yet.
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

    /// Address of the slot with a free-running index, and how many follow it before the ring starts again, itself included.
    pub fn place(&self, index: u16) -> (u64, u16) {
        let entry = index & (self.size() - 1);
        let address = self
            .address
            .wrapping_add(u64::from(entry) * SLOT_BYTES as u64);
        (address, self.size() - entry)
    }
}
