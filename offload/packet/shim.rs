// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Headers between Ethernet and IP that the dissector steps over although no key here asks for them: PPPoE, HSR and PRP, BATMAN.
//! A rule for IPv4 addresses therefore takes PPPoE sessions as well, if its classifier's `protocol` lets them come that far.

use super::bytes;
use super::ethernet::{self, IPV4, IPV6, MPLS, MPLS_MULTICAST};

/// What follows a header, and how long the header is, in bytes.
pub type Next = (u16, usize);

/// The PPPoE session header at `offset`, with the PPP protocol behind it. `None` where the dissection ends here.
pub fn pppoe(data: &[u8], offset: usize) -> Option<Next> {
    let header: [u8; 8] = bytes::array(data, offset)?;
    if header[0] != 0x11 || header[1] != 0 {
        return None;
    }
    let protocol = match bytes::be16(&header, 6)? {
        0x0021 => IPV4,
        0x0057 => IPV6,
        0x0281 => MPLS,
        0x0283 => MPLS_MULTICAST,
        _ => return None,
    };
    Some((protocol, header.len()))
}

/// The HSR or PRP tag at `offset`.
pub fn redundancy(data: &[u8], offset: usize) -> Option<Next> {
    let header: [u8; 6] = bytes::array(data, offset)?;
    Some((bytes::be16(&header, 4)?, header.len()))
}

/// The BATMAN unicast header at `offset`, with the Ethernet header behind it. The type of that is taken as it is.
pub fn batman(data: &[u8], offset: usize) -> Option<Next> {
    const UNICAST: u8 = 0x40;
    const VERSION: u8 = 15;
    let header: [u8; 10 + ethernet::HEADER] = bytes::array(data, offset)?;
    if header[0] != UNICAST || header[1] != VERSION {
        return None;
    }
    Some((
        bytes::be16(&header, 10 + ethernet::ADDRESSES)?,
        header.len(),
    ))
}
