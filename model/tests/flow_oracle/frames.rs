// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Arbitrary frames: whole ones of many shapes, with values from small sets so that rules meet them, and the same cut and bent.

use proptest::prelude::*;

fn pick<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> + use<T> {
    proptest::sample::select(values.to_vec())
}

fn be(value: u16) -> [u8; 2] {
    value.to_be_bytes()
}

/// The one's complement checksum, word by word.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let bytes = parts.concat();
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += (u32::from(pair[0]) << 8) | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    be(!(sum as u16))
}

/// An IPv4 packet with a right header.
pub fn ipv4(
    tos: u8,
    fragment: u16,
    ttl: u8,
    proto: u8,
    addresses: [u8; 2],
    options: usize,
    payload: &[u8],
) -> Vec<u8> {
    let header = 20 + 4 * options;
    let mut packet = vec![0x40 | (header / 4) as u8, tos];
    packet.extend(be((header + payload.len()) as u16));
    packet.extend([0, 7]);
    packet.extend(be(fragment));
    packet.extend([ttl, proto, 0, 0]);
    packet.extend([10, 0, 0, addresses[0], 10, 0, 0, addresses[1]]);
    packet.resize(header, 1);
    let sum = checksum(&[&packet]);
    packet[10..12].copy_from_slice(&sum);
    packet.extend_from_slice(payload);
    packet
}

/// An IPv6 packet.
pub fn ipv6(class: u8, ttl: u8, next: u8, addresses: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60 | (class >> 4), class << 4, 0, 0];
    packet.extend(be(payload.len() as u16));
    packet.extend([next, ttl]);
    for address in addresses {
        packet.extend([0xfd; 15]);
        packet.push(address);
    }
    packet.extend_from_slice(payload);
    packet
}

/// A frame.
pub fn ethernet(addresses: [u8; 2], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![addresses[0]; 6];
    frame.extend([addresses[1]; 6]);
    frame.extend(be(kind));
    frame.extend_from_slice(payload);
    frame
}

fn address() -> impl Strategy<Value = [u8; 2]> {
    [pick(&[1u8, 2, 0x7f]), pick(&[1u8, 2, 3])]
}

/// A transport protocol and its message.
fn message() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let port = || pick(&[0u16, 1, 53, 80, 1000, 4789, 0xffff]);
    let protos = [
        1u8, 2, 6, 17, 33, 50, 51, 58, 132, 136, 137, 59, 47, 0, 43, 44, 60,
    ];
    let body = proptest::collection::vec(any::<u8>(), 0..24);
    (
        pick(&protos),
        port(),
        port(),
        pick(&[0x50u8, 0x60, 0x40, 0xf0]),
        any::<u8>(),
        body,
    )
        .prop_map(|(proto, source, destination, offset, flags, body)| {
            let mut message = [be(source), be(destination)].concat();
            match proto {
                6 => {
                    message.extend([1; 8]);
                    message.extend([offset, flags, 0, 9, 3, 3, 0, 0]);
                }
                17 | 136 => {
                    // UDP-Lite may cover all, the header, or more than there is.
                    let length = match (proto, offset) {
                        (136, 0x40) => 0,
                        (136, 0x60) => 8,
                        (136, 0xf0) => 200,
                        _ => 8 + body.len() as u16,
                    };
                    message.extend(be(length));
                    message.extend([flags, offset]);
                }
                1 | 58 => message = vec![flags & 3, flags >> 6, 0, 0, 0, 1, 0, 2],
                132 => message.extend([5; 8]),
                _ => message.extend([0; 4]),
            }
            message.extend(body);
            (proto, message)
        })
}

/// Extension headers in front of a message: what announces them, and all of it.
fn extended() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let kind = pick(&[0u8, 43, 60, 44, 51]);
    let header = (kind, 0u8..3, pick(&[0u8, 0, 0x10, 1]));
    (message(), proptest::collection::vec(header, 0..4)).prop_map(
        |((mut proto, mut bytes), headers)| {
            for (kind, length, fragment) in headers {
                let mut header = vec![proto, length, 0, fragment];
                let size = match kind {
                    44 => 8,
                    51 => 8 + 4 * usize::from(length),
                    _ => 8 + 8 * usize::from(length),
                };
                header.resize(size, 1);
                if kind == 0 && length == 0 {
                    // A jumbo option, now and then.
                    header[2..].copy_from_slice(&[0xc2, 4, 0, 0, 0, bytes.len() as u8]);
                }
                header.extend(bytes);
                (proto, bytes) = (kind, header);
            }
            (proto, bytes)
        },
    )
}

