// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands that ask how full the flow engine is and what it has done.

use crate::nic::Nic;
use crate::nic::command::{Answer, Outcome, field, parameter, parameters};
use oxnic_abi::command::Submission;
use oxnic_abi::flow::info::{FlowInfo, FlowInfoGet, FlowObject};

impl Nic {
    pub(super) fn flow_info(&self, submission: &Submission) -> Outcome {
        let FlowInfoGet { kind } = parameters!(FlowInfoGet, submission)?;
        let info = match kind {
            FlowObject::QUEUE => FlowInfo {
                size: self.flow_queues.len() as u32,
                used: self.flow_queues.iter().flatten().count() as u32,
                high_water: self.flow_queues_most,
            },
            kind => {
                let usage = self.flow.usage(kind).ok_or(field(parameter(0)))?;
                FlowInfo {
                    size: usage.size,
                    used: usage.used,
                    high_water: usage.high_water,
                }
            }
        };
        Ok(Answer {
            result: info.to_words(),
            words: Vec::new(),
        })
    }

    pub(super) fn flow_stats(&self) -> Outcome {
        Ok(Answer::buffer(&self.flow.stats().to_words()))
    }
}
