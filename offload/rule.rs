// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What tc said: rules, with keys and actions that are typed and own nothing of the kernel's.
//!
//! [`Field`] is the one table of what can be matched. A [`Key`] is values and masks in the layout that the table gives, and a
//! packet's [`Values`] have the same layout, so that a match is a comparison of bytes under a mask. What is of variable length or
//! no mask is beside it: port ranges and tunnel options.
//!
//! [`Action`] is what tc's actions ask for, in tc's order. [`check()`] says why a rule cannot be meant; what a given device can do
//! is not asked here.

pub mod action;
pub mod check;
pub mod edit;
pub mod encap;
pub mod field;
pub mod key;
pub mod options;
pub mod police;
pub mod values;

pub use action::{Action, Direction, Verdict};
pub use check::check;
pub use edit::{Edit, Header, Operation};
pub use encap::Encap;
pub use field::Field;
pub use key::{Key, Range};
pub use options::OptionsMatch;
pub use police::Police;
pub use values::{Seen, Values};

/// A port of the switch, or any other interface that rules name: the front end says which number is which interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port(pub u32);

/// A chain of rules. Packets start in chain zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Chain(pub u32);

/// A rule's name, chosen by who inserts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cookie(pub u64);

/// Which classifier a rule belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Classifier {
    /// `cls_flower`.
    #[default]
    Flower,
    /// `cls_matchall`: one rule, whose key is empty.
    Matchall,
    /// A chain of nftables. What its rules match is not what it would be for tc, see [`crate::plan::netfilter`].
    Nftables,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule<'a> {
    /// Its name.
    pub cookie: Cookie,
    /// Its classifier.
    pub classifier: Classifier,
    /// The chain it is in.
    pub chain: Chain,
    /// tc's `prio` (or `pref`): lower comes first.
    pub priority: u32,
    /// tc's `protocol`: the type of the frame's **outermost** tag, or of what it carries where there is none. 3 stands for all
    /// ([`crate::packet::ethernet::ALL`]). A priority of a chain has one protocol.
    pub protocol: u16,
    /// What it matches.
    pub key: Key<'a>,
    /// What it does, in order.
    pub actions: &'a [Action<'a>],
}
