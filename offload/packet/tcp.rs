// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! TCP flags.

use super::bytes;

/// Length of a header without options, in bytes.
pub const HEADER: usize = 20;
/// The bits of a flags field: nine flags and the three reserved bits beside the data offset.
pub const FLAGS_MASK: u16 = 0x0fff;

/// The flags of the header at `offset` (`__skb_flow_dissect_tcp`). `None` where the header is cut off or says that it is shorter
/// than 20 bytes; the ports are there nevertheless, as these need four bytes only.
pub fn flags(data: &[u8], offset: usize) -> Option<u16> {
    let header: [u8; HEADER] = bytes::array(data, offset)?;
    if header[12] >> 4 < 5 {
        return None;
    }
    Some(bytes::be16(&header, 12)? & FLAGS_MASK)
}
