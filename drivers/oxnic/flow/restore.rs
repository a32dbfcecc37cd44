// SPDX-License-Identifier: GPL-2.0-only

//! Everything that the engine had in the device, put back after a reset.
//!
//! The order is that of dependence: counters, tables, templates and meters, then rules, and ports last, so that no packet sees a part of
//! the rules. What was counted before the reset, and the kernel has not heard of, is kept with the rule. No rule is on its way to or from the
//! device meanwhile: whoever brought it has heard that the queue was stopped, and has undone what came before.

use super::{
    engine::{has_ingress, port_table, Engine},
    queue::{Ticket, SLOT_WORDS},
    refusal::Refusal,
    request,
    store::Inner, //
};
use crate::{cmd, device::Device};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc}, //
};
use oxnic_offload::rule::Chain;

/// Requests that are on their way at a time, as far as the queue has room for them.
const BATCH: usize = 64;

/// Requests that are on their way.
struct UnderWay {
    tickets: KVec<Ticket>,
    /// Slots that they take.
    slots: usize,
}

impl Device {
    /// Puts rules back after a reset. Commands work. Where it fails, the rules are lost, which is logged.
    pub(crate) fn restore_flow(self: &Arc<Self>) {
        let Some(engine) = self.flow.lock().engine() else {
            return;
        };
        // In legacy mode there is nothing to be put back.
        if engine.parked.load(Relaxed) {
            return;
        }
        if let Err(refusal) = engine.restore(self) {
            engine.queues.stop();
            dev_err!(
                self.binding(),
                "rules of tc are lost by the reset, remove all filters: {}\n",
                refusal
            );
        }
    }
}

impl Engine {
    fn restore(&self, device: &Arc<Device>) -> Result<(), Refusal> {
        let _alone = self.gate.write();
        let stores = self.stores.lock();
        for store in stores.iter() {
            self.carry(&mut store.inner.lock());
        }
        self.shared.carry(&self.counters);
        self.queues.rewind();
        self.queues.create(device)?;
        self.counters.restore(device)?;
        self.tunnels.lock().restore(device)?;
        for store in stores.iter() {
            for (chain, table) in store.inner.lock().tables.iter() {
                let table = self.new_table(*table, store, Chain(*chain));
                cmd::flow::table_set(device, &table)?;
            }
        }
        self.matches.restore(device)?;
        self.actions.restore(device)?;
        self.meters.restore(device)?;
        self.encaps.lock().restore(device)?;
        for store in stores.iter() {
            self.restore_rules(device, &mut store.inner.lock())?;
        }
        self.restore_own_rules(device)?;
        for store in stores.iter() {
            let inner = store.inner.lock();
            let Some(table) = inner.table(0) else {
                continue;
            };
            for side in inner.sides.iter() {
                cmd::flow::port_table(device, &port_table(*side, table))?;
            }
        }
        let tunnels = self.tunnels.lock();
        tunnels.restore_ports(device, |port| has_ingress(&stores, port))?;
        drop(tunnels);
        self.settle_uppers(device);
        device.follow.soon(device);
        Ok(())
    }

    /// Rules of the driver's own, by which packets get to the tables of tunnel devices.
    fn restore_own_rules(&self, device: &Arc<Device>) -> Result<(), Refusal> {
        let mut under_way = UnderWay {
            tickets: KVec::with_capacity(BATCH, GFP_KERNEL)?,
            slots: 0,
        };
        for own in self.tunnels.lock().own_rules() {
            self.send(device, &own.request, &mut under_way)?;
        }
        self.settle(device, &mut under_way)
    }

    /// Keeps what rules have counted, which the counters forget.
    fn carry(&self, store: &mut Inner) {
        for rule in store.rules() {
            if let Some(counter) = &rule.objects.counter {
                rule.told.rebase(self.counters.read(counter).as_ref());
            }
        }
    }

    fn restore_rules(&self, device: &Arc<Device>, store: &mut Inner) -> Result<(), Refusal> {
        let mut under_way = UnderWay {
            tickets: KVec::with_capacity(BATCH, GFP_KERNEL)?,
            slots: 0,
        };
        for rule in store.rules() {
            for counter in rule.objects.counters() {
                let words = request::reset_counter(counter);
                self.send(device, &words, &mut under_way)?;
            }
            self.send(device, &rule.request, &mut under_way)?;
        }
        self.settle(device, &mut under_way)
    }

    fn send(
        &self,
        device: &Arc<Device>,
        words: &[u64],
        under_way: &mut UnderWay,
    ) -> Result<(), Refusal> {
        let slots = words.len() / SLOT_WORDS;
        let is_full = under_way.slots + slots > self.queues.slots();
        if is_full || under_way.tickets.len() == BATCH {
            self.settle(device, under_way)?;
        }
        let [ticket] = self
            .queues
            .submit(device, [words])
            .map_err(Refusal::Unreached)?;
        under_way.slots += slots;
        under_way.tickets.push(ticket, GFP_KERNEL)?;
        Ok(())
    }

    /// Waits for all results; the first error among them counts.
    fn settle(&self, device: &Arc<Device>, under_way: &mut UnderWay) -> Result<(), Refusal> {
        let mut result = Ok(());
        under_way.slots = 0;
        for ticket in under_way.tickets.drain_all() {
            result = result.and(self.result(device, ticket));
        }
        result
    }
}
