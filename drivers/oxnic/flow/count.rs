// SPDX-License-Identifier: GPL-2.0-only

//! What rules have seen. The device writes changed counters into memory now and then, which is what is read; where a user wants more
//! (`hw_stats immediate`), and where a rule goes whose count is kept, it is asked to write a counter at once.

use super::{
    counters::{Count, Counter},
    engine::Engine,
    plan::Counted,
    read::Origin,
    refusal::Refusal,
    request,
    store::{Inner, Objects, Store}, //
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::{
    net::flow::{classifier, Cookie, HwStats, Means, Statistics},
    time, //
};
use oxnic_offload::{
    plan::{reached, Counts, Statistics as Planned},
    rule::Action,
};

/// Counters that are asked for at a time, as far as the queue has room for them.
const BATCH: usize = 32;

/// How something is counted of which the user wants this. What will do now and then is cheaper, and is what most get.
pub(crate) fn means(asked: HwStats) -> Means {
    if asked.allows_delayed() {
        Means::Delayed
    } else if asked.allows_immediate() {
        Means::Immediate
    } else {
        Means::Disabled
    }
}

/// What of a rule is counted, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ways {
    /// What the plan is to count.
    pub(crate) statistics: Planned,
    /// How, where its actions are not counted singly.
    pub(crate) means: Means,
}

impl Ways {
    /// Nothing is counted.
    pub(crate) const OFF: Self = Self {
        statistics: Planned::Off,
        means: Means::Disabled,
    };

    /// Those of a rule. Its actions are counted singly where that makes a difference: with a policer, which drops packets, and where users
    /// want them counted in different ways. What edits leave out since a packet is cut short makes none here.
    pub(crate) fn new(actions: &[Action<'_>], origins: &[Origin<'_>], of_tc: bool) -> Self {
        let mut all = origins.iter().map(|origin| means(origin.hw_stats));
        let Some(first) = all.next() else {
            return Self::OFF;
        };
        let polices = |action: &Action<'_>| matches!(action, Action::Police(_));
        let reached = reached(actions).count_ones() as usize;
        let mut alike = true;
        let mut counts = first != Means::Disabled;
        for other in all {
            alike &= other == first;
            counts |= other != Means::Disabled;
        }
        let singly = of_tc && (!alike || reached < actions.len() || actions.iter().any(polices));
        Self {
            statistics: match (counts, singly) {
                (false, _) => Planned::Off,
                (true, false) => Planned::Rule,
                (true, true) => Planned::Actions,
            },
            means: first,
        }
    }

    /// The same, and counted singly where it was so before: what counts singly is right in any case.
    pub(crate) fn as_singly_as(self, before: Self) -> Self {
        match self.statistics {
            Planned::Rule if before.singly() => Self {
                statistics: Planned::Actions,
                ..self
            },
            _ => self,
        }
    }

    /// Whether the kernel is to ask about each action.
    pub(crate) fn singly(self) -> bool {
        self.statistics == Planned::Actions
    }
}

/// The counters of an action of a rule.
#[derive(Clone, Copy, Default)]
pub(crate) struct OfAction<'a> {
    /// What gets to it.
    pub(crate) taken: Option<&'a Counter>,
    /// What it drops, of a policer.
    pub(crate) dropped: Option<&'a Counter>,
}

/// The counters of an action; none where no packet gets to it. `own` is that of the rule, of the others `counted` says what they are of.
pub(super) fn of_action<'a>(
    action: usize,
    reached: u64,
    counted: &[(usize, Counted)],
    own: Option<&'a Counter>,
    others: &'a [Counter],
) -> OfAction<'a> {
    if reached >> action & 1 == 0 {
        return OfAction::default();
    }
    let mut of = OfAction {
        taken: own,
        dropped: None,
    };
    for ((_, (first, counts)), counter) in counted.iter().zip(others) {
        match counts {
            Counts::Taken if usize::from(*first) <= action => of.taken = Some(counter),
            Counts::Dropped if usize::from(*first) == action => of.dropped = Some(counter),
            _ => {}
        }
    }
    of
}

