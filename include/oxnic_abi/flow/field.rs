// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The fields of a packet that rules match.
//!
//! Each has a fixed width in a key, in network order. A value of a field that the packet does not have is zero. Numbers, names and
//! widths up to ENC_FLAGS, and from MPLS_ENTRIES on, are those of the field table of crate `offload`.

use crate::open_enum;

open_enum! {
    /// Fields.
    pub enum FlowField: u16 {
        /// Eswitch port that the frame came in at, or was put into, as 32 bits.
        INGRESS_PORT = 0: "indev",
        /// Destination address of the frame.
        ETH_DST = 1: "dst_mac",
        /// Source address of the frame.
        ETH_SRC = 2: "src_mac",
        /// Type behind all tags.
        ETH_TYPE = 3: "eth_type",
        /// How many tags there are.
        NUM_OF_VLANS = 4: "num_of_vlans",
        /// Id in the first tag, 12 bits.
        VLAN_ID = 5: "vlan_id",
        /// Priority in the first tag, 3 bits.
        VLAN_PRIORITY = 6: "vlan_prio",
        /// Type of the first tag.
        VLAN_TPID = 7: "vlan_tpid",
        /// Type behind the first tag, which may be that of the second.
        VLAN_ETH_TYPE = 8: "vlan_ethtype",
        /// Id in the second tag, 12 bits.
        CVLAN_ID = 9: "cvlan_id",
        /// Priority in the second tag, 3 bits.
        CVLAN_PRIORITY = 10: "cvlan_prio",
        /// Type of the second tag.
        CVLAN_TPID = 11: "cvlan_tpid",
        /// Type behind the second tag.
        CVLAN_ETH_TYPE = 12: "cvlan_ethtype",
        /// Which IP addresses there are: 4, 6, or 0 for none.
        FAMILY = 13: "address family",
        /// IPv4 source address.
        IPV4_SRC = 14: "src_ip",
        /// IPv4 destination address.
        IPV4_DST = 15: "dst_ip",
        /// IPv6 source address.
        IPV6_SRC = 16: "src_ip",
        /// IPv6 destination address.
        IPV6_DST = 17: "dst_ip",
        /// IP protocol, behind extension headers.
        IP_PROTO = 18: "ip_proto",
        /// TOS or traffic class.
        IP_TOS = 19: "ip_tos",
        /// TTL or hop limit.
        IP_TTL = 20: "ip_ttl",
        /// Bit 0: a fragment; bit 1: the first one.
        IP_FLAGS = 21: "ip_flags",
        /// Source port of TCP, UDP or SCTP.
        SRC_PORT = 22: "src_port",
        /// Destination port.
        DST_PORT = 23: "dst_port",
        /// Flags of TCP with the reserved bits, 12 bits.
        TCP_FLAGS = 24: "tcp_flags",
        /// Type of ICMP or ICMPv6.
        ICMP_TYPE = 25: "type",
        /// Code of ICMP or ICMPv6.
        ICMP_CODE = 26: "code",
        /// Operation of ARP: its lower byte.
        ARP_OPERATION = 27: "arp_op",
        /// The sender's IPv4 address in ARP.
        ARP_SENDER_IP = 28: "arp_sip",
        /// The target's IPv4 address in ARP.
        ARP_TARGET_IP = 29: "arp_tip",
        /// The sender's hardware address in ARP.
        ARP_SENDER_MAC = 30: "arp_sha",
        /// The target's hardware address in ARP.
        ARP_TARGET_MAC = 31: "arp_tha",
        /// Which outer addresses there are: 4, 6, or 0 for none.
        ENC_FAMILY = 32: "enc address family",
        /// Outer IPv4 source address.
        ENC_IPV4_SRC = 33: "enc_src_ip",
        /// Outer IPv4 destination address.
        ENC_IPV4_DST = 34: "enc_dst_ip",
        /// Outer IPv6 source address.
        ENC_IPV6_SRC = 35: "enc_src_ip",
        /// Outer IPv6 destination address.
        ENC_IPV6_DST = 36: "enc_dst_ip",
        /// Network identifier or key, as 32 bits.
        ENC_KEY_ID = 37: "enc_key_id",
        /// Outer UDP source port.
        ENC_SRC_PORT = 38: "enc_src_port",
        /// Outer UDP destination port.
        ENC_DST_PORT = 39: "enc_dst_port",
        /// Outer TOS or traffic class.
        ENC_TOS = 40: "enc_tos",
        /// Outer TTL or hop limit.
        ENC_TTL = 41: "enc_ttl",
        /// Bit 0: the outer packet has a checksum; bit 1: it may not be fragmented; bits 2 and 3: Geneve's O and C.
        ENC_FLAGS = 42: "enc_flags",
        /// [`super::tunnel::TunnelKind`] that the frame came in; 0 for none.
        TUNNEL_KIND = 43: "tunnel kind",
        /// Bytes of options: those of a Geneve header; 4 where a VXLAN header has a group; else 0.
        ENC_OPTIONS_LENGTH = 44: "enc_opts length",
        /// Options, from the first byte on. For VXLAN the group as 32 bits. Zeros behind the end. As long as the condition says.
        ENC_OPTIONS = 45: "enc_opts",
        /// Type of the first tag; of a frame without tag its own type: that of the Ethernet header, 0x0001 or 0x0004 where it has a
        /// length instead.
        PROTOCOL = 46: "protocol",
        /// Which entries of an MPLS label stack there are: bit 0 for the first, up to bit 6 for the seventh.
        MPLS_ENTRIES = 47: "mpls depth",
        /// First entry of an MPLS label stack: label, traffic class, bottom of stack, TTL, as in the frame.
        MPLS_1 = 48: "mpls lse",
        /// The second one.
        MPLS_2 = 49: "mpls lse",
        /// The third one.
        MPLS_3 = 50: "mpls lse",
        /// The fourth one.
        MPLS_4 = 51: "mpls lse",
        /// The fifth one.
        MPLS_5 = 52: "mpls lse",
        /// The sixth one.
        MPLS_6 = 53: "mpls lse",
        /// The seventh one.
        MPLS_7 = 54: "mpls lse",
    }
}

