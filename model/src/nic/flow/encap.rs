// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Headers that are put around frames: what the driver gave, and what the device fills in.

use super::bytes::{take, word, write};
use super::parse::{ETHERNET, IPV6_HEADER, is_tag};
use super::refused::{Place, Refused, Why, ensure};
use super::tunnel::{BRIDGED, GRE};
use crate::nic::checksum::{Sum, pseudo_header};
use crate::nic::packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, UDP};
use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::encap::{EncapSet, encap_flags};
use oxnic_abi::flow::tunnel::TunnelKind;

/// The checksum bit of GRE.
const GRE_CHECKSUM: u16 = 0x8000;

/// The type behind an Ethernet header and up to two tags, and where that begins.
fn behind_tags(headers: &[u8]) -> Option<(u16, usize)> {
    let mut at = ETHERNET;
    for _ in 0..2 {
        if !is_tag(word(headers, at - 2)?) {
            break;
        }
        at += 4;
    }
    Some((word(headers, at - 2)?, at))
}

/// What is known of a frame around which headers are put.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inner {
    /// 4, 6 or 0.
    pub family: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// It may not be fragmented.
    pub dont_fragment: bool,
    /// A hash that frames of one flow share.
    pub hash: u32,
}

/// Headers.
#[derive(Clone, Debug)]
pub struct Encap {
    options: u16,
    headers: Vec<u8>,
    network: usize,
    transport: usize,
    kind: TunnelKind,
    ports: (u16, u16),
    family: u8,
}

impl Encap {
    /// From a command.
    ///
    /// # Errors
    /// The first thing that the device cannot do, or that is not as the interface wants it.
    pub fn new(caps: &FlowCaps, set: &EncapSet, headers: &[u8]) -> Result<Self, Refused> {
        let field = |offset| Place::Field(offset);
        let has = |flag| set.options & flag != 0;
        let bit = 1u16.checked_shl(u32::from(set.kind.0)).unwrap_or(0);
        let known = TunnelKind::ALL.contains(&set.kind) && set.kind != TunnelKind::NONE;
        ensure(known, Why::Invalid, field(14))?;
        let offered = (caps.encap_v4 | caps.encap_v6) & bit != 0;
        ensure(offered, Why::Unsupported, field(14))?;
        let unknown = set.options & !caps.encap_flags;
        ensure(unknown == 0, Why::Unsupported, field(6))?;
        ensure(set.length <= caps.encap_max, Why::Limit, field(8))?;
        ensure(
            headers.len() == usize::from(set.length),
            Why::Invalid,
            field(8),
        )?;
        let udp = set.kind != TunnelKind::GRETAP;
        let entropy = has(encap_flags::SOURCE_PORT);
        ensure(udp || !entropy, Why::Conflict, field(6))?;
        let ports = (set.port_min, set.port_max);
        let ordered = ports.0 != 0 && ports.0 <= ports.1;
        let right = if entropy { ordered } else { ports == (0, 0) };
        ensure(right, Why::Invalid, field(16))?;
        let mut encap = Self {
            options: set.options,
            headers: headers.to_vec(),
            network: set.network.into(),
            transport: set.transport.into(),
            kind: set.kind,
            ports,
            family: 0,
        };
        if set.length == 0 && !has(encap_flags::READY) {
            return Ok(encap);
        }
        encap.check_network(caps, bit)?;
        encap.check_transport()?;
        Ok(encap)
    }

    /// The Ethernet and the IP header.
    fn check_network(&mut self, caps: &FlowCaps, bit: u16) -> Result<(), Refused> {
        let place = Place::Field(10);
        let at = self.network;
        let byte = |offset: usize| Place::Header((at + offset) as u16);
        let kind = behind_tags(&self.headers)
            .filter(|(_, end)| *end == at)
            .map(|(kind, _)| kind);
        let first = self.headers.get(at).copied().unwrap_or(0);
        let (family, length, protocol, kinds) = match (kind, first >> 4) {
            (Some(ETHERTYPE_IPV4), 4) => (4, usize::from(first & 0xf) * 4, 9, caps.encap_v4),
            (Some(ETHERTYPE_IPV6), 6) => (6, IPV6_HEADER, 6, caps.encap_v6),
            _ => return Err(Refused::new(Why::Invalid, place)),
        };
        ensure(kinds & bit != 0, Why::Unsupported, Place::Field(14))?;
        ensure(family == 6 || length == 20, Why::Invalid, byte(0))?;
        let meets = self.transport == at + length;
        ensure(meets, Why::Invalid, Place::Field(12))?;
        let expected = match self.kind {
            TunnelKind::GRETAP => GRE,
            _ => UDP,
        };
        let right = self.headers.get(at + protocol) == Some(&expected);
        ensure(right, Why::Invalid, byte(protocol))?;
        let fragments = family == 4 && word(&self.headers, at + 6).unwrap_or(0) & 0x3fff != 0;
        ensure(!fragments, Why::Invalid, byte(6))?;
        self.family = family;
        Ok(())
    }

