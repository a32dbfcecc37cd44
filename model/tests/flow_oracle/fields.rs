// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The fields of any frame are those that the dissector of `oxnic_offload` finds, and so are those of any tunnel.

use crate::frames;
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::tunnel::{TunnelKind, TunnelPort as Port, tunnel_flags};
use oxnic_model::nic::flow::packet::Packet;
use oxnic_model::nic::flow::tunnel::Ports;
use oxnic_offload::packet::frame::Received;
use oxnic_offload::packet::tunnel::{TunnelKind as Kind, TunnelOptions, TunnelPort, open};
use oxnic_offload::packet::{Frame, Tag, Tunnel, dissect, vlan};
use oxnic_offload::plan::conditions::number;
use oxnic_offload::rule::field::TABLE;
use oxnic_offload::rule::{Seen, Values};
use proptest::prelude::*;

/// The same tunnel ports for both: two of VXLAN, with and without group policy, Geneve, GRE.
pub fn device_ports(zero_checksum: bool) -> Vec<Port> {
    let zero = if zero_checksum {
        tunnel_flags::ZERO_CHECKSUM_V6
    } else {
        0
    };
    let port = |kind, port: u16, flags| Port {
        kind,
        port: port.to_be_bytes(),
        flags: flags | tunnel_flags::ON,
    };
    let [plain, policy, geneve] = frames::PORTS;
    vec![
        port(TunnelKind::VXLAN, plain, zero),
        port(TunnelKind::VXLAN, policy, zero | tunnel_flags::GROUP_POLICY),
        port(TunnelKind::GENEVE, geneve, zero),
        port(TunnelKind::GRETAP, 0, 0),
    ]
}

pub fn oracle_ports(zero_checksum_v6: bool) -> Vec<TunnelPort> {
    let port = |kind, port| TunnelPort {
        kind,
        port,
        zero_checksum_v6,
    };
    let [plain, policy, geneve] = frames::PORTS;
    vec![
        port(
            Kind::Vxlan {
                group_policy: false,
            },
            plain,
        ),
        port(Kind::Vxlan { group_policy: true }, policy),
        port(Kind::Geneve, geneve),
        port(Kind::Gretap, 0),
    ]
}

/// A frame as software has it.
pub fn received(bytes: &[u8]) -> Option<(Vec<u8>, Option<Tag>, u16)> {
    let seen = Received::new(bytes).ok()?;
    let data = match seen.tag {
        Some(_) => [&bytes[..12], &bytes[12 + vlan::LENGTH..]].concat(),
        None => bytes.to_vec(),
    };
    Some((data, seen.tag, seen.protocol))
}

/// Compares all fields that both have.
fn compare(
    device: &oxnic_model::nic::flow::values::Values,
    frame: &Frame<'_>,
    tunnel: &Tunnel<'_>,
) {
    let packet = dissect(frame);
    let port = oxnic_offload::rule::Port(1);
    let oracle = Values::new(&Seen {
        port,
        packet: &packet,
        tunnel,
    });
    for row in TABLE {
        let field = number(row.field);
        assert_eq!(device.get(field), oracle.get(row.field), "{:?}", row.field);
    }
}

fn engine_ports(zero: bool) -> Ports {
    let caps = oxnic_model::nic::flow::limits::capability();
    let mut ports = Ports::new(8);
    for port in device_ports(zero) {
        ports.set(&caps, &port).unwrap();
    }
    ports
}

/// Compares what both see of a frame, and of what it carries.
fn check(bytes: &[u8], zero: bool) {
    let ports = engine_ports(zero);
    let Some((data, tag, protocol)) = received(bytes) else {
        assert!(Packet::new(bytes).is_none());
        return;
    };
    let mut packet = Packet::new(bytes).unwrap();
    assert_eq!(packet.bytes(), bytes);
    let frame = Frame {
        data: &data,
        tag,
        protocol,
    };
    let (device, _) = packet.look(false, 1, &ports).unwrap();
    compare(device, &frame, &Tunnel::default());
    let outermost = frame.filter_protocol().to_be_bytes();
    assert_eq!(device.get(FlowField::PROTOCOL), outermost);
    // Linux drops an inner frame whose tag is cut off, but not before its tunnel device took it.
    let opened = open(&frame, &oracle_ports(zero));
    let opened = opened.and_then(|opened| Some((opened, received(opened.inner)?)));
    let seen = packet.look(true, 1, &ports);
    assert_eq!(seen.is_some(), opened.is_some());
    let (Some((device, options)), Some((opened, (data, tag, protocol)))) = (seen, opened) else {
        return;
    };
    let inner = Frame {
        data: &data,
        tag,
        protocol,
    };
    compare(device, &inner, &opened.tunnel);
    let expected = match opened.tunnel.options {
        TunnelOptions::None => Vec::new(),
        TunnelOptions::Geneve(options) => options.to_vec(),
        TunnelOptions::Group(group) => group.to_be_bytes().to_vec(),
    };
    assert_eq!(options, expected);
    let kind = match opened.port.kind {
        Kind::Vxlan { .. } => 1,
        Kind::Geneve => 2,
        Kind::Gretap => 3,
    };
    assert_eq!(device.get(FlowField::TUNNEL_KIND), [kind]);
    let length = device.get(FlowField::ENC_OPTIONS_LENGTH);
    assert_eq!(length, [expected.len() as u8]);
}

proptest! {
    #![proptest_config(crate::config(2000))]

    #[test]
    fn of_frames(bytes in frames::frame()) {
        check(&bytes, false);
    }

    #[test]
    fn of_noise(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in 0usize..8) {
        let kinds = [0x0800u16, 0x86dd, 0x8100, 0x88a8, 0x0806, 0x8864, 0x4305, 0x892f];
        if let Some(place) = bytes.get_mut(12..14) {
            place.copy_from_slice(&kinds[kind].to_be_bytes());
        }
        check(&bytes, true);
    }

    #[test]
    fn of_tunnels(
        outer in frames::outer(),
        inner in frames::frame(),
        zero in any::<bool>(),
        wrong in proptest::option::weighted(0.3, (any::<proptest::sample::Index>(), any::<u8>())),
        cut in proptest::option::weighted(0.1, any::<proptest::sample::Index>()),
    ) {
        let mut bytes = outer.around(&inner);
        if let Some((at, byte)) = wrong {
            let at = at.index(80.min(bytes.len()));
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            let length = cut.index(bytes.len());
            bytes.truncate(length);
        }
        check(&bytes, zero);
    }
}
