// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Steering of received frames by n-tuple rules (`ethtool -N`).
//!
//! Rules have locations; a frame takes the first that matches in order of location, after the eswitch delivered it to the
//! vport and before hashing.

use crate::{open_enum, wire};

wire! {
    /// Parameters of [`crate::command::Opcode::STEERING_CLEAR`].
    pub struct SteeringId: 5 {
        /// Location.
        0: location: u32,
    }
}

wire! {
    /// Buffer of [`crate::command::Opcode::STEERING_SET`]. Addresses and ports are in network order, each value with its mask:
    /// a bit counts where the mask has a 1, and the value has no bit outside its mask.
    pub struct SteeringRule: 20 {
        /// Location, less than [`crate::caps::SteeringCaps::rules`].
        0: location: u32,
        /// Fields that are matched, see [`keys`].
        4: keys: u16,
        /// What happens.
        6: action: SteeringAction,
        /// With QUEUE: receive queue of the vport. With CONTEXT: added to the queue that the context's table gives.
        8: queue: u16,
        /// With CONTEXT: hashing context.
        10: context: u16,
        /// Ethernet type, in network order.
        12: ether_type: [u8; 2],
        /// IP protocol or next header.
        14: protocol: u8,
        /// Destination address of the frame.
        16: destination_mac: [u8; 6],
        /// VLAN tag (PCP, DEI, VID) in network order.
        22: vlan: [u8; 2],
        /// Mask.
        24: destination_mac_mask: [u8; 6],
        /// Mask.
        30: vlan_mask: [u8; 2],
        /// Source address of the frame.
        32: source_mac: [u8; 6],
        /// Mask.
        40: source_mac_mask: [u8; 6],
        /// IP source; IPv4 in the first 4 bytes.
        48: source: [u8; 16],
        /// Mask.
        64: source_mask: [u8; 16],
        /// IP destination; IPv4 in the first 4 bytes.
        80: destination: [u8; 16],
        /// Mask.
        96: destination_mask: [u8; 16],
        /// TCP, UDP or SCTP source port.
        112: source_port: [u8; 2],
        /// Mask.
        114: source_port_mask: [u8; 2],
        /// TCP, UDP or SCTP destination port.
        116: destination_port: [u8; 2],
        /// Mask.
        118: destination_port_mask: [u8; 2],
        /// Type of service or traffic class.
        120: tos: u8,
        /// Mask.
        121: tos_mask: u8,
    }
}

open_enum! {
    /// What a steering rule does.
    pub enum SteeringAction: u16 {
        /// Drop, counted as [`crate::stats::VportStats`]`::rx_steering`.
        DROP = 0: "drop",
        /// To a queue.
        QUEUE = 1: "queue",
        /// To a hashing context.
        CONTEXT = 2: "context",
    }
}

/// Bits of [`SteeringRule::keys`].
pub mod keys {
    /// `ether_type`, exact. Where addresses, ports or protocol are matched, 0x0800 or 0x86dd is required.
    pub const ETHER_TYPE: u16 = 1 << 0;
    /// `destination_mac`.
    pub const DESTINATION_MAC: u16 = 1 << 1;
    /// `source_mac`.
    pub const SOURCE_MAC: u16 = 1 << 2;
    /// `vlan`; untagged frames do not match.
    pub const VLAN: u16 = 1 << 3;
    /// `protocol`, exact.
    pub const PROTOCOL: u16 = 1 << 4;
    /// `source`.
    pub const SOURCE: u16 = 1 << 5;
    /// `destination`.
    pub const DESTINATION: u16 = 1 << 6;
    /// `source_port`; fragments do not match.
    pub const SOURCE_PORT: u16 = 1 << 7;
    /// `destination_port`; fragments do not match.
    pub const DESTINATION_PORT: u16 = 1 << 8;
    /// `tos`.
    pub const TOS: u16 = 1 << 9;
    /// All of them.
    pub const ALL: u16 = (1 << 10) - 1;
}
