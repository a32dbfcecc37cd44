// SPDX-License-Identifier: GPL-2.0-only

//! Tunnel devices and VLAN devices: what others have to know of their configuration.

use super::from_raw;
use crate::net::netdev::{Device, DeviceRef};
use core::net::IpAddr;
use core::ptr::NonNull;
use kernel::{error::to_result, prelude::*};
use oxnic_bindings as bindings;

/// Kinds of tunnel devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelKind {
    /// VXLAN.
    Vxlan,
    /// Geneve.
    Geneve,
    /// Ethernet over GRE over IPv4.
    Gretap,
    /// Ethernet over GRE over IPv6.
    Ip6Gretap,
}

/// How a tunnel device is configured, as `ip -d link show` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelDevice {
    /// Its kind.
    pub kind: TunnelKind,
    /// It takes and leaves what is around packets from and to metadata (`external`).
    pub external: bool,
    /// Network identifier or key; none for GRE without a key. Means nothing where it is external.
    pub id: Option<u32>,
    /// UDP destination port; 0 for GRE.
    pub port: u16,
    /// Lowest and highest UDP source port of what it sends.
    pub source_ports: (u16, u16),
    /// Its own address, if it has a certain one.
    pub local: Option<IpAddr>,
    /// Its peer or group, if it has a certain one.
    pub remote: Option<IpAddr>,
    /// Number of the device that its packets leave by; 0: that of the route.
    pub link: u32,
    /// VXLAN: it has the group policy extension.
    pub group_policy: bool,
    /// UDP over IPv6 is taken without a checksum.
    pub zero_checksum_v6: bool,
    /// Something is set that makes its packets others than such tunnels usually have.
    pub odd: bool,
}

impl TunnelDevice {
    /// Whether a device is a tunnel device of a kind that is known here.
    pub fn is(device: &Device) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::oxnic_is_tunnel(device.as_raw()) }
    }

    /// Reads the configuration. Where it is being changed at the same time it may be read half changed: a change makes a notice, see
    /// [`Watcher::device_changed`](super::Watcher::device_changed). Sleeps.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: it is no tunnel device of a kind that is known here; `ENOMEM`; what the device itself says.
    pub fn read(device: &Device) -> Result<Self> {
        let mut raw = bindings::oxnic_tunnel::default();
        // SAFETY: The device is valid, and what is written to is ours.
        to_result(unsafe { bindings::oxnic_tunnel(device.as_raw(), &mut raw) })?;
        Ok(Self {
            kind: match u32::from(raw.kind) {
                bindings::oxnic_tunnel_kind_OXNIC_TUNNEL_VXLAN => TunnelKind::Vxlan,
                bindings::oxnic_tunnel_kind_OXNIC_TUNNEL_GENEVE => TunnelKind::Geneve,
                bindings::oxnic_tunnel_kind_OXNIC_TUNNEL_GRETAP => TunnelKind::Gretap,
                _ => TunnelKind::Ip6Gretap,
            },
            external: raw.external,
            id: raw.has_key.then_some(raw.id),
            port: raw.port,
            source_ports: (raw.port_min, raw.port_max),
            local: from_raw(&raw.local),
            remote: from_raw(&raw.remote),
            link: raw.link as u32,
            group_policy: raw.group_policy,
            zero_checksum_v6: raw.zero_checksum6,
            odd: raw.odd,
        })
    }

    /// Whether a device is in the namespace where the packets of a tunnel device are.
    pub fn is_above(tunnel: &Device, device: &Device) -> bool {
        // SAFETY: Both are valid.
        unsafe { bindings::oxnic_same_underlay(tunnel.as_raw(), device.as_raw()) }
    }
}

/// What a VLAN device puts on packets.
pub struct Vlan {
    /// The device below it.
    pub below: DeviceRef,
    /// Type of the tag.
    pub tpid: u16,
    /// Id and priority.
    pub tci: u16,
    /// Packets that have another priority than 0 can get another tag (`egress-qos-map`).
    pub maps: bool,
    /// What it receives is without its tag (`reorder_hdr`), as is usual.
    pub reorders: bool,
}

impl Vlan {
    /// Of a VLAN device.
    pub fn of(device: &Device) -> Option<Self> {
        let mut raw = bindings::oxnic_vlan::default();
        // SAFETY: The device is valid, and what is written to is ours.
        if !unsafe { bindings::oxnic_vlan(device.as_raw(), &mut raw) } {
            return None;
        }
        let below = NonNull::new(raw.below)?;
        // SAFETY: A VLAN device has a reference to the one below until it is freed.
        let below = unsafe { Device::from_raw(below.as_ptr()) };
        Some(Self {
            below: below.into(),
            tpid: raw.tpid,
            tci: raw.tci,
            maps: raw.maps,
            reorders: raw.reorders,
        })
    }
}
