// SPDX-License-Identifier: GPL-2.0-only

//! Rules that the kernel has in hardware, and that the device has not taken back: after a reset, or when a transaction of nftables failed that
//! had deleted them.
//!
//! The kernel offers no way to take a rule out of hardware that was taken over: `in_hw` goes only when the rule goes, or the block is
//! unbound. So the driver goes on trying ([`super::restore`]), the log says how many there are, and the list here which ones, and why. It is
//! made anew each time that they are tried, and users see it in devlink ([`super::reporter`]).

use super::{
    chain::part_of,
    engine::Engine,
    outage,
    place::Place,
    refusal::Refusal,
    store::{BlockSide, Inner, Presence, Store}, //
};
use crate::{command::Cause, command::CommandError, device::Device};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc}, //
};
use oxnic_kapi::{net::flow::Cookie, time};

/// Most rules that are listed. How many there are is known in any case.
pub(crate) const MISSING_MAX: usize = 1024;
/// Lines in the log each time that rules are tried.
const LINES: u32 = 8;

/// By what a user finds a rule among those of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// It is one of tc.
    Tc {
        /// Number of the chain.
        chain: u32,
        /// `pref`.
        priority: u32,
    },
    /// It is a part of one of nftables.
    Nftables {
        /// As which one of its chain the rule stood when it was tried, from 1 on; 0: that is not known.
        rule: u32,
        /// Which part of the rule it is.
        part: usize,
    },
}

impl core::fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Tc { chain, priority } => {
                write!(f, "a rule of chain {chain} with pref {priority}")
            }
            Self::Nftables { rule, part } => {
                write!(f, "part {part} of rule {rule} of a chain of nftables")
            }
        }
    }
}

/// For the kernel's macros, which have a trait of their own.
impl kernel::fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// What the device has in place of a rule that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    /// A rule that sends up what it takes.
    Upwards,
    /// Nothing: the rule itself does no more than that.
    Same,
    /// Nothing: software does not have the rule.
    SkipSw,
    /// Nothing: at egress the device cannot send up.
    Egress,
    /// Nothing: the device has stopped answering at the rule.
    Suspect,
    /// Nothing, for that is refused as well.
    Refused(Refusal),
}

impl core::fmt::Display for Instead {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Upwards => "a rule that sends its packets up, to software",
            Self::Same => "nothing: the rule itself only sends up",
            Self::SkipSw => "nothing: software does not have the rule (skip_sw)",
            Self::Egress => "nothing: at egress no packet can be sent up",
            Self::Suspect => "nothing: the device stopped answering at the rule",
            Self::Refused(why) => return write!(f, "nothing: {why}"),
        })
    }
}

/// For the kernel's macros, which have a trait of their own.
impl kernel::fmt::Display for Instead {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// A rule that is missing in the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Its block.
    pub(crate) block: BlockSide,
    /// The kernel's name of it, of nftables with that of the part ([`super::chain::part_of`]).
    pub(crate) cookie: Cookie,
    /// Where in its block it is.
    pub(crate) place: Whereabouts,
    /// What the device says.
    pub(crate) why: Refusal,
    /// What it has in its place.
    pub(crate) instead: Instead,
    /// When it went missing.
    pub(crate) lost: Lost,
    /// When that was found, in milliseconds of [`oxnic_kapi::time::now_ms`].
    pub(crate) since: u64,
    /// How often it was tried.
    pub(crate) tries: u32,
}

/// What a rule is missing since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// A reset.
    Reset,
    /// A transaction of nftables that had deleted it, and failed.
    Transaction,
}

impl Lost {
    /// For users.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reset => "missing since a reset",
            Self::Transaction => "missing since a transaction failed",
        }
    }
}

