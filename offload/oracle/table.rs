// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Rules, in the order in which the kernel looks at them.
//!
//! Priorities of a chain are looked at from the lowest number on. Within a priority, `cls_flower` does **not** keep the order of
//! insertion:
//!
//! - Rules are grouped by mask, and the mask that came into being first wins (`fl_classify` walks a list of masks). A mask lives
//!   as long as any rule has it: remove the rule that brought it, and the others of that mask keep its place.
//! - Within a mask no two rules have the same key, so the order does not matter, except for port ranges, which can overlap. There the
//!   rule that was inserted first decides only **which ranges** are looked up: of all rules with exactly these, the one whose
//!   other fields match is taken (`fl_lookup_range`), though a rule between may match as well.
//!
//! One deviation: the kernel lets a rule be replaced by one whose key another rule has (`fl_ht_insert_unique`); that is refused
//! here.

use crate::reject::Reject;
use crate::rule::{Chain, Classifier, Cookie, Key, Rule, Values};

/// A rule with its place in the order.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'r> {
    rule: Rule<'r>,
    /// When the rule was inserted.
    born: u64,
    /// When its mask came into being.
    mask_born: u64,
}

impl<'r> Entry<'r> {
    /// The rule.
    pub fn rule(&self) -> &Rule<'r> {
        &self.rule
    }
}

/// Rules, in slots of the caller.
#[derive(Debug)]
pub struct Table<'s, 'r> {
    slots: &'s mut [Option<Entry<'r>>],
    clock: u64,
}

