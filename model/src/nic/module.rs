// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What is plugged into a wire port: a passive copper cable of 400 Gbit/s, whose memory is laid out by CMIS 5.0 and flat, so
//! that it has nothing but page 0.

use oxnic_abi::port::MODULE_HALF;

/// Address on the two-wire bus.
pub const ADDRESS: u8 = 0x50;

/// Identifiers of SFF-8024.
mod sff8024 {
    pub const QSFP_DD: u8 = 0x18;
    pub const NO_SEPARABLE_CONNECTOR: u8 = 0x23;
    pub const HOST_400GBASE_CR8: u8 = 0x1d;
    pub const MEDIUM_COPPER_CABLE: u8 = 0x01;
}

/// What follows the last application.
const NO_MORE_APPLICATIONS: u8 = 0xff;

/// Lower memory and page 0 of the cable in the port with this address, which makes its serial number.
pub fn memory(mac: &[u8; 6]) -> [u8; 2 * MODULE_HALF] {
    let mut memory = [0; 2 * MODULE_HALF];
    let mut put = |at: usize, bytes: &[u8]| memory[at..at + bytes.len()].copy_from_slice(bytes);
    // Identifier; revision 5.0; flat memory; ready, with no interrupt.
    put(0, &[sff8024::QSFP_DD, 0x50, 1 << 7, (3 << 1) | 1]);
    // Passive copper; one application, on all eight lanes from the first.
    put(85, &[0x03]);
    put(
        86,
        &[
            sff8024::HOST_400GBASE_CR8,
            sff8024::MEDIUM_COPPER_CABLE,
            0x88,
            1,
        ],
    );
    put(90, &[NO_MORE_APPLICATIONS]);
    put(128, &[sff8024::QSFP_DD]);
    put(129, &text::<16>("Oxnic"));
    put(148, &text::<16>("REF-CR8-1M"));
    put(164, &text::<2>("1"));
    let serial = mac.map(|byte| format!("{byte:02X}")).concat();
    put(166, &text::<16>(&serial));
    put(182, &text::<8>("260101"));
    // Power class 1, at most 0.5 W; a metre; losses in dB at 5, 7, 12.9 and 25.8 GHz.
    put(
        200,
        &[0, 2, 10, sff8024::NO_SEPARABLE_CONNECTOR, 3, 4, 6, 9],
    );
    // Copper cable that equalizes nothing.
    put(212, &[0x0a]);
    memory[222] = memory[128..222]
        .iter()
        .fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    memory
}

/// Left-adjusted, filled with spaces.
fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    for (to, from) in field.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_cmis_has_them() {
        let memory = memory(&[2, 0, 0, 0, 0xab, 1]);
        assert_eq!((memory[0], memory[128]), (0x18, 0x18));
        assert_eq!(&memory[129..145], b"Oxnic           ");
        assert_eq!(&memory[166..182], b"02000000AB01    ");
        assert_eq!(&memory[182..190], b"260101  ");
        let sum: u32 = memory[128..222].iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(u32::from(memory[222]), sum % 256);
    }
}
