// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Statistics. Counters are 64 bits, start at 0 when the device starts, and never go back; a reset of a function does not
//! clear them. Bytes count the frame without FCS, with all tags as they are at that place.

use crate::wire;

wire! {
    /// Answer of VPORT_STATS and VF_STATS, and what STATS_DMA writes.
    pub struct VportStats: 32 {
        /// STATS_DMA: grows by 2 for each update; odd while an update is being written. Else 0.
        0: sequence: u64,
        /// Unicast frames delivered to the vport's queues.
        8: rx_unicast: u64,
        /// Multicast frames delivered.
        16: rx_multicast: u64,
        /// Broadcast frames delivered.
        24: rx_broadcast: u64,
        /// Bytes delivered.
        32: rx_bytes: u64,
        /// Unicast frames accepted from the vport, after segmentation.
        40: tx_unicast: u64,
        /// Multicast frames accepted.
        48: tx_multicast: u64,
        /// Broadcast frames accepted.
        56: tx_broadcast: u64,
        /// Bytes accepted.
        64: tx_bytes: u64,
        /// Dropped on receive: no buffer.
        72: rx_no_buffer: u64,
        /// Dropped on receive: longer than the vport's largest frame.
        80: rx_too_long: u64,
        /// Dropped on receive: no queue, vport or link disabled.
        88: rx_disabled: u64,
        /// Dropped on receive: VLAN not in the set.
        96: rx_vlan: u64,
        /// Dropped on receive: DMA fault.
        104: rx_dma: u64,
        /// Dropped on receive: by a steering rule.
        112: rx_steering: u64,
        /// Received with a wrong checksum (delivered, and marked).
        120: rx_csum_bad: u64,
        /// Dropped on transmit: spoofed source address.
        128: tx_spoofed: u64,
        /// Dropped on transmit: VLAN that is not the function's to use.
        136: tx_vlan: u64,
        /// Dropped on transmit: over the rate limit for longer than it can wait.
        144: tx_rate: u64,
        /// Dropped on transmit: bad descriptor or DMA fault.
        152: tx_bad: u64,
        /// Dropped on transmit: link down or vport disabled.
        160: tx_disabled: u64,
        /// Dropped on transmit: longer than allowed.
        168: tx_too_long: u64,
        /// Packets that were cut into segments.
        176: tx_segmented: u64,
        /// Checksums inserted.
        184: tx_csum: u64,
        /// Segmented packets' bytes before segmentation.
        192: tx_segmented_bytes: u64,
        /// Dropped on receive: sent by the vport's representor, but to an address that the vport does not receive.
        200: rx_filtered: u64,
        /// Dropped on transmit: the eswitch is inactive.
        208: tx_inactive: u64,
        /// STATS_DMA: the same as `sequence`, written last. Else 0.
        248: sequence_end: u64,
    }
}

/// Sums of counters. They stay at the highest number instead of wrapping: a device can write anything.
impl VportStats {
    fn sum<const N: usize>(counters: [u64; N]) -> u64 {
        counters.into_iter().fold(0, u64::saturating_add)
    }

    /// Frames received.
    pub fn rx_frames(&self) -> u64 {
        Self::sum([self.rx_unicast, self.rx_multicast, self.rx_broadcast])
    }

    /// Frames sent.
    pub fn tx_frames(&self) -> u64 {
        Self::sum([self.tx_unicast, self.tx_multicast, self.tx_broadcast])
    }

    /// Dropped on receive, but for what rules of the user dropped.
    pub fn rx_drops(&self) -> u64 {
        Self::sum([
            self.rx_no_buffer,
            self.rx_too_long,
            self.rx_disabled,
            self.rx_vlan,
            self.rx_dma,
            self.rx_filtered,
        ])
    }

    /// Frames that were wrong, or could not be written, beside those of others.
    pub fn rx_errors(&self, others: u64) -> u64 {
        Self::sum([self.rx_too_long, self.rx_dma, others])
    }

    /// Frames that were longer than allowed, beside those of others.
    pub fn rx_length_errors(&self, others: u64) -> u64 {
        Self::sum([self.rx_too_long, others])
    }

    /// Dropped on transmit.
    pub fn tx_drops(&self) -> u64 {
        Self::sum([
            self.tx_spoofed,
            self.tx_vlan,
            self.tx_rate,
            self.tx_bad,
            self.tx_disabled,
            self.tx_too_long,
            self.tx_inactive,
        ])
    }
}

wire! {
    /// Answer of [`crate::command::Opcode::PORT_STATS`], named after RFC 2863, RFC 2819 and IEEE 802.3 clause 30.
    pub struct PortStats: 48 {
        /// Frames received without error.
        0: rx_frames: u64,
        /// Their bytes, FCS included.
        8: rx_octets: u64,
        /// Of these, multicast.
        16: rx_multicast: u64,
        /// Of these, broadcast.
        24: rx_broadcast: u64,
        /// Frames sent.
        32: tx_frames: u64,
        /// Their bytes, FCS included.
        40: tx_octets: u64,
        /// Of these, multicast.
        48: tx_multicast: u64,
        /// Of these, broadcast.
        56: tx_broadcast: u64,
        /// Received frames shorter than an Ethernet header.
        64: rx_undersize: u64,
        /// Received frames longer than the port can take.
        72: rx_oversize: u64,
        /// Frames that nobody wanted, or that came while the eswitch was inactive.
        80: rx_filtered: u64,
        /// Frames not sent since the wire's queue was full.
        88: tx_dropped: u64,
        /// Received frames by length, FCS included: up to 64, 65 to 127, 128 to 255, 256 to 511, 512 to 1023, 1024 to 1518,
        /// 1519 to 2047, 2048 to 4095, 4096 to 8191, 8192 and more.
        96: rx_lengths: [u64; 10],
        /// Sent frames by length, likewise.
        176: tx_lengths: [u64; 10],
        /// MAC control frames received (passed on as data).
        256: rx_control: u64,
        /// MAC control frames sent.
        264: tx_control: u64,
        /// PAUSE frames received.
        272: rx_pause: u64,
        /// PAUSE frames sent.
        280: tx_pause: u64,
        /// Received frames with a wrong FCS and a whole number of octets; dropped. A port whose wire carries no FCS counts none.
        288: rx_fcs_errors: u64,
        /// Received frames with a wrong FCS and no whole number of octets; dropped.
        296: rx_alignment_errors: u64,
        /// Received frames lost inside the port, before anybody could want them.
        304: rx_internal_errors: u64,
        /// Symbols that the line code does not have.
        312: rx_symbol_errors: u64,
        /// Blocks received that forward error correction has mended.
        320: fec_corrected: u64,
        /// Blocks received that it could not mend.
        328: fec_uncorrectable: u64,
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::QUEUE_STATS`].
    pub struct QueueStatsGet: 5 {
        /// Queue id.
        0: id: u16,
        /// 0: receive, 1: transmit.
        2: transmit: u8,
    }
}

wire! {
    /// Answer of [`crate::command::Opcode::QUEUE_STATS`]; since the queue was created.
    pub struct QueueStats: 4 {
        /// Frames, after segmentation.
        0: frames: u64,
        /// Bytes.
        8: bytes: u64,
        /// Drops.
        16: drops: u64,
        /// Descriptors taken.
        24: descriptors: u64,
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::STATS_DMA`].
    pub struct StatsDma: 5 {
        /// Bus address of room for a [`VportStats`], aligned to 256; 0: stop. When the command has completed, nothing
        /// more is written to an earlier address.
        0: address: u64,
        /// Period in milliseconds.
        8: period: u16,
    }
}
