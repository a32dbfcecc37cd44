// SPDX-License-Identifier: GPL-2.0-only

//! How an interface comes into being.

use super::{Config, NetPort, DEFAULT_LOG2, HEADER};
use crate::cmd;
use crate::device::Device;
use crate::features;
use crate::queue::coalesce::Moderation;
use crate::queue::set::Share;
use crate::steering::Steering;
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_abi::caps::features as abi_features;
use oxnic_kapi::devlink;
use oxnic_kapi::net::features as net_features;
use oxnic_kapi::net::netdev::Unregistered;
use oxnic_kapi::net::xdp::features as xdp;

/// What an interface stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The function itself: a wire port of a PF, or a VF.
    Own,
    /// The VF of this number, seen from the eswitch.
    Representor(u16),
}

/// Rings of representors, which see what no rule takes, are this deep at first, log2.
const REPRESENTOR_LOG2: u8 = 8;

/// Makes and registers the interface of a vport.
///
/// # Errors
///
/// What the device refuses is logged.
pub(crate) fn create(
    device: &Arc<Device>,
    vport: u16,
    kind: Kind,
    port: Arc<devlink::Port>,
) -> Result<Arc<dyn crate::port::Port>> {
    let caps = device.caps();
    let info = cmd::vport::query(device, vport).inspect_err(|error| {
        dev_err!(device.binding(), "vport {}: {}\n", vport, error);
    })?;
    let share = share(device, vport, kind)?;
    let depth = match kind {
        Kind::Own => DEFAULT_LOG2,
        Kind::Representor(_) => REPRESENTOR_LOG2,
    };
    let config = Config {
        pairs: share.pairs.min(cpus()),
        tx_log2: depth.min(caps.tx_log2_max).min(caps.cq_log2_max),
        rx_log2: depth.min(caps.rx_log2_max).min(caps.cq_log2_max),
        tx: Moderation {
            microseconds: 50.min(caps.moderation_max),
            frames: 64,
        },
        rx: Moderation {
            microseconds: 20.min(caps.moderation_max),
            frames: 64,
        },
        adaptive_tx: false,
        adaptive_rx: true,
        xdp: false,
    };
    let mut netdev = Unregistered::<NetPort>::new(device.binding(), share.pairs, share.pairs)?;
    let steering = match kind {
        Kind::Own => Steering::new(device, share.first_queue),
        Kind::Representor(_) => Steering::none(),
    };
    let mut offer = features::offered(caps);
    if kind != Kind::Own {
        // All that the VF sends is for us, whatever its tags.
        let not_ours = net_features::HW_VLAN_CTAG_FILTER | net_features::LOOPBACK;
        offer.changeable &= !not_ours;
        offer.initial &= !not_ours;
    }
    if steering.capacity() > 0 {
        offer.changeable |= net_features::NTUPLE;
        offer.initial |= net_features::NTUPLE;
    }
    if device.eswitch.is_there() && caps.features & abi_features::FLOW != 0 {
        offer.changeable |= net_features::HW_TC;
        offer.initial |= net_features::HW_TC;
    }
    netdev
        .set_features(offer.changeable, offer.initial, offer.vlan)
        .set_limits(
            u32::from(caps.frame_max).saturating_sub(HEADER),
            caps.tso_max.min(u16::MAX.into()),
        )
        .set_address(&info.mac, &info.permanent_mac)
        .set_xdp_features(
            xdp::BASIC
                | xdp::REDIRECT
                | xdp::TRANSMIT
                | xdp::RECEIVE_FRAGMENTS
                | xdp::TRANSMIT_FRAGMENTS,
        )
        .set_flexible()
        .set_devlink_port(port)
        .set_affinity_auto()
        .set_queues(config.pairs, config.pairs)?;
    match kind {
        Kind::Own => {
            netdev.set_port(vport);
        }
        Kind::Representor(_) => {
            netdev.set_representor();
        }
    }
    if device.is_vf() || kind != Kind::Own {
        netdev.without_pause();
    }
    let data = NetPort::new(device, kind, share, config, steering, offer.initial)?;
    let registration = netdev.register(data)?;
    crate::interface::Interface::create(vport, registration)
}

fn cpus() -> u16 {
    u16::try_from(kernel::cpu::nr_cpu_ids()).unwrap_or(u16::MAX)
}

/// The part of the function's queues and vectors that a vport gets: a representor one pair; wire ports what representors leave,
/// but not less than one for each CPU as long as there is any.
fn share(device: &Device, vport: u16, kind: Kind) -> Result<Share> {
    let caps = device.caps();
    let ports = device.port_count();
    let queues = caps
        .tx_queues
        .min(caps.rx_queues)
        .min(caps.completion_queues / 2)
        .min(device.vectors().saturating_sub(1));
    let kept = queues.min(cpus().saturating_mul(ports));
    let wires = queues
        .saturating_sub(device.eswitch.representors())
        .max(kept)
        / ports;
    let (first, pairs) = match kind {
        Kind::Own => (vport * wires, wires),
        Kind::Representor(vf) => {
            let first = wires * ports + vf;
            (first, queues.saturating_sub(first).min(1))
        }
    };
    if pairs == 0 {
        dev_err!(
            device.binding(),
            "vport {}: no queue or vector is left for it\n",
            vport
        );
        return Err(ENOSPC);
    }
    Ok(Share {
        vport,
        first_queue: first,
        first_vector: 1 + first,
        pairs,
    })
}
