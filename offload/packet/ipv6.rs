// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! IPv6 headers and the way to the transport header.
//!
//! Two walks, because Linux has two. The dissector (in [`mod@super::dissect`]) steps over hop-by-hop, routing and destination
//! options and over a fragment header, and takes an authentication header for the transport: its `ports` then are the SPI. What
//! pedit uses ([`find`], the kernel's `ipv6_find_hdr`) steps over the authentication header as well.

use super::bytes;

/// Length of the fixed header, in bytes.
pub const HEADER: usize = 40;
/// Hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// A routing header.
pub const ROUTING: u8 = 43;
/// A fragment header.
pub const FRAGMENT: u8 = 44;
/// An authentication header.
pub const AUTHENTICATION: u8 = 51;
/// Nothing follows.
pub const NONE: u8 = 59;
/// Destination options.
pub const DESTINATION: u8 = 60;
/// Length of a fragment header, in bytes.
pub const FRAGMENT_HEADER: usize = 8;
/// What the kernel counts as an extension header (`ipv6_ext_hdr`), but for [`NONE`].
pub const EXTENSIONS: [u8; 5] = [HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION];
/// How many of them `ipv6_find_hdr` takes (`IP6_MAX_EXT_HDRS_CNT`).
pub const EXTENSIONS_MAX: usize = 12;

/// The fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6 {
    /// Traffic class: DSCP and ECN, what tc calls tos.
    pub traffic_class: u8,
    /// Length of what follows, as it says itself.
    pub payload: u16,
    /// What follows.
    pub next: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
}

impl Ipv6 {
    /// Reads the header at `offset`.
    pub fn parse(data: &[u8], offset: usize) -> Option<Self> {
        let header: [u8; HEADER] = bytes::array(data, offset)?;
        Some(Self {
            traffic_class: (header[0] << 4) | (header[1] >> 4),
            payload: bytes::be16(&header, 4)?,
            next: header[6],
            hop_limit: header[7],
            source: bytes::array(&header, 8)?,
            destination: bytes::array(&header, 24)?,
        })
    }
}

/// A fragment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentHeader {
    /// What follows it in the whole packet.
    pub next: u8,
    /// Whether this is not the first fragment.
    pub later: bool,
}

impl FragmentHeader {
    /// Reads the header at `offset`.
    pub fn parse(data: &[u8], offset: usize) -> Option<Self> {
        let header: [u8; FRAGMENT_HEADER] = bytes::array(data, offset)?;
        Some(Self {
            next: header[0],
            later: bytes::be16(&header, 2)? & 0xfff8 != 0,
        })
    }
}

/// Next header and length in bytes of the options or routing header at `offset`.
pub fn extension(data: &[u8], offset: usize) -> Option<(u8, usize)> {
    let [next, length]: [u8; 2] = bytes::array(data, offset)?;
    Some((next, (usize::from(length) + 1) * 8))
}

/// Where the transport header `target` of the IPv6 packet at `offset` starts (`ipv6_find_hdr`).
///
/// `None` where it is not there, in a later fragment, behind more than [`EXTENSIONS_MAX`] headers, or where their chain is cut off.
pub fn find(data: &[u8], offset: usize, target: u8) -> Option<usize> {
    let header = Ipv6::parse(data, offset)?;
    let mut next = header.next;
    let mut at = offset.checked_add(HEADER)?;
    let mut walked = 0;
    while next != target {
        walked += 1;
        if walked > EXTENSIONS_MAX {
            return None;
        }
        let (following, length) = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => extension(data, at)?,
            AUTHENTICATION => {
                let [following, length]: [u8; 2] = bytes::array(data, at)?;
                (following, (usize::from(length) + 2) * 4)
            }
            FRAGMENT => {
                let fragment = FragmentHeader::parse(data, at)?;
                if fragment.later {
                    return None;
                }
                (fragment.next, FRAGMENT_HEADER)
            }
            _ => return None,
        };
        next = following;
        at = at.checked_add(length)?;
    }
    Some(at)
}
