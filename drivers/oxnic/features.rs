// SPDX-License-Identifier: GPL-2.0-only

//! Features of an interface: which the device's capabilities allow, what they mean for the vport, and which packets cannot
//! have them.

use oxnic_abi::caps::{features as caps, NicCaps};
use oxnic_abi::vport::vport_flags as vport;
use oxnic_kapi::net::features as net;
use oxnic_kapi::net::skb::SkBuff;

/// TPID of 802.1Q.
pub(crate) const CTAG: u16 = 0x8100;

/// Tags in memory behind which the device finds the headers of a packet that is to be segmented.
const TAGS_MAX: u32 = 2;

/// All that has the device cut packets.
const SEGMENTATION: u64 = net::TSO | net::TSO_ECN | net::TSO_MANGLEID | net::TSO6 | net::GSO_UDP_L4;

/// The vport's flags that follow features.
pub(crate) const VPORT_FLAGS: u32 = vport::VLAN_STRIP
    | vport::STAG_STRIP
    | vport::VLAN_FILTER
    | vport::RX_CSUM
    | vport::RX_HASH
    | vport::RX_ALL
    | vport::LOOPBACK;

/// Features on offer.
pub(crate) struct Offer {
    /// What the user can change.
    pub(crate) changeable: u64,
    /// What is on at first, fixed ones included.
    pub(crate) initial: u64,
    /// What VLAN devices inherit.
    pub(crate) vlan: u64,
}

/// What each capability allows.
const TABLE: [(u64, u64); 13] = [
    (caps::TX_CSUM, net::HW_CSUM),
    (caps::RX_CSUM, net::RXCSUM),
    (caps::TSO4, net::TSO | net::TSO_ECN | net::TSO_MANGLEID),
    (caps::TSO6, net::TSO6),
    (caps::USO, net::GSO_UDP_L4),
    (caps::TX_VLAN, net::HW_VLAN_CTAG_TX),
    (caps::TX_STAG, net::HW_VLAN_STAG_TX),
    (caps::RX_VLAN, net::HW_VLAN_CTAG_RX | net::HW_VLAN_STAG_RX),
    (caps::RX_VLAN_FILTER, net::HW_VLAN_CTAG_FILTER),
    (caps::RSS, net::RXHASH),
    (caps::RX_ALL, net::RXALL),
    (caps::LOOPBACK, net::LOOPBACK),
    (0, net::SG),
];

/// What a device with these capabilities can be offered with.
pub(crate) fn offered(nic: &NicCaps) -> Offer {
    let mut changeable = 0;
    for (capability, features) in TABLE {
        if nic.features & capability == capability {
            changeable |= features;
        }
    }
    if nic.features & caps::TX_CSUM == 0 {
        // Segments need checksums.
        changeable &= !SEGMENTATION;
    }
    let off_at_first = net::RXALL | net::LOOPBACK | net::TSO_MANGLEID;
    let inherited = net::SG | net::HW_CSUM | SEGMENTATION | net::HIGHDMA;
    Offer {
        changeable,
        initial: changeable & !off_at_first | net::HIGHDMA,
        vlan: (changeable | net::HIGHDMA) & inherited,
    }
}

/// Takes away what does not go with the rest: tags of both kinds are stripped, or none.
pub(crate) fn fix(features: u64) -> u64 {
    if features & net::HW_VLAN_CTAG_RX == 0 {
        features & !net::HW_VLAN_STAG_RX
    } else {
        features
    }
}

/// The vport's flags for a set of features.
pub(crate) fn vport_flags(features: u64) -> u32 {
    let table = [
        (net::HW_VLAN_CTAG_RX, vport::VLAN_STRIP),
        (net::HW_VLAN_STAG_RX, vport::STAG_STRIP),
        (net::HW_VLAN_CTAG_FILTER, vport::VLAN_FILTER),
        (net::RXCSUM, vport::RX_CSUM),
        (net::RXHASH, vport::RX_HASH),
        (net::RXALL, vport::RX_ALL),
        (net::LOOPBACK, vport::LOOPBACK),
    ];
    table.iter().fold(0, |flags, &(feature, flag)| {
        if features & feature != 0 {
            flags | flag
        } else {
            flags
        }
    })
}

/// The descriptors hold places in the packet as a byte that counts pairs of bytes: what is further in or odd is left to the
/// stack. So are segments of a packet whose IP header is not where the device looks for it.
#[inline]
pub(crate) fn check(skb: &SkBuff, features: u64) -> u64 {
    const FURTHEST: u32 = 2 * u8::MAX as u32;
    match skb.checksum() {
        Some((start, offset)) if start > FURTHEST || (start | u32::from(offset)) & 1 != 0 => {
            features & !(net::HW_CSUM | SEGMENTATION)
        }
        _ if skb.segmentation().is_some() && !skb.has_ip_behind_tags(TAGS_MAX) => {
            features & !SEGMENTATION
        }
        _ => features,
    }
}
