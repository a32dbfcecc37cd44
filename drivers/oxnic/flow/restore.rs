// SPDX-License-Identifier: GPL-2.0-only

//! Everything that the engine is to have in the device, put back after a reset.
//!
//! The order is that of dependence: counters, tables, templates, meters and headers, then rules, and ports last, so that no packet sees a
//! part of the rules. What was counted before the reset, and the kernel has not heard of, is kept with the rule. No rule is on its way
//! to or from the device meanwhile: whoever brought it has heard that the queue was stopped. Rules that came during the reset are
//! like those from before ([`super::install`]).
//!
//! What the device refuses is missing, and tried again by a task, with pauses ([`super::outage`]); meanwhile something stands in for it where
//! that is possible ([`super::interim`]). The task holds off resets, not the
//! other way around. A device that stops answering meanwhile works without rules until it is tried again.

use super::{
    engine::{has_ingress, port_table, Engine},
    missing::{Gaps, Instead, Missing},
    queue::SLOT_WORDS,
    refusal::Refusal,
    request,
    store::{Inner, Presence, Store, Stored}, //
    ticket::Ticket,
};
use crate::{cmd, device::Device};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc}, //
};
use oxnic_abi::regs::ResetReason;
use oxnic_kapi::{net::flow::Cookie, time};
use oxnic_offload::rule::Chain;

/// Rules that are on their way at a time, as far as the queue has room for them.
const BATCH: usize = 32;
/// Most counters of a rule: one for each action, and its own.
const COUNTERS: usize = 65;

/// A rule that is on its way.
struct Sent {
    cookie: Cookie,
    counter: Option<Ticket>,
    /// Or why it was not sent.
    rule: Result<Ticket, Refusal>,
}

/// Rules that are on their way.
struct UnderWay {
    rules: KVec<Sent>,
    /// Slots that they take.
    slots: usize,
}

impl Device {
    /// Puts rules back after a reset. Commands work. What cannot be put back is tried again later.
    pub(crate) fn restore_flow(self: &Arc<Self>) {
        let engine = self.flow.lock().engine();
        // In legacy mode there is nothing to be put back.
        if let Some(engine) = engine.filter(|engine| !engine.parked.load(Relaxed)) {
            engine.restore(self);
        }
    }

    /// The task that tries again.
    pub(crate) fn run_mend(this: &Arc<Self>) {
        let engine = this.flow.lock().engine();
        if let Some(engine) = engine {
            // After a reset everything is tried anyway.
            this.while_running(|| engine.mend(this));
        }
    }
}

impl Engine {
    fn restore(&self, device: &Arc<Device>) {
        let _alone = self.gate.write();
        if self.queues.is_started() {
            // The first interface was bound after the reset.
            return;
        }
        self.forget_device();
        let left = self.outage.lock().left(time::now_ms());
        if left > 0 {
            device.mend_task.schedule_after(device, left);
            return;
        }
        self.fill(device, false);
    }

    fn mend(&self, device: &Arc<Device>) {
        let _alone = self.gate.write();
        if self.parked.load(Relaxed) {
            return;
        }
        if !self.queues.is_started() {
            let outage = *self.outage.lock();
            let left = outage.left(time::now_ms());
            if left > 0 {
                device.mend_task.schedule_after(device, left);
                return;
            }
            if outage.is_dirty() {
                device.request_reset(ResetReason::COMMAND_TIMEOUT);
                return;
            }
        }
        self.fill(device, true);
    }

    /// Gives the device what it has not. Nothing else is under way.
    fn fill(&self, device: &Arc<Device>, suspects: bool) {
        let opened = self.open(device);
        let filled = opened.and_then(|()| self.put_back(device, suspects));
        let again = match filled {
            Ok((objects, rules)) => {
                let (again, news) = self.outage.lock().ended((objects, rules));
                match again {
                    None if news => dev_info!(device.binding(), "all rules are in the device\n"),
                    Some(_) if news => dev_err!(
                        device.binding(),
                        "{} rules and {} other objects are missing in the device, which is tried again\n",
                        rules,
                        objects
                    ),
                    _ => {}
                }
                device.follow.soon(device);
                again
            }
            Err(refusal) => {
                self.queues.stop();
                let dirty = !self.queues.are_gone();
                let ms = self.outage.lock().failed(time::now_ms(), dirty);
                dev_err!(
                    device.binding(),
                    "no rules are in the device, tried again in {} s: {}\n",
                    ms / 1000,
                    refusal
                );
                Some(ms)
            }
        };
        if let Some(ms) = again {
            device.mend_task.schedule_after(device, ms);
        }
        device.report_task.schedule(device);
    }

