// SPDX-License-Identifier: GPL-2.0-only

//! Rules follow an action by itself that is changed.
//!
//! All of them, or none: each rule that names the action is planned anew, as far as what it does goes, and gets what that needs beside what
//! it has. Only when that is so for all is the device told, of one rule after the other, each of which does the one or the other with any
//! packet. Where the device refuses one, those before go back to what they did. Rules whose plan would ask for more than that, as
//! to stand elsewhere, to be counted in another way, or to go into a tunnel, do not follow, and the change is refused.
//!
//! The gate of the engine is closed meanwhile, so that no rule comes or goes.

use super::{
    count::Ways,
    counters::Told,
    engine::Engine,
    kept::Kept,
    kept_rule::KeptRule,
    mixed::Mixed,
    parts::{samples, Before, Parts},
    plan::{self, Tables},
    refusal::Refusal,
    request,
    store::{Presence, Store}, //
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::net::flow::{Cookie, Listeners};
use oxnic_offload::rule::check;

/// A change of an action.
pub(super) struct Change<'a> {
    pub(super) cookie: usize,
    pub(super) before: &'a Kept,
    pub(super) now: &'a Kept,
    /// Who gets copies that it makes.
    pub(super) listeners: Option<Listeners<'a>>,
}

/// A rule as it is to be.
struct Next {
    /// The device has it.
    there: bool,
    store: Arc<Store>,
    cookie: Cookie,
    rule: u32,
    kept: KBox<KeptRule>,
    parts: Parts,
    ways: Ways,
    mixed: Option<KBox<Mixed>>,
    add: KVec<u64>,
    update: KVec<u64>,
    /// Makes it what it was.
    back: KVec<u64>,
}

impl Engine {
    /// Has all rules that name an action do what it does now. The gate is held for writing.
    ///
    /// # Errors
    ///
    /// All do what they did.
    pub(super) fn follow_change(
        &self,
        device: &Arc<Device>,
        change: &Change<'_>,
    ) -> Result<(), Refusal> {
        let mut all = KVec::new();
        let told = self
            .plan_change(device, change, &mut all)
            .and_then(|()| self.tell_change(device, &all));
        if told.is_ok() {
            all.iter().for_each(|next| self.write_left(device, next));
        }
        for next in all.drain_all() {
            match &told {
                Ok(()) => self.replace(device, next),
                Err(_) => self.put_parts(device, &next.store, &next.parts, &next.parts.fresh),
            }
        }
        told
    }

    fn plan_change(
        &self,
        device: &Arc<Device>,
        change: &Change<'_>,
        all: &mut KVec<Next>,
    ) -> Result<(), Refusal> {
        for store in self.stores.lock().iter() {
            let mut named = KVec::new();
            store.inner.lock().each(|cookie, rule| {
                let extras = rule.objects.more.get();
                let names = extras.is_some_and(|extras| extras.shared.contains(&change.cookie));
                match names && !rule.stand_in {
                    true => named.push(cookie, GFP_KERNEL),
                    false => Ok(()),
                }
            })?;
            for cookie in &named {
                all.reserve(1, GFP_KERNEL)?;
                let next = self.next(device, store, *cookie, change)?;
                // There is room.
                let _ = all.push(next, GFP_KERNEL);
            }
        }
        Ok(())
    }

    /// Plans what a rule is to be.
    fn next(
        &self,
        device: &Arc<Device>,
        store: &Arc<Store>,
        cookie: Cookie,
        change: &Change<'_>,
    ) -> Result<Next, Refusal> {
        let (before, kept, ways) = {
            let mut inner = store.inner.lock();
            let stored = inner.get(cookie).ok_or(Refusal::Lost)?;
            let extras = stored.objects.more.get().ok_or(Refusal::Bound)?;
            // One that was there before the action was known.
            let kept = extras.kept.as_ref().ok_or(Refusal::Bound)?;
            let with = kept.kept.with(change.cookie, change.before, change.now)?;
            let mut before = Before {
                there: stored.presence == Presence::There,
                rule: stored.objects.rule.ok_or(Refusal::Lost)?,
                add: KVec::new(),
                counter: stored.objects.counter.clone(),
                counters: KVec::new(),
                samplers: KVec::new(),
            };
            before.add.extend_from_slice(&stored.request, GFP_KERNEL)?;
            for counter in &extras.counters {
                before.counters.push(counter.clone(), GFP_KERNEL)?;
            }
            let (actions, origins) = (kept.kept.actions()?, kept.kept.origins()?);
            let samples = samples(&actions, &origins);
            for (cookie, id) in samples.zip(&extras.samplers) {
                before.samplers.push((cookie, *id), GFP_KERNEL)?;
            }
            let kept = kept.doing(with.ok_or(Refusal::Bound)?);
            (before, KBox::new(kept, GFP_KERNEL)?, stored.ways)
        };
        let actions = kept.kept.actions()?;
        let origins = kept.kept.origins()?;
        let rule = kept.rule(&actions);
        check(&rule)?;
        let wanted = Ways::new(&actions, &origins, true).as_singly_as(ways);
        // Others of its actions would be asked for singly from then on.
        if wanted.singly() != ways.singly() {
            return Err(Refusal::Bound);
        }
        let tables = Tables {
            store,
            tunnels: &[],
            uppers: kept.kept.uppers(),
        };
        let context = plan::context(&self.caps, store, kept.skip_sw, wanted.statistics);
        let mut desk = self.desks.lend(&self.caps)?;
        let mut parts = Parts::default();
        let held = self.hold_targets(device, store, &rule);
        let planned = held.and_then(|chains| {
            parts.chains = chains;
            plan::whole(&rule, &context, &tables, &mut desk)
        });
        let made = planned.and_then(|mut planned| {
            if kept.stands_by_that && planned.upwards != kept.upwards {
                return Err(Refusal::Bound);
            }
            let upwards = planned.upwards;
            self.take_parts(
                device,
                change,
                (&rule, &origins),
                &before,
                &mut planned,
                &mut parts,
            )?;
            let mixed = match wanted.singly() {
                true => Mixed::new(&actions, &origins, |action| parts.of_action(action))?,
                false => None,
            };
            let template = parts.template.as_ref().ok_or(Refusal::Lost)?;
            let add = request::with_actions(
                &before.add,
                template.id(),
                planned.cookie,
                planned.arguments,
            )?;
            if self.is_long(&add) {
                return Err(Refusal::Long);
            }
            let update = request::update(&add)?;
            let back = request::update(&before.add)?;
            Ok((add, update, back, upwards, mixed))
        });
        self.desks.take_back(desk);
        drop(actions);
        match made {
            Ok((add, update, back, upwards, mixed)) => {
                let mut kept = kept;
                kept.upwards = upwards;
                Ok(Next {
                    there: before.there,
                    store: store.clone(),
                    cookie,
                    rule: before.rule,
                    kept,
                    parts,
                    ways: wanted,
                    mixed,
                    add,
                    update,
                    back,
                })
            }
            Err(refusal) => {
                self.put_parts(device, store, &parts, &parts.fresh);
                Err(refusal)
            }
        }
    }

