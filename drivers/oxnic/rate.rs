// SPDX-License-Identifier: GPL-2.0-only

//! Rates of VFs and of groups of them, as devlink and `ip link set vf` set them.
//!
//! [`Rates`] is the driver's own record: what was set, to bring it back after a reset. Its lock is held over commands; it is taken
//! with the lock of the devlink instance or RTNL held, and none is taken with it. A VF's `tx_max` and `tx_share` are the same
//! thing as its `max_tx_rate` and `min_tx_rate`: in legacy mode the latter are set, in switchdev mode the former, and what was set
//! in one mode is in force in the other.

mod verbs;

pub(crate) use verbs::Verbs;

use crate::{
    cmd,
    command::CommandError,
    device::Device, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex, SetOnce}, //
};
use oxnic_abi::rate::{rate_fields, RateCaps, RateConfig, RateKind};
use oxnic_kapi::devlink::{LeafRates, RateObject};

/// Bytes a second in a Mbit/s.
const MEGABIT: u64 = 125_000;

/// Why a rate could not be set.
#[derive(Clone, Copy)]
pub(crate) enum RateError {
    /// There is no such VF or node.
    NoObject,
    /// All nodes are in use.
    Full,
    /// No memory.
    Memory,
    /// The device refused, or could not be asked.
    Command(CommandError),
}

impl From<RateError> for Error {
    fn from(error: RateError) -> Self {
        match error {
            RateError::NoObject => EINVAL,
            RateError::Full => ENOSPC,
            RateError::Memory => ENOMEM,
            RateError::Command(error) => error.into(),
        }
    }
}

impl kernel::fmt::Display for RateError {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        match self {
            Self::NoObject => f.write_str("there is no such VF or node"),
            Self::Full => f.write_str("no node is left"),
            Self::Memory => f.write_str("no memory"),
            Self::Command(error) => error.fmt(f),
        }
    }
}

/// What was set, by number.
struct Tree {
    leaves: KVec<RateConfig>,
    /// Nodes have numbers from 1.
    nodes: KVec<Option<RateConfig>>,
}

/// One of which nothing is set.
fn new(kind: RateKind, number: u16) -> RateConfig {
    RateConfig {
        fields: rate_fields::ALL,
        kind,
        number,
        ..RateConfig::ZERO
    }
}

impl Tree {
    fn get(&mut self, object: RateObject) -> Option<&mut RateConfig> {
        match object {
            RateObject::Leaf(vf) => self.leaves.get_mut(usize::from(vf)),
            RateObject::Node(node) => {
                let index = usize::from(node).checked_sub(1)?;
                self.nodes.get_mut(index)?.as_mut()
            }
        }
    }

    /// All that are there: nodes first, each behind the one above it.
    fn in_order(&self) -> Result<KVec<RateConfig>> {
        let mut found: KVec<RateConfig> = KVec::new();
        loop {
            let before = found.len();
            for node in self.nodes.iter().flatten() {
                let there = |number: u16| found.iter().any(|other| other.number == number);
                if !there(node.number) && (node.parent == 0 || there(node.parent)) {
                    found.push(*node, GFP_KERNEL)?;
                }
            }
            if found.len() == before {
                break;
            }
        }
        for leaf in self.leaves.iter() {
            if *leaf != new(RateKind::LEAF, leaf.number) {
                found.push(*leaf, GFP_KERNEL)?;
            }
        }
        Ok(found)
    }
}

/// Rates of a function's VFs.
#[pin_data]
pub(crate) struct Rates {
    /// Not set where the device has none.
    caps: SetOnce<RateCaps>,
    #[pin]
    tree: Mutex<Tree>,
}

impl Rates {
    /// Nothing is set.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            caps: SetOnce::new(),
            tree <- new_mutex!(Tree {
                leaves: KVec::new(),
                nodes: KVec::new(),
            }),
        })
    }

    /// What the device can do, if it has rates.
    pub(crate) fn caps(&self) -> Option<&RateCaps> {
        self.caps.as_ref()
    }

    /// So many VFs are there, of which nothing is set; those that were are not.
    ///
    /// # Errors
    ///
    /// There is no memory, and none is there.
    pub(crate) fn start_leaves(&self, count: u16) -> Result {
        let mut leaves = KVec::with_capacity(count.into(), GFP_KERNEL)?;
        for vf in 0..count {
            leaves.push(new(RateKind::LEAF, vf), GFP_KERNEL)?;
        }
        self.tree.lock().leaves = leaves;
        Ok(())
    }

    /// No VF is there any more.
    pub(crate) fn end_leaves(&self) {
        self.tree.lock().leaves = KVec::new();
    }

    /// What devlink is to show of a VF.
    pub(crate) fn leaf(&self, vf: u16) -> LeafRates {
        let mut tree = self.tree.lock();
        tree.get(RateObject::Leaf(vf))
            .map_or(LeafRates::default(), |leaf| LeafRates {
                share: leaf.share,
                max: leaf.max,
                priority: leaf.priority,
                weight: leaf.weight,
                classes: leaf.classes.map(u32::from),
            })
    }
}

