// SPDX-License-Identifier: GPL-2.0-only

//! The flow queues of an engine: one for each CPU, as far as the device has as many.
//!
//! So requests that are made on different CPUs go to the device side by side. Those about one rule do not depend on that, since each is
//! waited for before the next one is made. All queues are started and stopped together.

use super::{
    limits,
    queue::FlowQueue,
    refusal::Refusal,
    ticket::Ticket, //
};
use crate::{command::CommandError, device::Device};
use kernel::{
    cpu::{nr_cpu_ids, CpuId},
    prelude::*,
    sync::Arc, //
};
use oxnic_abi::flow::{capability::FlowCaps, completion::FlowCompletion};
use oxnic_kapi::devlink::Message;

/// Most queues that the driver makes use of.
const QUEUES: u16 = 8;

/// The queues, at least one. The device has them until [`FlowQueues::destroy`] or a reset.
pub(crate) struct FlowQueues(KVec<Pin<KBox<FlowQueue>>>);

impl FlowQueues {
    /// Allocates queues. The device does not know them yet.
    ///
    /// # Errors
    ///
    /// There is no memory, or the device has no room for a queue.
    pub(crate) fn new(device: &Arc<Device>, caps: &FlowCaps) -> Result<Self, Refusal> {
        let cpus = u16::try_from(nr_cpu_ids()).unwrap_or(u16::MAX);
        let mut queues = KVec::new();
        for id in 0..caps.queues.min(cpus).min(QUEUES) {
            let size = match limits::queue_size(caps, device.caps(), id) {
                Ok(size) => size,
                Err(_) if id > 0 => break,
                Err(refusal) => return Err(refusal),
            };
            let queue = FlowQueue::new(device, size)
                .and_then(|queue| KBox::pin_init(queue, GFP_KERNEL))
                .map_err(|_| Refusal::Memory)?;
            queues.push(queue, GFP_KERNEL)?;
        }
        Ok(Self(queues))
    }

    /// Makes the queues known to the device. Requests are taken from then on.
    ///
    /// # Errors
    ///
    /// The device has none of them.
    pub(crate) fn create(&self, device: &Arc<Device>) -> Result<(), CommandError> {
        for (at, queue) in self.0.iter().enumerate() {
            if let Err(error) = queue.create(device) {
                for made in self.0.iter().take(at) {
                    if let Err(error) = made.destroy(device) {
                        dev_err!(device.binding(), "flow queue: {}\n", error);
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Empties the queues. They are stopped, and the device was reset, so that it writes nothing any more.
    pub(crate) fn rewind(&self) {
        self.0.iter().for_each(|queue| queue.rewind());
    }

    /// Takes the queues away from the device, which does not write to them any more then.
    ///
    /// # Errors
    ///
    /// The device may still write to them.
    pub(crate) fn destroy(&self, device: &Arc<Device>) -> Result<(), CommandError> {
        let mut result = Ok(());
        for queue in self.0.iter() {
            result = result.and(queue.destroy(device));
        }
        result
    }

    /// Whether the device has none of them.
    pub(crate) fn are_gone(&self) -> bool {
        self.0.iter().all(|queue| !queue.is_created())
    }

    /// Says how each queue stands, and on demand what is in its rings.
    pub(super) fn tell(&self, memory: bool, message: &mut Message<'_>) -> Result {
        for queue in self.0.iter() {
            message.object(|message| queue.tell(memory, message))?;
        }
        Ok(())
    }

    /// Takes no requests any more.
    pub(crate) fn stop(&self) {
        self.0.iter().for_each(|queue| queue.stop());
    }

    /// Whether requests are taken.
    pub(crate) fn is_started(&self) -> bool {
        self.0.iter().all(|queue| queue.is_started())
    }

    /// How many slots of requests fit, whichever queue they go to.
    pub(crate) fn slots(&self) -> usize {
        self.0.iter().map(|queue| queue.slots()).min().unwrap_or(0)
    }

    /// Puts requests into the queue of this CPU, see [`FlowQueue::submit`].
    ///
    /// # Errors
    ///
    /// None is in the queue; as there.
    pub(crate) fn submit<const N: usize>(
        &self,
        device: &Arc<Device>,
        requests: [&[u64]; N],
    ) -> Result<[Ticket; N]> {
        // It does not matter if the task goes to another CPU meanwhile.
        let cpu = CpuId::current().as_u32() as usize;
        let queue = self.0.get(cpu % self.0.len().max(1)).ok_or(ENODEV)?;
        queue.submit(device, requests)
    }

    /// Waits for the result of a request, see [`FlowQueue::wait`].
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn wait(&self, device: &Arc<Device>, ticket: Ticket) -> Result<FlowCompletion> {
        let queue = self.0.get(usize::from(ticket.queue())).ok_or(ENODEV)?;
        queue.wait(device, ticket)
    }
}
