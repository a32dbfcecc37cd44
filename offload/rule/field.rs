// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The table of fields that a rule can match: names, widths, layers, what each needs beside it, and where a packet has it.

use super::values::Seen;
use crate::packet::{bytes, Address, Fragment};

/// Bits of [`Field::IpFlags`], as tc's `ip_flags` has them.
pub mod ip_flag {
    /// Any fragment.
    pub const FRAGMENT: u8 = 1 << 0;
    /// The first fragment.
    pub const FIRST: u8 = 1 << 1;
}

/// Values of [`Field::Family`] and [`Field::EncFamily`].
pub mod family {
    /// IPv4 addresses.
    pub const V4: u8 = 4;
    /// IPv6 addresses.
    pub const V6: u8 = 6;
}

/// Where a field is in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Beside the packet.
    Metadata,
    /// In the headers around a tunnelled frame.
    Outer,
    /// In the Ethernet header.
    Ethernet,
    /// In a VLAN tag.
    Vlan,
    /// In an IP header or ARP.
    Network,
    /// In a transport header.
    Transport,
}

/// What a rule must say as well, for a field to have a meaning. Flower reads the attribute only then, and is silent otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// A first tag: `vlan` as protocol, or `num_of_vlans` of at least 1.
    Tag,
    /// A second tag: a tag's type behind the first, or `num_of_vlans` of at least 2.
    SecondTag,
    /// `eth_type` IPv4 or IPv6.
    Ip,
    /// `ip_proto` TCP, UDP or SCTP.
    Ports,
    /// `ip_proto` TCP.
    Tcp,
    /// `ip_proto` ICMP with IPv4, or ICMPv6 with IPv6.
    Icmp,
    /// `eth_type` ARP or RARP.
    Arp,
    /// `eth_type` MPLS.
    Mpls,
}

/// What the table says of a field.
#[derive(Clone, Copy)]
pub struct Description {
    /// The field.
    pub field: Field,
    /// Its name, as tc has it.
    pub name: &'static str,
    /// How many bits it has.
    pub bits: usize,
    /// Where it is.
    pub layer: Layer,
    /// What it needs.
    pub needs: Needs,
    /// Writes the value of a packet, zero where it has none. The slice has the field's width.
    pub read: fn(&Seen<'_>, &mut [u8]),
}

macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident: $name:literal, $bits:literal, $layer:ident, $needs:ident, $read:expr;)*) => {
        /// What a rule can match. Values are in network byte order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Field {
            $($(#[$doc])* $field,)*
        }

        /// All fields, in the order of [`Field`].
        pub const TABLE: &[Description] = &[
            $(Description {
                field: Field::$field,
                name: $name,
                bits: $bits,
                layer: Layer::$layer,
                needs: Needs::$needs,
                read: $read,
            },)*
        ];
    };
}

