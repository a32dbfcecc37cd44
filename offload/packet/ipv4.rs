// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! IPv4 headers.

use super::bytes;

/// Length without options, in bytes.
pub const HEADER: usize = 20;
const OFFSET_MASK: u16 = 0x1fff;
const MORE_FRAGMENTS: u16 = 0x2000;
const DONT_FRAGMENT: u16 = 0x4000;

/// What is read of an IPv4 header. Neither its version, its total length nor its checksum is looked at, as the dissector does
/// not look at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    /// Length of the header with options, in bytes, 20 to 60. Options need not be within the data.
    pub header: usize,
    /// The whole TOS byte: DSCP and ECN.
    pub tos: u8,
    /// Length of the packet as it says itself.
    pub total: u16,
    fragment: u16,
    /// Time to live.
    pub ttl: u8,
    /// The protocol behind.
    pub protocol: u8,
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
}

impl Ipv4 {
    /// Reads the header at `offset`. A header length below 20 is as good as no header.
    pub fn parse(data: &[u8], offset: usize) -> Option<Self> {
        let header: [u8; HEADER] = bytes::array(data, offset)?;
        let length = usize::from(header[0] & 0x0f) * 4;
        if length < HEADER {
            return None;
        }
        Some(Self {
            header: length,
            tos: header[1],
            total: bytes::be16(&header, 2)?,
            fragment: bytes::be16(&header, 6)?,
            ttl: header[8],
            protocol: header[9],
            source: bytes::array(&header, 12)?,
            destination: bytes::array(&header, 16)?,
        })
    }

    /// Whether this is any fragment, the first one too.
    pub fn is_fragment(&self) -> bool {
        self.fragment & (OFFSET_MASK | MORE_FRAGMENTS) != 0
    }

    /// Whether this is a fragment other than the first one: what follows is not a header.
    pub fn is_later_fragment(&self) -> bool {
        self.fragment & OFFSET_MASK != 0
    }

    /// Whether routers may not fragment it.
    pub fn dont_fragment(&self) -> bool {
        self.fragment & DONT_FRAGMENT != 0
    }
}
