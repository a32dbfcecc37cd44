// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Numbers for rules that have an order of their own, as those of a chain of nftables: the device compares numbers, and a rule can come
//! between any two others.
//!
//! A rule at the end is [`STEP`] behind the last one, so that rules which come later find room between them. Where there is none left, all
//! rules get new numbers ([`spread`]), in the lower half of what there is. Old and new numbers are in the same order,
//! so that the rules can be moved one by one without any two of them changing places ([`moves_first`]).

/// How far apart rules are that come one behind the other.
pub const STEP: u32 = 1 << 16;

/// A number between two others that are in order; without the one, in front of all; without the other, behind all. None where there
/// is no room.
pub fn between(before: Option<u32>, after: Option<u32>) -> Option<u32> {
    let low = before.unwrap_or(0);
    let distance = match after {
        Some(high) => high.checked_sub(low)? / 2,
        None => STEP.min((u32::MAX - low) / 2),
    };
    (distance > 0).then(|| low + distance)
}

/// The number of the rule that is `index`-th of `count` ones, counted from zero, where all get new numbers. They are at least 2 apart as long
/// as there are less than 2^30 rules.
pub fn spread(index: usize, count: usize) -> u32 {
    let width = (1u64 << 31) / (count as u64 + 1);
    ((index as u64 + 1) * width).try_into().unwrap_or(u32::MAX)
}

/// Whether a rule moves in the first pass of two. In that, those move whose number grows, the last one first; in the second one the
/// others, the first one first. So each rule moves to where no other one is on its way or at its end.
pub fn moves_first(old: u32, new: u32) -> bool {
    new > old
}
