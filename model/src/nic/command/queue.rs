// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands that create, tune and destroy queues.

use super::{
    Answer, Failure, Outcome, ensure, field, limit, no_object, no_space, parameter, parameters,
    unsupported,
};
use crate::host::Host;
use crate::nic::Nic;
use crate::nic::cq::Cq;
use crate::nic::function::FunctionState;
use crate::nic::ids::FunctionId;
use crate::nic::limits;
use crate::nic::rx::{self, RxQueue};
use crate::nic::timers::Timer;
use crate::nic::tx::{self, TxQueue};
use oxnic_abi::command::{Qualifier, Status, Submission};
use oxnic_abi::queue::{CqCreate, CqModerate, QueueId, RxCreate, TxCreate};
use oxnic_abi::ring::RING_LOG2_MIN;

pub(super) const RING_ALIGN: u64 = 4096;
pub(super) const TX_ENTRY: u8 = 16;
const RX_ENTRY: u8 = 32;

fn exists(offset: usize) -> Failure {
    Failure::new(Status::EEXIST, Qualifier::CONFLICT, offset)
}

pub(super) fn conflict(offset: usize) -> Failure {
    Failure::new(Status::EBUSY, Qualifier::CONFLICT, offset)
}

/// The slot for a new queue of the kind.
pub(super) fn free<T>(queues: &[Option<T>], id: u16) -> Result<(), Failure> {
    match queues.get(usize::from(id)) {
        None => Err(limit(parameter(0))),
        Some(Some(_)) => Err(exists(parameter(0))),
        Some(None) => Ok(()),
    }
}

/// Whether a ring's memory can be reached: its first and last entry.
pub(super) fn try_ring(
    host: &mut dyn Host,
    function: FunctionId,
    address: u64,
    length: u64,
    offset: usize,
) -> Result<(), Failure> {
    let fault = Failure::new(Status::EFAULT, Qualifier::DMA, parameter(offset));
    let last = address.checked_add(length - 8).ok_or(fault)?;
    for place in [address, last] {
        host.dma_read(function.bus(), place, &mut [0; 8])
            .map_err(|_| fault)?;
    }
    Ok(())
}

/// Whether a queue of so many entries can use a completion ring.
fn check_cq(state: &FunctionState, cq: u16, entry: u8, entries: u32) -> Result<(), Failure> {
    let ring = state.cqs.get(usize::from(cq)).and_then(Option::as_ref);
    let ring = ring.ok_or(no_object(parameter(2)))?;
    let other_size = Failure::new(Status::EINVAL, Qualifier::CONFLICT, parameter(2));
    ensure(ring.entry == entry, other_size)?;
    ensure(
        ring.reserved + entries <= ring.size(),
        no_space(parameter(2)),
    )
}

impl Nic {
    pub(super) fn cq_create(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let create = parameters!(CqCreate, submission)?;
        let state = self.state(function);
        free(&state.cqs, create.id)?;
        ensure(
            (1..state.vector_count()).contains(&create.vector),
            field(parameter(2)),
        )?;
        ensure(create.slot <= 1, field(parameter(4)))?;
        let vector = state
            .vectors
            .get(usize::from(create.vector))
            .ok_or(field(parameter(2)))?;
        ensure(
            vector.slots[usize::from(create.slot)].is_none(),
            conflict(parameter(4)),
        )?;
        ensure(
            (RING_LOG2_MIN..=limits::CQ_LOG2_MAX).contains(&create.log2),
            limit(parameter(5)),
        )?;
        ensure(
            matches!(create.entry, TX_ENTRY | RX_ENTRY),
            field(parameter(6)),
        )?;
        ensure(create.address % RING_ALIGN == 0, field(parameter(8)))?;
        ensure(
            create.microseconds <= limits::MODERATION_MAX,
            limit(parameter(16)),
        )?;
        try_ring(
            host,
            function,
            create.address,
            u64::from(create.entry) << create.log2,
            8,
        )?;
        self.allocate()?;
        let state = self.state_mut(function);
        if let Some(vector) = state.vectors.get_mut(usize::from(create.vector)) {
            let slot = usize::from(create.slot);
            vector.slots[slot] = Some(create.id);
            vector.seen[slot] = None;
        }
        if let Some(place) = state.cqs.get_mut(usize::from(create.id)) {
            *place = Some(Cq::new(&create));
        }
        Ok(Answer::default())
    }

    pub(super) fn cq_destroy(&mut self, function: FunctionId, submission: &Submission) -> Outcome {
        let QueueId { id } = parameters!(QueueId, submission)?;
        let state = self.state_mut(function);
        let place = state
            .cqs
            .get_mut(usize::from(id))
            .ok_or(no_object(parameter(0)))?;
        let cq = place.as_ref().ok_or(no_object(parameter(0)))?;
        let referenced = Failure::new(Status::EBUSY, Qualifier::REFERENCED, parameter(0));
        ensure(cq.users == 0, referenced)?;
        let (index, slot) = (cq.vector, usize::from(cq.slot));
        *place = None;
        if let Some(vector) = state.vectors.get_mut(usize::from(index)) {
            vector.slots[slot] = None;
            if vector.slots == [None, None] {
                vector.armed = false;
                self.timers.cancel(Timer::Vector(function, index));
            }
        }
        Ok(Answer::default())
    }

