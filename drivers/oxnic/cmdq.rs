// SPDX-License-Identifier: GPL-2.0-only

//! The admin queue.
//!
//! Each command takes a slot; the slot's number is the command's id, and completions come in any order. A command that is not
//! answered in time leaves its slot abandoned: a late answer finds nobody and frees the slot, so it can neither be taken for
//! another command's nor touch memory that is used again. Whatever else the device may answer is a breach that the caller
//! ([`crate::device`]) answers with a reset.
//!
//! `state` is a spin lock that the interrupt handler takes; it orders submissions, doorbells and completions.

mod slots;

use crate::command::{Cause, CommandError, Reply, Request};
use kernel::{
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    sync::{Mutex, SpinLockIrq}, //
};
use oxnic_abi::{
    command::{Completion, Status, Submission, BUFFER_MAX},
    doorbell::{self, DoorbellKind},
    ring::completion_flags, //
};
use oxnic_kapi::{
    dma::{self, Ring, Words},
    mmio::Doorbells,
    pci::Binding,
    sync::{self, Semaphore}, //
};
use slots::{Answered, Breach, Slots, Standing};

/// Words of buffer that each slot has of its own; longer ones are allocated for the command.
const SLOT_WORDS: usize = 80;
/// How often a waiting command looks whether its answer has come without an interrupt, and the device is still there, in
/// milliseconds.
const PRESENCE_MS: u32 = 100;

struct State {
    slots: Slots,
    producer: u16,
    consumer: u32,
    /// Why commands are not accepted; `None` while they are.
    stopped: Option<Cause>,
}

/// How a command ended that did not succeed.
enum End {
    /// The slot can be used again.
    Free(Cause),
    /// The device may still answer.
    Abandoned(Cause),
}

impl End {
    fn cause(self) -> Cause {
        match self {
            Self::Free(cause) | Self::Abandoned(cause) => cause,
        }
    }
}

impl From<Cause> for End {
    fn from(cause: Cause) -> Self {
        Self::Free(cause)
    }
}

/// The admin queue of a function.
#[pin_data]
pub(crate) struct CommandQueue {
    submissions: Ring<8>,
    completions: Ring<4>,
    buffers: Words,
    log2: u8,
    done: KVec<Pin<KBox<sync::Completion>>>,
    #[pin]
    permits: Semaphore,
    #[pin]
    state: SpinLockIrq<State>,
    #[pin]
    stale: Mutex<KVec<Words>>,
    binding: Binding,
}

impl CommandQueue {
    /// Allocates a queue of `1 << log2` entries, stopped.
    pub(crate) fn new(binding: &Binding, log2: u8) -> Result<impl PinInit<Self, Error>> {
        let depth = 1usize << log2;
        let mut done = KVec::with_capacity(depth, GFP_KERNEL)?;
        for _ in 0..depth {
            done.push(
                KBox::pin_init(sync::Completion::new(), GFP_KERNEL)?,
                GFP_KERNEL,
            )?;
        }
        let stale = KVec::with_capacity(depth, GFP_KERNEL)?;
        let submissions = Ring::new(binding, log2)?;
        let completions = Ring::new(binding, log2)?;
        let buffers = Words::new(binding, depth * SLOT_WORDS)?;
        let binding = binding.clone();
        let state = State {
            slots: Slots::new(depth)?,
            producer: 0,
            consumer: 0,
            stopped: Some(Cause::Unavailable),
        };
        let permits = 1 << log2;
        Ok(try_pin_init!(Self {
            submissions,
            completions,
            buffers,
            log2,
            done,
            permits <- Semaphore::new(permits),
            state <- new_spinlock_irq!(state),
            stale <- new_mutex!(stale),
            binding,
        }))
    }

    /// Bus addresses of the submission and completion ring, and log2 of their entries.
    pub(crate) fn addresses(&self) -> (u64, u64, u8) {
        (
            self.submissions.address(),
            self.completions.address(),
            self.log2,
        )
    }

    /// Accepts no commands from now on, and fails those that wait.
    pub(crate) fn stop(&self, cause: Cause) {
        self.stop_locked(&mut self.state.lock(), cause);
    }

