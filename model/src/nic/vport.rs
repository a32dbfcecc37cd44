// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A vport: what a function receives and how, and what the PF laid on it if the function is a VF.
//!
//! The device owns all vports; the settings of a VF belong to its number and outlive its resets.

use super::frame::{CTAG, Tag};
use super::ids::{FunctionId, VportId};
use super::limits;
use super::rss::Context;
use super::steering::Rules;
use oxnic_abi::caps::privilege;
use oxnic_abi::clock::StampFilter;
use oxnic_abi::stats::VportStats;
use oxnic_abi::vf::VfLink;
use oxnic_abi::vport::vport_flags;
use std::collections::BTreeSet;

/// A set of VLANs.
pub type VlanSet = [u64; 64];

/// Where a vport's statistics go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsDma {
    /// Bus address.
    pub address: u64,
    /// Period in nanoseconds.
    pub period: u64,
    /// Sequence number of the last update.
    pub sequence: u64,
}

/// A vport.
pub struct Vport {
    /// Which.
    pub id: VportId,
    /// Whose it is.
    pub function: FunctionId,
    /// Its number within the function.
    pub number: u16,
    /// The VF that it stands for.
    pub represents: Option<u16>,
    /// Number in the eswitch; of a representor, that of the PF's vport on the same wire port.
    pub eswitch_port: u16,
    /// Wire port that it is on.
    pub port: u8,
    /// Address that the device made or the PF gave.
    pub permanent_mac: [u8; 6],
    /// Address in use.
    pub mac: [u8; 6],
    /// See [`vport_flags`].
    pub flags: u32,
    /// Longest frame.
    pub frame_max: u16,
    /// Which received frames are stamped.
    pub stamps: StampFilter,
    /// Further addresses.
    pub mac_list: BTreeSet<[u8; 6]>,
    /// VLANs that are received, with the filter on.
    pub vlans: Box<VlanSet>,
    /// Hashing contexts.
    pub contexts: [Option<Box<Context>>; limits::RSS_CONTEXTS as usize],
    /// Steering rules.
    pub rules: Rules,
    /// Its receive queues.
    pub rx_queues: BTreeSet<u16>,
    /// Counters.
    pub stats: VportStats,
    /// Statistics by DMA, to its function.
    pub stats_dma: Option<StatsDma>,
    /// Statistics by DMA to the PF, of a VF.
    pub watch: Option<StatsDma>,
    /// Link and speed as last told by an event.
    pub link_told: (bool, u32),
}

impl Vport {
    /// A vport as after power-on.
    pub fn new(
        id: VportId,
        function: FunctionId,
        number: u16,
        eswitch_port: u16,
        port: u8,
        mac: [u8; 6],
    ) -> Self {
        Self {
            id,
            function,
            number,
            represents: None,
            eswitch_port,
            port,
            permanent_mac: mac,
            mac,
            flags: 0,
            frame_max: limits::FRAME_MAX,
            stamps: StampFilter::NONE,
            mac_list: BTreeSet::new(),
            vlans: Box::new([0; 64]),
            contexts: Default::default(),
            rules: Rules::default(),
            rx_queues: BTreeSet::new(),
            stats: VportStats::ZERO,
            stats_dma: None,
            watch: None,
            link_told: (false, 0),
        }
    }

    /// Forgets what the function set up; counters stay.
    pub fn reset(&mut self) {
        self.mac = self.permanent_mac;
        self.flags = 0;
        self.frame_max = limits::FRAME_MAX;
        self.stamps = StampFilter::NONE;
        self.mac_list.clear();
        *self.vlans = [0; 64];
        self.contexts = Default::default();
        self.rules.clear_all();
        self.rx_queues.clear();
        self.stats_dma = None;
        self.link_told = (false, 0);
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether an address is one of its own.
    pub fn owns(&self, address: &[u8; 6]) -> bool {
        self.mac == *address || self.mac_list.contains(address)
    }

    /// Whether it receives frames with this outermost tag. Only 802.1Q tags are filtered; tag 0 says a priority only.
    pub fn passes_vlan(&self, tag: Option<Tag>) -> bool {
        match tag {
            Some(tag) if self.has(vport_flags::VLAN_FILTER) && tag.tpid == CTAG => {
                let vid = usize::from(tag.vid());
                vid == 0 || (self.vlans[vid / 64] >> (vid % 64)) & 1 != 0
            }
            _ => true,
        }
    }

    /// The queue for a frame without any context: the vport's first.
    pub fn first_queue(&self) -> Option<u16> {
        self.rx_queues.first().copied()
    }
}

/// What the PF laid on a VF.
#[derive(Clone, Debug)]
pub struct VfSettings {
    /// VF_ENABLE named it.
    pub prepared: bool,
    /// Link as the VF sees it.
    pub link: VfLink,
    /// Source addresses are checked.
    pub spoof_check: bool,
    /// It may do more.
    pub trust: bool,
    /// The PF set the address.
    pub mac_fixed: bool,
    /// Transparent tag.
    pub tag: Option<Tag>,
    /// TPID as it was set, also while there is no tag.
    pub vlan_proto: u16,
    /// Vectors.
    pub vectors: u16,
    /// When its PF was last told that it may not do something.
    pub denied: Option<u64>,
}

impl Default for VfSettings {
    fn default() -> Self {
        Self {
            prepared: false,
            link: VfLink::AUTO,
            spoof_check: true,
            trust: false,
            mac_fixed: false,
            tag: None,
            vlan_proto: CTAG,
            vectors: limits::VF_VECTORS_DEFAULT,
            denied: None,
        }
    }
}

impl VfSettings {
    /// What the VF may do, see [`privilege`].
    pub fn privileges(&self) -> u64 {
        let granted = [
            (self.trust || !self.mac_fixed, privilege::MAC),
            (self.trust, privilege::PROMISCUOUS),
            (!self.spoof_check, privilege::SPOOF),
            (self.tag.is_none(), privilege::VLAN),
        ];
        granted
            .iter()
            .filter(|(granted, _)| *granted)
            .fold(0, |all, (_, bit)| all | bit)
    }
}

/// Every privilege: what a PF has.
pub const PF_PRIVILEGES: u64 = privilege::MAC
    | privilege::PROMISCUOUS
    | privilege::SPOOF
    | privilege::VLAN
    | privilege::PORT
    | privilege::VF
    | privilege::ESWITCH;
