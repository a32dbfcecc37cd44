// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about tables, and which ports are bound to them.

use super::{check_flags, refusal};
use crate::nic::Nic;
use crate::nic::command::{Answer, Outcome, ensure, field, no_object, parameter, parameters};
use crate::nic::ids::EswitchPort;
use oxnic_abi::command::Submission;
use oxnic_abi::flow::flow_set;
use oxnic_abi::flow::port::PortTable;
use oxnic_abi::flow::table::TableSet;

impl Nic {
    pub(super) fn table_set(&mut self, submission: &Submission) -> Outcome {
        let set = parameters!(TableSet, submission)?;
        check_flags(set.flags, flow_set::CREATE, 4)?;
        self.allocate()?;
        let done = self.flow.set_table(&set);
        done.map_err(|refused| refusal::failure(refused, 0))?;
        Ok(Answer::default())
    }

    pub(super) fn port_table(&mut self, submission: &Submission) -> Outcome {
        let set = parameters!(PortTable, submission)?;
        let port = self.eswitch_port(set.port.into());
        let bound = match port.ok_or(no_object(parameter(0)))? {
            EswitchPort::Wire(_) => true,
            EswitchPort::Vport(id) => !self.vport(id).function.is_pf(),
        };
        ensure(bound, field(parameter(0)))?;
        let done = self.flow.set_port_table(&set);
        done.map_err(|refused| refusal::failure(refused, 0))?;
        Ok(Answer::default())
    }
}
