// SPDX-License-Identifier: GPL-2.0-only

//! Rules that the kernel has in hardware, and that the device has not taken back: after a reset, or when a transaction of nftables failed that
//! had deleted them.
//!
//! The kernel offers no way to take a rule out of hardware that was taken over: `in_hw` goes only when the rule goes, or the block is
//! unbound. So the driver goes on trying ([`super::restore`]), the log says how many there are, and the list here which ones, and why. It is
//! made anew each time that they are tried, and users see it in devlink ([`super::reporter`]).

use super::{
    engine::Engine,
    gap::{Instead, Lost, Missing},
    outage,
    refusal::Refusal,
    store::{BlockSide, Presence, Store}, //
};
use crate::device::Device;
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc}, //
};
use oxnic_kapi::{net::flow::Cookie, time};

/// Most rules that are listed. How many there are is known in any case.
pub(crate) const MISSING_MAX: usize = 1024;

/// The rules that are missing.
pub(crate) struct MissingRules {
    /// Those that are listed.
    list: KVec<Missing>,
    /// Those of the time before, for how long and how often.
    before: KVec<Missing>,
    pub(super) count: u32,
    count_before: u32,
    /// Objects of the engine's that are missing: tables, templates, meters, headers, ports, rules of the driver's own.
    objects: u32,
}

/// How much the device lacks of what it is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    /// Rules, as far as is known.
    pub(crate) rules: u32,
    /// Other objects.
    pub(crate) objects: u32,
    /// It has no rules at all, and is tried again in so many milliseconds.
    pub(crate) outage: Option<u32>,
}

impl MissingRules {
    /// None.
    pub(crate) const fn new() -> Self {
        Self {
            list: KVec::new(),
            before: KVec::new(),
            count: 0,
            count_before: 0,
            objects: 0,
        }
    }

    /// All are tried again.
    pub(super) fn start(&mut self) {
        self.count_before = core::mem::replace(&mut self.count, 0);
        core::mem::swap(&mut self.list, &mut self.before);
        self.list.clear();
    }

    /// One was tried, and is missing. Where there is no memory it is only counted.
    pub(super) fn note(&mut self, new: Missing) {
        let same = |old: &&Missing| (old.block, old.cookie) == (new.block, new.cookie);
        let old = self.before.iter().find(same);
        let tries = old.map_or(0, |old| old.tries).saturating_add(1);
        let since = old.map_or(new.since, |old| old.since);
        let lost = old.map_or(new.lost, |old| old.lost);
        self.count = self.count.saturating_add(1);
        if self.list.len() < MISSING_MAX {
            let missing = Missing {
                tries,
                since,
                lost,
                ..new
            };
            let _ = self.list.push(missing, GFP_KERNEL);
        }
    }

    /// All were tried, and so many objects are missing beside rules.
    pub(super) fn finish(&mut self, objects: u32) {
        self.before = KVec::new();
        self.objects = objects;
    }

    /// Not all could be tried: what is known is what was known before.
    pub(super) fn abandon(&mut self) {
        self.list = core::mem::take(&mut self.before);
        self.count = self.count_before;
    }

    /// One that may be missing is deleted.
    fn leave(&mut self, block: BlockSide, cookie: Cookie) {
        let same = |known: &Missing| (known.block, known.cookie) == (block, cookie);
        if let Some(at) = self.list.iter().position(same) {
            // It was found there.
            let _ = self.list.remove(at);
        } else if (self.count as usize) <= self.list.len() {
            return;
        }
        self.count -= 1;
    }
}

