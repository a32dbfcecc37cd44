// SPDX-License-Identifier: GPL-2.0-only

//! Rules into the device and out of it.
//!
//! All that can fail is done before the device is told of the rule, under the lock of the engine; then the lock is given up while
//! the device works. Whatever fails, what came before it is undone. The kernel does not ask about a rule twice at a time.

use super::{
    engine::{Engine, State},
    plan::{self, Planned, Tables},
    queue::SLOT_WORDS,
    read::Origin,
    refusal::Refusal,
    request,
    store::Stored, //
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::{
    command::Status,
    flow::{completion::FlowCompletion, request::FlowRequest},
};
use oxnic_kapi::net::flow::{classifier::Counted, BlockId, Cookie, Statistics};
use oxnic_offload::rule::Rule;

/// What is to be told to the device, besides what is stored.
struct Order {
    table: u32,
    planned: Planned,
    /// Why the rule itself is not in the device, if what is told only stands in for it.
    refusal: Option<Refusal>,
}

impl Engine {
    /// Puts a rule into the device, for one binding of its block.
    ///
    /// # Errors
    ///
    /// Its packets are software's. Something may be in the device that sends them up; so it has to be destroyed all the same.
    pub(crate) fn insert(
        &self,
        device: &Arc<Device>,
        block: BlockId,
        rule: &Rule<'_>,
        skip_sw: bool,
        origins: &[Origin],
    ) -> Result<(), Refusal> {
        if !self.queue.is_started() {
            return Err(Refusal::Lost);
        }
        let cookie = Cookie(rule.cookie.0 as usize);
        let mut state = self.state.lock();
        let store = state.store(block).ok_or(Refusal::Lost)?;
        if let Some(stored) = store.get(cookie) {
            stored.users += 1;
            return match stored.stand_in {
                true => Err(Refusal::Shared),
                false => Ok(()),
            };
        }
        let order = self.prepare(device, &mut state, block, rule, skip_sw, origins)?;
        let Some(stored) = state.store(block).and_then(|store| store.get(cookie)) else {
            return Err(Refusal::Lost);
        };
        let header = FlowRequest {
            rule: stored.rule,
            table: order.table,
            priority: stored.place.number,
            match_template: stored.match_template,
            action_template: stored.action_template,
            ..FlowRequest::ZERO
        };
        let counter = stored.counter;
        drop(state);
        let told = self.tell(device, &header, &order.planned, counter);
        match told {
            Ok(()) => order.refusal.map_or(Ok(()), Err),
            Err(refusal) => {
                self.undo(device, block, cookie);
                Err(refusal)
            }
        }
    }

    /// Plans a rule, takes what it needs, and stores it.
    fn prepare(
        &self,
        device: &Arc<Device>,
        state: &mut State,
        block: BlockId,
        rule: &Rule<'_>,
        skip_sw: bool,
        origins: &[Origin],
    ) -> Result<Order, Refusal> {
        for chain in plan::named_chains(rule) {
            state.table(device, &self.caps, block, chain)?;
        }
        let store = state.store(block).ok_or(Refusal::Lost)?;
        let tables = Tables(&store.tables);
        let context = plan::context(&self.caps, skip_sw, origins);
        let whole = context.and_then(|context| plan::whole(rule, &context, &tables));
        let (planned, refusal) = match whole {
            Ok(planned) => (planned, None),
            Err(refusal) if skip_sw => return Err(refusal),
            Err(refusal) => {
                let context = plan::context(&self.caps, false, &[])?;
                (plan::stand_in(rule, &context, &tables)?, Some(refusal))
            }
        };
        let table = store.table(rule.chain.0).ok_or(Refusal::Lost)?;
        let upwards = planned.upwards || refusal.is_some();
        let place = store.priorities.enter(rule, upwards)?;
        let mut order = Order {
            table,
            planned,
            refusal,
        };
        let taken = self.take(device, state, &mut order);
        let stored = match taken {
            Ok((rule, match_template, action_template, counter)) => Stored {
                users: 1,
                rule,
                match_template,
                action_template,
                place,
                counter,
                told: Default::default(),
                stand_in: refusal.is_some(),
            },
            Err(refusal) => {
                if let Some(store) = state.store(block) {
                    store.priorities.leave(&place);
                }
                return Err(refusal);
            }
        };
        let (id, matched, acted) = (stored.rule, stored.match_template, stored.action_template);
        let counter = stored.counter;
        let cookie = Cookie(rule.cookie.0 as usize);
        let kept = match state.store(block) {
            Some(store) => store.insert(cookie, stored),
            None => Err(ENOENT),
        };
        if kept.is_err() {
            state.matches.put(device, matched);
            state.actions.put(device, acted);
            state.rules.give(id);
            if let Some(counter) = counter {
                state.counters.give(counter);
            }
            if let Some(store) = state.store(block) {
                store.priorities.leave(&place);
            }
            return Err(Refusal::Memory);
        }
        Ok(order)
    }

    /// Takes an id for the rule, its templates and its counter, and writes the counter into the arguments.
    fn take(
        &self,
        device: &Arc<Device>,
        state: &mut State,
        order: &mut Order,
    ) -> Result<(u32, u32, u32, Option<super::counters::Counter>), Refusal> {
        let planned = &mut order.planned;
        let list = &planned.conditions;
        let matched = state
            .matches
            .get(device, &list.words, list.count, list.options)?;
        let list = &planned.actions;
        let acted = match state.actions.get(device, &list.words, list.count, 0) {
            Ok(id) => id,
            Err(error) => {
                state.matches.put(device, matched);
                return Err(error.into());
            }
        };
        let limit = state.rules.limit();
        let full = |what, limit| move |error| Refusal::Full { what, limit, error };
        let result = state
            .rules
            .take()
            .map_err(full("rules", limit))
            .and_then(|rule| {
                let Some(at) = planned.counter else {
                    return Ok((rule, None));
                };
                match state.counters.take(device) {
                    Ok(counter) => {
                        let place = planned.arguments.get_mut(at..at + 4);
                        if let Some(place) = place {
                            place.copy_from_slice(&counter.id.to_le_bytes());
                        }
                        Ok((rule, Some(counter)))
                    }
                    Err(error) => {
                        state.rules.give(rule);
                        Err(full("counters", self.caps.counters)(error))
                    }
                }
            });
        match result {
            Ok((rule, counter)) => Ok((rule, matched, acted, counter)),
            Err(refusal) => {
                state.matches.put(device, matched);
                state.actions.put(device, acted);
                Err(refusal)
            }
        }
    }

    /// Tells the device of a counter and of the rule that has it.
    fn tell(
        &self,
        device: &Arc<Device>,
        header: &FlowRequest,
        planned: &Planned,
        counter: Option<super::counters::Counter>,
    ) -> Result<(), Refusal> {
        let words = request::add(header, &planned.key, &planned.arguments)?;
        if words.len() / SLOT_WORDS > self.caps.request_slots_max.into() {
            return Err(Refusal::Long);
        }
        if let Some(counter) = counter {
            self.ask(device, &request::reset_counter(counter))?;
        }
        self.ask(device, &words)
    }

    fn ask(&self, device: &Arc<Device>, words: &[u64]) -> Result<(), Refusal> {
        let unreached = |error| Refusal::Unreached(error);
        let FlowCompletion {
            status, qualifier, ..
        } = self.queue.execute(device, words).map_err(unreached)?;
        match status {
            Status::OK => Ok(()),
            status => Err(Refusal::Device { status, qualifier }),
        }
    }

    /// Takes a rule out of the device that a binding of its block does not have any more, if no other one has it. Does nothing where
    /// it is unknown.
    pub(crate) fn remove(&self, device: &Arc<Device>, block: BlockId, cookie: Cookie) {
        let rule = {
            let mut state = self.state.lock();
            let Some(stored) = state.store(block).and_then(|store| store.get(cookie)) else {
                return;
            };
            stored.users -= 1;
            if stored.users > 0 {
                return;
            }
            stored.rule
        };
        if self.queue.is_started() {
            if let Err(refusal) = self.ask(device, &request::delete(rule)) {
                dev_err!(device.binding(), "rule {}: {}\n", rule, refusal);
            }
        }
        self.undo(device, block, cookie);
    }

    /// Gives back what a rule has taken that is not in the device, or not any more.
    fn undo(&self, device: &Arc<Device>, block: BlockId, cookie: Cookie) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(store) = state.store(block) else {
            return;
        };
        let Some(stored) = store.remove(cookie) else {
            return;
        };
        store.priorities.leave(&stored.place);
        if !self.queue.is_started() {
            // The device has forgotten all objects, and nothing is made anew.
            return;
        }
        state.matches.put(device, stored.match_template);
        state.actions.put(device, stored.action_template);
        state.rules.give(stored.rule);
        if let Some(counter) = stored.counter {
            state.counters.give(counter);
        }
    }

    /// What a rule has seen since the last time.
    ///
    /// # Errors
    ///
    /// `ENOENT`: it is unknown.
    pub(crate) fn count(&self, block: BlockId, cookie: Cookie) -> Result<Counted> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let stored = state.store(block).and_then(|store| store.get(cookie));
        // What stands in for a rule of software counts nothing.
        let stored = stored.filter(|stored| !stored.stand_in);
        let counter = stored.ok_or(ENOENT)?.counter;
        let now = counter.and_then(|counter| state.counters.read(counter));
        let mut statistics = Statistics::default();
        if let Some(stored) = state.store(block).and_then(|store| store.get(cookie)) {
            if let Some(now) = now {
                statistics = Statistics {
                    packets: now.packets.saturating_sub(stored.told.packets),
                    bytes: now.bytes.saturating_sub(stored.told.bytes),
                    age_ms: now.age,
                    ..statistics
                };
                stored.told = now;
            }
        }
        Ok(Counted {
            statistics,
            per_action: false,
        })
    }
}
