// SPDX-License-Identifier: GPL-2.0-only

//! What a rule has for what it does, when that changes ([`super::change`]): it keeps what it can, and takes the rest beside it.

use super::{
    change::Change,
    count::{of_action, OfAction},
    counters::Counter,
    engine::Engine,
    extras::Metered,
    limits::Share,
    plan::{Counted, Planned},
    read::Origin,
    refusal::Refusal,
    store::Store,
    take::fill,
    template::Template, //
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::net::flow::Samples;
use oxnic_offload::{
    plan::reached,
    rule::{Action, Rule}, //
};

/// What a rule has for what it does.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) template: Option<Arc<Template>>,
    pub(super) counter: Option<Counter>,
    pub(super) counters: KVec<Counter>,
    /// Where in the arguments these go, and what each counts.
    pub(super) counted: KVec<(usize, Counted)>,
    /// Actions that any packet gets to.
    pub(super) reached: u64,
    /// Of the counters, those that the rule did not have before.
    pub(super) fresh: KVec<Counter>,
    /// Counters that it had, and does not need any more.
    pub(super) spare: KVec<Counter>,
    pub(super) meters: KVec<Metered>,
    pub(super) samplers: KVec<u32>,
    /// Chains that it leads to.
    pub(super) chains: KVec<u32>,
}

impl Parts {
    /// The counters of an action.
    pub(super) fn of_action(&self, action: usize) -> OfAction<'_> {
        let own = self.counter.as_ref();
        of_action(action, self.reached, &self.counted, own, &self.counters)
    }
}

/// A rule as it was.
pub(super) struct Before {
    pub(super) there: bool,
    pub(super) rule: u32,
    /// The request that has put it into the device.
    pub(super) add: KVec<u64>,
    pub(super) counter: Option<Counter>,
    pub(super) counters: KVec<Counter>,
    /// Of each sample, whose it is, and the name of its copies.
    pub(super) samplers: KVec<(usize, u32)>,
}

impl Engine {
    /// Takes what a rule needs for what it is to do. What was taken is in `parts`, also where it fails.
    pub(super) fn take_parts(
        &self,
        device: &Arc<Device>,
        change: &Change<'_>,
        (rule, origins): (&Rule<'_>, &[Origin<'_>]),
        before: &Before,
        planned: &mut Planned<'_>,
        parts: &mut Parts,
    ) -> Result<(), Refusal> {
        parts.reached = reached(rule.actions);
        let list = planned.actions;
        let template = self.actions.get(
            device,
            list.words,
            list.count,
            0,
            self.is_reached(),
            Share::Common,
        )?;
        parts.template = Some(template);
        if let Some(at) = planned.counter {
            let counter = self.same_counter(device, before.counter.as_ref(), &mut parts.fresh)?;
            fill(planned.arguments, at, parts.counter.insert(counter).id)?;
        }
        parts.counted = core::mem::take(&mut planned.counters);
        let mut others = before.counters.iter();
        for (at, _) in &parts.counted {
            parts.counters.reserve(1, GFP_KERNEL)?;
            let counter = self.same_counter(device, others.next(), &mut parts.fresh)?;
            fill(planned.arguments, *at, counter.id)?;
            parts.counters.push(counter, GFP_KERNEL)?;
        }
        let own = before.counter.iter().filter(|_| planned.counter.is_none());
        for counter in Iterator::chain(own, others) {
            parts.spare.push(counter.clone(), GFP_KERNEL)?;
        }
        for (at, police) in &planned.meters {
            let mut actions = rule.actions.iter().zip(origins);
            let (_, origin) = actions
                .find(|(action, _)| **action == Action::Police(*police))
                .ok_or(Refusal::Verdict("police"))?;
            parts.meters.reserve(1, GFP_KERNEL)?;
            let meter = self
                .meters
                .get(device, origin.cookie, police, self.is_reached())?;
            let verdicts = police.verdicts();
            parts.meters.push(Metered { meter, verdicts }, GFP_KERNEL)?;
            fill(planned.arguments, *at, meter)?;
        }
        if !planned.encaps.is_empty() {
            return Err(Refusal::Bound);
        }
        let cookies = samples(rule.actions, origins);
        for (cookie, (at, sample)) in cookies.zip(&planned.samplers) {
            let Action::Sample { rate, truncate, .. } = *sample else {
                continue;
            };
            parts.samplers.reserve(1, GFP_KERNEL)?;
            let id = match before.samplers.iter().find(|(of, _)| *of == cookie) {
                Some((_, id)) if cookie != change.cookie => self.samplers.hold(*id)?,
                _ => {
                    let wanted = Samples {
                        listeners: change.listeners.ok_or(Refusal::Bound)?,
                        rate,
                        truncate,
                        egress: planned.egress,
                        above: planned.above,
                    };
                    self.samplers.get(&device.samplers, &wanted)?
                }
            };
            parts.samplers.push(id, GFP_KERNEL)?;
            fill(planned.arguments, *at, id)?;
            // It comes whole, see the same at `install`.
            fill(planned.arguments, at - 4, 0)?;
        }
        Ok(())
    }

    /// A counter that the rule has already, or else a new one.
    fn same_counter(
        &self,
        device: &Arc<Device>,
        has: Option<&Counter>,
        fresh: &mut KVec<Counter>,
    ) -> Result<Counter, Refusal> {
        if let Some(counter) = has {
            return Ok(counter.clone());
        }
        fresh.reserve(1, GFP_KERNEL)?;
        let counter = self.counters.take(device, self.is_reached())?;
        fresh.push(counter.clone(), GFP_KERNEL)?;
        Ok(counter)
    }

    /// Gives back what a rule does not have any more, and these counters.
    pub(super) fn put_parts(
        &self,
        device: &Arc<Device>,
        store: &Store,
        parts: &Parts,
        counters: &[Counter],
    ) {
        let reached = self.is_reached();
        if let Some(template) = &parts.template {
            self.actions.put(device, template, reached);
        }
        for meter in &parts.meters {
            self.meters.put(device, meter.meter, reached);
        }
        for sampler in &parts.samplers {
            self.samplers.put(&device.samplers, *sampler);
        }
        self.release_tables(device, store, &parts.chains);
        for counter in counters {
            self.counters.give(counter);
        }
    }
}

/// The names of samples that any packet gets to.
pub(super) fn samples<'a>(
    actions: &'a [Action<'_>],
    origins: &'a [Origin<'_>],
) -> impl Iterator<Item = usize> + 'a {
    let reached = reached(actions);
    let all = actions.iter().zip(origins).enumerate();
    all.filter(move |(at, (action, _))| {
        reached >> at & 1 != 0 && matches!(action, Action::Sample { .. })
    })
    .map(|(_, (_, origin))| origin.cookie)
}
