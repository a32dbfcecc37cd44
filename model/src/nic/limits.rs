// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What this implementation offers and how much of it: the numbers that it publishes, each in one place.
//!
//! Constants only; nobody owns anything here. Drivers learn all of this from registers and capabilities.

use super::clock::RATE_MAX;
use oxnic_abi::caps::{CapabilityId, NicCaps, SteeringCaps, features};
use oxnic_abi::clock::{ClockCaps, StampFilter};
use oxnic_abi::eswitch::{EswitchCaps, EswitchMode};
use oxnic_abi::{ring, rss, steering};

/// Deepest admin ring, log2 of entries.
pub const ADMIN_LOG2_MAX: u8 = 10;
/// Deepest event ring, log2 of entries.
pub const EVENT_LOG2_MAX: u8 = 10;
/// Fewest entries of an admin or event ring, log2.
pub const CONTROL_LOG2_MIN: u8 = oxnic_abi::command::ADMIN_LOG2_MIN;
/// Longest time of a reset, in milliseconds.
pub const RESET_TIMEOUT: u32 = 1000;
/// Longest time of a command, in milliseconds.
pub const COMMAND_TIMEOUT: u32 = 5000;
/// Model number of the reference device.
pub const MODEL: u32 = 1;

/// Transmit queues, and as many receive queues, of the PF over its vports of wire ports; each representor adds one of either.
pub const PF_QUEUES: u16 = 64;
/// Transmit queues, and as many receive queues, of a VF.
pub const VF_QUEUES: u16 = 16;
/// Vectors of the PF without VFs: one for admin and events, one a queue; each representor adds one.
pub const PF_VECTORS: u16 = 2 * PF_QUEUES + 1;
/// Vectors of a VF where nobody says otherwise.
pub const VF_VECTORS_DEFAULT: u16 = 9;
/// Most vectors of a VF.
pub const VF_VECTORS_MAX: u16 = 65;
/// Fewest vectors of a VF.
pub const VF_VECTORS_MIN: u16 = 2;
/// Vectors in the VFs' pool beyond what the defaults need.
pub const VF_VECTORS_SPARE: u16 = 512;

/// Deepest transmit ring, log2 of entries.
pub const TX_LOG2_MAX: u8 = 13;
/// Deepest receive ring, log2 of entries.
pub const RX_LOG2_MAX: u8 = 13;
/// Deepest completion ring, log2 of entries: room for several deep rings.
pub const CQ_LOG2_MAX: u8 = ring::RING_LOG2_MAX;
/// Data descriptors that a packet may have.
pub const TX_FRAGMENTS: u8 = 48;
/// Longest frame without FCS and tags: an MTU of 9600.
pub const FRAME_MAX: u16 = 9614;
/// Shortest frame that can be sent.
pub const FRAME_MIN: u16 = 14;
/// Least value of a vport's longest frame.
pub const VPORT_FRAME_MIN: u16 = 60;
/// Longest packet before segmentation, headers included.
pub const TSO_MAX: u32 = 262_144;
/// Largest payload of a segment.
pub const MSS_MAX: u16 = 16_384;
/// Longest headers of a packet to be segmented.
pub const HEADERS_MAX: usize = 512;
/// Shortest receive buffer.
pub const RX_BUFFER_MIN: u16 = 256;
/// Longest receive buffer.
pub const RX_BUFFER_MAX: u16 = 16_384;
/// Hashing contexts of a vport.
pub const RSS_CONTEXTS: u16 = 8;
/// Further addresses of a vport.
pub const MAC_LIST: u16 = 128;
/// Longest moderation time in microseconds.
pub const MODERATION_MAX: u16 = 10_000;
/// Shortest period of statistics by DMA, in milliseconds.
pub const STATS_PERIOD_MIN: u16 = 10;
/// Locations of steering rules of a PF vport.
pub const PF_RULES: u32 = 1024;
/// Locations of steering rules of a VF.
pub const VF_RULES: u32 = 128;
/// Bytes that two tags add to a frame.
pub const TAGS: usize = 8;
/// The longest frame with its tags.
pub const FRAME_LONGEST: usize = FRAME_MAX as usize + TAGS;

/// Every feature that functions have.
pub const FEATURES: u64 = features::TX_CSUM
    | features::RX_CSUM
    | features::RX_CSUM_RAW
    | features::TSO4
    | features::TSO6
    | features::USO
    | features::TX_VLAN
    | features::RX_VLAN
    | features::RX_VLAN_FILTER
    | features::TX_STAG
    | features::RSS
    | features::RX_SCATTER
    | features::STATS_DMA
    | features::RX_ALL
    | features::LOOPBACK
    | features::TIMESTAMP
    | features::RSS_SYMMETRIC
    | features::RSS_FIELDS;

