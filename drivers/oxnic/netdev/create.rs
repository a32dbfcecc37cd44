// SPDX-License-Identifier: GPL-2.0-only

//! How an interface comes into being.

use super::{Config, NetPort, DEFAULT_LOG2, HEADER};
use crate::cmd;
use crate::device::Device;
use crate::features;
use crate::queue::pair::Moderation;
use crate::queue::set::Share;
use crate::steering::Steering;
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_kapi::devlink;
use oxnic_kapi::net::features as net_features;
use oxnic_kapi::net::netdev::Unregistered;
use oxnic_kapi::net::xdp::features as xdp;

/// Makes and registers the interface of a vport.
///
/// # Errors
///
/// What the device refuses is logged.
pub(crate) fn create(
    device: &Arc<Device>,
    vport: u16,
    port: Arc<devlink::Port>,
) -> Result<Arc<dyn crate::port::Port>> {
    let caps = device.caps();
    let info = cmd::vport::query(device, vport).inspect_err(|error| {
        dev_err!(device.binding(), "vport {}: {}\n", vport, error);
    })?;
    let share = share(device, vport)?;
    let cpus = u16::try_from(kernel::cpu::nr_cpu_ids()).unwrap_or(u16::MAX);
    let config = Config {
        pairs: share.pairs.min(cpus),
        tx_log2: DEFAULT_LOG2.min(caps.tx_log2_max).min(caps.cq_log2_max),
        rx_log2: DEFAULT_LOG2.min(caps.rx_log2_max).min(caps.cq_log2_max),
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
    let steering = Steering::new(device, share.first_queue);
    let mut offer = features::offered(caps);
    if steering.capacity() > 0 {
        offer.changeable |= net_features::NTUPLE;
        offer.initial |= net_features::NTUPLE;
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
        .set_port(vport)
        .set_devlink_port(port)
        .set_affinity_auto()
        .set_queues(config.pairs, config.pairs)?;
    if device.is_vf() {
        netdev.without_pause();
    }
    let data = NetPort::new(device, share, config, steering, offer.initial)?;
    let registration = netdev.register(data)?;
    crate::interface::Interface::create(vport, registration)
}

/// The part of the function's queues and vectors that a vport gets.
fn share(device: &Device, vport: u16) -> Result<Share> {
    let caps = device.caps();
    let ports = device.port_count();
    let queues = caps
        .tx_queues
        .min(caps.rx_queues)
        .min(caps.completion_queues / 2);
    let pairs = queues.min(device.vectors().saturating_sub(1)) / ports;
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
        first_queue: vport * pairs,
        first_vector: 1 + vport * pairs,
        pairs,
    })
}
