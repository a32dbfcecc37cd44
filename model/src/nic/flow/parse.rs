// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! From headers to fields: what rules see of a frame.
//!
//! Fields have the values that Linux' flow dissector finds for `cls_flower`, as `Documentation/offload.rst` has them; a rule
//! that is carried out here takes the same frames as in software. The outermost tag stands beside the data, as it does there.

use super::bytes::{long, take, word};
use super::values::Values;
use crate::nic::frame::{CTAG, STAG, Tag};
use crate::nic::packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, SCTP, TCP, UDP};
use oxnic_abi::flow::field::FlowField as Field;

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;
/// Bytes of an IPv6 header.
pub const IPV6_HEADER: usize = 40;
/// Headers that are walked over; behind so many the walk ends, and what was found is kept.
const HEADERS_MAX: usize = 15;

const ARP: u16 = 0x0806;
const RARP: u16 = 0x8035;
const PPPOE: u16 = 0x8864;
const PRP: u16 = 0x88fb;
const HSR: u16 = 0x892f;
const BATMAN: u16 = 0x4305;
const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
const ICMP: u8 = 1;
const DCCP: u8 = 33;
const ESP: u8 = 50;
const AUTHENTICATION: u8 = 51;
const ICMPV6: u8 = 58;
const UDP_LITE: u8 = 136;
const MPLS_IN_IP: u8 = 137;

/// Whether a type announces a tag.
pub fn is_tag(kind: u16) -> bool {
    matches!(kind, CTAG | STAG)
}

/// The protocol that Linux takes a type field for, with the two bytes behind it: lengths become LLC or raw IPX.
pub fn protocol(field: u16, behind: &[u8]) -> u16 {
    match field {
        0x0600.. => field,
        _ if behind.starts_with(&[0xff, 0xff]) => 1,
        _ => 4,
    }
}

/// A frame as rules look at it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// From the destination address on, without the outermost tag.
    pub data: &'a [u8],
    /// That tag.
    pub tag: Option<Tag>,
    /// What is behind it, see [`protocol`].
    pub protocol: u16,
}

/// Where headers were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// Start of the last IP header that was read.
    pub network: Option<usize>,
    /// Where the walk ended: the transport header, where there is one.
    pub transport: usize,
    /// 4, 6 or 0.
    pub family: u8,
    /// Protocol behind the last IP header and its extensions.
    pub proto: u8,
    /// It is a fragment.
    pub fragment: bool,
    /// Tags that were read, with the outermost.
    pub tags: u8,
}

/// The next header, by what announced it.
#[derive(Clone, Copy)]
enum Next {
    Kind(u16),
    Proto(u8),
    /// There is none, and no ports either.
    Nothing,
    /// There is none, but what was reached may have ports.
    Payload,
}

struct Walk<'a, 'v> {
    data: &'a [u8],
    values: &'v mut Values,
    at: usize,
    kind: u16,
    beyond_mesh: bool,
    /// Headers behind the first.
    walked: usize,
    layers: Layers,
}

/// Reads the headers of a frame into fields, all but those of tunnels and the port.
pub fn parse(view: &View<'_>, values: &mut Values) -> Layers {
    values.put(Field::ETH_DST, &take::<6>(view.data, 0).unwrap_or_default());
    values.put(Field::ETH_SRC, &take::<6>(view.data, 6).unwrap_or_default());
    let outermost = view.tag.map_or(view.protocol, |tag| tag.tpid);
    values.put16(Field::PROTOCOL, outermost);
    let mut walk = Walk {
        data: view.data,
        values,
        at: ETHERNET,
        kind: view.protocol,
        beyond_mesh: false,
        walked: 0,
        layers: Layers::default(),
    };
    if let Some(tag) = view.tag {
        walk.tag(tag, view.protocol);
        walk.walked = 1;
    }
    let mut next = Next::Kind(view.protocol);
    let payload = loop {
        let from_kind = matches!(next, Next::Kind(_));
        next = match next {
            Next::Kind(kind) => walk.by_kind(kind),
            Next::Proto(proto) => walk.by_proto(proto),
            Next::Nothing => break false,
            Next::Payload => break true,
        };
        // An IP header and the protocol that it announces are one step; an end is none.
        let again = match next {
            Next::Kind(_) => true,
            Next::Proto(_) => !from_kind,
            Next::Nothing | Next::Payload => false,
        };
        walk.walked += usize::from(again);
        if again && walk.walked > HEADERS_MAX {
            break matches!(next, Next::Proto(_));
        }
    };
    walk.finish(payload)
}

