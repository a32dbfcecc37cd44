// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Taking frames out of their tunnels.

use super::Engine;
use super::bytes;
use super::packet::Packet;
use super::parse::ETHERNET;
use crate::nic::checksum::Sum;
use crate::nic::packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use oxnic_abi::flow::action::decap_flags;

impl Engine {
    /// Takes a frame out of its tunnel. False if it is to be dropped.
    pub(super) fn decap(&mut self, flags: u32, packet: &mut Packet) -> bool {
        if packet.take_out(&self.tunnels) {
            self.stats.decapsulated += 1;
            let outer = packet.note().tos;
            if flags & decap_flags::ECN != 0 && !join_marks(packet, outer) {
                return false;
            }
        }
        if flags & decap_flags::FORGET != 0 {
            packet.forget_note();
        }
        true
    }
}

/// Joins the congestion mark of outer headers with that of the frame within (RFC 6040). False if the frame is to be dropped.
fn join_marks(packet: &mut Packet, outer: u8) -> bool {
    const CE: u8 = 3;
    const ECT_1: u8 = 1;
    if packet.tag().is_some() {
        return true;
    }
    let [first, second] = bytes::take(packet.data(), ETHERNET).unwrap_or_default();
    let v4 = match packet.protocol() {
        ETHERTYPE_IPV4 => true,
        ETHERTYPE_IPV6 => false,
        _ => return true,
    };
    let old = if v4 {
        second
    } else {
        (first << 4) | (second >> 4)
    };
    let new = match (outer & 3, old & 3) {
        (CE, 0) => return false,
        (_, 0) => return true,
        (CE, _) => old | CE,
        (ECT_1, 2) => (old & !3) | ECT_1,
        _ => return true,
    };
    if new == old {
        return true;
    }
    let least = if v4 { 20 } else { 40 };
    let Some(header) = packet.change().get_mut(ETHERNET..ETHERNET + least) else {
        return true;
    };
    if !v4 {
        header[0] = (header[0] & 0xf0) | (new >> 4);
        header[1] = (new << 4) | (header[1] & 0xf);
        return true;
    }
    header[1] = new;
    // The checksum follows by arithmetic (RFC 1624), so that one that was wrong stays wrong.
    let sum = Sum::default()
        .and(&[!header[10], !header[11]])
        .and(&[!0, !old])
        .and(&[0, new])
        .finish();
    header[10..12].copy_from_slice(&sum);
    true
}
