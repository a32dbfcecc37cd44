// SPDX-License-Identifier: GPL-2.0-only

//! One flow queue: requests about rules, and their results.
//!
//! Results come in the order of requests, one each, so that the result of request n is entry n of the completion ring. Whoever has put a
//! request into the ring waits for its own entry, and looks at it without a lock: a slot is used again only when the results of all
//! requests up to it were taken, and the completion ring has as many entries as there are slots, so an entry stays until then.
//! The completion queue is never armed: requests take microseconds, and whoever waits has nothing else to do. It looks for a moment
//! first, and then sleeps between looks. A result has to name its request; where it does not, the device and we do not mean the same
//! any more, and the device is reset.
//!
//! `state` is a mutex that is held to put requests into the ring and to take a result, and not while anybody waits.

use super::{
    limits::QueueSize,
    ticket::{object, Ticket}, //
};
use crate::{
    cmd,
    command::CommandError,
    device::Device,
    health::{Fault, Kind}, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
        Mutex, //
    },
};
use oxnic_abi::{
    doorbell::{self, DoorbellKind},
    flow::{completion::FlowCompletion, queue::FlowQueueCreate},
    queue::CqCreate,
    ring::completion_flags, //
};
use oxnic_kapi::{
    devlink::Message,
    dma::{self, Ring},
    time, //
};

/// Words of a slot.
pub(crate) const SLOT_WORDS: usize = 8;
/// Size of an entry of the completion ring, in bytes.
const ENTRY: u8 = 16;
/// Results that a dump shows.
const SHOWN: u32 = 8;
/// How often the result is looked for before anybody sleeps: a few microseconds, with the pauses of a CPU.
const SPINS: u32 = 100;

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
    /// How often the queue was emptied for a reset.
    epoch: u32,
}

/// A flow queue. The device has it until [`FlowQueue::destroy`] or a reset.
#[pin_data]
pub(crate) struct FlowQueue {
    slots: Ring<SLOT_WORDS>,
    results: Ring<2>,
    size: QueueSize,
    /// No requests are taken: the device was reset, or does not answer. Changes under the lock only.
    stopped: Atomic<bool>,
    /// The device may have the queue. Changes where the queue is created, emptied and destroyed, one at a time.
    created: Atomic<bool>,
    #[pin]
    state: Mutex<State>,
}

