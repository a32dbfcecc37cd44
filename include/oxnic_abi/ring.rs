// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Transmit, receive and completion rings.
//!
//! Rings are arrays in host memory of a power-of-two number of entries, with free-running 16-bit producer and consumer
//! indices; the entry is the index modulo the size. At most `size` descriptors are outstanding. A ring of 2^15 entries is the
//! largest, so that full and empty differ.
//!
//! Completion rings carry a generation bit in each entry: it is 1 on the device's first pass over the ring, 0 on the second,
//! and so on. The bit is in the last 64-bit word of an entry, which the device makes visible whole and after the rest of the
//! entry. The driver zeroes the ring before it creates it. A completion ring is created with at least as many entries as there can be
//! outstanding descriptors of the queues that use it, so it cannot overflow.

use crate::wire;

/// The largest ring, as log2 of entries.
pub const RING_LOG2_MAX: u8 = 15;
/// The smallest ring, as log2 of entries.
pub const RING_LOG2_MIN: u8 = 5;

wire! {
    /// Transmit descriptor for one stretch of memory of a packet; the first one of a packet also says what to do with it.
    ///
    /// ```text
    ///  63      56 55     48 47              32 31              16 15               0
    /// +----------------------------------------------------------------------------+
    /// |                                  address                                   | 0
    /// +----------+---------+------------------+------------------+-----------------+
    /// | csum_off | csum_st |       vlan       |      flags       |     length      | 8
    /// +----------+---------+------------------+------------------+-----------------+
    /// ```
    pub struct TxData: 2 {
        /// Bus address of the first byte.
        0: address: u64,
        /// Number of bytes, 1 to 65535.
        8: length: u16,
        /// See [`tx_flags`].
        10: flags: u16,
        /// Tag to insert, with [`tx_flags::VLAN`]: PCP, DEI and VID in CPU order (IEEE 802.1Q 9.6). First descriptor only.
        12: vlan: u16,
        /// With [`tx_flags::CSUM`]: where the checksummed area starts, in units of 2 bytes from the start of the frame as it
        /// is in memory. First descriptor only.
        14: csum_start: u8,
        /// With [`tx_flags::CSUM`]: where the 16-bit checksum stands, in units of 2 bytes from `csum_start`. It holds the
        /// one's complement sum of the pseudo-header (RFC 1071), as the kernel's CHECKSUM_PARTIAL leaves it.
        15: csum_offset: u8,
    }
}

wire! {
    /// Context descriptor: stands before the data descriptors of the packet it is about.
    ///
    /// ```text
    ///  63              48 47              32 31              16 15               0
    /// +----------+---------+------------------+-----------------------------------+
    /// | l4_start | l3_start|       mss        |            destination            | 0
    /// +----------+---------+------------------+------------------+-----------------+
    /// |            reserved                   |      flags       | header_length   | 8
    /// +---------------------------------------+------------------+-----------------+
    /// ```
    pub struct TxContext: 2 {
        /// With [`tx_flags::DESTINATION`]: port of the eswitch that the packet goes to, past all rules. Needs privilege.
        0: destination: u32,
        /// With [`tx_flags::TSO`] or [`tx_flags::USO`]: bytes of payload in each segment, 1 to 16384.
        4: mss: u16,
        /// Start of the IP header in units of 2 bytes from the start of the frame.
        6: l3_start: u8,
        /// Start of the TCP or UDP header in units of 2 bytes from the start of the frame.
        7: l4_start: u8,
        /// Bytes of headers up to the payload; they are repeated in each segment.
        8: header_length: u16,
        /// See [`tx_flags`]; [`tx_flags::CONTEXT`] is set.
        10: flags: u16,
    }
}

