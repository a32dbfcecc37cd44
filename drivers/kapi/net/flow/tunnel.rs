// SPDX-License-Identifier: GPL-2.0-only

//! What `tunnel_key set` asks a tunnel to put around packets.

use super::key::{address as bytes, OptionsKind};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::slice;
use oxnic_bindings as bindings;

/// `struct ip_tunnel_info`, of an action.
///
/// # Invariants
///
/// It is valid, and so many bytes of options as it says follow it.
#[derive(Clone, Copy)]
pub struct Tunnel<'a>(&'a bindings::ip_tunnel_info);

impl<'a> Tunnel<'a> {
    /// # Safety
    ///
    /// `info` is as the type's invariants say.
    pub(super) unsafe fn new(info: &'a bindings::ip_tunnel_info) -> Self {
        // INVARIANT: By the contract.
        Self(info)
    }

    fn has(&self, bit: u32) -> bool {
        // SAFETY: By the invariants; the number is that of a flag.
        unsafe { bindings::oxnic_ip_tunnel_flag(self.0, bit) }
    }

    /// Outer addresses, source and destination. What is not said is zero.
    pub fn addresses(&self) -> (IpAddr, IpAddr) {
        // SAFETY: Both members of the union are plain numbers, and the larger one is initialised where it is in use.
        unsafe {
            if u32::from(self.0.mode) & bindings::IP_TUNNEL_INFO_IPV6 != 0 {
                let address = |raw| IpAddr::V6(Ipv6Addr::from(bytes(raw)));
                let pair = self.0.key.u.ipv6.as_ref();
                (address(&pair.src), address(&pair.dst))
            } else {
                let address = |raw: u32| IpAddr::V4(Ipv4Addr::from(raw.to_ne_bytes()));
                let pair = self.0.key.u.ipv4.as_ref();
                (address(pair.src), address(pair.dst))
            }
        }
    }

    /// Network identifier or key, where there is one.
    pub fn key_id(&self) -> Option<u32> {
        // SAFETY: No requirements.
        let id = unsafe { bindings::tunnel_id_to_key32(self.0.key.tun_id) };
        self.has(bindings::IP_TUNNEL_KEY_BIT).then_some(id)
    }

    /// UDP source port. Zero: the device's choice.
    pub fn src_port(&self) -> u16 {
        u16::from_be(self.0.key.tp_src)
    }

    /// UDP destination port. Zero: the device's.
    pub fn dst_port(&self) -> u16 {
        u16::from_be(self.0.key.tp_dst)
    }

    /// TOS or traffic class.
    pub fn tos(&self) -> u8 {
        self.0.key.tos
    }

    /// TTL or hop limit. Zero: the route's.
    pub fn ttl(&self) -> u8 {
        self.0.key.ttl
    }

    /// Flow label of IPv6.
    pub fn label(&self) -> u32 {
        u32::from_be(self.0.key.label)
    }

    /// Number of a next hop to be used, or zero.
    pub fn next_hop(&self) -> u32 {
        self.0.key.nhid
    }

    /// Whether the outer packet has a checksum.
    pub fn csum(&self) -> bool {
        self.has(bindings::IP_TUNNEL_CSUM_BIT)
    }

    /// Whether the outer packet may not be fragmented.
    pub fn dont_fragment(&self) -> bool {
        self.has(bindings::IP_TUNNEL_DONT_FRAGMENT_BIT)
    }

    /// Whether it is meant to be sent, and not through a bridge's tunnel.
    pub fn is_plain(&self) -> bool {
        u32::from(self.0.mode) & !bindings::IP_TUNNEL_INFO_IPV6 == bindings::IP_TUNNEL_INFO_TX
    }

    /// Options and their kind, where there are any.
    pub fn options(&self) -> Option<(OptionsKind, &'a [u8])> {
        if self.0.options_len == 0 {
            return None;
        }
        let kind = [
            bindings::IP_TUNNEL_GENEVE_OPT_BIT,
            bindings::IP_TUNNEL_VXLAN_OPT_BIT,
            bindings::IP_TUNNEL_ERSPAN_OPT_BIT,
            bindings::IP_TUNNEL_GTP_OPT_BIT,
            bindings::IP_TUNNEL_PFCP_OPT_BIT,
        ]
        .into_iter()
        .find(|bit| self.has(*bit))?;
        // SAFETY: By the invariants.
        let bytes = unsafe {
            slice::from_raw_parts(
                bindings::ip_tunnel_info_opts(self.0).cast::<u8>(),
                self.0.options_len.into(),
            )
        };
        Some((OptionsKind::from_raw(kind), bytes))
    }
}
