// SPDX-License-Identifier: GPL-2.0-only

//! Actions that tc has by themselves (`tc actions`): they come, are changed, are asked about, and go. What is known of them is in
//! [`super::shared`].

use super::{
    change::Change,
    count::{means, statistics},
    counters::Count,
    engine::Engine,
    read::{self, Alone},
    refusal::Refusal,
    shared::{Known, Tally, Use}, //
};
use crate::device::Device;
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc}, //
};
use oxnic_kapi::net::flow::{Actions, Means, SharedAction, Statistics};
use oxnic_offload::rule::Police;

impl Device {
    /// Takes over an action, or a change of one.
    ///
    /// # Errors
    ///
    /// It is not in the device, or not any more.
    pub(crate) fn replace_action(
        self: &Arc<Self>,
        action: &SharedAction,
        actions: Actions<'_>,
    ) -> Result<(), Refusal> {
        let engine = self.flow.lock().engine();
        // Without an engine, no rule of the device does.
        let named = engine.is_some() && action.is_bound();
        if let Some(engine) = engine.filter(|engine| engine.shared.is_alone(action.cookie)) {
            let changed = read::with_alone(actions, self, |read| {
                engine.change_action(self, action, read)
            });
            return changed.inspect_err(|refusal| {
                // Without memory for that, packets are told twice that it alone was asked about.
                let _ = engine.single(action.cookie);
                self.forget_action(&engine, action.cookie);
                self.warn_of(action, refusal);
            });
        }
        let known = read::with_alone(actions, self, |read| {
            let engine = self.join_flow()?;
            let known = engine.know_action(self, action, read);
            known.inspect_err(|_| self.leave_flow())
        });
        known.inspect_err(|refusal| {
            // It was changed, and was not ours before.
            if named {
                self.warn_of(action, refusal);
            }
        })
    }

    /// Says that rules may not do what an action does now. Without skip_sw the kernel does not tell the user.
    fn warn_of(&self, action: &SharedAction, refusal: &Refusal) {
        dev_warn!(
            self.binding(),
            "action {} index {}: {}\n",
            action.id.name(),
            action.index,
            refusal
        );
    }

    /// Forgets an action.
    ///
    /// # Errors
    ///
    /// `ENOENT`: it is unknown.
    pub(crate) fn destroy_action(self: &Arc<Self>, action: &SharedAction) -> Result {
        let engine = self.flow.lock().engine().ok_or(ENOENT)?;
        if !engine.shared.is_alone(action.cookie) {
            return Err(ENOENT);
        }
        self.forget_action(&engine, action.cookie);
        Ok(())
    }

    /// Forgets all actions, of which we do not hear any more. The kernel has told us that they go, but not of those that were changed to
    /// something that no driver is told of by itself, as `pipe`.
    pub(crate) fn forget_actions(self: &Arc<Self>) {
        let Some(engine) = self.flow.lock().engine() else {
            return;
        };
        loop {
            let alone = {
                let all = engine.shared.known.lock();
                let mut alone = all.iter().filter(|(_, known)| known.alone);
                alone.next().map(|(cookie, _)| *cookie)
            };
            match alone {
                Some(cookie) => self.forget_action(&engine, cookie),
                None => return,
            }
        }
    }

    fn forget_action(self: &Arc<Self>, engine: &Arc<Engine>, cookie: usize) {
        {
            let _going = engine.gate.read();
            let mut all = engine.shared.known.lock();
            let Some(known) = all.get_mut(&cookie).filter(|known| known.alone) else {
                return;
            };
            let police = known.police.take();
            known.alone = false;
            // The kernel goes on to ask for rules whose actions are all counted singly.
            known.uses.retain(|used| used.singly);
            if known.uses.is_empty() {
                all.remove(&cookie);
            }
            let left = engine.shared.alone.load(Relaxed);
            engine.shared.alone.store(left.saturating_sub(1), Relaxed);
            drop(all);
            if let Some((_, meter)) = police {
                engine.meters.follow(meter, false);
                engine.meters.put(self, meter, engine.queues.is_started());
            }
        }
        self.leave_flow();
    }

    /// What an action has seen since the last time.
    ///
    /// # Errors
    ///
    /// `ENOENT`: it is unknown.
    pub(crate) fn action_stats(self: &Arc<Self>, action: &SharedAction) -> Result<Statistics> {
        let engine = self.flow.lock().engine().ok_or(ENOENT)?;
        let asked = engine.shared.asked_for(action.cookie)?;
        engine.write_counters(self, &asked);
        let mut all = engine.shared.known.lock();
        let known = all.get_mut(&action.cookie).ok_or(ENOENT)?;
        let mut seen = core::mem::take(&mut known.carried);
        for used in known.uses.iter_mut() {
            used.gather(&engine.counters, &mut seen);
        }
        if known.means == Means::Disabled {
            seen = Count::default();
        }
        Ok(statistics(&seen, known.means))
    }
}

