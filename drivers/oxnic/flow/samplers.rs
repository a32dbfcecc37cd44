// SPDX-License-Identifier: GPL-2.0-only

//! Samplers: the names of copies that come up, and to whom they go. Rules with the same listeners, rate and length share one.
//!
//! `used`, a mutex, is held to find, make and end them; nothing is taken under it.

use super::{ids::Ids, refusal::Refusal};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{rcu, Mutex}, //
};
use oxnic_kapi::{
    net::flow::{Sampler, Samples},
    rcu_table::RcuTable, //
};

/// Most of them. The device has no limit: a name is a number.
const LIMIT: u32 = 1 << 16;

struct Used {
    id: u32,
    /// Rules that name it, never 0.
    rules: u32,
}

/// Which samplers rules have. They themselves are in a table of the function's, which receive queues look at.
#[pin_data]
pub(crate) struct Samplers {
    #[pin]
    ids: Ids,
    #[pin]
    used: Mutex<KVec<Used>>,
}

impl Samplers {
    /// None.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            ids <- Ids::new(LIMIT),
            used <- new_mutex!(KVec::new()),
        })
    }

    /// The name of these copies. One more rule has it.
    ///
    /// # Errors
    ///
    /// Nothing has changed then.
    pub(crate) fn get(
        &self,
        table: &RcuTable<Sampler>,
        wanted: &Samples<'_>,
    ) -> Result<u32, Refusal> {
        let mut used = self.used.lock();
        if let Some(used) = used.iter_mut().find(|used| {
            let guard = rcu::read_lock();
            let sampler = table.get(used.id, &guard);
            sampler.is_some_and(|sampler| sampler.is_for(wanted))
        }) {
            used.rules += 1;
            return Ok(used.id);
        }
        used.reserve(1, GFP_KERNEL)?;
        let sampler = Sampler::new(wanted).map_err(|error| match error {
            ENOENT => Refusal::Feature {
                action: "sample",
                feature: "a copy without the module psample",
            },
            _ => Refusal::Memory,
        })?;
        let sampler = KBox::new(sampler, GFP_KERNEL)?;
        let id = self.ids.take().map_err(|error| Refusal::Full {
            what: "samplers",
            limit: LIMIT,
            error,
        })?;
        if table.store(id, sampler).is_err() {
            self.ids.give(id);
            return Err(Refusal::Memory);
        }
        // There is room, see above.
        let _ = used.push(Used { id, rules: 1 }, GFP_KERNEL);
        Ok(id)
    }

    /// One more rule has the name of these copies, which a rule has already.
    ///
    /// # Errors
    ///
    /// None has it.
    pub(crate) fn hold(&self, id: u32) -> Result<u32, Refusal> {
        let mut used = self.used.lock();
        let used = used.iter_mut().find(|used| used.id == id);
        used.ok_or(Refusal::Lost)?.rules += 1;
        Ok(id)
    }

    /// A rule does not have it any more. Without rules it goes. Sleeps.
    pub(crate) fn put(&self, table: &RcuTable<Sampler>, id: u32) {
        let mut used = self.used.lock();
        let Some(at) = used.iter().position(|used| used.id == id) else {
            return;
        };
        used[at].rules -= 1;
        if used[at].rules > 0 {
            return;
        }
        // `at` was found above.
        let _ = used.remove(at);
        drop(table.remove(id));
        self.ids.give(id);
    }
}
