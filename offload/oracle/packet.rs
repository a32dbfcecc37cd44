// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The packet that actions change, in a buffer of the caller.

use crate::packet::ethernet::{ADDRESSES, HEADER};
use crate::packet::frame::{Received, Refused};
use crate::packet::{vlan, Frame, Tag, Tunnel};
use crate::rule::Encap;

/// A packet within tc: what a socket buffer is to the kernel.
#[derive(Debug)]
pub struct Packet<'b, 't> {
    buffer: &'b mut [u8],
    start: usize,
    end: usize,
    /// The outermost tag.
    pub tag: Option<Tag>,
    /// The protocol behind it. Edits of the type field do not change it, as they do not in the kernel.
    pub protocol: u16,
    /// Mark.
    pub mark: u32,
    /// Priority.
    pub priority: u32,
    /// The note of the tunnel that the packet came out of, or was told to go into.
    pub tunnel: Tunnel<'t>,
    /// The headers that it was told to get.
    pub encap: Option<Encap<'t>>,
    accounted: u32,
}

/// A packet as it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output<'a, 't> {
    /// The two addresses.
    pub addresses: &'a [u8],
    /// The outermost tag, which goes behind the addresses.
    pub tag: Option<Tag>,
    /// The rest, from the type field on.
    pub rest: &'a [u8],
    /// Mark.
    pub mark: u32,
    /// Priority.
    pub priority: u32,
    /// The headers that a tunnel device shall put around it.
    pub encap: Option<Encap<'t>>,
}

impl<'a> Output<'a, '_> {
    /// The bytes, as on a wire.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + use<'a> {
        let tag = self.tag.map(Tag::bytes);
        self.addresses
            .iter()
            .copied()
            .chain(tag.into_iter().flatten())
            .chain(self.rest.iter().copied())
    }
}

impl<'b, 't> Packet<'b, 't> {
    /// A packet as it is received: `length` bytes of the buffer from `start` on. What is before is room for tags: 4 bytes for each
    /// but the first that rules push. `tunnel` is the note of the tunnel device that it comes out of.
    ///
    /// # Errors
    ///
    /// [`Refused`] where Linux drops the frame before tc. The buffer is then as it was.
    pub fn receive(
        buffer: &'b mut [u8],
        start: usize,
        length: usize,
        tunnel: Option<Tunnel<'t>>,
    ) -> Result<Self, Refused> {
        let end = start
            .checked_add(length)
            .filter(|end| *end <= buffer.len())
            .ok_or(Refused::Runt)?;
        let received = Received::new(buffer.get(start..end).unwrap_or(&[]))?;
        let mut packet = Self {
            buffer,
            start,
            end,
            tag: received.tag,
            protocol: received.protocol,
            mark: 0,
            priority: 0,
            tunnel: tunnel.unwrap_or_default(),
            encap: None,
            accounted: 0,
        };
        if received.tag.is_some() {
            packet.cut_tag();
        }
        packet.accounted =
            u32::try_from(packet.data().len().saturating_sub(HEADER)).unwrap_or(u32::MAX);
        Ok(packet)
    }

    /// The bytes without the outermost tag.
    pub fn data(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or(&[])
    }

    /// The bytes without the outermost tag, to be changed.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.start..self.end).unwrap_or(&mut [])
    }

    /// How classification looks at it.
    pub fn frame(&self) -> Frame<'_> {
        Frame {
            data: self.data(),
            tag: self.tag,
            protocol: self.protocol,
        }
    }

    /// What counters count: the bytes behind the Ethernet header and the first tag **on arrival** (`qdisc_pkt_len`), whatever
    /// actions did since.
    pub fn accounted(&self) -> u32 {
        self.accounted
    }

    /// For a packet that was received, and accounted, before this oracle has got it: what counters count.
    pub fn set_accounted(&mut self, bytes: u32) {
        self.accounted = bytes;
    }

    /// The packet as it would leave now.
    pub fn output(&self) -> Output<'_, 't> {
        let data = self.data();
        let (addresses, rest) = data.split_at(ADDRESSES.min(data.len()));
        Output {
            addresses,
            tag: self.tag,
            rest,
            mark: self.mark,
            priority: self.priority,
            encap: self.encap,
        }
    }

    /// Takes four bytes out behind the addresses.
    pub(super) fn cut_tag(&mut self) {
        let (from, to) = (self.start, self.start + vlan::LENGTH);
        self.buffer.copy_within(from..from + ADDRESSES, to);
        self.start = to;
    }

    /// Puts a tag behind the addresses. `false` where there is no room.
    pub(super) fn insert_tag(&mut self, tag: Tag) -> bool {
        let Some(start) = self.start.checked_sub(vlan::LENGTH) else {
            return false;
        };
        self.buffer
            .copy_within(self.start..self.start + ADDRESSES, start);
        self.start = start;
        crate::packet::bytes::put(self.data_mut(), ADDRESSES, &tag.bytes())
    }
}
