// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Frames for tests.
#![allow(dead_code, reason = "each test file uses its part")]

use etherparse::PacketBuilder;
use oxnic_offload::packet::frame::Received;
use oxnic_offload::packet::{vxlan, Tag};

/// A frame of a given type.
pub fn ethernet_frame(protocol: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1];
    frame.extend_from_slice(&protocol.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The frame with one more tag, which becomes the outermost.
pub fn tagged(frame: &[u8], tpid: u16, tci: u16) -> Vec<u8> {
    let tag = Tag { tpid, tci }.bytes();
    [&frame[..12], &tag, &frame[12..]].concat()
}

/// A UDP datagram without a checksum.
pub fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    for word in [source, destination, payload.len() as u16 + 8, 0] {
        datagram.extend_from_slice(&word.to_be_bytes());
    }
    datagram.extend_from_slice(payload);
    datagram
}

/// What tc gets of a frame: data without the outermost tag, that tag, and the protocol behind it.
pub fn received(frame: &[u8]) -> (Vec<u8>, Option<Tag>, u16) {
    let seen = Received::new(frame).unwrap();
    let data = match seen.tag {
        Some(_) => [&frame[..12], &frame[16..]].concat(),
        None => frame.to_vec(),
    };
    (data, seen.tag, seen.protocol)
}

/// A valid frame of one of four kinds: TCP over IPv4, UDP over IPv6, ICMP over IPv4, TCP within VXLAN.
pub fn sample(kind: usize) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6]);
    let mut frame = Vec::new();
    match kind {
        0 => builder
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .tcp(1000, 2000, 1, 512)
            .write(&mut frame, b"tcp")
            .unwrap(),
        1 => builder
            .ipv6([1; 16], [2; 16], 64)
            .udp(1000, 2000)
            .write(&mut frame, b"udp")
            .unwrap(),
        2 => builder
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .icmpv4_echo_request(1, 2)
            .write(&mut frame, b"icmp")
            .unwrap(),
        _ => {
            let inner = [
                vxlan::Vxlan { id: 5, group: None }.bytes().to_vec(),
                sample(0),
            ]
            .concat();
            builder
                .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
                .udp(5555, 4789)
                .write(&mut frame, &inner)
                .unwrap();
        }
    }
    frame
}
