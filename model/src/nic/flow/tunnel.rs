// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Tunnels: which frames are in one, what is noted of the outer headers, and where the inner frame is.
//!
//! A frame is in a tunnel if Linux' stack and tunnel device would take it as such: whole, with right lengths and checksums, to
//! a port that the driver named. Everything else is a frame like others.

use super::bytes::{long, take, word};
use super::objects::Usage;
use super::parse::{ETHERNET, IPV6_HEADER, Layers, View};
use super::refused::{Place, Refused, Why, ensure};
use super::values::Values;
use crate::nic::checksum::{Sum, pseudo_header};
use crate::nic::packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, UDP};
use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::field::FlowField as Field;
use oxnic_abi::flow::tunnel::{TunnelKind, TunnelPort, tunnel_flags};
use std::ops::Range;

/// Protocol number of GRE.
pub const GRE: u8 = 47;
/// Type of an Ethernet frame in a tunnel.
pub const BRIDGED: u16 = 0x6558;

/// Bits of ENC_FLAGS.
mod flag {
    pub const CHECKSUM: u8 = 1 << 0;
    pub const DONT_FRAGMENT: u8 = 1 << 1;
    pub const OAM: u8 = 1 << 2;
    pub const CRITICAL: u8 = 1 << 3;
}

/// The ports that carry tunnels.
#[derive(Debug)]
pub struct Ports {
    list: Vec<TunnelPort>,
    usage: Usage,
}

impl Ports {
    /// None of so many.
    pub fn new(size: u16) -> Self {
        Self {
            list: Vec::new(),
            usage: Usage::new(size.into()),
        }
    }

    /// How many there are.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes a command.
    ///
    /// # Errors
    /// The kind is not understood, the port another kind's, or there are too many.
    pub fn set(&mut self, caps: &FlowCaps, set: &TunnelPort) -> Result<(), Refused> {
        let bit = 1u16.checked_shl(u32::from(set.kind.0)).unwrap_or(0);
        let known = TunnelKind::ALL.contains(&set.kind) && set.kind != TunnelKind::NONE;
        ensure(known, Why::Invalid, Place::Field(0))?;
        let offered = (caps.decap_v4 | caps.decap_v6) & bit != 0;
        ensure(offered, Why::Unsupported, Place::Field(0))?;
        let gre = set.kind == TunnelKind::GRETAP;
        ensure(gre == (set.port == [0, 0]), Why::Invalid, Place::Field(2))?;
        let allowed = match set.kind {
            TunnelKind::VXLAN => tunnel_flags::ALL,
            TunnelKind::GRETAP => tunnel_flags::ON,
            _ => tunnel_flags::ON | tunnel_flags::ZERO_CHECKSUM_V6,
        };
        ensure(set.flags & !allowed == 0, Why::Invalid, Place::Field(4))?;
        let at = self.list.iter().position(|port| port.port == set.port);
        let other = at
            .and_then(|at| self.list.get(at))
            .is_some_and(|port| port.kind != set.kind);
        ensure(!other, Why::Conflict, Place::Field(2))?;
        match (at, set.flags & tunnel_flags::ON != 0) {
            (None, false) => return Err(Refused::new(Why::Missing, Place::Field(2))),
            (None, true) => {
                ensure(
                    self.usage.used < self.usage.size,
                    Why::Full,
                    Place::Field(2),
                )?;
                self.list.push(*set);
                self.usage.add();
            }
            (Some(at), false) => {
                self.list.remove(at);
                self.usage.sub();
            }
            (Some(at), true) => self.list[at] = *set,
        }
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The port of that number; 0 is GRE.
    fn find(&self, port: u16) -> Option<&TunnelPort> {
        let port = port.to_be_bytes();
        self.list.iter().find(|entry| entry.port == port)
    }
}

/// What is noted of the outer headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Kind of tunnel; 0 for none.
    pub kind: u8,
    family: u8,
    /// Both addresses, each of 4 or 16 bytes.
    addresses: Vec<u8>,
    key: u32,
    source_port: u16,
    destination_port: u16,
    /// TOS or traffic class.
    pub tos: u8,
    ttl: u8,
    flags: u8,
    /// Options, as the conditions on them see them.
    pub options: Vec<u8>,
}

