// SPDX-License-Identifier: GPL-2.0-only

//! Tunnel devices as `oxnic_offload` has them, and which wire port their packets pass.

use super::{ports, refusal::Refusal};
use crate::{device::Device, netdev::Kind, netdev::NetPort};
use core::net::IpAddr;
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::flow::tunnel::{tunnel_flags, TunnelPort};
use oxnic_kapi::net::{
    netdev::{data_of, Address, Device as NetDevice, DeviceRef},
    underlay::{self, Path, Query, TunnelDevice as Configured, TunnelKind as ConfiguredKind, Vlan}, //
};
use oxnic_offload::{
    packet::tunnel::TunnelKind,
    plan::{tunnels, Endpoint, TunnelDevice, TunnelId},
    rule::{Field, Key},
};

/// Most tags that packets of a tunnel can have.
pub(crate) const TAGS: usize = 2;
/// IP protocols.
const UDP: u8 = 17;
const GRE: u8 = 47;

/// A tunnel device.
#[derive(Clone)]
pub(crate) struct Tunnel {
    pub(crate) netdev: DeviceRef,
    pub(crate) device: TunnelDevice,
    pub(crate) configured: Configured,
}

impl Tunnel {
    /// Reads what a tunnel device is, for a place in a list.
    ///
    /// # Errors
    ///
    /// It is one that the engine does not know.
    pub(crate) fn read(netdev: &NetDevice, number: u32) -> Result<Self, Refusal> {
        let configured = Configured::read(netdev).map_err(|_| Refusal::Tunnel("this kind"))?;
        if configured.odd {
            return Err(Refusal::Tunnel("an extension that it has"));
        }
        let kind = match configured.kind {
            ConfiguredKind::Vxlan => TunnelKind::Vxlan {
                group_policy: configured.group_policy,
            },
            ConfiguredKind::Geneve => TunnelKind::Geneve,
            ConfiguredKind::Gretap | ConfiguredKind::Ip6Gretap => TunnelKind::Gretap,
        };
        let id = match configured.id {
            _ if configured.external => TunnelId::External,
            Some(id) => TunnelId::Fixed(id),
            None => TunnelId::Keyless,
        };
        let mut tunnel = Self {
            netdev: netdev.into(),
            device: TunnelDevice {
                number,
                kind,
                port: configured.port,
                id,
                local: configured.local.map(endpoint),
                remote: configured.remote.map(endpoint),
            },
            configured,
        };
        if id != TunnelId::External && tunnel.device.local.is_none() {
            tunnel.device.local = tunnel.local_towards_remote();
        }
        Ok(tunnel)
    }

    /// The host's address towards the peer of a device that has no address of its own.
    fn local_towards_remote(&self) -> Option<Endpoint> {
        let query = self.query(None, self.configured.remote?, 0);
        let path = Path::find(&self.netdev, &query).ok()?;
        path.from.map(endpoint)
    }

    /// What is asked of routes for its packets.
    pub(crate) fn query(&self, from: Option<IpAddr>, to: IpAddr, tos: u8) -> Query {
        Query {
            from,
            to,
            link: self.configured.link,
            protocol: match self.device.kind {
                TunnelKind::Gretap => GRE,
                _ => UDP,
            },
            tos,
            solicit: false,
        }
    }

    /// Addresses of the packets that a rule of it is about, as far as they are certain: the host's, and who sends them.
    pub(crate) fn ends_of(&self, key: &Key<'_>) -> (Option<IpAddr>, Option<IpAddr>) {
        let exactly = |v4, v6, other: Option<Endpoint>| {
            let whole = |field| key.mask(field).iter().all(|byte| *byte == 0xff);
            if whole(v4) {
                let value: [u8; 4] = key.value(v4).try_into().ok()?;
                return Some(value.into());
            }
            if whole(v6) {
                let value: [u8; 16] = key.value(v6).try_into().ok()?;
                return Some(value.into());
            }
            other.map(|end| match end {
                Endpoint::V4(address) => address.into(),
                Endpoint::V6(address) => address.into(),
            })
        };
        let TunnelDevice { local, remote, .. } = self.device;
        (
            exactly(Field::EncIpv4Dst, Field::EncIpv6Dst, local),
            exactly(Field::EncIpv4Src, Field::EncIpv6Src, remote),
        )
    }

