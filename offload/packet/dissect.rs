// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the kernel's flow dissector finds for `cls_flower` (`__skb_flow_dissect`, told to stop before encapsulation).
//!
//! - `protocol` ([`Dissection::protocol`], flower's `eth_type`) is what is behind **all** tags, however many; a cut tag ends the
//!   walk, and `protocol` then is that tag's type.
//! - An IPv4 or IPv6 header that is cut off leaves the type, but no address family, no `ip_proto` (0) and no address.
//! - MPLS in IP (protocol 137) turns the **type** of the packet into MPLS, while addresses and `ip_proto` stay: a rule
//!   `eth_type ipv4 ip_proto 137` never matches.
//! - Of IPv6 extension headers, authentication and mobility are not stepped over.
//! - The last header counts: with BATMAN or PPPoE in between, the addresses are those of the inner packet.

use super::arp::Arp;
use super::ethernet::{self, Mac};
use super::frame::Frame;
use super::ipv4::Ipv4;
use super::ipv6::{self, FragmentHeader, Ipv6};
use super::mpls::Stack;
use super::vlan::{self, Tag};
use super::{bytes, icmp, ports, shim, tcp};

/// How many headers the dissector takes (`MAX_FLOW_DISSECT_HDRS`): after so many steps to a further one it stops, content.
pub const MAX_HEADERS: usize = 15;

/// The addresses of the innermost IP header that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Address {
    /// There was none.
    #[default]
    None,
    /// Source and destination, IPv4.
    V4([u8; 4], [u8; 4]),
    /// Source and destination, IPv6.
    V6([u8; 16], [u8; 16]),
}

/// Whether a packet is part of another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragment {
    /// A whole packet.
    #[default]
    No,
    /// The first fragment.
    First,
    /// Another fragment.
    Later,
}

/// A VLAN tag with what it announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagKey {
    /// The tag.
    pub tag: Tag,
    /// The type behind it (`vlan_ethtype`, `cvlan_ethtype`).
    pub behind: u16,
}

/// What was found. A field whose header is missing is zero, see [`super`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dissection {
    /// Destination address.
    pub eth_dst: Mac,
    /// Source address.
    pub eth_src: Mac,
    /// The type behind all tags.
    pub protocol: u16,
    /// How many tags there are, up to 16.
    pub num_of_vlans: u8,
    /// The outermost tag.
    pub vlan: Option<TagKey>,
    /// The second tag.
    pub cvlan: Option<TagKey>,
    /// IP addresses.
    pub address: Address,
    /// IP protocol, behind extension headers.
    pub ip_proto: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Whether it is a fragment.
    pub fragment: Fragment,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Flags of TCP, 12 bits.
    pub tcp_flags: u16,
    /// Type of ICMP or ICMPv6.
    pub icmp_type: u8,
    /// Code of ICMP or ICMPv6.
    pub icmp_code: u8,
    /// ARP.
    pub arp: Arp,
    /// MPLS.
    pub mpls: Stack,
    /// Where the innermost IP header that was read starts, from the start of the data.
    pub network: Option<usize>,
    /// Where the walk ended, at most the length of the data: the transport header of a packet that has one.
    pub transport: usize,
}

/// Dissects a frame.
pub fn dissect(frame: &Frame<'_>) -> Dissection {
    let (eth_dst, eth_src) = frame.addresses();
    let mut walk = Walk {
        data: frame.data,
        at: ethernet::HEADER,
        steps: 0,
        encapsulated: false,
        found: Dissection {
            eth_dst,
            eth_src,
            protocol: frame.protocol,
            ..Dissection::default()
        },
    };
    let mut step = match frame.tag {
        Some(tag) => {
            walk.steps = 1;
            walk.tag(tag, frame.protocol)
        }
        None => Step::Type(frame.protocol),
    };
    loop {
        let next = match step {
            Step::Type(protocol) => walk.network(protocol),
            Step::Ip(protocol) => walk.transport(protocol),
            Step::End => break,
        };
        // From a type to the protocol of the IP header that it announced is the same header to the dissector.
        let counts = !matches!((step, next), (Step::Type(_), Step::Ip(_)) | (_, Step::End));
        if counts && !walk.may_go_on() {
            break;
        }
        step = next;
    }
    walk.found.transport = walk.at.min(frame.data.len());
    walk.found
}

/// What to look at next.
#[derive(Clone, Copy)]
enum Step {
    Type(u16),
    Ip(u8),
    End,
}

struct Walk<'a> {
    data: &'a [u8],
    at: usize,
    steps: usize,
    encapsulated: bool,
    found: Dissection,
}

