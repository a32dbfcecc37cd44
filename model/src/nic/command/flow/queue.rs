// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands that create and destroy flow queues.

use crate::host::Host;
use crate::nic::Nic;
use crate::nic::command::queue::{RING_ALIGN, TX_ENTRY, conflict, free, try_ring};
use crate::nic::command::{
    Answer, Failure, Outcome, ensure, field, limit, no_object, no_space, parameter, parameters,
};
use crate::nic::flow_queue::FlowQueue;
use crate::nic::ids::FunctionId;
use oxnic_abi::command::{Qualifier, Status, Submission};
use oxnic_abi::flow::queue::{FlowQueueCreate, SLOT_BYTES};
use oxnic_abi::queue::QueueId;
use oxnic_abi::ring::RING_LOG2_MIN;

impl Nic {
    pub(super) fn flow_queue_create(
        &mut self,
        host: &mut dyn Host,
        submission: &Submission,
    ) -> Outcome {
        let create = parameters!(FlowQueueCreate, submission)?;
        free(&self.flow_queues, create.id)?;
        let deepest = self.flow.capability().queue_log2_max;
        ensure(
            (RING_LOG2_MIN..=deepest).contains(&create.log2),
            limit(parameter(4)),
        )?;
        ensure(create.address % RING_ALIGN == 0, field(parameter(8)))?;
        let state = self.state(FunctionId::PF);
        let cq = state
            .cqs
            .get(usize::from(create.cq))
            .and_then(Option::as_ref);
        let cq = cq.ok_or(no_object(parameter(2)))?;
        let other_size = Failure::new(Status::EINVAL, Qualifier::CONFLICT, parameter(2));
        ensure(cq.entry == TX_ENTRY, other_size)?;
        ensure(cq.users == 0, conflict(parameter(2)))?;
        ensure(cq.log2 >= create.log2, no_space(parameter(2)))?;
        let length = (SLOT_BYTES as u64) << create.log2;
        try_ring(host, FunctionId::PF, create.address, length, 8)?;
        self.allocate()?;
        self.reserve_flow_cq(create.cq);
        if let Some(place) = self.flow_queues.get_mut(usize::from(create.id)) {
            *place = Some(FlowQueue::new(&create));
        }
        let count = self.flow_queues.iter().flatten().count() as u32;
        self.flow_queues_most = self.flow_queues_most.max(count);
        Ok(Answer::default())
    }

    pub(super) fn flow_queue_destroy(&mut self, submission: &Submission) -> Outcome {
        let QueueId { id } = parameters!(QueueId, submission)?;
        let queue = self.flow_queues.get_mut(usize::from(id));
        let queue = queue.and_then(Option::take);
        let queue = queue.ok_or(no_object(parameter(0)))?;
        self.flow_ready.retain(|entry| *entry != id);
        let cqs = &mut self.state_mut(FunctionId::PF).cqs;
        if let Some(cq) = cqs.get_mut(usize::from(queue.cq)).and_then(Option::as_mut) {
            cq.users = 0;
            cq.reserved = 0;
        }
        Ok(Answer::default())
    }

    /// A completion ring is a flow queue's from now on, and has no room for others.
    fn reserve_flow_cq(&mut self, id: u16) {
        let cqs = &mut self.state_mut(FunctionId::PF).cqs;
        if let Some(cq) = cqs.get_mut(usize::from(id)).and_then(Option::as_mut) {
            cq.users = 1;
            cq.reserved = cq.size();
        }
    }
}
