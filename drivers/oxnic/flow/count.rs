// SPDX-License-Identifier: GPL-2.0-only

//! What rules have seen. The device writes changed counters into memory now and then, which is what is read; where a user wants more
//! (`hw_stats immediate`), and where a rule goes whose count is kept, it is asked to write a counter at once.

use super::{
    counters::{Count, Counter},
    engine::Engine,
    read::Origin,
    refusal::Refusal,
    request,
    store::{Inner, Store}, //
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::net::flow::{classifier::Counted, Cookie, HwStats, Means, Statistics};

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

/// How a rule is counted: at once, where an action of it is.
pub(crate) fn of_rule(origins: &[Origin<'_>]) -> Means {
    let mut all = origins.iter().map(|origin| means(origin.hw_stats));
    match all.any(|means| means == Means::Immediate) {
        true => Means::Immediate,
        false => Means::Delayed,
    }
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
    ) -> Result<Counted> {
        let asked = {
            let mut inner = store.inner.lock();
            let stored = inner.get(cookie).ok_or(ENOENT)?;
            let counter = stored.objects.counter.clone();
            counter.filter(|_| stored.means == Means::Immediate)
        };
        if let Some(counter) = asked {
            self.write_counters(device, &[counter]);
        }
        self.count_in(&mut store.inner.lock(), cookie)
    }

    /// As [`Self::count`], by what the device has written already. Does not sleep.
    pub(super) fn count_in(&self, inner: &mut Inner, cookie: Cookie) -> Result<Counted> {
        // What stands in for a rule of software counts nothing.
        let stored = inner.get(cookie).filter(|stored| !stored.stand_in);
        let stored = stored.ok_or(ENOENT)?;
        let counter = stored.objects.counter.as_ref();
        let means = counter.map_or(Means::Disabled, |_| stored.means);
        let seen = match counter.and_then(|counter| self.counters.read(counter)) {
            Some(now) => stored.told.advance(&now),
            None => Count::default(),
        };
        Ok(Counted {
            statistics: statistics(&seen, means),
            per_action: false,
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

    /// Takes a rule out of the device. With a counter, that is written for the last time, with all that the rule has counted.
    ///
    /// # Errors
    ///
    /// The rule may still be there, or what it counted last is not known.
    pub(super) fn delete_rule(
        &self,
        device: &Arc<Device>,
        rule: u32,
        counter: Option<&Counter>,
    ) -> Result<(), Refusal> {
        let Some(counter) = counter else {
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
        deleted.and(self.result(device, written))
    }
}

/// A count, as the kernel is told of it.
pub(super) fn statistics(seen: &Count, means: Means) -> Statistics {
    Statistics {
        packets: seen.packets,
        bytes: seen.bytes,
        age_ms: seen.age,
        means,
        ..Statistics::default()
    }
}
