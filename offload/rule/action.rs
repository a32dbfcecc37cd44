// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a rule does, action by action, in tc's order.
//!
//! A driver sees less than tc was told. Each action of tc ends with a verdict (pipe, ok, stolen, …), and only those of gact and
//! police come along: a vlan, pedit, csum, mirred, skbedit, sample or tunnel_key action always looks as if it had its usual one
//! (`tcf_mirred_offload_act_setup` and its siblings). The usual ones are meant here: a redirect ends the rule, all the others go
//! on. And where vlan modify was told no priority, a driver reads priority 0, which is a priority too
//! (`tcf_vlan_push_prio`): [`Action::VlanModify`] has `None` for it, and the front end must find out.

use super::edit::Edit;
use super::encap::Encap;
use super::police::Police;
use super::{Chain, Port};

/// What happens after an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next action. After the last one: as [`Verdict::Accept`].
    Pipe,
    /// The packet goes on as if there were no rules (`ok`).
    Accept,
    /// The packet is dropped (`shot`).
    Drop,
    /// The packet goes to the CPU. In software, tc **drops** what it traps.
    Trap,
    /// The next priority of this chain: rules of this same priority are not looked at any more (`continue`).
    Continue,
    /// All over again, from the first chain (`reclassify`).
    Reclassify,
    /// The first priority of a chain.
    Goto(Chain),
    /// The action of that number in the rule, counted from its **start** and from zero (`tcf_action_exec` restarts, and skips so
    /// many). `jump 1` in the first action therefore goes on as pipe does. Beyond the last action, and after 31 jumps: accept.
    Jump(u32),
}

/// Which way a packet is put into an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Out of it, as if the host sent it there.
    Egress,
    /// Into the host, as if it came in there.
    Ingress,
}

/// What [`Action::Checksum`] corrects.
pub mod checksum {
    /// The IPv4 header's.
    pub const IPV4: u8 = 1 << 0;
    /// That of ICMP and ICMPv6.
    pub const ICMP: u8 = 1 << 1;
    /// That of IGMP.
    pub const IGMP: u8 = 1 << 2;
    /// That of TCP.
    pub const TCP: u8 = 1 << 3;
    /// That of UDP.
    pub const UDP: u8 = 1 << 4;
    /// That of UDP-Lite.
    pub const UDP_LITE: u8 = 1 << 5;
    /// That of SCTP.
    pub const SCTP: u8 = 1 << 6;
    /// All of them.
    pub const ALL: u8 = (1 << 7) - 1;
}

/// An action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Nothing but a verdict (gact).
    Control(Verdict),
    /// The packet itself goes there, and the rule ends.
    Redirect(Port, Direction),
    /// A copy goes there, of what the packet is at this point.
    Mirror(Port, Direction),
    /// A new outermost tag. A rule can push several.
    VlanPush {
        /// Type of the tag.
        tpid: u16,
        /// Id, 12 bits.
        id: u16,
        /// Priority, 3 bits.
        priority: u8,
    },
    /// The outermost tag is taken off. A packet without one is left as it is.
    VlanPop,
    /// The outermost tag is changed. A packet without one is left as it is.
    VlanModify {
        /// Its new type. tc always sets it, to 802.1Q where none is said, also in a tag of 802.1ad.
        tpid: u16,
        /// Its new id, 12 bits.
        id: u16,
        /// Its new priority, 3 bits. Without: as it was.
        priority: Option<u8>,
    },
    /// Edits of header fields, one after the other.
    Pedit(&'a [Edit]),
    /// Checksums are made right, see [`checksum`].
    Checksum(u8),
    /// The packet's mark, which goes up with it.
    Mark(u32),
    /// The packet's priority, which goes along with it.
    Priority(u32),
    /// One packet of so many is copied to listeners of psample.
    Sample {
        /// The listeners' group.
        group: u32,
        /// One of so many, at least 1.
        rate: u32,
        /// How many bytes of it at most. All where not said.
        truncate: Option<u32>,
    },
    /// A token bucket decides.
    Police(Police),
    /// A tunnel device to which the packet is sent afterwards puts these headers around it (`tunnel_key set`).
    TunnelSet(Encap<'a>),
    /// The note of the tunnel that the packet came out of is taken away (`tunnel_key unset`).
    TunnelUnset,
}

impl<'a> Action<'a> {
    /// The same without what it borrows, to be kept: its edits, which come along; if it has none, there are none. None for headers of a
    /// tunnel, which cannot be kept so.
    pub const fn apart(&self) -> Option<(Action<'static>, &'a [Edit])> {
        let mut edits: &[Edit] = &[];
        let action = match *self {
            Self::Pedit(all) => {
                edits = all;
                Action::Pedit(&[])
            }
            Self::TunnelSet(_) => return None,
            Self::TunnelUnset => Action::TunnelUnset,
            Self::Control(verdict) => Action::Control(verdict),
            Self::Redirect(port, direction) => Action::Redirect(port, direction),
            Self::Mirror(port, direction) => Action::Mirror(port, direction),
            Self::VlanPush { tpid, id, priority } => Action::VlanPush { tpid, id, priority },
            Self::VlanPop => Action::VlanPop,
            Self::VlanModify { tpid, id, priority } => Action::VlanModify { tpid, id, priority },
            Self::Checksum(what) => Action::Checksum(what),
            Self::Mark(mark) => Action::Mark(mark),
            Self::Priority(priority) => Action::Priority(priority),
            Self::Sample {
                group,
                rate,
                truncate,
            } => Action::Sample {
                group,
                rate,
                truncate,
            },
            Self::Police(police) => Action::Police(police),
        };
        Some((action, edits))
    }

    /// Its name, as tc has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Control(Verdict::Pipe) => "pipe",
            Self::Control(Verdict::Accept) => "ok",
            Self::Control(Verdict::Drop) => "drop",
            Self::Control(Verdict::Trap) => "trap",
            Self::Control(Verdict::Continue) => "continue",
            Self::Control(Verdict::Reclassify) => "reclassify",
            Self::Control(Verdict::Goto(_)) => "goto chain",
            Self::Control(Verdict::Jump(_)) => "jump",
            Self::Redirect(_, Direction::Egress) => "mirred egress redirect",
            Self::Redirect(_, Direction::Ingress) => "mirred ingress redirect",
            Self::Mirror(_, Direction::Egress) => "mirred egress mirror",
            Self::Mirror(_, Direction::Ingress) => "mirred ingress mirror",
            Self::VlanPush { .. } => "vlan push",
            Self::VlanPop => "vlan pop",
            Self::VlanModify { .. } => "vlan modify",
            Self::Pedit(_) => "pedit",
            Self::Checksum(_) => "csum",
            Self::Mark(_) => "skbedit mark",
            Self::Priority(_) => "skbedit priority",
            Self::Sample { .. } => "sample",
            Self::Police(_) => "police",
            Self::TunnelSet(_) => "tunnel_key set",
            Self::TunnelUnset => "tunnel_key unset",
        }
    }
}
