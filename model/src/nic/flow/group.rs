// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A group: the rules of one table that have one match template.
//!
//! The first rule of a key is found by one look into the index, so that the cost of a lookup does not depend on how many rules
//! there are; the others, of higher priorities or just like it, are in a tree beside.

use super::index::{Index, hash};
use super::slots::Slots;
use std::collections::{BTreeMap, BTreeSet};

/// A rule in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Lower comes first.
    pub priority: u32,
    /// Its id.
    pub rule: u32,
}

/// The rules of a table with one match template.
pub struct Group {
    /// The template.
    pub template: u32,
    seed: u64,
    keys: Slots,
    index: Index,
    /// For each key, its rule with the lowest priority.
    first: Vec<Member>,
    /// The other rules: key, priority, rule.
    others: BTreeSet<(u32, u32, u32)>,
    /// How many rules each priority has.
    priorities: BTreeMap<u32, u32>,
}

impl Group {
    /// An empty group for keys of so many bytes.
    pub fn new(template: u32, seed: u64, width: usize) -> Self {
        Self {
            template,
            seed,
            keys: Slots::new(width),
            index: Index::default(),
            first: Vec::new(),
            others: BTreeSet::new(),
            priorities: BTreeMap::new(),
        }
    }

    /// The lowest priority; none in an empty group.
    pub fn lowest(&self) -> Option<u32> {
        self.priorities
            .first_key_value()
            .map(|(priority, _)| *priority)
    }

    fn slot(&self, key: &[u8]) -> Option<u32> {
        self.index
            .find(hash(self.seed, key), |slot| self.keys.get(slot) == key)
    }

    fn head(&self, slot: u32) -> Option<Member> {
        self.first.get(slot as usize).copied()
    }

    /// A key.
    pub fn key(&self, slot: u32) -> &[u8] {
        self.keys.get(slot)
    }

    /// The rule with this key and the lowest priority that is at least `from`.
    pub fn find(&self, key: &[u8], from: u32) -> Option<Member> {
        let slot = self.slot(key)?;
        let head = self.head(slot)?;
        if head.priority >= from {
            return Some(head);
        }
        self.next(slot, from)
    }

    /// The first of the other rules of a key, from a priority on.
    fn next(&self, slot: u32, from: u32) -> Option<Member> {
        let range = (slot, from, 0)..=(slot, u32::MAX, u32::MAX);
        let (_, priority, rule) = self.others.range(range).next()?;
        Some(Member {
            priority: *priority,
            rule: *rule,
        })
    }

    /// Adds a rule that is not there; tells where its key is.
    pub fn insert(&mut self, key: &[u8], member: Member) -> u32 {
        *self.priorities.entry(member.priority).or_insert(0) += 1;
        if let Some(slot) = self.slot(key) {
            if let Some(head) = self.first.get_mut(slot as usize) {
                let mut later = member;
                if member.priority < head.priority {
                    std::mem::swap(head, &mut later);
                }
                self.others.insert((slot, later.priority, later.rule));
            }
            return slot;
        }
        let slot = self.keys.add(key);
        match self.first.get_mut(slot as usize) {
            Some(head) => *head = member,
            None => self.first.push(member),
        }
        self.index.insert(hash(self.seed, key), slot);
        slot
    }

    /// Takes a rule out, whose key is where [`Group::insert`] said.
    pub fn remove(&mut self, slot: u32, member: Member) {
        if let Some(count) = self.priorities.get_mut(&member.priority) {
            *count -= 1;
            if *count == 0 {
                self.priorities.remove(&member.priority);
            }
        }
        if self.head(slot) != Some(member) {
            self.others.remove(&(slot, member.priority, member.rule));
            return;
        }
        match self.next(slot, 0) {
            Some(next) => {
                self.others.remove(&(slot, next.priority, next.rule));
                if let Some(head) = self.first.get_mut(slot as usize) {
                    *head = next;
                }
            }
            None => {
                let hash = hash(self.seed, self.keys.get(slot));
                self.index.remove(hash, slot);
                self.keys.remove(slot);
            }
        }
    }
}