impl FlowQueue {
    /// Allocates the queue. The device does not know it yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(device: &Arc<Device>, size: QueueSize) -> Result<impl PinInit<Self, Error>> {
        let log2 = size.log2;
        let slots = Ring::new(device.binding(), log2)?;
        let results = Ring::new(device.binding(), log2)?;
        let under_way = KVec::from_elem((0, false), 1 << log2, GFP_KERNEL)?;
        let state = State {
            producer: 0,
            consumer: 0,
            next: 0,
            oldest: 0,
            under_way,
            epoch: 0,
        };
        Ok(try_pin_init!(Self {
            slots,
            results,
            size,
            stopped: Atomic::new(true),
            created: Atomic::new(false),
            state <- new_mutex!(state),
        }))
    }

    /// Makes the queue known to the device. Requests are taken from then on.
    ///
    /// # Errors
    ///
    /// The device does not have it.
    pub(crate) fn create(&self, device: &Arc<Device>) -> Result<(), CommandError> {
        let QueueSize {
            id,
            log2,
            cq,
            vector,
            slot,
        } = self.size;
        let create = CqCreate {
            id: cq,
            // It is never raised, since the queue is never armed.
            vector,
            slot,
            log2,
            entry: ENTRY,
            address: self.results.address(),
            microseconds: 0,
            frames: 0,
        };
        // Also where it does not answer.
        self.created.store(true, Relaxed);
        cmd::queue::cq_create(device, &create).inspect_err(|error| {
            self.created.store(!error.is_refusal(), Relaxed);
        })?;
        let queue = FlowQueueCreate {
            id,
            cq,
            log2,
            address: self.slots.address(),
        };
        if let Err(error) = cmd::flow::queue_create(device, &queue) {
            match cmd::queue::cq_destroy(device, cq) {
                Ok(()) => self.created.store(false, Relaxed),
                Err(error) => dev_err!(device.binding(), "flow queue: {}\n", error),
            }
            return Err(error);
        }
        let _state = self.state.lock();
        self.stopped.store(false, Relaxed);
        Ok(())
    }

    /// Empties the queue. It is stopped, and the device was reset or does not have it, so that it writes nothing any more.
    pub(crate) fn rewind(&self) {
        self.created.store(false, Relaxed);
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
        if !self.created.load(Relaxed) {
            return Ok(());
        }
        cmd::flow::queue_destroy(device, self.size.id)?;
        cmd::queue::cq_destroy(device, self.size.cq)?;
        self.created.store(false, Relaxed);
        Ok(())
    }

    /// Takes no requests any more.
    pub(crate) fn stop(&self) {
        let _state = self.state.lock();
        self.stopped.store(true, Relaxed);
    }

    /// Whether the device may have the queue.
    pub(crate) fn is_created(&self) -> bool {
        self.created.load(Relaxed)
    }

    /// How many slots the ring has.
    pub(crate) fn slots(&self) -> usize {
        1 << self.size.log2
    }

    /// Whether requests are taken.
    pub(crate) fn is_started(&self) -> bool {
        !self.stopped.load(Relaxed)
    }

    /// Says how the queue stands, and on demand what is in its rings.
    pub(super) fn tell(&self, memory: bool, message: &mut Message<'_>) -> Result {
        let (producer, consumer, next, oldest) = {
            let state = self.state.lock();
            (state.producer, state.consumer, state.next, state.oldest)
        };
        message.number(c"queue", self.size.id.into());
        message.flag(c"in_device", self.is_created());
        message.flag(c"working", self.is_started());
        message.number(c"size", self.slots.entries().into());
        message.number(c"slots_filled", producer.wrapping_sub(consumer).into());
        message.number(c"requests", next.into());
        message.number(c"under_way", next.wrapping_sub(oldest).into());
        if !memory {
            return Ok(());
        }
        message.list(c"results", |message| {
            // Some that were taken, and the one that is waited for.
            let first = oldest.wrapping_sub(SHOWN / 2);
            for number in (0..SHOWN).map(|offset| first.wrapping_add(offset)) {
                let index = number & (self.results.entries() - 1);
                let [low, high] = self.results.read(index);
                message.item(fmt!("{}: {:016x} {:016x}", index, low, high))?;
            }
            Ok(())
        })
    }

    /// Puts requests into the ring, each a number of whole slots, and rings once for all. The caller then has to wait for each of them.
    /// Sleeps while there is no room.
    ///
    /// # Errors
    ///
    /// None is in the ring. `ENODEV`: the device is gone; `EAGAIN`: it is being reset or was; `ETIMEDOUT`: there is no room;
    /// `EINVAL`: a request is no number of whole slots, or all are longer than the ring.
    pub(crate) fn submit<const N: usize>(
        &self,
        device: &Arc<Device>,
        requests: [&[u64]; N],
    ) -> Result<[Ticket; N]> {
        if let Some(tickets) = self.try_submit(device, requests)? {
            return Ok(tickets);
        }
        let timeout = device.registers.limits().command_ms;
        time::poll(timeout, || self.try_submit(device, requests))
    }

    /// Waits for the result of a request.
    ///
    /// # Errors
    ///
    /// As [`Self::submit`]; the device will be reset: `ETIMEDOUT`: it does not answer; `EPROTO`: what it answers makes no sense.
    pub(crate) fn wait(&self, device: &Arc<Device>, ticket: Ticket) -> Result<FlowCompletion> {
        let timeout = device.registers.limits().command_ms;
        let mut result = Ok(None);
        for _ in 0..SPINS {
            if self.is_done(ticket.number) {
                result = self.take(ticket).map(Some);
                break;
            }
            core::hint::spin_loop();
        }
        if let Ok(Some(completion)) = result {
            return Ok(completion);
        }
        let result = result.and_then(|_| {
            time::poll(timeout, || {
                if self.is_done(ticket.number) {
                    return self.take(ticket).map(Some);
                }
                self.check(device)?;
                (self.state.lock().epoch == ticket.epoch)
                    .then_some(None)
                    .ok_or(EAGAIN)
            })
        });
        let kind = match &result {
            Err(error) if *error == ETIMEDOUT => Kind::NoResult,
            Err(error) if *error == EPROTO => Kind::BadResult,
            _ => return result,
        };
        self.stop();
        device.request_reset(Fault::of_flow(kind, self.size.id, 0));
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

    /// Puts requests into the ring, if there is room for all of them.
    fn try_submit<const N: usize>(
        &self,
        device: &Arc<Device>,
        requests: [&[u64]; N],
    ) -> Result<Option<[Ticket; N]>> {
        self.check(device)?;
        let room = self.slots.entries();
        let mut count = 0;
        for request in requests {
            if request.is_empty() || request.len() % SLOT_WORDS != 0 {
                return Err(EINVAL);
            }
            count += request.len() / SLOT_WORDS;
        }
        let count = u32::try_from(count)?;
        if count > room {
            return Err(EINVAL);
        }
        let mut state = self.state.lock();
        if !self.is_started() {
            return Err(EAGAIN);
        }
        if room - state.producer.wrapping_sub(state.consumer) < count {
            return Ok(None);
        }
        let epoch = state.epoch;
        let tickets = requests.map(|request| {
            let number = self.put(&mut state, request);
            Ticket {
                queue: self.size.id,
                number,
                epoch,
                head: (state.producer & 0xffff) as u16,
                object: object(request),
            }
        });
        // Under the lock, so that doorbells come in order.
        let end = state.producer & 0xffff;
        let value = doorbell::encode(DoorbellKind::FLOW, self.size.id.into(), end);
        device.doorbells().ring(value);
        Ok(Some(tickets))
    }

    /// Writes a request into the ring, which has room. Answers its number.
    fn put(&self, state: &mut State, request: &[u64]) -> u32 {
        let slots = request.chunks_exact(SLOT_WORDS);
        for slot in slots.filter_map(<[u64]>::first_chunk) {
            self.slots.write(state.producer, slot);
            state.producer = state.producer.wrapping_add(1);
        }
        let number = state.next;
        state.next = number.wrapping_add(1);
        let end = state.producer;
        let at = (number & (self.slots.entries() - 1)) as usize;
        if let Some(entry) = state.under_way.get_mut(at) {
            *entry = (end, false);
        }
        number
    }

    fn is_done(&self, number: u32) -> bool {
        let pass_is_odd = number >> self.size.log2 & 1 == 0;
        let last = self.results.word(number, FlowCompletion::WORDS - 1);
        (last >> 48 & u64::from(completion_flags::GENERATION) != 0) == pass_is_odd
    }

    /// The result of a request that is done. Its slots, and those before, can be used again as far as all are done.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: the device was reset; `EPROTO`: it is the result of no such request.
    fn take(&self, ticket: Ticket) -> Result<FlowCompletion> {
        let Ticket { number, epoch, .. } = ticket;
        dma::rmb();
        let completion = FlowCompletion::from_words(&self.results.read(number));
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.epoch != epoch {
            return Err(EAGAIN);
        }
        if !ticket.is_answered_by(&completion) {
            return Err(EPROTO);
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
