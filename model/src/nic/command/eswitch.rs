// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about the eswitch's mode.

use super::{Answer, Failure, Outcome, ensure, field, parameter, parameters};
use crate::host::Host;
use crate::nic::Nic;
use oxnic_abi::command::{Qualifier, Status, Submission};
use oxnic_abi::eswitch::{EswitchConfig, EswitchInfo, EswitchMode};

impl Nic {
    pub(super) fn eswitch_set(&mut self, host: &mut dyn Host, submission: &Submission) -> Outcome {
        let EswitchConfig { mode } = parameters!(EswitchConfig, submission)?;
        ensure(EswitchMode::ALL.contains(&mode), field(parameter(0)))?;
        let leaves = mode == EswitchMode::LEGACY && self.is_switchdev();
        let busy = Failure::new(Status::EBUSY, Qualifier::STATE, parameter(0));
        let in_use = self.representors_have_queues() || self.flow_in_use();
        ensure(!leaves || !in_use, busy)?;
        if mode != self.mode {
            self.allocate()?;
            self.set_mode(host, mode);
        }
        Ok(Answer::default())
    }

    pub(super) fn eswitch_query(&self) -> Outcome {
        let info = EswitchInfo { mode: self.mode };
        Ok(Answer::buffer(&info.to_words()))
    }
}
