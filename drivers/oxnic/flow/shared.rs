// SPDX-License-Identifier: GPL-2.0-only

//! Actions that are counted for themselves: those that tc has by themselves (`tc actions`), which rules name, and those of rules whose
//! actions do not all get the same packets.
//!
//! A policer is one meter from the time that the action is there, whichever rules name it, so that its bucket is one and a change is
//! felt at once. Of all other kinds, and of a policer's verdicts, each rule has what the action says among its own; when the action is
//! changed, so are all of them ([`super::change`]). Where that cannot be the change is refused, and they go on as before. The kernel asks about an action for what it has seen; that is what all rules have
//! counted for it, and what those had that have gone. The counters of a rule that goes are read together with its deletion, so that
//! nothing of what it has counted is lost.
//!
//! Each action that the kernel has told us of keeps the engine. The kernel names an action by its address, which it does not use again
//! before it has told us that the action goes, or before all rules with it have gone; one that we have refused, or refuse a change of, is
//! forgotten at once, as we do not hear of that.
//!
//! `known`, a mutex, guards them; under it counters are read, and nothing else is taken. That there is no action by itself, as is usual,
//! is seen without it. A new one is taken over with the gate of the engine closed, so that no rule comes meanwhile.

use super::{
    change::Change,
    count::{means, statistics},
    counters::{Count, Counter, Counters, Told},
    engine::Engine,
    kept::Kept,
    read::{self, Alone},
    refusal::Refusal,
};
use crate::device::Device;
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::RBTree,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
        Mutex, //
    },
};
use oxnic_kapi::net::flow::{Actions, Means, SharedAction, Statistics};
use oxnic_offload::rule::Police;

/// An action of a rule.
pub(crate) struct Named<'a> {
    pub(crate) cookie: usize,
    /// How the rule wants it counted.
    pub(crate) means: Means,
    /// The counter of what it gets; none where it gets nothing, or that is not counted.
    pub(crate) counter: Option<&'a Counter>,
}

/// An action of a rule that is counted for itself.
struct Use {
    /// The rule, by its id in the device.
    rule: u32,
    counter: Option<Counter>,
    told: Told,
    /// So are all actions of the rule.
    singly: bool,
}

struct Known {
    means: Means,
    /// The kernel has told us of the action by itself.
    alone: bool,
    /// What a policer does, and its meter.
    police: Option<(Police, u32)>,
    /// What it does, if that is known and can be kept.
    kept: Option<Kept>,
    uses: KVec<Use>,
    /// What was counted, and the kernel has not been told.
    carried: Count,
}

impl Known {
    fn new(means: Means) -> Self {
        Self {
            means,
            alone: false,
            police: None,
            kept: None,
            uses: KVec::new(),
            carried: Count::default(),
        }
    }
}

/// The actions that are counted for themselves, by the kernel's names.
#[pin_data]
pub(crate) struct SharedActions {
    /// How many are there by themselves.
    alone: Atomic<u32>,
    #[pin]
    known: Mutex<RBTree<usize, Known>>,
}

