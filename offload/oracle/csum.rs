// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Checksums made right (`tcf_csum_act`).
//!
//! - A packet whose length field says more than is there, or less than its headers need, is **dropped**.
//! - A later fragment gets its IPv4 header's checksum only; an IPv6 fragment, the first one too, gets none.
//! - UDP over IPv4 without a checksum stays without one. A UDP length that is not the IP packet's **clears** the checksum, and
//!   leaves it at that (`tcf_csum_ipv4_udp`, `tcf_csum_ipv6_udp`). UDP-Lite with a length of zero is summed with a pseudo header
//!   that says zero.
//! - SCTP is summed to the end of the frame, padding included (`sctp_compute_cksum`).
//! - Options of IPv4 that run over the end, and a header length below 20: what the kernel sums then is beyond its own data; here
//!   what is there is summed.

use super::packet::Packet;
use crate::packet::checksum::{crc32c, Sum};
use crate::packet::ethernet::{self, HEADER};
use crate::packet::{bytes, ipv4, ipv6, ports, vlan, Address};
use crate::rule::action::checksum;

/// Makes the checksums right. `false`: drop.
pub fn correct(packet: &mut Packet<'_, '_>, what: u8) -> bool {
    let mut protocol = packet.protocol;
    let mut network = HEADER;
    let data = packet.data_mut();
    while vlan::is_tag(protocol) {
        let Some(behind) = bytes::be16(data, network + 2) else {
            return false;
        };
        protocol = behind;
        network += vlan::LENGTH;
    }
    match protocol {
        ethernet::IPV4 => correct_ipv4(data, network, what).is_some(),
        ethernet::IPV6 => correct_ipv6(data, network, what).is_some(),
        _ => true,
    }
}

/// A transport packet within the data.
struct Transport {
    start: usize,
    end: usize,
    address: Address,
    protocol: u8,
}

fn correct_ipv4(data: &mut [u8], network: usize, what: u8) -> Option<()> {
    let header: [u8; ipv4::HEADER] = bytes::array(data, network)?;
    let length = usize::from(header[0] & 0x0f) * 4;
    let total = usize::from(bytes::be16(&header, 2)?);
    let later = bytes::be16(&header, 6)? & 0x1fff != 0;
    let transport = Transport {
        start: network + length,
        end: network + total,
        address: Address::V4(bytes::array(&header, 12)?, bytes::array(&header, 16)?),
        protocol: header[9],
    };
    if !later {
        correct_transport(data, &transport, what)?;
    }
    if what & checksum::IPV4 != 0 {
        bytes::put(data, network + 10, &[0, 0]);
        let end = (network + length).min(data.len());
        let sum = Sum::default()
            .with(data.get(network..end).unwrap_or(&[]))
            .checksum();
        bytes::put(data, network + 10, &sum.to_be_bytes());
    }
    Some(())
}

fn correct_ipv6(data: &mut [u8], network: usize, what: u8) -> Option<()> {
    let header = ipv6::Ipv6::parse(data, network)?;
    let mut payload = usize::from(header.payload);
    let mut next = header.next;
    let mut start = network + ipv6::HEADER;
    loop {
        match next {
            ipv6::ROUTING | ipv6::HOP_BY_HOP | ipv6::DESTINATION => {
                let (following, length) = ipv6::extension(data, start)?;
                let options = data.get(start..start.checked_add(length)?)?;
                if next == ipv6::HOP_BY_HOP {
                    payload = jumbo(options, payload)?;
                }
                next = following;
                start += length;
            }
            ports::ICMPV6 | ports::TCP | ports::UDP | ports::UDP_LITE | ports::SCTP => {
                let address = Address::V6(header.source, header.destination);
                let end = network.checked_add(ipv6::HEADER)?.checked_add(payload)?;
                return correct_transport(
                    data,
                    &Transport {
                        start,
                        end,
                        address,
                        protocol: next,
                    },
                    what,
                );
            }
            _ => return Some(()),
        }
        if start >= data.len() {
            return Some(());
        }
    }
}