impl Walk<'_, '_> {
    /// Notes a tag and the type behind it.
    fn tag(&mut self, tag: Tag, behind: u16) {
        const FIRST: [Field; 4] = [
            Field::VLAN_ID,
            Field::VLAN_PRIORITY,
            Field::VLAN_TPID,
            Field::VLAN_ETH_TYPE,
        ];
        const SECOND: [Field; 4] = [
            Field::CVLAN_ID,
            Field::CVLAN_PRIORITY,
            Field::CVLAN_TPID,
            Field::CVLAN_ETH_TYPE,
        ];
        let place = match self.layers.tags {
            0 => Some(FIRST),
            1 => Some(SECOND),
            _ => None,
        };
        if let Some([id, priority, tpid, kind]) = place {
            self.values.put16(id, tag.vid());
            self.values.put8(priority, (tag.tci >> 13) as u8);
            self.values.put16(tpid, tag.tpid);
            self.values.put16(kind, behind);
        }
        self.layers.tags += 1;
        if !self.beyond_mesh {
            let count = self.values.number(Field::NUM_OF_VLANS) as u8;
            self.values.put8(Field::NUM_OF_VLANS, count + 1);
        }
        self.kind = behind;
    }

    fn by_kind(&mut self, kind: u16) -> Next {
        self.kind = kind;
        let shim = match kind {
            ETHERTYPE_IPV4 => return self.ipv4(),
            ETHERTYPE_IPV6 => return self.ipv6(),
            CTAG | STAG => {
                let Some([a, b, c, d]) = take(self.data, self.at) else {
                    return Next::Nothing;
                };
                self.at += 4;
                let behind = u16::from_be_bytes([c, d]);
                let tci = u16::from_be_bytes([a, b]);
                self.tag(Tag { tpid: kind, tci }, behind);
                return Next::Kind(behind);
            }
            ARP | RARP => {
                self.arp();
                return Next::Nothing;
            }
            PPPOE => self.pppoe(),
            PRP | HSR => word(self.data, self.at + 4).map(|kind| (kind, 6)),
            BATMAN => self.batman(),
            MPLS | MPLS_MULTICAST => {
                self.label_stack();
                None
            }
            _ => None,
        };
        match shim {
            Some((kind, length)) => {
                self.at += length;
                self.kind = kind;
                Next::Kind(kind)
            }
            None => Next::Nothing,
        }
    }

    /// A PPPoE session: what it carries, and the length of its headers.
    fn pppoe(&self) -> Option<(u16, usize)> {
        let [version, code, _, _, _, _, a, b] = take::<8>(self.data, self.at)?;
        let kind = match u16::from_be_bytes([a, b]) {
            0x0021 => ETHERTYPE_IPV4,
            0x0057 => ETHERTYPE_IPV6,
            0x0281 => MPLS,
            0x0283 => MPLS_MULTICAST,
            _ => return None,
        };
        (version == 0x11 && code == 0).then_some((kind, 8))
    }

    /// A unicast of BATMAN: the type of the frame within. Tags behind it are not counted.
    fn batman(&mut self) -> Option<(u16, usize)> {
        const HEADER: usize = 10;
        let [kind, version] = take(self.data, self.at)?;
        let within = word(self.data, self.at + HEADER + 12)?;
        if (kind, version) != (0x40, 15) {
            return None;
        }
        self.beyond_mesh = true;
        Some((within, HEADER + ETHERNET))
    }

    /// Entries up to the bottom of the stack; each but the first counts as another header.
    fn label_stack(&mut self) {
        const ENTRIES: [Field; 7] = [
            Field::MPLS_1,
            Field::MPLS_2,
            Field::MPLS_3,
            Field::MPLS_4,
            Field::MPLS_5,
            Field::MPLS_6,
            Field::MPLS_7,
        ];
        let mut there = 0;
        for (number, field) in ENTRIES.into_iter().enumerate() {
            let Some(entry) = take::<4>(self.data, self.at + 4 * number) else {
                break;
            };
            self.values.put(field, &entry);
            there |= 1 << number;
            self.walked += 1;
            if entry[2] & 1 != 0 || self.walked > HEADERS_MAX {
                break;
            }
        }
        self.values.put8(Field::MPLS_ENTRIES, there);
    }

    /// Requests and replies for IPv4 over Ethernet; others have no fields.
    fn arp(&mut self) {
        let Some(packet) = take::<28>(self.data, self.at) else {
            return;
        };
        let (head, body) = packet.split_at(8);
        let [0, 1, 8, 0, 6, 4, 0, operation @ (1 | 2)] = *head else {
            return;
        };
        let part = |from: usize, to: usize| body.get(from..to).unwrap_or_default();
        self.values.put8(Field::ARP_OPERATION, operation);
        self.values.put(Field::ARP_SENDER_MAC, part(0, 6));
        self.values.put(Field::ARP_SENDER_IP, part(6, 10));
        self.values.put(Field::ARP_TARGET_MAC, part(10, 16));
        self.values.put(Field::ARP_TARGET_IP, part(16, 20));
    }

