// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! VLAN tags.

use super::ethernet;

/// Length of a tag in a frame, in bytes.
pub const LENGTH: usize = 4;
/// The bits of a tag control field that hold the id.
pub const ID_MASK: u16 = 0x0fff;
/// The bits of a tag control field that hold the priority. The bit between is the drop eligibility, which no key of flower
/// reaches.
pub const PRIORITY_MASK: u16 = 0xe000;
/// How far the priority is from the right.
pub const PRIORITY_SHIFT: u32 = 13;

/// Whether `protocol` announces a VLAN tag to Linux (`eth_type_vlan`). The types 0x9100 to 0x9300 do not.
pub fn is_tag(protocol: u16) -> bool {
    matches!(protocol, ethernet::VLAN | ethernet::SERVICE_VLAN)
}

/// A tag: its type and its control field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// [`ethernet::VLAN`] or [`ethernet::SERVICE_VLAN`].
    pub tpid: u16,
    /// Priority (3 bits), drop eligibility (1 bit) and id (12 bits).
    pub tci: u16,
}

impl Tag {
    /// The VLAN's id.
    pub fn id(self) -> u16 {
        self.tci & ID_MASK
    }

    /// The priority, 0 to 7.
    pub fn priority(self) -> u8 {
        (self.tci >> PRIORITY_SHIFT) as u8
    }

    /// The four bytes that stand for the tag in a frame.
    pub fn bytes(self) -> [u8; LENGTH] {
        let [a, b] = self.tpid.to_be_bytes();
        let [c, d] = self.tci.to_be_bytes();
        [a, b, c, d]
    }
}
