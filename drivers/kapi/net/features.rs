// SPDX-License-Identifier: GPL-2.0-only

//! Bits of a network device's feature sets (`netdev_features_t`).

use oxnic_bindings as bindings;

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $bit:ident;)*) => {
        $($(#[$doc])* pub const $name: u64 = 1 << bindings::$bit;)*
    };
}

features! {
    /// Scatter-gather on transmit.
    SG = NETIF_F_SG_BIT;
    /// Checksum at any offset on transmit.
    HW_CSUM = NETIF_F_HW_CSUM_BIT;
    /// Checksum verification on receive.
    RXCSUM = NETIF_F_RXCSUM_BIT;
    /// TCP segmentation over IPv4.
    TSO = NETIF_F_TSO_BIT;
    /// TCP segmentation over IPv4 with ECN.
    TSO_ECN = NETIF_F_TSO_ECN_BIT;
    /// TCP segmentation that may keep the IPv4 identification.
    TSO_MANGLEID = NETIF_F_TSO_MANGLEID_BIT;
    /// TCP segmentation over IPv6.
    TSO6 = NETIF_F_TSO6_BIT;
    /// UDP segmentation.
    GSO_UDP_L4 = NETIF_F_GSO_UDP_L4_BIT;
    /// DMA from any memory.
    HIGHDMA = NETIF_F_HIGHDMA_BIT;
    /// 802.1Q tag insertion.
    HW_VLAN_CTAG_TX = NETIF_F_HW_VLAN_CTAG_TX_BIT;
    /// 802.1Q tag removal.
    HW_VLAN_CTAG_RX = NETIF_F_HW_VLAN_CTAG_RX_BIT;
    /// 802.1Q filter.
    HW_VLAN_CTAG_FILTER = NETIF_F_HW_VLAN_CTAG_FILTER_BIT;
    /// 802.1ad tag insertion.
    HW_VLAN_STAG_TX = NETIF_F_HW_VLAN_STAG_TX_BIT;
    /// 802.1ad tag removal.
    HW_VLAN_STAG_RX = NETIF_F_HW_VLAN_STAG_RX_BIT;
    /// Receive hash.
    RXHASH = NETIF_F_RXHASH_BIT;
    /// Receive steering by n-tuple.
    NTUPLE = NETIF_F_NTUPLE_BIT;
    /// Rules of tc in the device.
    HW_TC = NETIF_F_HW_TC_BIT;
    /// What is sent comes back.
    LOOPBACK = NETIF_F_LOOPBACK_BIT;
    /// Faulty frames are received too.
    RXALL = NETIF_F_RXALL_BIT;
}
