// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The values that a packet has for all fields, in the layout of a key.

use super::field::{Field, SIZE, TABLE};
use super::Port;
use crate::packet::tunnel::TunnelOptions;
use crate::packet::{Dissection, Tunnel};

/// What classification sees of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The port it came in at.
    pub port: Port,
    /// Its headers.
    pub packet: &'a Dissection,
    /// The note of the tunnel that it came out of; all zero where it did not.
    pub tunnel: &'a Tunnel<'a>,
}

/// The values of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Values<'a> {
    /// All fields, in the layout of the table.
    pub bytes: [u8; SIZE],
    /// Tunnel options.
    pub options: TunnelOptions<'a>,
}

impl<'a> Values<'a> {
    /// Collects the values.
    pub fn new(seen: &Seen<'a>) -> Self {
        let mut bytes = [0; SIZE];
        for row in TABLE {
            if let Some(place) = bytes.get_mut(row.field.range()) {
                (row.read)(seen, place);
            }
        }
        Self {
            bytes,
            options: seen.tunnel.options,
        }
    }

    /// The bytes of a field.
    pub fn get(&self, field: Field) -> &[u8] {
        self.bytes.get(field.range()).unwrap_or(&[])
    }

    /// The value of a field of at most 16 bits.
    pub fn number(&self, field: Field) -> u16 {
        self.get(field)
            .iter()
            .fold(0, |number, byte| (number << 8) | u16::from(*byte))
    }
}
