// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What is in a frame: where its headers are and whether their checksums are right.
//!
//! Ethernet with up to two tags, IPv4 with options, IPv6 with extension headers, TCP, UDP and SCTP. Parsing never fails: what
//! is cut short or contradicts itself is simply not found. Offsets count from the start of the frame's buffer.

use super::checksum::{self, Sum};
use super::frame::{CTAG, Frame, STAG};
use std::ops::Range;

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of SCTP.
pub const SCTP: u8 = 132;
/// IPv6 extension headers that are followed before the parser gives up.
const EXTENSIONS_MAX: usize = 8;

/// An IP header and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// 4 or 6.
    pub version: u8,
    /// Where the header starts.
    pub start: usize,
    /// Where the payload starts: after options, or after the extension headers that could be followed.
    pub payload: usize,
    /// Where the packet ends; what follows is padding.
    pub end: usize,
    /// Source address.
    pub source: Range<usize>,
    /// Destination address.
    pub destination: Range<usize>,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// It is a fragment (an IPv6 fragment header of a whole packet does not make one).
    pub fragment: bool,
    /// A routing header names a further destination, so the pseudo-header is not that of the addresses.
    pub routed: bool,
}

/// A TCP, UDP or SCTP header, whole as far as its fixed part goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// [`TCP`], [`UDP`] or [`SCTP`].
    pub protocol: u8,
    /// Where it starts.
    pub start: usize,
}

/// The headers of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// EtherType behind the tags; a length where it is less than 0x600.
    pub ether_type: u16,
    /// IP header.
    pub network: Option<Network>,
    /// Transport header, if the packet is no fragment.
    pub transport: Option<Transport>,
}

/// What was found of checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// The IPv4 header's is right; for IPv6, the same as `transport`.
    pub network: bool,
    /// TCP's, UDP's or SCTP's is right.
    pub transport: bool,
    /// One of them is wrong.
    pub bad: bool,
}

fn be16(data: &[u8], at: usize) -> Option<u16> {
    match data.get(at..at.checked_add(2)?)? {
        &[a, b] => Some(u16::from_be_bytes([a, b])),
        _ => None,
    }
}

impl Packet {
    /// Finds the headers of a frame.
    pub fn parse(frame: &Frame) -> Self {
        Self::find(frame.buffer(), frame.start(), Lengths::Kept).unwrap_or_default()
    }

    /// Finds the headers of a packet that is still to be cut: its length fields mean nothing, it ends with the frame.
    pub fn parse_unsegmented(frame: &Frame) -> Self {
        Self::find(frame.buffer(), frame.start(), Lengths::Ignored).unwrap_or_default()
    }

    fn find(data: &[u8], start: usize, lengths: Lengths) -> Option<Self> {
        let mut at = start + 12;
        let mut ether_type = be16(data, at)?;
        for _ in 0..2 {
            if !matches!(ether_type, CTAG | STAG) {
                break;
            }
            at += 4;
            ether_type = be16(data, at)?;
        }
        let network = match ether_type {
            ETHERTYPE_IPV4 => ipv4(data, at + 2, lengths),
            ETHERTYPE_IPV6 => ipv6(data, at + 2, lengths),
            _ => None,
        };
        let transport = network
            .as_ref()
            .and_then(|network| transport(data, network));
        Some(Self {
            ether_type,
            network,
            transport,
        })
    }

    /// Verifies the checksums that can be verified.
    pub fn check(&self, frame: &Frame) -> Checks {
        let Some(network) = &self.network else {
            return Checks::default();
        };
        let data = frame.buffer();
        let header = network.version == 6
            || Sum::default()
                .and(data.get(network.start..network.payload).unwrap_or_default())
                .is_right();
        if !header {
            return Checks {
                bad: true,
                ..Checks::default()
            };
        }
        let transport = self
            .transport
            .and_then(|transport| network.verify(data, transport));
        Checks {
            network: network.version == 4 || transport == Some(true),
            transport: transport == Some(true),
            bad: transport == Some(false),
        }
    }
}

