// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! ICMP and ICMPv6: type and code.

use super::bytes;

/// Type and code of the message at `offset` (`skb_flow_get_icmp_tci`). `None` where fewer than eight bytes are there.
pub fn type_and_code(data: &[u8], offset: usize) -> Option<(u8, u8)> {
    let header: [u8; 8] = bytes::array(data, offset)?;
    Some((header[0], header[1]))
}
