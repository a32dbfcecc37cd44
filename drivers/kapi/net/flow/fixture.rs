// SPDX-License-Identifier: GPL-2.0-only

//! Rules for tests, in the kernel's structures, as flower and the core make them.

mod actions;
mod keys;

use super::chain::{Chain, Position};
use super::classifier::Cookie;
use super::rule::FlowRule;
use crate::net::netdev::Device;
use core::ptr::NonNull;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// Bytes for values, and as many for masks.
const ROOM: usize = 1024;

/// A rule that a test puts together.
pub struct Fixture {
    rule: NonNull<bindings::flow_rule>,
    dissector: KBox<bindings::flow_dissector>,
    value: KVec<u64>,
    mask: KVec<u64>,
    /// Bytes of values that are in use.
    used: usize,
    /// Entries that are in use.
    entries: usize,
    tunnels: KVec<KVec<u64>>,
}

impl Fixture {
    /// An empty rule with room for so many entries.
    pub fn new(entries: u32) -> Result<Self> {
        // SAFETY: No requirements.
        let rule = NonNull::new(unsafe { bindings::flow_rule_alloc(entries) }).ok_or(ENOMEM)?;
        let mut this = Self {
            rule,
            dissector: KBox::new(bindings::flow_dissector::default(), GFP_KERNEL)?,
            value: KVec::from_elem(0, ROOM / 8, GFP_KERNEL)?,
            mask: KVec::from_elem(0, ROOM / 8, GFP_KERNEL)?,
            used: 0,
            entries: 0,
            tunnels: KVec::new(),
        };
        // SAFETY: The rule is ours, and what it points to is kept with it and does not move.
        let found = unsafe { &mut (*rule.as_ptr()).match_ };
        found.dissector = &mut *this.dissector;
        found.key = this.value.as_mut_ptr().cast();
        found.mask = this.mask.as_mut_ptr().cast();
        Ok(this)
    }

    /// The rule.
    pub fn rule(&self) -> FlowRule<'_> {
        // SAFETY: It is as the kernel makes them: `put` and `entry` take the structures that belong to the numbers.
        unsafe { FlowRule::from_raw(self.rule.as_ptr()) }.unwrap()
    }

    /// Puts a key into use. The structure is the one that belongs to it.
    pub(super) fn put<K>(&mut self, id: u32, value: K, mask: K) -> &mut Self {
        let offset = self.used.next_multiple_of(8);
        self.used = offset + size_of::<K>();
        assert!(self.used <= ROOM);
        self.dissector.used_keys |= 1 << id;
        if let Some(place) = self.dissector.offset.get_mut(id as usize) {
            *place = offset as u16;
        }
        // SAFETY: There is room, aligned as any key needs.
        unsafe {
            self.value
                .as_mut_ptr()
                .byte_add(offset)
                .cast::<K>()
                .write(value);
            self.mask
                .as_mut_ptr()
                .byte_add(offset)
                .cast::<K>()
                .write(mask);
        }
        self
    }

    /// The next entry, which `fill` completes. What it points to lives as long as this does.
    pub(super) fn entry(
        &mut self,
        id: u32,
        fill: impl FnOnce(&mut bindings::flow_action_entry),
    ) -> &mut Self {
        // SAFETY: The rule is ours, and has so many entries.
        unsafe {
            let actions = &raw mut (*self.rule.as_ptr()).action;
            assert!(self.entries < (*actions).num_entries as usize);
            let entries = (&raw mut (*actions).entries).cast::<bindings::flow_action_entry>();
            let entry = &mut *entries.add(self.entries);
            entry.id = id;
            entry.hw_stats = bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_ANY;
            fill(entry);
        }
        self.entries += 1;
        self
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // SAFETY: It was allocated by `new`.
        unsafe { bindings::kfree(self.rule.as_ptr().cast()) };
    }
}

/// A device that is none: all of it is zero.
pub fn device() -> Result<KBox<Device>> {
    let memory = KBox::<Device>::new_uninit(GFP_KERNEL)?;
    let raw = KBox::into_raw(memory).cast::<Device>();
    // SAFETY: All zero is a device for the few things that tests ask of it.
    unsafe {
        raw.write_bytes(0, 1);
        Ok(KBox::from_raw(raw))
    }
}

/// A chain of nftables, with rules that are nothing but in their order.
pub struct ChainFixture {
    chain: KBox<bindings::nft_base_chain>,
    rules: KVec<KBox<bindings::nft_rule>>,
}

impl ChainFixture {
    /// With so many rules.
    pub fn new(rules: usize) -> Result<Self> {
        let mut this = Self {
            chain: KBox::new(bindings::nft_base_chain::default(), GFP_KERNEL)?,
            rules: KVec::new(),
        };
        for _ in 0..rules {
            let rule = KBox::new(bindings::nft_rule::default(), GFP_KERNEL)?;
            this.rules.push(rule, GFP_KERNEL)?;
        }
        let head = &raw mut this.chain.chain.rules;
        let entries = this.rules.iter_mut().map(|rule| &raw mut rule.list);
        let mut last = head;
        for entry in core::iter::Iterator::chain(entries, core::iter::once(head)) {
            // SAFETY: All of them are ours, in boxes that do not move.
            unsafe {
                (*last).next = entry;
                (*entry).prev = last;
            }
            last = entry;
        }
        Ok(this)
    }

    /// The name of a rule.
    pub fn cookie(&self, number: usize) -> Cookie {
        Cookie((&raw const *self.rules[number]).expose_provenance())
    }

    /// Where the rule of a name stands.
    pub fn position(&self, rule: Cookie) -> Position<'_> {
        let block = NonNull::from(&self.chain.flow_block);
        // SAFETY: The block is the chain's, and the rule one of its rules, which do not change while the position lives.
        unsafe { Chain::of_block(block).unwrap().position(rule) }
    }
}
