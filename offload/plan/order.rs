// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The order of rules of one priority (a chain's `prio`), as `cls_flower` has it, in numbers that the device compares.
//!
//! A rule's priority in the device is tc's priority in the upper 16 bits, and in the lower ones the number of its *group*: the rules of
//! the priority with the same mask and the same port ranges. Rules of one group differ in values only, so that no packet fits two of
//! them, and need no order. [`crate::oracle::table`] says what the order of groups is:
//!
//! - Masks in the order in which they came into being. A mask without rules is forgotten, and comes back as the youngest.
//! - Within a mask, ranges in the order of their oldest rules. Ranges that do not overlap need no order.
//!
//! Numbers are given once and are not changed while a rule has them, so a rule is in the device with its place at once and nothing else
//! moves. A new mask gets a number behind those of all masks there are; [`Order::lowest_move`] says how to get back the numbers of those that
//! have gone, where they run out.
//!
//! Overlapping ranges are the exception: that the oldest rule of a range goes can put its younger rules *behind* another range.
//! Those cannot be renumbered at once. So a rule is refused that is younger than an overlapping range of its mask which is younger than the
//! oldest rule of its own range ([`Reject::RangeOrder`]): then all rules of the earlier range are older than all of the later, and stay so
//! whichever goes.
//!
//! Rules that come as their block is bound are no such order: flower plays them back by lists of its own, most often the youngest first. Of a
//! priority the first mask that comes so, and of a mask the first of ranges that overlap, is *placed*; what else comes is *loose*: it is known
//! to be neither before nor behind the others. Loose rules have the lowest number, [`LOOSE`], and only send up what they take, so that software,
//! which has the order, decides of each frame that they fit ([`Reject::Unordered`] for all others). A mask is loose as long as it has loose rules
//! alone, so that its later ones are so too.
//!
//! What the driver cannot see is not in the order: masks of rules with `skip_hw`, and that a rule replaces another one (tc hands the new
//! one over like any other; the kernel keeps the old place among ranges).
//!
//! # Locks
//!
//! An [`Order`] is one priority of one chain of one block. Its slots are guarded by one lock, the caller's, which is held for [`Order::enter`],
//! [`Order::join`], [`Order::leave`], [`Order::lowest_move`] and [`Order::moved`] and for nothing else: not while the device is told. Rules of other priorities,
//! chains and blocks have other locks. A rule of a group that is there takes the lock for a moment only ([`Order::join`]: no search). Of
//! two rules that are inserted at once, either mask may be the older one, here and in the kernel; that the same one is, nothing makes sure.
//!
//! A rule enters before the device is told of it, also one that is refused for other reasons and stays in software (it holds its mask's
//! place), and leaves after the device has said that it is gone. Else two groups could have one number for a moment.

use crate::reject::Reject;
use crate::rule::Range;

/// Numbers that a mask with ranges takes: so many of its ranges can overlap, each with the next.
pub const RANGES: u16 = 64;

/// The number of rules that only send up, before all others of their priority, as it is not known where they stand.
pub const LOOSE: u16 = 0;

/// The two ranges of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ranges {
    /// Of the source port.
    pub src: Option<Range>,
    /// Of the destination port.
    pub dst: Option<Range>,
}

impl Ranges {
    /// Whether a packet can be in both.
    fn overlaps(&self, other: &Self) -> bool {
        let meet = |one: Option<Range>, two: Option<Range>| match (one, two) {
            (Some(one), Some(two)) => one.min <= two.max && two.min <= one.max,
            _ => true,
        };
        meet(self.src, other.src) && meet(self.dst, other.dst)
    }

    fn any(&self) -> bool {
        self.src.is_some() || self.dst.is_some()
    }
}

/// A group of rules, in a slot of the caller. The default is a free slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// How many rules it has; none: the slot is free.
    rules: u32,
    /// The caller's number for the mask.
    mask: u32,
    ranges: Ranges,
    /// The first number of the mask.
    base: u16,
    /// How far behind it the group is.
    step: u16,
    /// It has the number [`LOOSE`].
    loose: bool,
    /// When the group came into being, in a count of all groups.
    born: u64,
}

impl Slot {
    /// How many rules the group has.
    pub const fn rules(&self) -> u32 {
        self.rules
    }

    /// The caller's number for the group's mask.
    pub const fn mask(&self) -> u32 {
        self.mask
    }

    /// Its number among groups.
    pub const fn number(&self) -> u16 {
        self.base.saturating_add(self.step)
    }

