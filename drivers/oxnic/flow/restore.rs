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
    gaps::Gaps,
    on_way::has_suspects,
    refusal::Refusal,
    store::{Presence, Store}, //
};
use crate::{
    cmd,
    device::Device,
    health::{Fault, Kind}, //
};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc}, //
};
use oxnic_kapi::time;
use oxnic_offload::rule::Chain;

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
            // A request may have had no answer just now; the device has its rings all the same until the reset.
            if outage.is_dirty() || !self.queues.are_gone() {
                device.request_reset(Fault::new(Kind::NoResult));
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
        self.queues.rewind();
        self.counters.freeze();
        for store in self.stores.lock().iter() {
            let mut inner = store.inner.lock();
            for rule in inner.rules() {
                if let Some(counter) = &rule.objects.counter {
                    let now = self.counters.read_frozen(counter);
                    rule.told.rebase(now.as_ref());
                }
                let extras = rule.objects.more.get_mut();
                if let Some(mixed) = extras.and_then(|extras| extras.mixed.as_mut()) {
                    mixed.rebase(&self.counters);
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
        self.settle_tunnels(device);
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
}
