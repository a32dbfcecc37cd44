// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Vports: a function's ends in the eswitch.
//!
//! A PF has one vport for each wire port, and its representors (see [`crate::eswitch`]); a VF has one. In legacy mode each
//! wire port, its PF vport and the VFs on it form a VEB (IEEE 802.1Q, Edge Virtual Bridging): a frame goes to the vports that
//! its destination address and VLAN name, to the wire where none does, and never back to where it came from.

use crate::clock::StampFilter;
use crate::{open_enum, wire};

wire! {
    /// Answer of [`crate::command::Opcode::VPORT_QUERY`].
    pub struct VportInfo: 8 {
        /// Address that the device or the PF gave, in transmission order.
        0: permanent_mac: [u8; 6],
        /// Number of the vport in the eswitch; what [`crate::ring::RxCompletion::source_port`] says of its frames.
        6: eswitch_port: u16,
        /// Address in use.
        8: mac: [u8; 6],
        /// Largest frame in use, see [`VportConfig::frame_max`].
        14: frame_max: u16,
        /// See [`vport_flags`], as in force.
        16: flags: u32,
        /// Speed of what is behind the vport in Mbit/s; 0 while the link is down.
        20: speed: u32,
        /// Wire port from 0.
        24: port: u8,
        /// 1: the link is up.
        25: link: u8,
        /// 1: the PF set the address, it cannot be changed by the function.
        26: mac_fixed: u8,
        /// Which received frames are stamped.
        27: stamps: StampFilter,
        /// VLAN that the PF laid on this function, which does not see it; 0 for none.
        28: transparent_vlan: u16,
        /// See [`crate::caps::privilege`].
        32: privileges: u64,
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::VPORT_SET`].
    pub struct VportConfig: 5 {
        /// Which fields are meant, see [`vport_fields`].
        0: fields: u32,
        /// See [`vport_flags`].
        4: flags: u32,
        /// Address in transmission order; not multicast, not zero.
        8: mac: [u8; 6],
        /// Largest frame to receive in bytes, without FCS and tags, Ethernet header included; 60 up to
        /// [`crate::caps::NicCaps::frame_max`]. Longer ones are dropped and counted.
        14: frame_max: u16,
        /// Which of `flags` are meant; the others stay as they are.
        16: flags_mask: u32,
        /// Which received frames are stamped, one of [`crate::clock::ClockCaps::filters`].
        20: stamps: StampFilter,
    }
}

/// Bits of [`VportConfig::fields`].
pub mod vport_fields {
    /// `flags`, as far as `flags_mask` says.
    pub const FLAGS: u32 = 1 << 0;
    /// `mac`.
    pub const MAC: u32 = 1 << 1;
    /// `frame_max`.
    pub const FRAME_MAX: u32 = 1 << 2;
    /// `stamps`.
    pub const STAMPS: u32 = 1 << 3;
    /// All of them.
    pub const ALL: u32 = FLAGS | MAC | FRAME_MAX | STAMPS;
}

/// Bits of [`VportConfig::flags`].
pub mod vport_flags {
    /// Frames are delivered to the vport's receive queues.
    pub const ENABLED: u32 = 1 << 0;
    /// Receive everything on the VEB, whatever its address. Needs the privilege.
    pub const PROMISCUOUS: u32 = 1 << 1;
    /// Receive all multicast.
    pub const ALL_MULTICAST: u32 = 1 << 2;
    /// Receive broadcast.
    pub const BROADCAST: u32 = 1 << 3;
    /// Take the 802.1Q tag out of received frames.
    pub const VLAN_STRIP: u32 = 1 << 4;
    /// Receive only VLANs of the set, and untagged frames.
    pub const VLAN_FILTER: u32 = 1 << 5;
    /// Verify checksums on receive.
    pub const RX_CSUM: u32 = 1 << 6;
    /// Fill in the receive hash.
    pub const RX_HASH: u32 = 1 << 7;
    /// Deliver frames with wrong lengths too.
    pub const RX_ALL: u32 = 1 << 8;
    /// What the vport sends comes back to it and goes nowhere else.
    pub const LOOPBACK: u32 = 1 << 9;
    /// Fill in the raw sum.
    pub const RX_CSUM_RAW: u32 = 1 << 10;
    /// Take the 802.1ad tag out of received frames.
    pub const STAG_STRIP: u32 = 1 << 11;
    /// All of them.
    pub const ALL: u32 = (1 << 12) - 1;
}

wire! {
    /// An entry of the list for [`crate::command::Opcode::MAC_LIST`].
    pub struct MacEntry: 1 {
        /// Unicast or multicast address in transmission order.
        0: mac: [u8; 6],
    }
}

wire! {
    /// An entry of the answer to [`crate::command::Opcode::ESWITCH_PORTS`]. The completion's first result word holds the
    /// number of entries, its second the size of an entry in bytes, which a later version may let grow.
    pub struct PortEntry: 2 {
        /// Number in the eswitch, never 0.
        0: eswitch_port: u16,
        /// What it is.
        2: kind: EswitchPortKind,
        /// Of its kind, from 0: wire port, PF, VF.
        4: index: u16,
        /// Wire port that it is bridged to in legacy mode.
        6: port: u16,
    }
}

open_enum! {
    /// Kinds of eswitch port.
    pub enum EswitchPortKind: u16 {
        /// A wire port.
        WIRE = 1: "wire port",
        /// A vport of the PF.
        PF = 2: "PF",
        /// A VF.
        VF = 3: "VF",
        /// Reserved: subfunction.
        SF = 4: "SF",
    }
}
