// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Outer headers: that they are read back as what was asked for, by the code that opens tunnels.

use oxnic_abi::flow::encap::encap_flags;
use oxnic_abi::flow::tunnel::TunnelKind as Number;
use oxnic_offload::packet::checksum::Sum;
use oxnic_offload::packet::frame::{Frame, Received};
use oxnic_offload::packet::tunnel::{flag, open, TunnelKind, TunnelOptions, TunnelPort};
use oxnic_offload::packet::Address;
use oxnic_offload::plan::headers::{build, Way};
use oxnic_offload::plan::{TunnelDevice, TunnelId};
use oxnic_offload::rule::Encap;

const INNER: [u8; 20] = [0x5a; 20];
const V4: Address = Address::V4([192, 0, 2, 1], [192, 0, 2, 2]);
const V6: Address = Address::V6([0x20; 16], [0x21; 16]);

fn device(kind: TunnelKind) -> TunnelDevice {
    TunnelDevice {
        number: 0,
        kind,
        port: if kind == TunnelKind::Gretap { 0 } else { 4789 },
        id: TunnelId::External,
        local: None,
        remote: None,
    }
}

fn way(address: Address, tags: &[(u16, u16)]) -> Way<'_> {
    Way {
        from: [2, 0, 0, 0, 0, 1],
        to: [2, 0, 0, 0, 0, 2],
        tags,
        address,
        ttl: 64,
        source_ports: (32768, 60999),
    }
}

/// The headers around a frame, with lengths and checksums as a device would fill them in.
fn frame(encap: &Encap<'_>, device: &TunnelDevice, way: &Way<'_>) -> Vec<u8> {
    let mut room = [0; 512];
    let set = build(encap, device, way, &mut room).expect("headers");
    assert_ne!(set.options & encap_flags::READY, 0);
    let mut bytes = room[..usize::from(set.length)].to_vec();
    bytes.extend_from_slice(&INNER);
    let (network, transport) = (usize::from(set.network), usize::from(set.transport));
    assert_eq!(network, 14 + 4 * way.tags.len());
    let length = bytes.len() - transport;
    if let Address::V4(..) = way.address {
        let total = (bytes.len() - network) as u16;
        bytes[network + 2..][..2].copy_from_slice(&total.to_be_bytes());
        let sum = !Sum::default().with(&bytes[network..transport]).folded();
        bytes[network + 10..][..2].copy_from_slice(&sum.to_be_bytes());
    } else {
        bytes[network + 4..][..2].copy_from_slice(&(length as u16).to_be_bytes());
    }
    if set.kind != Number::GRETAP {
        assert_eq!((set.port_min, set.port_max), way.source_ports);
        bytes[transport + 4..][..2].copy_from_slice(&(length as u16).to_be_bytes());
    } else {
        assert_eq!((set.port_min, set.port_max), (0, 0));
    }
    if set.options & encap_flags::CHECKSUM != 0 {
        let at = transport + if set.kind == Number::GRETAP { 4 } else { 6 };
        let start = match set.kind {
            Number::GRETAP => Sum::default(),
            _ => Sum::default().with_pseudo_header(way.address, length as u32, 17),
        };
        let sum = !start.with(&bytes[transport..]).folded();
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

fn check(encap: &Encap<'_>, kind: TunnelKind, address: Address, tags: &[(u16, u16)]) {
    let device = device(kind);
    let mut bytes = frame(encap, &device, &way(address, tags));
    let port = TunnelPort {
        kind,
        port: match kind {
            TunnelKind::Gretap => 0,
            TunnelKind::Vxlan { .. } if encap.dst_port != 0 => encap.dst_port,
            _ => 4789,
        },
        zero_checksum_v6: true,
    };
    let received = Received::new(&bytes).expect("a frame");
    if received.tag.is_some() {
        bytes.drain(12..16);
    }
    let frame = Frame {
        data: &bytes,
        tag: received.tag,
        protocol: received.protocol,
    };
    let opened = open(&frame, &[port]).expect("a tunnel");
    assert_eq!(opened.inner, INNER);
    assert_eq!(opened.tunnel.address, address);
    assert_eq!(opened.tunnel.key_id, encap.key_id);
    assert_eq!(opened.tunnel.dst_port, port.port);
    assert_eq!(opened.tunnel.tos, encap.tos);
    let ttl = if encap.ttl == 0 { 64 } else { encap.ttl };
    assert_eq!(opened.tunnel.ttl, ttl);
    assert_eq!(opened.tunnel.options, encap.options);
    assert_eq!(opened.tunnel.flags & flag::CSUM != 0, encap.csum);
    let df = encap.dont_fragment && matches!(address, Address::V4(..));
    assert_eq!(opened.tunnel.flags & flag::DF != 0, df);
}

#[test]
fn each_kind_over_each_family_is_read_back_as_asked() {
    const OPTIONS: [u8; 12] = [1, 2, 3, 2, 5, 6, 7, 8, 9, 10, 11, 12];
    let gbp = TunnelKind::Vxlan { group_policy: true };
    let plain = TunnelKind::Vxlan {
        group_policy: false,
    };
    let cases = [
        (plain, TunnelOptions::None),
        (gbp, TunnelOptions::Group(0x0048_1234)),
        (TunnelKind::Geneve, TunnelOptions::None),
        (TunnelKind::Geneve, TunnelOptions::Geneve(&OPTIONS)),
        (TunnelKind::Gretap, TunnelOptions::None),
    ];
    let tags: [&[(u16, u16)]; 3] = [&[], &[(0x8100, 0x6007)], &[(0x88a8, 9), (0x8100, 7)]];
    for (kind, options) in cases {
        for address in [V4, V6] {
            for csum in [false, true] {
                for tags in tags {
                    let encap = Encap {
                        address,
                        key_id: 0x0012_3456,
                        // Not that of a group: the device's own.
                        dst_port: if kind == gbp { 0 } else { 8472 },
                        tos: 0xb8,
                        ttl: if csum { 0 } else { 7 },
                        csum,
                        dont_fragment: csum,
                        options,
                    };
                    check(&encap, kind, address, tags);
                }
            }
        }
    }
}

#[test]
fn a_group_of_zero_is_no_extension() {
    let kind = TunnelKind::Vxlan { group_policy: true };
    let with = |options| {
        let encap = Encap {
            options,
            ..Encap::default()
        };
        frame(&encap, &device(kind), &way(V4, &[]))
    };
    assert_eq!(with(TunnelOptions::Group(0)), with(TunnelOptions::None));
}

#[test]
fn what_does_not_fit_is_not_built() {
    let encap = Encap::default();
    let device = device(TunnelKind::Geneve);
    let mut room = [0; 512];
    let length = usize::from(
        build(&encap, &device, &way(V4, &[]), &mut room)
            .expect("headers")
            .length,
    );
    assert_eq!(length, 14 + 20 + 8 + 8);
    let short = &mut room[..length - 1];
    assert_eq!(build(&encap, &device, &way(V4, &[]), short), None);
    let none = way(Address::None, &[]);
    assert_eq!(build(&encap, &device, &none, &mut room), None);
}

#[test]
fn all_but_gretap_over_ipv6_take_over_marks() {
    let marks = |kind, address| {
        let mut room = [0; 512];
        let encap = Encap::default();
        let set = build(&encap, &device(kind), &way(address, &[]), &mut room);
        set.expect("headers").options & encap_flags::ECN != 0
    };
    assert!(marks(TunnelKind::Gretap, V4));
    assert!(!marks(TunnelKind::Gretap, V6));
    assert!(marks(TunnelKind::Geneve, V6));
}
