// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Receive rings: empty buffers in, filled buffers out.
//!
//! An [`RxQueue`] belongs to its function. It reads descriptors ahead, as far as the last doorbell allows.

use super::ids::{FunctionId, VportId};
use super::ring::Ring;
use crate::host::Host;
use oxnic_abi::event::QueueError;
use oxnic_abi::queue::RxCreate;
use oxnic_abi::ring::RxDescriptor;
use oxnic_abi::stats::QueueStats;

/// Bytes of a descriptor.
pub const DESCRIPTOR: usize = RxDescriptor::BYTES;
/// Descriptors that are read ahead at once.
const AHEAD: usize = 64;

/// A receive queue.
#[derive(Clone, Debug)]
pub struct RxQueue {
    /// Vport that it belongs to.
    pub vport: VportId,
    /// Completion ring.
    pub cq: u16,
    /// Its descriptors.
    pub ring: Ring<DESCRIPTOR>,
    /// Bytes of a buffer.
    pub buffer_length: u16,
    /// It stopped after an error.
    pub stopped: bool,
    /// Since it was created.
    pub stats: QueueStats,
    /// Descriptors from the next one to take on that were read already, the next one last.
    ahead: Vec<RxDescriptor>,
}

impl RxQueue {
    /// From a command that was checked.
    pub fn new(create: &RxCreate, vport: VportId) -> Self {
        Self {
            vport,
            cq: create.cq,
            ring: Ring::new(create.log2, create.address),
            buffer_length: create.buffer_length,
            stopped: false,
            stats: QueueStats::ZERO,
            ahead: Vec::with_capacity(AHEAD),
        }
    }

    /// Takes the next buffer; the caller has seen that there is one.
    ///
    /// # Errors
    /// The ring cannot be read, or the descriptor breaks the rules.
    pub fn take(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
    ) -> Result<RxDescriptor, QueueError> {
        if self.ahead.is_empty() {
            self.read_ahead(host, function)?;
        }
        let descriptor = self.ahead.pop().ok_or(QueueError::INDEX)?;
        self.ring.take(1);
        self.stats.descriptors += 1;
        Ok(descriptor)
    }

    fn read_ahead(&mut self, host: &mut dyn Host, function: FunctionId) -> Result<(), QueueError> {
        let (address, until_wrap) = self.ring.place(self.ring.consumer());
        let count = usize::from(self.ring.pending().min(until_wrap)).min(AHEAD);
        let mut bytes = [0; AHEAD * DESCRIPTOR];
        let bytes = &mut bytes[..count * DESCRIPTOR];
        host.dma_read(function.bus(), address, bytes)
            .map_err(|_| QueueError::DMA)?;
        for descriptor in bytes.chunks_exact(DESCRIPTOR) {
            let words = super::words::<2>(descriptor);
            let descriptor = RxDescriptor::from_words(&words);
            if RxDescriptor::reserved_bits(&words).is_some()
                || descriptor.buffer >= self.ring.size()
            {
                break;
            }
            self.ahead.push(descriptor);
        }
        if self.ahead.is_empty() {
            return Err(QueueError::DESCRIPTOR);
        }
        self.ahead.reverse();
        Ok(())
    }
}
