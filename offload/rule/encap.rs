// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The outer headers that `tunnel_key set` asks for.

use crate::packet::tunnel::TunnelOptions;
use crate::packet::Address;

/// What a tunnel device shall put around a packet. What is not said here (kind of tunnel, source port, hardware addresses) is
/// the device's, or comes from routes and neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encap<'a> {
    /// Outer addresses, source and destination.
    pub address: Address,
    /// Network identifier or key.
    pub key_id: u32,
    /// UDP destination port. Zero: the device's.
    pub dst_port: u16,
    /// TOS or traffic class.
    pub tos: u8,
    /// TTL or hop limit. Zero: the route's.
    pub ttl: u8,
    /// Whether UDP gets a checksum.
    pub csum: bool,
    /// Whether the outer packet may not be fragmented.
    pub dont_fragment: bool,
    /// Options.
    pub options: TunnelOptions<'a>,
}