impl Walk<'_> {
    fn may_go_on(&mut self) -> bool {
        self.steps += 1;
        self.steps <= MAX_HEADERS
    }

    /// Notes a tag with the type behind it.
    fn tag(&mut self, tag: Tag, behind: u16) -> Step {
        let key = Some(TagKey { tag, behind });
        if self.found.vlan.is_none() {
            self.found.vlan = key;
        } else if self.found.cvlan.is_none() {
            self.found.cvlan = key;
        }
        if !self.encapsulated {
            self.found.num_of_vlans = self.found.num_of_vlans.saturating_add(1);
        }
        self.found.protocol = behind;
        Step::Type(behind)
    }

    fn network(&mut self, protocol: u16) -> Step {
        match protocol {
            ethernet::IPV4 => self.ipv4(),
            ethernet::IPV6 => self.ipv6(),
            ethernet::VLAN | ethernet::SERVICE_VLAN => self.tag_in_data(protocol),
            ethernet::ARP | ethernet::RARP => {
                self.found.arp = Arp::parse(self.data, self.at).unwrap_or_default();
                Step::End
            }
            ethernet::MPLS | ethernet::MPLS_MULTICAST => self.mpls(),
            ethernet::PPPOE_SESSION => self.shim(shim::pppoe(self.data, self.at)),
            ethernet::PRP | ethernet::HSR => self.shim(shim::redundancy(self.data, self.at)),
            ethernet::BATMAN => {
                let next = shim::batman(self.data, self.at);
                self.encapsulated |= next.is_some();
                self.shim(next)
            }
            _ => Step::End,
        }
    }

    /// Each entry but the first is a further step.
    fn mpls(&mut self) -> Step {
        let (data, at) = (self.data, self.at);
        self.found.mpls = Stack::parse(data, at, || self.may_go_on());
        Step::End
    }

    fn tag_in_data(&mut self, tpid: u16) -> Step {
        let tci = bytes::be16(self.data, self.at);
        let behind = bytes::be16(self.data, self.at.saturating_add(2));
        let (Some(tci), Some(behind)) = (tci, behind) else {
            return Step::End;
        };
        self.at += vlan::LENGTH;
        self.tag(Tag { tpid, tci }, behind)
    }

    fn shim(&mut self, next: Option<shim::Next>) -> Step {
        let Some((protocol, length)) = next else {
            return Step::End;
        };
        self.at += length;
        self.found.protocol = protocol;
        Step::Type(protocol)
    }

    fn ipv4(&mut self) -> Step {
        let Some(header) = Ipv4::parse(self.data, self.at) else {
            return Step::End;
        };
        self.found.network = Some(self.at);
        self.at += header.header;
        self.found.address = Address::V4(header.source, header.destination);
        self.found.ip_proto = header.protocol;
        self.found.tos = header.tos;
        self.found.ttl = header.ttl;
        if header.is_later_fragment() {
            self.found.fragment = Fragment::Later;
            Step::End
        } else if header.is_fragment() {
            self.found.fragment = Fragment::First;
            Step::End
        } else {
            Step::Ip(header.protocol)
        }
    }

    fn ipv6(&mut self) -> Step {
        let Some(header) = Ipv6::parse(self.data, self.at) else {
            return Step::End;
        };
        self.found.network = Some(self.at);
        self.at += ipv6::HEADER;
        self.found.address = Address::V6(header.source, header.destination);
        self.found.ip_proto = header.next;
        self.found.tos = header.traffic_class;
        self.found.ttl = header.hop_limit;
        Step::Ip(header.next)
    }

    fn transport(&mut self, protocol: u8) -> Step {
        let ipv6 = self.found.protocol == ethernet::IPV6;
        let step = match protocol {
            ipv6::HOP_BY_HOP | ipv6::ROUTING | ipv6::DESTINATION if ipv6 => {
                let Some((next, length)) = ipv6::extension(self.data, self.at) else {
                    return Step::End;
                };
                self.at += length;
                self.found.ip_proto = next;
                Step::Ip(next)
            }
            ipv6::FRAGMENT if ipv6 => {
                let Some(header) = FragmentHeader::parse(self.data, self.at) else {
                    return Step::End;
                };
                self.at += ipv6::FRAGMENT_HEADER;
                self.found.ip_proto = header.next;
                self.found.fragment = if header.later {
                    Fragment::Later
                } else {
                    Fragment::First
                };
                return Step::End;
            }
            ports::MPLS => {
                self.found.protocol = ethernet::MPLS;
                if self.may_go_on() {
                    self.mpls();
                }
                Step::End
            }
            ports::TCP => {
                self.found.tcp_flags = tcp::flags(self.data, self.at).unwrap_or(0);
                Step::End
            }
            ports::ICMP | ports::ICMPV6 => {
                let (kind, code) = icmp::type_and_code(self.data, self.at).unwrap_or((0, 0));
                self.found.icmp_type = kind;
                self.found.icmp_code = code;
                Step::End
            }
            _ => Step::End,
        };
        // Taken anew at each header, so that a chain of extension headers that is too long still has its ports.
        let (source, destination) =
            ports::ports(self.data, self.at, self.found.ip_proto).unwrap_or((0, 0));
        self.found.src_port = source;
        self.found.dst_port = destination;
        step
    }
}
