// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Steering rules of a vport: the first that matches in order of location decides where a frame goes.
//!
//! The rules belong to the vport. A linear scan: simple, and the order needs no further thought.

use super::frame::{CTAG, Frame};
use super::packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Packet};
use oxnic_abi::steering::{SteeringAction, SteeringRule, keys};
use std::collections::BTreeMap;
use std::ops::Range;

/// The rules of a vport by location.
#[derive(Clone, Debug, Default)]
pub struct Rules(BTreeMap<u32, SteeringRule>);

impl Rules {
    /// Adds or replaces the rule at its location.
    pub fn set(&mut self, rule: SteeringRule) {
        self.0.insert(rule.location, rule);
    }

    /// Takes a rule out; false if there was none.
    pub fn clear(&mut self, location: u32) -> bool {
        self.0.remove(&location).is_some()
    }

    /// Takes all rules out.
    pub fn clear_all(&mut self) {
        self.0.clear();
    }

    /// Number of rules.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether some rule names a hashing context.
    pub fn names_context(&self, context: u16) -> bool {
        self.0
            .values()
            .any(|rule| rule.action == SteeringAction::CONTEXT && rule.context == context)
    }

    /// The first rule that matches.
    pub fn find(&self, frame: &Frame, packet: &Packet) -> Option<&SteeringRule> {
        self.0.values().find(|rule| matches(rule, frame, packet))
    }
}

/// Whether value and mask agree with the bytes of a frame; the lengths are equal.
fn agree(bytes: &[u8], value: &[u8], mask: &[u8]) -> bool {
    bytes
        .iter()
        .zip(value)
        .zip(mask)
        .all(|((byte, value), mask)| byte & mask == *value)
}

/// Whether a rule matches a frame.
pub fn matches(rule: &SteeringRule, frame: &Frame, packet: &Packet) -> bool {
    let has = |key| rule.keys & key != 0;
    let data = frame.buffer();
    if has(keys::ETHER_TYPE) && packet.ether_type != u16::from_be_bytes(rule.ether_type) {
        return false;
    }
    if has(keys::DESTINATION_MAC)
        && !agree(
            &frame.destination(),
            &rule.destination_mac,
            &rule.destination_mac_mask,
        )
    {
        return false;
    }
    if has(keys::SOURCE_MAC) && !agree(&frame.source(), &rule.source_mac, &rule.source_mac_mask) {
        return false;
    }
    if has(keys::VLAN) {
        match frame.tag() {
            Some(tag)
                if tag.tpid == CTAG
                    && agree(&tag.tci.to_be_bytes(), &rule.vlan, &rule.vlan_mask) => {}
            _ => return false,
        }
    }
    if rule.keys & (keys::PROTOCOL | keys::SOURCE | keys::DESTINATION | keys::TOS) != 0 {
        let Some(network) = &packet.network else {
            return false;
        };
        let address = |range: &Range<usize>, value: &[u8; 16], mask: &[u8; 16]| {
            let bytes = data.get(range.clone()).unwrap_or_default();
            !bytes.is_empty() && agree(bytes, value, mask)
        };
        if has(keys::PROTOCOL) && network.protocol != rule.protocol
            || has(keys::TOS) && network.tos & rule.tos_mask != rule.tos
            || has(keys::SOURCE) && !address(&network.source, &rule.source, &rule.source_mask)
            || has(keys::DESTINATION)
                && !address(
                    &network.destination,
                    &rule.destination,
                    &rule.destination_mask,
                )
        {
            return false;
        }
    }
    if rule.keys & (keys::SOURCE_PORT | keys::DESTINATION_PORT) != 0 {
        let Some(&[a, b, c, d]) = packet
            .transport
            .and_then(|transport| data.get(transport.start..transport.start + 4))
        else {
            return false;
        };
        if has(keys::SOURCE_PORT) && !agree(&[a, b], &rule.source_port, &rule.source_port_mask)
            || has(keys::DESTINATION_PORT)
                && !agree(&[c, d], &rule.destination_port, &rule.destination_port_mask)
        {
            return false;
        }
    }
    true
}

