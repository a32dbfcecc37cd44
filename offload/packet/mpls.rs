// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! MPLS label stacks, as far as the dissector looks at them.

use super::bytes;

/// Entries that the dissector looks at (`FLOW_DIS_MPLS_MAX`).
pub const ENTRIES_MAX: usize = 7;
/// Bytes of an entry.
pub const ENTRY: usize = 4;

/// The bit of the last entry of a stack, in its third byte.
const BOTTOM: u8 = 1;

/// A label stack. What is not there is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// Which entries there are, the first one in bit 0.
    pub there: u8,
    /// Label (20 bits), traffic class (3), bottom of stack (1) and TTL (8) of each.
    pub entries: [[u8; ENTRY]; ENTRIES_MAX],
}

impl Stack {
    /// Reads a stack up to its bottom, its seventh entry, or the last whole one. Behind each entry, `goes_on` says whether another one is
    /// looked at.
    pub fn parse(data: &[u8], at: usize, mut goes_on: impl FnMut() -> bool) -> Self {
        let mut stack = Self::default();
        for (index, place) in stack.entries.iter_mut().enumerate() {
            let start = at.saturating_add(index * ENTRY);
            let Some(entry) = bytes::array(data, start) else {
                break;
            };
            *place = entry;
            stack.there |= 1 << index;
            if entry[2] & BOTTOM != 0 || !goes_on() {
                break;
            }
        }
        stack
    }
}
