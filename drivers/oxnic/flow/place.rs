// SPDX-License-Identifier: GPL-2.0-only

//! Where rules stand among those of their priority: the slots and masks that `oxnic_offload::plan::order` is a view of.

use super::refusal::Refusal;
use kernel::{
    prelude::*,
    rbtree::RBTree, //
};
use oxnic_offload::plan::order::{Entrant, Move, Order, Ranges, Slot, LOOSE};
use oxnic_offload::rule::{Key, OptionsMatch, Rule};

/// Slots of a priority at first.
const SLOTS: usize = 4;
/// Slots that there can be: as many as numbers.
const SLOTS_MAX: usize = 1 << 16;

/// A mask of flower's.
struct Mask {
    /// Rules that have it; 0: free.
    rules: u32,
    /// The slot of its rules, where it has no ranges.
    slot: u32,
    hash: u64,
    bytes: KVec<u8>,
}

/// One priority of a chain of a block.
pub(crate) struct Priority {
    priority: u32,
    rules: u32,
    slots: KVec<Slot>,
    masks: KVec<Mask>,
}

/// A rule's place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    chain: u32,
    priority: u32,
    slot: u32,
    mask: u32,
    /// What the device is told.
    pub(crate) number: u32,
}

impl Place {
    /// That of a rule which is given its number. It is not among those of a priority.
    pub(crate) fn given(number: u32) -> Self {
        Self {
            chain: 0,
            priority: 0,
            slot: 0,
            mask: 0,
            number,
        }
    }

    /// Whether it is not known where the rule stands, so that it only sends up. Of one that was given its number it is not asked.
    pub(crate) fn is_loose(&self) -> bool {
        self.number as u16 == LOOSE
    }

    /// Chain and priority of tc; zeros of a rule that was given its number.
    pub(crate) fn of_tc(&self) -> (u32, u32) {
        (self.chain, self.priority)
    }
}

/// What a rule is to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stance {
    /// What it is to software.
    Whole,
    /// It sends up what it takes.
    Upwards,
    /// As that; and what the rule takes is not known. It has a key that no other rule can have, so none has its mask.
    Unread,
}

/// All priorities of a block, by chain and priority.
pub(crate) struct Priorities(RBTree<(u32, u32), Priority>);

impl Priorities {
    /// None.
    pub(crate) fn new() -> Self {
        Self(RBTree::new())
    }

    /// Gives a rule its place; `played_back`: it may be older than others that have theirs.
    ///
    /// # Errors
    ///
    /// It has none.
    pub(crate) fn enter(
        &mut self,
        rule: &Rule<'_>,
        stance: Stance,
        played_back: bool,
    ) -> Result<Place, Refusal> {
        let at = (rule.chain.0, rule.priority);
        if let Some(known) = self.0.get_mut(&at) {
            return known.enter(rule, stance, played_back);
        }
        let mut new = Priority {
            priority: rule.priority,
            rules: 0,
            slots: KVec::from_elem(Slot::default(), SLOTS, GFP_KERNEL)?,
            masks: KVec::new(),
        };
        let place = new.enter(rule, stance, played_back)?;
        self.0
            .try_create_and_insert(at, new, GFP_KERNEL)
            .map_err(|_| Refusal::Memory)?;
        Ok(place)
    }