    const fn end(&self) -> u32 {
        let width = if self.loose {
            1
        } else if self.ranges.src.is_some() || self.ranges.dst.is_some() {
            RANGES
        } else {
            1
        };
        self.base as u32 + width as u32
    }
}

/// A rule's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The slot of its group.
    pub slot: usize,
    /// The priority that the device is told.
    pub priority: u32,
}

/// A rule that enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrant {
    /// The caller's number for its mask: rules have the same number if and only if `cls_flower` has one mask for them
    /// ([`crate::rule::Key::has_mask_of`]).
    pub mask: u32,
    /// Its ranges.
    pub ranges: Ranges,
    /// It only sends up what it takes. It is not refused for the order of its range, since software, which has the order right, looks at the
    /// packet again.
    pub upwards: bool,
    /// It comes as its block is bound, and may be older than rules that came before it.
    pub played_back: bool,
}

/// A group whose number could be lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Its mask: all groups of it move.
    pub mask: u32,
    /// The mask's first number.
    pub from: u16,
    /// What it could be.
    pub to: u16,
}

/// The groups of a priority, in slots of the caller.
#[derive(Debug)]
pub struct Order<'s> {
    priority: u16,
    slots: &'s mut [Slot],
}

impl<'s> Order<'s> {
    /// A view of the slots of a priority of tc. New slots are [`Slot::default`].
    ///
    /// # Errors
    ///
    /// [`Reject::Priority`] where it has more than 16 bits.
    pub fn new(priority: u32, slots: &'s mut [Slot]) -> Result<Self, Reject> {
        let priority = u16::try_from(priority).map_err(|_| Reject::Priority { priority })?;
        Ok(Self { priority, slots })
    }

    fn groups(&self) -> impl Iterator<Item = &Slot> + Clone {
        self.slots.iter().filter(|slot| slot.rules > 0)
    }

    fn place(&self, slot: usize) -> Place {
        let number = self.slots.get(slot).map_or(0, Slot::number);
        Place {
            slot,
            priority: (u32::from(self.priority) << 16) | u32::from(number),
        }
    }

    /// Finds the place of a rule that is younger than all others. Takes time in proportion to the slots.
    ///
    /// # Errors
    ///
    /// As [`Self::admit`].
    pub fn enter(&mut self, mask: u32, ranges: Ranges, upwards: bool) -> Result<Place, Reject> {
        self.admit(&Entrant {
            mask,
            ranges,
            upwards,
            played_back: false,
        })
    }

