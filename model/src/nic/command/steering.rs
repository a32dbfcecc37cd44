// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about steering rules.

use super::{
    Answer, Outcome, ensure, field, in_buffer, limit, no_object, parameter, parameters, request,
    unsupported,
};
use crate::host::Host;
use crate::nic::Nic;
use crate::nic::ids::FunctionId;
use crate::nic::steering;
use oxnic_abi::command::Submission;
use oxnic_abi::steering::{SteeringAction, SteeringId, SteeringRule, keys};

impl Nic {
    pub(super) fn steering_set(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let id = self.named_vport(function, submission)?;
        self.check_wired(id)?;
        let rule = request!(SteeringRule, self, host, function, submission)?;
        let rules = self.state(function).shares.rules;
        ensure(rule.location < rules, limit(in_buffer(0)))?;
        ensure(rule.keys & !keys::ALL == 0, unsupported(in_buffer(4)))?;
        steering::check(&rule).map_err(|bad| field(in_buffer(bad.offset)))?;
        let vport = self.vport(id);
        match rule.action {
            SteeringAction::DROP => {
                ensure(rule.queue == 0, field(in_buffer(8)))?;
                ensure(rule.context == 0, field(in_buffer(10)))?;
            }
            SteeringAction::QUEUE => {
                ensure(rule.context == 0, field(in_buffer(10)))?;
                ensure(
                    vport.rx_queues.contains(&rule.queue),
                    no_object(in_buffer(8)),
                )?;
            }
            SteeringAction::CONTEXT => {
                let context = vport.contexts.get(usize::from(rule.context));
                let there = context.is_some_and(Option::is_some);
                ensure(there, no_object(in_buffer(10)))?;
            }
            _ => return Err(field(in_buffer(6))),
        }
        self.allocate()?;
        self.vport_mut(id).rules.set(rule);
        Ok(Answer::default())
    }

    pub(super) fn steering_clear(
        &mut self,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let clear = parameters!(SteeringId, submission)?;
        let id = self.named_vport(function, submission)?;
        self.check_wired(id)?;
        let rules = self.state(function).shares.rules;
        ensure(clear.location < rules, limit(parameter(0)))?;
        ensure(
            self.vport_mut(id).rules.clear(clear.location),
            no_object(parameter(0)),
        )?;
        Ok(Answer::default())
    }
}
