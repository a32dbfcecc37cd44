// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The command that says which UDP ports carry tunnels.

use super::{check_flags, refusal};
use crate::nic::Nic;
use crate::nic::command::{Answer, Outcome, parameters};
use oxnic_abi::command::Submission;
use oxnic_abi::flow::tunnel::{TunnelPort, tunnel_flags};

impl Nic {
    pub(super) fn tunnel_port(&mut self, submission: &Submission) -> Outcome {
        let set = parameters!(TunnelPort, submission)?;
        check_flags(set.flags, tunnel_flags::ALL, 4)?;
        self.allocate()?;
        let done = self.flow.set_tunnel_port(&set);
        done.map_err(|refused| refusal::failure(refused, 0))?;
        Ok(Answer::default())
    }
}
