// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Rates: a tree by which the device shares out what VFs send.
//!
//! Its leaves are the VFs, each of which is there as long as the VF is enabled; its inner nodes are made by the PF. Rates are in
//! bytes a second, of the bytes that `tx_bytes` counts.

use crate::{open_enum, wire};

/// Traffic classes, one for each priority of a tag.
pub const CLASSES: usize = 8;
/// Largest share of a traffic class.
pub const CLASS_SHARE_MAX: u8 = 100;

wire! {
    /// Capability [`crate::caps::CapabilityId::RATE`], of a PF only.
    pub struct RateCaps: 4 {
        /// Most nodes; their numbers are from 1 to this.
        0: nodes: u16,
        /// Most nodes that may lie one above the other, at least 1.
        2: depth: u16,
        /// Highest weight, at least 1.
        4: weight_max: u32,
        /// Highest rate in bytes a second.
        8: rate_max: u64,
        /// Highest priority.
        16: priority_max: u32,
    }
}

open_enum! {
    /// What a rate is of.
    pub enum RateKind: u16 {
        /// A VF, by its number from 0.
        LEAF = 1: "leaf",
        /// A node, by its number from 1.
        NODE = 2: "node",
        /// All leaves and nodes. For [`crate::command::Opcode::RATE_DESTROY`] only; the number is 0.
        EVERY = 3: "all",
    }
}

wire! {
    /// Buffer of [`crate::command::Opcode::RATE_SET`].
    pub struct RateConfig: 6 {
        /// Which fields are meant, see [`rate_fields`].
        0: fields: u32,
        /// Leaf or node.
        4: kind: RateKind,
        /// Which.
        6: number: u16,
        /// The node above; 0: none.
        8: parent: u16,
        /// Those with the highest are served first; 0 to [`RateCaps::priority_max`].
        12: priority: u32,
        /// Rate that it is promised, in bytes a second; 0: none.
        16: share: u64,
        /// Rate that it may send at, in bytes a second; 0: unlimited.
        24: max: u64,
        /// Part of what is left among those of one priority; 0 is as 1, up to [`RateCaps::weight_max`].
        32: weight: u32,
        /// Parts of its traffic classes, 0 to [`CLASS_SHARE_MAX`] each; all 0: classes are not told apart.
        40: classes: [u8; 8],
    }
}

impl Default for RateConfig {
    /// Nothing is set, of nothing.
    fn default() -> Self {
        Self::ZERO
    }
}

impl RateConfig {
    /// The same leaf or node with the settings that `change` means.
    pub fn with(mut self, change: &Self) -> Self {
        let has = |field: u32| change.fields & field != 0;
        if has(rate_fields::PARENT) {
            self.parent = change.parent;
        }
        if has(rate_fields::SHARE) {
            self.share = change.share;
        }
        if has(rate_fields::MAX) {
            self.max = change.max;
        }
        if has(rate_fields::PRIORITY) {
            self.priority = change.priority;
        }
        if has(rate_fields::WEIGHT) {
            self.weight = change.weight;
        }
        if has(rate_fields::CLASSES) {
            self.classes = change.classes;
        }
        self
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::RATE_DESTROY`].
    pub struct RateId: 5 {
        /// Leaf, node, or all.
        0: kind: RateKind,
        /// Which.
        2: number: u16,
    }
}

/// Bits of [`RateConfig::fields`].
pub mod rate_fields {
    /// `parent`.
    pub const PARENT: u32 = 1 << 0;
    /// `share`.
    pub const SHARE: u32 = 1 << 1;
    /// `max`.
    pub const MAX: u32 = 1 << 2;
    /// `priority`.
    pub const PRIORITY: u32 = 1 << 3;
    /// `weight`.
    pub const WEIGHT: u32 = 1 << 4;
    /// `classes`.
    pub const CLASSES: u32 = 1 << 5;
    /// All of them.
    pub const ALL: u32 = 0x3f;
}
