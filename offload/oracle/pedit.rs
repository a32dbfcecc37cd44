// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Edits of header fields (`tcf_pedit_act`); see [`crate::rule::edit`] for what they mean.

use super::packet::Packet;
use crate::packet::ethernet::{self, HEADER};
use crate::packet::ipv4::Ipv4;
use crate::packet::{bytes, ipv6, ports};
use crate::rule::{Edit, Header};

/// Makes the edits in order. `false` where one could not be made: those before it are made, those after it are not.
///
/// In the kernel the four bytes may also be in front of the frame, in whatever room the buffer has there; that is an edit that
/// cannot be made here.
pub fn apply(packet: &mut Packet<'_, '_>, edits: &[Edit]) -> bool {
    edits.iter().all(|edit| apply_one(packet, edit).is_some())
}

fn apply_one(packet: &mut Packet<'_, '_>, edit: &Edit) -> Option<()> {
    let base = base(packet, edit.header)?;
    let at = base.checked_add(usize::try_from(i32::try_from(edit.offset).ok()?).ok()?)?;
    let old = bytes::array(packet.data(), at)?;
    bytes::put(packet.data_mut(), at, &edit.apply(old)).then_some(())
}

/// Where a header starts.
fn base(packet: &Packet<'_, '_>, header: Header) -> Option<usize> {
    match header {
        Header::Ethernet => Some(0),
        Header::Network | Header::Ipv4 | Header::Ipv6 => Some(HEADER),
        Header::Tcp => transport(packet, ports::TCP),
        Header::Udp => transport(packet, ports::UDP),
    }
}

/// Where the transport header starts (`pedit_l4_skb_offset`).
fn transport(packet: &Packet<'_, '_>, protocol: u8) -> Option<usize> {
    match packet.protocol {
        ethernet::IPV4 => {
            let header = Ipv4::parse(packet.data(), HEADER)?;
            (header.protocol == protocol && !header.is_later_fragment())
                .then_some(HEADER + header.header)
        }
        ethernet::IPV6 => ipv6::find(packet.data(), HEADER, protocol),
        _ => None,
    }
}