    /// Finds the place of a rule. Takes time in proportion to the slots.
    ///
    /// # Errors
    ///
    /// [`Reject::RangeOrder`]; [`Reject::Unordered`]; [`Reject::OrderFull`] where there is no slot or number. Nothing has changed then.
    pub fn admit(&mut self, rule: &Entrant) -> Result<Place, Reject> {
        let Entrant {
            mask,
            ranges,
            upwards,
            ..
        } = *rule;
        let mut slots = self.slots.iter();
        let found =
            slots.position(|slot| slot.rules > 0 && slot.mask == mask && slot.ranges == ranges);
        if let Some(at) = found {
            if !upwards {
                self.check_interleaved(at)?;
            }
            return self.join(at, upwards);
        }
        let loose = self.is_loose(rule);
        if loose && !upwards {
            return Err(self.unordered());
        }
        let full = Reject::OrderFull {
            priority: u32::from(self.priority),
        };
        let (base, step) = match loose {
            true => (LOOSE, 0),
            false => self.next_number(mask, ranges).ok_or(full)?,
        };
        let born = self.groups().map(|slot| slot.born).max().unwrap_or(0) + 1;
        let at = self.slots.iter().position(|slot| slot.rules == 0);
        let at = at.ok_or(full)?;
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot {
                rules: 1,
                mask,
                ranges,
                base,
                step,
                loose,
                born,
            };
        }
        Ok(self.place(at))
    }

    /// One more rule of a group without ranges that the caller has found by itself; `upwards`: it only sends up what it takes.
    ///
    /// # Errors
    ///
    /// [`Reject::OrderFull`] where there is no such group; [`Reject::Unordered`] where all its rules must only send up.
    pub fn join(&mut self, slot: usize, upwards: bool) -> Result<Place, Reject> {
        let full = Reject::OrderFull {
            priority: u32::from(self.priority),
        };
        let unordered = self.unordered();
        let group = self.slots.get_mut(slot).filter(|group| group.rules > 0);
        let group = group.ok_or(full)?;
        if group.loose && !upwards {
            return Err(unordered);
        }
        group.rules = group.rules.checked_add(1).ok_or(full)?;
        Ok(self.place(slot))
    }

    /// A rule has gone from its group. Says whether the group went with it.
    pub fn leave(&mut self, slot: usize) -> bool {
        match self.slots.get_mut(slot) {
            Some(group) if group.rules > 1 => {
                group.rules -= 1;
                false
            }
            Some(group) => {
                *group = Slot::default();
                true
            }
            None => false,
        }
    }

    fn unordered(&self) -> Reject {
        Reject::Unordered {
            priority: u32::from(self.priority),
        }
    }

    /// Whether it is not known where a new group stands.
    fn is_loose(&self, rule: &Entrant) -> bool {
        let mut same = self.groups().filter(|slot| slot.mask == rule.mask);
        if same.clone().any(|slot| !slot.loose) {
            return rule.played_back && same.any(|slot| slot.ranges.overlaps(&rule.ranges));
        }
        same.next().is_some() || (rule.played_back && self.groups().next().is_some())
    }

    /// The number of a new group that is not loose: the first one of its mask, and how far behind.
    fn next_number(&self, mask: u32, ranges: Ranges) -> Option<(u16, u16)> {
        let placed = |slot: &&Slot| slot.mask == mask && !slot.loose;
        let mut same = self.groups().filter(placed);
        if let Some(base) = same.next().map(|slot| slot.base) {
            let older = self
                .groups()
                .filter(placed)
                .filter(|slot| slot.ranges.overlaps(&ranges));
            let step = older.map(|slot| slot.step + 1).max().unwrap_or(0);
            return (step < RANGES).then_some((base, step));
        }
        let base = self.groups().map(Slot::end).max();
        let base = base.unwrap_or(u32::from(LOOSE) + 1);
        let width = if ranges.any() { RANGES } else { 1 };
        (base + u32::from(width) <= 1 << 16).then_some((base as u16, 0))
    }

    /// Refuses a rule of a group that an overlapping one has followed.
    fn check_interleaved(&self, at: usize) -> Result<(), Reject> {
        let Some(own) = self.slots.get(at) else {
            return Ok(());
        };
        let mut later = self
            .groups()
            // Loose ones come before it in any case.
            .filter(|slot| slot.mask == own.mask && slot.born > own.born && !slot.loose);
        match later.find(|slot| slot.ranges.overlaps(&own.ranges)) {
            None => Ok(()),
            Some(other) => Err(Reject::RangeOrder {
                own: own.ranges,
                other: other.ranges,
            }),
        }
    }

    /// Whether there is no number for a mask with ranges, and there would be more if masks had lower ones.
    pub fn is_used_up(&self) -> bool {
        let end = self.groups().map(Slot::end).max().unwrap_or(0);
        end + u32::from(RANGES) > 1 << 16 && self.lowest_move().is_some()
    }

    /// The number in the device of the rules of a slot, after a move of their mask.
    pub fn after(&self, what: Move, slot: usize) -> Option<u32> {
        let group = self.slots.get(slot)?;
        let moved = group.rules > 0 && group.mask == what.mask && group.base == what.from;
        let number = what.to.checked_add(group.step).filter(|_| moved)?;
        Some((u32::from(self.priority) << 16) | u32::from(number))
    }

    /// The first mask whose numbers could be lower. The caller adds its rules anew with the new priorities, then deletes the old ones, and says so
    /// with [`Order::moved`]; no packet sees a wrong order at any time, as there is nothing between the old and the new numbers. Until it
    /// has, it lets no rule of the mask enter.
    pub fn lowest_move(&self) -> Option<Move> {
        let mut free = u32::from(LOOSE) + 1;
        let mut after = LOOSE;
        loop {
            let later = self.groups().filter(|slot| slot.base > after);
            let next = later.min_by_key(|slot| slot.base)?;
            // The old and the new numbers of a mask with ranges must not mix.
            let width = next.end() - u32::from(next.base);
            if free + width <= u32::from(next.base) {
                return Some(Move {
                    mask: next.mask,
                    from: next.base,
                    to: free as u16,
                });
            }
            free = next.end();
            after = next.base;
        }
    }

    /// The rules of a mask have their new numbers.
    pub fn moved(&mut self, what: Move) {
        for slot in self.slots.iter_mut() {
            if slot.rules > 0 && slot.mask == what.mask && slot.base == what.from {
                slot.base = what.to;
            }
        }
    }
}
