// SPDX-License-Identifier: GPL-2.0-only

//! Rules of tc that were refused and that software does instead: which, and why, for users ([`super::reporter`]).
//!
//! Each binding of an interface to a block keeps its own, under a mutex of its own, which only a rule that is refused takes, and the
//! removal of a rule from a binding that has any. The kernel tells a driver of the end of each rule that it has offered, refused or not,
//! so that none stays longer than its rule. What is known of a rule is kept for [`KEPT`] of a device at most, and others are counted.
//! A rule with `skip_sw` that is refused is not there at all, and neither is one of nftables: they are in no list.
//!
//! Most of these rules have something in the device that stands in for them. Those have not that came while no rules were taken over, or
//! for which not even that could be had, so that rules behind them would take their packets; a block with any of them gets no other rule
//! into the device.

use super::{
    engine::Side,
    refusal::Refusal,
    store::{BlockSide, Store}, //
};
use crate::device::Device;
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNode},
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
        Mutex, //
    },
};
use oxnic_abi::flow::port::FlowDirection;
use oxnic_kapi::{
    devlink::Message,
    net::{
        flow::{
            action::ActionId,
            classifier::{Classifier, Cookie},
            NewRule, //
        },
        netdev::DeviceRef, //
    },
    time,
};

/// Rules of a device of which it is known what they are.
const KEPT: u32 = 1024;
/// tc's protocol that is all of them.
const ALL: u16 = 3;

/// What a user finds a rule by, in what `tc filter show` says, and why it is not in the device.
struct Known {
    chain: u32,
    priority: u32,
    protocol: u16,
    classifier: Classifier,
    /// The first action: its kind, and its number among those of its kind.
    action: Option<(ActionId, u32)>,
    refusal: Refusal,
    /// In milliseconds since the system was started.
    since: u64,
}

impl Known {
    fn new(new: &NewRule<'_>, refusal: Refusal) -> Self {
        let first = new.rule.actions().iter().next();
        Self {
            chain: new.chain,
            priority: new.priority,
            protocol: new.protocol,
            classifier: new.classifier,
            action: first.map(|entry| (entry.id(), entry.index())),
            refusal,
            since: time::now_ms(),
        }
    }

    fn tell(&self, message: &mut Message<'_>, binding: &Refused) -> Result {
        message.text(c"netdev", fmt!("{}", binding.netdev.name()))?;
        message.text(c"side", fmt!("{}", binding.side()))?;
        message.number(c"chain", self.chain.into());
        message.number(c"pref", self.priority.into());
        match self.protocol {
            ALL => message.text(c"protocol", fmt!("all"))?,
            protocol => message.text(c"protocol", fmt!("{protocol:#06x}"))?,
        }
        let kind = match self.classifier {
            Classifier::Flower => "flower",
            Classifier::Matchall => "matchall",
            Classifier::Nftables => "nftables",
        };
        message.text(c"kind", fmt!("{kind}"))?;
        if let Some((id, index)) = self.action {
            message.text(c"action", fmt!("{}", id.name()))?;
            message.number(c"index", index.into());
        }
        message.text(c"reason", fmt!("{}", self.refusal))?;
        let age = time::now_ms().saturating_sub(self.since) / 1000;
        message.number(c"age_s", age);
        Ok(())
    }
}

/// A rule that was refused.
struct Entry {
    /// The device has nothing of it, by this binding.
    unplaced: bool,
    /// None beyond [`KEPT`], or where there is no memory.
    known: Option<KBox<Known>>,
}

/// The rules that a binding was refused.
#[pin_data]
pub(crate) struct Refused {
    netdev: DeviceRef,
    /// None: of a device above ports.
    side: Option<Side>,
    store: Arc<Store>,
    /// How many there are; changes with `rules` held.
    count: Atomic<u32>,
    #[pin]
    rules: Mutex<RBTree<usize, Entry>>,
}

