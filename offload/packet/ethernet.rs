// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Ethernet: header length, types, and the protocol that Linux derives from the type field.

use super::bytes;

/// Length of an Ethernet header without tags, in bytes.
pub const HEADER: usize = 14;
/// Length of the two addresses, in bytes: a VLAN tag is put behind them.
pub const ADDRESSES: usize = 12;

/// A hardware address.
pub type Mac = [u8; 6];

/// Protocol of LLC frames without a type (`ETH_P_802_2`), as tc names them.
pub const LLC: u16 = 0x0004;
/// Protocol of raw IPX in 802.3 frames (`ETH_P_802_3`).
pub const RAW_802_3: u16 = 0x0001;
/// Every protocol (`ETH_P_ALL`): what a tc filter says that takes all.
pub const ALL: u16 = 0x0003;

/// IPv4.
pub const IPV4: u16 = 0x0800;
/// ARP.
pub const ARP: u16 = 0x0806;
/// Reverse ARP.
pub const RARP: u16 = 0x8035;
/// An Ethernet frame, in a tunnel (`ETH_P_TEB`).
pub const BRIDGED: u16 = 0x6558;
/// IPv6.
pub const IPV6: u16 = 0x86dd;
/// A VLAN tag of 802.1Q.
pub const VLAN: u16 = 0x8100;
/// A service VLAN tag of 802.1ad.
pub const SERVICE_VLAN: u16 = 0x88a8;
/// PPPoE in session.
pub const PPPOE_SESSION: u16 = 0x8864;
/// MPLS unicast.
pub const MPLS: u16 = 0x8847;
/// MPLS multicast.
pub const MPLS_MULTICAST: u16 = 0x8848;
/// Parallel redundancy (IEC 62439-3).
pub const PRP: u16 = 0x88fb;
/// Seamless redundancy (IEC 62439-3).
pub const HSR: u16 = 0x892f;
/// BATMAN advanced.
pub const BATMAN: u16 = 0x4305;

/// Values of the type field below this are lengths.
pub const FIRST_TYPE: u16 = 0x0600;

/// What Linux takes as protocol for a type field, with the bytes behind it (`eth_type_trans`, `vlan_set_encap_proto`).
///
/// A length becomes [`LLC`], or [`RAW_802_3`] where two bytes `ff ff` follow: `protocol 802_2` in tc is such a frame, and its
/// length field can be matched by no key.
pub fn protocol(field: u16, behind: &[u8]) -> u16 {
    if field >= FIRST_TYPE {
        field
    } else if bytes::be16(behind, 0) == Some(0xffff) {
        RAW_802_3
    } else {
        LLC
    }
}
