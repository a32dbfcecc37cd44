// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands that make templates.

use super::{behind, list, refusal};
use crate::host::Host;
use crate::nic::Nic;
use crate::nic::command::{Answer, Outcome, ensure, field, limit, parameter, parameters};
use crate::nic::ids::FunctionId;
use oxnic_abi::command::Submission;
use oxnic_abi::flow::action::FlowAction;
use oxnic_abi::flow::template::{FlowCondition, TemplateSet};

impl Nic {
    pub(super) fn match_template_set(
        &mut self,
        host: &mut dyn Host,
        submission: &Submission,
    ) -> Outcome {
        let set = parameters!(TemplateSet, submission)?;
        let caps = self.flow.capability();
        ensure(set.count <= caps.conditions_max, limit(parameter(4)))?;
        ensure(set.options <= caps.options_max, limit(parameter(6)))?;
        let length = usize::from(set.count) * FlowCondition::BYTES;
        let options = usize::from(set.options);
        let words = self.request(host, FunctionId::PF, submission, length + options)?;
        let conditions = list!(FlowCondition, words, set.count)?;
        let masks = behind(&words, length, options)?;
        self.allocate()?;
        let done = self.flow.set_match_template(set.id, &conditions, &masks);
        done.map_err(|refused| refusal::failure(refused, length))?;
        Ok(Answer::default())
    }

    pub(super) fn action_template_set(
        &mut self,
        host: &mut dyn Host,
        submission: &Submission,
    ) -> Outcome {
        let set = parameters!(TemplateSet, submission)?;
        let caps = self.flow.capability();
        ensure(set.count <= caps.actions_max, limit(parameter(4)))?;
        ensure(set.options == 0, field(parameter(6)))?;
        let length = usize::from(set.count) * FlowAction::BYTES;
        let words = self.request(host, FunctionId::PF, submission, length)?;
        let actions = list!(FlowAction, words, set.count)?;
        behind(&words, length, 0)?;
        self.allocate()?;
        let done = self.flow.set_action_template(set.id, &actions);
        done.map_err(|refused| refusal::failure(refused, length))?;
        Ok(Answer::default())
    }
}
