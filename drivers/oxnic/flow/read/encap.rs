// SPDX-License-Identifier: GPL-2.0-only

//! What `tunnel_key set` asks for.

use super::super::refusal::Refusal;
use core::net::IpAddr;
use oxnic_kapi::net::flow::{key::OptionsKind, Tunnel};
use oxnic_offload::packet::{tunnel::TunnelOptions, Address};
use oxnic_offload::rule::Encap;

/// Its name, as tc has it.
const NAME: &str = "tunnel_key set";

fn no(feature: &'static str) -> Refusal {
    Refusal::Feature {
        action: NAME,
        feature,
    }
}

/// Reads what is to be put around packets.
pub(super) fn read<'a>(tunnel: &Tunnel<'a>) -> Result<Encap<'a>, Refusal> {
    let address = match tunnel.addresses() {
        (IpAddr::V4(from), IpAddr::V4(to)) => Address::V4(from.octets(), to.octets()),
        (IpAddr::V6(from), IpAddr::V6(to)) => Address::V6(from.octets(), to.octets()),
        _ => return Err(no("addresses of two families")),
    };
    if !tunnel.is_plain() {
        return Err(no("a tunnel of a bridge"));
    }
    if tunnel.label() != 0 {
        return Err(no("a flow label"));
    }
    if tunnel.next_hop() != 0 {
        return Err(no("a next hop"));
    }
    if tunnel.src_port() != 0 {
        return Err(no("a source port"));
    }
    Ok(Encap {
        address,
        key_id: tunnel.key_id().ok_or(no("no id"))?,
        dst_port: tunnel.dst_port(),
        tos: tunnel.tos(),
        ttl: tunnel.ttl(),
        csum: tunnel.csum(),
        dont_fragment: tunnel.dont_fragment(),
        options: options(tunnel)?,
    })
}

fn options<'a>(tunnel: &Tunnel<'a>) -> Result<TunnelOptions<'a>, Refusal> {
    match tunnel.options() {
        None => Ok(TunnelOptions::None),
        Some((OptionsKind::Geneve, bytes)) => Ok(TunnelOptions::Geneve(bytes)),
        Some((OptionsKind::Vxlan, bytes)) => bytes
            .try_into()
            .map(|group| TunnelOptions::Group(u32::from_ne_bytes(group)))
            .map_err(|_| no("vxlan_opts of another length")),
        Some((OptionsKind::Other(_), _)) => Err(no("options of this kind")),
    }
}