    /// What a priority says of its masks; none where there is no such priority.
    fn order<R>(
        &mut self,
        at: (u32, u32),
        ask: impl FnOnce(&mut Order<'_>) -> Option<R>,
    ) -> Option<R> {
        let known = self.0.get_mut(&at)?;
        ask(&mut Order::new(known.priority, &mut known.slots).ok()?)
    }

    /// Whether a mask may find no number, and could if others had lower ones.
    pub(crate) fn is_used_up(&mut self, at: (u32, u32)) -> bool {
        self.order(at, |order| order.is_used_up().then_some(()))
            .is_some()
    }

    /// The first mask whose numbers could be lower.
    pub(crate) fn lowest_move(&mut self, at: (u32, u32)) -> Option<Move> {
        self.order(at, |order| order.lowest_move())
    }

    /// The number that a rule has after a move in a priority; none where that is not about the rule.
    pub(crate) fn after(&mut self, at: (u32, u32), what: Move, place: &Place) -> Option<u32> {
        let slot = place.slot as usize;
        (place.of_tc() == at)
            .then(|| self.order(at, |order| order.after(what, slot)))
            .flatten()
    }

    /// The rules of a mask have their new numbers.
    pub(crate) fn moved(&mut self, at: (u32, u32), what: Move) {
        self.order(at, |order| {
            order.moved(what);
            Some(())
        });
    }

    /// A rule is gone, from the device as well.
    pub(crate) fn leave(&mut self, place: &Place) {
        let at = (place.chain, place.priority);
        if let Some(known) = self.0.get_mut(&at) {
            known.leave(place);
            if known.rules == 0 {
                self.0.remove(&at);
            }
        }
    }
}

impl Priority {
    fn enter(
        &mut self,
        rule: &Rule<'_>,
        stance: Stance,
        played_back: bool,
    ) -> Result<Place, Refusal> {
        let upwards = stance != Stance::Whole;
        let parts = Parts::new(&rule.key, stance);
        let hash = parts.hash();
        let known = self
            .masks
            .iter()
            .position(|mask| mask.hash == hash && mask.rules > 0 && parts.are(&mask.bytes));
        let ranges = Ranges {
            src: rule.key.src_range,
            dst: rule.key.dst_range,
        };
        let entrant = |mask: usize| Entrant {
            mask: mask as u32,
            ranges,
            upwards,
            played_back,
        };
        let (mask, place) = match known {
            Some(mask) if ranges == Ranges::default() => {
                let slot = self.masks[mask].slot as usize;
                let mut order = Order::new(self.priority, &mut self.slots)?;
                (mask, order.join(slot, upwards)?)
            }
            Some(mask) => (mask, self.find(&entrant(mask))?),
            None => {
                let mask = self.free_mask(hash, &parts)?;
                (mask, self.find(&entrant(mask))?)
            }
        };
        self.masks[mask].slot = place.slot as u32;
        self.masks[mask].rules += 1;
        self.rules += 1;
        Ok(Place {
            chain: rule.chain.0,
            priority: self.priority,
            slot: place.slot as u32,
            mask: mask as u32,
            number: place.priority,
        })
    }

    /// The place of a rule among all slots.
    fn find(&mut self, rule: &Entrant) -> Result<oxnic_offload::plan::order::Place, Refusal> {
        if self.slots.iter().all(|slot| slot.rules() > 0) && self.slots.len() < SLOTS_MAX {
            let more = self.slots.len();
            self.slots.extend_with(more, Slot::default(), GFP_KERNEL)?;
        }
        let mut order = Order::new(self.priority, &mut self.slots)?;
        Ok(order.admit(rule)?)
    }

    fn leave(&mut self, place: &Place) {
        if let Ok(mut order) = Order::new(self.priority, &mut self.slots) {
            order.leave(place.slot as usize);
        }
        if let Some(mask) = self.masks.get_mut(place.mask as usize) {
            mask.rules -= 1;
        }
        self.rules -= 1;
    }

    /// A number for a mask that has none. No rule has it yet.
    fn free_mask(&mut self, hash: u64, parts: &Parts<'_>) -> Result<usize, Refusal> {
        let new = Mask {
            rules: 0,
            slot: 0,
            hash,
            bytes: parts.copy()?,
        };
        if let Some(at) = self.masks.iter().position(|mask| mask.rules == 0) {
            self.masks[at] = new;
            return Ok(at);
        }
        self.masks.push(new, GFP_KERNEL)?;
        Ok(self.masks.len() - 1)
    }
}

/// What two keys have in common if and only if they have one mask ([`Key::has_mask_of`]), in parts.
struct Parts<'k> {
    masks: &'k [u8],
    /// Whether there are ranges, whether the key could be read, the kind of options, and the mask of a group.
    others: [u8; 8],
    options: &'k [u8],
}

impl<'k> Parts<'k> {
    fn new(key: &'k Key<'_>, stance: Stance) -> Self {
        let mut others = [0; 8];
        others[0] = key.src_range.is_some().into();
        others[1] = key.dst_range.is_some().into();
        others[2] = (stance == Stance::Unread).into();
        let mut options: &[u8] = &[];
        match &key.options {
            OptionsMatch::Any => {}
            OptionsMatch::Geneve { mask, .. } => {
                others[3] = 1;
                options = mask;
            }
            OptionsMatch::Group { mask, .. } => {
                others[3] = 2;
                others[4..].copy_from_slice(&mask.to_ne_bytes());
            }
        }
        Self {
            masks: key.masks(),
            others,
            options,
        }
    }

    fn all(&self) -> [&[u8]; 3] {
        [self.masks, &self.others, self.options]
    }

    /// For a first comparison.
    fn hash(&self) -> u64 {
        let chunks = self.all().into_iter().flat_map(|part| part.chunks(8));
        chunks.fold(0xcbf2_9ce4_8422_2325, |hash, chunk| {
            let word = match chunk.first_chunk() {
                Some(whole) => u64::from_le_bytes(*whole),
                None => chunk
                    .iter()
                    .fold(0, |word, byte| word << 8 | u64::from(*byte)),
            };
            (hash ^ word).wrapping_mul(0x0100_0000_01b3)
        })
    }