    /// Whether its packets can have addresses of this family.
    pub(crate) fn has_family(&self, address: IpAddr) -> bool {
        match self.configured.kind {
            ConfiguredKind::Gretap => address.is_ipv4(),
            ConfiguredKind::Ip6Gretap => address.is_ipv6(),
            _ => self
                .configured
                .local
                .is_none_or(|local| local.is_ipv4() == address.is_ipv4()),
        }
    }

    /// The version of IP around its packets, where it is one only.
    pub(super) fn family(&self) -> Option<u8> {
        match (self.configured.kind, self.device.local) {
            (ConfiguredKind::Gretap, _) | (_, Some(Endpoint::V4(_))) => Some(4),
            (ConfiguredKind::Ip6Gretap, _) | (_, Some(Endpoint::V6(_))) => Some(6),
            (_, None) => None,
        }
    }

    /// What the device is told so that it opens such tunnels.
    pub(crate) fn port(&self) -> TunnelPort {
        let mut flags = tunnel_flags::ON;
        if self.configured.group_policy {
            flags |= tunnel_flags::GROUP_POLICY;
        }
        if self.configured.zero_checksum_v6 {
            flags |= tunnel_flags::ZERO_CHECKSUM_V6;
        }
        TunnelPort {
            kind: tunnels::number(self.device.kind),
            port: self.device.port.to_be_bytes(),
            flags,
        }
    }
}

fn endpoint(address: IpAddr) -> Endpoint {
    match address {
        IpAddr::V4(address) => Endpoint::V4(address.octets()),
        IpAddr::V6(address) => Endpoint::V6(address.octets()),
    }
}

/// A side of the eswitch that packets of tunnels pass: a wire port, maybe with tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Underlay {
    /// Number of the port.
    pub(crate) port: u16,
    /// Hardware address of the interface that has the packets.
    pub(crate) mac: Address,
    /// Tags, the outermost first.
    tags: [(u16, u16); TAGS],
    count: usize,
}

impl Underlay {
    /// Of an interface that is up.
    pub(crate) fn of(device: &Arc<Device>, netdev: &NetDevice) -> Option<Self> {
        netdev
            .is_running()
            .then(|| Self::below(device, netdev))
            .flatten()
    }

    /// Of an interface: a wire port's, or a VLAN device above one.
    pub(crate) fn below(device: &Arc<Device>, netdev: &NetDevice) -> Option<Self> {
        let mut underlay = Self {
            port: 0,
            mac: netdev.address(),
            tags: [(0, 0); TAGS],
            count: 0,
        };
        let mut at: DeviceRef = netdev.into();
        while let Some(vlan) = Vlan::of(&at) {
            if underlay.count == TAGS {
                return None;
            }
            // What is below is further out.
            underlay.tags.rotate_right(1);
            underlay.tags[0] = (vlan.tpid, vlan.tci);
            underlay.count += 1;
            at = vlan.below;
        }
        let port = data_of::<NetPort>(&at).filter(|port| matches!(port.kind, Kind::Own))?;
        underlay.port = ports::number(device, port)?.0 as u16;
        Some(underlay)
    }

    /// The one that has an address of the host. `None` where that is not on a wire port, or where the host does not have it.
    pub(crate) fn with_address(
        device: &Arc<Device>,
        tunnel: &NetDevice,
        address: IpAddr,
    ) -> Option<Self> {
        Self::of(device, &*underlay::address_owner(tunnel, address)?)
    }

    /// Tags, the outermost first.
    pub(crate) fn tags(&self) -> &[(u16, u16)] {
        self.tags.get(..self.count).unwrap_or(&[])
    }
}