impl Note {
    /// Sets the fields of tunnels.
    pub fn fill(&self, values: &mut Values) {
        if self.kind == 0 {
            return;
        }
        let (source, destination) = match self.family {
            4 => (Field::ENC_IPV4_SRC, Field::ENC_IPV4_DST),
            _ => (Field::ENC_IPV6_SRC, Field::ENC_IPV6_DST),
        };
        let (first, second) = self.addresses.split_at(self.addresses.len() / 2);
        values.put(source, first);
        values.put(destination, second);
        values.put8(Field::ENC_FAMILY, self.family);
        values.put32(Field::ENC_KEY_ID, self.key);
        values.put16(Field::ENC_SRC_PORT, self.source_port);
        values.put16(Field::ENC_DST_PORT, self.destination_port);
        values.put8(Field::ENC_TOS, self.tos);
        values.put8(Field::ENC_TTL, self.ttl);
        values.put8(Field::ENC_FLAGS, self.flags);
        values.put8(Field::TUNNEL_KIND, self.kind);
        values.put8(Field::ENC_OPTIONS_LENGTH, self.options.len() as u8);
    }
}

/// A frame in a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What is noted of the outer headers.
    pub note: Note,
    /// Where the inner frame is in the outer one's data.
    pub inner: Range<usize>,
}

/// Opens a frame whose headers were read.
pub fn open(view: &View<'_>, layers: &Layers, values: &Values, ports: &Ports) -> Option<Opened> {
    if ports.is_empty() || layers.fragment || !matches!(layers.proto, UDP | GRE) {
        return None;
    }
    let network = layers.network?;
    // Nothing but tags may be before the outer IP header: one beside the data, one in it.
    let tags = usize::from(values.number(Field::NUM_OF_VLANS));
    let in_data = tags.checked_sub(usize::from(view.tag.is_some()))?;
    if in_data > 1 || network != ETHERNET + 4 * in_data {
        return None;
    }
    let (length, dont_fragment) = ip_length(view.data, network, layers.family)?;
    let data = view.data.get(..network.checked_add(length)?)?;
    let (source, destination) = match layers.family {
        4 => (Field::IPV4_SRC, Field::IPV4_DST),
        _ => (Field::IPV6_SRC, Field::IPV6_DST),
    };
    let note = Note {
        family: layers.family,
        addresses: [values.get(source), values.get(destination)].concat(),
        tos: values.number(Field::IP_TOS) as u8,
        ttl: values.number(Field::IP_TTL) as u8,
        flags: if dont_fragment {
            flag::DONT_FRAGMENT
        } else {
            0
        },
        ..Note::default()
    };
    let opened = match layers.proto {
        UDP => open_udp(data, layers.transport, note, ports),
        _ => open_gre(data, layers.transport, note, ports),
    }?;
    is_whole(data.get(opened.inner.clone())?).then_some(opened)
}

/// Whether an inner frame has its Ethernet header, and one of IP where that is its type.
fn is_whole(inner: &[u8]) -> bool {
    let behind = match word(inner, ETHERNET - 2) {
        Some(ETHERTYPE_IPV4) => 20,
        Some(ETHERTYPE_IPV6) => IPV6_HEADER,
        Some(_) => 0,
        None => return false,
    };
    inner.len() >= ETHERNET + behind
}

/// Length of an IP packet that a stack would take, and whether it may not be fragmented.
fn ip_length(data: &[u8], network: usize, family: u8) -> Option<(usize, bool)> {
    let first = *data.get(network)?;
    if first >> 4 != family {
        return None;
    }
    if family == 6 {
        let payload = word(data, network + 4)?;
        return Some((IPV6_HEADER + usize::from(payload), false));
    }
    let header = data.get(network..network + usize::from(first & 0xf) * 4)?;
    if !Sum::default().and(header).is_right() {
        return None;
    }
    let dont_fragment = word(header, 6)? & 0x4000 != 0;
    Some((usize::from(word(header, 2)?), dont_fragment))
}

