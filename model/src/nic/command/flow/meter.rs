// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about meters.

use super::{check_flags, refusal};
use crate::nic::Nic;
use crate::nic::command::{Answer, Outcome, parameters};
use oxnic_abi::command::Submission;
use oxnic_abi::flow::meter::MeterSet;
use oxnic_abi::flow::{FlowId, flow_set};

impl Nic {
    pub(super) fn meter_set(&mut self, submission: &Submission) -> Outcome {
        let set = parameters!(MeterSet, submission)?;
        check_flags(set.flags, flow_set::CREATE, 4)?;
        self.allocate()?;
        let done = self.flow.set_meter(&set, self.now);
        done.map_err(|refused| refusal::failure(refused, 0))?;
        Ok(Answer::default())
    }

    pub(super) fn meter_query(&self, submission: &Submission) -> Outcome {
        let FlowId { id } = parameters!(FlowId, submission)?;
        let stats = self.flow.query_meter(id);
        let stats = stats.map_err(|refused| refusal::failure(refused, 0))?;
        Ok(Answer::buffer(&stats.to_words()))
    }
}
