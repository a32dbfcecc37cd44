// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The event ring of a function.
//!
//! It belongs to the function. A full ring drops events and says so, with an OVERRUN, as soon as there is room again. So does one
//! that cannot be written while its function may not master the bus.

use super::ids::FunctionId;
use crate::host::{DmaFault, Host};
use oxnic_abi::event::{Event, EventKind};
use oxnic_abi::ring::completion_flags;

/// An event to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub kind: EventKind,
    /// To which object.
    pub object: u16,
    /// See the kind.
    pub detail: u16,
    /// First word of the payload.
    pub value: u64,
}

impl Notice {
    /// An event without payload.
    pub fn new(kind: EventKind, object: u16, detail: u16) -> Self {
        Self {
            kind,
            object,
            detail,
            value: 0,
        }
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// An entry was written.
    pub written: bool,
    /// The ring has just overrun.
    pub overrun: bool,
}

/// An event ring.
#[derive(Clone, Debug)]
pub struct EventRing {
    address: u64,
    log2: u8,
    producer: u16,
    consumer: u16,
    sequence: u64,
    dropped: u64,
}

impl EventRing {
    /// An empty ring of 2^`log2` entries.
    pub fn new(address: u64, log2: u8) -> Self {
        Self {
            address,
            log2,
            producer: 0,
            consumer: 0,
            sequence: 0,
            dropped: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.producer.wrapping_sub(self.consumer) >> self.log2 != 0
    }

    /// Whether half of the entries wait for the driver: what others than the function cause has to wait, too, so that
    /// nobody can take away the room for what is the function's own.
    pub fn is_half_full(&self) -> bool {
        u32::from(self.outstanding()) * 2 >= self.entries()
    }

    /// Number of entries that the driver has not freed.
    pub fn outstanding(&self) -> u16 {
        self.producer.wrapping_sub(self.consumer)
    }

    /// Number of entries that there are.
    pub fn entries(&self) -> u32 {
        1 << self.log2
    }

    /// Number of events dropped since the last OVERRUN.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Tells an event, or drops it where the ring is full.
    ///
    /// # Errors
    /// The ring cannot be written.
    pub fn tell(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        notice: Notice,
    ) -> Result<Told, DmaFault> {
        let overrun = self.tell_overrun(host, function)?;
        if self.is_full() {
            return Ok(Told {
                written: overrun,
                overrun: self.miss(),
            });
        }
        self.sequence += 1;
        self.write(host, function, notice, self.sequence)?;
        Ok(Told {
            written: true,
            overrun: false,
        })
    }

    /// Drops an event. True if the ring has just overrun.
    pub fn miss(&mut self) -> bool {
        self.sequence += 1;
        self.dropped += 1;
        self.dropped == 1
    }

    /// Frees the entries before `index`. False if the index is out of range.
    pub fn free(&mut self, index: u16) -> bool {
        if index.wrapping_sub(self.consumer) > self.outstanding() {
            return false;
        }
        self.consumer = index;
        true
    }

    /// Says that events were dropped, if there were any and there is room. True if an entry was written.
    ///
    /// # Errors
    /// The ring cannot be written.
    pub fn tell_overrun(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
    ) -> Result<bool, DmaFault> {
        if self.dropped == 0 || self.is_full() {
            return Ok(false);
        }
        self.sequence += 1;
        let notice = Notice {
            value: self.dropped,
            ..Notice::new(EventKind::OVERRUN, 0, 0)
        };
        self.write(host, function, notice, self.sequence)?;
        self.dropped = 0;
        Ok(true)
    }

    fn write(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        notice: Notice,
        sequence: u64,
    ) -> Result<(), DmaFault> {
        let pass = (self.producer >> self.log2) & 1;
        let entry = self.producer & ((1 << self.log2) - 1);
        let words = Event {
            kind: notice.kind,
            object: notice.object,
            detail: notice.detail,
            flags: if pass == 0 {
                completion_flags::GENERATION
            } else {
                0
            },
            sequence,
            payload: [notice.value, 0, 0, 0, 0, 0],
        }
        .to_words();
        let address = self
            .address
            .wrapping_add(u64::from(entry) * Event::BYTES as u64);
        write_entry(host, function, address, &words)?;
        self.producer = self.producer.wrapping_add(1);
        Ok(())
    }
}

/// Writes an entry; its last word, which holds the generation bit, becomes visible last.
///
/// # Errors
/// The ring cannot be written.
pub fn write_entry(
    host: &mut dyn Host,
    function: FunctionId,
    address: u64,
    words: &[u64],
) -> Result<(), DmaFault> {
    let mut bytes = [0; 64];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    let length = bytes.len().min(words.len() * 8);
    host.dma_write(function.bus(), address, &bytes[..length])
}
