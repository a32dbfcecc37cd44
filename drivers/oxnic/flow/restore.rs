// SPDX-License-Identifier: GPL-2.0-only

//! Everything that the engine had in the device, put back after a reset.
//!
//! The order is that of dependence: counters, tables, templates and meters, then rules, and ports last, so that no packet sees a part of
//! the rules. What was counted before the reset, and the kernel has not heard of, is kept with the rule. A rule that is on its way to or
//! from the device is not put back: whoever brings it sees that a reset came between.

use super::{
    counters::{Count, Counter},
    engine::{new_table, port_table, Engine, State},
    queue::Ticket,
    refusal::Refusal,
    request, //
};
use crate::{cmd, device::Device};
use kernel::{prelude::*, sync::Arc};
use oxnic_offload::rule::Chain;

/// Requests that are on their way at a time.
const BATCH: usize = 64;

impl Device {
    /// Puts rules back after a reset. Commands work. Where it fails, the rules are lost, which is logged.
    pub(crate) fn restore_flow(self: &Arc<Self>) {
        let Some(engine) = self.flow.lock().engine() else {
            return;
        };
        if let Err(refusal) = engine.restore(self) {
            engine.queue.stop();
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
        let mut state = self.state.lock();
        let state = &mut *state;
        state.epoch = state.epoch.wrapping_add(1);
        state.carry();
        self.queue.rewind();
        self.queue.create(device)?;
        state.counters.restore(device)?;
        for store in state.stores.iter() {
            for (chain, table) in store.tables.iter() {
                let table = new_table(&self.caps, *table, store.block, Chain(*chain));
                cmd::flow::table_set(device, &table)?;
            }
        }
        state.matches.restore(device)?;
        state.actions.restore(device)?;
        state.meters.restore(device)?;
        self.restore_rules(device, state)?;
        for store in state.stores.iter() {
            let Some(table) = store.table(0) else {
                continue;
            };
            for side in store.sides.iter() {
                cmd::flow::port_table(device, &port_table(*side, table))?;
            }
        }
        Ok(())
    }

    fn restore_rules(&self, device: &Arc<Device>, state: &mut State) -> Result<(), Refusal> {
        let mut under_way = KVec::with_capacity(BATCH, GFP_KERNEL)?;
        for store in state.stores.iter_mut() {
            for rule in store.rules().filter(|rule| rule.live) {
                if let Some(counter) = rule.objects.counter {
                    let words = request::reset_counter(counter);
                    self.send(device, &words, &mut under_way)?;
                }
                self.send(device, &rule.request, &mut under_way)?;
            }
        }
        self.settle(device, &mut under_way)
    }

    fn send(
        &self,
        device: &Arc<Device>,
        words: &[u64],
        under_way: &mut KVec<Ticket>,
    ) -> Result<(), Refusal> {
        if under_way.len() == BATCH {
            self.settle(device, under_way)?;
        }
        let ticket = self
            .queue
            .submit(device, words)
            .map_err(Refusal::Unreached)?;
        under_way.push(ticket, GFP_KERNEL)?;
        Ok(())
    }

    /// Waits for all results; the first error among them counts.
    fn settle(&self, device: &Arc<Device>, under_way: &mut KVec<Ticket>) -> Result<(), Refusal> {
        let mut result = Ok(());
        for ticket in under_way.drain_all() {
            result = result.and(self.result(device, Ok(ticket)));
        }
        result
    }
}

impl State {
    /// Keeps what rules have counted, which the counters forget.
    fn carry(&mut self) {
        let counters = &self.counters;
        let read = |counter: Counter| counters.read(counter);
        for rule in self.stores.iter_mut().flat_map(|store| store.rules()) {
            if let Some(now) = rule.objects.counter.and_then(read) {
                rule.carried = now.since(&rule.told).and(&rule.carried);
            }
            rule.told = Count::default();
        }
    }
}
