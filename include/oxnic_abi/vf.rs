// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Virtual functions as their PF sets them up.
//!
//! Settings belong to the VF's number and outlive a reset of the VF; VF_DISABLE returns them to the defaults: address made by
//! the device, no VLAN, no rates, spoof check on, no trust, link as the wire port's, default number of vectors.

use crate::{open_enum, wire};

wire! {
    /// Parameters of [`crate::command::Opcode::VF_ENABLE`] and VF_DISABLE.
    pub struct VfRange: 5 {
        /// First VF, from 0.
        0: first: u16,
        /// How many.
        2: count: u16,
    }
}

wire! {
    /// Buffer of [`crate::command::Opcode::VF_SET`].
    pub struct VfConfig: 6 {
        /// Which fields are meant, see [`vf_fields`].
        0: fields: u32,
        /// Link as the VF sees it.
        4: link: VfLink,
        /// 1: check the source address (and VLAN) of what the VF sends.
        5: spoof_check: u8,
        /// 1: the VF may be promiscuous and change its address.
        6: trust: u8,
        /// Wire port that the VF is bridged to.
        7: port: u8,
        /// Address in transmission order; zero: the VF may choose.
        8: mac: [u8; 6],
        /// VLAN that the VF is put into without seeing it, 1 to 4094; 0 for none.
        14: vlan: u16,
        /// Priority of that tag, 0 to 7.
        16: qos: u8,
        /// TPID of that tag: 0x8100 or 0x88a8.
        18: vlan_proto: u16,
        /// Vectors, 2 to [`crate::caps::NicCaps::vf_vectors_max`]. Only while no driver works the VF.
        20: vectors: u16,
        /// Least rate in Mbit/s that the VF is promised; 0 for none. The same as [`crate::rate::RateConfig::share`] of its leaf.
        24: rate_min: u32,
        /// Highest rate in Mbit/s that the VF may send at; 0: unlimited. The same as [`crate::rate::RateConfig::max`].
        28: rate_max: u32,
    }
}

wire! {
    /// Answer of [`crate::command::Opcode::VF_QUERY`].
    pub struct VfInfo: 6 {
        /// Number of its port in the eswitch.
        0: eswitch_port: u16,
        /// 1: a driver works the VF.
        2: active: u8,
        /// Link as it is set.
        4: link: VfLink,
        /// As in [`VfConfig`].
        5: spoof_check: u8,
        /// As in [`VfConfig`].
        6: trust: u8,
        /// As in [`VfConfig`].
        7: port: u8,
        /// Address in use.
        8: mac: [u8; 6],
        /// As in [`VfConfig`].
        14: vlan: u16,
        /// As in [`VfConfig`].
        16: qos: u8,
        /// As in [`VfConfig`].
        18: vlan_proto: u16,
        /// As in [`VfConfig`].
        20: vectors: u16,
        /// As in [`VfConfig`], rounded up.
        24: rate_min: u32,
        /// As in [`VfConfig`], rounded up.
        28: rate_max: u32,
        /// 1: the address was set by the PF.
        32: mac_fixed: u8,
    }
}

open_enum! {
    /// What a VF sees as its link.
    pub enum VfLink: u8 {
        /// That of the wire port.
        AUTO = 0: "auto",
        /// Always up: VFs reach each other without a carrier on the wire.
        ENABLE = 1: "enable",
        /// Always down; nothing is sent or received.
        DISABLE = 2: "disable",
    }
}

/// Bits of [`VfConfig::fields`].
pub mod vf_fields {
    /// `link`.
    pub const LINK: u32 = 1 << 0;
    /// `spoof_check`.
    pub const SPOOF_CHECK: u32 = 1 << 1;
    /// `trust`.
    pub const TRUST: u32 = 1 << 2;
    /// `mac`.
    pub const MAC: u32 = 1 << 3;
    /// `vlan`, `qos` and `vlan_proto`.
    pub const VLAN: u32 = 1 << 4;
    /// `vectors`.
    pub const VECTORS: u32 = 1 << 5;
    /// `rate_min` and `rate_max`.
    pub const RATE: u32 = 1 << 6;
    /// `port`.
    pub const PORT: u32 = 1 << 7;
    /// All of them.
    pub const ALL: u32 = 0xff;
}
