// SPDX-License-Identifier: GPL-2.0-only

//! What a rule needs beside its place: templates, counters, meters, headers, names of copies, and actions that are counted for themselves.

use super::{
    count::{means, of_action, Ways},
    engine::Engine,
    extras::{Extras, Metered},
    install::{Asked, Stays},
    kept_rule::KeptRule,
    limits::Share,
    mixed::Mixed,
    place::Place,
    plan::Planned,
    read::Origin,
    refusal::Refusal,
    shared::Named,
    store::{Objects, Store}, //
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::net::flow::Samples;
use oxnic_offload::{plan::reached, rule::Action};

impl Engine {
    /// Takes an id for a rule, its templates, its counter and its meters, and writes the latter two into the arguments. What was taken
    /// is in `objects`, also where it fails.
    pub(super) fn take(
        &self,
        device: &Arc<Device>,
        asked: &Asked<'_>,
        planned: &mut Planned<'_>,
        objects: &mut Objects,
        share: Share,
    ) -> Result<(), Refusal> {
        let reached = self.is_reached() && asked.stays != Stays::Untold;
        let list = planned.conditions;
        let template =
            self.matches
                .get(device, list.words, list.count, list.options, reached, share)?;
        objects.match_template = Some(template);
        let list = planned.actions;
        let template = self
            .actions
            .get(device, list.words, list.count, 0, reached, share)?;
        objects.action_template = Some(template);
        let limit = self.rules.limit();
        let others = share.leaves(limit);
        let rule = self.rules.take_but(others).map_err(|error| Refusal::Full {
            what: "rules",
            limit: limit - others,
            error,
        })?;
        objects.rule = Some(rule);
        if let Some(at) = planned.counter {
            let counter = self.counters.take(device, reached)?;
            fill(planned.arguments, at, objects.counter.insert(counter).id)?;
        }
        for (at, _) in &planned.counters {
            let counters = &mut objects.more.make()?.counters;
            counters.reserve(1, GFP_KERNEL)?;
            let counter = self.counters.take(device, reached)?;
            fill(planned.arguments, *at, counter.id)?;
            counters.push(counter, GFP_KERNEL)?;
        }
        for (at, police) in &planned.meters {
            let same =
                |(action, _): &(&Action<'_>, &Origin<'_>)| **action == Action::Police(*police);
            let mut actions = asked.rule.actions.iter().zip(asked.origins);
            let (_, origin) = actions.find(same).ok_or(Refusal::Verdict("police"))?;
            let meters = &mut objects.more.make()?.meters;
            meters.reserve(1, GFP_KERNEL)?;
            let meter = self.meters.get(device, origin.cookie, police, reached)?;
            let verdicts = police.verdicts();
            meters.push(Metered { meter, verdicts }, GFP_KERNEL)?;
            fill(planned.arguments, *at, meter)?;
        }
        for (at, wanted) in planned.encaps.drain_all() {
            let encaps = &mut objects.more.make()?.encaps;
            encaps.reserve(1, GFP_KERNEL)?;
            let tunnel = asked.tunnels.get(wanted.tunnel as usize);
            let tunnel = tunnel.ok_or(Refusal::Lost)?;
            let (encap, port) = self.encaps.lock().get(device, wanted, tunnel, reached)?;
            encaps.push(encap, GFP_KERNEL)?;
            fill(planned.arguments, at, port.into())?;
            fill(planned.arguments, at + 4, encap)?;
        }
        self.take_samplers(device, asked, planned, objects)
    }

    /// Has actions of the rule counted for themselves that are to be. What was done is in `objects`, also where it fails.
    pub(super) fn name_actions(
        &self,
        store: &Store,
        (asked, place): (&Asked<'_>, &Place),
        planned: &Planned<'_>,
        ways: Ways,
        objects: &mut Objects,
    ) -> Result<(), Refusal> {
        let (rule, singly) = (objects.rule.ok_or(Refusal::Lost)?, ways.singly());
        let cookies = asked.origins.iter().map(|origin| origin.cookie);
        let any = self.shared.has_any(cookies);
        if !singly && !any {
            return Ok(());
        }
        if any && store.of_tc {
            let kept = KeptRule::new(
                asked.rule,
                asked.origins,
                asked.uppers,
                asked.skip_sw,
                (planned.upwards, place),
            )?;
            if let Some(kept) = kept {
                // It is not known which is newer, what the rule says or what the action was when we heard of it.
                if !self.shared.agree(&kept.kept) {
                    return Err(Refusal::Feature {
                        action: "index",
                        feature: "a change of the action meanwhile",
                    });
                }
                objects.more.make()?.kept = Some(KBox::new(kept, GFP_KERNEL)?);
            }
        }
        let reached = reached(asked.rule.actions);
        let Extras {
            counters,
            shared,
            mixed,
            ..
        } = objects.more.make()?;
        let own = objects.counter.as_ref();
        let counters_of = |action| of_action(action, reached, &planned.counters, own, counters);
        if singly {
            *mixed = Mixed::new(asked.rule.actions, asked.origins, counters_of)?;
        }
        let uses = asked
            .origins
            .iter()
            .enumerate()
            .map(|(action, origin)| Named {
                cookie: origin.cookie,
                means: means(origin.hw_stats),
                counters: counters_of(action),
            });
        self.shared.enter(rule, uses, singly, shared)
    }

    /// Takes names for copies, and writes them into the arguments.
    fn take_samplers(
        &self,
        device: &Arc<Device>,
        asked: &Asked<'_>,
        planned: &mut Planned<'_>,
        objects: &mut Objects,
    ) -> Result<(), Refusal> {
        let mut actions = asked.rule.actions.iter().zip(asked.origins);
        for (at, sample) in &planned.samplers {
            let origin = actions.find(|(action, _)| *action == sample);
            let listeners = origin.and_then(|(_, origin)| origin.listeners);
            let listeners = listeners.ok_or(Refusal::Verdict("sample"))?;
            let Action::Sample { rate, truncate, .. } = *sample else {
                continue;
            };
            let wanted = Samples {
                listeners,
                rate,
                truncate,
                egress: planned.egress,
                above: planned.above,
            };
            let samplers = &mut objects.more.make()?.samplers;
            samplers.reserve(1, GFP_KERNEL)?;
            let sampler = self.samplers.get(&device.samplers, &wanted)?;
            samplers.push(sampler, GFP_KERNEL)?;
            fill(planned.arguments, *at, sampler)?;
            // Listeners are told how long the packet was, by the copy: it comes whole, and is cut for them.
            fill(planned.arguments, at - 4, 0)?;
        }
        Ok(())
    }
}

/// Writes an id into the arguments of a rule.
pub(super) fn fill(arguments: &mut [u8], at: usize, id: u32) -> Result<(), Refusal> {
    let place = arguments.get_mut(at..at + 4).ok_or(Refusal::Long)?;
    place.copy_from_slice(&id.to_le_bytes());
    Ok(())
}
