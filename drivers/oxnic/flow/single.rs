// SPDX-License-Identifier: GPL-2.0-only

//! Rules are counted singly from now on that name an action which is about to be forgotten, as a change of it was refused.
//!
//! The kernel was told by the action what it has seen, and by the rule what its other actions have. Without the action by itself, it would
//! ask the rule for both, whose count goes back to when the rule was asked last. So it is to ask about each action of the rule.

use super::{
    count::means,
    counters::{Counter, Told},
    engine::Engine,
    read::Origin,
    refusal::Refusal,
    shared::{Known, SharedActions, Tally, Use},
    store::Stored, //
};
use kernel::prelude::*;
use oxnic_offload::plan::Statistics;

impl Engine {
    /// Counts the rules singly that name an action.
    ///
    /// # Errors
    ///
    /// There is no memory; some are counted as before.
    pub(super) fn single(&self, cookie: usize) -> Result<(), Refusal> {
        let _going = self.gate.read();
        for store in self.stores.lock().iter() {
            for rule in store.inner.lock().rules() {
                let extras = rule.objects.more.get();
                let names = extras.is_some_and(|extras| extras.shared.contains(&cookie));
                if names && rule.ways.statistics == Statistics::Rule {
                    self.single_rule(rule)?;
                }
            }
        }
        Ok(())
    }

    fn single_rule(&self, stored: &mut Stored) -> Result<(), Refusal> {
        let objects = &mut stored.objects;
        let (Some(rule), Some(extras)) = (objects.rule, objects.more.get_mut()) else {
            return Ok(());
        };
        // Of one that is not kept it is not known which actions it has.
        let Some(kept) = &extras.kept else {
            return Ok(());
        };
        let origins = kept.kept.origins()?;
        let seen = (objects.counter.as_ref(), stored.told);
        self.shared
            .single(rule, &origins, seen, &mut extras.shared)?;
        stored.ways.statistics = Statistics::Actions;
        Ok(())
    }
}

impl SharedActions {
    /// Counts all actions of a rule for themselves, which get all that the rule does. Those that are not yet, go on from what was told of
    /// the rule's counter.
    fn single(
        &self,
        rule: u32,
        origins: &[Origin<'_>],
        (counter, told): (Option<&Counter>, Told),
        entered: &mut KVec<usize>,
    ) -> Result<(), Refusal> {
        let mut all = self.known.lock();
        for origin in origins {
            let cookie = origin.cookie;
            entered.reserve(1, GFP_KERNEL)?;
            let used = Use {
                rule,
                taken: Tally::new(counter, told),
                dropped: Tally::default(),
                singly: true,
            };
            match all.get_mut(&cookie) {
                Some(known) => {
                    if let Some(used) = known.uses.iter_mut().find(|used| used.rule == rule) {
                        used.singly = true;
                        continue;
                    }
                    known.uses.push(used, GFP_KERNEL)?;
                }
                None => {
                    let mut known = Known::new(means(origin.hw_stats));
                    known.uses.push(used, GFP_KERNEL)?;
                    all.try_create_and_insert(cookie, known, GFP_KERNEL)
                        .map_err(|_| Refusal::Memory)?;
                }
            }
            // There is room, see above.
            let _ = entered.push(cookie, GFP_KERNEL);
        }
        Ok(())
    }
}