/// The payload's length, which a jumbo option among hop-by-hop options says anew. `None` for one that is wrong.
fn jumbo(options: &[u8], payload: usize) -> Option<usize> {
    const PAD: u8 = 0;
    const JUMBO: u8 = 194;
    let mut at = 2;
    while at + 1 < options.len() {
        let left = options.len() - at;
        let kind = bytes::u8_at(options, at)?;
        let length = if kind == PAD {
            1
        } else {
            usize::from(bytes::u8_at(options, at + 1)?) + 2
        };
        if kind == JUMBO {
            if length != 6 || left < 6 || at % 4 != 2 {
                return None;
            }
            return usize::try_from(bytes::be32(options, at + 2)?).ok();
        }
        if length > left {
            break;
        }
        at += length;
    }
    Some(payload)
}

/// Where the checksum is, how long the header is, and which flag asks for it.
fn layout(transport: &Transport) -> Option<(usize, usize, u8)> {
    let v6 = matches!(transport.address, Address::V6(..));
    match transport.protocol {
        ports::ICMP if !v6 => Some((2, 8, checksum::ICMP)),
        ports::ICMPV6 if v6 => Some((2, 8, checksum::ICMP)),
        ports::IGMP if !v6 => Some((2, 8, checksum::IGMP)),
        ports::TCP => Some((16, 20, checksum::TCP)),
        ports::UDP => Some((6, 8, checksum::UDP)),
        ports::UDP_LITE => Some((6, 8, checksum::UDP_LITE)),
        ports::SCTP => Some((8, 12, checksum::SCTP)),
        _ => None,
    }
}

fn correct_transport(data: &mut [u8], transport: &Transport, what: u8) -> Option<()> {
    let Some((place, header, flag)) = layout(transport) else {
        return Some(());
    };
    if what & flag == 0 {
        return Some(());
    }
    if transport.end > data.len() || transport.end < transport.start + header {
        return None;
    }
    let at = transport.start + place;
    match transport.protocol {
        ports::SCTP => {
            bytes::put(data, at, &[0; 4]);
            let crc = crc32c(&[data.get(transport.start..)?]);
            bytes::put(data, at, &crc);
            Some(())
        }
        ports::UDP | ports::UDP_LITE => correct_udp(data, transport, at),
        _ => {
            bytes::put(data, at, &[0, 0]);
            let length = u32::try_from(transport.end - transport.start).ok()?;
            let pseudo = match transport.protocol {
                ports::ICMP | ports::IGMP => Sum::default(),
                protocol => Sum::default().with_pseudo_header(transport.address, length, protocol),
            };
            let sum = pseudo
                .with(data.get(transport.start..transport.end)?)
                .checksum();
            bytes::put(data, at, &sum.to_be_bytes());
            Some(())
        }
    }
}

fn correct_udp(data: &mut [u8], transport: &Transport, at: usize) -> Option<()> {
    let lite = transport.protocol == ports::UDP_LITE;
    let v4 = matches!(transport.address, Address::V4(..));
    if v4 && !lite && bytes::be16(data, at)? == 0 {
        return Some(());
    }
    let all = transport.end - transport.start;
    let said = bytes::be16(data, transport.start + 4)?;
    bytes::put(data, at, &[0, 0]);
    let covered = match usize::from(said) {
        0 if lite => all,
        length if lite && (8..=all).contains(&length) => length,
        length if !lite && length == all => length,
        _ => return Some(()),
    };
    let pseudo =
        Sum::default().with_pseudo_header(transport.address, u32::from(said), transport.protocol);
    let sum = match pseudo
        .with(data.get(transport.start..transport.start + covered)?)
        .checksum()
    {
        0 => 0xffff,
        sum => sum,
    };
    bytes::put(data, at, &sum.to_be_bytes());
    Some(())
}
