// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Receive hashing: Toeplitz over addresses and ports, and the table from hash to queue.
//!
//! A [`Context`] belongs to a vport. Each key is spread out once into a table by half bytes of input, so that a hash is as
//! many look-ups as the input has half bytes.

use super::packet::{Packet, SCTP, TCP, UDP};
use oxnic_abi::ring::rx_kind;
use oxnic_abi::rss::{RssConfig, hash_fields, hash_input, hash_types};

/// Bytes of the longest input: two IPv6 addresses and two ports.
const INPUT_MAX: usize = 36;

/// A Toeplitz key, spread out: the hash of each half byte at each place.
#[derive(Clone)]
pub struct Toeplitz(Box<[[u32; 16]; 2 * INPUT_MAX]>);

impl Toeplitz {
    /// From a key.
    pub fn new(key: &[u8; 40]) -> Self {
        // The 32 bits of the key that start at bit `at`.
        let window = |at: usize| {
            (0..32).fold(0u32, |bits, i| {
                let bit = at + i;
                (bits << 1) | u32::from((key[bit / 8] >> (7 - bit % 8)) & 1)
            })
        };
        let mut table = Box::new([[0; 16]; 2 * INPUT_MAX]);
        for (place, row) in table.iter_mut().enumerate() {
            for (value, entry) in row.iter_mut().enumerate() {
                *entry = (0..4)
                    .filter(|bit| (value >> (3 - bit)) & 1 != 0)
                    .fold(0, |hash, bit| hash ^ window(place * 4 + bit));
            }
        }
        Self(table)
    }

    /// The hash of an input of at most 36 bytes; what is beyond does not count.
    pub fn hash(&self, input: &[u8]) -> u32 {
        input
            .iter()
            .zip(self.0.chunks_exact(2))
            .fold(0, |hash, (byte, rows)| {
                hash ^ rows[0][usize::from(byte >> 4)] ^ rows[1][usize::from(byte & 0xf)]
            })
    }
}

/// A hash and what went into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash {
    /// The hash; 0 where there is none.
    pub value: u32,
    /// [`rx_kind::HASH_L3`] and [`rx_kind::HASH_L4`].
    pub kind: u16,
}

/// A hashing context as it was set.
#[derive(Clone)]
pub struct Context {
    config: RssConfig,
    toeplitz: Toeplitz,
}

impl Context {
    /// From a configuration that was checked.
    pub fn new(mut config: RssConfig) -> Self {
        for entry in config.table.iter_mut().skip(usize::from(config.entries)) {
            *entry = 0;
        }
        Self {
            toeplitz: Toeplitz::new(&config.key),
            config,
        }
    }

    /// As it was set; unused entries of the table are 0.
    pub fn config(&self) -> &RssConfig {
        &self.config
    }

    /// The hash of a packet, whose headers lie in `data`.
    pub fn hash(&self, packet: &Packet, data: &[u8]) -> Hash {
        let mut input = [0; INPUT_MAX];
        let Some((length, kind)) = self.input(packet, data, &mut input) else {
            return Hash::default();
        };
        Hash {
            value: self.toeplitz.hash(&input[..length]),
            kind,
        }
    }

    /// The queue that the table has for a hash.
    pub fn queue(&self, hash: u32) -> u16 {
        let mask = usize::from(self.config.entries).saturating_sub(1);
        self.config.table[hash as usize & mask & (self.config.table.len() - 1)]
    }

    /// Gathers what is hashed; tells its length and what is in it.
    fn input(
        &self,
        packet: &Packet,
        data: &[u8],
        input: &mut [u8; INPUT_MAX],
    ) -> Option<(usize, u16)> {
        let network = packet.network.as_ref()?;
        let v4 = network.version == 4;
        let with_ports = packet.transport.and_then(|transport| {
            let bit = match transport.protocol {
                TCP if v4 => hash_types::TCP4,
                TCP => hash_types::TCP6,
                UDP if v4 => hash_types::UDP4,
                UDP => hash_types::UDP6,
                SCTP if v4 => hash_types::SCTP4,
                SCTP => hash_types::SCTP6,
                _ => 0,
            };
            (self.config.types & bit != 0).then_some((transport, bit))
        });
        let by_address = if v4 {
            hash_types::IPV4
        } else {
            hash_types::IPV6
        };
        if with_ports.is_none() && self.config.types & by_address == 0 {
            return None;
        }
        let bit = with_ports.map_or(by_address, |(_, bit)| bit);
        let omit = self.config.omit[bit.trailing_zeros() as usize % self.config.omit.len()];
        let source = data.get(network.source.clone())?;
        let destination = data.get(network.destination.clone())?;
        let addresses = source.len() + destination.len();
        let (first, second) = input.get_mut(..addresses)?.split_at_mut(source.len());
        let address = (hash_fields::SOURCE, hash_fields::DESTINATION);
        self.pair(keep(omit, address), (source, destination), first, second);
        let Some((transport, _)) = with_ports else {
            return Some((addresses, rx_kind::HASH_L3));
        };
        let ports = data.get(transport.start..transport.start + 4)?;
        let (first, second) = input.get_mut(addresses..addresses + 4)?.split_at_mut(2);
        let kept = keep(
            omit,
            (hash_fields::SOURCE_PORT, hash_fields::DESTINATION_PORT),
        );
        self.pair(kept, ports.split_at(2), first, second);
        let l4 = if kept == (0, 0) { 0 } else { rx_kind::HASH_L4 };
        Some((addresses + 4, rx_kind::HASH_L3 | l4))
    }

    /// Puts a source and a destination into the input, as far as the masks keep them, made symmetric where that is asked for.
    fn pair(&self, kept: (u8, u8), fields: (&[u8], &[u8]), first: &mut [u8], second: &mut [u8]) {
        let pairs = fields
            .0
            .iter()
            .zip(fields.1)
            .zip(first.iter_mut().zip(second));
        for ((source, destination), (first, second)) in pairs {
            let (source, destination) = (source & kept.0, destination & kept.1);
            (*first, *second) = match self.config.input {
                hash_input::SYMMETRIC_XOR => (source ^ destination, source ^ destination),
                hash_input::SYMMETRIC_OR_XOR => (source | destination, source ^ destination),
                _ => (source, destination),
            };
        }
    }
}

/// Masks that keep all of a field, or nothing where it is left out.
fn keep(omit: u8, fields: (u8, u8)) -> (u8, u8) {
    let mask = |field| if omit & field == 0 { 0xff } else { 0 };
    (mask(fields.0), mask(fields.1))
}
