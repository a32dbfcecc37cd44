// SPDX-License-Identifier: GPL-2.0-only

//! The keys of a rule: which fields of a packet it looks at.
//!
//! A rule has a dissector, which lists the keys in use, and for each of them a structure with values and one with masks. A key in
//! use can have parts without any mask; those do not matter. Flower always uses `Control` and `Basic`, also without masks.

mod reader;

pub(super) use reader::address;
pub use reader::Keys;

use super::masked::Masked;
use kernel::{fmt, prelude::fmt};
use oxnic_bindings as bindings;

/// Values of [`Control::family`].
pub mod family {
    use oxnic_bindings as bindings;

    /// The packet has IPv4 addresses.
    pub const IPV4: u16 = bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV4_ADDRS as u16;
    /// The packet has IPv6 addresses.
    pub const IPV6: u16 = bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV6_ADDRS as u16;
}

/// Bits of [`Control::flags`].
pub mod flag {
    use oxnic_bindings as bindings;

    /// Any fragment.
    pub const FRAGMENT: u32 = bindings::flow_dissector_ctrl_flags_FLOW_DIS_IS_FRAGMENT;
    /// The first fragment.
    pub const FIRST_FRAGMENT: u32 = bindings::flow_dissector_ctrl_flags_FLOW_DIS_FIRST_FRAG;
    /// The tunnel's packet had a checksum.
    pub const TUNNEL_CSUM: u32 = bindings::flow_dissector_ctrl_flags_FLOW_DIS_F_TUNNEL_CSUM;
    /// The tunnel's packet may not be fragmented.
    pub const TUNNEL_DONT_FRAGMENT: u32 =
        bindings::flow_dissector_ctrl_flags_FLOW_DIS_F_TUNNEL_DONT_FRAGMENT;
    /// The tunnel's header says that it is about operation and maintenance.
    pub const TUNNEL_OAM: u32 = bindings::flow_dissector_ctrl_flags_FLOW_DIS_F_TUNNEL_OAM;
    /// The tunnel's header has an option that must be understood.
    pub const TUNNEL_CRIT_OPT: u32 = bindings::flow_dissector_ctrl_flags_FLOW_DIS_F_TUNNEL_CRIT_OPT;
}

/// What the dissector found besides values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Where the transport header starts.
    pub transport_offset: Masked<u16>,
    /// Which addresses there are, see [`family`]. Set where the rule names an address, also with an empty mask.
    pub family: Masked<u16>,
    /// See [`flag`].
    pub flags: Masked<u32>,
}

/// A VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// Id, 12 bits.
    pub id: Masked<u16>,
    /// Drop eligible, 1 bit.
    pub drop_eligible: Masked<u8>,
    /// Priority, 3 bits.
    pub priority: Masked<u8>,
    /// Type of the tag.
    pub tpid: Masked<[u8; 2]>,
    /// Type of what follows.
    pub eth_type: Masked<[u8; 2]>,
}

/// A source and a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<T> {
    /// Source.
    pub src: Masked<T>,
    /// Destination.
    pub dst: Masked<T>,
}

/// A range of ports, both ends included. It counts where both ends have a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// Lowest port.
    pub min: Masked<u16>,
    /// Highest port.
    pub max: Masked<u16>,
}

/// Kinds of tunnel options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsKind {
    /// Geneve options, whole ones.
    Geneve,
    /// The group of VXLAN, 4 bytes in the order of the CPU.
    Vxlan,
    /// Another kind, by its number of tunnel flag.
    Other(u32),
}

impl OptionsKind {
    pub(super) fn from_raw(raw: u32) -> Self {
        match raw {
            bindings::IP_TUNNEL_GENEVE_OPT_BIT => Self::Geneve,
            bindings::IP_TUNNEL_VXLAN_OPT_BIT => Self::Vxlan,
            other => Self::Other(other),
        }
    }
}

/// Tunnel options. Value and mask have the same length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options<'a> {
    /// Their kind. All bits of it count.
    pub kind: OptionsKind,
    /// What they are.
    pub value: &'a [u8],
    /// Which bits of them count.
    pub mask: &'a [u8],
}

