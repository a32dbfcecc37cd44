// SPDX-License-Identifier: GPL-2.0-only

//! Rules into the device and out of it.
//!
//! All that can fail is done before the device is told of the rule: it is planned, gets its place and what it needs. No lock is held
//! over that as a whole, nor while the device works; the lock of the rule's block is taken for its place and to store it.
//! Whatever fails, what came before it is undone. The kernel does not ask about a rule twice at a time.
//!
//! A rule that meets a reset, or comes during one, is kept like those that were in the device before: it gets its place and what it needs,
//! and [`super::restore`] puts it in. One that the device itself has not answered, or answered with nonsense, is refused, so that it does not
//! have the device reset again and again.
//!
//! A rule of nftables that comes back as a transaction fails stays in its chain whatever is said. So where the device refuses it, or what it needs,
//! it is missing, as after a reset.

use super::{
    count::Ways,
    counters::Told,
    desk::Desk,
    engine::Engine,
    extras::Extras,
    holders::Holders,
    limits::Share,
    member::Member,
    place::{Place, Stance},
    plan::{self, Planned, Tables},
    queue::SLOT_WORDS,
    read::Origin,
    refusal::Refusal,
    request,
    store::{Objects, Presence, Room, Store, Stored},
    template::Template,
    tunnel::Tunnel, //
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::flow::request::FlowRequest;
use oxnic_kapi::net::flow::Cookie;
use oxnic_offload::{
    plan::UpperDevice,
    rule::Rule, //
};

/// What becomes of a rule that the device does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stays {
    /// It is refused, and nothing is left of it.
    Refused,
    /// It is missing, and tried again.
    Missing,
    /// The same, and the device has been asked for what it needs, and is not asked now.
    Untold,
}

/// A rule that could not be read. It is then asked for without actions.
#[derive(Clone, Copy)]
pub(crate) struct Unread {
    pub(crate) why: Refusal,
    /// Nor could its key. It is asked for as any packet of its protocol, and what stands in for it sends all of them up.
    pub(crate) key: bool,
}

/// A rule as it is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) rule: &'a Rule<'a>,
    /// Software does not have it.
    pub(crate) skip_sw: bool,
    /// Where its actions come from.
    pub(crate) origins: &'a [Origin<'a>],
    /// Tunnel devices that its actions name.
    pub(crate) tunnels: &'a [Tunnel],
    /// VLAN devices that they name.
    pub(crate) uppers: &'a [UpperDevice],
    /// What of it could not be read.
    pub(crate) unread: Option<Unread>,
    /// The place that it is to have, with nothing to stand in for it: a part of a rule of nftables.
    pub(crate) number: Option<u32>,
    /// It may be older than others of its priority that came before it.
    pub(crate) played_back: bool,
    pub(crate) stays: Stays,
}

impl<'a> Asked<'a> {
    /// Whether something can stand in for the rule where it is refused. Software has to do it then, and the device to send its packets up.
    fn may_stand_in(&self, store: &Store) -> bool {
        !self.skip_sw && !store.block.is_egress() && self.number.is_none()
    }

    /// What its actions name.
    fn tables<'b>(&self, store: &'b Store) -> Tables<'b>
    where
        'a: 'b,
    {
        Tables {
            store,
            tunnels: self.tunnels,
            uppers: self.uppers,
        }
    }
}

/// A rule that has all it needs.
struct Prepared {
    place: Place,
    objects: Objects,
    ways: Ways,
    /// The request that puts it into the device.
    request: KVec<u64>,
    /// Why it only stands in for the rule that was asked for, if it does.
    refusal: Option<Refusal>,
}

