// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A chain of nftables at the ingress hook of a port, as the kernel runs it (`nft_do_chain_netdev`): what is looked at is bytes and what the
//! kernel notes beside them, not fields.
//!
//! - The first tag is beside the frame when the chain runs. Link layer offsets count with it, as on the wire; the network header
//!   is behind it, whatever there is.
//! - `meta protocol` is the type behind the first tag. Where that is another tag of 802.1Q or PPPoE, a rule that asks for `meta
//!   protocol` or `meta l4proto` moves the network header behind it, and so for all that comes later (`nft_meta_pktinfo_may_update`).
//! - The transport header and its protocol are known for IPv4 and IPv6 only, behind at most 12 extension headers, where lengths and
//!   version are right. The transport header of a later fragment is not; nor is the protocol, where an extension header is next.

use crate::packet::frame::Received;
use crate::packet::{bytes, ethernet, ipv6};
use crate::rule::Port;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// `meta protocol`, 2 bytes.
    Protocol,
    /// `meta l4proto`, 1 byte.
    TransportProtocol,
    /// Bytes of the link layer, from this offset on.
    Link(usize),
    /// Bytes of the network header.
    Network(usize),
    /// Bytes of the transport header.
    Transport(usize),
}

/// `load & mask == value`; as many bytes as the value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match<'a> {
    /// Where the value comes from.
    pub load: Load,
    /// The mask; bytes that it does not have are ones.
    pub mask: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// What a rule does with what it matches, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// A copy leaves by a port.
    Dup(Port),
    /// The frame leaves by a port.
    Fwd(Port),
    /// It is dropped.
    Drop,
    /// It goes on into the stack.
    Accept,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainRule<'a> {
    /// What must hold.
    pub matches: &'a [Match<'a>],
    /// What it does.
    pub statements: &'a [Statement],
}

