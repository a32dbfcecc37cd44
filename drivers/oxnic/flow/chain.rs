// SPDX-License-Identifier: GPL-2.0-only

//! Rules of chains of nftables: their parts, and their places.
//!
//! A rule is in the device as its parts (`oxnic_offload::plan::netfilter`), each of which is kept like a rule of tc. The cookie of nftables is
//! an address, whose lowest bits say which part. The kernel asks about one rule of a chain at a time, but for what it has seen; the
//! lock of the block is taken for a moment each, and not while the device works.

use super::{
    engine::Engine,
    install::{Asked, Stays},
    member::Member,
    read::Origin,
    refusal::Refusal,
    store::Store, //
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::net::flow::{classifier::Counted, Cookie, Position};
use oxnic_offload::{
    plan::{
        netfilter::{parts, PARTS_MAX},
        position, //
    },
    rule::{self, Rule},
};

/// The cookie of a part. Rules of nftables are at addresses that are multiples of 8, the alignment of their 64-bit fields.
fn part(rule: Cookie, number: usize) -> Cookie {
    const _: () = assert!(PARTS_MAX <= 8);
    Cookie(rule.0 | number)
}

/// The rule that a part is of, and which part it is.
pub(super) fn part_of(part: Cookie) -> (Cookie, usize) {
    (Cookie(part.0 & !7), part.0 & 7)
}

/// A rule in its chain.
struct Entry {
    rule: Cookie,
    /// What the device is told.
    number: u32,
}

/// The rules of a chain, in their order.
pub(crate) struct Positions {
    entries: KVec<Entry>,
    /// Numbers are being changed; some rules may have those that they are to get.
    moving: bool,
}

impl Positions {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            entries: KVec::new(),
            moving: false,
        }
    }

    fn index(&self, rule: Cookie) -> Option<usize> {
        // Most are asked for that came last.
        self.entries.iter().rposition(|entry| entry.rule == rule)
    }

    /// Puts a rule behind the nearest of those before it that is known, and gives its number; none where there is no room.
    fn enter(
        &mut self,
        rule: Cookie,
        mut before: impl Iterator<Item = Cookie>,
    ) -> Result<Option<u32>, Refusal> {
        if self.moving {
            return Ok(None);
        }
        self.entries.reserve(1, GFP_KERNEL)?;
        let index = before.find_map(|rule| self.index(rule));
        let index = index.map_or(0, |index| index + 1);
        let number = |index: usize| self.entries.get(index).map(|entry| entry.number);
        let previous = index.checked_sub(1).and_then(number);
        let Some(number) = position::between(previous, number(index)) else {
            return Ok(None);
        };
        self.entries
            .insert_within_capacity(index, Entry { rule, number })
            .map_err(|_| Refusal::Memory)?;
        Ok(Some(number))
    }

    /// As which one of its chain a rule stands, from 1 on.
    pub(super) fn ordinal(&self, rule: Cookie) -> Option<u32> {
        self.index(rule)?.checked_add(1)?.try_into().ok()
    }

    /// The rule that is `index`-th, and its number.
    fn at(&self, index: usize) -> Result<(Cookie, u32), Refusal> {
        let entry = self.entries.get(index).ok_or(Refusal::Lost)?;
        Ok((entry.rule, entry.number))
    }

    fn renumber(&mut self, index: usize, number: u32) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.number = number;
        }
    }

    fn leave(&mut self, rule: Cookie) {
        if let Some(index) = self.index(rule) {
            // It is one of them.
            let _ = self.entries.remove(index);
        }
    }
}

impl Engine {
    /// Puts a rule of a chain into the device, for one binding of the chain. With its position comes whether it stays in the chain in any
    /// case; what the device refuses of it is missing then.
    ///
    /// # Errors
    ///
    /// Nothing is in the device.
    pub(crate) fn insert_in_chain(
        &self,
        device: &Arc<Device>,
        member: &Member,
        (rule, origins): (&Rule<'_>, &[Origin<'_>]),
        (position, stays): (&Position<'_>, bool),
    ) -> Result<(), Refusal> {
        let cookie = Cookie(rule.cookie.0 as usize);
        let number = self.enter(device, &member.store, cookie, position)?;
        let stays = match stays {
            true => Stays::Missing,
            false => Stays::Refused,
        };
        let inserted = parts(rule, |piece| {
            let name = part(cookie, piece.number);
            let rule = Rule {
                cookie: rule::Cookie(name.0 as u64),
                ..piece.rule
            };
            let asked = Asked {
                rule: &rule,
                skip_sw: false,
                origins,
                tunnels: &[],
                uppers: &[],
                unread: None,
                number: Some(number),
                played_back: false,
                stays,
            };
            self.insert(device, member, &asked)
        });
        if inserted.is_err() {
            self.remove_from_chain(device, member, cookie);
        }
        inserted
    }

    /// Takes a rule out of the device that a binding of its chain does not have any more, if no other one has it.
    pub(crate) fn remove_from_chain(&self, device: &Arc<Device>, member: &Member, cookie: Cookie) {
        for number in (0..PARTS_MAX).rev() {
            self.remove(device, member, part(cookie, number));
        }
        let mut inner = member.store.inner.lock();
        if inner.get(cookie).is_none() {
            inner.positions.leave(cookie);
        }
    }

