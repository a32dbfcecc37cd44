// SPDX-License-Identifier: GPL-2.0-only

//! The counters of an interface, and of its queues.

use super::NetPort;
use oxnic_kapi::net::netdev::Locked;
use oxnic_kapi::net::queue::Stats;
use oxnic_kapi::net::stats::{LinkStats, RxQueueStats, TxQueueStats};

impl NetPort {
    /// The interface's counters, as the core shows them. Those of a representor are of all that its function sent and was
    /// given, which is what the wire to it carried, seen from the other end.
    pub(super) fn link_stats(&self) -> LinkStats {
        let Some(stats) = &self.function_stats else {
            return self.slow_path_stats();
        };
        let function = stats.snapshot();
        LinkStats {
            rx_packets: function.tx_frames(),
            rx_bytes: function.tx_bytes,
            tx_packets: function.rx_frames(),
            tx_bytes: function.rx_bytes,
            multicast: function.tx_multicast,
            rx_dropped: function.tx_inactive,
            tx_dropped: function.rx_filtered,
            ..LinkStats::default()
        }
    }

    /// What went through our queues.
    pub(super) fn slow_path_stats(&self) -> LinkStats {
        let mut link = LinkStats::default();
        for pair in &self.pair_stats {
            let (tx, rx) = (&pair.tx, &pair.rx);
            link.tx_packets += tx.packets.get();
            link.tx_bytes += tx.bytes.get();
            link.tx_dropped += tx.dropped() + tx.device_drops.get();
            link.rx_packets += rx.packets.get();
            link.rx_bytes += rx.bytes.get();
            link.rx_dropped += rx.dropped_memory.get();
            link.rx_length_errors += rx.truncated.get();
            link.rx_errors += rx.truncated.get();
        }
        let device = self.device_stats.snapshot();
        link.multicast = device.rx_multicast;
        link.rx_missed = device.rx_no_buffer;
        link.rx_length_errors = device.rx_length_errors(link.rx_length_errors);
        link.rx_errors = device.rx_errors(link.rx_errors);
        link
    }
}

impl Stats for NetPort {
    fn rx_queue(&self, _netdev: &Locked, index: u16) -> RxQueueStats {
        self.pair_stats
            .get(usize::from(index))
            .map(|pair| pair.rx.queue())
            .unwrap_or_default()
    }

    fn tx_queue(&self, _netdev: &Locked, index: u16) -> TxQueueStats {
        self.pair_stats
            .get(usize::from(index))
            .map(|pair| pair.tx.queue())
            .unwrap_or_default()
    }

    fn base(&self, netdev: &Locked) -> (RxQueueStats, TxQueueStats) {
        let (mut rx, mut tx) = (RxQueueStats::default(), TxQueueStats::default());
        for pair in self.pair_stats.iter().skip(netdev.tx_queues().into()) {
            rx.add(&pair.rx.queue());
            tx.add(&pair.tx.queue());
        }
        (rx, tx)
    }
}