/// Flags of transmit descriptors.
pub mod tx_flags {
    /// This is a [`super::TxContext`]; else a [`super::TxData`].
    pub const CONTEXT: u16 = 1 << 0;
    /// Data: last descriptor of the packet.
    pub const END: u16 = 1 << 1;
    /// Data, with END: write a completion once this packet and all before it were taken.
    pub const REPORT: u16 = 1 << 2;
    /// Data, first: insert the tag in `vlan` (TPID 0x8100) after the addresses.
    pub const VLAN: u16 = 1 << 3;
    /// Data, first: compute the checksum that `csum_start` and `csum_offset` describe.
    pub const CSUM: u16 = 1 << 4;
    /// Data, first: with VLAN, the tag's TPID is 0x88a8.
    pub const VLAN_STAG: u16 = 1 << 5;
    /// Data, first: tell when the packet leaves. It is completed as with REPORT, whatever
    /// [`crate::caps::NicCaps::tx_report_spacing`] says. Needs [`crate::caps::features::TIMESTAMP`].
    pub const TIMESTAMP: u16 = 1 << 6;
    /// Context: cut the TCP payload into segments of `mss` bytes. IP total length or payload length, IPv4 identification and
    /// header checksum, TCP sequence number and flags, and TCP checksum of each segment are made by the device.
    pub const TSO: u16 = 1 << 8;
    /// Context: cut the UDP payload into datagrams of `mss` bytes; lengths and checksums are made by the device.
    pub const USO: u16 = 1 << 9;
    /// Context: `destination` is valid. Needs [`crate::caps::privilege::ESWITCH`].
    pub const DESTINATION: u16 = 1 << 10;
    /// Context, with TSO: keep the IPv4 identification of all segments as it is.
    pub const FIXED_ID: u16 = 1 << 11;
    /// Every flag that a data descriptor may have.
    pub const DATA_ALL: u16 = END | REPORT | VLAN | CSUM | VLAN_STAG | TIMESTAMP;
    /// Every flag that a context descriptor may have.
    pub const CONTEXT_ALL: u16 = CONTEXT | TSO | USO | DESTINATION | FIXED_ID;
}

wire! {
    /// Transmit completion: all descriptors before `head` were taken, their memory may be reused.
    ///
    /// ```text
    ///  63              48 47              32 31              16 15               0
    /// +---------------------------------------------------------------------------+
    /// |                                timestamp                                  | 0
    /// +------------------+------------------+------------------+-----------------+
    /// |      flags       |      queue       |      errors      |       head      | 8
    /// +------------------+------------------+------------------+-----------------+
    /// ```
    pub struct TxCompletion: 2 {
        /// With [`completion_flags::TIMESTAMP`]: when the reported packet left, in nanoseconds of the device's clock; of
        /// segments, the last. 0 where it did not leave.
        0: timestamp: u64,
        /// Free-running consumer index of the transmit ring after the reported packet.
        8: head: u16,
        /// Packets that were dropped since the last completion, whatever the reason, saturating.
        10: errors: u16,
        /// Transmit queue.
        12: queue: u16,
        /// See [`completion_flags`]: GENERATION, TIMESTAMP.
        14: flags: u16,
    }
}

wire! {
    /// Receive descriptor: one empty buffer, as long as the queue was created with.
    pub struct RxDescriptor: 2 {
        /// Bus address.
        0: address: u64,
        /// Chosen by the driver, comes back in the completion; less than the size of the ring.
        8: buffer: u16,
    }
}

