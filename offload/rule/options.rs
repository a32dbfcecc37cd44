// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Matches of tunnel options (`enc_opts`: `geneve_opts`, `vxlan_opts`).
//!
//! Flower keeps the options of a rule in one array with their length, and masks the length with **itself** (`fl_set_enc_opt`
//! counts both lengths up alike). So a rule for 8 bytes of options takes every packet whose length of options has that bit: 8 to
//! 15 and 24 to 31 and so on, if the first bytes are right; what follows is not looked at. The length that each Geneve option
//! has in its own header is masked with itself in the same way, but that is part of the bytes here.

use crate::packet::tunnel::TunnelOptions;

/// What a rule says of options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OptionsMatch<'a> {
    /// Nothing.
    #[default]
    Any,
    /// Geneve options: whole ones, each with its header of four bytes, as flower puts them together.
    Geneve {
        /// What they are.
        value: &'a [u8],
        /// Which bits of that count. As long as the value.
        mask: &'a [u8],
    },
    /// The group of VXLAN, within [`crate::packet::vxlan::GROUP_MASK`].
    Group {
        /// What it is.
        value: u32,
        /// Which bits count.
        mask: u32,
    },
}

impl OptionsMatch<'_> {
    /// Whether a packet has what the rule says.
    pub fn matches(&self, options: TunnelOptions<'_>) -> bool {
        match (*self, options) {
            (Self::Any, _) => true,
            (Self::Geneve { value, mask }, TunnelOptions::Geneve(options)) => {
                let length = value.len();
                options.len() & length == length
                    && value
                        .iter()
                        .zip(mask)
                        .enumerate()
                        .all(|(at, (value, mask))| {
                            options.get(at).copied().unwrap_or(0) & mask == value & mask
                        })
            }
            (Self::Group { value, mask }, TunnelOptions::Group(group)) => {
                group & mask == value & mask
            }
            _ => false,
        }
    }

    /// Whether two rules look at the same bits.
    pub fn has_mask_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Any) => true,
            (Self::Geneve { mask, .. }, Self::Geneve { mask: others, .. }) => mask == others,
            (Self::Group { mask, .. }, Self::Group { mask: others, .. }) => mask == others,
            _ => false,
        }
    }

    /// Whether two rules that look at the same bits want the same.
    pub fn has_value_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Any) => true,
            (Self::Geneve { value, mask }, Self::Geneve { value: others, .. }) => {
                value.len() == others.len()
                    && mask
                        .iter()
                        .zip(value.iter().zip(*others))
                        .all(|(mask, (one, other))| one & mask == other & mask)
            }
            (Self::Group { value, mask }, Self::Group { value: others, .. }) => {
                value & mask == others & mask
            }
            _ => false,
        }
    }
}
