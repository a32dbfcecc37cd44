// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Packets for tests, made and checked by `etherparse`, so that nothing here relies on the code under test.

use crate::mock::tagged;
use etherparse::{
    Ipv4Header, Ipv6Header, NetSlice, PacketBuilder, SlicedPacket, TcpHeader, TransportSlice,
};

/// Which IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ip {
    V4,
    V4Options,
    V6,
    V6Extensions,
}

pub const ALL_IPS: [Ip; 4] = [Ip::V4, Ip::V4Options, Ip::V6, Ip::V6Extensions];
pub const SOURCE4: [u8; 4] = [192, 0, 2, 1];
pub const DESTINATION4: [u8; 4] = [198, 51, 100, 7];
pub const SOURCE6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub const DESTINATION6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// A packet and where its headers are.
#[derive(Clone, Debug)]
pub struct Made {
    pub bytes: Vec<u8>,
    pub l3: usize,
    pub l4: usize,
    pub payload: usize,
}

pub fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

/// Extension headers hop-by-hop and destination options, 8 and 16 bytes, before a protocol.
fn extensions(protocol: u8) -> Vec<u8> {
    let mut bytes = vec![60, 0, 1, 4, 0, 0, 0, 0];
    bytes.extend([protocol, 1, 1, 12]);
    bytes.extend([0; 12]);
    bytes
}

fn ip_header(ip: Ip, protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    match ip {
        Ip::V4 | Ip::V4Options => {
            let mut header =
                Ipv4Header::new(length as u16, 64, protocol.into(), SOURCE4, DESTINATION4).unwrap();
            header.identification = 0xfff0;
            header.dont_fragment = true;
            if ip == Ip::V4Options {
                header.options = [1, 1, 1, 0, 0, 0, 0, 0].into();
                header.set_payload_len(length).unwrap();
            }
            header.header_checksum = header.calc_header_checksum();
            header.write(&mut bytes).unwrap();
        }
        Ip::V6 | Ip::V6Extensions => {
            let inner = if ip == Ip::V6 {
                vec![]
            } else {
                extensions(protocol)
            };
            let header = Ipv6Header {
                traffic_class: 0x28,
                payload_length: (length + inner.len()) as u16,
                next_header: if ip == Ip::V6 { protocol } else { 0 }.into(),
                hop_limit: 64,
                source: SOURCE6,
                destination: DESTINATION6,
                ..Ipv6Header::default()
            };
            header.write(&mut bytes).unwrap();
            bytes.extend(inner);
        }
    }
    bytes
}

fn ethernet(macs: ([u8; 6], [u8; 6]), ip: Ip, tags: &[(u16, u16)]) -> Vec<u8> {
    let ether_type = if matches!(ip, Ip::V4 | Ip::V4Options) {
        [8, 0]
    } else {
        [0x86, 0xdd]
    };
    let mut bytes: Vec<u8> = macs.0.into_iter().chain(macs.1).chain(ether_type).collect();
    for (tpid, tci) in tags.iter().rev() {
        bytes = tagged(&bytes, *tpid, *tci);
    }
    bytes
}

fn join(mut bytes: Vec<u8>, ip: Vec<u8>, message: &[u8], header: usize) -> Made {
    let l3 = bytes.len();
    bytes.extend(ip);
    let l4 = bytes.len();
    bytes.extend(message);
    Made {
        bytes,
        l3,
        l4,
        payload: l4 + header,
    }
}

/// A TCP packet with right checksums where it fits an IP packet; `macs` are destination and source.
pub fn tcp(
    macs: ([u8; 6], [u8; 6]),
    ip: Ip,
    tags: &[(u16, u16)],
    options: bool,
    data: &[u8],
) -> Made {
    let mut header = TcpHeader::new(4242, 80, 0xffff_ff00, 1000);
    header.acknowledgment_number = 77;
    (header.ack, header.psh, header.fin, header.cwr) = (true, true, true, true);
    if options {
        header
            .set_options_raw(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2])
            .unwrap();
    }
    header.checksum = match ip {
        Ip::V4 | Ip::V4Options => header.calc_checksum_ipv4_raw(SOURCE4, DESTINATION4, data),
        _ => header.calc_checksum_ipv6_raw(SOURCE6, DESTINATION6, data),
    }
    .unwrap_or(0);
    let mut message = Vec::new();
    header.write(&mut message).unwrap();
    let length = message.len();
    message.extend(data);
    let network = ip_header(ip, 6, message.len().min(60_000));
    join(ethernet(macs, ip, tags), network, &message, length)
}