impl Refused {
    /// Of a new binding: none.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn new(
        device: &Device,
        netdev: DeviceRef,
        side: Option<Side>,
        store: Arc<Store>,
    ) -> Result<Arc<Self>, Refusal> {
        let made = Arc::pin_init(
            pin_init!(Self {
                netdev,
                side,
                store,
                count: Atomic::new(0),
                rules <- new_mutex!(RBTree::new()),
            }),
            GFP_KERNEL,
        );
        let made = made.map_err(|_| Refusal::Memory)?;
        let mut bindings = device.refused.bindings.lock();
        bindings.push(made.clone(), GFP_KERNEL)?;
        Ok(made)
    }

    fn side(&self) -> &'static str {
        match self.side.map(|side| side.direction) {
            Some(FlowDirection::EGRESS) => "egress",
            _ => "ingress",
        }
    }

    /// Software has a rule that was refused; `placed`: no rule behind takes its packets.
    pub(crate) fn enter(&self, device: &Device, new: &NewRule<'_>, refusal: Refusal, placed: bool) {
        let known = device.refused.has_room().then(|| {
            let known = KBox::new(Known::new(new, refusal), GFP_KERNEL);
            known.inspect_err(|_| device.refused.give(1)).ok()
        });
        let entry = Entry {
            unplaced: !placed,
            known: known.flatten(),
        };
        if entry.unplaced {
            self.store.add_unplaced();
        }
        let given = u32::from(entry.known.is_some());
        let Ok(node) = RBTreeNode::new(new.cookie.0, entry, GFP_KERNEL) else {
            // Its block stays as if the rule were there until the block itself is gone.
            device.refused.give(given);
            return;
        };
        let mut rules = self.rules.lock();
        // The kernel does not offer a rule twice.
        if let Some(before) = rules.insert(node) {
            let (_, before) = before.to_key_value();
            self.forget(device, &before);
        } else {
            self.count.add(1, Relaxed);
        }
    }

    /// A rule is gone, which may have been refused.
    pub(crate) fn leave(&self, device: &Device, cookie: Cookie) {
        // The kernel asks about a rule once at a time, so that what `enter` has done for this one is seen.
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let mut rules = self.rules.lock();
        if let Some(entry) = rules.remove(&cookie.0) {
            self.count.store(self.count.load(Relaxed) - 1, Relaxed);
            self.forget(device, &entry);
        }
    }

    fn forget(&self, device: &Device, entry: &Entry) {
        device.refused.give(entry.known.is_some().into());
        if entry.unplaced {
            self.store.remove_unplaced();
        }
    }

    /// The binding is gone, and with it all its rules.
    pub(crate) fn end(self: &Arc<Self>, device: &Device) {
        let mut bindings = device.refused.bindings.lock();
        bindings.retain(|binding| !Arc::ptr_eq(binding, self));
        drop(bindings);
        let rules = core::mem::replace(&mut *self.rules.lock(), RBTree::new());
        rules.values().for_each(|entry| self.forget(device, entry));
    }
}

/// The rules that the bindings of a device were refused.
#[pin_data]
pub(crate) struct AllRefused {
    /// Taken before those of bindings.
    #[pin]
    bindings: Mutex<KVec<Arc<Refused>>>,
    /// How many are known, at most [`KEPT`].
    known: Atomic<u32>,
}

impl AllRefused {
    /// None.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            bindings <- new_mutex!(KVec::new()),
            known: Atomic::new(0),
        })
    }

    /// Whether one more may be known; if so it is counted.
    fn has_room(&self) -> bool {
        let room = self.known.fetch_add(1, Relaxed) < KEPT;
        if !room {
            self.give(1);
        }
        room
    }

    fn give(&self, count: u32) {
        self.known.fetch_sub(count, Relaxed);
    }
}

impl Device {
    /// How many rules the device was refused, and how many of them are known, at most so many.
    pub(super) fn count_refused(&self, most: u32) -> (u64, u32) {
        let (mut all, mut known) = (0_u64, 0);
        for binding in self.refused.bindings.lock().iter() {
            for entry in binding.rules.lock().values() {
                all = all.saturating_add(1);
                known += u32::from(entry.known.is_some() && known < most);
            }
        }
        (all, known)
    }

    /// Says what is known of so many rules that the device was refused.
    pub(super) fn tell_refused(&self, message: &mut Message<'_>, most: u32) -> Result {
        let mut left = most as usize;
        for binding in self.refused.bindings.lock().iter() {
            let rules = binding.rules.lock();
            let known = rules.values().filter_map(|entry| entry.known.as_ref());
            for known in known.take(left) {
                message.object(|message| known.tell(message, binding))?;
                left -= 1;
            }
        }
        Ok(())
    }

    /// By which interface a block is bound, the first of them, and by how many.
    pub(super) fn bound_by(&self, block: BlockSide) -> (Option<DeviceRef>, u64) {
        let bindings = self.refused.bindings.lock();
        let mut of_block = bindings.iter().filter(|at| at.store.block == block);
        let first = of_block.next().map(|at| at.netdev.clone());
        let others = of_block.count() as u64;
        let count = others + u64::from(first.is_some());
        (first, count)
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_refused)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_known_and_one_more_when_one_has_gone() -> Result {
        let all = KBox::pin_init(AllRefused::new(), GFP_KERNEL)?;
        for _ in 0..KEPT {
            assert!(all.has_room());
        }
        assert!(!all.has_room() && !all.has_room());
        all.give(1);
        assert!(all.has_room());
        assert!(!all.has_room());
        Ok(())
    }
}