    /// Tells the device of all rules that it has. Where it is being reset, it gets them as they are to be.
    fn tell_change(&self, device: &Arc<Device>, all: &[Next]) -> Result<(), Refusal> {
        if !self.is_reached() {
            return self.check(device);
        }
        match self.tell_change_now(device, all) {
            Err(Refusal::Unreached(EAGAIN)) => self.check(device),
            told => told,
        }
    }

    /// Where the device refuses one, those before do again what they did.
    fn tell_change_now(&self, device: &Arc<Device>, all: &[Next]) -> Result<(), Refusal> {
        for next in all.iter().filter(|next| next.there) {
            for counter in &next.parts.fresh {
                self.ask(device, &request::reset_counter(counter))?;
            }
        }
        for (at, next) in all.iter().enumerate().filter(|(_, next)| next.there) {
            let Err(refusal) = self.ask(device, &next.update) else {
                continue;
            };
            for done in all.iter().take(at).filter(|done| done.there) {
                // Where the device cannot be asked it is being reset, and gets them as they were.
                if let Err(refusal @ Refusal::Device { .. }) = self.ask(device, &done.back) {
                    dev_err!(device.binding(), "rule {}: {}\n", done.rule, refusal);
                }
            }
            return Err(refusal);
        }
        Ok(())
    }

    /// What the rule's counters have counted so far is of what it did: the memory says all of it, before they go or count something else.
    fn write_left(&self, device: &Arc<Device>, next: &Next) {
        if next.there && self.is_reached() {
            self.write_counters(device, &next.parts.spare);
            self.write_counters(device, &next.parts.counters);
        }
    }

    /// A rule is what it was to be; what it had for what it did is given back.
    fn replace(&self, device: &Arc<Device>, next: Next) {
        let Next {
            store,
            cookie,
            rule,
            kept,
            mut parts,
            ways,
            mut mixed,
            add,
            ..
        } = next;
        let named = kept.kept.named(|action| parts.of_action(action));
        self.shared.renew(rule, named, &parts.fresh, &self.counters);
        let mut inner = store.inner.lock();
        let Some(stored) = inner.get(cookie) else {
            return;
        };
        stored.request = add;
        stored.ways = ways;
        if let Some(mixed) = &mut mixed {
            let before = stored
                .objects
                .more
                .get_mut()
                .and_then(|extras| extras.mixed.take());
            let before = match before {
                Some(before) => KBox::into_inner(before),
                None => Mixed::before(stored.objects.counter.as_ref(), stored.told),
            };
            mixed.follow(before, &parts.fresh, &self.counters);
        }
        let own = parts.counter.as_ref().map(|own| own.id);
        if parts.fresh.iter().any(|fresh| Some(fresh.id) == own) {
            stored.told = Told::default();
        }
        core::mem::swap(&mut stored.objects.action_template, &mut parts.template);
        core::mem::swap(&mut stored.objects.counter, &mut parts.counter);
        // It has some, as it is kept there what the rule did.
        if let Some(extras) = stored.objects.more.get_mut() {
            core::mem::swap(&mut extras.counters, &mut parts.counters);
            core::mem::swap(&mut extras.meters, &mut parts.meters);
            core::mem::swap(&mut extras.samplers, &mut parts.samplers);
            core::mem::swap(&mut extras.chains, &mut parts.chains);
            extras.mixed = mixed;
            extras.kept = Some(kept);
        }
        drop(inner);
        self.put_parts(device, &store, &parts, &parts.spare);
    }
}
