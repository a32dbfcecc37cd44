// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Edits of header fields, as pedit has them: four bytes under a mask, at an offset from a header.
//!
//! What pedit does with them (`tcf_pedit_act`), and what one might not expect:
//!
//! - "Add" adds the four bytes as **one number of the host's byte order**, little-endian here, and then cuts the sum to the
//!   field. In a field of one byte that is addition. In one of several bytes the carry runs from the first byte to the next one
//!   after it: 0x00ff plus 1 in a port is 0x0000, and not 0x0100.
//! - No checksum is mended. That is what the csum action is for.
//! - `ip`, `ip6` and "network" offsets count from the network header, which in a frame with two tags is the inner tag. The kind of
//!   header is not compared with the packet's: an `ip6` edit writes into IPv4 packets.
//! - `tcp` and `udp` offsets need such a header at the right place, and IPv4 or IPv6 behind at most one tag. Where it is missing,
//!   or where the four bytes run over the end, the **rest of this action** is left out, and the packet goes on.

/// From where an offset counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Header {
    /// The destination address of the frame. The outermost tag is not there.
    Ethernet,
    /// The network header, whatever it is.
    Network,
    /// The network header, meant as IPv4.
    Ipv4,
    /// The network header, meant as IPv6.
    Ipv6,
    /// The TCP header.
    Tcp,
    /// The UDP header.
    Udp,
}

/// What an edit does with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The bits become the value.
    Set,
    /// The value is added, see the module's documentation.
    Add,
}

/// An edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edit {
    /// From where the offset counts.
    pub header: Header,
    /// How many bytes from there. Not negative.
    pub offset: u32,
    /// What is done.
    pub operation: Operation,
    /// The bits that are **kept**, in the order of the bytes in the packet.
    pub keep: [u8; 4],
    /// The value, in the order of the bytes in the packet. tc has no bits of it where bits are kept.
    pub value: [u8; 4],
}

/// A field that edits can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The header it is in.
    pub header: Header,
    /// Its first byte.
    pub start: u32,
    /// How many bytes it takes, shared ones too.
    pub bytes: u32,
    /// Its name, as tc has it.
    pub name: &'static str,
}

const fn place(header: Header, start: u32, bytes: u32, name: &'static str) -> Place {
    Place {
        header,
        start,
        bytes,
        name,
    }
}

/// The fields by name. An edit of other bytes has no name.
pub const PLACES: &[Place] = &[
    place(Header::Ethernet, 0, 6, "eth dst"),
    place(Header::Ethernet, 6, 6, "eth src"),
    place(Header::Ethernet, 12, 2, "eth type"),
    place(Header::Ipv4, 0, 1, "ip ihl"),
    place(Header::Ipv4, 1, 1, "ip tos"),
    place(Header::Ipv4, 2, 2, "ip length"),
    place(Header::Ipv4, 4, 2, "ip id"),
    place(Header::Ipv4, 6, 2, "ip fragment"),
    place(Header::Ipv4, 8, 1, "ip ttl"),
    place(Header::Ipv4, 9, 1, "ip protocol"),
    place(Header::Ipv4, 10, 2, "ip checksum"),
    place(Header::Ipv4, 12, 4, "ip src"),
    place(Header::Ipv4, 16, 4, "ip dst"),
    place(Header::Ipv6, 0, 4, "ip6 traffic_class or flow_lbl"),
    place(Header::Ipv6, 4, 2, "ip6 payload_len"),
    place(Header::Ipv6, 6, 1, "ip6 nexthdr"),
    place(Header::Ipv6, 7, 1, "ip6 hoplimit"),
    place(Header::Ipv6, 8, 16, "ip6 src"),
    place(Header::Ipv6, 24, 16, "ip6 dst"),
    place(Header::Tcp, 0, 2, "tcp sport"),
    place(Header::Tcp, 2, 2, "tcp dport"),
    place(Header::Tcp, 4, 4, "tcp seq"),
    place(Header::Tcp, 8, 4, "tcp ack"),
    place(Header::Tcp, 12, 2, "tcp flags"),
    place(Header::Tcp, 14, 2, "tcp window"),
    place(Header::Tcp, 16, 2, "tcp checksum"),
    place(Header::Tcp, 18, 2, "tcp urgent"),
    place(Header::Udp, 0, 2, "udp sport"),
    place(Header::Udp, 2, 2, "udp dport"),
    place(Header::Udp, 4, 2, "udp length"),
    place(Header::Udp, 6, 2, "udp checksum"),
];

impl Edit {
    /// Whether it changes any bits of the `bytes` from `start`.
    fn touches(&self, start: u32, bytes: u32) -> bool {
        self.keep.iter().zip(0u32..).any(|(keep, at)| {
            let at = self.offset.saturating_add(at);
            *keep != 0xff && at >= start && at - start < bytes
        })
    }

    /// The fields that it changes bits of. Network edits are read as IPv4.
    pub fn places(self) -> impl Iterator<Item = &'static Place> {
        let header = if self.header == Header::Network {
            Header::Ipv4
        } else {
            self.header
        };
        PLACES
            .iter()
            .filter(move |place| place.header == header && self.touches(place.start, place.bytes))
    }

    /// What four bytes become.
    pub fn apply(&self, bytes: [u8; 4]) -> [u8; 4] {
        let old = u32::from_le_bytes(bytes);
        let keep = u32::from_le_bytes(self.keep);
        let value = u32::from_le_bytes(self.value);
        let new = match self.operation {
            Operation::Set => value,
            Operation::Add => old.wrapping_add(value) & !keep,
        };
        ((old & keep) ^ new).to_le_bytes()
    }
}