fn open_udp(data: &[u8], at: usize, mut note: Note, ports: &Ports) -> Option<Opened> {
    let [source, destination, length, checksum] =
        [0, 2, 4, 6].map(|offset| word(data, at + offset).unwrap_or(0));
    take::<8>(data, at)?;
    let port = ports.find(destination).filter(|_| destination != 0)?;
    let data = data.get(..at + usize::from(length))?;
    let datagram = data.get(at..)?;
    if checksum == 0 {
        if note.family == 6 && port.flags & tunnel_flags::ZERO_CHECKSUM_V6 == 0 {
            return None;
        }
    } else {
        let (first, second) = note.addresses.split_at(note.addresses.len() / 2);
        let pseudo = pseudo_header(first, second, UDP, datagram.len());
        if !pseudo.and(datagram).is_right() {
            return None;
        }
        note.flags |= flag::CHECKSUM;
    }
    note.source_port = source;
    note.destination_port = destination;
    note.kind = port.kind.0;
    let start = match port.kind {
        TunnelKind::VXLAN => {
            let policy = port.flags & tunnel_flags::GROUP_POLICY != 0;
            open_vxlan(data, at + 8, &mut note, policy)?
        }
        _ => open_geneve(data, at + 8, &mut note)?,
    };
    Some(Opened {
        note,
        inner: start..data.len(),
    })
}

/// Reads a VXLAN header; tells where the inner frame starts.
fn open_vxlan(data: &[u8], at: usize, note: &mut Note, policy: bool) -> Option<usize> {
    const ID: u32 = 1 << 27;
    const GROUP: u32 = 1 << 31;
    /// Group, "don't learn" and "policy applied".
    const GROUP_BITS: u32 = 0x0048_ffff;
    let flags = long(data, at)?;
    let id = long(data, at + 4)?;
    let known = if policy { ID | GROUP | 0x00ff_ffff } else { ID };
    if flags & ID == 0 || flags & !known != 0 || id & 0xff != 0 {
        return None;
    }
    note.key = id >> 8;
    if policy && flags & GROUP != 0 {
        note.options = (flags & GROUP_BITS).to_be_bytes().to_vec();
    }
    Some(at + 8)
}

/// Reads a Geneve header; tells where the inner frame starts.
fn open_geneve(data: &[u8], at: usize, note: &mut Note) -> Option<usize> {
    let [first, flags, kind @ .., _, _, _, _] = take::<8>(data, at)?;
    if first >> 6 != 0 || u16::from_be_bytes(kind) != BRIDGED {
        return None;
    }
    let start = at + 8;
    let end = start + usize::from(first & 0x3f) * 4;
    note.options = data.get(start..end)?.to_vec();
    note.key = long(data, at + 4)? >> 8;
    note.flags |= if flags & 0x80 != 0 { flag::OAM } else { 0 };
    note.flags |= if flags & 0x40 != 0 { flag::CRITICAL } else { 0 };
    Some(end)
}

fn open_gre(data: &[u8], at: usize, mut note: Note, ports: &Ports) -> Option<Opened> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const VERSION: u16 = 7;
    let port = ports.find(0)?;
    let flags = word(data, at)?;
    if flags & (ROUTING | VERSION) != 0 || word(data, at + 2)? != BRIDGED {
        return None;
    }
    let mut start = at + 4;
    if flags & CHECKSUM != 0 {
        if !Sum::default().and(data.get(at..)?).is_right() {
            return None;
        }
        note.flags |= flag::CHECKSUM;
        start += 4;
    }
    if flags & KEY != 0 {
        note.key = long(data, start)?;
        start += 4;
    }
    if flags & SEQUENCE != 0 {
        start += 4;
    }
    note.kind = port.kind.0;
    Some(Opened {
        note,
        inner: start..data.len(),
    })
}
