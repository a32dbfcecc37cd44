// SPDX-License-Identifier: GPL-2.0-only

//! Rules get other numbers: each is put into the device once more, and then taken out where it was.
//!
//! Rules of tc, where masks of a priority have come and gone until no number behind the last one is left: each mask gets the lowest numbers
//! that are free before it (`oxnic_offload::plan::order`). The gate of the engine is closed meanwhile, so that no rule comes or goes. Rules of
//! nftables have their own reasons ([`super::chain`]).

use super::{
    engine::Engine,
    install::Asked,
    refusal::Refusal,
    request,
    store::{Presence, Store}, //
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::net::flow::Cookie;
use oxnic_offload::rule::Chain;

impl Engine {
    /// Makes room for the mask of a rule of tc that has found none. Says whether there is any now.
    pub(super) fn close_up(&self, device: &Arc<Device>, store: &Store, asked: &Asked<'_>) -> bool {
        if asked.number.is_some() {
            return false;
        }
        let at = (asked.rule.chain.0, asked.rule.priority);
        {
            let mut inner = store.inner.lock();
            let cookie = Cookie(asked.rule.cookie.0 as usize);
            // Something stands in for it.
            if inner.get(cookie).is_some() || !inner.priorities.is_used_up(at) {
                return false;
            }
        }
        let _alone = self.gate.write();
        match self.move_masks(device, store, at) {
            Ok(()) => true,
            Err(refusal) => {
                dev_warn!(
                    device.binding(),
                    "rules of pref {} keep their numbers: {}\n",
                    asked.rule.priority,
                    refusal
                );
                false
            }
        }
    }

    /// Gives the masks of a priority the lowest numbers. The gate is held for writing.
    ///
    /// # Errors
    ///
    /// Some rules of one mask may have theirs, and have no other mask's between them and the rest. They are moved with the rest the next time.
    fn move_masks(
        &self,
        device: &Arc<Device>,
        store: &Store,
        at: (u32, u32),
    ) -> Result<(), Refusal> {
        loop {
            let mut rules = KVec::new();
            let what = {
                let mut inner = store.inner.lock();
                let Some(what) = inner.priorities.lowest_move(at) else {
                    return Ok(());
                };
                inner.places(|cookie, place, priorities| {
                    match priorities.after(at, what, place) {
                        Some(number) => rules.push((cookie, number), GFP_KERNEL),
                        None => Ok(()),
                    }
                })?;
                what
            };
            for (cookie, number) in &rules {
                self.renumber(device, store, *cookie, *number)?;
            }
            store.inner.lock().priorities.moved(at, what);
        }
    }

    /// Gives a rule a new number. There need not be such a rule, and it need not be in the device. The gate is held, and nobody else asks about
    /// the rule meanwhile.
    ///
    /// # Errors
    ///
    /// It has the number that it had.
    pub(super) fn renumber(
        &self,
        device: &Arc<Device>,
        store: &Store,
        cookie: Cookie,
        number: u32,
    ) -> Result<(), Refusal> {
        let mut request = KVec::new();
        let (presence, chain) = {
            let mut inner = store.inner.lock();
            let stored = inner.get(cookie);
            let Some(stored) = stored.filter(|stored| stored.place.number != number) else {
                return Ok(());
            };
            request.extend_from_slice(&stored.request, GFP_KERNEL)?;
            (stored.presence, Chain(stored.place.of_tc().0))
        };
        let limit = self.rules.limit();
        let id = self.rules.take().map_err(|error| Refusal::Full {
            what: "rules",
            limit,
            error,
        })?;
        request::renumber(&mut request, id, number);
        let reached = self.is_reached();
        let asked = match presence {
            Presence::There if reached => self.ask(device, &request),
            Presence::Interim if reached => self
                .interim(device, store, chain, &request)
                .and_then(|request| self.ask(device, &request)),
            _ => Ok(()),
        };
        let was_there = reached && matches!(presence, Presence::There | Presence::Interim);
        match asked {
            // Where it is being reset it will be told.
            Ok(()) | Err(Refusal::Unreached(EAGAIN)) => {}
            Err(refusal) => {
                self.rules.give(id);
                return Err(refusal);
            }
        }
        let old = {
            let mut inner = store.inner.lock();
            let stored = inner.get(cookie).ok_or(Refusal::Lost)?;
            stored.request = request;
            stored.place.number = number;
            let old = stored.objects.rule.replace(id);
            if let (Some(old), Some(extras)) = (old, stored.objects.more.get()) {
                self.shared.rename(&extras.shared, old, id);
            }
            old
        };
        if let Some(old) = old {
            if was_there && self.is_reached() {
                self.take_out(device, old);
            }
            self.rules.give(old);
        }
        Ok(())
    }
}