    fn stop_locked(&self, state: &mut State, cause: Cause) {
        state.stopped = Some(cause);
        state.slots.abort(|slot| self.wake(slot));
    }

    fn wake(&self, slot: usize) {
        if let Some(done) = self.done.get(slot) {
            done.complete();
        }
    }

    /// Empties the rings. The queue is stopped, and the device was reset, so that it writes nothing any more.
    pub(crate) fn rewind(&self) {
        self.stale.lock().clear();
        let mut state = self.state.lock();
        for _ in 0..state.slots.forget() {
            self.permits.release();
        }
        state.producer = 0;
        state.consumer = 0;
        self.completions.clear();
    }

    /// Accepts commands from now on; the device has accepted the rings.
    pub(crate) fn start(&self) {
        self.state.lock().stopped = None;
    }

    /// Whether commands are accepted.
    pub(crate) fn is_started(&self) -> bool {
        self.state.lock().stopped.is_none()
    }

    /// Why commands are not accepted; `None` while they are.
    pub(crate) fn stopped(&self) -> Option<Cause> {
        self.state.lock().stopped
    }

    /// Takes the completions that the device has written. May be called in any context.
    ///
    /// # Errors
    ///
    /// A [`Breach`] of the interface. What came before it was taken. While the queue is stopped there is none: who waited has been
    /// sent away, and the device is about to be reset.
    pub(crate) fn collect(&self) -> Result<(), Breach> {
        let mut state = self.state.lock();
        // At most one pass over the ring, whatever the device does meanwhile.
        for _ in 0..self.completions.entries() {
            let pass_is_odd = state.consumer >> self.log2 & 1 == 0;
            let last = self.completions.word(state.consumer, Completion::WORDS - 1);
            let generation = last >> 48 & u64::from(completion_flags::GENERATION) != 0;
            if generation != pass_is_odd {
                break;
            }
            dma::rmb();
            let completion = Completion::from_words(&self.completions.read(state.consumer));
            state.consumer = state.consumer.wrapping_add(1);
            match state.slots.settle(completion) {
                Ok(Answered::Waiter(slot)) => self.wake(slot),
                Ok(Answered::Freed) => self.permits.release(),
                Ok(Answered::Nobody) => {}
                Err(breach) if state.stopped.is_none() => return Err(breach),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Runs a command and sleeps until it is answered, at most `timeout_ms`. `present` takes answers that nobody has taken, and
    /// asks whether the device is there. Without an answer in time the queue is stopped.
    pub(crate) fn execute(
        &self,
        request: &Request<'_>,
        doorbells: &Doorbells,
        timeout_ms: u32,
        present: impl Fn() -> bool,
    ) -> Result<Reply, CommandError> {
        let failed = |cause| CommandError {
            opcode: request.opcode,
            cause,
        };
        loop {
            if let Some(cause) = self.state.lock().stopped {
                return Err(failed(cause));
            }
            // Looked at again and again, since what is stopped gives no slot back.
            if self.permits.acquire_timeout_ms(PRESENCE_MS) {
                break;
            }
        }
        let slot = self.claim().map_err(|cause| {
            self.permits.release();
            failed(cause)
        })?;
        match self.run(slot, request, doorbells, timeout_ms, present) {
            // The slot keeps the permit until the device answers or was reset.
            Err(End::Abandoned(cause)) => Err(failed(cause)),
            result => {
                self.state.lock().slots.free(slot);
                self.permits.release();
                result.map_err(|end| failed(end.cause()))
            }
        }
    }

    /// Takes a free slot, of which there is one since the caller has a permit.
    fn claim(&self) -> Result<usize, Cause> {
        let mut state = self.state.lock();
        if let Some(cause) = state.stopped {
            return Err(cause);
        }
        state.slots.claim().ok_or(Cause::Memory)
    }

    /// Runs a command in a claimed slot. The slot is the caller's to free, unless it timed out.
    fn run(
        &self,
        slot: usize,
        request: &Request<'_>,
        doorbells: &Doorbells,
        timeout_ms: u32,
        present: impl Fn() -> bool,
    ) -> Result<Reply, End> {
        let words = request.input.len().max(request.answer.div_ceil(8));
        if words * 8 > BUFFER_MAX as usize {
            return Err(Cause::Memory.into());
        }
        let large = if words > SLOT_WORDS {
            Some(Words::new(&self.binding, words).map_err(|_| Cause::Memory)?)
        } else {
            None
        };
        let (memory, base) = large
            .as_ref()
            .map_or((&self.buffers, slot * SLOT_WORDS), |large| (large, 0));
        for index in 0..words {
            memory.write(base + index, request.input.get(index).copied().unwrap_or(0));
        }
        let submission = Submission {
            opcode: request.opcode,
            id: slot as u16,
            vport: request.vport,
            function: request.function,
            buffer: if words == 0 {
                0
            } else {
                memory.address() + base as u64 * 8
            },
            buffer_length: words as u32 * 8,
            flags: 0,
            parameters: request.parameters,
        };
        self.submit(slot, &submission, doorbells)?;
        let completion = match self.wait(slot, timeout_ms, present) {
            Ok(completion) => completion,
            Err(end) => {
                if let Some(large) = large {
                    self.keep_until_reset(large);
                }
                return Err(end);
            }
        };
        if completion.status != Status::OK {
            return Err(Cause::Refused {
                status: completion.status,
                qualifier: completion.qualifier,
                offset: completion.offset,
            }
            .into());
        }
        let given = usize::from(completion.length).min(request.answer / 8);
        let mut data = KVec::with_capacity(given, GFP_KERNEL).map_err(|_| Cause::Memory)?;
        for index in 0..given {
            data.push(memory.read(base + index), GFP_KERNEL)
                .map_err(|_| Cause::Memory)?;
        }
        Ok(Reply {
            result: completion.result,
            data,
        })
    }

    fn submit(
        &self,
        slot: usize,
        submission: &Submission,
        doorbells: &Doorbells,
    ) -> Result<(), Cause> {
        self.done[slot].reinit();
        let mut state = self.state.lock();
        if let Some(cause) = state.stopped {
            return Err(cause);
        }
        state.slots.submit(slot);
        self.submissions
            .write(state.producer.into(), &submission.to_words());
        state.producer = state.producer.wrapping_add(1);
        // Under the lock, so that the device sees the index only grow.
        doorbells.ring(doorbell::encode(
            DoorbellKind::ADMIN,
            0,
            state.producer.into(),
        ));
        Ok(())
    }

    fn wait(
        &self,
        slot: usize,
        timeout_ms: u32,
        present: impl Fn() -> bool,
    ) -> Result<Completion, End> {
        let mut left = timeout_ms;
        loop {
            let slice = left.min(PRESENCE_MS);
            let answered = self.done[slot].wait_timeout_ms(slice);
            left -= slice;
            let there = answered || present();
            let mut state = self.state.lock();
            match state.slots.standing(slot) {
                Standing::Done(completion) => return Ok(completion),
                Standing::Waiting if there && left > 0 => {}
                Standing::Waiting => {
                    // A reset is due, and until then the others would wait in vain, each for as long: among them those that
                    // the reset itself needs to undo what it has begun.
                    let (cause, others) = if there {
                        (Cause::TimedOut, Cause::Unavailable)
                    } else {
                        (Cause::Gone, Cause::Gone)
                    };
                    state.slots.abandon(slot);
                    self.stop_locked(&mut state, others);
                    return Err(End::Abandoned(cause));
                }
                Standing::Aborted => {
                    return Err(End::Free(state.stopped.unwrap_or(Cause::Unavailable)))
                }
            }
        }
    }

    /// Keeps a buffer that the device may still write to. There is room for one a slot, and no slot is given out twice
    /// between two resets to commands that end this way.
    fn keep_until_reset(&self, buffer: Words) {
        if let Err(error) = self.stale.lock().push_within_capacity(buffer) {
            dev_err!(
                self.binding,
                "more commands failed than there are; a buffer is given up\n"
            );
            drop(error);
        }
    }
}
