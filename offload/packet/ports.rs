// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Transport protocols and their ports.

use super::bytes;

/// ICMP.
pub const ICMP: u8 = 1;
/// IGMP.
pub const IGMP: u8 = 2;
/// IPv4 in IP.
pub const IPV4: u8 = 4;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// DCCP.
pub const DCCP: u8 = 33;
/// IPv6 in IP.
pub const IPV6: u8 = 41;
/// GRE.
pub const GRE: u8 = 47;
/// ESP.
pub const ESP: u8 = 50;
/// ICMPv6.
pub const ICMPV6: u8 = 58;
/// SCTP.
pub const SCTP: u8 = 132;
/// UDP-Lite.
pub const UDP_LITE: u8 = 136;
/// MPLS in IP.
pub const MPLS: u8 = 137;

/// Source and destination port (`skb_flow_get_ports`).
///
/// To the kernel, ESP and AH have ports too: the two halves of the SPI. No key of flower can ask for them.
pub fn ports(data: &[u8], offset: usize, protocol: u8) -> Option<(u16, u16)> {
    let skip = match protocol {
        TCP | UDP | DCCP | ESP | SCTP | UDP_LITE => 0,
        super::ipv6::AUTHENTICATION => 4,
        _ => return None,
    };
    let both = bytes::be32(data, offset.checked_add(skip)?)?;
    Some(((both >> 16) as u16, both as u16))
}