impl FlowField {
    /// How many bits of the field there are; the others of its bytes, the first bits of the first byte, are zero. 0 for
    /// [`FlowField::ENC_OPTIONS`], which has no width of its own, and for what this version does not define.
    pub const fn bits(self) -> usize {
        match self {
            Self::IP_FLAGS => 2,
            Self::VLAN_PRIORITY | Self::CVLAN_PRIORITY => 3,
            Self::ENC_FLAGS => 4,
            Self::MPLS_ENTRIES => 7,
            Self::VLAN_ID | Self::CVLAN_ID | Self::TCP_FLAGS => 12,
            Self::NUM_OF_VLANS
            | Self::FAMILY
            | Self::IP_PROTO
            | Self::IP_TOS
            | Self::IP_TTL
            | Self::ICMP_TYPE
            | Self::ICMP_CODE
            | Self::ARP_OPERATION
            | Self::ENC_FAMILY
            | Self::ENC_TOS
            | Self::ENC_TTL
            | Self::TUNNEL_KIND
            | Self::ENC_OPTIONS_LENGTH => 8,
            Self::ETH_TYPE
            | Self::VLAN_TPID
            | Self::VLAN_ETH_TYPE
            | Self::CVLAN_TPID
            | Self::CVLAN_ETH_TYPE
            | Self::SRC_PORT
            | Self::DST_PORT
            | Self::ENC_SRC_PORT
            | Self::ENC_DST_PORT
            | Self::PROTOCOL => 16,
            Self::INGRESS_PORT
            | Self::IPV4_SRC
            | Self::IPV4_DST
            | Self::ARP_SENDER_IP
            | Self::ARP_TARGET_IP
            | Self::ENC_IPV4_SRC
            | Self::ENC_IPV4_DST
            | Self::ENC_KEY_ID
            | Self::MPLS_1
            | Self::MPLS_2
            | Self::MPLS_3
            | Self::MPLS_4
            | Self::MPLS_5
            | Self::MPLS_6
            | Self::MPLS_7 => 32,
            Self::ETH_DST | Self::ETH_SRC | Self::ARP_SENDER_MAC | Self::ARP_TARGET_MAC => 48,
            Self::IPV6_SRC | Self::IPV6_DST | Self::ENC_IPV6_SRC | Self::ENC_IPV6_DST => 128,
            _ => 0,
        }
    }

    /// How many bytes the field takes in a key; see [`FlowField::bits`] for where that is 0.
    pub const fn width(self) -> usize {
        self.bits().div_ceil(8)
    }

    /// Its bit in the bitmaps of [`super::capability::FlowCaps`]; 0 for a number that has none.
    pub const fn bit(self) -> u64 {
        if self.0 < 64 {
            1 << self.0
        } else {
            0
        }
    }
}
