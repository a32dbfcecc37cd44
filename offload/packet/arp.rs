// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! ARP and reverse ARP for IPv4 over Ethernet (`__skb_flow_dissect_arp`).

use super::bytes;
use super::ethernet::Mac;

/// Hardware type, protocol type and the two lengths of IPv4 over Ethernet.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// The fields of a request or a reply. All zero (the default) stands for anything else, also for the operations of reverse ARP
/// (3 and 4), which the dissector does not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arp {
    /// 1: request, 2: reply.
    pub operation: u8,
    /// The sender's hardware address.
    pub sender_mac: Mac,
    /// The sender's IPv4 address.
    pub sender_ip: [u8; 4],
    /// The target's hardware address.
    pub target_mac: Mac,
    /// The target's IPv4 address.
    pub target_ip: [u8; 4],
}

impl Arp {
    /// Reads the packet at `offset`.
    pub fn parse(data: &[u8], offset: usize) -> Option<Self> {
        let packet: [u8; 28] = bytes::array(data, offset)?;
        let operation = bytes::be16(&packet, 6)?;
        if packet.get(..6)? != ETHERNET_IPV4 || !matches!(operation, REQUEST | REPLY) {
            return None;
        }
        Some(Self {
            operation: operation as u8,
            sender_mac: bytes::array(&packet, 8)?,
            sender_ip: bytes::array(&packet, 14)?,
            target_mac: bytes::array(&packet, 18)?,
            target_ip: bytes::array(&packet, 24)?,
        })
    }
}