    /// What is behind the IP header, up to the end.
    fn check_transport(&self) -> Result<(), Refused> {
        let at = self.transport;
        let byte = |offset: usize| Place::Header((at + offset) as u16);
        let headers = &self.headers;
        let short = Refused::new(Why::Invalid, Place::Field(8));
        let wants = match self.kind {
            TunnelKind::GRETAP => {
                let flags = word(headers, at).ok_or(short)?;
                let checksum = self.has(encap_flags::CHECKSUM);
                let same = (flags & GRE_CHECKSUM != 0) == checksum;
                ensure(same && flags & 0x4007 == 0, Why::Invalid, byte(0))?;
                let bridged = word(headers, at + 2) == Some(BRIDGED);
                ensure(bridged, Why::Invalid, byte(2))?;
                4 * (1 + (flags >> 12).count_ones() as usize)
            }
            TunnelKind::GENEVE => {
                let first = headers.get(at + 8).copied().ok_or(short)?;
                16 + 4 * usize::from(first & 0x3f)
            }
            _ => 16,
        };
        ensure(headers.len() == at + wants, Why::Invalid, Place::Field(8))
    }

    fn has(&self, flag: u16) -> bool {
        self.options & flag != 0
    }

    /// Whether frames can be sent with these headers.
    pub fn is_ready(&self) -> bool {
        self.has(encap_flags::READY)
    }

    /// Kind of tunnel.
    pub fn kind(&self) -> TunnelKind {
        self.kind
    }

    /// Bytes that it adds.
    pub fn length(&self) -> usize {
        self.headers.len()
    }

    /// Puts the headers before a frame, and fills in what is the device's. `id` is the next IPv4 identification.
    pub fn put(&self, frame: &[u8], inner: &Inner, id: u16, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.headers);
        out.extend_from_slice(frame);
        self.fill_network(inner, id, out);
        match self.kind {
            TunnelKind::GRETAP => self.fill_gre(out),
            _ => self.fill_udp(inner, out),
        }
    }

    /// TOS as it goes out.
    fn tos(&self, own: u8, inner: &Inner) -> u8 {
        let mut tos = own;
        if inner.family != 0 {
            if self.has(encap_flags::TOS) {
                tos = (tos & 3) | (inner.tos & !3);
            }
            if self.has(encap_flags::ECN) {
                // As Linux does it (RFC 3168, 9.1.1): a mark within does not show outside.
                let mark = if inner.tos & 3 == 3 { 2 } else { inner.tos & 3 };
                tos = (tos & !3) | mark;
            }
        }
        tos
    }

    fn fill_network(&self, inner: &Inner, id: u16, out: &mut [u8]) {
        let at = self.network;
        let ttl = |own: u8| match self.has(encap_flags::TTL) && inner.family != 0 {
            true => inner.ttl,
            false => own,
        };
        if self.family == 6 {
            let Some(header) = take::<8>(out, at) else {
                return;
            };
            let class = self.tos((header[0] << 4) | (header[1] >> 4), inner);
            let payload = out.len().saturating_sub(at + IPV6_HEADER) as u16;
            let [a, b] = payload.to_be_bytes();
            let filled = [
                0x60 | (class >> 4),
                (class << 4) | (header[1] & 0xf),
                header[2],
                header[3],
                a,
                b,
                header[6],
                ttl(header[7]),
            ];
            let _ = write(out, at, &filled);
            return;
        }
        let end = self.transport.min(out.len());
        let length = out.len().saturating_sub(at) as u16;
        let Some(header) = out.get_mut(at..end) else {
            return;
        };
        if let [_, tos, rest @ ..] = header {
            *tos = self.tos(*tos, inner);
            let _ = write(rest, 0, &length.to_be_bytes());
            if self.has(encap_flags::DF) && inner.family == 4 {
                let flags = if inner.dont_fragment { 0x4000u16 } else { 0 };
                let _ = write(rest, 4, &flags.to_be_bytes());
            }
            // Nobody puts together what may not be taken apart (RFC 6864).
            let whole = word(rest, 4).is_some_and(|flags| flags & 0x4000 != 0);
            let id = if whole { 0 } else { id };
            let _ = write(rest, 2, &id.to_be_bytes());
            if let Some(own) = rest.get_mut(6) {
                *own = ttl(*own);
            }
            let _ = write(rest, 8, &[0, 0]);
        }
        let sum = Sum::default().and(header).finish();
        let _ = write(header, 10, &sum);
    }

    fn fill_udp(&self, inner: &Inner, out: &mut [u8]) {
        let at = self.transport;
        if self.has(encap_flags::SOURCE_PORT) {
            let (low, high) = self.ports;
            let span = u64::from(high - low) + 1;
            let port = u64::from(low) + ((u64::from(inner.hash) * span) >> 32);
            let _ = write(out, at, &(port as u16).to_be_bytes());
        }
        let length = out.len().saturating_sub(at);
        let _ = write(out, at + 4, &(length as u16).to_be_bytes());
        let _ = write(out, at + 6, &[0, 0]);
        if !self.has(encap_flags::CHECKSUM) {
            return;
        }
        let (from, width) = match self.family {
            4 => (self.network + 12, 4),
            _ => (self.network + 8, 16),
        };
        let address = |at: usize| out.get(at..at + width).unwrap_or_default();
        let pseudo = pseudo_header(address(from), address(from + width), UDP, length);
        let sum = match pseudo.and(out.get(at..).unwrap_or_default()).finish() {
            [0, 0] => [0xff, 0xff],
            sum => sum,
        };
        let _ = write(out, at + 6, &sum);
    }

    fn fill_gre(&self, out: &mut [u8]) {
        let at = self.transport;
        if !self.has(encap_flags::CHECKSUM) {
            return;
        }
        let _ = write(out, at + 4, &[0, 0]);
        let sum = Sum::default()
            .and(out.get(at..).unwrap_or_default())
            .finish();
        let _ = write(out, at + 4, &sum);
    }
}
