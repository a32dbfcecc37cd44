// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Requests of flow queues: reading them, checking their shape, carrying them out, telling the results.
//!
//! Functions of [`Nic`], which owns all that is touched. Queues with work take turns of bounded length. A request is checked as a
//! whole before anything is changed; a refused one has its result like any other, and only a ring that cannot be read on stops.

use super::Nic;
use super::chaos::Fault;
use super::command::flow_reason;
use super::event::Notice;
use super::flow::{Place, Refused};
use super::flow_queue::FlowQueue;
use super::ids::FunctionId;
use super::timers::Timer;
use super::transmit::queue_reason;
use crate::host::Host;
use oxnic_abi::command::{Qualifier, Status};
use oxnic_abi::event::{EventKind, QueueError};
use oxnic_abi::flow::completion::FlowCompletion;
use oxnic_abi::flow::queue::SLOT_BYTES;
use oxnic_abi::flow::request::{FlowOp, FlowRequest, REQUEST_BODY};

/// Slots that a turn looks at; more than the longest request has.
const TURN_SLOTS: u16 = 256;
/// Turns that a poll gives.
const POLL_TURNS: usize = 8;

/// How long a queue rests whose results are made to be late, in nanoseconds.
const LATE: u64 = 1_000_000_000;

/// Offsets in [`FlowRequest`].
mod at {
    pub const SLOTS: u16 = 1;
    pub const RULE: u16 = 4;
    pub const TABLE: u16 = 8;
    pub const PRIORITY: u16 = 12;
    pub const MATCH_TEMPLATE: u16 = 16;
    pub const ACTION_TEMPLATE: u16 = 20;
    pub const COOKIE: u16 = 24;
    pub const KEY_LENGTH: u16 = 28;
    pub const ARGUMENTS_LENGTH: u16 = 30;
    pub const COUNTER: u16 = 32;
}

/// Fields that a request uses.
fn used(op: FlowOp) -> Option<&'static [u16]> {
    Some(match op {
        FlowOp::ADD => &[
            at::RULE,
            at::TABLE,
            at::PRIORITY,
            at::MATCH_TEMPLATE,
            at::ACTION_TEMPLATE,
            at::COOKIE,
            at::KEY_LENGTH,
            at::ARGUMENTS_LENGTH,
        ],
        FlowOp::UPDATE => &[
            at::RULE,
            at::ACTION_TEMPLATE,
            at::COOKIE,
            at::ARGUMENTS_LENGTH,
        ],
        FlowOp::DELETE => &[at::RULE],
        FlowOp::COUNTER => &[at::COOKIE, at::COUNTER],
        FlowOp::COUNTER_WRITE => &[at::COUNTER],
        _ => return None,
    })
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    status: Status,
    qualifier: Qualifier,
    offset: u16,
}

impl Refusal {
    fn new(status: Status, qualifier: Qualifier, offset: u16) -> Self {
        Self {
            status,
            qualifier,
            offset,
        }
    }

    fn field(offset: u16) -> Self {
        Self::new(Status::EINVAL, Qualifier::FIELD, offset)
    }

    fn reserved(offset: usize) -> Self {
        Self::new(Status::EINVAL, Qualifier::RESERVED, offset as u16)
    }

    /// From what the engine says; the arguments start at that byte of the request.
    fn from_engine(refused: Refused, arguments: usize) -> Self {
        let (status, qualifier) = flow_reason(refused.why);
        let offset = match refused.place {
            Place::Field(byte) => byte,
            Place::Key(byte) => REQUEST_BODY as u16 + byte,
            Place::Argument(byte) => arguments as u16 + byte,
            _ => at::RULE,
        };
        Self::new(status, qualifier, offset)
    }
}

/// A request with its key and arguments, whose shape is right.
struct Shaped<'a> {
    request: FlowRequest,
    key: &'a [u8],
    arguments: &'a [u8],
    /// Where the arguments start, in bytes of the request.
    start: usize,
}

/// Checks a request as far as it can be without the objects that it names.
fn shape(request: FlowRequest, bytes: &[u8]) -> Result<Shaped<'_>, Refusal> {
    let fields = [
        (at::RULE, request.rule),
        (at::TABLE, request.table),
        (at::PRIORITY, request.priority),
        (at::MATCH_TEMPLATE, request.match_template),
        (at::ACTION_TEMPLATE, request.action_template),
        (at::COOKIE, request.cookie),
        (at::KEY_LENGTH, request.key_length.into()),
        (at::ARGUMENTS_LENGTH, request.arguments_length.into()),
        (at::COUNTER, request.counter),
    ];
    let unknown = Refusal::new(Status::EOPNOTSUPP, Qualifier::OPCODE, 0);
    let used = used(request.op).ok_or(unknown)?;
    if let Some(offset) = FlowRequest::reserved_bits(&super::words(bytes)) {
        return Err(Refusal::reserved(offset));
    }
    let stray = fields
        .iter()
        .find(|(offset, value)| *value != 0 && !used.contains(offset));
    if let Some((offset, _)) = stray {
        return Err(Refusal::field(*offset));
    }
    let key_end = REQUEST_BODY + usize::from(request.key_length);
    let start = key_end.next_multiple_of(4);
    let end = start + usize::from(request.arguments_length);
    let (Some(key), Some(arguments)) = (bytes.get(REQUEST_BODY..key_end), bytes.get(start..end))
    else {
        return Err(Refusal::field(at::SLOTS));
    };
    let between = (key_end..start).chain(end..bytes.len());
    let mut stray = between.filter(|at| bytes.get(*at).is_some_and(|byte| *byte != 0));
    match stray.next() {
        Some(offset) => Err(Refusal::reserved(offset)),
        None => Ok(Shaped {
            request,
            key,
            arguments,
            start,
        }),
    }
}