impl Device {
    /// Asks a PF whether it has rates; or whether that has changed since probe.
    ///
    /// # Errors
    ///
    /// `ESTALE`: they are others than before a reset.
    pub(crate) fn discover_rates(self: &Arc<Self>) -> Result {
        if self.is_vf() {
            return Ok(());
        }
        let now = cmd::caps::rates(self).ok();
        let now = now.filter(|_| self.eswitch.is_there());
        match (self.rates.caps(), now) {
            (None, Some(caps)) if self.ports().next().is_none() => {
                self.rates.caps.populate(caps);
                Ok(())
            }
            (before, now) => (before == now.as_ref()).then_some(()).ok_or(ESTALE),
        }
    }

    /// Whether a function has rates, or has an eswitch that it was not asked for yet.
    pub(crate) fn may_have_rates(&self) -> bool {
        !self.is_vf() && (self.rates.caps().is_some() || !self.eswitch.is_there())
    }

    /// Sets what a mask names, in the device, then in the record.
    pub(crate) fn set_rate(
        self: &Arc<Self>,
        object: RateObject,
        change: RateConfig,
    ) -> Result<(), RateError> {
        {
            let mut tree = self.rates.tree.lock();
            let record = tree.get(object).ok_or(RateError::NoObject)?;
            let change = RateConfig {
                kind: record.kind,
                number: record.number,
                ..change
            };
            cmd::rate::set(self, &change).map_err(RateError::Command)?;
            *record = record.with(&change);
        }
        // What the device said of the VF has rates in it.
        self.vfs.lock().forget_all();
        Ok(())
    }

    /// Sets the rates of a VF in Mbit/s, as `ip link set vf` names them.
    pub(crate) fn set_vf_rate(
        self: &Arc<Self>,
        vf: u16,
        min: u32,
        max: u32,
    ) -> Result<(), RateError> {
        let change = RateConfig {
            fields: rate_fields::SHARE | rate_fields::MAX,
            share: u64::from(min) * MEGABIT,
            max: u64::from(max) * MEGABIT,
            ..RateConfig::ZERO
        };
        self.set_rate(RateObject::Leaf(vf), change)
    }

    /// Makes a node; its number.
    fn add_rate_node(self: &Arc<Self>) -> Result<u16, RateError> {
        let most = self.rates.caps().map_or(0, |caps| caps.nodes);
        let mut tree = self.rates.tree.lock();
        let free = tree.nodes.iter().position(Option::is_none);
        let index = free.unwrap_or(tree.nodes.len());
        if index >= usize::from(most) {
            return Err(RateError::Full);
        }
        if free.is_none() {
            tree.nodes
                .push(None, GFP_KERNEL)
                .map_err(|_| RateError::Memory)?;
        }
        let number = index as u16 + 1;
        // Of one that the device would not let go nothing is left either.
        let node = new(RateKind::NODE, number);
        cmd::rate::set(self, &node).map_err(RateError::Command)?;
        if let Some(place) = tree.nodes.get_mut(index) {
            *place = Some(node);
        }
        Ok(number)
    }

    /// A node goes, whatever the device says: where that keeps it, nothing lies below it, and the next one takes its place.
    fn remove_rate_node(self: &Arc<Self>, number: u16) {
        let mut tree = self.rates.tree.lock();
        let Some(place) = usize::from(number)
            .checked_sub(1)
            .and_then(|index| tree.nodes.get_mut(index))
        else {
            return;
        };
        *place = None;
        // Devlink has taken away what lay below it, but the device may have refused.
        let leaves = tree.leaves.iter_mut();
        leaves
            .filter(|leaf| leaf.parent == number)
            .for_each(|leaf| leaf.parent = 0);
        let nodes = tree.nodes.iter_mut().flatten();
        nodes
            .filter(|node| node.parent == number)
            .for_each(|node| node.parent = 0);
        if let Err(error) = cmd::rate::destroy_node(self, number) {
            if !self.is_gone() {
                dev_err!(self.binding(), "rate node {}: {}\n", number, error);
            }
        }
    }

    /// Brings all rates back after a reset of the PF. VFs that have outlived it send as they like for the time that this takes.
    pub(crate) fn restore_rates(self: &Arc<Self>) -> Result {
        if self.rates.caps().is_none() {
            return Ok(());
        }
        let tree = self.rates.tree.lock();
        let log = |error: CommandError| {
            dev_err!(self.binding(), "rates cannot be brought back: {}\n", error);
            Error::from(error)
        };
        cmd::rate::destroy_all(self).map_err(log)?;
        for config in tree.in_order()?.iter() {
            cmd::rate::set(self, config).map_err(log)?;
        }
        drop(tree);
        // Who has asked for a VF meanwhile was told of rates that were not there yet.
        self.vfs.lock().forget_all();
        Ok(())
    }

    /// VFs have no representors any more: of their rates those stay that legacy mode has too.
    pub(crate) fn drop_details_of_rates(self: &Arc<Self>) {
        if self.rates.caps().is_none() {
            return;
        }
        let mut tree = self.rates.tree.lock();
        for leaf in tree.leaves.iter_mut() {
            let plain = RateConfig {
                share: leaf.share,
                max: leaf.max,
                ..new(RateKind::LEAF, leaf.number)
            };
            if *leaf == plain {
                continue;
            }
            match cmd::rate::set(self, &plain) {
                Ok(()) => *leaf = plain,
                // It is shown again in switchdev mode.
                Err(error) => dev_err!(
                    self.binding(),
                    "VF {} keeps its place among rates: {}\n",
                    leaf.number,
                    error
                ),
            }
        }
    }
}
