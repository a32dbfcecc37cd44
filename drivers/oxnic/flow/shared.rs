// SPDX-License-Identifier: GPL-2.0-only

//! Actions that tc has by themselves (`tc actions`), and that rules name.
//!
//! A policer is one meter from the time that the action is there, whichever rules name it, so that its bucket is one and a change is
//! felt at once. Of all other kinds, each rule has what the action says among its own; a change while rules name it is refused, as
//! those rules would go on as before. The kernel asks an action that we have for what it has seen; that is what all rules have
//! counted that name it, and what those had that have gone.
//!
//! Each action keeps the engine. The kernel names an action by its address, which it does not use again before it has told us
//! that the action goes; one that we have refused, or refuse a change of, is forgotten at once, as we do not hear of that.
//!
//! `known`, a mutex, guards the list; under it counters are read, and nothing else is taken. That there is no such action, as is usual,
//! is seen without it. A new one is taken over with the gate of the engine closed, so that no rule comes meanwhile. The counters of a rule that goes
//! are read together with its deletion, so that nothing of what it has counted is lost.

use super::{
    count::{means, statistics},
    counters::{Count, Counter, Counters, Told},
    engine::Engine,
    extras::More,
    ports::Own,
    read::{self, Alone},
    refusal::Refusal,
};
use crate::device::Device;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
        Mutex, //
    },
};
use oxnic_kapi::net::flow::{Actions, Means, SharedAction, Statistics};
use oxnic_offload::rule::Police;

/// A counter of a rule that names an action.
struct Use {
    counter: Counter,
    told: Told,
}

struct Known {
    cookie: usize,
    means: Means,
    /// What a policer does, and its meter.
    police: Option<(Police, u32)>,
    /// Rules that name it.
    rules: u32,
    uses: KVec<Use>,
    /// What was counted, and the kernel has not been told.
    carried: Count,
}

/// The actions that the kernel counts as being in the device.
#[pin_data]
pub(crate) struct SharedActions {
    /// How many.
    count: Atomic<u32>,
    #[pin]
    known: Mutex<KVec<Known>>,
}

impl SharedActions {
    /// None.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            count: Atomic::new(0),
            known <- new_mutex!(KVec::new()),
        })
    }

    fn has(&self, cookie: usize) -> bool {
        self.known.lock().iter().any(|known| known.cookie == cookie)
    }

    /// A rule names these actions, and counts by this counter. Gives those that are known.
    ///
    /// # Errors
    ///
    /// There is no memory. What was entered is in `more` all the same.
    pub(crate) fn enter(
        &self,
        cookies: impl Iterator<Item = usize>,
        counter: Option<&Counter>,
        more: &mut More,
    ) -> Result<(), Refusal> {
        if self.count.load(Relaxed) == 0 {
            return Ok(());
        }
        let mut all = self.known.lock();
        for cookie in cookies {
            let Some(known) = all.iter_mut().find(|known| known.cookie == cookie) else {
                continue;
            };
            let entered = &mut more.make()?.shared;
            if entered.contains(&cookie) {
                continue;
            }
            if let Some(counter) = counter {
                let (counter, told) = (counter.clone(), Told::default());
                known.uses.reserve(1, GFP_KERNEL)?;
                entered.push(cookie, GFP_KERNEL)?;
                known.uses.push(Use { counter, told }, GFP_KERNEL)?;
            } else {
                entered.push(cookie, GFP_KERNEL)?;
            }
            known.rules += 1;
        }
        Ok(())
    }

    /// A rule does not name these actions any more. What it has counted stays theirs.
    pub(crate) fn leave(&self, cookies: &[usize], counter: Option<&Counter>, counters: &Counters) {
        if cookies.is_empty() {
            return;
        }
        let mut all = self.known.lock();
        let named = |known: &&mut Known| cookies.contains(&known.cookie);
        for known in all.iter_mut().filter(named) {
            // An action that was forgotten in between does not count rules from before.
            known.rules = known.rules.saturating_sub(1);
            let same = |used: &Use| counter.is_some_and(|counter| used.counter.id == counter.id);
            let Some(at) = known.uses.iter().position(same) else {
                continue;
            };
            if let Ok(mut used) = known.uses.remove(at) {
                used.gather(counters, &mut known.carried);
            }
        }
    }

    /// The counters of an action that is read from the device when somebody asks; of others, none.
    fn asked_for(&self, cookie: usize) -> Result<KVec<Counter>> {
        let all = self.known.lock();
        let known = all.iter().find(|known| known.cookie == cookie);
        let known = known.ok_or(ENOENT)?;
        let mut asked = KVec::new();
        if known.means == Means::Immediate {
            for used in known.uses.iter() {
                asked.push(used.counter.clone(), GFP_KERNEL)?;
            }
        }
        Ok(asked)
    }

    /// Counters are about to start from zero again.
    pub(crate) fn carry(&self, counters: &Counters) {
        for known in self.known.lock().iter_mut() {
            for used in known.uses.iter_mut() {
                let now = counters.read(&used.counter);
                used.told.rebase(now.as_ref());
            }
        }
    }
}

