// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A frame on its way through tables, and what goes along with it.
//!
//! The outermost tag is beside the bytes, as Linux has it: offsets of edits count without it.

use super::bytes::{take, word, write};
use super::parse::{self, ETHERNET, Layers, View};
use super::tunnel::{self, Note, Opened, Ports};
use super::values::Values;
use crate::nic::frame::Tag;
use oxnic_abi::flow::field::FlowField;
use std::ops::Range;

/// Room in front for tags.
const HEADROOM: usize = 64;
/// Bytes of the two addresses.
const ADDRESSES: usize = 12;

/// What COUNT and METER count of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Bytes, without those of the first tag.
    pub bytes: u32,
    /// The Ethernet header is among them.
    with_header: bool,
}

impl Counted {
    /// Of a frame that comes in, or is within another: what is behind the Ethernet header.
    fn behind_header(length: usize) -> Self {
        Self {
            bytes: length.saturating_sub(ETHERNET) as u32,
            with_header: false,
        }
    }

    /// Length with the Ethernet header.
    pub fn length(self) -> u32 {
        match self.with_header {
            true => self.bytes,
            false => self.bytes.saturating_add(ETHERNET as u32),
        }
    }
}

/// Headers that were read, until something changes.
#[derive(Clone, Debug, Default)]
struct Read {
    /// Of the frame itself.
    plain: Option<(Box<Values>, Layers)>,
    /// Of the frame in its tunnel: none within if it is in none.
    tunnel: Option<Option<(Box<Values>, Opened)>>,
}

/// A frame.
#[derive(Clone, Debug, Default)]
pub struct Packet {
    buffer: Vec<u8>,
    start: usize,
    tag: Option<Tag>,
    protocol: u16,
    /// Mark.
    pub mark: u32,
    /// Priority.
    pub priority: u32,
    /// What COUNT counts: the length on arrival.
    pub counted: Counted,
    note: Note,
    out_of_tunnel: bool,
    /// A table of view TUNNEL has looked into it since it came, or came out.
    looked_into: bool,
    /// The frame as it came, once it was changed.
    original: Option<Vec<u8>>,
    read: Read,
}

/// Type and protocol of what comes in; none for what Linux drops before it looks at rules.
fn arrive(frame: &[u8]) -> Option<(Option<Tag>, u16)> {
    let kind = word(frame, ADDRESSES)?;
    let behind = frame.get(ETHERNET..)?;
    if !parse::is_tag(kind) {
        return Some((None, parse::protocol(kind, behind)));
    }
    let [a, b, c, d, _, _] = take(behind, 0)?;
    let tag = Tag {
        tpid: kind,
        tci: u16::from_be_bytes([a, b]),
    };
    let rest = behind.get(4..)?;
    Some((Some(tag), parse::protocol(u16::from_be_bytes([c, d]), rest)))
}

impl Packet {
    /// Takes a copy of a frame. None for one that no table sees.
    pub fn new(frame: &[u8]) -> Option<Self> {
        let (tag, protocol) = arrive(frame)?;
        let mut buffer = Vec::with_capacity(HEADROOM + frame.len());
        buffer.resize(HEADROOM, 0);
        buffer.extend_from_slice(frame);
        let mut packet = Self {
            buffer,
            start: HEADROOM,
            tag,
            protocol,
            ..Self::default()
        };
        if tag.is_some() {
            packet.cut();
        }
        packet.count_ingress();
        Some(packet)
    }

    /// Counts as a frame that comes in does.
    fn count_ingress(&mut self) {
        self.counted = Counted::behind_header(self.data().len());
    }

    /// It comes in at another port, or goes out of one.
    pub fn enter(&mut self, egress: bool) {
        self.original = None;
        self.out_of_tunnel = false;
        self.looked_into = false;
        if egress {
            self.counted = Counted {
                bytes: self.data().len() as u32,
                with_header: true,
            };
        } else {
            self.note = Note::default();
            self.count_ingress();
            self.touch();
        }
    }

