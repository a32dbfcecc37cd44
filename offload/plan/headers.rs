// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The bytes that go around frames for `tunnel_key set`: what the rule asks for, and what routes and neighbours say.
//!
//! What depends on the frame is the device's to fill in: lengths, checksums, the source port, congestion marks. As in Linux, TTL is the
//! route's where the rule has none, and all tunnel devices but ip6gretap take over the mark of the frame ([`joins_marks`]).

use oxnic_abi::flow::encap::{encap_flags, EncapSet};

use super::list::List;
use super::tunnels::{number, TunnelDevice};
use crate::packet::tunnel::{TunnelKind, TunnelOptions};
use crate::packet::{ethernet, geneve::Geneve, ports, vxlan::Vxlan, Address};
use crate::rule::Encap;

/// GRE: there is a checksum.
const GRE_CHECKSUM: u16 = 0x8000;
/// GRE: there is a key.
const GRE_KEY: u16 = 0x2000;
/// IPv4: not to be fragmented.
const DONT_FRAGMENT: u16 = 0x4000;

/// What is known of the way to the other end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way<'w> {
    /// Hardware address of the interface that packets leave by.
    pub from: [u8; 6],
    /// That of the neighbour.
    pub to: [u8; 6],
    /// Tags, the outermost first: type, and id with priority. At most two.
    pub tags: &'w [(u16, u16)],
    /// Source and destination, both known.
    pub address: Address,
    /// TTL or hop limit of the route.
    pub ttl: u8,
    /// Lowest and highest UDP source port.
    pub source_ports: (u16, u16),
}

/// Whether Linux' tunnel device shows congestion marks of the packet in the outer header, as `ip6gretap` does not (`ip6_tnl_xmit`).
pub const fn joins_marks(kind: TunnelKind, address: Address) -> bool {
    !matches!((kind, address), (TunnelKind::Gretap, Address::V6(..)))
}

/// Writes the headers into `room`, and gives what the device is told with them, ready, but for `id` and `flags`. `None` where they do
/// not fit, or cannot be said.
pub fn build(
    encap: &Encap<'_>,
    tunnel: &TunnelDevice,
    way: &Way<'_>,
    room: &mut [u8],
) -> Option<EncapSet> {
    let limit = room.len();
    let mut out = List::new(room, limit);
    let udp = tunnel.kind != TunnelKind::Gretap;
    let family = match way.address {
        Address::V4(..) => ethernet::IPV4,
        Address::V6(..) => ethernet::IPV6,
        Address::None => return None,
    };
    put(&mut out, &way.to)?;
    put(&mut out, &way.from)?;
    for (tpid, tci) in way.tags {
        put(&mut out, &tpid.to_be_bytes())?;
        put(&mut out, &tci.to_be_bytes())?;
    }
    put(&mut out, &family.to_be_bytes())?;
    let network = out.len();
    put_ip(
        &mut out,
        encap,
        way,
        if udp { ports::UDP } else { ports::GRE },
    )?;
    let transport = out.len();
    if udp {
        put_udp(&mut out, encap, tunnel)?;
    } else {
        put_gre(&mut out, encap)?;
    }
    let (port_min, port_max) = if udp { way.source_ports } else { (0, 0) };
    let mut options = encap_flags::READY;
    if encap.csum {
        options |= encap_flags::CHECKSUM;
    }
    if udp {
        options |= encap_flags::SOURCE_PORT;
    }
    if joins_marks(tunnel.kind, way.address) {
        options |= encap_flags::ECN;
    }
    Some(EncapSet {
        options,
        length: out.len().try_into().ok()?,
        network: network.try_into().ok()?,
        transport: transport.try_into().ok()?,
        kind: number(tunnel.kind),
        port_min,
        port_max,
        ..EncapSet::ZERO
    })
}

fn put(out: &mut List<'_, u8>, bytes: &[u8]) -> Option<()> {
    out.extend(bytes).then_some(())
}

fn put_ip(out: &mut List<'_, u8>, encap: &Encap<'_>, way: &Way<'_>, protocol: u8) -> Option<()> {
    let ttl = if encap.ttl == 0 { way.ttl } else { encap.ttl };
    match way.address {
        Address::V4(from, to) => {
            let flags = if encap.dont_fragment {
                DONT_FRAGMENT
            } else {
                0
            };
            let [high, low] = flags.to_be_bytes();
            put(out, &[0x45, encap.tos, 0, 0, 0, 0, high, low])?;
            put(out, &[ttl, protocol, 0, 0])?;
            put(out, &from)?;
            put(out, &to)
        }
        Address::V6(from, to) => {
            let class = [0x60 | (encap.tos >> 4), encap.tos << 4, 0, 0];
            put(out, &class)?;
            put(out, &[0, 0, protocol, ttl])?;
            put(out, &from)?;
            put(out, &to)
        }
        Address::None => None,
    }
}

fn put_udp(out: &mut List<'_, u8>, encap: &Encap<'_>, tunnel: &TunnelDevice) -> Option<()> {
    // Geneve devices send to their own port, whatever the rule says (`geneve_xmit_skb`).
    let port = match tunnel.kind {
        TunnelKind::Vxlan { .. } if encap.dst_port != 0 => encap.dst_port,
        _ => tunnel.port,
    };
    let [high, low] = port.to_be_bytes();
    put(out, &[0, 0, high, low, 0, 0, 0, 0])?;
    match tunnel.kind {
        TunnelKind::Vxlan { .. } => {
            let group = match encap.options {
                // Without a group there is no extension either (`vxlan_build_gbp_hdr`).
                TunnelOptions::Group(group) => Some(group).filter(|group| *group != 0),
                _ => None,
            };
            let header = Vxlan {
                id: encap.key_id,
                group,
            };
            put(out, &header.bytes())
        }
        _ => {
            let options = match encap.options {
                TunnelOptions::Geneve(options) => options,
                _ => &[],
            };
            let header = Geneve {
                id: encap.key_id,
                oam: false,
                critical: false,
                options,
            };
            put(out, &header.bytes())?;
            put(out, options)
        }
    }
}

fn put_gre(out: &mut List<'_, u8>, encap: &Encap<'_>) -> Option<()> {
    let checksum = if encap.csum { GRE_CHECKSUM } else { 0 };
    put(out, &(GRE_KEY | checksum).to_be_bytes())?;
    put(out, &ethernet::BRIDGED.to_be_bytes())?;
    if encap.csum {
        put(out, &[0; 4])?;
    }
    put(out, &encap.key_id.to_be_bytes())
}
