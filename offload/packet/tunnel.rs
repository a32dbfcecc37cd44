// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a tunnel device of Linux notes about outer headers, which is what the `enc_` keys of flower match.
//!
//! A rule for tunnelled packets sits on the tunnel device (`vxlan0`), where tc sees the inner frame, and the outer headers only
//! as this note (`ip_tunnel_info`). [`open`] makes both of an outer frame.
//!
//! - The flags: `csum` is a UDP checksum that is not zero, or the checksum bit of GRE (`udp_tun_rx_dst`, `__ipgre_rcv`); `df` is
//!   the outer IPv4 header's, and never set for IPv6; `oam` and `crit` are Geneve's header bits.
//! - Whether a packet is opened is for all devices of a kind. GRE with a checksum is dropped by those without `icsum`, and Geneve with
//!   critical options by those of their own identifier: what their rules ask for in addition is in the plan.
//! - GRE has no ports: they match as zero. A GRE header without key has key id zero.
//! - A tunnel device also joins congestion marks of the outer into the inner header. [`open`] does not: the inner bytes are
//!   those of the packet.

use super::checksum::Sum;
use super::dissect::{dissect, Address, Fragment};
use super::ethernet;
use super::frame::Frame;
use super::geneve::Geneve;
use super::gre::Gre;
use super::ipv4::{self, Ipv4};
use super::ipv6::{self, Ipv6};
use super::vxlan::{self, Vxlan};
use super::{bytes, ports, vlan};

/// Kinds of tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunnelKind {
    /// VXLAN over UDP.
    Vxlan {
        /// Whether the device has the group policy extension.
        group_policy: bool,
    },
    /// Geneve over UDP.
    Geneve,
    /// Ethernet over GRE. Has no port: a [`TunnelPort`] of this kind has zero there.
    Gretap,
}

/// A UDP port (or GRE) on which a tunnel device listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TunnelPort {
    /// What is spoken there.
    pub kind: TunnelKind,
    /// The UDP port.
    pub port: u16,
    /// Whether UDP packets over IPv6 without a checksum are taken (`udp6zerocsumrx`).
    pub zero_checksum_v6: bool,
}

/// Bits of [`Tunnel::flags`], in the order in which tc's `enc_flags` has them.
pub mod flag {
    /// The outer packet has a checksum.
    pub const CSUM: u8 = 1 << 0;
    /// The outer packet may not be fragmented.
    pub const DF: u8 = 1 << 1;
    /// Operation and maintenance.
    pub const OAM: u8 = 1 << 2;
    /// There is an option that must be understood.
    pub const CRIT: u8 = 1 << 3;
}

/// Options of a tunnel header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TunnelOptions<'a> {
    /// None.
    #[default]
    None,
    /// Geneve options as they are in the packet: at most 252 bytes. Empty options are [`TunnelOptions::None`] to Linux.
    Geneve(&'a [u8]),
    /// The group of VXLAN, within [`vxlan::GROUP_MASK`].
    Group(u32),
}

/// What a tunnel device notes of the outer headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunnel<'a> {
    /// Outer addresses.
    pub address: Address,
    /// Outer UDP source port.
    pub src_port: u16,
    /// Outer UDP destination port.
    pub dst_port: u16,
    /// Network identifier or key.
    pub key_id: u32,
    /// Outer TOS or traffic class.
    pub tos: u8,
    /// Outer TTL or hop limit.
    pub ttl: u8,
    /// See [`flag`].
    pub flags: u8,
    /// Options.
    pub options: TunnelOptions<'a>,
}

/// An opened tunnel packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// Which of the ports took it.
    pub port: TunnelPort,
    /// What is noted of the outer headers.
    pub tunnel: Tunnel<'a>,
    /// The inner frame.
    pub inner: &'a [u8],
}

/// The outer packet up to its transport header.
struct Outer<'a> {
    /// The frame, cut where the IP packet ends.
    data: &'a [u8],
    transport: usize,
    protocol: u8,
    tunnel: Tunnel<'a>,
}

/// Opens a tunnel packet. `None` for anything else, for fragments, and for what Linux' stack or tunnel device would drop.
pub fn open<'a>(frame: &Frame<'a>, ports: &[TunnelPort]) -> Option<Opened<'a>> {
    let outer = outer(frame)?;
    match outer.protocol {
        ports::UDP => open_udp(&outer, ports),
        ports::GRE => open_gre(&outer, ports),
        _ => None,
    }
}

