// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The command that gives the device memory for counters, or takes it away.

use super::behind;
use crate::host::Host;
use crate::nic::Nic;
use crate::nic::command::{
    Answer, Failure, Outcome, ensure, field, in_buffer, limit, parameter, parameters,
};
use crate::nic::counter_memory::Page;
use crate::nic::ids::FunctionId;
use oxnic_abi::command::{Qualifier, Status, Submission};
use oxnic_abi::flow::counter::{COUNTER_PAGE, COUNTERS_IN_PAGE, CounterMemory};

impl Nic {
    pub(super) fn counter_memory_set(
        &mut self,
        host: &mut dyn Host,
        submission: &Submission,
    ) -> Outcome {
        let set = parameters!(CounterMemory, submission)?;
        let caps = self.flow.capability();
        ensure(set.first % COUNTERS_IN_PAGE == 0, field(parameter(0)))?;
        let whole = set.count != 0 && set.count % COUNTERS_IN_PAGE == 0;
        ensure(whole, field(parameter(4)))?;
        let end = set.first.checked_add(set.count);
        ensure(
            end.is_some_and(|end| end <= caps.counters),
            limit(parameter(4)),
        )?;
        ensure(set.period >= caps.counter_period_min, limit(parameter(8)))?;
        let count = (set.count / COUNTERS_IN_PAGE) as usize;
        let words = self.request(host, FunctionId::PF, submission, count * 8)?;
        behind(&words, count * 8, 0)?;
        let addresses = words.get(..count).unwrap_or_default();
        let stray = addresses
            .iter()
            .position(|address| address % u64::from(COUNTER_PAGE) != 0);
        if let Some(stray) = stray {
            return Err(field(in_buffer(stray * 8)));
        }
        self.allocate()?;
        let mut pages = Vec::with_capacity(count);
        for (index, address) in addresses.iter().enumerate() {
            let first = set.first + index as u32 * COUNTERS_IN_PAGE;
            let page = (*address != 0).then(|| Page::new(*address));
            let written =
                page.map(|page| page.fill(host, FunctionId::PF, first, &self.flow.counters));
            let fault = Failure::new(Status::EFAULT, Qualifier::DMA, in_buffer(index * 8));
            pages.push(written.transpose().map_err(|_| fault)?);
        }
        let period = u64::from(set.period) * 1_000_000;
        self.set_counter_pages(set.first, pages, period);
        Ok(Answer {
            result: [u64::from(self.uptime()), 0],
            words: Vec::new(),
        })
    }
}
