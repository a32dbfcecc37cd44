// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Actions.

use crate::{open_enum, wire};

/// Names no encap.
pub const NO_ENCAP: u32 = 0xffff_ffff;

wire! {
    /// An entry of the list of an action template.
    pub struct FlowAction: 3 {
        /// What is done.
        0: kind: FlowActionKind,
        /// See [`action_flags`].
        2: flags: u16,
        /// With ARGUMENT: where in the rule's arguments, in bytes, a multiple of 4. Else zero.
        4: argument: u16,
        /// As the kind says; else zero.
        6: choice: [u8; 2],
        /// As the kind says; else zero. Those that come from the rule's arguments are zero here.
        8: operands: [u32; 4],
    }
}

/// Bits of [`FlowAction::flags`].
pub mod action_flags {
    /// The operands that [`super::FlowActionKind::arguments`] names come from the rule.
    pub const ARGUMENT: u16 = 1 << 0;
    /// EDIT: not done if the EDIT right before it was not done.
    pub const CONTINUED: u16 = 1 << 1;
    /// All of them.
    pub const ALL: u16 = ARGUMENT | CONTINUED;
}

open_enum! {
    /// What an action does.
    pub enum FlowActionKind: u16 {
        /// Counts the frame. Operand 0: counter.
        COUNT = 1: "count",
        /// A meter decides. Choice 0 and 1: [`FlowVerdict`] within and beyond. Operand 0: meter; 1 and 2: operands of the verdicts.
        METER = 2: "meter",
        /// A copy is put into a port. Choice 0: [`super::port::FlowDirection`]. Operand 0: eswitch port; 1: encap or [`NO_ENCAP`].
        MIRROR = 3: "mirror",
        /// The frame is put into a port, as with MIRROR. Ends the rule.
        REDIRECT = 4: "redirect",
        /// Drops the frame. Ends the rule.
        DROP = 5: "drop",
        /// The frame goes where it would go without rules. Choice 0: [`FlowNote`]. Ends the rule.
        ACCEPT = 6: "accept",
        /// The frame goes to the receive queues of the port's representor. Choice 0: [`FlowNote`]. Ends the rule.
        TRAP = 7: "trap",
        /// Another table is looked at. Operand 0: table. Ends the rule.
        GOTO = 8: "goto",
        /// This table is looked at further, from the next priority class on. Ends the rule.
        CONTINUE = 9: "continue",
        /// A new outermost tag. Choice: type of the tag, in network order. Operand 0: PCP, DEI and VID.
        VLAN_PUSH = 10: "vlan push",
        /// The outermost tag is taken out.
        VLAN_POP = 11: "vlan pop",
        /// The outermost tag is changed. Choice: its type. Operand 0: PCP, DEI and VID; 1: the bits of these that are kept.
        VLAN_MODIFY = 12: "vlan modify",
        /// Four bytes of a header are changed. Choice 0: [`FlowHeader`]; 1: [`FlowEdit`]. Operand 0: where in the header; 1: the
        /// bits that are kept; 2: the value, both as their four bytes are in the packet.
        EDIT = 13: "edit",
        /// Checksums are made right. Operand 0: see [`flow_checksum`].
        CSUM = 14: "csum",
        /// Operand 0: the frame's mark.
        MARK = 15: "mark",
        /// Operand 0: the frame's priority.
        PRIORITY = 16: "priority",
        /// One frame in so many is copied to the port's representor. Operand 0: in how many; 1: its longest length in bytes, 0 for
        /// any; 2: cookie of the copy.
        SAMPLE = 17: "sample",
        /// The frame is taken out of its tunnel. Operand 0: see [`decap_flags`].
        DECAP = 18: "decap",
        /// The frame goes where it would go without rules, as it came, and no COUNT of any rule counts it. Ends the rule.
        REWIND = 19: "rewind",
    }
}

impl FlowActionKind {
    /// First operand that [`action_flags::ARGUMENT`] takes from the rule, and how many; none where they cannot be the rule's.
    pub const fn arguments(self) -> (usize, usize) {
        match self {
            Self::COUNT
            | Self::METER
            | Self::GOTO
            | Self::VLAN_PUSH
            | Self::VLAN_MODIFY
            | Self::MARK
            | Self::PRIORITY => (0, 1),
            Self::MIRROR | Self::REDIRECT => (0, 2),
            Self::EDIT => (2, 1),
            Self::SAMPLE => (0, 3),
            _ => (0, 0),
        }
    }