fn outer<'a>(frame: &Frame<'a>) -> Option<Outer<'a>> {
    let found = dissect(frame);
    let network = found.network?;
    let in_data = usize::from(found.num_of_vlans) - usize::from(frame.tag.is_some());
    if found.fragment != Fragment::No || network != ethernet::HEADER + in_data * vlan::LENGTH {
        return None;
    }
    let (end, df) = match found.address {
        Address::None => return None,
        Address::V4(..) => {
            let header = Ipv4::parse(frame.data, network)?;
            let bytes = frame
                .data
                .get(network..network.checked_add(header.header)?)?;
            if frame.data.get(network)? >> 4 != 4 || Sum::default().with(bytes).folded() != 0xffff {
                return None;
            }
            (network + usize::from(header.total), header.dont_fragment())
        }
        Address::V6(..) => {
            let header = Ipv6::parse(frame.data, network)?;
            if frame.data.get(network)? >> 4 != 6 {
                return None;
            }
            (network + ipv6::HEADER + usize::from(header.payload), false)
        }
    };
    let tunnel = Tunnel {
        address: found.address,
        tos: found.tos,
        ttl: found.ttl,
        flags: if df { flag::DF } else { 0 },
        ..Tunnel::default()
    };
    Some(Outer {
        data: frame.data.get(..end)?,
        transport: found.transport,
        protocol: found.ip_proto,
        tunnel,
    })
}

fn open_udp<'a>(outer: &Outer<'a>, ports: &[TunnelPort]) -> Option<Opened<'a>> {
    let header: [u8; 8] = bytes::array(outer.data, outer.transport)?;
    let dst_port = bytes::be16(&header, 2)?;
    let port = *ports
        .iter()
        .find(|port| port.kind != TunnelKind::Gretap && port.port == dst_port)?;
    let length = bytes::be16(&header, 4)?;
    let data = outer.data.get(..outer.transport + usize::from(length))?;
    let datagram = data.get(outer.transport..)?;
    let checksum = bytes::be16(&header, 6)? != 0;
    let right = if checksum {
        let pseudo =
            Sum::default().with_pseudo_header(outer.tunnel.address, u32::from(length), ports::UDP);
        pseudo.with(datagram).folded() == 0xffff
    } else {
        port.zero_checksum_v6 || matches!(outer.tunnel.address, Address::V4(..))
    };
    if !right {
        return None;
    }
    let mut tunnel = Tunnel {
        src_port: bytes::be16(&header, 0)?,
        dst_port,
        ..outer.tunnel
    };
    tunnel.flags |= if checksum { flag::CSUM } else { 0 };
    let start = outer.transport + header.len();
    let inner = match port.kind {
        TunnelKind::Vxlan { group_policy } => {
            let vxlan = Vxlan::parse(data, start, group_policy)?;
            tunnel.key_id = vxlan.id;
            tunnel.options = vxlan
                .group
                .map_or(TunnelOptions::None, TunnelOptions::Group);
            start + vxlan::HEADER
        }
        TunnelKind::Geneve => {
            let (geneve, inner) = Geneve::parse(data, start)?;
            tunnel.key_id = geneve.id;
            tunnel.flags |= if geneve.oam { flag::OAM } else { 0 };
            tunnel.flags |= if geneve.critical { flag::CRIT } else { 0 };
            if !geneve.options.is_empty() {
                tunnel.options = TunnelOptions::Geneve(geneve.options);
            }
            inner
        }
        TunnelKind::Gretap => return None,
    };
    Some(Opened {
        port,
        tunnel,
        inner: inner_frame(data, inner)?,
    })
}

fn open_gre<'a>(outer: &Outer<'a>, ports: &[TunnelPort]) -> Option<Opened<'a>> {
    let port = *ports.iter().find(|port| port.kind == TunnelKind::Gretap)?;
    let gre = Gre::parse(outer.data, outer.transport)?;
    let mut tunnel = Tunnel {
        key_id: gre.key.unwrap_or(0),
        ..outer.tunnel
    };
    tunnel.flags |= if gre.checksum { flag::CSUM } else { 0 };
    Some(Opened {
        port,
        tunnel,
        inner: inner_frame(outer.data, outer.transport + gre.length)?,
    })
}

/// The inner frame, which has at least an Ethernet header, and one of IP where that is its type (`pskb_inet_may_pull`). What is
/// behind a tag is not looked at.
fn inner_frame(data: &[u8], start: usize) -> Option<&[u8]> {
    let inner = data.get(start..)?;
    let behind = match bytes::be16(inner, ethernet::HEADER - 2)? {
        ethernet::IPV4 => ipv4::HEADER,
        ethernet::IPV6 => ipv6::HEADER,
        _ => 0,
    };
    (inner.len() >= ethernet::HEADER + behind).then_some(inner)
}
