// SPDX-License-Identifier: GPL-2.0-only

//! A flow queue: requests about rules, and their results.
//!
//! Results come in the order of requests, one each, so that the result of request n is entry n of the completion ring. Whoever has put a
//! request into the ring waits for its own entry, and looks at it without a lock: a slot is used again only when the results of all
//! requests up to it were taken, and the completion ring has as many entries as there are slots, so an entry stays until then.
//! The completion queue is never armed: requests take microseconds, and whoever waits has nothing else to do.
//!
//! `state` is a mutex that is held to put a request into the ring and to take a result, and not while anybody waits.

use crate::{cmd, command::CommandError, device::Device};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex}, //
};
use oxnic_abi::{
    doorbell::{self, DoorbellKind},
    flow::{completion::FlowCompletion, queue::FlowQueueCreate},
    queue::CqCreate,
    regs::ResetReason,
    ring::completion_flags, //
};
use oxnic_kapi::{
    dma::{self, Ring},
    time, //
};

/// Words of a slot.
pub(crate) const SLOT_WORDS: usize = 8;
/// The only flow queue.
const ID: u16 = 0;
/// Deepest queue that the driver makes use of, log2 of slots.
const LOG2: u8 = 10;
/// Size of an entry of the completion ring, in bytes.
const ENTRY: u8 = 16;
/// How often the result is looked for before anybody sleeps.
const SPINS: u32 = 2000;

/// Requests that were put into the ring, by numbers that run on.
struct State {
    /// Slots that were filled.
    producer: u32,
    /// Slots that can be filled again.
    consumer: u32,
    /// Requests that were put in.
    next: u32,
    /// The oldest one whose result was not taken.
    oldest: u32,
    /// For each request that is on its way: where its slots end, and whether its result was taken.
    under_way: KVec<(u32, bool)>,
    /// No requests are taken: the device was reset, or does not answer.
    stopped: bool,
    /// How often the queue was emptied for a reset.
    epoch: u32,
}

/// A request that was put into the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    number: u32,
    /// Requests from before a reset get no result.
    epoch: u32,
}

/// A flow queue. The device has it until [`FlowQueue::destroy`] or a reset.
#[pin_data]
pub(crate) struct FlowQueue {
    slots: Ring<SLOT_WORDS>,
    results: Ring<2>,
    log2: u8,
    cq: u16,
    #[pin]
    state: Mutex<State>,
}

