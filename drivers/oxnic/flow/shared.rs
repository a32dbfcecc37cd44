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
    count::OfAction,
    counters::{Count, Counter, Counters, Told},
    kept::Kept,
    refusal::Refusal, //
};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::RBTree,
    sync::{
        atomic::{Atomic, Relaxed},
        Mutex, //
    },
};
use oxnic_kapi::net::flow::Means;
use oxnic_offload::rule::Police;

/// An action of a rule.
pub(crate) struct Named<'a> {
    pub(crate) cookie: usize,
    /// How the rule wants it counted.
    pub(crate) means: Means,
    /// Its counters; none where it gets nothing, or that is not counted.
    pub(crate) counters: OfAction<'a>,
}

/// A counter of an action, and how far it was read.
#[derive(Default)]
pub(super) struct Tally {
    counter: Option<Counter>,
    told: Told,
}

impl Tally {
    /// Of a counter, of which this was told.
    pub(super) fn new(counter: Option<&Counter>, told: Told) -> Self {
        Self {
            counter: counter.cloned(),
            told,
        }
    }

    /// The counter.
    pub(super) fn counter(&self) -> Option<&Counter> {
        self.counter.as_ref()
    }

    /// What came since the last time.
    pub(super) fn advance(&mut self, counters: &Counters) -> Count {
        let counter = self.counter.as_ref();
        let now = counter.and_then(|counter| counters.read(counter));
        now.map_or_else(Count::default, |now| self.told.advance(&now))
    }

    /// The counter starts from zero again.
    pub(super) fn rebase(&mut self, counters: &Counters) {
        if let Some(counter) = &self.counter {
            let now = counters.read_frozen(counter);
            self.told.rebase(now.as_ref());
        }
    }

    /// Another counter from now on, if it is another one. One that is not of `fresh` has counted something else so far.
    pub(super) fn renew(
        &mut self,
        counter: Option<&Counter>,
        fresh: &[Counter],
        counters: &Counters,
    ) {
        let id = |counter: Option<&Counter>| counter.map(|counter| counter.id);
        if id(self.counter.as_ref()) == id(counter) {
            return;
        }
        *self = Self::new(counter, Told::default());
        let is_fresh = fresh.iter().any(|fresh| Some(fresh.id) == id(counter));
        if !is_fresh {
            self.advance(counters);
        }
    }
}

/// An action of a rule that is counted for itself.
pub(super) struct Use {
    /// The rule, by its id in the device.
    pub(super) rule: u32,
    /// What it got.
    pub(super) taken: Tally,
    /// What it dropped, of a policer.
    pub(super) dropped: Tally,
    /// So are all actions of the rule.
    pub(super) singly: bool,
}

/// What is known of such an action.
pub(super) struct Known {
    pub(super) means: Means,
    /// The kernel has told us of the action by itself.
    pub(super) alone: bool,
    /// What a policer does, and its meter.
    pub(super) police: Option<(Police, u32)>,
    /// What it does, if that is known and can be kept.
    pub(super) kept: Option<Kept>,
    pub(super) uses: KVec<Use>,
    /// What was counted, and the kernel has not been told.
    pub(super) carried: Count,
}

impl Known {
    /// One that no rule has yet.
    pub(super) fn new(means: Means) -> Self {
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
    pub(super) alone: Atomic<u32>,
    #[pin]
    pub(super) known: Mutex<RBTree<usize, Known>>,
}

impl SharedActions {
    /// None.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            alone: Atomic::new(0),
            known <- new_mutex!(RBTree::new()),
        })
    }

    /// Whether the kernel has told us of an action by itself.
    pub(super) fn is_alone(&self, cookie: usize) -> bool {
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
                taken: Tally::new(action.counters.taken, Told::default()),
                dropped: Tally::new(action.counters.dropped, Told::default()),
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

    /// A rule has another id from now on.
    pub(crate) fn rename(&self, cookies: &[usize], rule: u32, now: u32) {
        if cookies.is_empty() {
            return;
        }
        let mut all = self.known.lock();
        for cookie in cookies {
            let uses = all.get_mut(cookie).map(|known| known.uses.iter_mut());
            let mut own = uses.into_iter().flatten();
            if let Some(used) = own.find(|used| used.rule == rule) {
                used.rule = now;
            }
        }
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
            used.gather(counters, &mut known.carried);
            let OfAction { taken, dropped } = action.counters;
            used.taken.renew(taken, fresh, counters);
            used.dropped.renew(dropped, fresh, counters);
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
    pub(super) fn asked_for(&self, cookie: usize) -> Result<KVec<Counter>> {
        let all = self.known.lock();
        let known = all.get(&cookie).ok_or(ENOENT)?;
        let mut asked = KVec::new();
        if known.means == Means::Immediate {
            let tallies = known
                .uses
                .iter()
                .flat_map(|used| [&used.taken, &used.dropped]);
            for counter in tallies.filter_map(|tally| tally.counter.as_ref()) {
                asked.push(counter.clone(), GFP_KERNEL)?;
            }
        }
        Ok(asked)
    }

    /// Counters are about to start from zero again.
    pub(crate) fn carry(&self, counters: &Counters) {
        for known in self.known.lock().values_mut() {
            for used in known.uses.iter_mut() {
                used.taken.rebase(counters);
                used.dropped.rebase(counters);
            }
        }
    }
}

impl Use {
    /// Takes what its counters have seen.
    pub(super) fn gather(&mut self, counters: &Counters, to: &mut Count) {
        let dropped = self.dropped.advance(counters);
        to.add(&Count {
            packets: 0,
            bytes: 0,
            drops: dropped.packets,
            last: dropped.last,
        });
        to.add(&self.taken.advance(counters));
    }
}
