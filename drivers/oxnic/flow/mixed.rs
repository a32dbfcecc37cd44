// SPDX-License-Identifier: GPL-2.0-only

//! Actions of pedit that both set and add. The kernel asks no driver about such an action by itself
//! (`tcf_pedit_offload_act_setup()` in `net/sched/act_pedit.c`): where the actions of a rule are counted singly, it takes for it what it is
//! told of the rule, for which it has no other use.

use super::{
    count::{means, OfAction},
    counters::{Count, Counter, Counters, Told},
    read::Origin,
    refusal::Refusal,
    shared::Tally, //
};
use kernel::prelude::*;
use oxnic_kapi::net::flow::Means;
use oxnic_offload::rule::{Action, Verdict};

/// How those of a rule are counted, all of them alike. Guarded by the lock of the rule's store.
pub(crate) struct Mixed {
    /// What they get; without a counter, nothing.
    tally: Tally,
    means: Means,
    /// What another counter has counted, and the kernel was not told.
    carried: Count,
}

impl Mixed {
    /// Those of a rule whose actions have these counters; none where it has no such action.
    ///
    /// # Errors
    ///
    /// There are several, and one number is not true of all; or there is no memory.
    pub(super) fn new<'a>(
        actions: &[Action<'_>],
        origins: &[Origin<'_>],
        counters: impl Fn(usize) -> OfAction<'a>,
    ) -> Result<Option<KBox<Self>>, Refusal> {
        let mut found: Option<(Option<&Counter>, Means)> = None;
        let jumps = actions.iter().any(jumps);
        let mut parted = false;
        for (at, (action, origin)) in actions.iter().zip(origins).enumerate() {
            parted |= jumps || matches!(action, Action::Police(_));
            if !is_mixed(action) {
                continue;
            }
            let means = means(origin.hw_stats);
            let counter = counters(at).taken.filter(|_| means != Means::Disabled);
            // That fewer get to the second as some are cut short makes no difference here.
            let same = |(other, theirs): (Option<&Counter>, Means)| {
                !parted && theirs == means && other.is_some() == counter.is_some()
            };
            if !found.is_none_or(same) {
                return Err(Refusal::Feature {
                    action: "pedit",
                    feature: "another that sets and adds, counted otherwise",
                });
            }
            found = found.or(Some((counter, means)));
            parted = false;
        }
        let Some((counter, means)) = found else {
            return Ok(None);
        };
        let mixed = Self {
            tally: Tally::new(counter, Told::default()),
            means,
            carried: Count::default(),
        };
        Ok(Some(KBox::new(mixed, GFP_KERNEL)?))
    }

    /// Those of a rule that was there without them being known, and was told so much of its counter.
    pub(super) fn before(counter: Option<&Counter>, told: Told) -> Self {
        Self {
            tally: Tally::new(counter, told),
            means: Means::Disabled,
            carried: Count::default(),
        }
    }

    /// What they got since the last time, and how that was counted.
    pub(super) fn count(&mut self, counters: &Counters) -> (Count, Means) {
        let mut seen = core::mem::take(&mut self.carried);
        seen.add(&self.tally.advance(counters));
        (seen, self.means)
    }

    /// Their counter, if it is read from the device when somebody asks.
    pub(super) fn asked(&self) -> Option<&Counter> {
        let counter = self.tally.counter();
        counter.filter(|_| self.means == Means::Immediate)
    }

    /// The counter is about to start from zero again.
    pub(super) fn rebase(&mut self, counters: &Counters) {
        self.tally.rebase(counters);
    }

    /// Goes on from what was told of the rule as it was. Counters of `fresh` start from zero.
    pub(super) fn follow(&mut self, mut before: Self, fresh: &[Counter], counters: &Counters) {
        (self.carried, _) = before.count(counters);
        before.tally.renew(self.tally.counter(), fresh, counters);
        self.tally = before.tally;
    }
}

/// Whether packets can get past an action that others get to.
fn jumps(action: &Action<'_>) -> bool {
    let jump = |verdict| matches!(verdict, Verdict::Jump(_));
    match action {
        Action::Police(police) => jump(police.conform) || jump(police.exceed),
        _ => false,
    }
}

fn is_mixed(action: &Action<'_>) -> bool {
    match action {
        Action::Pedit([first, others @ ..]) => others
            .iter()
            .any(|other| other.operation != first.operation),
        _ => false,
    }
}