impl Missing {
    /// A rule at this place of its block, for this reason and with this in its place, that was not missing before a reset.
    pub(super) fn new(
        store: &Store,
        inner: &Inner,
        cookie: Cookie,
        place: &Place,
        (why, instead): (Refusal, Instead),
    ) -> Self {
        let place = if store.of_tc {
            let (chain, priority) = place.of_tc();
            Whereabouts::Tc { chain, priority }
        } else {
            let (rule, part) = part_of(cookie);
            let rule = inner.positions.ordinal(rule).unwrap_or(0);
            Whereabouts::Nftables { rule, part }
        };
        Self {
            block: store.block,
            cookie,
            place,
            why,
            instead,
            lost: Lost::Reset,
            since: time::now_ms(),
            tries: 0,
        }
    }
}

/// The rules that are missing.
pub(crate) struct MissingRules {
    /// Those that are listed.
    list: KVec<Missing>,
    /// Those of the time before, for how long and how often.
    before: KVec<Missing>,
    count: u32,
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
    fn start(&mut self) {
        self.count_before = core::mem::replace(&mut self.count, 0);
        core::mem::swap(&mut self.list, &mut self.before);
        self.list.clear();
    }

    /// One was tried, and is missing. Where there is no memory it is only counted.
    fn note(&mut self, new: Missing) {
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
    fn finish(&mut self, objects: u32) {
        self.before = KVec::new();
        self.objects = objects;
    }

    /// Not all could be tried: what is known is what was known before.
    fn abandon(&mut self) {
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

/// What could not be put back while everything was tried. Refusals leave a gap; where the device cannot be reached, trying ends.
pub(crate) struct Gaps<'a> {
    engine: &'a Engine,
    objects: u32,
    /// Rules for which something stands in.
    interims: u32,
    /// Lines that may be logged yet.
    lines: u32,
    finished: bool,
}

impl<'a> Gaps<'a> {
    /// None yet.
    pub(crate) fn new(engine: &'a Engine) -> Self {
        engine.missing.lock().start();
        let is_loud = engine.outage.lock().is_loud();
        Self {
            engine,
            objects: 0,
            interims: 0,
            lines: if is_loud { LINES } else { 0 },
            finished: false,
        }
    }

    /// The device was told of an object. Answers whether it has it.
    ///
    /// # Errors
    ///
    /// It cannot be reached.
    pub(crate) fn object(
        &mut self,
        device: &Arc<Device>,
        what: &str,
        id: u32,
        told: Result<(), CommandError>,
    ) -> Result<bool, Refusal> {
        match told {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.cause, Cause::Refused { .. }) => {
                self.objects = self.objects.saturating_add(1);
                if self.may_say() {
                    dev_warn!(device.binding(), "{} {} is missing: {}\n", what, id, error);
                }
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A rule is missing.
    pub(crate) fn rule(&mut self, device: &Arc<Device>, missing: Missing) {
        if self.may_say() {
            dev_warn!(
                device.binding(),
                "{} is missing: {} (in its place: {})\n",
                missing.place,
                missing.why,
                missing.instead
            );
        }
        if missing.instead == Instead::Upwards {
            self.interims = self.interims.saturating_add(1);
        }
        self.engine.missing.lock().note(missing);
    }

    /// A rule of the driver's own is missing.
    pub(crate) fn own_rule(&mut self, device: &Arc<Device>, why: Refusal) {
        self.objects = self.objects.saturating_add(1);
        if self.may_say() {
            dev_warn!(device.binding(), "tunnels: a rule is missing: {}\n", why);
        }
    }

    fn may_say(&mut self) -> bool {
        let may = self.lines > 0;
        self.lines = self.lines.saturating_sub(1);
        may
    }

    /// All was tried. Answers how many objects and rules are missing.
    pub(crate) fn finish(mut self, device: &Arc<Device>) -> (u32, u32) {
        self.finished = true;
        if self.interims == 0 {
            self.engine.end_interims(device);
        }
        let mut missing = self.engine.missing.lock();
        missing.finish(self.objects);
        (self.objects, missing.count)
    }
}

impl Drop for Gaps<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.engine.missing.lock().abandon();
        }
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_missing)]
mod tests {
    use super::*;
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