impl FlowQueue {
    /// Allocates the queue. The device does not know it yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(device: &Arc<Device>, log2_max: u8) -> Result<impl PinInit<Self, Error>> {
        let caps = device.caps();
        let log2 = LOG2.min(log2_max).min(caps.cq_log2_max);
        let slots = Ring::new(device.binding(), log2)?;
        let results = Ring::new(device.binding(), log2)?;
        let under_way = KVec::from_elem((0, false), 1 << log2, GFP_KERNEL)?;
        let state = State {
            producer: 0,
            consumer: 0,
            next: 0,
            oldest: 0,
            under_way,
            stopped: true,
            epoch: 0,
        };
        // Queue pairs have the lower ones.
        let cq = 2 * caps.tx_queues.min(caps.rx_queues);
        Ok(try_pin_init!(Self {
            slots,
            results,
            log2,
            cq,
            state <- new_mutex!(state),
        }))
    }

    /// Makes the queue known to the device. Requests are taken from then on.
    ///
    /// # Errors
    ///
    /// The device does not have it.
    pub(crate) fn create(&self, device: &Arc<Device>) -> Result<(), CommandError> {
        let caps = device.caps();
        let cq = CqCreate {
            id: self.cq,
            // One that no queue pair has. It is never raised, since the queue is never armed.
            vector: caps.tx_queues.min(caps.rx_queues) + 1,
            slot: 0,
            log2: self.log2,
            entry: ENTRY,
            address: self.results.address(),
            microseconds: 0,
            frames: 0,
        };
        cmd::queue::cq_create(device, &cq)?;
        let queue = FlowQueueCreate {
            id: ID,
            cq: self.cq,
            log2: self.log2,
            address: self.slots.address(),
        };
        if let Err(error) = cmd::flow::queue_create(device, &queue) {
            if let Err(error) = cmd::queue::cq_destroy(device, self.cq) {
                dev_err!(device.binding(), "flow queue: {}\n", error);
            }
            return Err(error);
        }
        self.state.lock().stopped = false;
        Ok(())
    }

    /// Empties the queue. It is stopped, and the device was reset, so that it writes nothing any more.
    pub(crate) fn rewind(&self) {
        let mut state = self.state.lock();
        self.results.clear();
        state.producer = 0;
        state.consumer = 0;
        state.next = 0;
        state.oldest = 0;
        state.epoch = state.epoch.wrapping_add(1);
    }

    /// Takes the queue away from the device, which does not write to it any more then.
    ///
    /// # Errors
    ///
    /// The device may still write to it.
    pub(crate) fn destroy(&self, device: &Arc<Device>) -> Result<(), CommandError> {
        self.stop();
        cmd::flow::queue_destroy(device, ID)?;
        cmd::queue::cq_destroy(device, self.cq)
    }

    /// Takes no requests any more.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
    }

    /// Whether requests are taken.
    pub(crate) fn is_started(&self) -> bool {
        !self.state.lock().stopped
    }

    /// Puts a request into the ring, which is a number of whole slots, which the caller then has to wait for. Sleeps while there is no
    /// room.
    ///
    /// # Errors
    ///
    /// It is not in the ring. `ENODEV`: the device is gone; `EAGAIN`: it is being reset or was; `ETIMEDOUT`: there is no room;
    /// `EINVAL`: the request is no number of whole slots, or longer than the ring.
    pub(crate) fn submit(&self, device: &Arc<Device>, request: &[u64]) -> Result<Ticket> {
        let timeout = device.registers.limits().command_ms;
        time::poll(timeout, || self.try_submit(device, request))
    }

    /// Waits for the result of a request.
    ///
    /// # Errors
    ///
    /// As [`Self::submit`]; `ETIMEDOUT`: the device does not answer, and will be reset.
    pub(crate) fn wait(&self, device: &Arc<Device>, ticket: Ticket) -> Result<FlowCompletion> {
        let timeout = device.registers.limits().command_ms;
        for _ in 0..SPINS {
            if self.is_done(ticket.number) {
                return self.take(ticket);
            }
            core::hint::spin_loop();
        }
        let result = time::poll(timeout, || {
            if self.is_done(ticket.number) {
                return self.take(ticket).map(Some);
            }
            self.check(device)?;
            (self.state.lock().epoch == ticket.epoch)
                .then_some(None)
                .ok_or(EAGAIN)
        });
        if result.as_ref().is_err_and(|error| *error == ETIMEDOUT) {
            dev_err!(device.binding(), "flow queue: no answer in time\n");
            self.stop();
            device.request_reset(ResetReason::COMMAND_TIMEOUT);
        }
        result
    }

    /// Whether the device can answer.
    fn check(&self, device: &Arc<Device>) -> Result {
        if device.is_gone() {
            return Err(ENODEV);
        }
        if !device.commands.is_started() {
            self.stop();
        }
        if self.is_started() {
            Ok(())
        } else {
            Err(EAGAIN)
        }
    }

    /// Puts a request into the ring, if there is room.
    fn try_submit(&self, device: &Arc<Device>, request: &[u64]) -> Result<Option<Ticket>> {
        self.check(device)?;
        let room = self.slots.entries();
        let count = u32::try_from(request.len() / SLOT_WORDS)?;
        if count == 0 || count > room || request.len() % SLOT_WORDS != 0 {
            return Err(EINVAL);
        }
        let mut state = self.state.lock();
        if state.stopped {
            return Err(EAGAIN);
        }
        if room - state.producer.wrapping_sub(state.consumer) < count {
            return Ok(None);
        }
        for chunk in request
            .chunks_exact(SLOT_WORDS)
            .filter_map(<[u64]>::first_chunk)
        {
            self.slots.write(state.producer, chunk);
            state.producer = state.producer.wrapping_add(1);
        }
        let number = state.next;
        state.next = number.wrapping_add(1);
        let end = state.producer;
        if let Some(entry) = state.under_way.get_mut((number & (room - 1)) as usize) {
            *entry = (end, false);
        }
        // Under the lock, so that doorbells come in order.
        let value = doorbell::encode(DoorbellKind::FLOW, ID.into(), end & 0xffff);
        device.doorbells().ring(value);
        let epoch = state.epoch;
        Ok(Some(Ticket { number, epoch }))
    }

    fn is_done(&self, number: u32) -> bool {
        let pass_is_odd = number >> self.log2 & 1 == 0;
        let last = self.results.word(number, FlowCompletion::WORDS - 1);
        (last >> 48 & u64::from(completion_flags::GENERATION) != 0) == pass_is_odd
    }

    /// The result of a request that is done. Its slots, and those before, can be used again as far as all are done.
    fn take(&self, Ticket { number, epoch }: Ticket) -> Result<FlowCompletion> {
        dma::rmb();
        let completion = FlowCompletion::from_words(&self.results.read(number));
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.epoch != epoch {
            return Err(EAGAIN);
        }
        let mask = self.slots.entries() - 1;
        if let Some(entry) = state.under_way.get_mut((number & mask) as usize) {
            entry.1 = true;
        }
        while state.oldest != state.next {
            match state.under_way.get((state.oldest & mask) as usize) {
                Some((end, true)) => state.consumer = *end,
                _ => break,
            }
            state.oldest = state.oldest.wrapping_add(1);
        }
        Ok(completion)
    }
}
