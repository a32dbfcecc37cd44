// SPDX-License-Identifier: GPL-2.0-only

//! What is in the device for one side of a block of tc: a table for each chain, and rules by their cookies.

use super::{
    counters::{Count, Counter},
    engine::Side,
    place::{Place, Priorities},
};
use kernel::{
    alloc::AllocError,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation}, //
};
use oxnic_abi::flow::port::FlowDirection;
use oxnic_kapi::net::flow::{BlockId, Cookie};

/// A side of a block. What the device makes of a rule depends on the side that it is at, so a block that is bound to both has its rules
/// twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockSide {
    pub(crate) block: BlockId,
    pub(crate) direction: FlowDirection,
}

impl BlockSide {
    /// Whether its rules are at egress.
    pub(crate) fn is_egress(self) -> bool {
        self.direction == FlowDirection::EGRESS
    }
}

/// What a rule has of the engine's.
#[derive(Default)]
pub(crate) struct Objects {
    /// Its id in the device.
    pub(crate) rule: Option<u32>,
    pub(crate) match_template: Option<u32>,
    pub(crate) action_template: Option<u32>,
    pub(crate) counter: Option<Counter>,
    pub(crate) meters: KVec<u32>,
}

/// A rule that is in the device, or on its way to or from it.
pub(crate) struct Stored {
    /// Bindings of the block that have asked for it; it goes with the last.
    pub(crate) users: u32,
    pub(crate) objects: Objects,
    pub(crate) place: Place,
    /// What the kernel was told of the counter already.
    pub(crate) told: Count,
    /// What was counted before a reset, and the kernel was not told of.
    pub(crate) carried: Count,
    /// The request that puts it into the device.
    pub(crate) request: KVec<u64>,
    /// It is in the device, and is to be put back after a reset.
    pub(crate) live: bool,
    /// Software does it; the rule in the device only stands in for it.
    pub(crate) stand_in: bool,
}

/// Room for a rule.
pub(crate) struct Room(RBTreeNodeReservation<usize, Stored>);

impl Room {
    /// Allocates it.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn new() -> Result<Self, AllocError> {
        let room = RBTreeNodeReservation::new(GFP_KERNEL);
        room.map(Self).map_err(|_| AllocError)
    }
}

/// A block that this side of at least one interface is bound to.
pub(crate) struct Store {
    pub(crate) block: BlockSide,
    /// What is bound.
    pub(crate) sides: KVec<Side>,
    /// Chains and their tables. They stay as long as the block is bound.
    pub(crate) tables: KVec<(u32, u32)>,
    pub(crate) priorities: Priorities,
    rules: RBTree<usize, Stored>,
}

impl Store {
    /// Of a block that nothing is bound to yet.
    pub(crate) fn new(block: BlockSide) -> Self {
        Self {
            block,
            sides: KVec::new(),
            tables: KVec::new(),
            priorities: Priorities::new(),
            rules: RBTree::new(),
        }
    }

    /// The table of a chain, if it has one.
    pub(crate) fn table(&self, chain: u32) -> Option<u32> {
        self.tables
            .iter()
            .find(|(of, _)| *of == chain)
            .map(|(_, table)| *table)
    }

    /// A rule.
    pub(crate) fn get(&mut self, cookie: Cookie) -> Option<&mut Stored> {
        self.rules.get_mut(&cookie.0)
    }

    /// Keeps a rule, which is not there yet.
    pub(crate) fn insert(&mut self, room: Room, cookie: Cookie, rule: Stored) {
        self.rules.insert(room.0.into_node(cookie.0, rule));
    }

    /// Whether there are no rules.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.iter().next().is_none()
    }

    /// All rules.
    pub(crate) fn rules(&mut self) -> impl Iterator<Item = &mut Stored> {
        self.rules.iter_mut().map(|(_, rule)| rule)
    }

    /// Takes a rule out.
    pub(crate) fn remove(&mut self, cookie: Cookie) -> Option<Stored> {
        self.rules.remove(&cookie.0)
    }
}