    fn are(&self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        for part in self.all() {
            match rest.strip_prefix(part) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        rest.is_empty()
    }

    fn copy(&self) -> Result<KVec<u8>, Refusal> {
        let length = self.all().iter().map(|part| part.len()).sum();
        let mut bytes = KVec::with_capacity(length, GFP_KERNEL)?;
        for part in self.all() {
            bytes.extend_from_slice(part, GFP_KERNEL)?;
        }
        Ok(bytes)
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_place)]
mod tests {
    use super::*;
    use oxnic_offload::rule::{Chain, Classifier, Cookie, Field};

    fn rule<'a>(priority: u32, field: Field, value: u8) -> Result<Rule<'a>, Refusal> {
        let mut key = Key::default();
        key.exact(field, &[value])?;
        Ok(Rule {
            cookie: Cookie(0),
            classifier: Classifier::Flower,
            chain: Chain(0),
            priority,
            protocol: 3,
            key,
            actions: &[],
        })
    }

    #[test]
    fn rules_of_one_mask_have_one_number_and_masks_come_in_the_order_of_their_birth() {
        let mut all = Priorities::new();
        let mut enter = |priority, field, value| {
            let rule = rule(priority, field, value)?;
            all.enter(&rule, Stance::Whole, false)
        };
        let ttl = enter(5, Field::IpTtl, 1).map(|place| place.number);
        assert_eq!(ttl, Ok(5 << 16 | 1));
        let tos = enter(5, Field::IpTos, 1).map(|place| place.number);
        assert_eq!(tos, Ok(5 << 16 | 2));
        let again = enter(5, Field::IpTtl, 2).map(|place| place.number);
        assert_eq!(again, ttl);
        let other = enter(6, Field::IpTos, 1).map(|place| place.number);
        assert_eq!(other, Ok(6 << 16 | 1));
    }

    #[test]
    fn a_mask_without_rules_is_forgotten_and_comes_back_as_the_youngest() -> Result<(), Refusal> {
        let mut all = Priorities::new();
        let (ttl, tos) = (rule(1, Field::IpTtl, 1)?, rule(1, Field::IpTos, 1)?);
        let first = all.enter(&ttl, Stance::Whole, false)?;
        let second = all.enter(&tos, Stance::Whole, false)?;
        assert!(first.number < second.number);
        all.leave(&first);
        let back = all.enter(&ttl, Stance::Whole, false)?;
        assert!(back.number > second.number);
        all.leave(&back);
        all.leave(&second);
        assert!(all.0.is_empty());
        Ok(())
    }

    #[test]
    fn there_are_more_masks_than_slots_at_first() -> Result<(), Refusal> {
        let mut all = Priorities::new();
        let fields = [
            Field::IpTtl,
            Field::IpTos,
            Field::IpProto,
            Field::IcmpType,
            Field::IcmpCode,
            Field::NumOfVlans,
        ];
        assert!(fields.len() > SLOTS);
        for (number, field) in fields.into_iter().enumerate() {
            let place = all.enter(&rule(2, field, 1)?, Stance::Whole, false)?;
            assert_eq!(place.number as usize, (2 << 16) + 1 + number);
        }
        Ok(())
    }

    #[test]
    fn a_rule_that_could_not_be_read_shares_no_number() -> Result<(), Refusal> {
        let mut all = Priorities::new();
        let mut any = rule(1, Field::IpTtl, 1)?;
        any.key = Key::default();
        let read = all.enter(&any, Stance::Whole, false)?;
        let unread = all.enter(&any, Stance::Unread, false)?;
        assert!(unread.number > read.number);
        let again = all.enter(&any, Stance::Unread, false)?;
        assert_eq!(again.number, unread.number);
        Ok(())
    }

    #[test]
    fn a_mask_that_came_second_as_the_block_was_bound_only_sends_up_until_it_is_gone(
    ) -> Result<(), Refusal> {
        let mut all = Priorities::new();
        let (ttl, tos) = (rule(1, Field::IpTtl, 1)?, rule(1, Field::IpTos, 1)?);
        let first = all.enter(&ttl, Stance::Whole, true)?;
        assert!(!first.is_loose());
        assert!(all.enter(&tos, Stance::Whole, true).is_err());
        let loose = all.enter(&tos, Stance::Upwards, true)?;
        assert!(loose.is_loose() && loose.number < first.number);
        assert!(all.enter(&tos, Stance::Whole, false).is_err());
        all.leave(&loose);
        let back = all.enter(&tos, Stance::Whole, false)?;
        assert!(back.number > first.number);
        Ok(())
    }
}