/// A key in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// Beside the packet.
    Meta {
        /// Number of the interface that the packet came in at.
        interface: Masked<u32>,
        /// Its type (`ARPHRD_*`).
        interface_type: Masked<u16>,
        /// Whether a bridge did not know the destination.
        l2_miss: Masked<u8>,
    },
    /// See [`Control`].
    Control(Control),
    /// The network layer.
    Basic {
        /// Type behind all tags.
        protocol: Masked<[u8; 2]>,
        /// IP protocol, behind extension headers.
        ip_proto: Masked<[u8; 1]>,
    },
    /// Ethernet addresses.
    EthAddrs(Pair<[u8; 6]>),
    /// First tag.
    Vlan(Vlan),
    /// Second tag.
    Cvlan(Vlan),
    /// How many tags.
    NumOfVlans(Masked<[u8; 1]>),
    /// IPv4 addresses.
    Ipv4Addrs(Pair<[u8; 4]>),
    /// IPv6 addresses.
    Ipv6Addrs(Pair<[u8; 16]>),
    /// TOS or traffic class, and TTL or hop limit.
    Ip {
        /// TOS or traffic class.
        tos: Masked<[u8; 1]>,
        /// TTL or hop limit.
        ttl: Masked<[u8; 1]>,
    },
    /// Ports.
    Ports(Pair<[u8; 2]>),
    /// Ranges of ports.
    PortsRange {
        /// Source ports.
        src: PortRange,
        /// Destination ports.
        dst: PortRange,
    },
    /// Flags of TCP, in the lower 12 bits.
    Tcp(Masked<[u8; 2]>),
    /// ICMP or ICMPv6.
    Icmp {
        /// Type.
        kind: Masked<[u8; 1]>,
        /// Code.
        code: Masked<[u8; 1]>,
        /// Identifier of an echo.
        id: Masked<u16>,
    },
    /// ARP for IPv4 on Ethernet.
    Arp {
        /// Operation.
        operation: Masked<[u8; 1]>,
        /// IPv4 addresses of sender and target.
        ip: Pair<[u8; 4]>,
        /// Ethernet addresses of sender and target.
        mac: Pair<[u8; 6]>,
    },
    /// MPLS label stack.
    Mpls {
        /// Which entries there are, the first one in bit 0.
        there: Masked<[u8; 1]>,
        /// Entries as in a packet: label, traffic class, bottom of stack and TTL.
        entries: [Masked<[u8; 4]>; 7],
    },
    /// As [`Key::Control`], of a tunnel.
    EncControl(Control),
    /// Outer IPv4 addresses.
    EncIpv4Addrs(Pair<[u8; 4]>),
    /// Outer IPv6 addresses.
    EncIpv6Addrs(Pair<[u8; 16]>),
    /// As [`Key::Ip`], of a tunnel.
    EncIp {
        /// TOS or traffic class.
        tos: Masked<[u8; 1]>,
        /// TTL or hop limit.
        ttl: Masked<[u8; 1]>,
    },
    /// Outer UDP ports.
    EncPorts(Pair<[u8; 2]>),
    /// Network identifier or key of a tunnel.
    EncKeyId(Masked<[u8; 4]>),
    /// Options of a tunnel.
    EncOpts(Options<'a>),
    /// Something else.
    Other(KeyId),
}

/// Names of all keys, by their number. What this file reads has its name here too, for messages.
const NAMES: [&str; COUNT] = [
    "control",
    "basic",
    "ip addresses",
    "ipv6 addresses",
    "ports",
    "port ranges",
    "icmp",
    "ethernet addresses",
    "tipc",
    "arp",
    "vlan",
    "flow label",
    "gre key",
    "mpls entropy",
    "enc_key_id",
    "enc ip addresses",
    "enc ipv6 addresses",
    "enc control",
    "enc ports",
    "mpls",
    "tcp flags",
    "ip tos and ttl",
    "cvlan",
    "enc tos and ttl",
    "enc_opts",
    "indev",
    "ct",
    "hash",
    "num_of_vlans",
    "pppoe",
    "l2tpv3_sid",
    "cfm",
    "spi",
];
const COUNT: usize = bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_MAX as usize;

/// Number of a key of the dissector. Prints with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId(pub u32);

impl KeyId {
    /// Its name, or `unknown`.
    pub fn name(self) -> &'static str {
        NAMES.get(self.0 as usize).copied().unwrap_or("unknown")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!("{} (key {})", self.name(), self.0))
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_flow_key_names)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_the_kernel() {
        assert_eq!(KeyId(0).name(), "control");
        assert_eq!(
            KeyId(bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_CT).name(),
            "ct"
        );
        assert_eq!(
            KeyId(bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_MPLS).name(),
            "mpls"
        );
        assert_eq!(
            KeyId(bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPSEC).name(),
            "spi"
        );
        assert_eq!(KeyId(COUNT as u32).name(), "unknown");
    }
}