fields! {
    /// The port that the packet came in at.
    IngressPort: "indev", 32, Metadata, Nothing, |seen, out| write(out, &seen.port.0.to_be_bytes());
    /// Destination address.
    EthDst: "dst_mac", 48, Ethernet, Nothing, |seen, out| write(out, &seen.packet.eth_dst);
    /// Source address.
    EthSrc: "src_mac", 48, Ethernet, Nothing, |seen, out| write(out, &seen.packet.eth_src);
    /// The type behind all tags.
    EthType: "eth_type", 16, Ethernet, Nothing, |seen, out| write(out, &seen.packet.protocol.to_be_bytes());
    /// How many tags there are.
    NumOfVlans: "num_of_vlans", 8, Vlan, Nothing, |seen, out| write(out, &[seen.packet.num_of_vlans]);
    /// Id in the first tag.
    VlanId: "vlan_id", 12, Vlan, Tag, |seen, out| {
        write(out, &seen.packet.vlan.map_or(0, |key| key.tag.id()).to_be_bytes());
    };
    /// Priority in the first tag.
    VlanPriority: "vlan_prio", 3, Vlan, Tag, |seen, out| {
        write(out, &[seen.packet.vlan.map_or(0, |key| key.tag.priority())]);
    };
    /// Type of the first tag.
    VlanTpid: "vlan_tpid", 16, Vlan, Nothing, |seen, out| {
        write(out, &seen.packet.vlan.map_or(0, |key| key.tag.tpid).to_be_bytes());
    };
    /// Type behind the first tag, which may be that of the second.
    VlanEthType: "vlan_ethtype", 16, Vlan, Tag, |seen, out| {
        write(out, &seen.packet.vlan.map_or(0, |key| key.behind).to_be_bytes());
    };
    /// Id in the second tag.
    CvlanId: "cvlan_id", 12, Vlan, SecondTag, |seen, out| {
        write(out, &seen.packet.cvlan.map_or(0, |key| key.tag.id()).to_be_bytes());
    };
    /// Priority in the second tag.
    CvlanPriority: "cvlan_prio", 3, Vlan, SecondTag, |seen, out| {
        write(out, &[seen.packet.cvlan.map_or(0, |key| key.tag.priority())]);
    };
    /// Type of the second tag.
    CvlanTpid: "cvlan_tpid", 16, Vlan, Nothing, |seen, out| {
        write(out, &seen.packet.cvlan.map_or(0, |key| key.tag.tpid).to_be_bytes());
    };
    /// Type behind the second tag.
    CvlanEthType: "cvlan_ethtype", 16, Vlan, SecondTag, |seen, out| {
        write(out, &seen.packet.cvlan.map_or(0, |key| key.behind).to_be_bytes());
    };
    /// Which addresses there are, see [`family`]. Set together with an address, also by one whose mask is zero.
    Family: "address family", 8, Network, Nothing, |seen, out| write(out, &[family_of(seen.packet.address)]);
    /// IPv4 source address.
    Ipv4Src: "src_ip", 32, Network, Nothing, |seen, out| {
        if let Address::V4(source, _) = seen.packet.address { write(out, &source) }
    };
    /// IPv4 destination address.
    Ipv4Dst: "dst_ip", 32, Network, Nothing, |seen, out| {
        if let Address::V4(_, destination) = seen.packet.address { write(out, &destination) }
    };
    /// IPv6 source address.
    Ipv6Src: "src_ip", 128, Network, Nothing, |seen, out| {
        if let Address::V6(source, _) = seen.packet.address { write(out, &source) }
    };
    /// IPv6 destination address.
    Ipv6Dst: "dst_ip", 128, Network, Nothing, |seen, out| {
        if let Address::V6(_, destination) = seen.packet.address { write(out, &destination) }
    };
    /// IP protocol, behind extension headers.
    IpProto: "ip_proto", 8, Network, Ip, |seen, out| write(out, &[seen.packet.ip_proto]);
    /// TOS or traffic class.
    IpTos: "ip_tos", 8, Network, Ip, |seen, out| write(out, &[seen.packet.tos]);
    /// TTL or hop limit.
    IpTtl: "ip_ttl", 8, Network, Ip, |seen, out| write(out, &[seen.packet.ttl]);
    /// Fragments, see [`ip_flag`].
    IpFlags: "ip_flags", 2, Network, Nothing, |seen, out| {
        write(out, &[match seen.packet.fragment {
            Fragment::No => 0,
            Fragment::First => ip_flag::FRAGMENT | ip_flag::FIRST,
            Fragment::Later => ip_flag::FRAGMENT,
        }]);
    };
    /// Source port.
    SrcPort: "src_port", 16, Transport, Ports, |seen, out| write(out, &seen.packet.src_port.to_be_bytes());
    /// Destination port.
    DstPort: "dst_port", 16, Transport, Ports, |seen, out| write(out, &seen.packet.dst_port.to_be_bytes());
    /// Flags of TCP with the reserved bits.
    TcpFlags: "tcp_flags", 12, Transport, Tcp, |seen, out| write(out, &seen.packet.tcp_flags.to_be_bytes());
    /// Type of ICMP or ICMPv6.
    IcmpType: "type", 8, Transport, Icmp, |seen, out| write(out, &[seen.packet.icmp_type]);
    /// Code of ICMP or ICMPv6.
    IcmpCode: "code", 8, Transport, Icmp, |seen, out| write(out, &[seen.packet.icmp_code]);
    /// Operation of ARP: 1 or 2.
    ArpOperation: "arp_op", 8, Network, Arp, |seen, out| write(out, &[seen.packet.arp.operation]);
    /// The sender's IPv4 address in ARP.
    ArpSenderIp: "arp_sip", 32, Network, Arp, |seen, out| write(out, &seen.packet.arp.sender_ip);
    /// The target's IPv4 address in ARP.
    ArpTargetIp: "arp_tip", 32, Network, Arp, |seen, out| write(out, &seen.packet.arp.target_ip);
    /// The sender's hardware address in ARP.
    ArpSenderMac: "arp_sha", 48, Network, Arp, |seen, out| write(out, &seen.packet.arp.sender_mac);
    /// The target's hardware address in ARP.
    ArpTargetMac: "arp_tha", 48, Network, Arp, |seen, out| write(out, &seen.packet.arp.target_mac);
    /// Which outer addresses there are, see [`family`]. Set together with an outer address or with outer flags' owner.
    EncFamily: "enc address family", 8, Outer, Nothing, |seen, out| write(out, &[family_of(seen.tunnel.address)]);
    /// Outer IPv4 source address.
    EncIpv4Src: "enc_src_ip", 32, Outer, Nothing, |seen, out| {
        if let Address::V4(source, _) = seen.tunnel.address { write(out, &source) }
    };
    /// Outer IPv4 destination address.
    EncIpv4Dst: "enc_dst_ip", 32, Outer, Nothing, |seen, out| {
        if let Address::V4(_, destination) = seen.tunnel.address { write(out, &destination) }
    };
    /// Outer IPv6 source address.
    EncIpv6Src: "enc_src_ip", 128, Outer, Nothing, |seen, out| {
        if let Address::V6(source, _) = seen.tunnel.address { write(out, &source) }
    };
    /// Outer IPv6 destination address.
    EncIpv6Dst: "enc_dst_ip", 128, Outer, Nothing, |seen, out| {
        if let Address::V6(_, destination) = seen.tunnel.address { write(out, &destination) }
    };
    /// Network identifier or key.
    EncKeyId: "enc_key_id", 32, Outer, Nothing, |seen, out| write(out, &seen.tunnel.key_id.to_be_bytes());
    /// Outer UDP source port.
    EncSrcPort: "enc_src_port", 16, Outer, Nothing, |seen, out| write(out, &seen.tunnel.src_port.to_be_bytes());
    /// Outer UDP destination port.
    EncDstPort: "enc_dst_port", 16, Outer, Nothing, |seen, out| write(out, &seen.tunnel.dst_port.to_be_bytes());
    /// Outer TOS or traffic class.
    EncTos: "enc_tos", 8, Outer, Nothing, |seen, out| write(out, &[seen.tunnel.tos]);
    /// Outer TTL or hop limit.
    EncTtl: "enc_ttl", 8, Outer, Nothing, |seen, out| write(out, &[seen.tunnel.ttl]);
    /// Outer flags, see [`crate::packet::tunnel::flag`].
    EncFlags: "enc_flags", 4, Outer, Nothing, |seen, out| write(out, &[seen.tunnel.flags]);
    /// Which entries of an MPLS label stack there are, the first one in bit 0. Set together with a part of an entry.
    MplsEntries: "mpls depth", 7, Network, Mpls, |seen, out| write(out, &[seen.packet.mpls.there]);
    /// First entry of an MPLS label stack: label, traffic class, bottom of stack, TTL.
    Mpls1: "mpls lse", 32, Network, Mpls, |seen, out| write(out, &seen.packet.mpls.entries[0]);
    /// The second one.
    Mpls2: "mpls lse", 32, Network, Mpls, |seen, out| write(out, &seen.packet.mpls.entries[1]);
    /// The third one.
    Mpls3: "mpls lse", 32, Network, Mpls, |seen, out| write(out, &seen.packet.mpls.entries[2]);
    /// The fourth one.
    Mpls4: "mpls lse", 32, Network, Mpls, |seen, out| write(out, &seen.packet.mpls.entries[3]);
    /// The fifth one.
    Mpls5: "mpls lse", 32, Network, Mpls, |seen, out| write(out, &seen.packet.mpls.entries[4]);
    /// The sixth one.
    Mpls6: "mpls lse", 32, Network, Mpls, |seen, out| write(out, &seen.packet.mpls.entries[5]);
    /// The seventh one.
    Mpls7: "mpls lse", 32, Network, Mpls, |seen, out| write(out, &seen.packet.mpls.entries[6]);
}