impl Network {
    /// Whether the transport checksum is right; none if there is nothing to verify.
    fn verify(&self, data: &[u8], transport: Transport) -> Option<bool> {
        if self.routed {
            return None;
        }
        let message = data.get(transport.start..self.end)?;
        if transport.protocol == SCTP {
            return Some(checksum::sctp_is_right(message));
        }
        let message = match transport.protocol {
            // The length in the UDP header rules (RFC 768); a checksum of zero says that there is none.
            UDP if be16(message, 6)? == 0 => return None,
            UDP => match message.get(..usize::from(be16(message, 4)?)) {
                Some(whole) if whole.len() >= 8 => whole,
                _ => return Some(false),
            },
            _ => message,
        };
        Some(
            self.pseudo_header(data, transport.protocol, message.len())?
                .and(message)
                .is_right(),
        )
    }

    /// The sum of the pseudo-header for a message of `length` bytes.
    pub fn pseudo_header(&self, data: &[u8], protocol: u8, length: usize) -> Option<Sum> {
        let source = data.get(self.source.clone())?;
        let destination = data.get(self.destination.clone())?;
        Some(checksum::pseudo_header(
            source,
            destination,
            protocol,
            length,
        ))
    }
}

/// What the length fields of IP headers are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    Kept,
    Ignored,
}

fn ipv4(data: &[u8], start: usize, lengths: Lengths) -> Option<Network> {
    let header = data.get(start..start + 20)?;
    let payload = start + usize::from(header[0] & 0xf) * 4;
    let end = match lengths {
        Lengths::Kept => start + usize::from(be16(header, 2)?),
        Lengths::Ignored => data.len(),
    };
    if header[0] >> 4 != 4 || payload < start + 20 || end < payload || end > data.len() {
        return None;
    }
    Some(Network {
        version: 4,
        start,
        payload,
        end,
        source: start + 12..start + 16,
        destination: start + 16..start + 20,
        tos: header[1],
        protocol: header[9],
        fragment: be16(header, 6)? & 0x3fff != 0,
        routed: false,
    })
}

fn ipv6(data: &[u8], start: usize, lengths: Lengths) -> Option<Network> {
    let header = data.get(start..start + 40)?;
    let end = match lengths {
        Lengths::Kept => start + 40 + usize::from(be16(header, 4)?),
        Lengths::Ignored => data.len(),
    };
    if header[0] >> 4 != 6 || end > data.len() {
        return None;
    }
    let mut network = Network {
        version: 6,
        start,
        payload: start + 40,
        end,
        source: start + 8..start + 24,
        destination: start + 24..start + 40,
        tos: (header[0] << 4) | (header[1] >> 4),
        protocol: header[6],
        fragment: false,
        routed: false,
    };
    for _ in 0..EXTENSIONS_MAX {
        if network.fragment || !follow(data, &mut network) {
            break;
        }
    }
    Some(network)
}

/// Steps over one extension header; false where there is none, or none that can be stepped over.
fn follow(data: &[u8], network: &mut Network) -> bool {
    let Some(&[next, length, c, d]) = data.get(network.payload..network.payload + 4) else {
        return false;
    };
    let bytes = match network.protocol {
        // Hop-by-hop, routing, destination options, mobility, HIP, shim6: in units of 8 bytes, less the first.
        0 | 43 | 60 | 135 | 139 | 140 => 8 + 8 * usize::from(length),
        // Fragment header: always 8 bytes.
        44 => 8,
        // Authentication header: in units of 4 bytes, less two.
        51 => 8 + 4 * usize::from(length),
        _ => return false,
    };
    if network.payload + bytes > network.end {
        return false;
    }
    match network.protocol {
        43 => network.routed |= d != 0,
        44 => network.fragment = u16::from_be_bytes([c, d]) & 0xfff9 != 0,
        _ => {}
    }
    network.payload += bytes;
    network.protocol = next;
    true
}

fn transport(data: &[u8], network: &Network) -> Option<Transport> {
    let fixed = match network.protocol {
        TCP => 20,
        UDP => 8,
        SCTP => 12,
        _ => return None,
    };
    let whole = network.payload + fixed <= network.end.min(data.len());
    (whole && !network.fragment).then_some(Transport {
        protocol: network.protocol,
        start: network.payload,
    })
}
