// SPDX-License-Identifier: GPL-2.0-only

//! What is in the device for one side of a block of tc: a table for each chain, and rules by their cookies. A chain of nftables is kept
//! as a block with one chain.
//!
//! `inner` is a mutex over all of it. It is not held while the device carries out requests about rules, but while it makes a table
//! or binds a port. Under it the locks of the admin queue and of ids are taken.

use super::{
    chain::Positions,
    count::Ways,
    counters::{Counter, Told},
    engine::Side,
    extras::More,
    holders::Holders,
    place::{Place, Priorities},
    template::Template,
    tunnel::Tunnel,
    upper::Upper,
};
use kernel::{
    alloc::AllocError,
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
        Mutex, //
    },
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
    pub(crate) match_template: Option<Arc<Template>>,
    pub(crate) action_template: Option<Arc<Template>>,
    pub(crate) counter: Option<Counter>,
    pub(crate) more: More,
}

impl Objects {
    /// All counters.
    pub(crate) fn counters(&self) -> impl Iterator<Item = &Counter> {
        Iterator::chain(self.counter.iter(), self.more.counters())
    }
}

/// Where a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// In the device.
    There,
    /// Here only: the device was reset, or has refused to take it back.
    Absent,
    /// As that, and the device stopped answering when it was told of it.
    Suspect,
    /// Here only, and in the device a rule with its id stands in for it ([`super::interim`]).
    Interim,
}

/// A rule that the kernel has in the device, or is on its way out of it.
pub(crate) struct Stored {
    /// Bindings of the block that have it; it goes with the last.
    pub(crate) holders: Holders,
    /// Software does it; the rule in the device only stands in for it.
    pub(crate) stand_in: bool,
    /// Software does not have it.
    pub(crate) skip_sw: bool,
    /// How it is counted.
    pub(crate) ways: Ways,
    pub(crate) presence: Presence,
    pub(crate) place: Place,
    pub(crate) objects: Objects,
    /// What the kernel was told of the counter already.
    pub(crate) told: Told,
    /// What was counted when it was last looked at whether outer headers are in use.
    pub(crate) looked: u64,
    /// The request that puts it into the device.
    pub(crate) request: KVec<u64>,
}

/// With a node of the tree around it, of 32 bytes, a rule has to fit the kernel's allocations of 192: a million of them should not need
/// more beside their requests.
const _: () = assert!(size_of::<Stored>() <= 192 - 32);

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
#[pin_data]
pub(crate) struct Store {
    pub(crate) block: BlockSide,
    /// It is one of tc, else a chain of nftables.
    pub(crate) of_tc: bool,
    /// The tunnel device that is bound; its rules look into tunnels, and nothing else is bound.
    pub(crate) tunnel: Option<Tunnel>,
    /// The VLAN device that is bound; nothing else is.
    pub(crate) upper: Option<Upper>,
    /// Rules that software has and for which nothing in the device stands in, once for each binding.
    unplaced: Atomic<u32>,
    /// There were rules before something was bound, of which nobody has told. Stays as long as anything is bound.
    older: Atomic<bool>,
    #[pin]
    pub(crate) inner: Mutex<Inner>,
}

/// The table of a chain.
pub(crate) struct Table {
    pub(crate) chain: u32,
    pub(crate) id: u32,
    /// The device has it.
    pub(crate) there: bool,
    /// How often rules are in the chain or lead to it: it goes with the last of them, but for that of the first chain.
    pub(crate) users: u32,
}

/// What a block has in the device.
pub(crate) struct Inner {
    /// What is bound.
    pub(crate) sides: KVec<Side>,
    /// The numbers of bindings.
    pub(crate) members: Holders,
    /// Of chains. That of the first chain stays as long as the block is bound.
    pub(crate) tables: KVec<Table>,
    pub(crate) priorities: Priorities,
    /// Order of the rules of a chain of nftables. `priorities` has that of rules of tc.
    pub(crate) positions: Positions,
    rules: RBTree<usize, Stored>,
}

