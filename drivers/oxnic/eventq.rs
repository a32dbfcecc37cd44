// SPDX-License-Identifier: GPL-2.0-only

//! The event ring: taking what the device tells of its own accord.
//!
//! One task consumes it at a time, under the mutex; the interrupt handler only looks whether there is something. Events are
//! hints, so that a lost one (by overrun, or a sequence number that jumps) is answered by asking for everything.

use crate::device::CONTROL_LOG2_MIN;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Mutex, //
    },
};
use oxnic_abi::{
    doorbell::{self, DoorbellKind},
    event::{Event, EventKind},
    ring::completion_flags, //
};
use oxnic_kapi::{
    dma::{self, Ring},
    mmio::Doorbells,
    pci::Binding, //
};

/// The event queue of a function.
#[pin_data]
pub(crate) struct EventQueue {
    /// Room for more than the device may be told of.
    ring: Ring<8>,
    default_log2: u8,
    /// Of entries that the device is told of. Changes while it knows no ring, and with `next` held.
    log2: Atomic<u32>,
    /// Free-running; written under `next`'s lock, read by the interrupt handler, for which an old value is good enough.
    consumer: Atomic<u32>,
    /// Sequence number that is due.
    #[pin]
    next: Mutex<u64>,
}

/// An event, or that some were lost.
pub(crate) enum Notice {
    /// What the device said.
    Event(Event),
    /// Something was lost before this: everything must be asked for again.
    Lost,
}

impl EventQueue {
    /// Allocates a ring of `1 << log2` entries, which can become one of up to `1 << most_log2`.
    pub(crate) fn new(
        binding: &Binding,
        log2: u8,
        most_log2: u8,
    ) -> Result<impl PinInit<Self, Error>> {
        let ring = Ring::new(binding, most_log2.max(log2))?;
        Ok(try_pin_init!(Self {
            ring,
            default_log2: log2,
            log2: Atomic::new(log2.into()),
            consumer: Atomic::new(0),
            next <- new_mutex!(1),
        }))
    }

    /// Bus address and log2 of entries.
    pub(crate) fn address(&self) -> (u64, u8) {
        (self.ring.address(), self.log2.load(Relaxed) as u8)
    }

    /// Log2 of entries where nobody has said how many.
    pub(crate) fn default_log2(&self) -> u8 {
        self.default_log2
    }

    /// The fewest and the most entries that there can be.
    pub(crate) fn sizes(&self) -> (u32, u32) {
        (1 << CONTROL_LOG2_MIN, self.ring.entries())
    }

    /// From the next handshake on there are `1 << log2` entries, as far as that is within bounds. The device knows no ring now.
    pub(crate) fn resize(&self, log2: u8) {
        let (least, most) = self.sizes();
        let log2 = u32::from(log2).clamp(least.ilog2(), most.ilog2());
        let _next = self.next.lock();
        self.log2.store(log2, Relaxed);
    }

    /// Empties the ring. The device was reset.
    pub(crate) fn rewind(&self) {
        let mut next = self.next.lock();
        self.ring.clear();
        self.consumer.store(0, Relaxed);
        *next = 1;
    }

    /// Where in the memory of the ring an entry is.
    fn place(&self, consumer: u32) -> u32 {
        consumer & ((1 << self.log2.load(Relaxed)) - 1)
    }

    fn is_new(&self, consumer: u32) -> bool {
        let pass_is_odd = consumer >> self.log2.load(Relaxed) & 1 == 0;
        let last = self.ring.word(self.place(consumer), Event::WORDS - 1);
        (last >> 48 & u64::from(completion_flags::GENERATION) != 0) == pass_is_odd
    }

    /// Whether there is something to consume. May be called in any context.
    pub(crate) fn is_pending(&self) -> bool {
        self.is_new(self.consumer.load(Relaxed))
    }

    /// Consumes what there is, at most a ringful. True if there may be more.
    pub(crate) fn consume(&self, doorbells: &Doorbells, mut take: impl FnMut(Notice)) -> bool {
        let mut next = self.next.lock();
        let mut consumer = self.consumer.load(Relaxed);
        let start = consumer;
        let most = 1 << self.log2.load(Relaxed);
        while consumer.wrapping_sub(start) < most && self.is_new(consumer) {
            dma::rmb();
            let event = Event::from_words(&self.ring.read(self.place(consumer)));
            consumer = consumer.wrapping_add(1);
            self.consumer.store(consumer, Relaxed);
            if event.sequence != *next || event.kind == EventKind::OVERRUN {
                take(Notice::Lost);
            }
            *next = event.sequence.wrapping_add(1);
            take(Notice::Event(event));
        }
        if consumer != start {
            doorbells.ring(doorbell::encode(DoorbellKind::EVENT, 0, consumer & 0xffff));
        }
        self.is_new(consumer)
    }
}