impl Use {
    /// Takes what its counter has seen.
    fn gather(&mut self, counters: &Counters, to: &mut Count) {
        let Some(now) = counters.read(&self.counter) else {
            return;
        };
        let seen = self.told.advance(&now);
        if seen.packets > 0 {
            to.packets = to.packets.saturating_add(seen.packets);
            to.bytes = to.bytes.saturating_add(seen.bytes);
            to.age = seen.age;
        }
    }
}

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
        let read = read::alone(actions, &Own { device: self });
        let engine = self.flow.lock().engine();
        if let Some(engine) = engine.filter(|engine| engine.shared.has(action.cookie)) {
            let changed = read.and_then(|read| engine.change_action(self, action, &read));
            if let Err(refusal) = changed {
                self.forget_action(&engine, action);
                // Without skip_sw the kernel does not tell the user.
                dev_warn!(
                    self.binding(),
                    "action {} index {}: {}\n",
                    action.id.name(),
                    action.index,
                    refusal
                );
            }
            return changed;
        }
        let read = read?;
        let engine = self.join_flow()?;
        let known = engine.know_action(self, action, &read);
        if known.is_err() {
            self.leave_flow();
        }
        known
    }

    /// Forgets an action.
    ///
    /// # Errors
    ///
    /// `ENOENT`: it is unknown.
    pub(crate) fn destroy_action(self: &Arc<Self>, action: &SharedAction) -> Result {
        let engine = self.flow.lock().engine().ok_or(ENOENT)?;
        if !engine.shared.has(action.cookie) {
            return Err(ENOENT);
        }
        self.forget_action(&engine, action);
        Ok(())
    }

    fn forget_action(self: &Arc<Self>, engine: &Arc<Engine>, action: &SharedAction) {
        {
            let _going = engine.gate.read();
            let mut all = engine.shared.known.lock();
            let same = |known: &Known| known.cookie == action.cookie;
            let Some(known) = all.iter().position(same).and_then(|at| all.remove(at).ok()) else {
                return;
            };
            engine.shared.count.store(all.len() as u32, Relaxed);
            drop(all);
            if let Some((_, meter)) = known.police {
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
        let same = |known: &&mut Known| known.cookie == action.cookie;
        let known = all.iter_mut().find(same).ok_or(ENOENT)?;
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
        read: &Alone,
    ) -> Result<(), Refusal> {
        let police = read.police;
        let mut known = Known {
            cookie: action.cookie,
            means: means(read.hw_stats),
            police: None,
            rules: 0,
            uses: KVec::new(),
            carried: Count::default(),
        };
        if action.is_bound() && police.is_none() {
            return Err(Refusal::Bound);
        }
        let _alone = self.gate.write();
        if !self.queues.is_started() {
            return Err(Refusal::Lost);
        }
        self.shared.known.lock().reserve(1, GFP_KERNEL)?;
        if let Some(police) = police {
            let meter = self.meters.get(device, action.cookie, &police)?;
            if let Err(refusal) = self.adopt(&mut known, meter) {
                self.meters.put(device, meter, true);
                return Err(refusal);
            }
            self.meters.follow(meter, true);
            known.police = Some((police, meter));
        }
        let mut all = self.shared.known.lock();
        // There is room, see above: actions come one at a time.
        let _ = all.push(known, GFP_KERNEL);
        self.shared.count.store(all.len() as u32, Relaxed);
        Ok(())
    }

    /// Finds the rules that have the meter of an action already.
    fn adopt(&self, known: &mut Known, meter: u32) -> Result<(), Refusal> {
        for store in self.stores.lock().iter() {
            for rule in store.inner.lock().rules() {
                if rule.stand_in || !rule.objects.more.meters().contains(&meter) {
                    continue;
                }
                known.uses.reserve(1, GFP_KERNEL)?;
                let shared = &mut rule.objects.more.make()?.shared;
                if !shared.contains(&known.cookie) {
                    shared.push(known.cookie, GFP_KERNEL)?;
                }
                known.rules += 1;
                if let Some(counter) = &rule.objects.counter {
                    let (counter, told) = (counter.clone(), rule.told);
                    known.uses.push(Use { counter, told }, GFP_KERNEL)?;
                }
            }
        }
        Ok(())
    }

    /// An action was changed.
    fn change_action(
        &self,
        device: &Arc<Device>,
        action: &SharedAction,
        read: &Alone,
    ) -> Result<(), Refusal> {
        let _going = self.gate.read();
        let mut all = self.shared.known.lock();
        let same = |known: &&mut Known| known.cookie == action.cookie;
        let known = all.iter_mut().find(same).ok_or(Refusal::Lost)?;
        known.means = means(read.hw_stats);
        match (&mut known.police, read.police) {
            (Some((before, meter)), Some(police)) => {
                let verdicts = |police: &Police| (police.conform, police.exceed);
                if known.rules > 0 && verdicts(before) != verdicts(&police) {
                    return Err(Refusal::Bound);
                }
                self.meters.change(device, *meter, &police)?;
                *before = police;
                Ok(())
            }
            (None, None) if known.rules == 0 => Ok(()),
            _ => Err(Refusal::Bound),
        }
    }
}
