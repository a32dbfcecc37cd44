// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -S --all-groups`: statistics of the wire port for the PF. A VF has no wire of its own: what its end of the
//! eswitch counts stands for a MAC there.
//!
//! Counters of events that cannot happen on a full-duplex link are 0; those that the device does not count are not shown.

use crate::cmd;
use crate::netdev::NetPort;
use kernel::prelude::*;
use oxnic_abi::stats::{PortStats, VportStats};
use oxnic_kapi::net::ethtool::standard_stats::{
    ControlStats, MacStats, Operations, PhyStats, Ranges, RmonStats,
};
use oxnic_kapi::net::netdev::Locked;

/// Bytes of the frame check sequence, which the standards count.
const FCS: u64 = 4;

/// Lengths in [`PortStats::rx_lengths`].
static RANGES: Ranges = Ranges::new(&[
    (0, 64),
    (65, 127),
    (128, 255),
    (256, 511),
    (512, 1023),
    (1024, 1518),
    (1519, 2047),
    (2048, 4095),
    (4096, 8191),
    (8192, u16::MAX),
]);

fn of_port(stats: &PortStats) -> MacStats {
    MacStats {
        tx_frames: Some(stats.tx_frames),
        tx_octets: Some(stats.tx_octets),
        tx_multicast: Some(stats.tx_multicast),
        tx_broadcast: Some(stats.tx_broadcast),
        tx_lost: Some(stats.tx_dropped),
        rx_frames: Some(stats.rx_frames),
        rx_octets: Some(stats.rx_octets),
        rx_multicast: Some(stats.rx_multicast),
        rx_broadcast: Some(stats.rx_broadcast),
        too_long: Some(stats.rx_oversize),
        fcs_errors: Some(stats.rx_fcs_errors),
        alignment_errors: Some(stats.rx_alignment_errors),
        rx_lost: Some(stats.rx_internal_errors),
        ..MacStats::default()
    }
}

fn of_vport(stats: &VportStats) -> MacStats {
    let (sent, received) = (stats.tx_frames(), stats.rx_frames());
    let octets = |bytes: u64, frames: u64| bytes.saturating_add(frames.saturating_mul(FCS));
    MacStats {
        tx_frames: Some(sent),
        tx_octets: Some(octets(stats.tx_bytes, sent)),
        tx_multicast: Some(stats.tx_multicast),
        tx_broadcast: Some(stats.tx_broadcast),
        rx_frames: Some(received),
        rx_octets: Some(octets(stats.rx_bytes, received)),
        rx_multicast: Some(stats.rx_multicast),
        rx_broadcast: Some(stats.rx_broadcast),
        too_long: Some(stats.rx_too_long),
        ..MacStats::default()
    }
}

/// What needs a medium that several share.
fn without_collisions(stats: MacStats) -> MacStats {
    MacStats {
        single_collisions: Some(0),
        multiple_collisions: Some(0),
        deferred: Some(0),
        late_collisions: Some(0),
        excessive_collisions: Some(0),
        excessive_deferrals: Some(0),
        carrier_errors: Some(0),
        ..stats
    }
}

impl NetPort {
    fn port_stats(&self) -> Option<PortStats> {
        if !self.has_wire() {
            return None;
        }
        cmd::stats::port(&self.device, self.share.vport).ok()
    }
}

#[vtable]
impl Operations for NetPort {
    fn mac_stats(&self, _netdev: &Locked) -> Option<MacStats> {
        if !self.has_wire() {
            let stats = cmd::stats::vport(&self.device, self.share.vport).ok()?;
            return Some(without_collisions(of_vport(&stats)));
        }
        let stats = of_port(&self.port_stats()?);
        let half =
            cmd::port::query(&self.device, self.share.vport).is_ok_and(|port| port.duplex == 0);
        Some(if half {
            stats
        } else {
            without_collisions(stats)
        })
    }

    fn phy_stats(&self, _netdev: &Locked) -> Option<PhyStats> {
        let stats = self.port_stats()?;
        Some(PhyStats {
            symbol_errors: Some(stats.rx_symbol_errors),
        })
    }

    fn control_stats(&self, _netdev: &Locked) -> Option<ControlStats> {
        let stats = self.port_stats()?;
        Some(ControlStats {
            tx: Some(stats.tx_control),
            rx: Some(stats.rx_control),
            unsupported: None,
        })
    }

    fn rmon_stats(&self, _netdev: &Locked) -> Option<RmonStats> {
        let stats = self.port_stats()?;
        let mut rmon = RmonStats {
            undersize: Some(stats.rx_undersize),
            oversize: Some(stats.rx_oversize),
            ranges: &RANGES,
            rx: [0; 11],
            tx: [0; 11],
        };
        for (to, from) in rmon.rx.iter_mut().zip(stats.rx_lengths) {
            *to = from;
        }
        for (to, from) in rmon.tx.iter_mut().zip(stats.tx_lengths) {
            *to = from;
        }
        Some(rmon)
    }
}