    /// The device was reset, and has nothing. What rules have counted, and their counters forget, is kept.
    fn forget_device(&self) {
        self.counters.freeze();
        for store in self.stores.lock().iter() {
            let mut inner = store.inner.lock();
            for rule in inner.rules() {
                if let Some(counter) = &rule.objects.counter {
                    let now = self.counters.read_frozen(counter);
                    rule.told.rebase(now.as_ref());
                }
                if matches!(rule.presence, Presence::There | Presence::Interim) {
                    rule.presence = Presence::Absent;
                }
            }
            inner
                .tables
                .iter_mut()
                .for_each(|table| table.there = false);
        }
        self.shared.carry(&self.counters);
        self.counters.thaw();
        self.tunnels.lock().lose();
        self.matches.forget();
        self.actions.forget();
        self.meters.forget();
        self.encaps.lock().lose();
        self.rules.reclaim();
        self.tables.reclaim();
        self.outage.lock().was_reset();
    }

    /// Makes the queues known to the device, and the memory of counters. Where that fails the device has neither, if it answers.
    pub(super) fn open(&self, device: &Arc<Device>) -> Result<(), Refusal> {
        if self.queues.is_started() {
            return Ok(());
        }
        self.queues.rewind();
        self.queues.create(device)?;
        let counters = self.counters.restore(device);
        counters.inspect_err(|_| {
            if let Err(error) = self.queues.destroy(device) {
                dev_err!(device.binding(), "flow queues: {}\n", error);
            }
        })?;
        Ok(())
    }

    /// Puts back what the device has not. Answers how many objects and rules it has refused.
    ///
    /// # Errors
    ///
    /// It cannot be reached.
    fn put_back(&self, device: &Arc<Device>, suspects: bool) -> Result<(u32, u32), Refusal> {
        let stores = self.stores.lock();
        let mut gaps = Gaps::new(self);
        self.tunnels.lock().put_back(device, &mut gaps)?;
        for store in stores.iter() {
            for known in store.inner.lock().tables.iter_mut() {
                if known.there {
                    continue;
                }
                let table = self.new_table(known.id, store, Chain(known.chain));
                let set = cmd::flow::table_set(device, &table);
                known.there = gaps.object(device, "table", known.id, set)?;
            }
        }
        self.matches.put_back(device, &mut gaps)?;
        self.actions.put_back(device, &mut gaps)?;
        self.meters.put_back(device, &mut gaps)?;
        self.encaps.lock().put_back(device, &mut gaps)?;
        for store in stores.iter() {
            self.put_rules_back(device, store, Presence::Absent, &mut gaps)?;
        }
        self.put_own_rules_back(device, &mut gaps)?;
        for store in stores.iter() {
            let inner = store.inner.lock();
            let Some(table) = inner.table(0) else {
                continue;
            };
            for side in inner.sides.iter() {
                let bound = cmd::flow::port_table(device, &port_table(*side, table));
                gaps.object(device, "port", side.port.into(), bound)?;
            }
        }
        let tunnels = self.tunnels.lock();
        tunnels.put_ports_back(device, |port| has_ingress(&stores, port), &mut gaps)?;
        drop(tunnels);
        self.settle_uppers(device);
        self.put_suspects_back(device, &stores, suspects, &mut gaps)?;
        Ok(gaps.finish(device))
    }

    /// Puts back rules at which the device has stopped answering, when all others are there; not after a reset, and not for ever.
    fn put_suspects_back(
        &self,
        device: &Arc<Device>,
        stores: &[Arc<Store>],
        now: bool,
        gaps: &mut Gaps<'_>,
    ) -> Result<(), Refusal> {
        let now = now && self.outage.lock().may_suspect();
        let mut first = true;
        for store in stores {
            if !now {
                self.note_suspects(device, store, gaps);
            } else if has_suspects(store) {
                if core::mem::replace(&mut first, false) {
                    self.outage.lock().suspected();
                }
                self.put_rules_back(device, store, Presence::Suspect, gaps)?;
            }
        }
        Ok(())
    }

    /// Rules of the driver's own, by which packets get to the tables of tunnel devices.
    fn put_own_rules_back(&self, device: &Arc<Device>, gaps: &mut Gaps<'_>) -> Result<(), Refusal> {
        for own in self.tunnels.lock().own_rules() {
            if own.there {
                continue;
            }
            match self.ask(device, &own.request) {
                Ok(()) => own.there = true,
                Err(why @ Refusal::Device { .. }) => gaps.own_rule(device, why),
                Err(unreached) => return Err(unreached),
            }
        }
        Ok(())
    }