/// The capabilities that functions have, some of them a PF only.
pub const CAPABILITIES: [CapabilityId; 7] = [
    CapabilityId::NIC,
    CapabilityId::ESWITCH,
    CapabilityId::FLOW,
    CapabilityId::FIRMWARE,
    CapabilityId::STEERING,
    CapabilityId::CLOCK,
    CapabilityId::RATE,
];
/// The capabilities that only a PF has.
pub const PF_CAPABILITIES: [CapabilityId; 4] = [
    CapabilityId::ESWITCH,
    CapabilityId::FLOW,
    CapabilityId::FIRMWARE,
    CapabilityId::RATE,
];
/// Receive filters that can be set, see [`ClockCaps::filters`].
pub const STAMP_FILTERS: u8 =
    (1 << StampFilter::NONE.0) | (1 << StampFilter::EVERY.0) | (1 << StampFilter::PTP.0);

/// How many there are of what differs between PF and VF.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// Transmit queues, and as many receive queues.
    pub queues: u16,
    /// Vports.
    pub vports: u16,
    /// VFs below it.
    pub vfs: u16,
    /// Locations of steering rules.
    pub rules: u32,
    /// Flow queues.
    pub flow_queues: u16,
}

impl Shares {
    /// Of the PF.
    pub fn pf(ports: u8, vfs: u16) -> Self {
        Self {
            queues: PF_QUEUES + vfs,
            vports: u16::from(ports),
            vfs,
            rules: PF_RULES,
            flow_queues: super::flow::limits::capability().queues,
        }
    }

    /// Of a VF.
    pub fn vf() -> Self {
        Self {
            queues: VF_QUEUES,
            vports: 1,
            vfs: 0,
            rules: VF_RULES,
            flow_queues: 0,
        }
    }

    /// Features.
    fn features(&self) -> u64 {
        match self.flow_queues {
            0 => FEATURES,
            _ => FEATURES | features::FLOW | features::MODULE | features::SENSORS,
        }
    }

    /// Completion queues: one for each queue.
    pub fn completion_queues(&self) -> u16 {
        2 * self.queues + self.flow_queues
    }

    /// Vectors in the pool for VFs.
    pub fn vector_pool(&self) -> u16 {
        match self.vfs {
            0 => 0,
            vfs => vfs * VF_VECTORS_DEFAULT + VF_VECTORS_SPARE,
        }
    }

    /// The capability that publishes all this.
    pub fn nic_caps(&self, privileges: u64) -> NicCaps {
        let for_vfs = |value| if self.vfs == 0 { 0 } else { value };
        NicCaps {
            features: self.features(),
            tx_queues: self.queues,
            rx_queues: self.queues,
            completion_queues: self.completion_queues(),
            vports: self.vports,
            tx_log2_max: TX_LOG2_MAX,
            rx_log2_max: RX_LOG2_MAX,
            cq_log2_max: CQ_LOG2_MAX,
            tx_versions: 1,
            rx_versions: 1,
            tx_fragments: TX_FRAGMENTS,
            tx_report_spacing: 0,
            frame_max: FRAME_MAX,
            frame_min: FRAME_MIN,
            tso_max: TSO_MAX,
            rx_buffer_min: RX_BUFFER_MIN,
            rx_buffer_max: RX_BUFFER_MAX,
            rss_entries: rss::TABLE_MAX as u16,
            rss_key: rss::KEY_MAX as u16,
            rss_contexts: RSS_CONTEXTS,
            rss_types: rss::hash_types::ALL,
            mac_list: MAC_LIST,
            moderation_max: MODERATION_MAX,
            vfs: self.vfs,
            vf_vectors_total: self.vector_pool(),
            vf_vectors_default: for_vfs(VF_VECTORS_DEFAULT),
            vf_vectors_max: for_vfs(VF_VECTORS_MAX),
            stats_period_min: STATS_PERIOD_MIN,
            privileges,
        }
    }

    /// The steering capability.
    pub fn steering_caps(&self) -> SteeringCaps {
        SteeringCaps {
            rules: self.rules,
            keys: steering::keys::ALL,
            masks: steering::keys::ALL & !(steering::keys::ETHER_TYPE | steering::keys::PROTOCOL),
        }
    }
}

/// Vectors of a PF that can have so many VFs.
pub fn pf_vectors(vfs: u16) -> u16 {
    PF_VECTORS + vfs
}

/// The eswitch's capability.
pub fn eswitch_caps(ports: u8, vfs: u16) -> EswitchCaps {
    EswitchCaps {
        modes: EswitchMode::ALL
            .iter()
            .fold(0, |modes, mode| modes | (1 << mode.0)),
        representor_first: ports.into(),
        representors: vfs,
    }
}

/// The clock's capability, the same for all functions.
pub fn clock_caps() -> ClockCaps {
    ClockCaps {
        rate_max: RATE_MAX,
        resolution: 1,
        filters: STAMP_FILTERS,
    }
}
