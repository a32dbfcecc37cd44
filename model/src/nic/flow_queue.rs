// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A flow queue: the ring of slots in which requests about rules come.
//!
//! It belongs to the PF. What the requests do is in [`super::requests`].

use super::ring::Ring;
use oxnic_abi::flow::queue::{FlowQueueCreate, SLOT_BYTES};

/// A flow queue.
#[derive(Clone, Debug)]
pub struct FlowQueue {
    /// Completion ring, which no other queue uses.
    pub cq: u16,
    /// Its slots.
    pub ring: Ring<SLOT_BYTES>,
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
            ring: Ring::new(create.log2, create.address),
            stopped: false,
            listed: false,
            done: 0,
            refused: 0,
        }
    }
}
