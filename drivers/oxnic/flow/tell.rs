// SPDX-License-Identifier: GPL-2.0-only

//! The device is told of rules, and says what came of it.

use super::{
    engine::Engine,
    refusal::Refusal,
    request,
    store::{Objects, Presence},
    ticket::Ticket, //
};
use crate::{
    command::insist,
    device::Device,
    health::{Fault, Kind}, //
};
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::{
    command::Status,
    flow::completion::FlowCompletion, //
};

impl Engine {
    /// Tells the device of a rule, if it can be reached. Where it is reset meanwhile it will be told.
    pub(super) fn tell(
        &self,
        device: &Arc<Device>,
        objects: &Objects,
        request: &[u64],
    ) -> Result<Presence, Refusal> {
        if !self.is_reached() {
            return Ok(Presence::Absent);
        }
        match self.tell_now(device, objects, request) {
            Ok(()) => Ok(Presence::There),
            Err(Refusal::Unreached(EAGAIN)) => self.check(device).map(|()| Presence::Absent),
            Err(refusal) => Err(refusal),
        }
    }

    /// Tells the device of the counter and of the rule that has it, with one doorbell; of further counters before.
    fn tell_now(
        &self,
        device: &Arc<Device>,
        objects: &Objects,
        request: &[u64],
    ) -> Result<(), Refusal> {
        for counter in objects.more.counters() {
            self.ask(device, &request::reset_counter(counter))?;
        }
        let Some(counter) = &objects.counter else {
            return self.ask(device, request);
        };
        let both = [&request::reset_counter(counter)[..], request];
        let [reset, added] = self
            .queues
            .submit(device, both)
            .map_err(Refusal::Unreached)?;
        let reset = self.result(device, reset);
        let added = self.result(device, added);
        self.both(device, request, reset, added)
    }

    /// What came of a rule and its counter. Where the device has the rule and not the counter, it is told to take the rule out.
    pub(super) fn both(
        &self,
        device: &Arc<Device>,
        request: &[u64],
        counter: Result<(), Refusal>,
        rule: Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        match (counter, rule) {
            (Ok(()), rule) => rule,
            // What the device has said counts more than that the other was not answered, and either more than that a reset came.
            (Err(Refusal::Unreached(EAGAIN)), Err(why)) => Err(why),
            (Err(why), rule) => {
                if rule.is_ok() && matches!(why, Refusal::Device { .. }) {
                    self.take_out(device, request::rule_of(request));
                }
                Err(why)
            }
        }
    }

    /// Takes a rule out of the device. One that does not do that is reset, so that no rule is in hardware that the kernel does not know.
    pub(super) fn take_out(&self, device: &Arc<Device>, rule: u32) {
        let delete = || match self.ask(device, &request::delete(rule)) {
            Err(Refusal::Device {
                status: Status::ENOENT,
                ..
            }) => Ok(()),
            deleted => deleted,
        };
        let taken = insist(delete, |refusal| matches!(refusal, Refusal::Device { .. }));
        // Where it cannot be asked it is being reset.
        if let Err(refusal @ Refusal::Device { .. }) = taken {
            dev_err!(device.binding(), "rule {} does not go: {}\n", rule, refusal);
            device.request_reset(Fault::new(Kind::NotDeleted));
            // Nobody gets the id before.
            self.queues.stop();
        }
    }

    /// Has one request carried out.
    pub(super) fn ask(&self, device: &Arc<Device>, words: &[u64]) -> Result<(), Refusal> {
        let [ticket] = self
            .queues
            .submit(device, [words])
            .map_err(Refusal::Unreached)?;
        self.result(device, ticket)
    }

    /// Waits for the result of a request.
    pub(super) fn result(&self, device: &Arc<Device>, ticket: Ticket) -> Result<(), Refusal> {
        let completion = self.queues.wait(device, ticket);
        let FlowCompletion {
            status, qualifier, ..
        } = completion.map_err(Refusal::Unreached)?;
        match status {
            Status::OK => Ok(()),
            status => Err(Refusal::Device { status, qualifier }),
        }
    }
}