/// A stack of MPLS labels, whose last entry need not say so.
fn label_stack() -> impl Strategy<Value = Vec<u8>> {
    let entry = (
        pick(&[0u8, 1, 0xff]),
        pick(&[0u8, 0, 0x0e, 0x50, 1]),
        pick(&[0u8, 1, 255]),
    );
    proptest::collection::vec(entry, 0..10).prop_map(|entries| {
        let entries = entries
            .iter()
            .map(|(label, rest, ttl)| [0, *label, *rest, *ttl]);
        entries.collect::<Vec<_>>().concat()
    })
}

/// What is behind the Ethernet header: type and bytes.
fn network() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let tos = || pick(&[0u8, 1, 2, 3, 0x28, 0xff]);
    let ttl = || pick(&[0u8, 1, 64, 255]);
    let fragment = pick(&[0u16, 0, 0, 0x4000, 0x2000, 0x2001, 5]);
    let v4 = (
        tos(),
        fragment,
        ttl(),
        message(),
        address(),
        pick(&[0usize, 0, 1, 10]),
    );
    let v4 = v4.prop_map(|(tos, fragment, ttl, (proto, payload), address, options)| {
        (
            0x0800,
            ipv4(tos, fragment, ttl, proto, address, options, &payload),
        )
    });
    let v6 = (tos(), ttl(), extended(), address());
    let v6 = v6.prop_map(|(tos, ttl, (proto, payload), address)| {
        (0x86dd, ipv6(tos, ttl, proto, address, &payload))
    });
    let arp = (
        pick(&[0x0806u16, 0x8035]),
        pick(&[1u8, 2, 3]),
        address(),
        pick(&[4u8, 16]),
    );
    let arp = arp.prop_map(|(kind, operation, address, length)| {
        let mut packet = vec![0, 1, 8, 0, 6, length, 0, operation];
        packet.extend([address[0]; 10]);
        packet.extend([address[1]; 10]);
        (kind, packet)
    });
    let other = (any::<u16>(), proptest::collection::vec(any::<u8>(), 0..64));
    let length = (0u16..0x600, any::<bool>()).prop_map(|(length, raw)| {
        let payload = if raw {
            vec![0xff; 9]
        } else {
            vec![0xaa, 0xaa, 3, 4, 5]
        };
        (length, payload)
    });
    let labels = (pick(&[0x8847u16, 0x8848]), label_stack());
    let plain = prop_oneof![6 => v4, 4 => v6, 1 => arp, 2 => labels, 1 => other, 1 => length];
    // Headers between Ethernet and IP.
    (plain, 0u8..24).prop_map(|((kind, bytes), shim)| match (shim, kind) {
        (0, 0x0800 | 0x86dd | 0x8847 | 0x8848) => {
            let ppp = [
                (0x0800, [0, 0x21]),
                (0x86dd, [0, 0x57]),
                (0x8847, [2, 0x81]),
            ];
            let ppp = ppp.iter().find(|(of, _)| *of == kind);
            let [high, low] = ppp.map_or([2, 0x83], |(_, number)| *number);
            (
                0x8864,
                [&[0x11, 0, 0, 1, 0, 9, high, low][..], &bytes].concat(),
            )
        }
        (1, _) => (0x892f, [&[1, 2, 3, 4][..], &be(kind), &bytes].concat()),
        (2, _) => {
            let inner = ethernet([1, 2], kind, &bytes);
            (
                0x4305,
                [&[0x40, 15, 1, 1, 1, 1, 1, 1, 1, 1][..], &inner].concat(),
            )
        }
        _ => (kind, bytes),
    })
}

fn tags() -> impl Strategy<Value = Vec<(u16, u16)>> {
    let tag = || {
        (
            pick(&[0x8100u16, 0x8100, 0x88a8, 0x9100]),
            pick(&[1u16, 2, 0x3002, 0xe001, 0x0fff]),
        )
    };
    prop_oneof![
        4 => Just(Vec::new()),
        4 => proptest::collection::vec(tag(), 1..4),
        1 => proptest::collection::vec(tag(), 14..18),
    ]
}

/// A whole frame.
pub fn whole() -> impl Strategy<Value = Vec<u8>> {
    (address(), tags(), network()).prop_map(|(address, tags, (kind, payload))| {
        let mut frame = ethernet(address, kind, &payload);
        for (tpid, tci) in tags {
            let tag = [be(tpid), be(tci)].concat();
            frame.splice(12..12, tag);
        }
        frame
    })
}