impl Engine {
    /// The first `most` of the rules that are missing, as far as they are listed, and how many there are.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn missing_rules(&self, most: usize) -> Result<(KVec<Missing>, u32)> {
        let mut some = KVec::with_capacity(most, GFP_KERNEL)?;
        let missing = self.missing.lock();
        for one in missing.list.iter().take(most) {
            // There is room.
            let _ = some.push(*one, GFP_NOWAIT);
        }
        Ok((some, missing.count))
    }

    /// What the device lacks, if anything.
    pub(crate) fn lack(&self) -> Option<Lack> {
        // It is to have nothing.
        if self.parked.load(Relaxed) {
            return None;
        }
        let outage = self.outage.lock().ends_in(time::now_ms());
        let missing = self.missing.lock();
        let lack = Lack {
            rules: missing.count,
            objects: missing.objects,
            outage,
        };
        (lack.rules > 0 || lack.objects > 0 || lack.outage.is_some()).then_some(lack)
    }

    /// A rule is missing, as the device has refused it, or what it needs, though it stays in its chain. It is tried again soon, if not when
    /// the device was reset.
    pub(super) fn miss(&self, device: &Arc<Device>, store: &Store, cookie: Cookie, why: Refusal) {
        if !self.is_reached() {
            return;
        }
        let mut inner = store.inner.lock();
        let Some(stored) = inner.get(cookie) else {
            return;
        };
        let instead = match stored.presence {
            Presence::Suspect => Ok(Instead::Suspect),
            _ => self.put_interim(device, store, stored),
        };
        let instead = instead.unwrap_or_else(|_| {
            stored.presence = Presence::Suspect;
            Instead::Suspect
        });
        let place = stored.place;
        let missing = Missing {
            lost: Lost::Transaction,
            ..Missing::new(store, &inner, cookie, &place, (why, instead))
        };
        drop(inner);
        dev_warn!(
            device.binding(),
            "{} is missing: {} (in its place: {})\n",
            missing.place,
            why,
            instead
        );
        self.missing.lock().note(missing);
        device.mend_task.schedule_after(device, outage::PAUSE);
        device.report_task.schedule(device);
    }

    /// A rule that is not in the device is deleted.
    pub(super) fn forget_missing(&self, device: &Arc<Device>, block: BlockSide, cookie: Cookie) {
        self.missing.lock().leave(block, cookie);
        device.report_task.schedule(device);
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_missing)]
mod tests {
    use super::*;
    use crate::flow::gap::Whereabouts;
    use oxnic_abi::flow::port::FlowDirection;
    use oxnic_kapi::net::flow::BlockId;

    const BLOCK: BlockSide = BlockSide {
        block: BlockId(64),
        direction: FlowDirection::INGRESS,
    };

    fn missing(cookie: usize, since: u64) -> Missing {
        Missing {
            block: BLOCK,
            cookie: Cookie(cookie),
            place: Whereabouts::Tc {
                chain: 0,
                priority: 1,
            },
            why: Refusal::Lost,
            instead: Instead::SkipSw,
            lost: Lost::Reset,
            since,
            tries: 0,
        }
    }

    fn listed(all: &MissingRules) -> KVec<(usize, u64, u32)> {
        let mut found = KVec::new();
        for one in all.list.iter() {
            let entry = (one.cookie.0, one.since, one.tries);
            found.push(entry, GFP_KERNEL).unwrap();
        }
        found
    }

    #[test]
    fn a_rule_that_stays_missing_keeps_its_time_and_counts_its_tries() {
        let mut all = MissingRules::new();
        for now in [10, 20, 30] {
            all.start();
            all.note(missing(1, now));
            if now == 20 {
                all.note(missing(2, now));
            }
            all.finish(0);
        }
        assert_eq!(*listed(&all), [(1, 10, 3)]);
        assert_eq!(all.count, 1);
    }

    #[test]
    fn where_not_all_could_be_tried_it_is_known_what_was_known() {
        let mut all = MissingRules::new();
        all.start();
        all.note(missing(1, 10));
        all.note(missing(2, 10));
        all.finish(4);
        all.start();
        all.note(missing(2, 20));
        all.abandon();
        assert_eq!(*listed(&all), [(1, 10, 1), (2, 10, 1)]);
        assert_eq!((all.count, all.objects), (2, 4));
        all.start();
        all.note(missing(2, 30));
        all.finish(0);
        assert_eq!(*listed(&all), [(2, 10, 2)]);
        assert_eq!((all.count, all.objects), (1, 0));
    }

    #[test]
    fn a_rule_that_is_deleted_leaves_the_list_and_no_other_one_does() {
        let mut all = MissingRules::new();
        all.start();
        all.note(missing(1, 0));
        all.note(missing(2, 0));
        all.finish(0);
        // It was never tried.
        all.leave(BLOCK, Cookie(3));
        all.leave(BLOCK, Cookie(1));
        assert_eq!(*listed(&all), [(2, 0, 1)]);
        assert_eq!(all.count, 1);
    }

    #[test]
    fn more_than_can_be_listed_are_counted() {
        let mut all = MissingRules::new();
        all.start();
        for cookie in 0..MISSING_MAX + 2 {
            all.note(missing(cookie, 0));
        }
        all.finish(0);
        assert_eq!(
            (all.list.len(), all.count as usize),
            (MISSING_MAX, MISSING_MAX + 2)
        );
        all.leave(BLOCK, Cookie(MISSING_MAX));
        all.leave(BLOCK, Cookie(0));
        assert_eq!(
            (all.list.len(), all.count as usize),
            (MISSING_MAX - 1, MISSING_MAX)
        );
    }
}
