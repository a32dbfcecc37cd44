// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Geneve headers, as Linux' tunnel device takes them (`geneve_udp_encap_recv`).

use super::bytes;
use super::ethernet;

/// Length of the header without options, in bytes.
pub const HEADER: usize = 8;
/// The port that IANA gave to Geneve.
pub const PORT: u16 = 6081;
/// The longest options, in bytes.
pub const OPTIONS_MAX: usize = 63 * 4;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geneve<'a> {
    /// The network identifier, 24 bits.
    pub id: u32,
    /// Whether it is for operation and maintenance.
    pub oam: bool,
    /// Whether there is an option that a receiver must understand. Linux believes the header's flag, not the options.
    pub critical: bool,
    /// All options as they are in the packet. Their own lengths are not checked, as Linux does not check them.
    pub options: &'a [u8],
}

impl<'a> Geneve<'a> {
    /// Reads the header at `offset`, and answers where the inner frame starts. `None` for what Linux' device drops: another
    /// version, another inner protocol than Ethernet, or options that are cut off.
    pub fn parse(data: &'a [u8], offset: usize) -> Option<(Self, usize)> {
        let header: [u8; HEADER] = bytes::array(data, offset)?;
        let version = header[0] >> 6;
        if version != 0 || bytes::be16(&header, 2)? != ethernet::BRIDGED {
            return None;
        }
        let start = offset.checked_add(HEADER)?;
        let end = start.checked_add(usize::from(header[0] & 0x3f) * 4)?;
        let geneve = Self {
            id: bytes::be32(&header, 4)? >> 8,
            oam: header[1] & 0x80 != 0,
            critical: header[1] & 0x40 != 0,
            options: data.get(start..end)?,
        };
        Some((geneve, end))
    }

    /// The bytes of the header that go before the options. Options longer than [`OPTIONS_MAX`] cannot be said.
    pub fn bytes(&self) -> [u8; HEADER] {
        let [_, a, b, c] = (self.id & 0x00ff_ffff).to_be_bytes();
        let [p, q] = ethernet::BRIDGED.to_be_bytes();
        let flags = (u8::from(self.oam) << 7) | (u8::from(self.critical) << 6);
        [
            (self.options.len() / 4) as u8 & 0x3f,
            flags,
            p,
            q,
            a,
            b,
            c,
            0,
        ]
    }
}
