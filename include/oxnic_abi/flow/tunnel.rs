// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Tunnels that the device understands.

use crate::{open_enum, wire};

open_enum! {
    /// Kinds of tunnel.
    pub enum TunnelKind: u8 {
        /// None.
        NONE = 0: "none",
        /// VXLAN over UDP (RFC 7348).
        VXLAN = 1: "vxlan",
        /// Geneve over UDP (RFC 8926), with an Ethernet frame within.
        GENEVE = 2: "geneve",
        /// Ethernet over GRE (RFC 2784, RFC 2890).
        GRETAP = 3: "gretap",
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::TUNNEL_PORT`].
    pub struct TunnelPort: 5 {
        /// What is spoken there.
        0: kind: TunnelKind,
        /// UDP port, in network order; zero with GRETAP.
        2: port: [u8; 2],
        /// See [`tunnel_flags`].
        4: flags: u16,
    }
}

/// Bits of [`TunnelPort::flags`].
pub mod tunnel_flags {
    /// Frames to this port are looked at as tunnelled from now on; without: not any more.
    pub const ON: u16 = 1 << 0;
    /// VXLAN: the group policy extension is understood.
    pub const GROUP_POLICY: u16 = 1 << 1;
    /// UDP over IPv6 without a checksum is taken.
    pub const ZERO_CHECKSUM_V6: u16 = 1 << 2;
    /// All of them.
    pub const ALL: u16 = ON | GROUP_POLICY | ZERO_CHECKSUM_V6;
}