    /// What a rule has seen since the last time, by all its parts. Does not sleep: where another request is in the way, it is told the next time.
    ///
    /// # Errors
    ///
    /// `ENOENT`: it is unknown. `EAGAIN`: that cannot be said now.
    pub(crate) fn count_now(&self, store: &Store, cookie: Cookie) -> Result<Counted> {
        let mut inner = store.inner.try_lock().ok_or(EAGAIN)?;
        let mut all = self.count_in(&mut inner, cookie)?;
        for number in 1..PARTS_MAX {
            let Ok(more) = self.count_in(&mut inner, part(cookie, number)) else {
                break;
            };
            let (sum, more) = (&mut all.statistics, more.statistics);
            if more.packets > 0 {
                sum.means = more.means;
                if sum.packets == 0 || more.age_ms < sum.age_ms {
                    sum.age_ms = more.age_ms;
                }
            }
            sum.packets = sum.packets.saturating_add(more.packets);
            sum.bytes = sum.bytes.saturating_add(more.bytes);
        }
        Ok(all)
    }

    /// The number of a rule: that which it has for another binding, or a new one.
    fn enter(
        &self,
        device: &Arc<Device>,
        store: &Store,
        cookie: Cookie,
        position: &Position<'_>,
    ) -> Result<u32, Refusal> {
        for spread in [false, true] {
            if spread {
                self.spread(device, store)?;
            }
            let mut inner = store.inner.lock();
            if let Some(stored) = inner.get(cookie) {
                return Ok(stored.place.number);
            }
            if let Some(number) = inner.positions.enter(cookie, position.before())? {
                return Ok(number);
            }
        }
        Err(Refusal::Crowded)
    }

    /// Gives all rules of a chain new numbers, so that there is room between them again.
    ///
    /// # Errors
    ///
    /// Some may have theirs. All are in their order, but there is no room between them before all have theirs.
    fn spread(&self, device: &Arc<Device>, store: &Store) -> Result<(), Refusal> {
        let count = {
            let positions = &mut store.inner.lock().positions;
            positions.moving = true;
            positions.entries.len()
        };
        for first in [true, false] {
            for step in 0..count {
                let index = if first { count - 1 - step } else { step };
                let new = position::spread(index, count);
                let (rule, old) = store.inner.lock().positions.at(index)?;
                if old == new || position::moves_first(old, new) != first {
                    continue;
                }
                for number in 0..PARTS_MAX {
                    self.move_part(device, store, part(rule, number), new)?;
                }
                store.inner.lock().positions.renumber(index, new);
            }
        }
        store.inner.lock().positions.moving = false;
        Ok(())
    }

    /// Gives a part of a rule a new number. There need not be such a part, and it need not be in the device. Nobody else asks about the chain
    /// meanwhile.
    fn move_part(
        &self,
        device: &Arc<Device>,
        store: &Store,
        part: Cookie,
        number: u32,
    ) -> Result<(), Refusal> {
        let _going = self.gate.read();
        self.renumber(device, store, part, number)
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_chain)]
mod tests {
    use super::*;

    fn enter(all: &mut Positions, rule: usize, before: &[usize]) -> Option<u32> {
        let before = before.iter().map(|rule| Cookie(*rule));
        all.enter(Cookie(rule), before).unwrap()
    }

    fn order(all: &Positions) -> KVec<usize> {
        let mut rules = KVec::new();
        for entry in all.entries.iter() {
            rules.push(entry.rule.0, GFP_KERNEL).unwrap();
        }
        rules
    }

    #[test]
    fn a_rule_comes_behind_the_nearest_that_is_known() {
        let mut all = Positions::new();
        let first = enter(&mut all, 8, &[]);
        let last = enter(&mut all, 16, &[24, 8]);
        // 32 was told to come behind 8, before 16.
        let between = enter(&mut all, 32, &[8]);
        assert!(first < between && between < last);
        let front = enter(&mut all, 40, &[]);
        assert!(front < first);
        assert_eq!(*order(&all), [40, 8, 32, 16]);
        let ordinals = [40, 16, 24].map(|rule| all.ordinal(Cookie(rule)));
        assert_eq!(ordinals, [Some(1), Some(4), None]);
    }

    #[test]
    fn a_rule_that_left_is_no_neighbour() {
        let mut all = Positions::new();
        enter(&mut all, 8, &[]);
        enter(&mut all, 16, &[8]);
        all.leave(Cookie(16));
        all.leave(Cookie(16));
        enter(&mut all, 24, &[16, 8]);
        assert_eq!(*order(&all), [8, 24]);
    }

    #[test]
    fn there_is_no_room_between_two_numbers_for_ever() {
        let mut all = Positions::new();
        enter(&mut all, 8, &[]);
        enter(&mut all, 16, &[8]);
        let mut rule = 16;
        while enter(&mut all, rule + 8, &[8]).is_some() {
            rule += 8;
            assert!(all.entries.len() < 100);
        }
        assert!(all.entries.len() > 10);
        assert!(all.entries.is_sorted_by_key(|entry| entry.number));
    }

    #[test]
    fn a_part_has_the_address_of_its_rule_but_for_the_lowest_bits() {
        let rule = Cookie(0x1000);
        assert_eq!(part(rule, 0), rule);
        let last = part(rule, PARTS_MAX - 1);
        assert_eq!(part_of(last), (rule, PARTS_MAX - 1));
    }
}
