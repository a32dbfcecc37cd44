// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -T`: what the device can stamp, by which clock, and how many packets it has stamped.

use crate::netdev::timestamp::TX_TYPES;
use crate::netdev::NetPort;
use kernel::prelude::*;
use oxnic_kapi::net::ethtool::timestamp::{Hardware, Operations, TsInfo, TsStats};
use oxnic_kapi::net::netdev::Device;

#[vtable]
impl Operations for NetPort {
    fn ts_info(&self, _netdev: &Device) -> TsInfo {
        let hardware = Hardware {
            phc: self.phc,
            tx_types: TX_TYPES,
            rx_filters: self.rx_filters(),
        };
        TsInfo {
            hardware: self.device.has_clock().then_some(hardware),
        }
    }

    fn ts_stats(&self, _netdev: &Device) -> TsStats {
        let mut total = TsStats::default();
        for pair in &self.pair_stats {
            total.pkts += pair.stamps.taken.get();
            total.lost += pair.stamps.lost.get();
            total.err += pair.stamps.stray.get();
        }
        total
    }
}