impl<'s, 'r> Table<'s, 'r> {
    /// An empty table with room for as many rules as there are slots.
    pub fn new(slots: &'s mut [Option<Entry<'r>>]) -> Self {
        slots.fill(None);
        Self { slots, clock: 0 }
    }

    /// All rules, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry<'r>> {
        self.slots.iter().flatten()
    }

    fn priority_of(&self, chain: Chain, priority: u32) -> impl Iterator<Item = &Entry<'r>> {
        self.entries()
            .filter(move |entry| entry.rule.chain == chain && entry.rule.priority == priority)
    }

    /// Adds a rule.
    ///
    /// # Errors
    ///
    /// [`Reject::SameCookie`], [`Reject::OtherClassifier`], [`Reject::SameKey`], [`Reject::Full`]. The table is then as it was.
    pub fn insert(&mut self, rule: Rule<'r>) -> Result<(), Reject> {
        if self.entries().any(|entry| entry.rule.cookie == rule.cookie) {
            return Err(Reject::SameCookie);
        }
        let mut mask_born = self.clock;
        for entry in self.priority_of(rule.chain, rule.priority) {
            if entry.rule.protocol != rule.protocol || entry.rule.classifier != rule.classifier {
                return Err(Reject::OtherClassifier {
                    priority: rule.priority,
                });
            }
            if entry.rule.key.equals(&rule.key) {
                return Err(Reject::SameKey {
                    other: entry.rule.cookie,
                });
            }
            if entry.rule.key.has_mask_of(&rule.key) {
                mask_born = entry.mask_born;
            }
        }
        let limit = self.slots.len();
        let slot = self
            .slots
            .iter_mut()
            .find(|slot| slot.is_none())
            .ok_or(Reject::Full { limit })?;
        *slot = Some(Entry {
            rule,
            born: self.clock,
            mask_born,
        });
        self.clock += 1;
        Ok(())
    }

    /// Puts another rule in the place of the one with its cookie. Its key may differ, its mask not (`fl_check_assign_mask`).
    ///
    /// # Errors
    ///
    /// [`Reject::NoSuchRule`], [`Reject::OtherMask`], [`Reject::SameKey`]. The table is then as it was.
    pub fn replace(&mut self, rule: Rule<'r>) -> Result<(), Reject> {
        let old = *self
            .entries()
            .find(|entry| entry.rule.cookie == rule.cookie)
            .ok_or(Reject::NoSuchRule)?;
        let same_place = (
            old.rule.chain,
            old.rule.priority,
            old.rule.protocol,
            old.rule.classifier,
        ) == (rule.chain, rule.priority, rule.protocol, rule.classifier);
        if !same_place || !old.rule.key.has_mask_of(&rule.key) {
            return Err(Reject::OtherMask);
        }
        let same_key = self
            .priority_of(rule.chain, rule.priority)
            .find(|entry| entry.rule.cookie != rule.cookie && entry.rule.key.equals(&rule.key));
        if let Some(other) = same_key {
            return Err(Reject::SameKey {
                other: other.rule.cookie,
            });
        }
        if let Some(entry) = self
            .slots
            .iter_mut()
            .flatten()
            .find(|entry| entry.rule.cookie == rule.cookie)
        {
            entry.rule = rule;
        }
        Ok(())
    }

    /// Takes a rule out.
    ///
    /// # Errors
    ///
    /// [`Reject::NoSuchRule`].
    pub fn remove(&mut self, cookie: Cookie) -> Result<Rule<'r>, Reject> {
        let mut slots = self.slots.iter_mut();
        let slot = slots
            .find(|slot| slot.is_some_and(|entry| entry.rule.cookie == cookie))
            .ok_or(Reject::NoSuchRule)?;
        slot.take()
            .map(|entry| entry.rule)
            .ok_or(Reject::NoSuchRule)
    }

    /// The first priority of a chain beyond `after`, with its protocol.
    pub fn next_priority(&self, chain: Chain, after: Option<u32>) -> Option<(u32, u16)> {
        let rules = self
            .entries()
            .map(Entry::rule)
            .filter(|rule| rule.chain == chain);
        let later = rules.filter(|rule| after.is_none_or(|after| rule.priority > after));
        later.map(|rule| (rule.priority, rule.protocol)).min()
    }

    /// The rule of a priority that takes a packet.
    pub fn lookup(&self, chain: Chain, priority: u32, packet: &Values<'_>) -> Option<Rule<'r>> {
        let mut after = None;
        while let Some(born) = self.next_mask(chain, priority, after) {
            let found = self.lookup_in_mask(chain, priority, born, packet);
            if found.is_some() {
                return found;
            }
            after = Some(born);
        }
        None
    }

    fn next_mask(&self, chain: Chain, priority: u32, after: Option<u64>) -> Option<u64> {
        let masks = self
            .priority_of(chain, priority)
            .map(|entry| entry.mask_born);
        masks
            .filter(|born| after.is_none_or(|after| *born > after))
            .min()
    }

    fn lookup_in_mask(
        &self,
        chain: Chain,
        priority: u32,
        born: u64,
        packet: &Values<'_>,
    ) -> Option<Rule<'r>> {
        let group = || {
            self.priority_of(chain, priority)
                .filter(|entry| entry.mask_born == born)
        };
        let exact = |ranges: &Key<'_>| {
            let same = |key: &Key<'_>| {
                key.src_range == ranges.src_range && key.dst_range == ranges.dst_range
            };
            group()
                .find(|entry| same(&entry.rule.key) && entry.rule.key.matches_but_ranges(packet))
                .map(|entry| entry.rule)
        };
        let first = group().min_by_key(|entry| entry.born)?;
        if first.rule.classifier == Classifier::Matchall {
            return Some(first.rule);
        }
        // The oldest rule whose ranges hold the packet's ports, and of which a rule with the same ranges matches.
        let mut after = None;
        loop {
            let next = group()
                .filter(|entry| after.is_none_or(|after| entry.born > after))
                .min_by_key(|entry| entry.born)?;
            if next.rule.key.in_ranges(packet) {
                if let Some(rule) = exact(&next.rule.key) {
                    return Some(rule);
                }
            }
            after = Some(next.born);
        }
    }
}
