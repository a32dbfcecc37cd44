// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The Internet checksum (RFC 1071) and the CRC of SCTP.
//!
//! Sums are kept in memory order: a 16-bit word is taken as its two bytes lie in memory, lowest first. The one's complement
//! sum does not depend on that choice (RFC 1071, 2 B), and the result can be stored as it is. Pure functions.

/// A one's complement sum that is being built, in memory order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Adds `data`; unless it is the last piece, its length must be even.
    #[must_use]
    pub fn and(self, data: &[u8]) -> Self {
        let mut low = self.0;
        let mut high = 0u64;
        let mut chunks = data.chunks_exact(16);
        for chunk in &mut chunks {
            let (a, b) = chunk.split_at(8);
            low += word(&a[..4]) + word(&a[4..]);
            high += word(&b[..4]) + word(&b[4..]);
        }
        let mut pairs = chunks.remainder().chunks_exact(2);
        for pair in &mut pairs {
            low += u64::from(u16::from_le_bytes([pair[0], pair[1]]));
        }
        if let [last] = pairs.remainder() {
            low += u64::from(*last);
        }
        Self(fold32(low) + fold32(high))
    }

    /// Adds a 16-bit value that stands for two bytes in network order.
    #[must_use]
    pub fn add_u16(self, value: u16) -> Self {
        Self(self.0 + u64::from(value.swap_bytes()))
    }

    /// The sum, folded to 16 bits.
    pub fn fold(self) -> u16 {
        let mut sum = fold32(self.0);
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// The checksum: the inverted sum, as the two bytes that go into the packet.
    pub fn finish(self) -> [u8; 2] {
        (!self.fold()).to_le_bytes()
    }

    /// Whether a message that contains its checksum is whole: the sum is all ones.
    pub fn is_right(self) -> bool {
        self.fold() == 0xffff
    }
}

fn word(bytes: &[u8]) -> u64 {
    u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// At most 33 bits, so that many of them can be added.
fn fold32(sum: u64) -> u64 {
    (sum & 0xffff_ffff) + (sum >> 32)
}

/// The sum of the pseudo-header of TCP and UDP: addresses, protocol and length of what follows (RFC 9293, RFC 8200).
pub fn pseudo_header(source: &[u8], destination: &[u8], protocol: u8, length: usize) -> Sum {
    Sum::default()
        .and(source)
        .and(destination)
        .add_u16(u16::from(protocol))
        .add_u16((length >> 16) as u16)
        .add_u16(length as u16)
}

const CRC32C: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// CRC32c as SCTP has it (RFC 9260, appendix A); begin with all ones, end with its inverse.
pub fn crc32c(crc: u32, data: &[u8]) -> u32 {
    data.iter().fold(crc, |crc, byte| {
        (crc >> 8) ^ CRC32C[usize::from((crc as u8) ^ byte)]
    })
}

/// Whether the checksum of an SCTP packet (common header first, at least 12 bytes) is right.
pub fn sctp_is_right(packet: &[u8]) -> bool {
    let (Some(before), Some(field), Some(after)) =
        (packet.get(..8), packet.get(8..12), packet.get(12..))
    else {
        return false;
    };
    let crc = crc32c(crc32c(crc32c(!0, before), &[0; 4]), after);
    field == (!crc).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The checksum as RFC 1071 describes it, word by word.
    fn naive(data: &[u8]) -> [u8; 2] {
        let mut sum = 0u32;
        for pair in data.chunks(2) {
            sum += (u32::from(pair[0]) << 8) | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    }

    proptest! {
        #[test]
        fn sum_is_that_of_the_definition(data in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(Sum::default().and(&data).finish(), naive(&data));
        }

        #[test]
        fn pieces_add_up(data in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..150) {
            let cut = (cut * 2).min(data.len() & !1);
            let (a, b) = data.split_at(cut);
            prop_assert_eq!(Sum::default().and(a).and(b).finish(), naive(&data));
        }
    }

    #[test]
    fn long_runs_of_ones_do_not_overflow() {
        let data = vec![0xff; 1 << 18];
        assert_eq!(Sum::default().and(&data).fold(), 0xffff);
    }

    #[test]
    fn crc_of_the_check_string() {
        // The check value of CRC-32C that its catalogues list.
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }
}
