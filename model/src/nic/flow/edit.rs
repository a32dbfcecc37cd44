// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Edits of four bytes of a header.

use super::bytes::{take, write};
use super::packet::Packet;
use super::parse::{ETHERNET, IPV6_HEADER};
use crate::nic::packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, TCP, UDP};
use oxnic_abi::flow::action::{FlowEdit, FlowHeader};

/// Extension headers of IPv6 that are stepped over, fewer than [`super::parse`] reads: behind more, Linux edits nothing.
const EXTENSIONS_MAX: usize = 12;

/// Makes an edit: offset in the header, bits that are kept, value. False if the frame has no such bytes.
#[must_use]
pub fn apply(packet: &mut Packet, header: u8, edit: u8, operands: &[u32; 4]) -> bool {
    let [offset, keep, value, _] = *operands;
    let Some(at) = start(packet, header).and_then(|at| at.checked_add(offset as usize)) else {
        return false;
    };
    let Some(old) = take(packet.data(), at).map(u32::from_le_bytes) else {
        return false;
    };
    let new = match FlowEdit(edit) {
        FlowEdit::ADD => old.wrapping_add(value) & !keep,
        _ => value,
    };
    write(packet.change(), at, &((old & keep) ^ new).to_le_bytes())
}

/// Where a header starts.
fn start(packet: &Packet, header: u8) -> Option<usize> {
    match FlowHeader(header) {
        FlowHeader::ETHERNET => Some(0),
        FlowHeader::TCP => transport(packet, TCP),
        FlowHeader::UDP => transport(packet, UDP),
        _ => Some(ETHERNET),
    }
}

fn transport(packet: &Packet, wanted: u8) -> Option<usize> {
    let data = packet.data();
    match packet.protocol() {
        ETHERTYPE_IPV4 => {
            let header = take::<20>(data, ETHERNET)?;
            let length = usize::from(header[0] & 0xf) * 4;
            let later = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
            (length >= 20 && header[9] == wanted && !later).then_some(ETHERNET + length)
        }
        ETHERTYPE_IPV6 => {
            let mut next = take::<IPV6_HEADER>(data, ETHERNET)?[6];
            let mut at = ETHERNET + IPV6_HEADER;
            let mut walked = 0;
            while next != wanted {
                walked += 1;
                if walked > EXTENSIONS_MAX {
                    return None;
                }
                let [following, length] = take(data, at)?;
                let step = match next {
                    0 | 43 | 60 => 8 + 8 * usize::from(length),
                    51 => 8 + 4 * usize::from(length),
                    44 => {
                        let [_, _, a, b, ..] = take::<8>(data, at)?;
                        if u16::from_be_bytes([a, b]) & 0xfff8 != 0 {
                            return None;
                        }
                        8
                    }
                    _ => return None,
                };
                next = following;
                at += step;
            }
            Some(at)
        }
        _ => None,
    }
}