impl Engine {
    /// A new action.
    fn know_action(
        &self,
        device: &Arc<Device>,
        action: &SharedAction,
        read: &mut Alone<'_>,
    ) -> Result<(), Refusal> {
        if action.is_bound() && read.police.is_none() {
            return Err(Refusal::Bound);
        }
        let _alone = self.gate.write();
        self.check(device)?;
        let reached = self.is_reached();
        let police = match read.police {
            // Its meter would follow, and the rules would not.
            Some(police) if !self.have_verdicts(action.cookie, &police) => {
                return Err(Refusal::Bound);
            }
            Some(police) => {
                let meter = self.meters.get(device, action.cookie, &police, reached)?;
                Some((police, meter))
            }
            None => None,
        };
        let mut new = Known::new(means(read.hw_stats));
        new.alone = true;
        new.police = police;
        new.kept = read.kept.take();
        let entered = self.enter_alone(action.cookie, new);
        if let Some((_, meter)) = police {
            match &entered {
                Ok(()) => self.meters.follow(meter, true),
                Err(_) => self.meters.put(device, meter, self.is_reached()),
            }
        }
        entered
    }

    fn enter_alone(&self, cookie: usize, mut new: Known) -> Result<(), Refusal> {
        if let Some((_, meter)) = new.police {
            new.uses = self.adopt(cookie, meter)?;
        }
        let mut all = self.shared.known.lock();
        match all.get_mut(&cookie) {
            Some(known) => {
                new.uses.reserve(known.uses.len(), GFP_KERNEL)?;
                for used in known.uses.drain_all() {
                    // There is room, see above.
                    let _ = new.uses.push(used, GFP_KERNEL);
                }
                new.carried = known.carried;
                *known = new;
            }
            None => {
                all.try_create_and_insert(cookie, new, GFP_KERNEL)
                    .map_err(|_| Refusal::Memory)?;
            }
        }
        let others = self.shared.alone.load(Relaxed);
        self.shared.alone.store(others.saturating_add(1), Relaxed);
        Ok(())
    }

    /// Whether all rules that have the meter of an action do by it what the action says.
    fn have_verdicts(&self, cookie: usize, police: &Police) -> bool {
        let Some(meter) = self.meters.of(cookie) else {
            return true;
        };
        let mut same = true;
        for store in self.stores.lock().iter() {
            for rule in store.inner.lock().rules() {
                let mut of_rule = rule.objects.more.meters().iter();
                same &= of_rule.all(|has| has.meter != meter || has.verdicts == police.verdicts());
            }
        }
        same
    }

    /// Finds the rules that have the meter of an action already. Those whose actions are all counted singly have told of it.
    fn adopt(&self, cookie: usize, meter: u32) -> Result<KVec<Use>, Refusal> {
        let mut uses = KVec::new();
        for store in self.stores.lock().iter() {
            for rule in store.inner.lock().rules() {
                let mut meters = rule.objects.more.meters().iter();
                let has = meters.any(|has| has.meter == meter);
                let (Some(id), true) = (rule.objects.rule, has) else {
                    continue;
                };
                if rule.stand_in || rule.ways.singly() {
                    continue;
                }
                let shared = &mut rule.objects.more.make()?.shared;
                if !shared.contains(&cookie) {
                    shared.push(cookie, GFP_KERNEL)?;
                }
                let used = Use {
                    rule: id,
                    taken: Tally::new(rule.objects.counter.as_ref(), rule.told),
                    dropped: Tally::default(),
                    singly: false,
                };
                uses.push(used, GFP_KERNEL)?;
            }
        }
        Ok(uses)
    }

    /// An action was changed: rules that name it do what it does now.
    fn change_action(
        &self,
        device: &Arc<Device>,
        action: &SharedAction,
        read: &mut Alone<'_>,
    ) -> Result<(), Refusal> {
        let _alone = self.gate.write();
        let (police, before, named) = {
            let mut all = self.shared.known.lock();
            let known = all.get_mut(&action.cookie);
            let known = known.filter(|known| known.alone).ok_or(Refusal::Lost)?;
            (known.police, known.kept.take(), !known.uses.is_empty())
        };
        let follows = match (&police, &read.police) {
            // What is otherwise of a policer is its meter's.
            (Some((before, _)), Some(now)) => before.verdicts() != now.verdicts(),
            (None, None) => true,
            _ => return Err(Refusal::Bound),
        };
        let change = match named && follows {
            true => Some(Change {
                cookie: action.cookie,
                before: before.as_ref().ok_or(Refusal::Bound)?,
                now: read.kept.as_ref().ok_or(Refusal::Bound)?,
                listeners: read.listeners,
            }),
            false => None,
        };
        // First, as rules that have followed cannot be told to go back by themselves.
        if let (Some((_, meter)), Some(now)) = (police, &read.police) {
            self.meters.change(device, meter, now, self.is_reached())?;
        }
        if let Some(change) = change {
            let followed = self.follow_change(device, &change);
            followed.inspect_err(|_| self.set_meter_back(device, police))?;
        }
        let mut all = self.shared.known.lock();
        if let Some(known) = all.get_mut(&action.cookie) {
            known.means = means(read.hw_stats);
            known.kept = read.kept.take();
            if let (Some((before, _)), Some(now)) = (&mut known.police, read.police) {
                *before = now;
            }
        }
        Ok(())
    }

    /// The meter of a policer is what it was before a change that rules have not followed.
    fn set_meter_back(&self, device: &Arc<Device>, police: Option<(Police, u32)>) {
        let Some((before, meter)) = police else {
            return;
        };
        let back = self
            .meters
            .change(device, meter, &before, self.is_reached());
        if let Err(refusal) = back {
            dev_err!(device.binding(), "meter {}: {}\n", meter, refusal);
        }
    }
}
