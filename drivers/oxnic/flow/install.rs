// SPDX-License-Identifier: GPL-2.0-only

//! Rules into the device and out of it.
//!
//! All that can fail is done before the device is told of the rule, under the lock of the engine; then the lock is given up while
//! the device works. Whatever fails, what came before it is undone. The kernel does not ask about a rule twice at a time. Where a
//! reset comes between, what was under way is undone as well, and [`super::restore`] leaves it out.

use super::{
    counters::{Count, Counter},
    engine::{Engine, State},
    place::{Place, Stance},
    plan::{self, Planned, Tables},
    queue::{Ticket, SLOT_WORDS},
    read::Origin,
    refusal::Refusal,
    request,
    store::{BlockSide, Objects, Room, Stored}, //
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::{
    command::Status,
    flow::{capability::FlowCaps, completion::FlowCompletion, request::FlowRequest},
};
use oxnic_kapi::net::flow::{classifier::Counted, Cookie, Statistics};
use oxnic_offload::rule::{Action, Rule};

/// A rule as it is asked for.
pub(crate) struct Asked<'a> {
    pub(crate) rule: &'a Rule<'a>,
    /// Software does not have it.
    pub(crate) skip_sw: bool,
    /// Where its actions come from.
    pub(crate) origins: &'a [Origin],
    /// Why it could not be read. The rule is then any packet of its protocol, and what stands in for it sends all of them up.
    pub(crate) unread: Option<Refusal>,
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
        block: BlockSide,
        asked: &Asked<'_>,
    ) -> Result<(), Refusal> {
        if !self.queue.is_started() {
            return Err(Refusal::Lost);
        }
        let cookie = Cookie(asked.rule.cookie.0 as usize);
        let mut state = self.state.lock();
        let store = state.store(block).ok_or(Refusal::Lost)?;
        if let Some(stored) = store.get(cookie) {
            stored.users += 1;
            return match stored.stand_in {
                true => Err(Refusal::Shared),
                false => Ok(()),
            };
        }
        let refusal = self.prepare(device, &mut state, block, asked)?;
        let mut request = KVec::new();
        let mut counter = None;
        let mut copied = Ok(());
        if let Some(stored) = state.store(block).and_then(|store| store.get(cookie)) {
            counter = stored.objects.counter;
            copied = request.extend_from_slice(&stored.request, GFP_KERNEL);
        }
        let epoch = state.epoch;
        drop(state);
        let told = copied
            .map_err(Refusal::from)
            .and_then(|()| self.tell(device, counter, &request))
            .and_then(|()| {
                let confirmed = self.confirm(block, cookie, epoch);
                if confirmed.is_err() {
                    // It may have come into the device behind the reset. Where it has not, that is what was wanted.
                    let _ = self.ask(device, &request::delete_added(&request));
                }
                confirmed
            });
        match told {
            Ok(()) => refusal.map_or(Ok(()), Err),
            Err(error) => {
                self.undo(device, block, cookie);
                Err(error)
            }
        }
    }

    /// A rule is in the device, unless that was reset meanwhile.
    fn confirm(&self, block: BlockSide, cookie: Cookie, epoch: u32) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        if state.epoch != epoch || !self.queue.is_started() {
            return Err(Refusal::Unreached(EAGAIN));
        }
        let stored = state.store(block).and_then(|store| store.get(cookie));
        stored.ok_or(Refusal::Lost)?.live = true;
        Ok(())
    }

    /// Plans a rule, takes what it needs, and stores it with the request that is to be sent. The answer is why the rule itself is not
    /// among that, where it only stands in for it.
    fn prepare(
        &self,
        device: &Arc<Device>,
        state: &mut State,
        block: BlockSide,
        asked: &Asked<'_>,
    ) -> Result<Option<Refusal>, Refusal> {
        let rule = asked.rule;
        for chain in plan::named_chains(rule) {
            state.table(device, &self.caps, block, chain)?;
        }
        let whole = match asked.unread {
            Some(refusal) => Err(refusal),
            None => self.plan_whole(state, block, asked),
        };
        let kept = whole.and_then(|planned| {
            let stance = match planned.upwards {
                true => Stance::Upwards,
                false => Stance::Whole,
            };
            self.keep(device, state, block, asked, planned, stance, false)
        });
        let refusal = match kept {
            Ok(()) => return Ok(None),
            // At egress nothing can stand in for a rule.
            Err(refusal) if asked.skip_sw || block.is_egress() => return Err(refusal),
            Err(refusal) => refusal,
        };
        let stance = match asked.unread {
            Some(_) => Stance::Unread,
            None => Stance::Upwards,
        };
        let store = state.store(block).ok_or(Refusal::Lost)?;
        let context = plan::context(&self.caps, block.is_egress(), false, &[])?;
        let planned = plan::stand_in(rule, &context, &Tables(&store.tables))?;
        self.keep(device, state, block, asked, planned, stance, true)?;
        Ok(Some(refusal))
    }

    fn plan_whole(
        &self,
        state: &mut State,
        block: BlockSide,
        asked: &Asked<'_>,
    ) -> Result<Planned, Refusal> {
        let store = state.store(block).ok_or(Refusal::Lost)?;
        let context = plan::context(&self.caps, block.is_egress(), asked.skip_sw, asked.origins)?;
        plan::whole(asked.rule, &context, &Tables(&store.tables))
    }

    /// Takes what a plan needs, and stores it. Where something is lacking, nothing has changed.
    #[allow(clippy::too_many_arguments)] // A plan, and all that it belongs to.
    fn keep(
        &self,
        device: &Arc<Device>,
        state: &mut State,
        block: BlockSide,
        asked: &Asked<'_>,
        mut planned: Planned,
        stance: Stance,
        stand_in: bool,
    ) -> Result<(), Refusal> {
        let Asked { rule, origins, .. } = *asked;
        let room = Room::new()?;
        let store = state.store(block).ok_or(Refusal::Lost)?;
        let table = store.table(rule.chain.0).ok_or(Refusal::Lost)?;
        let place = store.priorities.enter(rule, stance)?;
        let mut objects = Objects::default();
        let taken = state
            .take(
                device,
                &self.caps,
                rule,
                origins,
                &mut planned,
                &mut objects,
            )
            .and_then(|()| self.request(table, &place, &objects, &planned));
        let request = match taken {
            Ok(request) => request,
            Err(refusal) => {
                if let Some(store) = state.store(block) {
                    store.priorities.leave(&place);
                }
                state.release(device, &objects, true);
                return Err(refusal);
            }
        };
        let stored = Stored {
            users: 1,
            objects,
            place,
            told: Count::default(),
            carried: Count::default(),
            request,
            live: false,
            stand_in,
        };
        if let Some(store) = state.store(block) {
            store.insert(room, Cookie(rule.cookie.0 as usize), stored);
        }
        Ok(())
    }

    /// The request that puts a rule into the device.
    fn request(
        &self,
        table: u32,
        place: &Place,
        objects: &Objects,
        planned: &Planned,
    ) -> Result<KVec<u64>, Refusal> {
        let header = FlowRequest {
            rule: objects.rule.ok_or(Refusal::Lost)?,
            table,
            priority: place.number,
            match_template: objects.match_template.ok_or(Refusal::Lost)?,
            action_template: objects.action_template.ok_or(Refusal::Lost)?,
            ..FlowRequest::ZERO
        };
        let request = request::add(&header, &planned.key, &planned.arguments)?;
        if request.len() / SLOT_WORDS > self.caps.request_slots_max.into() {
            return Err(Refusal::Long);
        }
        Ok(request)
    }

    /// Tells the device of a counter and of the rule that has it. Both are on their way before either is waited for.
    fn tell(
        &self,
        device: &Arc<Device>,
        counter: Option<Counter>,
        request: &[u64],
    ) -> Result<(), Refusal> {
        let submit = |words: &[u64]| self.queue.submit(device, words);
        let first = counter.map(|counter| submit(&request::reset_counter(counter)));
        let second = submit(request);
        let reset = first.map_or(Ok(()), |ticket| self.result(device, ticket));
        let added = self.result(device, second);
        if reset.is_err() && added.is_ok() {
            self.ask(device, &request::delete_added(request))?;
        }
        reset.and(added)
    }

    /// Has one request carried out.
    fn ask(&self, device: &Arc<Device>, words: &[u64]) -> Result<(), Refusal> {
        self.result(device, self.queue.submit(device, words))
    }

    /// Waits for the result of a request that was put into the queue, or was not.
    pub(super) fn result(
        &self,
        device: &Arc<Device>,
        ticket: Result<Ticket>,
    ) -> Result<(), Refusal> {
        let completion = ticket.and_then(|ticket| self.queue.wait(device, ticket));
        let FlowCompletion {
            status, qualifier, ..
        } = completion.map_err(Refusal::Unreached)?;
        match status {
            Status::OK => Ok(()),
            status => Err(Refusal::Device { status, qualifier }),
        }
    }

    /// Takes a rule out of the device that a binding of its block does not have any more, if no other one has it. Does nothing where
    /// it is unknown.
    pub(crate) fn remove(&self, device: &Arc<Device>, block: BlockSide, cookie: Cookie) {
        let rule = {
            let mut state = self.state.lock();
            let Some(stored) = state.store(block).and_then(|store| store.get(cookie)) else {
                return;
            };
            stored.users -= 1;
            if stored.users > 0 {
                return;
            }
            // A reset that comes now does not put it back.
            stored.live = false;
            stored.objects.rule
        };
        if let Some(rule) = rule.filter(|_| self.queue.is_started()) {
            if let Err(refusal) = self.ask(device, &request::delete(rule)) {
                dev_err!(device.binding(), "rule {}: {}\n", rule, refusal);
            }
        }
        self.undo(device, block, cookie);
    }

    /// Gives back what a rule has taken that is not in the device, or not any more.
    fn undo(&self, device: &Arc<Device>, block: BlockSide, cookie: Cookie) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(store) = state.store(block) else {
            return;
        };
        let Some(stored) = store.remove(cookie) else {
            return;
        };
        store.priorities.leave(&stored.place);
        // Else the device forgets everything in the reset that is due.
        let reached = self.queue.is_started();
        state.release(device, &stored.objects, reached);
    }

    /// What a rule has seen since the last time.
    ///
    /// # Errors
    ///
    /// `ENOENT`: it is unknown.
    pub(crate) fn count(&self, block: BlockSide, cookie: Cookie) -> Result<Counted> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let stored = state.store(block).and_then(|store| store.get(cookie));
        // What stands in for a rule of software counts nothing.
        let stored = stored.filter(|stored| !stored.stand_in);
        let counter = stored.ok_or(ENOENT)?.objects.counter;
        let now = counter.and_then(|counter| state.counters.read(counter));
        let mut seen = Count::default();
        if let Some(stored) = state.store(block).and_then(|store| store.get(cookie)) {
            if let Some(now) = now {
                seen = now.since(&stored.told);
                stored.told = now;
            }
            seen = seen.and(&core::mem::take(&mut stored.carried));
        }
        Ok(Counted {
            statistics: Statistics {
                packets: seen.packets,
                bytes: seen.bytes,
                age_ms: seen.age,
                ..Statistics::default()
            },
            per_action: false,
        })
    }
}

