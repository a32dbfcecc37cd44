// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Receive rings: empty buffers in, filled buffers out.
//!
//! An [`RxQueue`] belongs to its function. It reads descriptors ahead, as far as the last doorbell allows.

use super::ids::{FunctionId, VportId};
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
    /// log2 of entries.
    pub log2: u8,
    /// Bytes of a buffer.
    pub buffer_length: u16,
    /// It stopped after an error.
    pub stopped: bool,
    /// Since it was created.
    pub stats: QueueStats,
    address: u64,
    producer: u16,
    consumer: u16,
    /// Descriptors from `consumer` on that were read already, the next one last.
    ahead: Vec<RxDescriptor>,
}

impl RxQueue {
    /// From a command that was checked.
    pub fn new(create: &RxCreate, vport: VportId) -> Self {
        Self {
            vport,
            cq: create.cq,
            log2: create.log2,
            buffer_length: create.buffer_length,
            stopped: false,
            stats: QueueStats::ZERO,
            address: create.address,
            producer: 0,
            consumer: 0,
            ahead: Vec::with_capacity(AHEAD),
        }
    }

    /// Number of entries.
    pub fn size(&self) -> u16 {
        1 << self.log2
    }

    /// Buffers that can be filled.
    pub fn available(&self) -> u16 {
        self.producer.wrapping_sub(self.consumer)
    }

    /// Takes a doorbell. False if the index is out of range.
    pub fn ring(&mut self, index: u16) -> bool {
        let ahead = index.wrapping_sub(self.consumer);
        if ahead > self.size() {
            return false;
        }
        if ahead > self.available() {
            self.producer = index;
        }
        true
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
        self.consumer = self.consumer.wrapping_add(1);
        self.stats.descriptors += 1;
        Ok(descriptor)
    }

    fn read_ahead(&mut self, host: &mut dyn Host, function: FunctionId) -> Result<(), QueueError> {
        let entry = self.consumer & (self.size() - 1);
        let until_wrap = usize::from(self.size() - entry);
        let count = usize::from(self.available()).min(until_wrap).min(AHEAD);
        let mut bytes = [0; AHEAD * DESCRIPTOR];
        let bytes = &mut bytes[..count * DESCRIPTOR];
        let address = self
            .address
            .wrapping_add(u64::from(entry) * DESCRIPTOR as u64);
        host.dma_read(function.bus(), address, bytes)
            .map_err(|_| QueueError::DMA)?;
        for descriptor in bytes.chunks_exact(DESCRIPTOR) {
            let words = super::words::<2>(descriptor);
            let descriptor = RxDescriptor::from_words(&words);
            if RxDescriptor::reserved_bits(&words).is_some() || descriptor.buffer >= self.size() {
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
