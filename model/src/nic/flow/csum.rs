// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Checksums made right, by Linux' rules of what is a packet whose checksum can be.

use super::bytes::{take, word, write};
use super::packet::Packet;
use super::parse::IPV6_HEADER;
use crate::nic::checksum::{Sum, crc32c, pseudo_header};
use crate::nic::packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, SCTP, TCP, UDP};
use oxnic_abi::flow::action::flow_checksum;

const ICMP: u8 = 1;
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;
const UDP_LITE: u8 = 136;

/// Makes the checksums in `what` right. False if the frame is to be dropped, since its lengths are not those of what is there.
#[must_use]
pub fn correct(packet: &mut Packet, what: u32) -> bool {
    let Some((kind, at)) = packet.behind_tags() else {
        return false;
    };
    match kind {
        ETHERTYPE_IPV4 => ipv4(packet.change(), at, what).is_some(),
        ETHERTYPE_IPV6 => ipv6(packet.change(), at, what).is_some(),
        _ => true,
    }
}

/// A transport message and what its pseudo header needs.
struct Message {
    start: usize,
    end: usize,
    protocol: u8,
    /// Where the source address is; the destination is behind it.
    addresses: usize,
    /// Bytes of an address.
    width: usize,
}

fn ipv4(data: &mut [u8], at: usize, what: u32) -> Option<()> {
    let header = take::<20>(data, at)?;
    let length = usize::from(header[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let whole_or_first = u16::from_be_bytes([header[6], header[7]]) & 0x1fff == 0;
    if whole_or_first {
        let message = Message {
            start: at + length,
            end: at + total,
            protocol: header[9],
            addresses: at + 12,
            width: 4,
        };
        transport(data, &message, what)?;
    }
    if what & flow_checksum::IPV4 != 0 {
        let end = (at + length).min(data.len());
        fill(data, at + 10, at..end, Sum::default());
    }
    Some(())
}

fn ipv6(data: &mut [u8], at: usize, what: u32) -> Option<()> {
    let header = take::<IPV6_HEADER>(data, at)?;
    let mut payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let mut next = header[6];
    let mut start = at + IPV6_HEADER;
    loop {
        match next {
            0 | 43 | 60 => {
                let [following, units] = take(data, start)?;
                let length = 8 + 8 * usize::from(units);
                let options = data.get(start..start + length)?;
                if next == 0 {
                    payload = jumbo(options)?.unwrap_or(payload);
                }
                next = following;
                start += length;
            }
            ICMPV6 | TCP | UDP | UDP_LITE | SCTP => break,
            _ => return Some(()),
        }
        if start >= data.len() {
            return Some(());
        }
    }
    let message = Message {
        start,
        end: (at + IPV6_HEADER).checked_add(payload)?,
        protocol: next,
        addresses: at + 8,
        width: 16,
    };
    transport(data, &message, what)
}

/// The length that a jumbo payload option among hop-by-hop options says. None at all for one that is malformed.
fn jumbo(header: &[u8]) -> Option<Option<usize>> {
    const PAD: u8 = 0;
    const JUMBO: u8 = 0xc2;
    let mut at = 2;
    while let Some([kind, length]) = take(header, at) {
        let left = header.len() - at;
        if kind == JUMBO {
            let right = length == 4 && left >= 6 && at % 4 == 2;
            let value = super::bytes::long(header, at + 2).filter(|_| right)?;
            return Some(Some(value as usize));
        }
        let step = match kind {
            PAD => 1,
            _ => usize::from(length) + 2,
        };
        if step > left {
            break;
        }
        at += step;
    }
    Some(None)
}

fn transport(data: &mut [u8], message: &Message, what: u32) -> Option<()> {
    let v6 = message.width == 16;
    // Where the checksum is, the least length, and the bit that asks for it.
    let (place, least, bit) = match message.protocol {
        ICMP if !v6 => (2, 8, flow_checksum::ICMP),
        ICMPV6 if v6 => (2, 8, flow_checksum::ICMP),
        IGMP if !v6 => (2, 8, flow_checksum::IGMP),
        TCP => (16, 20, flow_checksum::TCP),
        UDP => (6, 8, flow_checksum::UDP),
        UDP_LITE => (6, 8, flow_checksum::UDP_LITE),
        SCTP => (8, 12, flow_checksum::SCTP),
        _ => return Some(()),
    };
    if what & bit == 0 {
        return Some(());
    }
    let Message { start, end, .. } = *message;
    if end > data.len() || end < start + least {
        return None;
    }
    let at = start + place;
    let length = end - start;
    match message.protocol {
        ICMP | IGMP => fill(data, at, start..end, Sum::default()),
        // To the end of the frame, whatever IP says.
        SCTP => {
            let _ = write(data, at, &[0; 4]);
            let crc = !crc32c(!0, data.get(start..)?);
            let _ = write(data, at, &crc.to_le_bytes());
        }
        UDP | UDP_LITE => udp(data, message, at)?,
        _ => {
            let pseudo = message.pseudo_header(data, length)?;
            fill(data, at, start..end, pseudo);
        }
    }
    Some(())
}

impl Message {
    fn pseudo_header(&self, data: &[u8], length: usize) -> Option<Sum> {
        let both = data.get(self.addresses..self.addresses + 2 * self.width)?;
        let (source, destination) = both.split_at(self.width);
        Some(pseudo_header(source, destination, self.protocol, length))
    }
}

/// Computes a checksum over a range in which it stands.
fn fill(data: &mut [u8], at: usize, range: std::ops::Range<usize>, sum: Sum) {
    let _ = write(data, at, &[0, 0]);
    let sum = sum.and(data.get(range).unwrap_or_default()).finish();
    let _ = write(data, at, &sum);
}

fn udp(data: &mut [u8], message: &Message, at: usize) -> Option<()> {
    let lite = message.protocol == UDP_LITE;
    if message.width == 4 && !lite && word(data, at)? == 0 {
        return Some(());
    }
    let all = message.end - message.start;
    let said = usize::from(word(data, message.start + 4)?);
    let _ = write(data, at, &[0, 0]);
    let covered = match (lite, said) {
        (true, 0) => all,
        (true, said) if said >= 8 && said <= all => said,
        (false, said) if said == all => said,
        // It stays without a checksum.
        _ => return Some(()),
    };
    let sum = message
        .pseudo_header(data, said)?
        .and(data.get(message.start..message.start + covered)?)
        .finish();
    let sum = if sum == [0, 0] { [0xff, 0xff] } else { sum };
    let _ = write(data, at, &sum);
    Some(())
}