    /// Puts back the rules of a block that are in such a state; with those that are absent, those for which something stands in. Suspicious
    /// ones go one by one.
    fn put_rules_back(
        &self,
        device: &Arc<Device>,
        store: &Store,
        which: Presence,
        gaps: &mut Gaps<'_>,
    ) -> Result<(), Refusal> {
        let most = match which {
            Presence::Suspect => 1,
            _ => BATCH,
        };
        // Behind those that are on their way there has to be room for the longest one, its counters, and one that takes a rule out.
        let longest = usize::from(self.caps.request_slots_max) + COUNTERS + 1;
        let room = self.queues.slots().saturating_sub(longest);
        let mut under_way = UnderWay {
            rules: KVec::with_capacity(most, GFP_KERNEL)?,
            slots: 0,
        };
        let mut inner = store.inner.lock();
        let mut from = Some(Cookie(0));
        while let Some(first) = from {
            let mut sent = Ok(());
            from = inner.walk(first, |cookie, rule| {
                let known = match rule.presence {
                    Presence::Interim => Presence::Absent,
                    presence => presence,
                };
                if known != which {
                    return true;
                }
                sent = self.send(device, cookie, rule, &mut under_way);
                sent.is_ok() && under_way.rules.len() < most && under_way.slots <= room
            });
            sent?;
            self.settle(device, store, &mut inner, &mut under_way, gaps)?;
        }
        Ok(())
    }

    fn send(
        &self,
        device: &Arc<Device>,
        cookie: Cookie,
        rule: &Stored,
        under_way: &mut UnderWay,
    ) -> Result<(), Refusal> {
        let mut counted = Ok(());
        for counter in rule.objects.more.counters() {
            under_way.slots += 1;
            counted = counted.and_then(|()| self.ask(device, &request::reset_counter(counter)));
        }
        if let Err(why) = counted {
            let sent = Sent {
                cookie,
                counter: None,
                rule: Err(why),
            };
            under_way.rules.push(sent, GFP_KERNEL)?;
            return Ok(());
        }
        let mut submit = |words: &[u64]| {
            under_way.slots += words.len() / SLOT_WORDS;
            let submitted = self.queues.submit(device, [words]);
            submitted.map(|[ticket]| ticket).map_err(Refusal::Unreached)
        };
        let counter = rule.objects.counter.as_ref();
        let counter = match counter.map(request::reset_counter) {
            Some(words) => Some(submit(&words)?),
            None => None,
        };
        let sent = Sent {
            cookie,
            counter,
            rule: Ok(match rule.presence {
                Presence::Interim => submit(&request::update(&rule.request)?)?,
                _ => submit(&rule.request)?,
            }),
        };
        under_way.rules.push(sent, GFP_KERNEL)?;
        Ok(())
    }

    /// Waits for all results.
    ///
    /// # Errors
    ///
    /// There is none. The rule that has none is suspicious, unless others have stopped the queue.
    fn settle(
        &self,
        device: &Arc<Device>,
        store: &Store,
        inner: &mut Inner,
        under_way: &mut UnderWay,
        gaps: &mut Gaps<'_>,
    ) -> Result<(), Refusal> {
        under_way.slots = 0;
        for sent in under_way.rules.drain_all() {
            let counter = sent.counter.map(|ticket| self.result(device, ticket));
            let rule = sent.rule.and_then(|ticket| self.result(device, ticket));
            let Some(stored) = inner.get(sent.cookie) else {
                continue;
            };
            let told = self.both(device, &stored.request, counter.unwrap_or(Ok(())), rule);
            let gap = match told {
                Ok(()) => {
                    stored.presence = Presence::There;
                    Ok(None)
                }
                // What stands in for it stays as it is.
                Err(why @ Refusal::Device { .. })
                    if stored.presence == Presence::Interim && rule.is_err() =>
                {
                    Ok(Some((why, Instead::Upwards)))
                }
                Err(why @ Refusal::Device { .. }) => {
                    stored.presence = Presence::Absent;
                    let instead = self.put_interim(device, store, stored);
                    instead.map(|instead| Some((why, instead)))
                }
                Err(unreached) => Err(unreached),
            };
            let gap = gap.inspect_err(|unreached| {
                if !matches!(unreached, Refusal::Unreached(EAGAIN | ENODEV)) {
                    stored.presence = Presence::Suspect;
                }
            })?;
            if let Some(gap) = gap {
                let place = stored.place;
                gaps.rule(device, Missing::new(store, inner, sent.cookie, &place, gap));
            }
        }
        Ok(())
    }

    fn note_suspects(&self, device: &Arc<Device>, store: &Store, gaps: &mut Gaps<'_>) {
        let mut inner = store.inner.lock();
        let mut from = Some(Cookie(0));
        while let Some(first) = from {
            let mut suspect = None;
            from = inner.walk(first, |cookie, stored| {
                let is = stored.presence == Presence::Suspect;
                suspect = is.then_some((cookie, stored.place));
                !is
            });
            if let Some((cookie, place)) = suspect {
                let gap = (Refusal::Unreached(ETIMEDOUT), Instead::Suspect);
                gaps.rule(device, Missing::new(store, &inner, cookie, &place, gap));
            }
        }
    }
}

fn has_suspects(store: &Store) -> bool {
    let mut found = false;
    store.inner.lock().walk(Cookie(0), |_, stored| {
        found |= stored.presence == Presence::Suspect;
        !found
    });
    found
}