impl Nic {
    fn flow_queue(&mut self, id: u16) -> Option<&mut FlowQueue> {
        self.flow_queues.get_mut(usize::from(id))?.as_mut()
    }

    /// Takes a doorbell of a flow queue; only the PF has any.
    pub(super) fn flow_doorbell(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        queue: u32,
        index: u32,
    ) {
        let id = u16::try_from(queue).ok().filter(|_| function.is_pf());
        let Some((id, flow)) = id.and_then(|id| Some((id, self.flow_queue(id)?))) else {
            return self.stray(function);
        };
        if flow.stopped {
            return;
        }
        if u16::try_from(index).is_ok_and(|index| flow.ring.ring(index)) {
            self.list_flow(id);
        } else {
            self.stop_flow(host, id, QueueError::INDEX);
        }
    }

    /// Puts a queue on the list of those that have work.
    pub(super) fn list_flow(&mut self, id: u16) {
        match self.flow_queue(id) {
            Some(queue) if !queue.listed && !queue.stopped && queue.ring.pending() != 0 => {
                queue.listed = true;
            }
            _ => return,
        }
        self.flow_ready.push_back(id);
    }

    /// Puts all queues on the list that have work.
    pub(super) fn list_flows(&mut self) {
        for id in 0..self.flow_queues.len() as u16 {
            self.list_flow(id);
        }
    }

    /// Gives turns to the queues that have work, within bounds.
    pub(super) fn run_flow(&mut self, host: &mut dyn Host) {
        for _ in 0..POLL_TURNS {
            let Some(id) = self.flow_ready.pop_front() else {
                return;
            };
            let works = self.state(FunctionId::PF).works();
            let Some(queue) = self.flow_queue(id) else {
                continue;
            };
            queue.listed = false;
            if !works || queue.stopped || self.rest_flow(id) {
                continue;
            }
            let mut slots = std::mem::take(&mut self.scratch.slots);
            let turn = self
                .read_slots(host, id, &mut slots)
                .and_then(|()| self.flow_turn(host, id, &slots));
            self.scratch.slots = slots;
            match turn {
                Ok(true) => self.list_flow(id),
                Ok(false) => {}
                Err(error) => self.stop_flow(host, id, error),
            }
        }
    }

    /// Whether a queue is to rest: it stays on the list as far as doorbells go, and has no turn until its time is over.
    fn rest_flow(&mut self, id: u16) -> bool {
        let rests = self.chaos.hit(Fault::FlowLate);
        if rests {
            let later = self.now.saturating_add(LATE);
            self.timers.set(Timer::FlowQueue(id), later);
            if let Some(queue) = self.flow_queue(id) {
                queue.listed = true;
            }
        }
        rests
    }

    /// A queue has rested.
    pub(super) fn wake_flow(&mut self, id: u16) {
        if let Some(queue) = self.flow_queue(id) {
            queue.listed = false;
        }
        self.list_flow(id);
    }

    fn read_slots(
        &mut self,
        host: &mut dyn Host,
        id: u16,
        slots: &mut Vec<u8>,
    ) -> Result<(), QueueError> {
        slots.clear();
        let Some(queue) = self.flow_queue(id) else {
            return Ok(());
        };
        let mut index = queue.ring.consumer();
        let mut left = queue.ring.pending().min(TURN_SLOTS);
        while left != 0 {
            let (address, until_wrap) = queue.ring.place(index);
            let count = left.min(until_wrap);
            let from = slots.len();
            slots.resize(from + usize::from(count) * SLOT_BYTES, 0);
            let bytes = slots.get_mut(from..).unwrap_or_default();
            host.dma_read(FunctionId::PF.bus(), address, bytes)
                .map_err(|_| QueueError::DMA)?;
            index = index.wrapping_add(count);
            left -= count;
        }
        Ok(())
    }

