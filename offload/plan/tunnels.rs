// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Tunnel devices (vxlan, geneve, gretap): what a rule on one matches beside what it says, and what is sent into one.
//!
//! A rule on a tunnel device is about frames that this device has received. Nothing of that is in the rule, so the plan adds it: the
//! kind of tunnel, the UDP port, the identifier, the host's address and, where the kernel looks for it, the peer's.
//!
//! - A frame for another host must not be opened. So the host's address must be known: from the device's `local`, or from an exact
//!   `enc_dst_ip`, of which the driver makes sure that it is an address of the host.
//! - A device of its own identifier (not `external`) leaves no note of the outer headers, and `enc_` keys match nothing there.
//! - geneve and gretap devices with a peer take frames of that peer only (`geneve_lookup`, `ip_tunnel_lookup`); vxlan takes those
//!   of all (`vxlan_vs_find_vni`).
//! - A gretap device without a key takes packets without a key. The interface has no field that says whether there is one, and a
//!   key of zero looks the same: refused, as is a device with the key zero, which takes none without (`ip_tunnel_key_match`).
//! - A gretap device drops packets with a checksum, as those that want one (`icsum`) are not taken over (`ip_tunnel_rcv`). A geneve
//!   device of its own identifier drops packets with critical options (`geneve_rx`).
//! - The kernel joins the outer congestion mark into the inner header before tc sees it (`IP_ECN_decapsulate`), the device when
//!   it opens the frame, which is after. So the lower two bits of `ip_tos` cannot be matched.

use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::encap::encap_flags;
use oxnic_abi::flow::tunnel::TunnelKind as Kind;

use super::conditions::Reach;
use super::headers::joins_marks;
use crate::packet::tunnel::{flag, TunnelKind, TunnelOptions};
use crate::packet::{geneve, vxlan, Address};
use crate::reject::{Lack, Obstacle, Reject};
use crate::rule::{Encap, Field, Key, OptionsMatch};

/// A TOS by which gretap takes over that of the packet.
const INHERIT: u8 = 1;

/// An address of one end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
}

/// Whose frames a tunnel device takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunnelId {
    /// All that come to its port: `external`.
    External,
    /// Those of one identifier or key.
    Fixed(u32),
    /// gretap only: those without a key.
    Keyless,
}

/// A tunnel device, as the kernel's netdev is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelDevice {
    /// The driver's number for it.
    pub number: u32,
    /// Kind of tunnel.
    pub kind: TunnelKind,
    /// UDP port; zero for gretap.
    pub port: u16,
    /// Whose frames it takes.
    pub id: TunnelId,
    /// The host's address: `local`, or where the device has none (geneve never has) the one that the host has towards `remote`, if the
    /// driver knows it.
    pub local: Option<Endpoint>,
    /// `remote`.
    pub remote: Option<Endpoint>,
}

/// The device interface's number for a kind of tunnel.
pub const fn number(kind: TunnelKind) -> Kind {
    match kind {
        TunnelKind::Vxlan { .. } => Kind::VXLAN,
        TunnelKind::Geneve => Kind::GENEVE,
        TunnelKind::Gretap => Kind::GRETAP,
    }
}

