// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A naive interpreter: rules, in the order in which the kernel has them, over packets.
//!
//! It says what leaves where and with which bytes, which counters move, what goes to the CPU, and what no rule took and in which
//! chain. It is written to be obviously right, with linear scans everywhere, and is what anything faster is compared with.
//!
//! What is interpreted is **software** tc on ingress, as it is and not as one would like it; where a device is meant to differ
//! (a trapped packet goes to the CPU, where tc drops it) the [`Fate`] says so.
//!
//! - [`table`]: rules and their order, [`mod@classify`]: chains and priorities, [`mod@execute`]: the actions of a rule.
//! - [`packet`]: the packet that actions change, [`tags`], [`pedit`], [`csum`]: the changes. [`bucket`]: policers.
//! - [`sink`]: where results go, and what of the world around is asked.
//!
//! Not interpreted: egress, segments of large sends (a packet here is one frame), congestion marks of tunnels, and the headers
//! that a tunnel device puts around what is sent to it: what it is told to put is handed out instead.

pub mod bucket;
pub mod classify;
pub mod csum;
pub mod execute;
pub mod netfilter;
pub mod packet;
pub mod pedit;
pub mod sink;
pub mod table;
pub mod tags;

pub use bucket::Bucket;
pub use classify::{classify, Arrival, Fate};
pub use packet::{Output, Packet};
pub use sink::{Count, Sink, World};
pub use table::{Entry, Table};
