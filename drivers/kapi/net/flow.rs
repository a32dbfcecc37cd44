// SPDX-License-Identifier: GPL-2.0-only

//! Rules that tc or nftables ask a device to take over, as the kernel's flow offload interface has them.
//!
//! tc keeps rules in blocks. A block belongs to the ingress or egress of a net device, or is shared by several. When a device is
//! bound to a block, its driver gives [`Rules`] ([`block`]), and from then on hears of each rule in the block: of those that are
//! there already before the binding is done, and of their removal before it is undone. For devices that are not the driver's own,
//! such as tunnels, [`indirect`] asks it the same question.
//!
//! A [`FlowRule`] is what a rule says: its [`Key`]s, each of which must be understood or the rule refused, and its [`Action`]s. It
//! is the kernel's and lives as long as the call. Values of packet fields are in network order.
//!
//! Some things are not in the kernel's structures and cannot be found out by a driver: the `classid` of a rule means nothing here,
//! and a chain's template is not needed.

pub mod action;
pub mod block;
pub mod chain;
pub mod classifier;
pub mod entry;
#[cfg(CONFIG_KUNIT)]
pub mod fixture;
pub mod indirect;
pub mod key;
pub mod masked;
pub mod onwards;
pub mod police;
pub mod rule;
pub mod sample;
pub mod shared_action;
pub mod stats;
pub mod tunnel;

pub use action::{Action, Actions};
pub use block::{Binder, Binding, BlockId};
pub use chain::Position;
pub use classifier::{Cookie, NewRule, Rules};
pub use entry::Entry;
pub use indirect::{Others, Registration};
pub use key::Key;
pub use masked::Masked;
pub use onwards::{ChainRestore, Onwards};
pub use police::Police;
pub use rule::FlowRule;
pub use sample::{Listeners, Sampler, Samples};
pub use shared_action::SharedAction;
pub use stats::{HwStats, Means, Statistics};
pub use tunnel::Tunnel;

/// Whether a packet that a device has begun to work on can go on in software where the device stopped: in the same chain, and
/// behind the actions that were done (`CONFIG_NET_TC_SKB_EXT`). Debian's kernel cannot; there a packet starts again in chain 0.
pub const MISSES_CONTINUE: bool = cfg!(CONFIG_NET_TC_SKB_EXT);