wire! {
    /// Receive completion: one buffer was filled. A frame that needs several buffers has as many completions, in order and
    /// without another frame's in between; the last one has END, and only there all fields but `length` and `buffer` hold.
    ///
    /// ```text
    ///  63              48 47              32 31              16 15               0
    /// +---------------------------------------------------------------------------+
    /// |                                timestamp                                  | 0
    /// +------------------+------------------+------------------------------------+
    /// |       vlan       |    source_port   |                hash                | 8
    /// +------------------+------------------+------------------------------------+
    /// |       queue      |       csum       |               cookie               | 16
    /// +------------------+------------------+------------------+-----------------+
    /// |      flags       |       kind       |      buffer      |     length      | 24
    /// +------------------+------------------+------------------+-----------------+
    /// ```
    pub struct RxCompletion: 4 {
        /// With [`completion_flags::TIMESTAMP`]: when the frame arrived, in nanoseconds of the device's clock.
        0: timestamp: u64,
        /// Hash of the frame (Toeplitz, or 0 where `kind` says that none was made).
        8: hash: u32,
        /// Eswitch port that the frame came from.
        12: source_port: u16,
        /// Tag that was stripped, with [`completion_flags::VLAN`], in CPU order.
        14: vlan: u16,
        /// What the flow engine says of the frame, see the flags FLOW_RULE to FLOW_SAMPLE; 0 for nothing.
        16: cookie: u32,
        /// With [`completion_flags::CSUM_RAW`]: one's complement sum (RFC 1071) over the frame after the Ethernet header and,
        /// where one was stripped, the tag; folded to 16 bits, not inverted, in memory order.
        20: csum: u16,
        /// Receive queue.
        22: queue: u16,
        /// Bytes written to this buffer.
        24: length: u16,
        /// Which buffer.
        26: buffer: u16,
        /// What the frame is, see [`rx_kind`].
        28: kind: u16,
        /// See [`completion_flags`].
        30: flags: u16,
    }
}

/// Flags of completions.
pub mod completion_flags {
    /// Generation bit, see the module.
    pub const GENERATION: u16 = 1 << 0;
    /// Receive: last buffer of the frame.
    pub const END: u16 = 1 << 1;
    /// Receive: `vlan` holds a tag that was taken out of the frame.
    pub const VLAN: u16 = 1 << 2;
    /// Receive: with VLAN, the tag's TPID was 0x88a8.
    pub const VLAN_STAG: u16 = 1 << 3;
    /// Receive: the IPv4 header checksum was checked and is right (always set for IPv6 with L4_OK).
    pub const L3_OK: u16 = 1 << 4;
    /// Receive: the TCP, UDP or SCTP checksum was checked and is right.
    pub const L4_OK: u16 = 1 << 5;
    /// Receive: a checksum was checked and is wrong.
    pub const CSUM_BAD: u16 = 1 << 6;
    /// Receive: `csum` holds.
    pub const CSUM_RAW: u16 = 1 << 7;
    /// Receive: the frame was longer than the buffers that there were or than 65535 bytes; what is here is not whole.
    pub const TRUNCATED: u16 = 1 << 8;
    /// Receive: sent to more than one receiver by its address (multicast or broadcast).
    pub const MULTICAST: u16 = 1 << 9;
    /// `timestamp` holds. Transmit: the reported packet had [`super::tx_flags::TIMESTAMP`].
    pub const TIMESTAMP: u16 = 1 << 10;
    /// Receive: `cookie` is that of a rule of the flow engine, whose ACCEPT or TRAP sent the frame here.
    pub const FLOW_RULE: u16 = 1 << 11;
    /// Receive: `cookie` is that of the table of the flow engine that was looked at last; none of its rules took the frame.
    pub const FLOW_MISS: u16 = 1 << 12;
    /// Receive: `cookie` is the mark that rules of the flow engine gave the frame.
    pub const FLOW_MARK: u16 = 1 << 13;
    /// Receive: a copy that SAMPLE made. `cookie` is the action's, and `csum` the length of the whole frame.
    pub const FLOW_SAMPLE: u16 = 1 << 14;
}

/// Bits of [`RxCompletion::kind`].
pub mod rx_kind {
    /// IPv4.
    pub const IPV4: u16 = 1 << 0;
    /// IPv6.
    pub const IPV6: u16 = 1 << 1;
    /// TCP, and not a fragment.
    pub const TCP: u16 = 1 << 2;
    /// UDP, and not a fragment.
    pub const UDP: u16 = 1 << 3;
    /// SCTP, and not a fragment.
    pub const SCTP: u16 = 1 << 4;
    /// An IP fragment.
    pub const FRAGMENT: u16 = 1 << 5;
    /// `hash` covers addresses.
    pub const HASH_L3: u16 = 1 << 6;
    /// `hash` covers ports too.
    pub const HASH_L4: u16 = 1 << 7;
}
