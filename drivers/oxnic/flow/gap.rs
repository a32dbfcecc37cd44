// SPDX-License-Identifier: GPL-2.0-only

//! A rule that is missing in the device: where a user finds it, why it is missing, and what the device has in its place.

use super::{
    chain::part_of,
    place::Place,
    refusal::Refusal,
    store::{BlockSide, Inner, Store}, //
};
use oxnic_kapi::{net::flow::Cookie, time};

/// By what a user finds a rule among those of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// It is one of tc.
    Tc {
        /// Number of the chain.
        chain: u32,
        /// `pref`.
        priority: u32,
    },
    /// It is a part of one of nftables.
    Nftables {
        /// As which one of its chain the rule stood when it was tried, from 1 on; 0: that is not known.
        rule: u32,
        /// Which part of the rule it is.
        part: usize,
    },
}

impl core::fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Tc { chain, priority } => {
                write!(f, "a rule of chain {chain} with pref {priority}")
            }
            Self::Nftables { rule, part } => {
                write!(f, "part {part} of rule {rule} of a chain of nftables")
            }
        }
    }
}

/// For the kernel's macros, which have a trait of their own.
impl kernel::fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// What the device has in place of a rule that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    /// A rule that sends up what it takes.
    Upwards,
    /// Nothing: the rule itself does no more than that.
    Same,
    /// Nothing: software does not have the rule.
    SkipSw,
    /// Nothing: at egress the device cannot send up.
    Egress,
    /// Nothing: the device has stopped answering at the rule.
    Suspect,
    /// Nothing, for that is refused as well.
    Refused(Refusal),
}

impl core::fmt::Display for Instead {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Upwards => "a rule that sends its packets up, to software",
            Self::Same => "nothing: the rule itself only sends up",
            Self::SkipSw => "nothing: software does not have the rule (skip_sw)",
            Self::Egress => "nothing: at egress no packet can be sent up",
            Self::Suspect => "nothing: the device stopped answering at the rule",
            Self::Refused(why) => return write!(f, "nothing: {why}"),
        })
    }
}

/// For the kernel's macros, which have a trait of their own.
impl kernel::fmt::Display for Instead {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// A rule that is missing in the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Its block.
    pub(crate) block: BlockSide,
    /// The kernel's name of it, of nftables with that of the part ([`super::chain::part_of`]).
    pub(crate) cookie: Cookie,
    /// Where in its block it is.
    pub(crate) place: Whereabouts,
    /// What the device says.
    pub(crate) why: Refusal,
    /// What it has in its place.
    pub(crate) instead: Instead,
    /// When it went missing.
    pub(crate) lost: Lost,
    /// When that was found, in milliseconds of [`oxnic_kapi::time::now_ms`].
    pub(crate) since: u64,
    /// How often it was tried.
    pub(crate) tries: u32,
}

/// What a rule is missing since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// A reset.
    Reset,
    /// A transaction of nftables that had deleted it, and failed.
    Transaction,
}

impl Lost {
    /// For users.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reset => "missing since a reset",
            Self::Transaction => "missing since a transaction failed",
        }
    }
}

impl Missing {
    /// A rule at this place of its block, for this reason and with this in its place, that was not missing before a reset.
    pub(super) fn new(
        store: &Store,
        inner: &Inner,
        cookie: Cookie,
        place: &Place,
        (why, instead): (Refusal, Instead),
    ) -> Self {
        let place = if store.of_tc {
            let (chain, priority) = place.of_tc();
            Whereabouts::Tc { chain, priority }
        } else {
            let (rule, part) = part_of(cookie);
            let rule = inner.positions.ordinal(rule).unwrap_or(0);
            Whereabouts::Nftables { rule, part }
        };
        Self {
            block: store.block,
            cookie,
            place,
            why,
            instead,
            lost: Lost::Reset,
            since: time::now_ms(),
            tries: 0,
        }
    }
}