    pub(super) fn cq_moderate(&mut self, function: FunctionId, submission: &Submission) -> Outcome {
        let moderate = parameters!(CqModerate, submission)?;
        let cqs = &mut self.state_mut(function).cqs;
        let cq = cqs
            .get_mut(usize::from(moderate.id))
            .and_then(Option::as_mut);
        let cq = cq.ok_or(no_object(parameter(0)))?;
        ensure(
            moderate.microseconds <= limits::MODERATION_MAX,
            limit(parameter(2)),
        )?;
        cq.microseconds = moderate.microseconds;
        cq.frames = moderate.frames;
        let vector = cq.vector;
        self.list_vector(function, vector);
        Ok(Answer::default())
    }

    pub(super) fn tx_create(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let create = parameters!(TxCreate, submission)?;
        let vport = self.named_vport(function, submission)?;
        let state = self.state(function);
        free(&state.tx, create.id)?;
        ensure(
            (RING_LOG2_MIN..=limits::TX_LOG2_MAX).contains(&create.log2),
            limit(parameter(4)),
        )?;
        ensure(create.version == 0, unsupported(parameter(5)))?;
        ensure(create.address % RING_ALIGN == 0, field(parameter(8)))?;
        check_cq(state, create.cq, TX_ENTRY, 1 << create.log2)?;
        try_ring(
            host,
            function,
            create.address,
            (tx::DESCRIPTOR as u64) << create.log2,
            8,
        )?;
        self.allocate()?;
        let state = self.state_mut(function);
        reserve(state, create.cq, create.log2);
        if let Some(place) = state.tx.get_mut(usize::from(create.id)) {
            *place = Some(TxQueue::new(&create, vport));
        }
        Ok(Answer::default())
    }

    pub(super) fn tx_destroy(&mut self, function: FunctionId, submission: &Submission) -> Outcome {
        let QueueId { id } = parameters!(QueueId, submission)?;
        let state = self.state_mut(function);
        let queue = state.tx.get_mut(usize::from(id)).and_then(Option::take);
        let queue = queue.ok_or(no_object(parameter(0)))?;
        release(state, queue.cq, queue.ring.log2());
        self.unlist_tx(function, id);
        Ok(Answer::default())
    }

    pub(super) fn rx_create(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let create = parameters!(RxCreate, submission)?;
        let vport = self.named_vport(function, submission)?;
        let state = self.state(function);
        free(&state.rx, create.id)?;
        ensure(
            (RING_LOG2_MIN..=limits::RX_LOG2_MAX).contains(&create.log2),
            limit(parameter(4)),
        )?;
        ensure(create.version == 0, unsupported(parameter(5)))?;
        let lengths = limits::RX_BUFFER_MIN..=limits::RX_BUFFER_MAX;
        ensure(lengths.contains(&create.buffer_length), limit(parameter(6)))?;
        ensure(create.address % RING_ALIGN == 0, field(parameter(8)))?;
        check_cq(state, create.cq, RX_ENTRY, 1 << create.log2)?;
        try_ring(
            host,
            function,
            create.address,
            (rx::DESCRIPTOR as u64) << create.log2,
            8,
        )?;
        self.allocate()?;
        let state = self.state_mut(function);
        reserve(state, create.cq, create.log2);
        if let Some(place) = state.rx.get_mut(usize::from(create.id)) {
            *place = Some(RxQueue::new(&create, vport));
        }
        if let Some(vport) = self.vports.get_mut(vport.index()) {
            vport.rx_queues.insert(create.id);
        }
        Ok(Answer::default())
    }

    pub(super) fn rx_destroy(&mut self, function: FunctionId, submission: &Submission) -> Outcome {
        let QueueId { id } = parameters!(QueueId, submission)?;
        let state = self.state_mut(function);
        let queue = state.rx.get_mut(usize::from(id)).and_then(Option::take);
        let queue = queue.ok_or(no_object(parameter(0)))?;
        release(state, queue.cq, queue.ring.log2());
        // Tables and rules that still name it drop what they would send there.
        if let Some(vport) = self.vports.get_mut(queue.vport.index()) {
            vport.rx_queues.remove(&id);
        }
        Ok(Answer::default())
    }
}

/// A queue of so many entries uses a completion ring from now on, which [`check_cq`] has found to have room.
fn reserve(state: &mut FunctionState, cq: u16, log2: u8) {
    if let Some(cq) = state.cqs.get_mut(usize::from(cq)).and_then(Option::as_mut) {
        cq.users += 1;
        cq.reserved += 1 << log2;
    }
}

/// A queue no longer uses its completion ring.
fn release(state: &mut FunctionState, cq: u16, log2: u8) {
    if let Some(cq) = state.cqs.get_mut(usize::from(cq)).and_then(Option::as_mut) {
        cq.users = cq.users.saturating_sub(1);
        cq.reserved = cq.reserved.saturating_sub(1 << log2);
    }
}