/// A rule that is there, or stays.
struct Put {
    prepared: Prepared,
    presence: Presence,
    /// Why it is missing, if it is.
    missing: Option<Refusal>,
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
        member: &Member,
        asked: &Asked<'_>,
    ) -> Result<(), Refusal> {
        match self.try_insert(device, member, asked) {
            Err(_) if self.close_up(device, &member.store, asked) => {
                self.try_insert(device, member, asked)
            }
            inserted => inserted,
        }
    }

    /// The same, with the numbers that there are.
    fn try_insert(
        &self,
        device: &Arc<Device>,
        member: &Member,
        asked: &Asked<'_>,
    ) -> Result<(), Refusal> {
        let store = &*member.store;
        let _going = self.gate.read();
        if !device.eswitch.takes_rules() {
            return Err(Refusal::Legacy);
        }
        let stays = asked.stays != Stays::Refused;
        match self.check(device) {
            // It is tried with all others.
            Err(Refusal::Lost) if stays => {}
            checked => checked?,
        }
        let cookie = Cookie(asked.rule.cookie.0 as usize);
        {
            let mut inner = store.inner.lock();
            if let Some(stored) = inner.get(cookie) {
                stored.holders.add(member.number)?;
                return match stored.stand_in {
                    true => Err(Refusal::Shared),
                    false => Ok(()),
                };
            }
            self.hold_table(device, store, &mut inner, asked.rule.chain)?;
        }
        match self.insert_new(device, member, asked) {
            Ok(stands_in) => stands_in.map_or(Ok(()), Err),
            Err(refusal) => {
                self.release_table(device, store, asked.rule.chain.0);
                Err(refusal)
            }
        }
    }

    /// Puts a rule into the device that it does not have, and whose table is held. Says why something else stands in for it, if so.
    fn insert_new(
        &self,
        device: &Arc<Device>,
        member: &Member,
        asked: &Asked<'_>,
    ) -> Result<Option<Refusal>, Refusal> {
        let store = &*member.store;
        let cookie = Cookie(asked.rule.cookie.0 as usize);
        let room = Room::new()?;
        let holders = Holders::one(member.number)?;
        let Put {
            prepared,
            presence,
            missing,
        } = self.put(device, store, asked)?;
        let Prepared {
            place,
            objects,
            ways,
            request,
            refusal,
        } = prepared;
        let stored = Stored {
            holders,
            stand_in: refusal.is_some(),
            skip_sw: asked.skip_sw,
            presence,
            ways,
            place,
            objects,
            told: Told::default(),
            looked: 0,
            request,
        };
        let extras = stored.objects.more.get();
        let follows =
            extras.is_some_and(|extras| !extras.encaps.is_empty() || extras.local.is_some());
        store.inner.lock().insert(room, cookie, stored);
        if follows {
            device.follow.start(device);
        }
        if let Some(why) = missing {
            self.miss(device, store, cookie, why);
        }
        Ok(refusal)
    }

    /// Has a rule in the device, or something that stands in for it; or kept here, where it is to stay.
    fn put(&self, device: &Arc<Device>, store: &Store, asked: &Asked<'_>) -> Result<Put, Refusal> {
        let stays = asked.stays != Stays::Refused;
        let prepared = match self.prepare(device, store, asked, None) {
            Err(why) if stays => {
                let untold = Asked {
                    stays: Stays::Untold,
                    ..*asked
                };
                return Ok(Put {
                    prepared: self.prepare(device, store, &untold, None)?,
                    presence: Presence::Absent,
                    missing: Some(why),
                });
            }
            prepared => prepared?,
        };
        let refused = prepared.refusal;
        match self.tell_prepared(device, store, asked, prepared) {
            // It has no room for the rule, or cannot do it; it may have room for one that only sends up.
            Err(why @ Refusal::Device { .. }) if refused.is_none() && asked.may_stand_in(store) => {
                let prepared = self.prepare(device, store, asked, Some(why))?;
                let put = self.tell_prepared(device, store, asked, prepared);
                put.map_err(|_| why)
            }
            put => put.map_err(|why| refused.unwrap_or(why)),
        }
    }

    /// Tells the device of a rule that has all it needs. One that does not stay has nothing any more where that fails.
    fn tell_prepared(
        &self,
        device: &Arc<Device>,
        store: &Store,
        asked: &Asked<'_>,
        prepared: Prepared,
    ) -> Result<Put, Refusal> {
        let told = self.tell(device, &prepared.objects, &prepared.request);
        let (presence, missing) = match told {
            Ok(presence) => (presence, None),
            Err(why) if asked.stays == Stays::Refused => {
                self.undo(device, store, &prepared.place, &prepared.objects);
                return Err(why);
            }
            Err(why @ Refusal::Unreached(_)) => (Presence::Suspect, Some(why)),
            Err(why) => (Presence::Absent, Some(why)),
        };
        Ok(Put {
            prepared,
            presence,
            missing,
        })
    }

    /// Plans a rule and takes what it needs; or, where it is refused or was, what stands in for it.
    fn prepare(
        &self,
        device: &Arc<Device>,
        store: &Store,
        asked: &Asked<'_>,
        refused: Option<Refusal>,
    ) -> Result<Prepared, Refusal> {
        let mut desk = self.desks.lend(&self.caps)?;
        let whole = match refused {
            Some(why) => Err(why),
            None => self.prepare_whole(device, store, asked, &mut desk),
        };
        let prepared = match whole {
            Err(why) if asked.may_stand_in(store) => {
                let stands_in = self.prepare_stand_in(device, store, asked, why, &mut desk);
                // That nothing can stand in for it is not what is wrong with the rule, but where nothing needs to.
                stands_in.map_err(|lack| match lack.takes_nothing() {
                    true => lack,
                    false => why,
                })
            }
            whole => whole,
        };
        self.desks.take_back(desk);
        prepared
    }

    fn prepare_whole(
        &self,
        device: &Arc<Device>,
        store: &Store,
        asked: &Asked<'_>,
        desk: &mut Desk,
    ) -> Result<Prepared, Refusal> {
        if let Some(unread) = asked.unread {
            return Err(unread.why);
        }
        self.admit(device, store, asked)?;
        let mut chains = self.hold_targets(device, store, asked.rule)?;
        let prepared = self.prepare_with(device, store, asked, desk, &mut chains);
        // Those that it has not taken along.
        self.release_tables(device, store, &chains);
        prepared
    }

    /// Prepares a rule that is admitted. It takes along the tables that it leads to.
    fn prepare_with(
        &self,
        device: &Arc<Device>,
        store: &Store,
        asked: &Asked<'_>,
        desk: &mut Desk,
        chains: &mut KVec<u32>,
    ) -> Result<Prepared, Refusal> {
        let ways = Ways::new(asked.rule.actions, asked.origins, store.of_tc);
        let context = plan::context(&self.caps, store, asked.skip_sw, ways.statistics);
        let planned = plan::whole(asked.rule, &context, &asked.tables(store), desk)?;
        let stance = match planned.upwards {
            true => Stance::Upwards,
            false => Stance::Whole,
        };
        let mut kept = self.keep(device, store, asked, planned, stance, Some(ways))?;
        if chains.is_empty() {
            return Ok(kept);
        }
        match kept.objects.more.make() {
            Ok(extras) => core::mem::swap(&mut extras.chains, chains),
            Err(error) => {
                self.undo(device, store, &kept.place, &kept.objects);
                return Err(error.into());
            }
        }
        Ok(kept)
    }

    fn prepare_stand_in(
        &self,
        device: &Arc<Device>,
        store: &Store,
        asked: &Asked<'_>,
        refusal: Refusal,
        desk: &mut Desk,
    ) -> Result<Prepared, Refusal> {
        let stance = match asked.unread {
            Some(Unread { key: true, .. }) => Stance::Unread,
            _ => Stance::Upwards,
        };
        let context = plan::context(&self.caps, store, false, Ways::OFF.statistics);
        let planned = plan::stand_in(asked.rule, &context, &asked.tables(store), desk)?;
        let mut kept = self.keep(device, store, asked, planned, stance, None)?;
        kept.refusal = Some(refusal);
        Ok(kept)
    }

    /// Takes what a plan needs. Where something is lacking, nothing has changed.
    fn keep(
        &self,
        device: &Arc<Device>,
        store: &Store,
        asked: &Asked<'_>,
        mut planned: Planned<'_>,
        stance: Stance,
        ways: Option<Ways>,
    ) -> Result<Prepared, Refusal> {
        let (table, place) = {
            let mut inner = store.inner.lock();
            let table = inner.table(asked.rule.chain.0).ok_or(Refusal::Lost)?;
            let place = match asked.number {
                Some(number) => Place::given(number),
                None => inner
                    .priorities
                    .enter(asked.rule, stance, asked.played_back)?,
            };
            (table, place)
        };
        let mut objects = Objects::default();
        let share = match ways {
            Some(_) => Share::Common,
            None => Share::All,
        };
        // What stands in for a rule opens nothing: it is there for packets that other rules let in.
        let local = match ways {
            Some(_) => self.take_local(device, store, asked.rule, &mut objects),
            None => Ok(()),
        };
        let request = local
            .and_then(|()| self.take(device, asked, &mut planned, &mut objects, share))
            .and_then(|()| match ways {
                Some(ways) => {
                    let of = (asked, &place);
                    self.name_actions(store, of, &planned, ways, &mut objects)
                }
                // What stands in for a rule does nothing of it.
                None => Ok(()),
            })
            .and_then(|()| self.request(table, &place, &objects, &planned));
        match request {
            Ok(request) => Ok(Prepared {
                place,
                objects,
                ways: ways.unwrap_or(Ways::OFF),
                request,
                refusal: None,
            }),
            Err(refusal) => {
                self.undo(device, store, &place, &objects);
                Err(refusal)
            }
        }
    }

    /// Lets the packets that a rule of a tunnel device is about into its table.
    fn take_local(
        &self,
        device: &Arc<Device>,
        store: &Store,
        rule: &Rule<'_>,
        objects: &mut Objects,
    ) -> Result<(), Refusal> {
        let Some(tunnel) = &store.tunnel else {
            return Ok(());
        };
        let (local, peer) = tunnel.ends_of(&rule.key);
        let local = local.ok_or(Refusal::Underlay)?;
        let extras = objects.more.make()?;
        extras.local = Some(self.add_local(device, tunnel, local, peer)?);
        Ok(())
    }

    /// The request that puts a rule into the device.
    fn request(
        &self,
        table: u32,
        place: &Place,
        objects: &Objects,
        planned: &Planned<'_>,
    ) -> Result<KVec<u64>, Refusal> {
        let id = |template: &Option<Arc<Template>>| template.as_ref().map(|template| template.id());
        let header = FlowRequest {
            rule: objects.rule.ok_or(Refusal::Lost)?,
            table,
            priority: place.number,
            match_template: id(&objects.match_template).ok_or(Refusal::Lost)?,
            action_template: id(&objects.action_template).ok_or(Refusal::Lost)?,
            cookie: planned.cookie,
            ..FlowRequest::ZERO
        };
        let request = request::add(&header, planned.key, planned.arguments)?;
        if self.is_long(&request) {
            return Err(Refusal::Long);
        }
        Ok(request)
    }

    /// Whether a request is longer than the device takes.
    pub(super) fn is_long(&self, request: &[u64]) -> bool {
        request.len() / SLOT_WORDS > self.caps.request_slots_max.into()
    }

    /// Takes a rule out of the device that a binding of its block does not have any more, if no other one has it. Does nothing where
    /// the binding does not have it. Says whether it had the rule, and not just something that stood in for it.
    pub(crate) fn remove(&self, device: &Arc<Device>, member: &Member, cookie: Cookie) -> bool {
        let store = &*member.store;
        let _going = self.gate.read();
        let stored = {
            let mut inner = store.inner.lock();
            let Some(stored) = inner.get(cookie) else {
                return false;
            };
            if !stored.holders.remove(member.number) {
                return false;
            }
            if !stored.holders.is_empty() {
                return !stored.stand_in;
            }
            inner.remove(cookie)
        };
        let Some(stored) = stored else {
            return false;
        };
        match (stored.presence, stored.objects.rule) {
            (Presence::There, Some(rule)) if self.is_reached() => {
                let deleted = self.delete_rule(device, rule, &stored.objects);
                if let Err(Refusal::Device { .. }) = deleted {
                    self.take_out(device, rule);
                }
            }
            (Presence::There, _) => {}
            (Presence::Interim, Some(rule)) => {
                if self.is_reached() {
                    self.take_out(device, rule);
                }
                self.forget_missing(device, store.block, cookie);
            }
            _ => self.forget_missing(device, store.block, cookie),
        }
        self.undo(device, store, &stored.place, &stored.objects);
        self.release_table(device, store, stored.place.of_tc().0);
        !stored.stand_in
    }

    /// Gives back what a rule has taken that is not in the device, or not any more.
    fn undo(&self, device: &Arc<Device>, store: &Store, place: &Place, objects: &Objects) {
        store.inner.lock().priorities.leave(place);
        // Else the device forgets everything in the reset that is due.
        let reached = self.is_reached();
        if let Some(template) = &objects.match_template {
            self.matches.put(device, template, reached);
        }
        if let Some(template) = &objects.action_template {
            self.actions.put(device, template, reached);
        }
        if let Some(extras) = objects.more.get() {
            if let Some(rule) = objects.rule {
                self.shared.leave(&extras.shared, rule, &self.counters);
            }
            self.put_extras(device, extras, reached);
            self.release_tables(device, store, &extras.chains);
        }
        for counter in objects.counters() {
            self.counters.give(counter);
        }
        if let Some(rule) = objects.rule {
            self.rules.give(rule);
        }
    }

    fn put_extras(&self, device: &Arc<Device>, extras: &Extras, reached: bool) {
        for meter in &extras.meters {
            self.meters.put(device, meter.meter, reached);
        }
        for sampler in &extras.samplers {
            self.samplers.put(&device.samplers, *sampler);
        }
        for encap in &extras.encaps {
            self.encaps.lock().put(device, *encap, reached);
        }
        if let Some(local) = extras.local {
            self.put_local(device, local, reached);
        }
    }
}
