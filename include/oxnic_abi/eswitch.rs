// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The eswitch: its mode, and the vports by which a PF stands in for its VFs.
//!
//! A PF with capability ESWITCH has, beside its vports of wire ports, one vport for each VF that it can have: the VF's
//! representor. What no rule takes goes between a VF and its representor, and between a wire port and the PF's vport on it.

use crate::{open_enum, wire};

wire! {
    /// Capability [`crate::caps::CapabilityId::ESWITCH`], of a PF only.
    pub struct EswitchCaps: 2 {
        /// Bit n: mode n of [`EswitchMode`] can be set.
        0: modes: u32,
        /// Number of the vport that represents VF 0; that of VF n is n more.
        4: representor_first: u16,
        /// Representors, one for each VF that there can be.
        6: representors: u16,
    }
}

open_enum! {
    /// How the eswitch forwards.
    pub enum EswitchMode: u16 {
        /// By address and VLAN, see [`crate::vport`]. There are no representors.
        LEGACY = 0: "legacy",
        /// To the representors, and from them.
        SWITCHDEV = 1: "switchdev",
        /// As SWITCHDEV, but nothing passes between ports of the eswitch.
        SWITCHDEV_INACTIVE = 2: "switchdev_inactive",
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::ESWITCH_SET`].
    pub struct EswitchConfig: 5 {
        /// Mode from now on.
        0: mode: EswitchMode,
    }
}

wire! {
    /// Answer of [`crate::command::Opcode::ESWITCH_QUERY`].
    pub struct EswitchInfo: 2 {
        /// Mode in force.
        0: mode: EswitchMode,
    }
}
