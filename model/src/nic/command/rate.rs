// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about rates.

use super::{
    Answer, Failure, Outcome, ensure, field, in_buffer, limit, no_object, no_space, parameter,
    parameters, request,
};
use crate::host::Host;
use crate::nic::Nic;
use crate::nic::ids::FunctionId;
use crate::nic::rate::settings::{Fault, NODES, Name, Plan};
use oxnic_abi::command::{Qualifier, Status, Submission};
use oxnic_abi::rate::{RateConfig, RateId, RateKind, rate_fields};

/// Bytes a second in a Mbit/s.
pub(super) const MEGABIT: u64 = 125_000;

impl Nic {
    /// The leaf or node that a command names; a node need not be there.
    fn rate_name(
        &self,
        kind: RateKind,
        number: u16,
        kind_at: usize,
        number_at: usize,
    ) -> Result<Name, Failure> {
        match kind {
            RateKind::LEAF => {
                let prepared = self.vf(number).is_some_and(|vf| vf.prepared);
                ensure(prepared, no_object(number_at))?;
                Ok(Name::Leaf(number))
            }
            RateKind::NODE => {
                ensure((1..=NODES).contains(&number), limit(number_at))?;
                Ok(Name::Node(number))
            }
            _ => Err(field(kind_at)),
        }
    }

    pub(super) fn rate_set(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let config = request!(RateConfig, self, host, function, submission)?;
        let unknown = config.fields & !rate_fields::ALL;
        ensure(unknown == 0, field(in_buffer(0)))?;
        let name = self.rate_name(config.kind, config.number, in_buffer(4), in_buffer(6))?;
        let new = self.shaper.plan().get(name).is_none();
        let plan = self.rate_plan(name, &config, None)?;
        if new {
            self.allocate()?;
        }
        self.set_rates(plan);
        Ok(Answer::default())
    }

    /// The tree with a change, if it may be; with `moved`, once that VF is on that wire port.
    pub(super) fn rate_plan(
        &self,
        name: Name,
        config: &RateConfig,
        moved: Option<(u16, u8)>,
    ) -> Result<Plan, Failure> {
        let mut plan = self.shaper.plan().clone();
        let before = plan.get(name).copied().unwrap_or_default();
        plan.put(name, before.with(config));
        let has = |bit| config.fields & bit != 0;
        // The field that a promise that does not fit came with.
        let promise = match (has(rate_fields::SHARE), has(rate_fields::MAX)) {
            (true, _) => in_buffer(16),
            (_, true) => in_buffer(24),
            _ => in_buffer(8),
        };
        let conflict = |at| Failure::new(Status::EINVAL, Qualifier::CONFLICT, at);
        plan.check(name).map_err(|fault| match fault {
            Fault::Limit(offset) => limit(in_buffer(offset)),
            Fault::NoParent => no_object(in_buffer(8)),
            Fault::Loop => conflict(in_buffer(8)),
            Fault::Depth => no_space(in_buffer(8)),
            Fault::ShareOverMax | Fault::SharesOverParent => conflict(promise),
            Fault::SharesOverWire => no_space(promise),
        })?;
        let wire = self.check_promises(&plan, moved);
        wire.map_err(|_| no_space(promise))?;
        Ok(plan)
    }

    /// Whether what is promised fits the wire: of the VFs on each port, and altogether; with `moved`, once that VF is on that
    /// port. What no longer fits, as a wire has become slower, may stay as it is or become less.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn check_promises(
        &self,
        plan: &Plan,
        moved: Option<(u16, u8)>,
    ) -> Result<(), Fault> {
        let speed = |port: &crate::nic::port::WirePort| u64::from(port.speed()) * MEGABIT;
        let now = self.shaper.plan();
        for (number, port) in (0u8..).zip(&self.ports) {
            let sum = self.promised_on(number, plan, moved);
            if sum > speed(port).max(self.promised_on(number, now, None)) {
                return Err(Fault::SharesOverWire);
            }
        }
        let all: u64 = self.ports.iter().map(speed).sum();
        match plan.promised_in_all() <= all.max(now.promised_in_all()) {
            true => Ok(()),
            false => Err(Fault::SharesOverWire),
        }
    }

    /// What a plan promises to the VFs on a port; with `moved`, once that VF is on that port.
    fn promised_on(&self, number: u8, plan: &Plan, moved: Option<(u16, u8)>) -> u64 {
        let on_port = |vf: u16| match moved {
            Some((mover, port)) if mover == vf => port == number,
            _ => self.vf_vport(vf).is_some_and(|vport| vport.port == number),
        };
        let leaves = (0u16..).zip(&plan.leaves).filter(|(vf, _)| on_port(*vf));
        leaves.fold(0, |sum, (_, leaf)| sum.saturating_add(leaf.share))
    }

    pub(super) fn rate_destroy(&mut self, submission: &Submission) -> Outcome {
        let RateId { kind, number } = parameters!(RateId, submission)?;
        if kind == RateKind::EVERY {
            ensure(number == 0, field(parameter(2)))?;
            self.clear_rates();
            return Ok(Answer::default());
        }
        let mut plan = self.shaper.plan().clone();
        match self.rate_name(kind, number, parameter(0), parameter(2))? {
            Name::Leaf(vf) => plan.put(Name::Leaf(vf), Default::default()),
            Name::Node(node) => {
                ensure(plan.node(node).is_some(), no_object(parameter(2)))?;
                let busy = Failure::new(Status::EBUSY, Qualifier::REFERENCED, parameter(2));
                ensure(!plan.has_children(node), busy)?;
                if let Some(place) = plan.nodes.get_mut(usize::from(node) - 1) {
                    *place = None;
                }
            }
        }
        self.set_rates(plan);
        Ok(Answer::default())
    }

    /// Puts a tree in force that was checked.
    pub(in crate::nic) fn set_rates(&mut self, plan: Plan) {
        let now = self.now;
        for (vf, queue) in self.shaper.change(plan, now) {
            self.relist_tx(FunctionId::vf(vf), queue);
        }
    }

    /// No VF has any rate, and there are no nodes.
    pub(in crate::nic) fn clear_rates(&mut self) {
        self.set_rates(Plan::new(self.config.max_vfs));
    }
}