/// The key of a rule of a tunnel device, with what makes it that device's. The kind of tunnel is not a field of keys. With
/// [`Reach::AtLeast`] it can be about any address of the host: what it takes goes up, and is opened by nobody else.
///
/// # Errors
///
/// [`Reject::Tunnel`], or [`Lack::Decap`] where the device does not open such tunnels.
pub fn complete<'r>(
    key: &Key<'r>,
    tunnel: &TunnelDevice,
    device: &FlowCaps,
    reach: Reach,
) -> Result<Key<'r>, Reject> {
    let mut key = *key;
    pin_id(&mut key, tunnel)?;
    check_options(&key.options, tunnel)?;
    match tunnel.kind {
        TunnelKind::Gretap => pin_clear(&mut key, flag::CSUM)?,
        _ => pin(&mut key, Field::EncDstPort, &tunnel.port.to_be_bytes())?,
    }
    if let Some(local) = tunnel.local {
        pin_address(&mut key, local, Field::EncIpv4Dst, Field::EncIpv6Dst)?;
    }
    let whole = |field| key.mask(field).iter().all(|byte| *byte == 0xff);
    let kinds = match (whole(Field::EncIpv4Dst), whole(Field::EncIpv6Dst)) {
        (true, _) => device.decap_v4,
        (_, true) => device.decap_v6,
        _ if reach == Reach::AtLeast => device.decap_v4 | device.decap_v6,
        _ => return Err(Reject::Tunnel(Obstacle::NoDestination)),
    };
    let kind = number(tunnel.kind);
    if kinds & (1 << kind.0) == 0 {
        return Err(Reject::Lacks(Lack::Decap {
            kind,
            v6: whole(Field::EncIpv6Dst),
        }));
    }
    if key.mask(Field::IpTos).iter().any(|mask| mask & 3 != 0) {
        return Err(Reject::Tunnel(Obstacle::CongestionMark));
    }
    Ok(key)
}

/// Whose frames a device takes.
fn pin_id(key: &mut Key<'_>, tunnel: &TunnelDevice) -> Result<(), Reject> {
    let id = match tunnel.id {
        TunnelId::External => return Ok(()),
        TunnelId::Fixed(id) if id != 0 || tunnel.kind != TunnelKind::Gretap => id,
        TunnelId::Fixed(_) | TunnelId::Keyless => return Err(Reject::Tunnel(Obstacle::Keyless)),
    };
    check_no_notes(key)?;
    pin(key, Field::EncKeyId, &id.to_be_bytes())?;
    if tunnel.kind == TunnelKind::Geneve {
        pin_clear(key, flag::CRIT)?;
    }
    match tunnel.remote {
        Some(remote) if !matches!(tunnel.kind, TunnelKind::Vxlan { .. }) => {
            pin_address(key, remote, Field::EncIpv4Src, Field::EncIpv6Src)
        }
        _ => Ok(()),
    }
}

/// Whether a key asks for a note of outer headers: by a field, or by options.
pub fn asked_note(key: &Key<'_>) -> Option<Field> {
    let field = key
        .fields()
        .find(|field| field.description().layer == crate::rule::field::Layer::Outer);
    field.or((key.options != OptionsMatch::Any).then_some(Field::EncKeyId))
}

fn check_no_notes(key: &Key<'_>) -> Result<(), Reject> {
    match asked_note(key) {
        Some(field) => Err(Reject::Tunnel(Obstacle::NotExternal { field })),
        None => Ok(()),
    }
}

fn check_options(options: &OptionsMatch<'_>, tunnel: &TunnelDevice) -> Result<(), Reject> {
    let has = match options {
        OptionsMatch::Any => true,
        OptionsMatch::Geneve { .. } => tunnel.kind == TunnelKind::Geneve,
        OptionsMatch::Group { .. } => tunnel.kind == TunnelKind::Vxlan { group_policy: true },
    };
    if has {
        Ok(())
    } else {
        Err(Reject::Tunnel(Obstacle::NoSuchOptions))
    }
}

/// Asks for a value, beside what the rule asks of the field already.
fn pin(key: &mut Key<'_>, field: Field, value: &[u8]) -> Result<(), Reject> {
    let differs = key
        .value(field)
        .iter()
        .zip(key.mask(field))
        .zip(value)
        .any(|((asked, mask), value)| value & mask != *asked);
    if differs {
        return Err(Reject::Tunnel(Obstacle::NeverHere { field }));
    }
    key.exact(field, value)
}

/// Asks for flags of the outer headers that are not set.
fn pin_clear(key: &mut Key<'_>, flags: u8) -> Result<(), Reject> {
    let field = Field::EncFlags;
    let first = |bytes: &[u8]| bytes.first().copied().unwrap_or(0);
    let (value, mask) = (first(key.value(field)), first(key.mask(field)));
    if value & flags != 0 {
        return Err(Reject::Tunnel(Obstacle::NeverHere { field }));
    }
    key.set(field, &[value], &[mask | flags])
}

