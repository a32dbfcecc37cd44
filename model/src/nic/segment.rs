// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Cutting a packet into segments, and putting checksums in.
//!
//! Segments are made in place: each one's headers are written in front of its payload, over the payload that has gone out
//! before. Nothing is copied but headers.

use super::checksum::Sum;
use super::frame::{Frame, HEADROOM};
use super::limits;
use super::packet::{Network, Packet, TCP, UDP};
use oxnic_abi::ring::{TxContext, tx_flags};

/// The descriptors ask for what the packet does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPacket;

/// Bytes of a UDP header, and of a TCP header without options.
const UDP_HEADER: usize = 8;
const TCP_HEADER: usize = 20;
/// Bits of the 13th and 14th byte of a TCP header.
const FIN: u8 = 1;
const PSH: u8 = 1 << 3;
const CWR: u8 = 1 << 7;

/// Puts the checksum in that a data descriptor asks for: over all from byte `start` of the frame to its end, at `offset`
/// bytes from there. A result of zero is written as all ones, which is the same in one's complement and has meaning in UDP.
///
/// # Errors
/// The field is not in the frame.
pub fn insert_checksum(frame: &mut Frame, start: usize, offset: usize) -> Result<(), BadPacket> {
    let area = frame.bytes_mut().get_mut(start..).ok_or(BadPacket)?;
    let checksum = nonzero(Sum::default().and(area).finish());
    area.get_mut(offset..offset + 2)
        .ok_or(BadPacket)?
        .copy_from_slice(&checksum);
    Ok(())
}

fn nonzero(checksum: [u8; 2]) -> [u8; 2] {
    if checksum == [0, 0] {
        [0xff, 0xff]
    } else {
        checksum
    }
}

/// A packet that is being cut.
#[derive(Clone, Debug)]
pub struct Segments {
    headers: Vec<u8>,
    network: Network,
    /// Start of the transport header in the headers.
    transport: usize,
    /// Start of the IP header in the headers.
    start: usize,
    tcp: bool,
    fixed_id: bool,
    mss: usize,
    /// Next payload byte in the buffer.
    at: usize,
    /// Bytes of payload that have not gone out; those that are in the buffer come first.
    left: usize,
    number: usize,
}

impl Segments {
    /// Looks at a packet to be cut; the context was checked by itself.
    ///
    /// # Errors
    /// The context does not fit the packet.
    pub fn new(context: &TxContext, frame: &Frame) -> Result<Self, BadPacket> {
        let packet = Packet::parse_unsegmented(frame);
        let (network, transport) = packet.network.zip(packet.transport).ok_or(BadPacket)?;
        let tcp = context.flags & tx_flags::TSO != 0;
        let origin = frame.start();
        let length = usize::from(context.header_length);
        let headers = frame.bytes().get(..length).ok_or(BadPacket)?.to_vec();
        let at = transport.start - origin;
        let own = match transport.protocol {
            TCP if tcp => usize::from(headers.get(at + 12).ok_or(BadPacket)? >> 4) * 4,
            UDP if !tcp => UDP_HEADER,
            _ => return Err(BadPacket),
        };
        let fits = usize::from(context.l3_start) * 2 == network.start - origin
            && usize::from(context.l4_start) * 2 == at
            && (!tcp || own >= TCP_HEADER)
            && at + own == length
            && length <= limits::HEADERS_MAX
            && length < frame.len()
            && !network.routed;
        if !fits {
            return Err(BadPacket);
        }
        Ok(Self {
            headers,
            transport: at,
            start: network.start - origin,
            network,
            tcp,
            fixed_id: context.flags & tx_flags::FIXED_ID != 0,
            mss: usize::from(context.mss),
            at: origin + length,
            left: frame.len() - length,
            number: 0,
        })
    }

    /// Bytes of headers and of the longest payload of a segment.
    pub fn longest(&self) -> usize {
        self.headers.len() + self.mss.min(self.left)
    }