    /// Carries requests out. True if there may be more to do.
    fn flow_turn(
        &mut self,
        host: &mut dyn Host,
        id: u16,
        slots: &[u8],
    ) -> Result<bool, QueueError> {
        let most = self.flow.capability().request_slots_max;
        let mut rest = slots;
        while !rest.is_empty() {
            let request = FlowRequest::from_words(&super::words(rest));
            if request.slots == 0 || request.slots > most {
                return Err(QueueError::DESCRIPTOR);
            }
            let length = usize::from(request.slots) * SLOT_BYTES;
            let Some((bytes, following)) = rest.split_at_checked(length) else {
                // Its end was not read yet, or it was not announced.
                let pending = self.flow_queue(id).map_or(0, |queue| queue.ring.pending());
                return Ok(usize::from(pending) * SLOT_BYTES > rest.len());
            };
            rest = following;
            let outcome = self.carry_out(host, request, bytes);
            self.answer_request(host, id, &request, outcome)?;
        }
        Ok(true)
    }

    fn carry_out(
        &mut self,
        host: &mut dyn Host,
        request: FlowRequest,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let shaped = shape(request, bytes)?;
        let Shaped { key, arguments, .. } = shaped;
        let request = &shaped.request;
        let fails = request.op == FlowOp::UPDATE && self.chaos.hit(Fault::FailUpdate);
        if self.chaos.hit(Fault::FailRequest) || fails {
            let status = self.chaos.status();
            return Err(Refusal::new(status, Qualifier::INJECTED, 0));
        }
        if request.op == FlowOp::ADD && self.allocate().is_err() {
            return Err(Refusal::new(Status::ENOSPC, Qualifier::INJECTED, 0));
        }
        let done = match request.op {
            FlowOp::ADD => self.flow.add_rule(request, key, arguments),
            FlowOp::UPDATE => self.flow.update_rule(request, arguments),
            FlowOp::DELETE => self.flow.delete_rule(request.rule),
            FlowOp::COUNTER_WRITE => return self.show_counter(host, request.counter),
            _ => return self.reset_counter(request),
        };
        done.map_err(|refused| Refusal::from_engine(refused, shaped.start))
    }

    fn reset_counter(&mut self, request: &FlowRequest) -> Result<(), Refusal> {
        let done = self.flow.reset_counter(request.counter, request.cookie);
        done.map_err(|refused| Refusal {
            offset: at::COUNTER,
            ..Refusal::from_engine(refused, 0)
        })
    }

    fn show_counter(&mut self, host: &mut dyn Host, counter: u32) -> Result<(), Refusal> {
        let refusal = |status, qualifier| Refusal::new(status, qualifier, at::COUNTER);
        let named = self.flow.counters.named(counter, Place::Object);
        named.map_err(|refused| Refusal {
            offset: at::COUNTER,
            ..Refusal::from_engine(refused, 0)
        })?;
        match self.write_counter(host, counter) {
            Ok(true) => Ok(()),
            Ok(false) => Err(refusal(Status::EINVAL, Qualifier::STATE)),
            Err(_) => Err(refusal(Status::EFAULT, Qualifier::DMA)),
        }
    }

    /// Moves the consumer on and writes the result.
    fn answer_request(
        &mut self,
        host: &mut dyn Host,
        id: u16,
        request: &FlowRequest,
        outcome: Result<(), Refusal>,
    ) -> Result<(), QueueError> {
        let now = self.now;
        let Some(queue) = self.flow_queue(id) else {
            return Ok(());
        };
        queue.ring.take(request.slots.into());
        queue.done += 1;
        queue.refused += u64::from(outcome.is_err());
        let (head, cq) = (queue.ring.consumer(), queue.cq);
        let ok = Refusal::new(Status::OK, Qualifier::NONE, 0);
        let refusal = outcome.err().unwrap_or(ok);
        let entry = FlowCompletion {
            object: match request.op {
                FlowOp::COUNTER | FlowOp::COUNTER_WRITE => request.counter,
                _ => request.rule,
            },
            qualifier: refusal.qualifier,
            offset: refusal.offset,
            head,
            status: refusal.status,
            queue: id,
            flags: 0,
        };
        let mut words = entry.to_words();
        let copies = self.chaos.flow_entries(&mut words);
        let state = self.state_mut(FunctionId::PF);
        let Some(cq) = state.cqs.get_mut(usize::from(cq)).and_then(Option::as_mut) else {
            return Ok(());
        };
        for _ in 0..copies {
            cq.put(host, FunctionId::PF, &mut words.clone(), now)
                .map_err(|_| QueueError::DMA)?;
        }
        let vector = cq.vector;
        self.list_vector(FunctionId::PF, vector);
        Ok(())
    }

    /// Stops a flow queue after an error.
    fn stop_flow(&mut self, host: &mut dyn Host, id: u16, error: QueueError) {
        let Some(queue) = self.flow_queue(id) else {
            return;
        };
        queue.stopped = true;
        log::warn!("flow queue {id} stopped: {}", error.text());
        self.note(host, FunctionId::PF, 2, queue_reason(error));
        let notice = Notice::new(EventKind::FLOW_ERROR, id, error.0);
        self.tell(host, FunctionId::PF, notice);
    }
}
