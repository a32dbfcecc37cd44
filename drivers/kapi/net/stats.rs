// SPDX-License-Identifier: GPL-2.0-only

//! Counters that one context writes and any reads, and the statistics that the core asks for.
//!
//! The kernel's `u64_stats_sync` is empty where 64-bit accesses are whole, which is wherever this driver runs; a [`Counter`]
//! is the same without it: the writer does a plain load, addition and store, a reader a plain load. It is core's atomic,
//! not the kernel crate's, whose accesses are calls.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use oxnic_bindings as bindings;

/// A 64-bit counter with one writer at a time; whoever owns the surrounding structure says which lock makes it so.
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts `amount` more.
    #[inline(always)]
    pub fn add(&self, amount: u64) {
        self.0
            .store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// The value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

/// Statistics of a device, as `ip -s link` shows them. Bytes without FCS.
#[derive(Clone, Copy, Default)]
pub struct LinkStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Bad packets received.
    pub rx_errors: u64,
    /// Packets that could not be sent for errors.
    pub tx_errors: u64,
    /// Packets dropped on receive by this side.
    pub rx_dropped: u64,
    /// Packets dropped on transmit by this side.
    pub tx_dropped: u64,
    /// Multicast packets received.
    pub multicast: u64,
    /// Packets that the device had no buffer for.
    pub rx_missed: u64,
    /// Of the errors: wrong lengths.
    pub rx_length_errors: u64,
    /// Of the errors: incomplete.
    pub rx_frame_errors: u64,
}

impl LinkStats {
    pub(super) fn store(&self, out: &mut bindings::rtnl_link_stats64) {
        out.rx_packets = self.rx_packets;
        out.rx_bytes = self.rx_bytes;
        out.tx_packets = self.tx_packets;
        out.tx_bytes = self.tx_bytes;
        out.rx_errors = self.rx_errors;
        out.tx_errors = self.tx_errors;
        out.rx_dropped = self.rx_dropped;
        out.tx_dropped = self.tx_dropped;
        out.multicast = self.multicast;
        out.rx_missed_errors = self.rx_missed;
        out.rx_length_errors = self.rx_length_errors;
        out.rx_frame_errors = self.rx_frame_errors;
    }
}

macro_rules! queue_stats {
    ($(#[$outer:meta])* $name:ident => $raw:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Default)]
        pub struct $name { $($(#[$doc])* pub $field: u64,)* }

        impl $name {
            pub(super) fn store(&self, out: &mut bindings::$raw) {
                $(out.$field = self.$field;)*
            }

            /// Adds another queue's.
            pub fn add(&mut self, other: &Self) {
                $(self.$field = self.$field.wrapping_add(other.$field);)*
            }
        }
    };
}

queue_stats! {
    /// Statistics of a receive queue.
    RxQueueStats => netdev_queue_stats_rx {
        /// Bytes.
        bytes,
        /// Packets.
        packets,
        /// Buffers that could not be had.
        alloc_fail,
        /// Packets whose checksum was verified by the device.
        csum_unnecessary,
        /// Packets whose checksum was not.
        csum_none,
        /// Packets with a wrong checksum.
        csum_bad,
    }
}

queue_stats! {
    /// Statistics of a transmit queue.
    TxQueueStats => netdev_queue_stats_tx {
        /// Bytes on the wire.
        bytes,
        /// Packets on the wire.
        packets,
        /// Packets that the device dropped.
        hw_drops,
        /// Of these, for a bad descriptor.
        hw_drop_errors,
        /// Packets that needed no checksum.
        csum_none,
        /// Packets whose checksum the device computed.
        needs_csum,
        /// Packets that the device segmented.
        hw_gso_packets,
        /// Their bytes.
        hw_gso_bytes,
        /// What became of them on the wire.
        hw_gso_wire_packets,
        /// And its bytes.
        hw_gso_wire_bytes,
        /// Times that the queue was stopped for want of room.
        stop,
        /// Times that it was woken.
        wake,
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_stats)]
mod tests {
    use super::*;

    #[test]
    fn counter_adds_and_wraps() {
        let counter = Counter::new();
        counter.add(3);
        counter.add(0);
        assert_eq!(counter.get(), 3);
        counter.add(u64::MAX);
        assert_eq!(counter.get(), 2);
    }

    #[test]
    fn queue_stats_reach_the_fields_of_the_core() {
        let mut stats = TxQueueStats {
            packets: 5,
            hw_gso_wire_bytes: 7,
            ..TxQueueStats::default()
        };
        stats.add(&TxQueueStats {
            packets: 1,
            wake: 9,
            ..TxQueueStats::default()
        });
        let mut raw = bindings::netdev_queue_stats_tx::default();
        stats.store(&mut raw);
        assert_eq!(
            (raw.packets, raw.hw_gso_wire_bytes, raw.wake, raw.bytes),
            (6, 7, 9, 0)
        );
    }
}
