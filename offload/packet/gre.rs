// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! GRE headers in front of an Ethernet frame, as Linux' gretap takes them (`gre_parse_header`).

use super::bytes;
use super::checksum::Sum;
use super::ethernet;

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const VERSION: u16 = 0x0007;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre {
    /// Whether there is a checksum.
    pub checksum: bool,
    /// The key.
    pub key: Option<u32>,
    /// Length of the header, in bytes.
    pub length: usize,
}

impl Gre {
    /// Reads the header at `offset` of a packet that ends with `data`. `None` for what gretap does not take: routing, another
    /// version, another inner protocol than Ethernet, or a wrong checksum.
    pub fn parse(data: &[u8], offset: usize) -> Option<Self> {
        let flags = bytes::be16(data, offset)?;
        if flags & (ROUTING | VERSION) != 0
            || bytes::be16(data, offset.checked_add(2)?)? != ethernet::BRIDGED
        {
            return None;
        }
        let mut length = 4;
        let checksum = flags & CHECKSUM != 0;
        if checksum {
            length += 4;
            if Sum::default().with(data.get(offset..)?).folded() != 0xffff {
                return None;
            }
        }
        let mut key = None;
        if flags & KEY != 0 {
            key = Some(bytes::be32(data, offset.checked_add(length)?)?);
            length += 4;
        }
        if flags & SEQUENCE != 0 {
            length += 4;
        }
        data.get(..offset.checked_add(length)?)?;
        Some(Self {
            checksum,
            key,
            length,
        })
    }
}