impl Engine {
    /// What a rule has seen since the last time.
    ///
    /// # Errors
    ///
    /// `ENOENT`: it is unknown.
    pub(crate) fn count(
        &self,
        device: &Arc<Device>,
        store: &Store,
        cookie: Cookie,
    ) -> Result<classifier::Counted> {
        let asked = {
            let mut inner = store.inner.lock();
            let stored = inner.get(cookie).ok_or(ENOENT)?;
            let counter = match (stored.ways.singly(), stored.objects.more.get()) {
                (true, Some(extras)) => extras.mixed.as_ref().and_then(|mixed| mixed.asked()),
                (true, None) => None,
                (false, _) => {
                    let counter = stored.objects.counter.as_ref();
                    counter.filter(|_| stored.ways.means == Means::Immediate)
                }
            };
            counter.cloned()
        };
        if let Some(counter) = asked {
            self.write_counters(device, &[counter]);
        }
        self.count_in(&mut store.inner.lock(), cookie)
    }

    /// As [`Self::count`], by what the device has written already. Does not sleep.
    pub(super) fn count_in(
        &self,
        inner: &mut Inner,
        cookie: Cookie,
    ) -> Result<classifier::Counted> {
        // What stands in for a rule of software counts nothing.
        let stored = inner.get(cookie).filter(|stored| !stored.stand_in);
        let stored = stored.ok_or(ENOENT)?;
        let singly = stored.ways.singly();
        let extras = stored.objects.more.get_mut().filter(|_| singly);
        let (seen, means) = match extras.and_then(|extras| extras.mixed.as_mut()) {
            Some(mixed) => mixed.count(&self.counters),
            None => {
                let counter = stored.objects.counter.as_ref();
                let now = counter.and_then(|counter| self.counters.read(counter));
                let seen = now.map_or_else(Count::default, |now| stored.told.advance(&now));
                (seen, counter.map_or(Means::Disabled, |_| stored.ways.means))
            }
        };
        Ok(classifier::Counted {
            statistics: statistics(&seen, means),
            per_action: singly,
        })
    }

    /// Has counters written into memory now. While the device cannot be asked, they say what they said last.
    pub(super) fn write_counters(&self, device: &Arc<Device>, counters: &[Counter]) {
        for some in counters.chunks(self.queues.slots().clamp(1, BATCH)) {
            if self.write_some(device, some).is_err() {
                return;
            }
        }
    }

    fn write_some(&self, device: &Arc<Device>, counters: &[Counter]) -> Result<(), Refusal> {
        let mut tickets = KVec::with_capacity(counters.len(), GFP_KERNEL)?;
        let mut result = Ok(());
        for counter in counters {
            let words = request::write_counter(counter);
            match self.queues.submit(device, [&words[..]]) {
                Ok([ticket]) => {
                    // There is room, see above.
                    let _ = tickets.push(ticket, GFP_KERNEL);
                }
                Err(error) => {
                    result = Err(Refusal::Unreached(error));
                    break;
                }
            }
        }
        for ticket in tickets.drain_all() {
            result = result.and(self.result(device, ticket));
        }
        result
    }

    /// Takes a rule out of the device. Where somebody is told later what its actions have counted, its counters are written for the last
    /// time, with all of it.
    ///
    /// # Errors
    ///
    /// The rule may still be there, or what it counted last is not known.
    pub(super) fn delete_rule(
        &self,
        device: &Arc<Device>,
        rule: u32,
        objects: &Objects,
    ) -> Result<(), Refusal> {
        let extras = objects.more.get();
        let extras = extras.filter(|extras| self.shared.outlive(&extras.shared));
        let (Some(counter), Some(extras)) = (&objects.counter, extras) else {
            return self.ask(device, &request::delete(rule));
        };
        let both = [
            &request::delete(rule)[..],
            &request::write_counter(counter)[..],
        ];
        let [deleted, written] = self
            .queues
            .submit(device, both)
            .map_err(Refusal::Unreached)?;
        let deleted = self.result(device, deleted);
        let written = self.result(device, written);
        self.write_counters(device, &extras.counters);
        deleted.and(written)
    }
}

/// A count, as the kernel is told of it.
pub(super) fn statistics(seen: &Count, means: Means) -> Statistics {
    Statistics {
        packets: seen.packets,
        bytes: seen.bytes,
        drops: seen.drops,
        age_ms: time::now_ms().saturating_sub(seen.last),
        means,
    }
}
