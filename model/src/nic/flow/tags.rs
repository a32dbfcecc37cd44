// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Putting tags on, taking them off, changing them.

use super::packet::Packet;
use super::parse::is_tag;
use crate::nic::frame::Tag;

/// A new outermost tag; the one before goes into the frame.
pub fn push(packet: &mut Packet, tag: Tag) {
    if let Some(old) = packet.set_tag(Some(tag)) {
        packet.put_inner_tag(old);
    }
}

/// Takes the outermost tag out, if there is one; the next one then is beside the frame. False if a tag is cut off.
#[must_use]
pub fn pop(packet: &mut Packet) -> bool {
    let beside = packet.tag().is_some();
    if !beside && !is_tag(packet.protocol()) {
        return true;
    }
    if beside {
        packet.set_tag(None);
    } else if packet.take_inner_tag().is_none() {
        return false;
    }
    if !is_tag(packet.protocol()) {
        return true;
    }
    let next = packet.take_inner_tag();
    packet.set_tag(next);
    next.is_some()
}

/// Changes the outermost tag, if there is one, but for the bits in `keep`. False if it is cut off.
#[must_use]
pub fn modify(packet: &mut Packet, tag: Tag, keep: u16) -> bool {
    let old = match packet.tag() {
        None if is_tag(packet.protocol()) => packet.take_inner_tag(),
        None => return true,
        beside => beside,
    };
    let Some(old) = old else {
        return false;
    };
    packet.set_tag(Some(Tag {
        tpid: tag.tpid,
        tci: (old.tci & keep) | (tag.tci & !keep),
    }));
    true
}