    /// What the fixed part of an IP header says; addresses of an earlier one are forgotten.
    fn ip(&mut self, family: u8, tos: u8, ttl: u8, addresses: &[u8]) {
        let pairs = [
            (4, Field::IPV4_SRC, Field::IPV4_DST),
            (6, Field::IPV6_SRC, Field::IPV6_DST),
        ];
        for (version, source, destination) in pairs {
            let width = source.width();
            let (first, second) = match addresses.split_at_checked(width) {
                Some(halves) if version == family => halves,
                _ => (&[0; 16][..width], &[0; 16][..width]),
            };
            self.values.put(source, first);
            self.values.put(destination, second);
        }
        self.values.put8(Field::FAMILY, family);
        self.values.put8(Field::IP_TOS, tos);
        self.values.put8(Field::IP_TTL, ttl);
        self.layers.family = family;
        self.layers.network = Some(self.at);
    }

    fn ipv4(&mut self) -> Next {
        let Some(header) = take::<20>(self.data, self.at) else {
            return Next::Nothing;
        };
        let length = usize::from(header[0] & 0xf) * 4;
        if length < header.len() {
            return Next::Nothing;
        }
        self.ip(4, header[1], header[8], &header[12..]);
        self.at += length;
        self.layers.proto = header[9];
        let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
        if fragment == 0 {
            return Next::Proto(header[9]);
        }
        self.fragment(fragment & 0x1fff == 0)
    }

    fn fragment(&mut self, first: bool) -> Next {
        self.layers.fragment = true;
        self.values.put8(Field::IP_FLAGS, if first { 3 } else { 1 });
        Next::Nothing
    }

    fn ipv6(&mut self) -> Next {
        let Some(header) = take::<IPV6_HEADER>(self.data, self.at) else {
            return Next::Nothing;
        };
        let class = (header[0] << 4) | (header[1] >> 4);
        self.ip(6, class, header[7], &header[8..]);
        self.at += IPV6_HEADER;
        self.layers.proto = header[6];
        Next::Proto(header[6])
    }

    fn by_proto(&mut self, proto: u8) -> Next {
        match proto {
            HOP_BY_HOP | ROUTING | DESTINATION if self.kind == ETHERTYPE_IPV6 => {
                let Some([next, length]) = take(self.data, self.at) else {
                    return Next::Nothing;
                };
                self.at += 8 + 8 * usize::from(length);
                self.layers.proto = next;
                Next::Proto(next)
            }
            FRAGMENT if self.kind == ETHERTYPE_IPV6 => {
                let Some([next, _, a, b, ..]) = take::<8>(self.data, self.at) else {
                    return Next::Nothing;
                };
                self.at += 8;
                self.layers.proto = next;
                self.fragment(u16::from_be_bytes([a, b]) & 0xfff8 == 0)
            }
            MPLS_IN_IP => {
                self.kind = MPLS;
                self.walked += 1;
                if self.walked <= HEADERS_MAX {
                    self.label_stack();
                }
                Next::Payload
            }
            TCP => {
                let header = take::<20>(self.data, self.at).filter(|header| header[12] >= 0x50);
                if let Some(header) = header {
                    let flags = u16::from_be_bytes([header[12], header[13]]) & 0xfff;
                    self.values.put16(Field::TCP_FLAGS, flags);
                }
                Next::Payload
            }
            ICMP | ICMPV6 => {
                if let Some([kind, code, ..]) = take::<8>(self.data, self.at) {
                    self.values.put8(Field::ICMP_TYPE, kind);
                    self.values.put8(Field::ICMP_CODE, code);
                }
                Next::Payload
            }
            _ => Next::Payload,
        }
    }

    /// What is known at the end only: the last type, the last protocol, ports.
    fn finish(mut self, payload: bool) -> Layers {
        let skip = match self.layers.proto {
            TCP | UDP | DCCP | ESP | SCTP | UDP_LITE => Some(0),
            AUTHENTICATION => Some(4),
            _ => None,
        };
        let ports = skip
            .filter(|_| payload)
            .and_then(|skip| long(self.data, self.at + skip));
        if let Some(ports) = ports {
            self.values.put16(Field::SRC_PORT, (ports >> 16) as u16);
            self.values.put16(Field::DST_PORT, ports as u16);
        }
        self.values.put16(Field::ETH_TYPE, self.kind);
        self.values.put8(Field::IP_PROTO, self.layers.proto);
        self.layers.transport = self.at.min(self.data.len());
        self.layers
    }
}
