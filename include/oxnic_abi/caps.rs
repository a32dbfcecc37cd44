// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Capabilities: what a function can do and how much of it.
//!
//! A capability is a structure with an id. New fields are only appended; a new meaning gets a new id. A driver ignores ids
//! and feature bits that it does not know. No limit is a constant of the driver.

use crate::ring::{RING_LOG2_MAX, RING_LOG2_MIN};
use crate::{open_enum, wire};

open_enum! {
    /// Capability ids.
    pub enum CapabilityId: u16 {
        /// [`NicCaps`], always there.
        NIC = 1: "nic",
        /// [`crate::eswitch::EswitchCaps`]: representors of VFs. PF only.
        ESWITCH = 2: "eswitch",
        /// [`crate::flow::capability::FlowCaps`]: the flow engine. PF only, and there with [`features::FLOW`].
        FLOW = 3: "flow",
        /// [`crate::firmware::FirmwareCaps`]: firmware can be updated. PF only.
        FIRMWARE = 4: "firmware",
        /// Reserved: RDMA.
        RDMA = 5: "rdma",
        /// [`SteeringCaps`]: receive steering by n-tuple.
        STEERING = 6: "steering",
        /// [`crate::clock::ClockCaps`]: the clock. There with [`features::TIMESTAMP`].
        CLOCK = 7: "clock",
        /// [`crate::rate::RateCaps`]: rates of VFs and of groups of them. PF only.
        RATE = 8: "rate",
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::CAP_GET`].
    pub struct CapGet: 5 {
        /// Which.
        0: id: CapabilityId,
    }
}

wire! {
    /// What the function offers as a network interface.
    pub struct NicCaps: 16 {
        /// See [`features`].
        0: features: u64,
        /// Transmit queues that the function may create.
        8: tx_queues: u16,
        /// Receive queues that the function may create.
        10: rx_queues: u16,
        /// Completion queues that the function may create.
        12: completion_queues: u16,
        /// Vports of the function: one a wire port for a PF, one for a VF. Representors are not counted.
        14: vports: u16,
        /// Deepest transmit ring, log2 of entries.
        16: tx_log2_max: u8,
        /// Deepest receive ring, log2 of entries.
        17: rx_log2_max: u8,
        /// Deepest completion ring, log2 of entries.
        18: cq_log2_max: u8,
        /// Versions of the transmit descriptor: bit n for version n. Version 0 is [`crate::ring::TxData`].
        19: tx_versions: u8,
        /// Versions of the receive descriptor and completion.
        20: rx_versions: u8,
        /// Data descriptors that one packet may have, TSO included.
        21: tx_fragments: u8,
        /// At least so many descriptors must lie between two with REPORT, or the ring must be less than so many from full;
        /// 0 and 1: no such rule.
        22: tx_report_spacing: u16,
        /// Largest frame without FCS and tags that may be sent or received, in bytes, Ethernet header included.
        24: frame_max: u16,
        /// Smallest frame that is accepted for sending; shorter ones are refused.
        26: frame_min: u16,
        /// Longest payload and headers before segmentation, in bytes.
        28: tso_max: u32,
        /// Shortest receive buffer in bytes.
        32: rx_buffer_min: u16,
        /// Longest receive buffer in bytes.
        34: rx_buffer_max: u16,
        /// Entries of the largest indirection table; any power of two up to it is allowed.
        36: rss_entries: u16,
        /// Bytes of hash key.
        38: rss_key: u16,
        /// Hashing contexts, the default one included.
        40: rss_contexts: u16,
        /// Hash types, see [`crate::rss::hash_types`].
        42: rss_types: u16,
        /// Further addresses that a vport can receive before it must be promiscuous.
        44: mac_list: u16,
        /// Longest interrupt moderation time in microseconds.
        46: moderation_max: u16,
        /// VFs that the function may enable; 0 for a VF.
        48: vfs: u16,
        /// MSI-X vectors to be shared out to VFs; 0 for a VF.
        50: vf_vectors_total: u16,
        /// MSI-X vectors that a VF gets where nobody says otherwise.
        52: vf_vectors_default: u16,
        /// MSI-X vectors that a VF can have.
        54: vf_vectors_max: u16,
        /// Shortest period of statistics by DMA in milliseconds.
        56: stats_period_min: u16,
        /// The function's privileges, see [`privilege`].
        64: privileges: u64,
    }
}

impl NicCaps {
    /// The first field that is beyond what the interface allows, if there is one: nobody can work with such a function.
    pub fn out_of_bounds(&self) -> Option<&'static str> {
        let rings = RING_LOG2_MIN..=RING_LOG2_MAX;
        let segments = self.features & (features::TSO4 | features::TSO6 | features::USO) != 0;
        [
            ("tx_log2_max", rings.contains(&self.tx_log2_max)),
            ("rx_log2_max", rings.contains(&self.rx_log2_max)),
            ("cq_log2_max", rings.contains(&self.cq_log2_max)),
            ("tx_fragments", self.tx_fragments >= 18),
            ("frame_max", self.frame_max >= 1514),
            ("frame_min", self.frame_min <= 60),
            (
                "tso_max",
                !segments || self.tso_max >= self.frame_max.into(),
            ),
        ]
        .into_iter()
        .find_map(|(field, is_within)| (!is_within).then_some(field))
    }
}

wire! {
    /// What the function offers for steering by n-tuple.
    pub struct SteeringCaps: 2 {
        /// Number of locations.
        0: rules: u32,
        /// See [`crate::steering::keys`]: fields that may be matched.
        4: keys: u16,
        /// Fields that may be matched with any mask.
        6: masks: u16,
    }
}

/// Bits of [`NicCaps::features`].
pub mod features {
    /// Checksum insertion at any even offset.
    pub const TX_CSUM: u64 = 1 << 0;
    /// Checksum verification.
    pub const RX_CSUM: u64 = 1 << 1;
    /// Raw sum on receive.
    pub const RX_CSUM_RAW: u64 = 1 << 2;
    /// TCP segmentation over IPv4.
    pub const TSO4: u64 = 1 << 3;
    /// TCP segmentation over IPv6.
    pub const TSO6: u64 = 1 << 4;
    /// UDP segmentation.
    pub const USO: u64 = 1 << 5;
    /// 802.1Q tag insertion.
    pub const TX_VLAN: u64 = 1 << 6;
    /// 802.1Q tag removal.
    pub const RX_VLAN: u64 = 1 << 7;
    /// 802.1Q filter on receive.
    pub const RX_VLAN_FILTER: u64 = 1 << 8;
    /// 802.1ad tag insertion and removal.
    pub const TX_STAG: u64 = 1 << 9;
    /// Receive hashing.
    pub const RSS: u64 = 1 << 10;
    /// Frames may span receive buffers.
    pub const RX_SCATTER: u64 = 1 << 11;
    /// Statistics by DMA.
    pub const STATS_DMA: u64 = 1 << 12;
    /// Frames with wrong lengths can be received on demand (`rx-all`). Those with a wrong checksum always are, and marked.
    pub const RX_ALL: u64 = 1 << 13;
    /// What the function sends to itself can be looped back (`loopback`).
    pub const LOOPBACK: u64 = 1 << 14;
    /// Reserved: doorbells in host memory.
    pub const SHADOW_DOORBELLS: u64 = 1 << 15;
    /// A clock, and time stamps of frames, see [`crate::clock`].
    pub const TIMESTAMP: u64 = 1 << 16;
    /// Symmetric hashing, both forms of [`crate::rss::hash_input`].
    pub const RSS_SYMMETRIC: u64 = 1 << 17;
    /// Single fields can be left out of the receive hash, see [`crate::rss::RssConfig::omit`].
    pub const RSS_FIELDS: u64 = 1 << 18;
    /// The flow engine, see [`crate::flow`]. PF only.
    pub const FLOW: u64 = 1 << 19;
    /// The memory of what is plugged into wire ports can be read, see [`crate::port::ModuleRead`]. PF only.
    pub const MODULE: u64 = 1 << 20;
    /// Sensors, see [`crate::sensor`]. PF only.
    pub const SENSORS: u64 = 1 << 21;
}

/// Bits of [`NicCaps::privileges`]. A PF has all of them; a VF has what its PF lets it.
pub mod privilege {
    /// Change the vport's address.
    pub const MAC: u64 = 1 << 0;
    /// Be promiscuous, also towards multicast.
    pub const PROMISCUOUS: u64 = 1 << 1;
    /// Send with any source address.
    pub const SPOOF: u64 = 1 << 2;
    /// Send and receive on any VLAN.
    pub const VLAN: u64 = 1 << 3;
    /// Configure the wire port.
    pub const PORT: u64 = 1 << 4;
    /// Configure VFs.
    pub const VF: u64 = 1 << 5;
    /// Configure the eswitch and send past it.
    pub const ESWITCH: u64 = 1 << 6;
}
