// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! VXLAN headers, as Linux' tunnel device takes them (`vxlan_rcv`).

use super::bytes;

/// Length of the header, in bytes.
pub const HEADER: usize = 8;
/// The port that IANA gave to VXLAN. Linux' device uses whatever it was created with.
pub const PORT: u16 = 4789;

const HAS_GROUP: u32 = 1 << 31;
const HAS_ID: u32 = 1 << 27;
const DONT_LEARN: u32 = 1 << 22;
const POLICY_APPLIED: u32 = 1 << 19;
const GROUP_ID: u32 = 0xffff;
/// With the group policy extension, bits of the whole lower part are allowed and ignored.
const GROUP_BITS: u32 = HAS_GROUP | 0x00ff_ffff;

/// The bits that a group policy match or value can have: group id, policy applied, don't learn.
pub const GROUP_MASK: u32 = DONT_LEARN | POLICY_APPLIED | GROUP_ID;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// The network identifier, 24 bits.
    pub id: u32,
    /// Group id and flags within [`GROUP_MASK`], where the header has the extension and the device wants it.
    pub group: Option<u32>,
}

impl Vxlan {
    /// Reads the header at `offset`. `None` for what Linux drops: no identifier, or any reserved bit set. With `group_policy`
    /// (the device's `gbp`) the extension's bits are not reserved; without, its headers are dropped.
    pub fn parse(data: &[u8], offset: usize, group_policy: bool) -> Option<Self> {
        let flags = bytes::be32(data, offset)?;
        let id = bytes::be32(data, offset.checked_add(4)?)?;
        let allowed = HAS_ID | if group_policy { GROUP_BITS } else { 0 };
        if flags & HAS_ID == 0 || flags & !allowed != 0 || id & 0xff != 0 {
            return None;
        }
        let group = (group_policy && flags & HAS_GROUP != 0).then_some(flags & GROUP_MASK);
        Some(Self { id: id >> 8, group })
    }

    /// The header's bytes.
    pub fn bytes(self) -> [u8; HEADER] {
        let flags = HAS_ID
            | self
                .group
                .map_or(0, |group| HAS_GROUP | (group & GROUP_MASK));
        let [a, b, c, d] = flags.to_be_bytes();
        let [e, f, g, h] = (self.id << 8).to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }
}
