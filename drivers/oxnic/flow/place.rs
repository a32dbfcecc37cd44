// SPDX-License-Identifier: GPL-2.0-only

//! Where rules stand among those of their priority: the slots and masks that `oxnic_offload::plan::order` is a view of.

use super::refusal::Refusal;
use kernel::prelude::*;
use oxnic_offload::plan::order::{Order, Ranges, Slot};
use oxnic_offload::rule::{Key, OptionsMatch, Rule};

/// Slots of a priority at first.
const SLOTS: usize = 4;
/// Slots that there can be: as many as numbers.
const SLOTS_MAX: usize = 1 << 16;

/// A mask of flower's.
struct Mask {
    /// Rules that have it; 0: free.
    rules: u32,
    bytes: KVec<u8>,
}

/// One priority of a chain of a block.
pub(crate) struct Priority {
    chain: u32,
    priority: u32,
    slots: KVec<Slot>,
    masks: KVec<Mask>,
}

/// A rule's place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    chain: u32,
    priority: u32,
    slot: usize,
    mask: usize,
    /// What the device is told.
    pub(crate) number: u32,
}

/// What a rule is to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stance {
    /// What it is to software.
    Whole,
    /// It sends up what it takes.
    Upwards,
    /// As that; and what the rule takes is not known. No other rule has its mask.
    Unread,
}

/// All priorities of a block.
pub(crate) struct Priorities(KVec<Priority>);

impl Priorities {
    /// None.
    pub(crate) fn new() -> Self {
        Self(KVec::new())
    }

    /// Gives a rule its place.
    ///
    /// # Errors
    ///
    /// It has none.
    pub(crate) fn enter(&mut self, rule: &Rule<'_>, stance: Stance) -> Result<Place, Refusal> {
        let (chain, priority) = (rule.chain.0, rule.priority);
        let same = |entry: &Priority| entry.chain == chain && entry.priority == priority;
        let at = match self.0.iter().position(same) {
            Some(at) => at,
            None => {
                let new = Priority {
                    chain,
                    priority,
                    slots: KVec::from_elem(Slot::default(), SLOTS, GFP_KERNEL)?,
                    masks: KVec::new(),
                };
                self.0.push(new, GFP_KERNEL)?;
                self.0.len() - 1
            }
        };
        let result = self.0[at].enter(rule, stance);
        if result.is_err() {
            self.forget(at);
        }
        result
    }

    /// A rule is gone, from the device as well.
    pub(crate) fn leave(&mut self, place: &Place) {
        let same =
            |entry: &Priority| entry.chain == place.chain && entry.priority == place.priority;
        if let Some(at) = self.0.iter().position(same) {
            self.0[at].leave(place);
            self.forget(at);
        }
    }

    /// Drops a priority without rules.
    fn forget(&mut self, at: usize) {
        if self.0[at].masks.iter().all(|mask| mask.rules == 0) {
            // `at` is one of them.
            let _ = self.0.remove(at);
        }
    }
}

impl Priority {
    fn enter(&mut self, rule: &Rule<'_>, stance: Stance) -> Result<Place, Refusal> {
        if self.slots.iter().all(|slot| slot.rules() > 0) && self.slots.len() < SLOTS_MAX {
            let more = self.slots.len();
            self.slots.extend_with(more, Slot::default(), GFP_KERNEL)?;
        }
        let mask = self.mask(&rule.key, stance)?;
        let ranges = Ranges {
            src: rule.key.src_range,
            dst: rule.key.dst_range,
        };
        let place = Order::new(self.priority, &mut self.slots)?.enter(
            mask as u32,
            ranges,
            stance != Stance::Whole,
        )?;
        self.masks[mask].rules += 1;
        Ok(Place {
            chain: self.chain,
            priority: self.priority,
            slot: place.slot,
            mask,
            number: place.priority,
        })
    }

    fn leave(&mut self, place: &Place) {
        if let Ok(mut order) = Order::new(self.priority, &mut self.slots) {
            order.leave(place.slot);
        }
        if let Some(mask) = self.masks.get_mut(place.mask) {
            mask.rules -= 1;
        }
    }

    /// The number of a key's mask. It is not counted yet.
    fn mask(&mut self, key: &Key<'_>, stance: Stance) -> Result<usize, Refusal> {
        let mut bytes = bytes(key)?;
        if stance == Stance::Unread {
            bytes.push(u8::MAX, GFP_KERNEL)?;
        }
        let same = |mask: &Mask| mask.rules > 0 && *mask.bytes == *bytes;
        if let Some(at) = self.masks.iter().position(same) {
            return Ok(at);
        }
        let new = Mask { rules: 0, bytes };
        if let Some(at) = self.masks.iter().position(|mask| mask.rules == 0) {
            self.masks[at] = new;
            return Ok(at);
        }
        self.masks.push(new, GFP_KERNEL)?;
        Ok(self.masks.len() - 1)
    }
}

/// What two keys have in common if and only if they have one mask ([`Key::has_mask_of`]).
fn bytes(key: &Key<'_>) -> Result<KVec<u8>, Refusal> {
    let mut bytes = KVec::new();
    bytes.extend_from_slice(key.masks(), GFP_KERNEL)?;
    let ranges = [key.src_range, key.dst_range].map(|range| range.is_some().into());
    bytes.extend_from_slice(&ranges, GFP_KERNEL)?;
    match key.options {
        OptionsMatch::Any => {}
        OptionsMatch::Geneve { mask, .. } => {
            bytes.push(1, GFP_KERNEL)?;
            bytes.extend_from_slice(mask, GFP_KERNEL)?;
        }
        OptionsMatch::Group { mask, .. } => {
            bytes.push(2, GFP_KERNEL)?;
            bytes.extend_from_slice(&mask.to_ne_bytes(), GFP_KERNEL)?;
        }
    }
    Ok(bytes)
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
            all.enter(&rule, Stance::Whole)
        };
        let ttl = enter(5, Field::IpTtl, 1).map(|place| place.number);
        assert_eq!(ttl, Ok(5 << 16));
        let tos = enter(5, Field::IpTos, 1).map(|place| place.number);
        assert_eq!(tos, Ok(5 << 16 | 1));
        let again = enter(5, Field::IpTtl, 2).map(|place| place.number);
        assert_eq!(again, ttl);
        let other = enter(6, Field::IpTos, 1).map(|place| place.number);
        assert_eq!(other, Ok(6 << 16));
    }

    #[test]
    fn a_mask_without_rules_is_forgotten_and_comes_back_as_the_youngest() -> Result<(), Refusal> {
        let mut all = Priorities::new();
        let (ttl, tos) = (rule(1, Field::IpTtl, 1)?, rule(1, Field::IpTos, 1)?);
        let first = all.enter(&ttl, Stance::Whole)?;
        let second = all.enter(&tos, Stance::Whole)?;
        assert!(first.number < second.number);
        all.leave(&first);
        let back = all.enter(&ttl, Stance::Whole)?;
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
            let place = all.enter(&rule(2, field, 1)?, Stance::Whole)?;
            assert_eq!(place.number as usize, (2 << 16) + number);
        }
        Ok(())
    }

    #[test]
    fn a_rule_that_could_not_be_read_shares_no_number() -> Result<(), Refusal> {
        let mut all = Priorities::new();
        let mut any = rule(1, Field::IpTtl, 1)?;
        any.key = Key::default();
        let read = all.enter(&any, Stance::Whole)?;
        let unread = all.enter(&any, Stance::Unread)?;
        assert!(unread.number > read.number);
        assert_eq!(all.enter(&any, Stance::Unread)?.number, unread.number);
        Ok(())
    }
}
