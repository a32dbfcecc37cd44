// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Where results go, and what of the world around the interpreter asks.

use super::bucket::Bucket;
use super::packet::Output;
use crate::rule::{Cookie, Direction, Police, Port};

/// What an action's counters get from one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Bytes, see [`super::Packet::accounted`]. The packet counts as one.
    pub bytes: u32,
    /// Whether it counts as dropped by this action.
    pub drop: bool,
    /// Whether it counts as beyond a limit: a policer's, or a copy or an edit that could not be made.
    pub overlimit: bool,
}

/// Where results go, in the order in which they happen.
pub trait Sink {
    /// A packet leaves through a port. Nothing is done to it after that.
    fn sent(&mut self, port: Port, direction: Direction, packet: &Output<'_, '_>);
    /// A packet is copied to listeners of psample. They get at most `truncate` bytes, and not the outermost tag
    /// (`tcf_sample_act` hands over the data as it is).
    fn sampled(&mut self, group: u32, rate: u32, truncate: Option<u32>, packet: &Output<'_, '_>);
    /// The action of that number of a rule counts a packet.
    fn counted(&mut self, rule: Cookie, action: usize, count: Count);
}

/// What of the world around is asked.
pub trait World {
    /// The time, in nanoseconds. Does not go back.
    fn now(&mut self) -> u64;
    /// The bucket of a policer, shared by all policers with its index.
    fn bucket(&mut self, police: &Police) -> &mut Bucket;
    /// Whether this packet is the one of so many that is sampled.
    fn is_sampled(&mut self, rate: u32) -> bool;
    /// Whether a port is up and has a carrier: copies to others are not made, and redirects to them drop.
    fn is_up(&mut self, port: Port) -> bool;
}