impl Store {
    /// Of a block that nothing is bound to yet.
    pub(crate) fn new(
        block: BlockSide,
        of_tc: bool,
        tunnel: Option<Tunnel>,
        upper: Option<Upper>,
    ) -> impl PinInit<Self> {
        let inner = Inner {
            sides: KVec::new(),
            members: Holders::default(),
            tables: KVec::new(),
            priorities: Priorities::new(),
            positions: Positions::new(),
            rules: RBTree::new(),
        };
        pin_init!(Self {
            block,
            of_tc,
            tunnel,
            upper,
            unplaced: Atomic::new(0),
            older: Atomic::new(false),
            inner <- new_mutex!(inner),
        })
    }

    /// Software has one rule more for which nothing in the device stands in.
    pub(crate) fn add_unplaced(&self) {
        self.unplaced.add(1, Relaxed);
    }

    /// Such a rule is gone.
    pub(crate) fn remove_unplaced(&self) {
        self.unplaced.fetch_sub(1, Relaxed);
    }

    /// There are rules of which nobody has told.
    pub(crate) fn miss_older(&self) {
        self.older.store(true, Relaxed);
    }

    /// Whether there are such rules, or were.
    pub(crate) fn misses_older(&self) -> bool {
        self.older.load(Relaxed)
    }

    /// Whether a rule would take packets in the device that one before it takes in software. At egress the device sees no packet that
    /// software sees.
    pub(crate) fn is_out_of_order(&self) -> bool {
        !self.block.is_egress() && self.unplaced.load(Relaxed) > 0
    }
}

impl Inner {
    /// The table of a chain, if it has one.
    pub(crate) fn table(&self, chain: u32) -> Option<u32> {
        let found = self.tables.iter().find(|table| table.chain == chain);
        found.map(|table| table.id)
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
        self.rules.is_empty()
    }

    /// Whether there are rules that the device does as software would, and not only what stands in for some.
    pub(crate) fn has_whole_rules(&self) -> bool {
        self.rules.values().any(|stored| !stored.stand_in)
    }

    /// All rules.
    pub(crate) fn rules(&mut self) -> impl Iterator<Item = &mut Stored> {
        self.rules.values_mut()
    }

    /// Shows all rules, until an error.
    pub(crate) fn each<E>(
        &self,
        mut show: impl FnMut(Cookie, &Stored) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut all = self.rules.iter();
        all.try_for_each(|(cookie, rule)| show(Cookie(*cookie), rule))
    }

    /// Shows the places of all rules, with the order that they are of, until an error.
    pub(crate) fn places<E>(
        &mut self,
        mut show: impl FnMut(Cookie, &Place, &mut Priorities) -> Result<(), E>,
    ) -> Result<(), E> {
        let priorities = &mut self.priorities;
        let mut all = self.rules.iter();
        all.try_for_each(|(cookie, rule)| show(Cookie(*cookie), &rule.place, priorities))
    }

    /// Goes through the rules from one on, by their cookies, until `each` says that it has enough. Answers where to go on, if there is
    /// more.
    pub(crate) fn walk(
        &mut self,
        from: Cookie,
        mut each: impl FnMut(Cookie, &mut Stored) -> bool,
    ) -> Option<Cookie> {
        let mut at = self.rules.cursor_lower_bound_mut(&from.0);
        while let Some(mut cursor) = at {
            let (cookie, stored) = cursor.current_mut();
            let cookie = *cookie;
            if !each(Cookie(cookie), stored) {
                return cookie.checked_add(1).map(Cookie);
            }
            at = cursor.move_next();
        }
        None
    }

    /// Takes a rule out.
    pub(crate) fn remove(&mut self, cookie: Cookie) -> Option<Stored> {
        self.rules.remove(&cookie.0)
    }
}
