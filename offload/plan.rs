// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! From what tc said to what the device is told: pure, and before the device hears of anything.
//!
//! - [`conditions`]: a rule's key into the conditions of a match template and the packed key of the rule.
//! - [`actions`]: its actions into the list of an action template, the rule's arguments, and what objects they need.
//! - [`order`]: its place among the rules of its priority.
//! - [`netfilter`]: a rule of nftables as rules of the device; [`position`]: its place among those of its chain.
//! - [`chains`]: where a frame goes on that the device does not bring to an end, and what must be refused for that.
//! - [`tunnels`]: what a rule of a tunnel device matches beside what it says.
//! - [`upper`]: what is sent to a VLAN device.
//! - [`headers`]: the bytes that are put around frames for a tunnel device.
//!
//! Results are canonical: rules that look at the same bits have the same conditions, byte for byte, and rules whose actions differ
//! in values only (ports, counters, meters, ids, tags, edits) have the same list. So a caller that finds templates by their
//! bytes shares them.
//!
//! Everything is written into slices of the caller. Nothing here keeps state but [`order::Order`], which is a view of slots of the
//! caller, under a lock of the caller; all else can run in parallel.

pub mod actions;
pub mod chains;
pub mod conditions;
pub mod context;
pub mod headers;
pub mod list;
pub mod meters;
pub mod needs;
pub mod netfilter;
pub mod order;
pub mod position;
pub mod tunnels;
pub mod upper;

mod edits;

mod walk;

pub use actions::{lower, ActionSpace, Actions};
pub use chains::{Course, Exit};
pub use conditions::{pack, ConditionSpace, Conditions, Reach};
pub use context::{Context, Destinations, Software, Statistics, Target};
pub use needs::{Counts, Need};
pub use order::{Entrant, Order, Place, Slot};
pub use tunnels::{Endpoint, TunnelDevice, TunnelId};
pub use upper::UpperDevice;
pub use walk::reached;
