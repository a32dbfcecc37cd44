// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the plan must know beside the rule.

use oxnic_abi::flow::capability::FlowCaps;

use super::tunnels::TunnelDevice;
use super::upper::UpperDevice;
use crate::rule::{Chain, Port};

/// What a rule asks to be counted. tc's `hw_stats` says whether; who asks for single actions is who reads them singly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Statistics {
    /// Nothing (`hw_stats disabled`).
    Off,
    /// What the rule takes.
    #[default]
    Rule,
    /// What each action gets. Actions that get the same share a counter.
    Actions,
}

/// What the kernel can do with a frame that the device hands up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Software {
    /// Software can be told to go on in another chain than the first (`CONFIG_NET_TC_SKB_EXT`).
    pub restores_chain: bool,
    /// The driver hands up frames that a rule has accepted in such a way that tc does not look at them again
    /// (`skb->tc_skip_classify`). The kernel then leaves out packet sockets that see everything and netfilter's ingress hook
    /// as well.
    pub skips_tc: bool,
}

/// Where a port that a rule names leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To an eswitch port of the device.
    Port(u16),
    /// Into a tunnel device above it.
    Tunnel(TunnelDevice),
    /// To a VLAN device above a port.
    Upper(UpperDevice),
}

/// What the driver looks up for the plan.
pub trait Destinations {
    /// Where a port leads; `None` for an interface that is not on this device.
    fn target(&self, port: Port) -> Option<Target>;
    /// The device's table for a chain of the rule's block; `None` where there is no room for one.
    fn table(&self, chain: Chain) -> Option<u32>;
}

/// What a rule is planned for.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    /// What the device can do.
    pub device: &'c FlowCaps,
    /// What the kernel can do.
    pub software: Software,
    /// The tunnel device that the rule is on; `None` for rules of representors and uplinks.
    pub tunnel: Option<TunnelDevice>,
    /// The VLAN device that the rule is on: its frames have lost the device's tags on the way to the rule's table, and come up with them.
    pub upper: Option<UpperDevice>,
    /// Whether the rule is at a port's egress. The device looks there at frames that its own rules send out of the port, and software at
    /// those that the host sends: nothing goes up, and no frame is looked at by both.
    pub egress: bool,
    /// Whether the rule is in hardware only.
    pub skip_sw: bool,
    /// What is counted.
    pub statistics: Statistics,
}

impl Context<'_> {
    /// Whether a frame that misses in a chain other than the first goes on there, with what was done to it.
    pub fn goes_on_in_chain(&self) -> bool {
        self.software.restores_chain && self.tunnel.is_none() && self.upper.is_none()
    }
}
