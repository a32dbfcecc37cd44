// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Which frames carry PTP event messages (IEEE 1588, version 2).

use super::frame::Frame;
use super::packet::{Packet, UDP};

/// EtherType of PTP over Ethernet.
const ETHERTYPE: u16 = 0x88f7;
/// UDP port of event messages.
const EVENT_PORT: [u8; 2] = 319u16.to_be_bytes();
/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;
/// Message types from this on are general messages, which nobody stamps.
const GENERAL: u8 = 8;
/// The version that is stamped.
const VERSION: u8 = 2;

/// Where the message starts in the frame's buffer, if the headers are those of one.
fn message(frame: &Frame, packet: &Packet) -> Option<usize> {
    if packet.ether_type == ETHERTYPE {
        return Some(frame.start() + 14 + 4 * frame.tags());
    }
    let transport = packet.transport.filter(|found| found.protocol == UDP)?;
    let port = frame
        .buffer()
        .get(transport.start + 2..transport.start + 4)?;
    (port == EVENT_PORT).then_some(transport.start + UDP_HEADER)
}

/// Whether a frame is an event message.
pub fn is_event(frame: &Frame, packet: &Packet) -> bool {
    let bytes = message(frame, packet).and_then(|start| frame.buffer().get(start..start + 2));
    matches!(bytes, Some(&[kind, version]) if kind & 0xf < GENERAL && version & 0xf == VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(bytes: &[u8]) -> bool {
        let mut frame = Frame::default();
        frame.copy_from(bytes);
        is_event(&frame, &Packet::parse(&frame))
    }

    fn ethernet(tags: &[u8], kind: u8, version: u8) -> Vec<u8> {
        let addresses = [2u8; 12];
        [&addresses[..], tags, &[0x88, 0xf7, kind, version], &[0; 42]].concat()
    }

    fn udp4(port: u16, fragment: u8, kind: u8, version: u8) -> Vec<u8> {
        let [high, low] = port.to_be_bytes();
        let ip = [
            0x45, 0, 0, 72, 0, 0, fragment, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        let udp = [0x30, 0x39, high, low, 0, 52, 0, 0, kind, version];
        [&[2u8; 12][..], &[8, 0], &ip, &udp, &[0; 42]].concat()
    }

    fn udp6(port: u16) -> Vec<u8> {
        let [high, low] = port.to_be_bytes();
        let ip = [0x60, 0, 0, 0, 0, 52, 17, 64];
        let udp = [0x30, 0x39, high, low, 0, 52, 0, 0, 0, 2];
        [&[2u8; 12][..], &[0x86, 0xdd], &ip, &[9; 32], &udp, &[0; 42]].concat()
    }

    #[test]
    fn event_messages_over_each_transport_are_found() {
        assert!(event(&ethernet(&[], 0, 2)));
        assert!(event(&ethernet(&[0x81, 0, 0, 5], 0x13, 0x12)));
        assert!(event(&ethernet(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6], 7, 2)));
        assert!(event(&udp4(319, 0, 1, 2)));
        assert!(event(&udp6(319)));
    }

    #[test]
    fn what_is_next_to_them_is_not() {
        assert!(!event(&ethernet(&[], 8, 2)));
        assert!(!event(&ethernet(&[], 0, 1)));
        assert!(!event(&ethernet(&[], 0, 3)));
        assert!(!event(&udp4(318, 0, 1, 2)));
        assert!(!event(&udp4(320, 0, 1, 2)));
        assert!(!event(&udp4(319, 0x20, 1, 2)));
        assert!(!event(&udp6(320)));
        assert!(!event(&ethernet(&[], 0, 2)[..15]));
    }
}