    /// Whether all have been made.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Makes room in a buffer for the payload of `count` segments at most, the next ones. Returns how many bytes before the
    /// packet's end it is found in the packet, and where it goes.
    pub fn refill<'a>(&mut self, frame: &'a mut Frame, count: usize) -> (usize, &'a mut [u8]) {
        let headers = self.headers.len();
        let payload = self.left.min(self.mss.saturating_mul(count));
        let room = frame.prepare(headers + payload);
        self.at = HEADROOM + headers;
        (self.left, room.get_mut(headers..).unwrap_or_default())
    }

    /// Makes the next segment in the frame's buffer. False if there is none left.
    pub fn next(&mut self, frame: &mut Frame) -> bool {
        if self.is_done() {
            return false;
        }
        let payload = self.mss.min(self.left);
        frame.set_window(self.at - self.headers.len(), self.at + payload);
        if let Some(room) = frame.bytes_mut().get_mut(..self.headers.len()) {
            room.copy_from_slice(&self.headers);
        }
        self.at += payload;
        self.left -= payload;
        // The payload's place is fixed; what was found of the headers moved along with them.
        let done = self.finish(frame, payload);
        debug_assert!(done.is_some());
        self.number += 1;
        true
    }

    /// Makes the headers right.
    fn finish(&self, frame: &mut Frame, payload: usize) -> Option<()> {
        let bytes = frame.bytes_mut();
        let length = bytes.len() - self.start;
        let message = bytes.len() - self.transport;
        let ip = bytes.get_mut(self.start..self.transport)?;
        if self.network.version == 4 {
            ip.get_mut(2..4)?
                .copy_from_slice(&(length as u16).to_be_bytes());
            if !self.fixed_id {
                let id = u16::from_be_bytes([*ip.get(4)?, *ip.get(5)?]);
                let id = id.wrapping_add(self.number as u16);
                ip.get_mut(4..6)?.copy_from_slice(&id.to_be_bytes());
            }
            ip.get_mut(10..12)?.fill(0);
            let checksum = Sum::default().and(ip).finish();
            ip.get_mut(10..12)?.copy_from_slice(&checksum);
        } else {
            ip.get_mut(4..6)?
                .copy_from_slice(&((length - 40) as u16).to_be_bytes());
        }
        let (protocol, field) = if self.tcp { (TCP, 16) } else { (UDP, 6) };
        let origin = self.network.start - self.start;
        let from = |range: &std::ops::Range<usize>| range.start - origin..range.end - origin;
        let pseudo = super::checksum::pseudo_header(
            bytes.get(from(&self.network.source))?,
            bytes.get(from(&self.network.destination))?,
            protocol,
            message,
        );
        let header = bytes.get_mut(self.transport..)?;
        if self.tcp {
            self.finish_tcp(header)?;
        } else {
            header
                .get_mut(4..6)?
                .copy_from_slice(&((payload + 8) as u16).to_be_bytes());
        }
        header.get_mut(field..field + 2)?.fill(0);
        let checksum = pseudo.and(header).finish();
        let checksum = if self.tcp {
            checksum
        } else {
            nonzero(checksum)
        };
        header.get_mut(field..field + 2)?.copy_from_slice(&checksum);
        Some(())
    }

    fn finish_tcp(&self, header: &mut [u8]) -> Option<()> {
        let sequence = u32::from_be_bytes(header.get(4..8)?.try_into().ok()?);
        let sequence = sequence.wrapping_add((self.number * self.mss) as u32);
        header
            .get_mut(4..8)?
            .copy_from_slice(&sequence.to_be_bytes());
        let flags = header.get_mut(13)?;
        if !self.is_done() {
            *flags &= !(FIN | PSH);
        }
        if self.number > 0 {
            *flags &= !CWR;
        }
        Some(())
    }
}

/// Room in front of every segment is at least that of a whole frame, since headers stood before the first one's payload.
const _: () = assert!(HEADROOM >= 8);
