// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about headers of tunnels.

use super::{behind, check_flags, refusal};
use crate::host::Host;
use crate::nic::Nic;
use crate::nic::command::{Answer, Outcome, ensure, limit, parameter, parameters};
use crate::nic::ids::FunctionId;
use oxnic_abi::command::Submission;
use oxnic_abi::flow::encap::{EncapSet, encap_flags};
use oxnic_abi::flow::flow_set;

impl Nic {
    pub(super) fn encap_set(&mut self, host: &mut dyn Host, submission: &Submission) -> Outcome {
        let set = parameters!(EncapSet, submission)?;
        check_flags(set.flags, flow_set::CREATE, 4)?;
        check_flags(set.options, encap_flags::ALL, 6)?;
        let most = self.flow.capability().encap_max;
        ensure(set.length <= most, limit(parameter(8)))?;
        let length = usize::from(set.length);
        let words = self.request(host, FunctionId::PF, submission, length)?;
        let headers = behind(&words, 0, length)?;
        self.allocate()?;
        let done = self.flow.set_encap(&set, &headers);
        done.map_err(|refused| refusal::failure(refused, 0))?;
        Ok(Answer::default())
    }
}