fn write(out: &mut [u8], value: &[u8]) {
    bytes::put(out, 0, value);
}

fn family_of(address: Address) -> u8 {
    match address {
        Address::None => 0,
        Address::V4(..) => family::V4,
        Address::V6(..) => family::V6,
    }
}

/// How many bytes all fields have together.
pub const SIZE: usize = offset_of(TABLE.len());

/// Where the field of a given number starts.
const fn offset_of(number: usize) -> usize {
    let mut offset = 0;
    let mut index = 0;
    while index < number {
        offset += TABLE[index].bits.div_ceil(8);
        index += 1;
    }
    offset
}

const OFFSETS: [usize; TABLE.len()] = {
    let mut offsets = [0; TABLE.len()];
    let mut index = 0;
    while index < TABLE.len() {
        assert!(TABLE[index].field as usize == index);
        offsets[index] = offset_of(index);
        index += 1;
    }
    offsets
};

impl Field {
    /// What the table says of it.
    pub const fn description(self) -> &'static Description {
        &TABLE[self as usize]
    }

    /// Its name, as tc has it.
    pub const fn name(self) -> &'static str {
        self.description().name
    }

    /// How many bytes it takes in a key.
    pub const fn width(self) -> usize {
        self.description().bits.div_ceil(8)
    }

    /// Where it is in a key.
    pub const fn range(self) -> core::ops::Range<usize> {
        let start = OFFSETS[self as usize];
        start..start + self.width()
    }
}
