// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Headers that are put around frames.

use super::tunnel::TunnelKind;
use crate::wire;

wire! {
    /// Parameters of [`crate::command::Opcode::ENCAP_SET`]. The headers are in the buffer, from the Ethernet header on up to the
    /// tunnel's header with its options, without what the device fills in.
    pub struct EncapSet: 5 {
        /// Id.
        0: id: u32,
        /// See [`super::flow_set`].
        4: flags: u16,
        /// What the device does, see [`encap_flags`].
        6: options: u16,
        /// Length of the headers in bytes. Without READY it can be 0: there are none yet.
        8: length: u16,
        /// Where the outer IP header starts, in bytes.
        10: network: u16,
        /// Where the UDP or GRE header starts, in bytes.
        12: transport: u16,
        /// Kind of tunnel.
        14: kind: TunnelKind,
        /// With SOURCE_PORT: the lowest UDP source port, not zero. Else zero.
        16: port_min: u16,
        /// With SOURCE_PORT: the highest one.
        18: port_max: u16,
    }
}

/// Bits of [`EncapSet::options`].
pub mod encap_flags {
    /// Frames can be sent with these headers. Without: a frame that a rule with this encap takes misses instead.
    pub const READY: u16 = 1 << 0;
    /// UDP gets a checksum; a GRE header, which then has room for it, too. Without, that of UDP is zero.
    pub const CHECKSUM: u16 = 1 << 1;
    /// The UDP source port is made of the inner frame's hash. Without, it is that of the headers.
    pub const SOURCE_PORT: u16 = 1 << 2;
    /// TTL or hop limit is the inner packet's, where there is IP within, also behind tags. Without, and else, that of the headers.
    pub const TTL: u16 = 1 << 3;
    /// The upper six bits of TOS or traffic class are the inner packet's, where there is IP within.
    pub const TOS: u16 = 1 << 4;
    /// The lower two bits of TOS or traffic class are the inner packet's; where these say CE, they are ECT(0) (RFC 3168, 9.1.1, full
    /// functionality).
    pub const ECN: u16 = 1 << 5;
    /// Outer IPv4: DF is the inner packet's, where that is IPv4.
    pub const DF: u16 = 1 << 6;
    /// All of them.
    pub const ALL: u16 = READY | CHECKSUM | SOURCE_PORT | TTL | TOS | ECN | DF;
}