/// Takes a frame through a chain whose policy is accept. Gives what ended it ([`Statement::Accept`] also where no rule did) and the number
/// of the rule that did; `copy` is told of copies. None for a frame without a whole Ethernet header, which no hook sees.
pub fn run(
    rules: &[ChainRule<'_>],
    frame: &[u8],
    mut copy: impl FnMut(Port),
) -> Option<(Statement, Option<usize>)> {
    let mut noted = Noted::of(frame)?;
    for (number, rule) in rules.iter().enumerate() {
        if !rule.matches.iter().all(|wanted| noted.fits(frame, wanted)) {
            continue;
        }
        for statement in rule.statements {
            match statement {
                Statement::Dup(port) => copy(*port),
                ends => return Some((*ends, Some(number))),
            }
        }
    }
    Some((Statement::Accept, None))
}

/// What the kernel knows beside the frame. Offsets are from its start, with all tags.
struct Noted {
    /// The type behind the first tag.
    behind: u16,
    /// What `meta protocol` is.
    protocol: u16,
    /// Where the network header is taken to be.
    network: usize,
    /// Where it is behind the first tag.
    start: usize,
    /// Protocol and offset of the transport header, which a later fragment does not have.
    transport: Option<(u8, Option<usize>)>,
}

impl Noted {
    fn of(frame: &[u8]) -> Option<Self> {
        let received = Received::new(frame).ok()?;
        let tag = if received.tag.is_some() { 4 } else { 0 };
        let network = ethernet::HEADER + tag;
        let protocol = received.protocol;
        let transport = match protocol {
            ethernet::IPV4 => ipv4_transport(frame, network),
            ethernet::IPV6 => ipv6_transport(frame, network),
            _ => None,
        };
        Some(Self {
            behind: protocol,
            protocol,
            network,
            start: network,
            transport,
        })
    }

    /// Steps over a second tag or PPPoE, to an IP header behind it.
    fn update(&mut self, frame: &[u8]) {
        if self.transport.is_some() {
            return;
        }
        let (offset, protocol) = match self.behind {
            ethernet::VLAN => (4, bytes::be16(frame, self.start + 2)),
            ethernet::PPPOE_SESSION => {
                let kind = match bytes::be16(frame, self.start + 6) {
                    Some(0x0021) => Some(ethernet::IPV4),
                    Some(0x0057) => Some(ethernet::IPV6),
                    Some(_) => Some(0),
                    None => None,
                };
                (8, kind)
            }
            _ => return,
        };
        let Some(protocol) = protocol else {
            return;
        };
        let at = self.start + offset;
        self.protocol = protocol;
        self.transport = match protocol {
            ethernet::IPV4 => ipv4_transport(frame, at),
            ethernet::IPV6 => ipv6_transport(frame, at),
            _ => None,
        };
        if self.transport.is_some() {
            self.network = at;
        }
    }

    fn fits(&mut self, frame: &[u8], wanted: &Match<'_>) -> bool {
        let length = wanted.value.len();
        let at = |start: usize| frame.get(start..).and_then(|rest| rest.get(..length));
        let (protocol, number);
        let loaded = match wanted.load {
            Load::Protocol => {
                self.update(frame);
                protocol = self.protocol.to_be_bytes();
                protocol.get(..length)
            }
            Load::TransportProtocol => {
                self.update(frame);
                number = self.transport.map(|(protocol, _)| [protocol]);
                number.as_ref().map(|number| &number[..])
            }
            Load::Link(offset) => at(offset),
            Load::Network(offset) => at(self.network + offset),
            Load::Transport(offset) => {
                let header = self.transport.and_then(|(_, header)| header);
                header.and_then(|header| at(header + offset))
            }
        };
        let Some(loaded) = loaded else {
            return false;
        };
        let masks = wanted.mask.iter().copied().chain(core::iter::repeat(0xff));
        let mut bytes = loaded.iter().zip(wanted.value).zip(masks);
        bytes.all(|((loaded, value), mask)| loaded & mask == *value)
    }
}

/// `__nft_set_pktinfo_ipv4_validate`.
fn ipv4_transport(frame: &[u8], at: usize) -> Option<(u8, Option<usize>)> {
    let first = bytes::u8_at(frame, at)?;
    let header = usize::from(first & 15) * 4;
    let total = usize::from(bytes::be16(frame, at + 2)?);
    let later = bytes::be16(frame, at + 6)? & 0x1fff != 0;
    let protocol = bytes::u8_at(frame, at + 9)?;
    if first >> 4 != 4 || header < 20 || frame.len() - at < total || total < header {
        return None;
    }
    Some((protocol, (!later).then_some(at + header)))
}

/// `__nft_set_pktinfo_ipv6_validate` with `ipv6_find_hdr`.
fn ipv6_transport(frame: &[u8], at: usize) -> Option<(u8, Option<usize>)> {
    let length = usize::from(bytes::be16(frame, at + 4)?);
    if bytes::u8_at(frame, at)? >> 4 != 6 || frame.len() - at < ipv6::HEADER + length {
        return None;
    }
    let mut next = bytes::u8_at(frame, at + 6)?;
    let mut header = at + ipv6::HEADER;
    let mut walked = 0;
    while ipv6::EXTENSIONS.contains(&next) {
        walked += 1;
        if walked > ipv6::EXTENSIONS_MAX {
            return None;
        }
        let (behind, options) = ipv6::extension(frame, header)?;
        let length = match next {
            ipv6::AUTHENTICATION => break,
            ipv6::FRAGMENT if bytes::be16(frame, header + 2)? & !7 != 0 => {
                let known = !ipv6::EXTENSIONS.contains(&behind);
                return known.then_some((behind, None));
            }
            ipv6::FRAGMENT => ipv6::FRAGMENT_HEADER,
            _ => options,
        };
        frame.get(header..)?.get(..length)?;
        next = behind;
        header += length;
    }
    Some((next, Some(header)))
}