/// Why a rule cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadField {
    /// Byte offset in the rule.
    pub offset: usize,
}

/// A key of a rule: its bit, value and mask with their offsets in the rule.
struct KeyField<'a> {
    key: u16,
    value: (usize, &'a [u8]),
    mask: Option<(usize, &'a [u8])>,
}

fn fields(rule: &SteeringRule) -> [KeyField<'_>; 10] {
    let field = |key, offset, value, mask_offset, mask| KeyField {
        key,
        value: (offset, value),
        mask: Some((mask_offset, mask)),
    };
    let exact = |key, offset, value| KeyField {
        key,
        value: (offset, value),
        mask: None,
    };
    let byte = std::slice::from_ref;
    [
        exact(keys::ETHER_TYPE, 12, &rule.ether_type),
        exact(keys::PROTOCOL, 14, byte(&rule.protocol)),
        field(
            keys::DESTINATION_MAC,
            16,
            &rule.destination_mac,
            24,
            &rule.destination_mac_mask,
        ),
        field(keys::VLAN, 22, &rule.vlan, 30, &rule.vlan_mask),
        field(
            keys::SOURCE_MAC,
            32,
            &rule.source_mac,
            40,
            &rule.source_mac_mask,
        ),
        field(keys::SOURCE, 48, &rule.source, 64, &rule.source_mask),
        field(
            keys::DESTINATION,
            80,
            &rule.destination,
            96,
            &rule.destination_mask,
        ),
        field(
            keys::SOURCE_PORT,
            112,
            &rule.source_port,
            114,
            &rule.source_port_mask,
        ),
        field(
            keys::DESTINATION_PORT,
            116,
            &rule.destination_port,
            118,
            &rule.destination_port_mask,
        ),
        field(keys::TOS, 120, byte(&rule.tos), 121, byte(&rule.tos_mask)),
    ]
}

/// Checks what a rule says by itself: keys, values within masks, the EtherType that other keys need.
///
/// # Errors
/// The first field that is not allowed: a value outside its mask, a value or mask without its key.
pub fn check(rule: &SteeringRule) -> Result<(), BadField> {
    for field in fields(rule) {
        let (offset, value) = field.value;
        if rule.keys & field.key == 0 {
            if value.iter().any(|byte| *byte != 0) {
                return Err(BadField { offset });
            }
            match field.mask {
                Some((offset, mask)) if mask.iter().any(|byte| *byte != 0) => {
                    return Err(BadField { offset });
                }
                _ => {}
            }
        } else if let Some((_, mask)) = field.mask {
            if value
                .iter()
                .zip(mask)
                .any(|(value, mask)| value & !mask != 0)
            {
                return Err(BadField { offset });
            }
        }
    }
    check_network(rule)
}

fn check_network(rule: &SteeringRule) -> Result<(), BadField> {
    let needs_ip =
        keys::ALL & !(keys::ETHER_TYPE | keys::DESTINATION_MAC | keys::SOURCE_MAC | keys::VLAN);
    if rule.keys & needs_ip == 0 {
        return Ok(());
    }
    let ether_type = u16::from_be_bytes(rule.ether_type);
    if rule.keys & keys::ETHER_TYPE == 0 {
        return Err(BadField { offset: 4 });
    }
    if !matches!(ether_type, ETHERTYPE_IPV4 | ETHERTYPE_IPV6) {
        return Err(BadField { offset: 12 });
    }
    if ether_type == ETHERTYPE_IPV4 {
        let beyond = |bytes: &[u8; 16]| bytes[4..].iter().any(|byte| *byte != 0);
        for (offset, bytes) in [
            (48, &rule.source),
            (64, &rule.source_mask),
            (80, &rule.destination),
            (96, &rule.destination_mask),
        ] {
            if beyond(bytes) {
                return Err(BadField { offset });
            }
        }
    }
    Ok(())
}
