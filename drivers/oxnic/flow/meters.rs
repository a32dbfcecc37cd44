// SPDX-License-Identifier: GPL-2.0-only

//! Meters: the policers of rules. Rules that name one police action of tc share its meter.
//!
//! `known`, a mutex, is held to find a meter, and while the device is told of one; nothing is taken under it but the lock of the admin
//! queue. While the device is reset, meters are made and changed here only, and [`Meters::put_back`] tells the device of them.

use super::{gaps::Gaps, ids::Ids, refusal::Refusal, there::There};
use crate::{
    cmd,
    command::{told, CommandError},
    device::Device, //
};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNode, RBTreeNodeReservation},
    sync::{Arc, Mutex}, //
};
use oxnic_abi::flow::{
    flow_set,
    meter::MeterSet, //
};
use oxnic_offload::plan::meters::unit;
use oxnic_offload::rule::{police::Rate, Police};

struct Meter {
    /// Rules that name it, and the action itself where the kernel has told us of it; never 0.
    rules: u32,
    /// Name of tc's action.
    action: usize,
    rate: Rate,
    mtu: u32,
    /// The kernel tells us when the action changes: what rules say of it may be older.
    follows: bool,
    there: There,
}

impl Meter {
    fn change(
        &mut self,
        device: &Arc<Device>,
        id: u32,
        police: &Police,
        reached: bool,
    ) -> Result<(), Refusal> {
        let (rate, mtu) = (police.rate, police.mtu);
        if (self.rate, self.mtu) != (rate, mtu) {
            if reached && self.there.is() {
                // Where the device is being reset it will be told.
                told(cmd::flow::meter_set(device, &set(id, 0, rate, mtu)))?;
            }
            (self.rate, self.mtu) = (rate, mtu);
        }
        Ok(())
    }

    /// Tells the device of it, which does not have it. Where that is being reset it will be told.
    fn make(&self, device: &Arc<Device>, id: u32) -> Result<(), CommandError> {
        let set = set(id, flow_set::CREATE, self.rate, self.mtu);
        self.there.set(told(cmd::flow::meter_set(device, &set))?);
        Ok(())
    }
}

/// Meters by id, and their ids by the names of tc's actions.
struct Known {
    meters: RBTree<u32, Meter>,
    ids: RBTree<usize, u32>,
}

/// The meters of an engine.
#[pin_data]
pub(crate) struct Meters {
    #[pin]
    ids: Ids,
    #[pin]
    known: Mutex<Known>,
}

impl Meters {
    /// None, of at most `limit`.
    pub(crate) fn new(limit: u32) -> impl PinInit<Self> {
        let known = Known {
            meters: RBTree::new(),
            ids: RBTree::new(),
        };
        pin_init!(Self {
            ids <- Ids::new(limit),
            known <- new_mutex!(known),
        })
    }

    /// The meter of an action of tc; makes it if there is none. Where the action was changed since, the meter is. One more rule
    /// names it.
    ///
    /// # Errors
    ///
    /// Nothing has changed then.
    pub(crate) fn get(
        &self,
        device: &Arc<Device>,
        action: usize,
        police: &Police,
        reached: bool,
    ) -> Result<u32, Refusal> {
        let mut known = self.known.lock();
        let known = &mut *known;
        let id = known.ids.get(&action).copied();
        if let Some((id, meter)) = id.and_then(|id| Some((id, known.meters.get_mut(&id)?))) {
            if !meter.follows {
                meter.change(device, id, police, reached)?;
            }
            if reached && !meter.there.is() {
                meter.make(device, id)?;
            }
            meter.rules += 1;
            return Ok(id);
        }
        let limit = self.ids.limit();
        let id = self.ids.take().map_err(|error| Refusal::Full {
            what: "meters",
            limit,
            error,
        })?;
        let meter = Meter {
            rules: 1,
            action,
            rate: police.rate,
            mtu: police.mtu,
            follows: false,
            there: There::new(),
        };
        self.make(device, known, id, meter, reached)
            .inspect_err(|_| self.ids.give(id))?;
        Ok(id)
    }

    /// The meter of an action of tc, if rules have it.
    pub(crate) fn of(&self, action: usize) -> Option<u32> {
        self.known.lock().ids.get(&action).copied()
    }

    /// A policer was changed: so is its meter, at once.
    ///
    /// # Errors
    ///
    /// Nothing has changed then.
    pub(crate) fn change(
        &self,
        device: &Arc<Device>,
        id: u32,
        police: &Police,
        reached: bool,
    ) -> Result<(), Refusal> {
        match self.known.lock().meters.get_mut(&id) {
            Some(meter) => meter.change(device, id, police, reached),
            None => Ok(()),
        }
    }

    /// From now on, only [`Self::change`] changes a meter, or rules do again.
    pub(crate) fn follow(&self, id: u32, follows: bool) {
        if let Some(meter) = self.known.lock().meters.get_mut(&id) {
            meter.follows = follows;
        }
    }

    fn make(
        &self,
        device: &Arc<Device>,
        known: &mut Known,
        id: u32,
        meter: Meter,
        reached: bool,
    ) -> Result<(), Refusal> {
        let name = RBTreeNode::new(meter.action, id, GFP_KERNEL).map_err(|_| Refusal::Memory)?;
        let room = RBTreeNodeReservation::new(GFP_KERNEL).map_err(|_| Refusal::Memory)?;
        if reached {
            meter.make(device, id)?;
        }
        known.ids.insert(name);
        known.meters.insert(room.into_node(id, meter));
        Ok(())
    }

    /// The device was reset, and has none.
    pub(crate) fn forget(&self) {
        let known = self.known.lock();
        known
            .meters
            .values()
            .for_each(|meter| meter.there.set(false));
        self.ids.reclaim();
    }

    /// Tells the device of all that it does not have.
    ///
    /// # Errors
    ///
    /// It cannot be reached.
    pub(crate) fn put_back(
        &self,
        device: &Arc<Device>,
        gaps: &mut Gaps<'_>,
    ) -> Result<(), Refusal> {
        let known = self.known.lock();
        let mut meters = known.meters.iter();
        meters.try_for_each(|(id, meter)| {
            meter.there.put_back(device, gaps, ("meter", *id), || {
                let set = set(*id, flow_set::CREATE, meter.rate, meter.mtu);
                cmd::flow::meter_set(device, &set)
            })
        })
    }

    /// A rule does not name it any more. Without rules it goes, from the device as well where that has it.
    pub(crate) fn put(&self, device: &Arc<Device>, id: u32, reached: bool) {
        let mut known = self.known.lock();
        let Some(meter) = known.meters.get_mut(&id) else {
            return;
        };
        meter.rules -= 1;
        if meter.rules > 0 {
            return;
        }
        let (action, there) = (meter.action, meter.there.is());
        known.ids.remove(&action);
        known.meters.remove(&id);
        self.ids.end(device, ("meter", id), reached && there, || {
            cmd::flow::meter_destroy(device, id)
        });
    }
}

fn set(id: u32, flags: u16, rate: Rate, mtu: u32) -> MeterSet {
    let (value, burst) = match rate {
        Rate::None => (0, 0),
        Rate::Bytes { rate, burst } | Rate::Packets { rate, burst } => (rate, burst),
    };
    MeterSet {
        id,
        flags,
        unit: unit(rate),
        rate: value,
        burst,
        mtu,
    }
}