/// A UDP packet with right checksums where it fits.
pub fn udp(macs: ([u8; 6], [u8; 6]), ip: Ip, tags: &[(u16, u16)], data: &[u8]) -> Made {
    let fits = data.len() < 60_000;
    let mut message: Vec<u8> = Vec::new();
    message.extend(1794u16.to_be_bytes());
    message.extend(2794u16.to_be_bytes());
    message.extend(((data.len() + 8) as u16).to_be_bytes());
    let header = etherparse::UdpHeader {
        source_port: 1794,
        destination_port: 2794,
        length: (data.len() + 8) as u16,
        checksum: 0,
    };
    let checksum = match ip {
        _ if !fits => 0,
        Ip::V4 | Ip::V4Options => header
            .calc_checksum_ipv4_raw(SOURCE4, DESTINATION4, data)
            .unwrap(),
        _ => header
            .calc_checksum_ipv6_raw(SOURCE6, DESTINATION6, data)
            .unwrap(),
    };
    message.extend(checksum.to_be_bytes());
    message.extend(data);
    let network = ip_header(ip, 17, message.len().min(60_000));
    join(ethernet(macs, ip, tags), network, &message, 8)
}

/// Insists that all checksums and lengths of a frame are right, by another parser than the one under test.
pub fn assert_valid(bytes: &[u8]) {
    let packet = SlicedPacket::from_ethernet(bytes).unwrap();
    let addresses = match packet.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(
                header.header_checksum,
                header.calc_header_checksum(),
                "IPv4 checksum"
            );
            assert_eq!(
                usize::from(header.total_len),
                bytes.len() - l3(&packet),
                "total length"
            );
            Ok((header.source, header.destination))
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            assert_eq!(
                usize::from(header.payload_length) + 40,
                bytes.len() - l3(&packet)
            );
            Err((header.source, header.destination))
        }
        NetSlice::Arp(_) => panic!("not IP"),
    };
    match packet.transport.as_ref().unwrap() {
        TransportSlice::Tcp(tcp) => {
            let expected = match addresses {
                Ok((source, destination)) => tcp.calc_checksum_ipv4(source, destination).unwrap(),
                Err((source, destination)) => tcp.calc_checksum_ipv6(source, destination).unwrap(),
            };
            assert_eq!(tcp.checksum(), expected, "TCP checksum");
        }
        TransportSlice::Udp(udp) => {
            let header = udp.to_header();
            assert_eq!(usize::from(header.length), udp.payload().len() + 8);
            let expected = match addresses {
                Ok((source, destination)) => header
                    .calc_checksum_ipv4_raw(source, destination, udp.payload())
                    .unwrap(),
                Err((source, destination)) => header
                    .calc_checksum_ipv6_raw(source, destination, udp.payload())
                    .unwrap(),
            };
            assert_eq!(header.checksum, expected, "UDP checksum");
            assert_ne!(header.checksum, 0, "UDP checksum of zero means none");
        }
        other => panic!("{other:?}"),
    }
}

fn l3(packet: &SlicedPacket) -> usize {
    14 + 4 * packet.vlan_ids().len()
}

/// Replaces a checksum by the sum of the pseudo-header, as the kernel leaves it for the device.
pub fn partial(made: &Made, field: usize) -> Vec<u8> {
    let mut bytes = made.bytes.clone();
    let at = made.l4 + field;
    let v4 = bytes[made.l3] >> 4 == 4;
    let addresses = if v4 {
        made.l3 + 12..made.l3 + 20
    } else {
        made.l3 + 8..made.l3 + 40
    };
    let protocol = if field == 16 { 6u32 } else { 17 };
    let length = (bytes.len() - made.l4) as u32;
    let mut sum = protocol + length;
    for pair in bytes[addresses].chunks(2) {
        sum += (u32::from(pair[0]) << 8) | u32::from(pair[1]);
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[at..at + 2].copy_from_slice(&(sum as u16).to_be_bytes());
    bytes
}

/// A plain UDP packet over IPv4 between two ports.
pub fn flow(
    macs: ([u8; 6], [u8; 6]),
    source: ([u8; 4], u16),
    destination: ([u8; 4], u16),
) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(macs.1, macs.0)
        .ipv4(source.0, destination.0, 64)
        .udp(source.1, destination.1);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, &[1, 2, 3]).unwrap();
    bytes
}