    /// The bytes without the outermost tag.
    pub fn data(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// The outermost tag.
    pub fn tag(&self) -> Option<Tag> {
        self.tag
    }

    /// What is behind it.
    pub fn protocol(&self) -> u16 {
        self.protocol
    }

    /// What is noted of the tunnel that it is out of.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Length as it would leave.
    pub fn length(&self) -> usize {
        self.data().len() + if self.tag.is_some() { 4 } else { 0 }
    }

    /// Adds the bytes, as they would leave, to a buffer.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let data = self.data();
        let (addresses, rest) = data.split_at(ADDRESSES.min(data.len()));
        out.extend_from_slice(addresses);
        if let Some(tag) = self.tag {
            out.extend_from_slice(&tag.tpid.to_be_bytes());
            out.extend_from_slice(&tag.tci.to_be_bytes());
        }
        out.extend_from_slice(rest);
    }

    /// The bytes as they would leave.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.length());
        self.append_to(&mut out);
        out
    }

    /// The bytes as they came.
    pub fn original(&self) -> Vec<u8> {
        match &self.original {
            Some(bytes) => bytes.clone(),
            None => self.bytes(),
        }
    }

    /// The bytes as the port's DEFAULT gets them: what was in a tunnel goes with the tunnel around it.
    pub fn for_default(&self) -> Vec<u8> {
        match self.out_of_tunnel {
            true => self.original(),
            false => self.bytes(),
        }
    }

    /// The bytes, to be changed.
    pub fn change(&mut self) -> &mut [u8] {
        self.remember();
        self.touch();
        self.buffer.get_mut(self.start..).unwrap_or_default()
    }

    /// Sets the outermost tag; gives the old one.
    pub fn set_tag(&mut self, tag: Option<Tag>) -> Option<Tag> {
        self.remember();
        self.touch();
        std::mem::replace(&mut self.tag, tag)
    }

    fn remember(&mut self) {
        if self.original.is_none() {
            self.original = Some(self.bytes());
        }
    }

    fn touch(&mut self) {
        self.read = Read::default();
    }

    /// Takes four bytes out behind the addresses.
    fn cut(&mut self) {
        let from = self.start;
        self.buffer.copy_within(from..from + ADDRESSES, from + 4);
        self.start += 4;
    }

    /// Takes the tag that is first in the bytes out of them. None, and nothing done, where it is cut off.
    pub fn take_inner_tag(&mut self) -> Option<Tag> {
        let [a, b, c, d] = take(self.data(), ETHERNET)?;
        let behind = self.data().get(ETHERNET + 4..)?;
        let tag = Tag {
            tpid: self.protocol,
            tci: u16::from_be_bytes([a, b]),
        };
        let protocol = parse::protocol(u16::from_be_bytes([c, d]), behind);
        self.remember();
        self.touch();
        self.protocol = protocol;
        self.cut();
        Some(tag)
    }

    /// Puts a tag into the bytes, behind the addresses.
    pub fn put_inner_tag(&mut self, tag: Tag) {
        self.remember();
        self.touch();
        if self.start < 4 {
            self.buffer.splice(..0, [0; HEADROOM]);
            self.start += HEADROOM;
        }
        let (from, to) = (self.start, self.start - 4);
        let end = (from + ADDRESSES).min(self.buffer.len());
        self.buffer.copy_within(from..end, to);
        self.start = to;
        let [a, b] = tag.tpid.to_be_bytes();
        let [c, d] = tag.tci.to_be_bytes();
        let _ = write(&mut self.buffer, to + ADDRESSES, &[a, b, c, d]);
        self.protocol = tag.tpid;
    }

    /// The protocol behind all tags, and where it begins. None where a tag is cut off.
    pub fn behind_tags(&self) -> Option<(u16, usize)> {
        let (mut kind, mut at) = (self.protocol, ETHERNET);
        while parse::is_tag(kind) {
            kind = word(self.data(), at + 2)?;
            at += 4;
        }
        Some((kind, at))
    }

    /// What rules see of the frame as it is.
    pub fn plain(&mut self) -> (&mut Values, &Layers) {
        let (data, tag, protocol, note) = (
            self.buffer.get(self.start..).unwrap_or_default(),
            self.tag,
            self.protocol,
            &self.note,
        );
        let read = self.read.plain.get_or_insert_with(|| {
            let mut values = Box::<Values>::default();
            let view = View {
                data,
                tag,
                protocol,
            };
            let layers = parse::parse(&view, &mut values);
            note.fill(&mut values);
            (values, layers)
        });
        (&mut read.0, &read.1)
    }

    /// What rules see of the frame in its tunnel, and its options. None if it is in none.
    pub fn in_tunnel(&mut self, ports: &Ports) -> Option<(&mut Values, &Opened)> {
        if self.read.tunnel.is_none() {
            let opened = self.open(ports);
            self.read.tunnel = Some(opened);
        }
        let (values, opened) = self.read.tunnel.as_mut()?.as_mut()?;
        Some((values, opened))
    }

    fn open(&mut self, ports: &Ports) -> Option<(Box<Values>, Opened)> {
        self.plain();
        let (values, layers) = self.read.plain.as_ref()?;
        let view = View {
            data: self.data(),
            tag: self.tag,
            protocol: self.protocol,
        };
        let opened = tunnel::open(&view, layers, values, ports)?;
        let inner = Self::new(self.data().get(opened.inner.clone())?)?;
        let mut values = Box::<Values>::default();
        let view = View {
            data: inner.data(),
            tag: inner.tag,
            protocol: inner.protocol,
        };
        parse::parse(&view, &mut values);
        opened.note.fill(&mut values);
        Some((values, opened))
    }

    /// What a table at a port sees: of the frame itself, or `within` its tunnel. None if it is in none.
    pub fn look(&mut self, within: bool, port: u16, ports: &Ports) -> Option<(&Values, &[u8])> {
        let port = u32::from(port);
        if within && !self.is_noted() {
            self.looked_into = true;
            let (values, opened) = self.in_tunnel(ports)?;
            values.put32(FlowField::INGRESS_PORT, port);
            return Some((values, &opened.note.options));
        }
        self.plain().0.put32(FlowField::INGRESS_PORT, port);
        let (values, _) = self.read.plain.as_ref()?;
        Some((values, &self.note.options))
    }

    /// Whether tables of view TUNNEL look at the frame itself, since it is out of its tunnel already.
    pub fn is_noted(&self) -> bool {
        self.note.kind != 0
    }

    /// Whether it is out of its tunnel, and no table has looked into another one since.
    fn is_out(&self) -> bool {
        self.is_noted() || self.out_of_tunnel && !self.looked_into
    }

    /// What COUNT counts in a table of view TUNNEL.
    pub fn counted_within(&mut self, ports: &Ports) -> Counted {
        if self.is_out() {
            return self.counted;
        }
        let Some((_, opened)) = self.in_tunnel(ports) else {
            return self.counted;
        };
        let Range { start, end } = opened.inner;
        let tagged = word(self.data(), start + ADDRESSES).is_some_and(parse::is_tag);
        let length = (end - start) - if tagged { 4 } else { 0 };
        Counted::behind_header(length)
    }

    /// Takes the frame out of its tunnel. False if it is in none. A frame that is out of one is not taken out of another one that
    /// no table has looked into.
    pub fn take_out(&mut self, ports: &Ports) -> bool {
        if self.is_out() || self.in_tunnel(ports).is_none() {
            return false;
        }
        let Some((_, opened)) = self.read.tunnel.take().flatten() else {
            return false;
        };
        let inner = self.data().get(opened.inner.clone());
        let Some(inner) = inner.and_then(Self::new) else {
            return false;
        };
        self.remember();
        *self = Self {
            mark: self.mark,
            priority: self.priority,
            note: opened.note,
            out_of_tunnel: true,
            original: self.original.take(),
            ..inner
        };
        true
    }

    /// Forgets what is noted of the tunnel.
    pub fn forget_note(&mut self) {
        self.note = Note::default();
        self.touch();
    }
}
