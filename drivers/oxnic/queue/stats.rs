// SPDX-License-Identifier: GPL-2.0-only

//! Counters of a queue pair. They belong to the interface and outlive the queues, so that nothing is lost when queues are
//! made anew. Transmit counters are written under the transmit queue's lock, but for those that say otherwise. All receive
//! counters are written in the NAPI poll. Anybody reads.

use crate::queue::stamps::Stamps;
use oxnic_kapi::net::stats::{Counter, RxQueueStats, TxQueueStats};

/// Counters of a transmit queue.
#[derive(Default)]
pub(crate) struct TxStats {
    /// Packets on the wire.
    pub(crate) packets: Counter,
    /// Their bytes.
    pub(crate) bytes: Counter,
    /// Of the packets on the wire: those whose checksum the device computes.
    pub(crate) csum: Counter,
    /// Packets that the device segments.
    pub(crate) segmented: Counter,
    /// Their bytes.
    pub(crate) segmented_bytes: Counter,
    /// What becomes of them on the wire.
    pub(crate) segments: Counter,
    /// And its bytes.
    pub(crate) segments_bytes: Counter,
    /// Times that the queue was stopped for want of room.
    pub(crate) stops: Counter,
    /// Times that it was woken (written in the poll).
    pub(crate) wakes: Counter,
    /// Packets that the device dropped (written in the poll).
    pub(crate) device_drops: Counter,
    /// Packets dropped since their memory could not be mapped, or there was none.
    pub(crate) dropped_memory: Counter,
    /// Packets dropped since they cannot be described to the device.
    pub(crate) dropped_form: Counter,
    /// Packets dropped since the ring was full although the queue was not stopped.
    pub(crate) dropped_full: Counter,
    /// Packets that had too many fragments and were made linear.
    pub(crate) linearized: Counter,
    /// Completions that broke the rules of the interface (written in the poll).
    pub(crate) faults: Counter,
    /// Times that a completion was taken for lost (written by the watching task).
    pub(crate) stalls: Counter,
    /// XDP frames queued, which are among the packets, too.
    pub(crate) xdp_frames: Counter,
    /// XDP frames refused since the ring was full.
    pub(crate) xdp_full: Counter,
    /// XDP frames refused since they cannot be mapped or described to the device.
    pub(crate) xdp_refused: Counter,
}

impl TxStats {
    /// Packets that did not leave this side.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped_memory.get() + self.dropped_form.get() + self.dropped_full.get()
    }

    /// As the core wants them.
    pub(crate) fn queue(&self) -> TxQueueStats {
        let packets = self.packets.get();
        let csum = self.csum.get();
        TxQueueStats {
            bytes: self.bytes.get(),
            packets,
            hw_drops: self.device_drops.get(),
            hw_drop_errors: 0,
            csum_none: packets.saturating_sub(csum),
            needs_csum: csum,
            hw_gso_packets: self.segmented.get(),
            hw_gso_bytes: self.segmented_bytes.get(),
            hw_gso_wire_packets: self.segments.get(),
            hw_gso_wire_bytes: self.segments_bytes.get(),
            stop: self.stops.get(),
            wake: self.wakes.get(),
        }
    }
}

/// Counters of a receive queue.
#[derive(Default)]
pub(crate) struct RxStats {
    /// Packets.
    pub(crate) packets: Counter,
    /// Their bytes.
    pub(crate) bytes: Counter,
    /// Packets whose checksum the device found right.
    pub(crate) csum_ok: Counter,
    /// Packets whose checksum the device found wrong.
    pub(crate) csum_bad: Counter,
    /// Buffers that could not be had.
    pub(crate) no_page: Counter,
    /// Packets dropped for want of memory.
    pub(crate) dropped_memory: Counter,
    /// Packets dropped since they were cut off or had too many parts.
    pub(crate) truncated: Counter,
    /// Completions that broke the rules of the interface.
    pub(crate) faults: Counter,
    /// Of the packets: those that an XDP program let pass.
    pub(crate) xdp_pass: Counter,
    /// Those that it dropped.
    pub(crate) xdp_drop: Counter,
    /// Those that it sent back; some may not have found room, see the transmit queue.
    pub(crate) xdp_tx: Counter,
    /// Those that it redirected.
    pub(crate) xdp_redirect: Counter,
    /// Those that were dropped since the program failed, or what it said could not be done.
    pub(crate) xdp_aborted: Counter,
}

impl RxStats {
    /// As the core wants them.
    pub(crate) fn queue(&self) -> RxQueueStats {
        let packets = self.packets.get();
        let (good, bad) = (self.csum_ok.get(), self.csum_bad.get());
        RxQueueStats {
            bytes: self.bytes.get(),
            packets,
            alloc_fail: self.no_page.get() + self.dropped_memory.get(),
            csum_unnecessary: good,
            csum_none: packets.saturating_sub(good.saturating_add(bad)),
            csum_bad: bad,
        }
    }
}

/// Counters of a pair.
#[derive(Default)]
pub(crate) struct PairStats {
    pub(crate) tx: TxStats,
    pub(crate) rx: RxStats,
    pub(crate) stamps: Stamps,
    /// Polls that ended with the interrupt armed.
    pub(crate) polls: Counter,
    /// Polls since something had waited whose interrupt did not come (written by the watching task).
    pub(crate) late_polls: Counter,
}
