// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about receive hashing.

use super::{
    Answer, Failure, Outcome, ensure, field, in_buffer, limit, no_object, parameter, parameters,
    request, unsupported,
};
use crate::host::Host;
use crate::nic::Nic;
use crate::nic::ids::FunctionId;
use crate::nic::limits;
use crate::nic::rss::Context;
use oxnic_abi::command::{Qualifier, Status, Submission};
use oxnic_abi::rss::{RssConfig, RssId, TABLE_MAX, hash_fields, hash_input, hash_types};

/// Offset of the fields left out in [`RssConfig`].
const OMIT: usize = 560;

impl Nic {
    pub(super) fn rss_set(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let id = self.named_vport(function, submission)?;
        let config = request!(RssConfig, self, host, function, submission)?;
        ensure(config.context < limits::RSS_CONTEXTS, limit(in_buffer(0)))?;
        ensure(
            config.types & !hash_types::ALL == 0,
            unsupported(in_buffer(2)),
        )?;
        ensure(
            usize::from(config.entries) <= TABLE_MAX,
            limit(in_buffer(4)),
        )?;
        ensure(config.entries.is_power_of_two(), field(in_buffer(4)))?;
        ensure(
            config.input & !hash_input::ALL == 0,
            unsupported(in_buffer(6)),
        )?;
        ensure(config.input != hash_input::ALL, field(in_buffer(6)))?;
        let with_ports =
            |n: usize| hash_types::ALL & !(hash_types::IPV4 | hash_types::IPV6) & (1 << n) != 0;
        for (n, omit) in config.omit.iter().enumerate() {
            let ports = hash_fields::SOURCE_PORT | hash_fields::DESTINATION_PORT;
            let allowed = if with_ports(n) {
                hash_fields::ALL
            } else {
                hash_fields::ALL & !ports
            };
            ensure(omit & !allowed == 0, field(in_buffer(OMIT + n)))?;
        }
        let queues = &self.vport(id).rx_queues;
        let used = config.table.iter().take(usize::from(config.entries));
        if let Some(entry) = used.clone().position(|queue| !queues.contains(queue)) {
            return Err(no_object(in_buffer(48 + 2 * entry)));
        }
        let place = usize::from(config.context);
        if self
            .vport(id)
            .contexts
            .get(place)
            .is_some_and(Option::is_none)
        {
            self.allocate()?;
        }
        if let Some(place) = self.vport_mut(id).contexts.get_mut(place) {
            *place = Some(Box::new(Context::new(config)));
        }
        Ok(Answer::default())
    }

    pub(super) fn rss_get(&self, function: FunctionId, submission: &Submission) -> Outcome {
        let get = parameters!(RssId, submission)?;
        let vport = self.vport(self.named_vport(function, submission)?);
        let context = vport
            .contexts
            .get(usize::from(get.context))
            .and_then(Option::as_ref);
        let context = context.ok_or(no_object(parameter(0)))?;
        Ok(Answer::buffer(&context.config().to_words()))
    }

    pub(super) fn rss_destroy(&mut self, function: FunctionId, submission: &Submission) -> Outcome {
        let destroy = parameters!(RssId, submission)?;
        let id = self.named_vport(function, submission)?;
        ensure(destroy.context != 0, field(parameter(0)))?;
        let vport = self.vport_mut(id);
        let referenced = vport.rules.names_context(destroy.context);
        let place = vport.contexts.get_mut(usize::from(destroy.context));
        let place = place
            .filter(|place| place.is_some())
            .ok_or(no_object(parameter(0)))?;
        ensure(
            !referenced,
            Failure::new(Status::EBUSY, Qualifier::REFERENCED, parameter(0)),
        )?;
        *place = None;
        Ok(Answer::default())
    }
}