fn pin_address(key: &mut Key<'_>, end: Endpoint, v4: Field, v6: Field) -> Result<(), Reject> {
    let (field, other, family) = match end {
        Endpoint::V4(_) => (v4, v6, crate::rule::field::family::V4),
        Endpoint::V6(_) => (v6, v4, crate::rule::field::family::V6),
    };
    if key.uses(other) {
        return Err(Reject::Tunnel(Obstacle::NeverHere { field: other }));
    }
    pin(key, Field::EncFamily, &[family])?;
    match end {
        Endpoint::V4(address) => pin(key, field, &address),
        Endpoint::V6(address) => pin(key, field, &address),
    }
}

/// Whether headers can be put around frames for a tunnel device.
///
/// # Errors
///
/// [`Reject::Tunnel`], or what the device lacks.
pub fn check_encap(
    encap: &Encap<'_>,
    tunnel: &TunnelDevice,
    device: &FlowCaps,
) -> Result<(), Reject> {
    let udp = tunnel.kind != TunnelKind::Gretap;
    if tunnel.id != TunnelId::External {
        return Err(Reject::Tunnel(Obstacle::EncapNotExternal));
    }
    if udp && encap.key_id > 0x00ff_ffff {
        return Err(Reject::Tunnel(Obstacle::EncapId));
    }
    let options = match (encap.options, tunnel.kind) {
        (TunnelOptions::None, _) => 0,
        (TunnelOptions::Geneve(options), TunnelKind::Geneve) => options.len(),
        (TunnelOptions::Group(_), TunnelKind::Vxlan { group_policy: true }) => 0,
        _ => return Err(Reject::Tunnel(Obstacle::EncapOptions)),
    };
    let kind = number(tunnel.kind);
    let (v6, kinds) = match encap.address {
        Address::None => return Err(Reject::Tunnel(Obstacle::EncapAddress)),
        Address::V4(..) => (false, device.encap_v4),
        Address::V6(..) => (true, device.encap_v6),
    };
    if kinds & (1 << kind.0) == 0 {
        return Err(Reject::Lacks(Lack::Encap { kind, v6 }));
    }
    let length = headers_length(tunnel.kind, v6, encap.csum) + options;
    if length > usize::from(device.encap_max) {
        return Err(Reject::Lacks(Lack::EncapLength {
            length,
            limit: device.encap_max,
        }));
    }
    // It takes over that of an untagged IP packet, and the route's for others (`ip_md_tunnel_xmit`, `ip6_tnl_xmit`).
    if encap.ttl == 0 && !udp {
        return Err(Reject::Tunnel(Obstacle::EncapTtl));
    }
    // Only over IPv4: ip6gretap takes it as it is (`__gre6_xmit`).
    if encap.tos == INHERIT && !udp && !v6 {
        return Err(Reject::Tunnel(Obstacle::EncapTos));
    }
    let marks = joins_marks(tunnel.kind, encap.address);
    for (asked, flag, name) in [
        (true, encap_flags::READY, "headers that come later"),
        (encap.csum, encap_flags::CHECKSUM, "a checksum"),
        (udp, encap_flags::SOURCE_PORT, "a source port by flow"),
        (marks, encap_flags::ECN, "congestion marks"),
    ] {
        if asked && device.encap_flags & flag == 0 {
            return Err(Reject::Lacks(Lack::EncapFlag { name }));
        }
    }
    Ok(())
}

/// Length of outer headers without options, in bytes, with two tags, which the route may ask for.
fn headers_length(kind: TunnelKind, v6: bool, checksum: bool) -> usize {
    let ip = if v6 { 40 } else { 20 };
    let tunnel = match kind {
        TunnelKind::Vxlan { .. } => 8 + vxlan::HEADER,
        TunnelKind::Geneve => 8 + geneve::HEADER,
        TunnelKind::Gretap => 8 + if checksum { 4 } else { 0 },
    };
    crate::packet::ethernet::HEADER + 2 * crate::packet::vlan::LENGTH + ip + tunnel
}