impl SharedActions {
    /// None.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            alone: Atomic::new(0),
            known <- new_mutex!(RBTree::new()),
        })
    }

    fn is_alone(&self, cookie: usize) -> bool {
        let known = self.known.lock();
        known.get(&cookie).is_some_and(|known| known.alone)
    }

    /// Whether one of these is there by itself.
    pub(crate) fn has_any(&self, mut cookies: impl Iterator<Item = usize>) -> bool {
        self.alone.load(Relaxed) > 0 && cookies.any(|cookie| self.is_alone(cookie))
    }

    /// Counts the actions of a rule for themselves: all of them with `singly`, else those that are there by themselves. Gives their names.
    ///
    /// # Errors
    ///
    /// There is no memory. What was entered is in `entered` all the same.
    pub(crate) fn enter<'a>(
        &self,
        rule: u32,
        actions: impl Iterator<Item = Named<'a>>,
        singly: bool,
        entered: &mut KVec<usize>,
    ) -> Result<(), Refusal> {
        let mut all = self.known.lock();
        for action in actions {
            let cookie = action.cookie;
            if entered.contains(&cookie) {
                continue;
            }
            entered.reserve(1, GFP_KERNEL)?;
            let used = Use {
                rule,
                counter: action.counter.cloned(),
                told: Told::default(),
                singly,
            };
            match all.get_mut(&cookie) {
                Some(known) if singly || known.alone => known.uses.push(used, GFP_KERNEL)?,
                None if singly => {
                    let mut known = Known::new(action.means);
                    known.uses.push(used, GFP_KERNEL)?;
                    all.try_create_and_insert(cookie, known, GFP_KERNEL)
                        .map_err(|_| Refusal::Memory)?;
                }
                _ => continue,
            }
            // There is room, see above.
            let _ = entered.push(cookie, GFP_KERNEL);
        }
        Ok(())
    }

    /// A rule does not have these actions any more. What it has counted stays theirs.
    pub(crate) fn leave(&self, cookies: &[usize], rule: u32, counters: &Counters) {
        if cookies.is_empty() {
            return;
        }
        let mut all = self.known.lock();
        for cookie in cookies {
            let Some(known) = all.get_mut(cookie) else {
                continue;
            };
            let at = known.uses.iter().position(|used| used.rule == rule);
            if let Some(Ok(mut used)) = at.map(|at| known.uses.remove(at)) {
                used.gather(counters, &mut known.carried);
            }
            if !known.alone && known.uses.is_empty() {
                all.remove(cookie);
            }
        }
    }

    /// The actions of a rule, which are counted for themselves, have other counters from now on. Those of `fresh` start from zero; what the
    /// others have counted so far was of other actions.
    pub(super) fn renew<'a>(
        &self,
        rule: u32,
        actions: impl Iterator<Item = Named<'a>>,
        fresh: &[Counter],
        counters: &Counters,
    ) {
        let mut all = self.known.lock();
        for action in actions {
            let Some(known) = all.get_mut(&action.cookie) else {
                continue;
            };
            let Some(used) = known.uses.iter_mut().find(|used| used.rule == rule) else {
                continue;
            };
            let id = |counter: Option<&Counter>| counter.map(|counter| counter.id);
            if id(used.counter.as_ref()) == id(action.counter) {
                continue;
            }
            used.gather(counters, &mut known.carried);
            used.counter = action.counter.cloned();
            used.told = Told::default();
            let old = action.counter.filter(|counter| {
                let mut fresh = fresh.iter();
                fresh.all(|fresh| fresh.id != counter.id)
            });
            if let Some(now) = old.and_then(|counter| counters.read(counter)) {
                used.told.advance(&now);
            }
        }
    }

    /// Whether a rule has of all actions that are there by themselves what they do.
    pub(super) fn agree(&self, rule: &Kept) -> bool {
        let all = self.known.lock();
        rule.cookies().all(|cookie| {
            let known = all.get(&cookie).filter(|known| known.alone);
            let kept = known.and_then(|known| known.kept.as_ref());
            kept.is_none_or(|kept| rule.agrees(cookie, kept))
        })
    }

    /// Whether the kernel asks about one of these actions of a rule when the rule has gone.
    pub(crate) fn outlive(&self, cookies: &[usize]) -> bool {
        if cookies.is_empty() {
            return false;
        }
        let all = self.known.lock();
        let stays = |known: &Known| known.alone || known.uses.len() > 1;
        let mut known = cookies.iter().filter_map(|cookie| all.get(cookie));
        known.any(stays)
    }

    /// The counters of an action that is read from the device when somebody asks; of others, none.
    fn asked_for(&self, cookie: usize) -> Result<KVec<Counter>> {
        let all = self.known.lock();
        let known = all.get(&cookie).ok_or(ENOENT)?;
        let mut asked = KVec::new();
        if known.means == Means::Immediate {
            for counter in known.uses.iter().filter_map(|used| used.counter.as_ref()) {
                asked.push(counter.clone(), GFP_KERNEL)?;
            }
        }
        Ok(asked)
    }

    /// Counters are about to start from zero again.
    pub(crate) fn carry(&self, counters: &Counters) {
        for known in self.known.lock().values_mut() {
            for used in known.uses.iter_mut() {
                if let Some(counter) = &used.counter {
                    let now = counters.read_frozen(counter);
                    used.told.rebase(now.as_ref());
                }
            }
        }
    }
}

impl Use {
    /// Takes what its counter has seen.
    fn gather(&mut self, counters: &Counters, to: &mut Count) {
        let counter = self.counter.as_ref();
        let Some(now) = counter.and_then(|counter| counters.read(counter)) else {
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
        let engine = self.flow.lock().engine();
        if let Some(engine) = engine.filter(|engine| engine.shared.is_alone(action.cookie)) {
            let changed = read::with_alone(actions, self, |read| {
                engine.change_action(self, action, read)
            });
            if let Err(refusal) = changed {
                self.forget_action(&engine, action.cookie);
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
        read::with_alone(actions, self, |read| {
            let engine = self.join_flow()?;
            let known = engine.know_action(self, action, read);
            known.inspect_err(|_| self.leave_flow())
        })
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

    /// Finds the rules that have the meter of an action already. Those whose actions are all counted singly have told of it.
    fn adopt(&self, cookie: usize, meter: u32) -> Result<KVec<Use>, Refusal> {
        let mut uses = KVec::new();
        for store in self.stores.lock().iter() {
            for rule in store.inner.lock().rules() {
                let has = rule.objects.more.meters().contains(&meter);
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
                    counter: rule.objects.counter.clone(),
                    told: rule.told,
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
        let verdicts = |police: &Police| (police.conform, police.exceed);
        let follows = match (&police, &read.police) {
            // What is otherwise of a policer is its meter's.
            (Some((before, _)), Some(now)) => verdicts(before) != verdicts(now),
            (None, None) => true,
            _ => return Err(Refusal::Bound),
        };
        if named && follows {
            let change = Change {
                cookie: action.cookie,
                before: before.as_ref().ok_or(Refusal::Bound)?,
                now: read.kept.as_ref().ok_or(Refusal::Bound)?,
                listeners: read.listeners,
            };
            self.follow_change(device, &change)?;
        }
        if let (Some((_, meter)), Some(now)) = (police, &read.police) {
            self.meters.change(device, meter, now, self.is_reached())?;
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
}
