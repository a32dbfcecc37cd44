// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -S`: what the device counts for the vport, under the names that the device interface gives it, and what this
//! side counts for each queue beyond what the core shows of it.

use crate::cmd;
use crate::netdev::NetPort;
use crate::queue::stats::PairStats;
use kernel::prelude::*;
use oxnic_abi::stats::VportStats;
use oxnic_kapi::net::ethtool::stats::{Operations, Sink};
use oxnic_kapi::net::netdev::Locked;

/// Tells fields of a structure by their names.
macro_rules! tell {
    ($sink:expr, $stats:expr; $($field:ident,)*) => {
        $($sink.add(fmt!("{}", stringify!($field)), $stats.$field);)*
    };
}

fn tell_vport(stats: &VportStats, sink: &mut Sink<'_>) {
    tell!(sink, stats;
        rx_unicast, rx_multicast, rx_broadcast, rx_bytes,
        tx_unicast, tx_multicast, tx_broadcast, tx_bytes,
        rx_no_buffer, rx_too_long, rx_disabled, rx_vlan, rx_dma, rx_steering, rx_csum_bad, rx_filtered,
        tx_spoofed, tx_vlan, tx_rate, tx_bad, tx_disabled, tx_too_long, tx_inactive,
        tx_segmented, tx_csum, tx_segmented_bytes,
    );
}

fn tell_pair(index: usize, pair: &PairStats, sink: &mut Sink<'_>) {
    let (rx, tx) = (&pair.rx, &pair.tx);
    for (name, counter) in [
        ("packets", &rx.packets),
        ("bytes", &rx.bytes),
        ("no_page", &rx.no_page),
        ("dropped_memory", &rx.dropped_memory),
        ("truncated", &rx.truncated),
        ("faults", &rx.faults),
        ("xdp_pass", &rx.xdp_pass),
        ("xdp_drop", &rx.xdp_drop),
        ("xdp_tx", &rx.xdp_tx),
        ("xdp_redirect", &rx.xdp_redirect),
        ("xdp_aborted", &rx.xdp_aborted),
    ] {
        sink.add(fmt!("rx{}_{}", index, name), counter.get());
    }
    for (name, counter) in [
        ("packets", &tx.packets),
        ("bytes", &tx.bytes),
        ("stops", &tx.stops),
        ("wakes", &tx.wakes),
        ("linearized", &tx.linearized),
        ("device_drops", &tx.device_drops),
        ("dropped_memory", &tx.dropped_memory),
        ("dropped_form", &tx.dropped_form),
        ("dropped_full", &tx.dropped_full),
        ("faults", &tx.faults),
        ("stalls", &tx.stalls),
        ("xdp_frames", &tx.xdp_frames),
        ("xdp_full", &tx.xdp_full),
        ("xdp_refused", &tx.xdp_refused),
    ] {
        sink.add(fmt!("tx{}_{}", index, name), counter.get());
    }
    sink.add(fmt!("poll{}_ends", index), pair.polls.get());
    sink.add(fmt!("poll{}_late", index), pair.late_polls.get());
}

#[vtable]
impl Operations for NetPort {
    fn statistics(&self, _netdev: &Locked, sink: &mut Sink<'_>) {
        let stats = if sink.wants_values() {
            // While the device is being reset it cannot be asked, but what it has written last is still there.
            cmd::stats::vport(&self.device, self.share.vport)
                .unwrap_or_else(|_| self.device_stats.snapshot())
        } else {
            VportStats::ZERO
        };
        tell_vport(&stats, sink);
        // Their number changes under the instance lock only.
        let channels = self.state.lock().config.pairs;
        for (index, pair) in self.pair_stats.iter().take(channels.into()).enumerate() {
            tell_pair(index, pair, sink);
        }
    }
}