impl State {
    /// Takes an id for a rule, its templates, its counter and its meters, and writes the latter two into the arguments. What was taken
    /// is in `objects`, also where it fails.
    fn take(
        &mut self,
        device: &Arc<Device>,
        caps: &FlowCaps,
        rule: &Rule<'_>,
        origins: &[Origin],
        planned: &mut Planned,
        objects: &mut Objects,
    ) -> Result<(), Refusal> {
        let full = |what, limit| move |error| Refusal::Full { what, limit, error };
        let list = &planned.conditions;
        let template = self
            .matches
            .get(device, &list.words, list.count, list.options)?;
        objects.match_template = Some(template);
        let list = &planned.actions;
        let template = self.actions.get(device, &list.words, list.count, 0)?;
        objects.action_template = Some(template);
        let limit = self.rules.limit();
        objects.rule = Some(self.rules.take().map_err(full("rules", limit))?);
        if let Some(at) = planned.counter {
            let counter = self.counters.take(device);
            let counter = counter.map_err(full("counters", caps.counters))?;
            objects.counter = Some(counter);
            fill(&mut planned.arguments, at, counter.id)?;
        }
        objects.meters.reserve(planned.meters.len(), GFP_KERNEL)?;
        for (at, police) in &planned.meters {
            let same = |(action, _): &(&Action<'_>, &Origin)| **action == Action::Police(*police);
            let mut actions = rule.actions.iter().zip(origins);
            let (_, origin) = actions.find(same).ok_or(Refusal::Verdict("police"))?;
            let meter = self.meters.get(device, origin.cookie, police)?;
            objects.meters.push(meter, GFP_KERNEL)?;
            fill(&mut planned.arguments, *at, meter)?;
        }
        Ok(())
    }

    /// Gives back what a rule has taken; in the device too, where that has it.
    fn release(&mut self, device: &Arc<Device>, objects: &Objects, reached: bool) {
        if let Some(template) = objects.match_template {
            self.matches.put(device, template, reached);
        }
        if let Some(template) = objects.action_template {
            self.actions.put(device, template, reached);
        }
        if let Some(rule) = objects.rule {
            self.rules.give(rule);
        }
        if let Some(counter) = objects.counter {
            self.counters.give(counter);
        }
        for meter in &objects.meters {
            self.meters.put(device, *meter, reached);
        }
    }
}

/// Writes an id into the arguments of a rule.
fn fill(arguments: &mut [u8], at: usize, id: u32) -> Result<(), Refusal> {
    let place = arguments.get_mut(at..at + 4).ok_or(Refusal::Long)?;
    place.copy_from_slice(&id.to_le_bytes());
    Ok(())
}