    /// Whether nothing is done behind it.
    pub const fn is_last(self) -> bool {
        matches!(
            self,
            Self::REDIRECT
                | Self::DROP
                | Self::ACCEPT
                | Self::TRAP
                | Self::GOTO
                | Self::CONTINUE
                | Self::REWIND
        )
    }

    /// Its bit in [`super::capability::FlowCaps::actions`]; 0 for a number that has none.
    pub const fn bit(self) -> u64 {
        if self.0 < 64 {
            1 << self.0
        } else {
            0
        }
    }
}

open_enum! {
    /// What happens to a frame behind a meter.
    pub enum FlowVerdict: u8 {
        /// The next action.
        PIPE = 0: "pipe",
        /// As action DROP.
        DROP = 1: "drop",
        /// As action ACCEPT, with the rule's cookie.
        ACCEPT = 2: "accept",
        /// As action TRAP, with the rule's cookie.
        TRAP = 3: "trap",
        /// As action GOTO. Operand: table.
        GOTO = 4: "goto",
        /// As action CONTINUE.
        CONTINUE = 5: "continue",
        /// Actions are left out. Operand: how many; beyond the last: ACCEPT.
        SKIP = 6: "skip",
        /// As action REWIND.
        REWIND = 7: "rewind",
    }
}

open_enum! {
    /// What stands in `cookie` of the receive completion.
    pub enum FlowNote: u8 {
        /// The rule's cookie.
        COOKIE = 0: "cookie",
        /// The frame's mark.
        MARK = 1: "mark",
    }
}

open_enum! {
    /// From where [`FlowActionKind::EDIT`] counts.
    pub enum FlowHeader: u8 {
        /// The destination address of the frame. The outermost tag is not there.
        ETHERNET = 0: "eth",
        /// Behind the Ethernet header, whatever it is.
        NETWORK = 1: "network",
        /// The same, meant as IPv4.
        IPV4 = 2: "ip",
        /// The same, meant as IPv6.
        IPV6 = 3: "ip6",
        /// The TCP header.
        TCP = 4: "tcp",
        /// The UDP header.
        UDP = 5: "udp",
    }
}

impl FlowHeader {
    /// How many bytes of the header edits can reach; 0 for an unknown one.
    pub const fn length(self) -> u32 {
        match self {
            Self::ETHERNET => 14,
            Self::NETWORK | Self::IPV4 | Self::TCP => 20,
            Self::IPV6 => 40,
            Self::UDP => 8,
            _ => 0,
        }
    }
}

open_enum! {
    /// What an edit does with its value.
    pub enum FlowEdit: u8 {
        /// The bits become the value.
        SET = 0: "set",
        /// The value is added to the four bytes as one little-endian number, without carry into kept bits' place.
        ADD = 1: "add",
    }
}

/// Bits of operand 0 of [`FlowActionKind::CSUM`].
pub mod flow_checksum {
    /// The IPv4 header's.
    pub const IPV4: u32 = 1 << 0;
    /// That of ICMP and ICMPv6.
    pub const ICMP: u32 = 1 << 1;
    /// That of IGMP.
    pub const IGMP: u32 = 1 << 2;
    /// That of TCP.
    pub const TCP: u32 = 1 << 3;
    /// That of UDP.
    pub const UDP: u32 = 1 << 4;
    /// That of UDP-Lite.
    pub const UDP_LITE: u32 = 1 << 5;
    /// That of SCTP.
    pub const SCTP: u32 = 1 << 6;
    /// All of them.
    pub const ALL: u32 = (1 << 7) - 1;
}

/// Bits of operand 0 of [`FlowActionKind::DECAP`].
pub mod decap_flags {
    /// What was noted of the outer headers is forgotten: the fields `ENC_*` and `TUNNEL_KIND` are zero from here on.
    pub const FORGET: u32 = 1 << 0;
    /// The outer header's congestion mark goes into the inner one (RFC 6040); a frame that may not have it is dropped.
    pub const ECN: u32 = 1 << 1;
    /// All of them.
    pub const ALL: u32 = FORGET | ECN;
}
