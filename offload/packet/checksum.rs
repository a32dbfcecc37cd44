// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Checksums: the Internet's, and CRC32c for SCTP.

use super::dissect::Address;

/// A running ones' complement sum of 16-bit words, of any number of parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes, padded with a zero where their number is odd: only the last part may be odd.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        let sum = bytes.chunks(2).fold(self.0, |sum, pair| {
            let high = pair.first().copied().unwrap_or(0);
            let low = pair.get(1).copied().unwrap_or(0);
            sum.wrapping_add(u64::from(u16::from_be_bytes([high, low])))
        });
        Self(sum)
    }

    /// Adds the pseudo header of TCP, UDP or ICMPv6. Without addresses nothing is added.
    #[must_use]
    pub fn with_pseudo_header(self, address: Address, length: u32, protocol: u8) -> Self {
        let sum = match address {
            Address::None => return self,
            Address::V4(source, destination) => self.with(&source).with(&destination),
            Address::V6(source, destination) => self.with(&source).with(&destination),
        };
        sum.with(&length.to_be_bytes()).with(&[0, protocol])
    }

    /// The sum in 16 bits, not complemented: `0xffff` over data that holds a right checksum.
    pub fn folded(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// What goes into a checksum field.
    pub fn checksum(self) -> u16 {
        !self.folded()
    }
}

/// CRC32c of SCTP, in the byte order in which it is sent.
pub fn crc32c(parts: &[&[u8]]) -> [u8; 4] {
    const REFLECTED: u32 = 0x82f6_3b78;
    let mut crc = !0u32;
    for byte in parts.iter().flat_map(|part| part.iter()) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 != 0 {
                (crc >> 1) ^ REFLECTED
            } else {
                crc >> 1
            };
        }
    }
    (!crc).to_le_bytes()
}
