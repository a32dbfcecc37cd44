// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Receive side scaling: which queue a frame goes to.
//!
//! The hash is Toeplitz as in Microsoft's RSS specification, over source address, destination address and, where the type
//! asks for it and the frame is no fragment, source port and destination port, in network order. The low bits of the hash
//! index the table. A frame without a hash (not IP) takes entry 0. Context 0 is used where no steering rule names another.

use crate::wire;

/// Entries of the table in [`RssConfig`].
pub const TABLE_MAX: usize = 256;
/// Bytes of the key in [`RssConfig`].
pub const KEY_MAX: usize = 40;

wire! {
    /// Parameters of RSS_GET and RSS_DESTROY.
    pub struct RssId: 5 {
        /// Context.
        0: context: u16,
    }
}

wire! {
    /// Buffer of [`crate::command::Opcode::RSS_SET`] and answer of RSS_GET. RSS_SET makes the context if there is none.
    pub struct RssConfig: 71 {
        /// Context, less than [`crate::caps::NicCaps::rss_contexts`].
        0: context: u16,
        /// See [`hash_types`].
        2: types: u16,
        /// Entries of the table that are used: a power of two, at most [`crate::caps::NicCaps::rss_entries`].
        4: entries: u16,
        /// See [`hash_input`].
        6: input: u16,
        /// Toeplitz key.
        8: key: [u8; 40],
        /// Receive queues. Each belongs to the vport.
        48: table: [u16; 256],
        /// What is left out of the hash, see [`hash_fields`]: entry n is for the type whose bit is n in [`hash_types`]. What is
        /// left out counts as zero, also for `input`. Zero where [`crate::caps::features::RSS_FIELDS`] is not offered.
        560: omit: [u8; 8],
    }
}

/// Bits of [`RssConfig::types`]: what is hashed with addresses and ports. IP frames of other types are hashed by address if
/// the bit of their IP version is set, else not at all.
pub mod hash_types {
    /// IPv4 addresses.
    pub const IPV4: u16 = 1 << 0;
    /// IPv6 addresses.
    pub const IPV6: u16 = 1 << 1;
    /// TCP ports over IPv4.
    pub const TCP4: u16 = 1 << 2;
    /// TCP ports over IPv6.
    pub const TCP6: u16 = 1 << 3;
    /// UDP ports over IPv4.
    pub const UDP4: u16 = 1 << 4;
    /// UDP ports over IPv6.
    pub const UDP6: u16 = 1 << 5;
    /// SCTP ports over IPv4.
    pub const SCTP4: u16 = 1 << 6;
    /// SCTP ports over IPv6.
    pub const SCTP6: u16 = 1 << 7;
    /// All of them.
    pub const ALL: u16 = 0xff;
}

/// Bits of an entry of [`RssConfig::omit`]. The types IPV4 and IPV6 have no ports to leave out. A hash that leaves out both
/// ports is reported as one of addresses.
pub mod hash_fields {
    /// Source address.
    pub const SOURCE: u8 = 1 << 0;
    /// Destination address.
    pub const DESTINATION: u8 = 1 << 1;
    /// Source port.
    pub const SOURCE_PORT: u8 = 1 << 2;
    /// Destination port.
    pub const DESTINATION_PORT: u8 = 1 << 3;
    /// All of them.
    pub const ALL: u8 = 15;
}

/// Bits of [`RssConfig::input`]: what is done to the input before it is hashed.
pub mod hash_input {
    /// Source and destination are replaced by their exclusive or, twice, for addresses and for ports (`symmetric-xor`).
    pub const SYMMETRIC_XOR: u16 = 1 << 0;
    /// Source and destination are replaced by their or, then their exclusive or (`symmetric-or-xor`).
    pub const SYMMETRIC_OR_XOR: u16 = 1 << 1;
    /// All of them.
    pub const ALL: u16 = 3;
}