/// A frame, perhaps cut, perhaps with wrong bytes.
pub fn frame() -> impl Strategy<Value = Vec<u8>> {
    let wrong = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4);
    let bend = prop_oneof![6 => Just(Vec::new()), 2 => wrong];
    (
        whole(),
        proptest::option::weighted(0.2, any::<proptest::sample::Index>()),
        bend,
    )
        .prop_map(|(mut frame, cut, wrong)| {
            for (at, byte) in wrong {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            if let Some(cut) = cut {
                let length = 14 + cut.index(frame.len() - 13);
                frame.truncate(length);
            }
            frame
        })
}

/// Which tunnel a frame is put into.
#[derive(Clone, Debug)]
pub struct Outer {
    /// 0: VXLAN, 1: VXLAN with group policy, 2: Geneve, 3: GRE.
    pub kind: u8,
    pub v6: bool,
    pub checksum: bool,
    pub options: usize,
    pub tag: Option<u16>,
    pub fragment: u16,
    pub padding: usize,
    pub flags: u8,
    pub tos: u8,
}

pub fn outer() -> impl Strategy<Value = Outer> {
    let first = (
        0u8..4,
        any::<bool>(),
        any::<bool>(),
        0usize..5,
        proptest::option::of(1u16..3),
    );
    let second = (
        pick(&[0u16, 0, 0, 0x4000, 0x2000]),
        pick(&[0usize, 0, 3]),
        any::<u8>(),
        any::<u8>(),
    );
    (first, second).prop_map(
        |((kind, v6, checksum, options, tag), (fragment, padding, flags, tos))| Outer {
            kind,
            v6,
            checksum,
            options,
            tag,
            fragment,
            padding,
            flags,
            tos,
        },
    )
}

/// Ports of the kinds of [`Outer`].
pub const PORTS: [u16; 3] = [4789, 4790, 6081];

impl Outer {
    fn tunnel_header(&self) -> Vec<u8> {
        let mut header = match self.kind {
            0 => vec![8, 0, 0, 0, 0, 0, 5, 0],
            1 => vec![0x88, 0x48, 1, self.flags & 3, 0, 0, 5, 0],
            2 => vec![
                self.options as u8,
                self.flags & 0xc0,
                0x65,
                0x58,
                0,
                0,
                5,
                0,
            ],
            _ => {
                let key = if self.flags & 1 != 0 { 0x20 } else { 0 };
                let sequence = if self.flags & 2 != 0 { 0x10 } else { 0 };
                let checksum = if self.checksum { 0x80 } else { 0 };
                let mut header = vec![key | sequence | checksum, 0, 0x65, 0x58];
                header.resize(header.len() + if self.checksum { 4 } else { 0 }, 0);
                header.extend(if key != 0 { &[0, 0, 0, 5][..] } else { &[] });
                header.extend(if sequence != 0 {
                    &[0, 0, 0, 1][..]
                } else {
                    &[]
                });
                header
            }
        };
        if self.kind == 2 {
            header.extend((0..self.options).flat_map(|at| [1, 2, at as u8, self.flags & 3]));
        }
        header
    }

    /// The frame around another one.
    pub fn around(&self, inner: &[u8]) -> Vec<u8> {
        let mut message = [self.tunnel_header(), inner.to_vec()].concat();
        let mut pseudo = match self.v6 {
            true => [[0xfd; 15].as_slice(), &[1], &[0xfd; 15], &[2]].concat(),
            false => vec![10, 0, 0, 1, 10, 0, 0, 2],
        };
        if self.kind < 3 {
            let length = be(8 + message.len() as u16);
            pseudo.extend([[0, 17], length].concat());
            let head = [be(5555), be(PORTS[usize::from(self.kind)]), length, [0, 0]].concat();
            message = [head, message].concat();
            if self.checksum {
                let sum = checksum(&[&pseudo, &message]);
                message[6..8].copy_from_slice(if sum == [0, 0] { &[0xff, 0xff] } else { &sum });
            }
        } else if self.checksum {
            let sum = checksum(&[&message]);
            message[4..6].copy_from_slice(&sum);
        }
        let proto = if self.kind < 3 { 17 } else { 47 };
        let (kind, packet) = match self.v6 {
            true => (0x86dd, ipv6(self.tos, 64, proto, [1, 2], &message)),
            false => (
                0x0800,
                ipv4(self.tos, self.fragment, 64, proto, [1, 2], 0, &message),
            ),
        };
        let mut frame = ethernet([6, 7], kind, &packet);
        frame.resize(frame.len() + self.padding, 0xee);
        if let Some(tag) = self.tag {
            frame.splice(12..12, [[0x81, 0], be(tag)].concat());
        }
        frame
    }
}
