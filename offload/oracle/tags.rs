// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! VLAN actions (`tcf_vlan_act`, `skb_vlan_push`, `skb_vlan_pop`).
//!
//! Taking a tag off a packet that has none, or changing it, does nothing, and is no error. A second tag goes between the
//! addresses and what was there; the network header then is the **first** tag, which matters to pedit.

use super::packet::Packet;
use crate::packet::bytes;
use crate::packet::ethernet::{self, ADDRESSES, HEADER};
use crate::packet::vlan::{self, Tag, PRIORITY_MASK, PRIORITY_SHIFT};

/// Puts a new outermost tag on. `false`: drop, for want of room in the buffer.
pub fn push(packet: &mut Packet<'_, '_>, tpid: u16, id: u16, priority: u8) -> bool {
    if let Some(tag) = packet.tag {
        if !packet.insert_tag(tag) {
            return false;
        }
        packet.protocol = tag.tpid;
    }
    packet.tag = Some(Tag {
        tpid,
        tci: id | (u16::from(priority) << PRIORITY_SHIFT),
    });
    true
}

/// Takes the outermost tag off. `false`: drop, of a packet whose next tag is cut off.
pub fn pop(packet: &mut Packet<'_, '_>) -> bool {
    if packet.tag.take().is_none() && vlan::is_tag(packet.protocol) && pop_in_data(packet).is_none()
    {
        return false;
    }
    if !vlan::is_tag(packet.protocol) {
        return true;
    }
    packet.tag = pop_in_data(packet);
    packet.tag.is_some()
}

/// Changes the outermost tag. `false`: drop.
pub fn modify(packet: &mut Packet<'_, '_>, tpid: u16, id: u16, priority: Option<u8>) -> bool {
    let old = match packet.tag {
        Some(tag) => Some(tag),
        None if !vlan::is_tag(packet.protocol) => return true,
        None => pop_in_data(packet),
    };
    let Some(old) = old else {
        return false;
    };
    let mut tci = (old.tci & !vlan::ID_MASK) | id;
    if let Some(priority) = priority {
        tci = (tci & !PRIORITY_MASK) | (u16::from(priority) << PRIORITY_SHIFT);
    }
    packet.tag = Some(Tag { tpid, tci });
    true
}

/// Takes the tag that `protocol` announces out of the data.
fn pop_in_data(packet: &mut Packet<'_, '_>) -> Option<Tag> {
    let tpid = packet.protocol;
    let tci = bytes::be16(packet.data(), HEADER)?;
    let field = bytes::be16(packet.data(), HEADER + 2)?;
    let behind = packet.data().get(HEADER + vlan::LENGTH..)?;
    packet.protocol = ethernet::protocol(field, behind);
    packet.cut_tag();
    debug_assert_eq!(bytes::be16(packet.data(), ADDRESSES), Some(field));
    Some(Tag { tpid, tci })
}
