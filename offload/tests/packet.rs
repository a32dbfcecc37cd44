// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is found in frames: each test pins one fact of the kernel's flow dissector, as flower uses it.

mod support;

use etherparse::{IpFragOffset, IpNumber, Ipv4Header, PacketBuilder};
use oxnic_offload::packet::{
    bytes, dissect, ethernet, frame::Received, geneve, ipv6, ports, tcp, tunnel, vxlan, Address,
    Dissection, Fragment, Frame, Refused, Tag,
};
use proptest::prelude::*;
use support::{ethernet_frame, received, tagged, udp};

fn look(frame: &[u8]) -> Dissection {
    let (data, tag, protocol) = received(frame);
    dissect(&Frame {
        data: &data,
        tag,
        protocol,
    })
}

fn tcp_frame() -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    let mut frame = Vec::new();
    builder
        .tcp(1000, 2000, 1, 512)
        .syn()
        .write(&mut frame, b"payload")
        .unwrap();
    frame
}

fn ipv4_with(change: impl FnOnce(&mut Ipv4Header), payload: &[u8]) -> Vec<u8> {
    let mut header = Ipv4Header::new(
        payload.len() as u16,
        9,
        IpNumber::UDP,
        [10, 0, 0, 1],
        [10, 0, 0, 2],
    )
    .unwrap();
    change(&mut header);
    let mut packet = Vec::new();
    header.write(&mut packet).unwrap();
    packet.extend_from_slice(payload);
    ethernet_frame(ethernet::IPV4, &packet)
}

fn ipv6_packet(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x6a, 0xb0, 0, 0];
    packet.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[next, 33]);
    packet.extend_from_slice(&[0x11; 16]);
    packet.extend_from_slice(&[0x22; 16]);
    packet.extend_from_slice(payload);
    ethernet_frame(ethernet::IPV6, &packet)
}

#[test]
fn tcp_over_ipv4_has_all_its_fields() {
    let found = look(&tcp_frame());
    assert_eq!((found.eth_src, found.eth_dst), ([1; 6], [2; 6]));
    assert_eq!(
        (found.protocol, found.ip_proto, found.ttl),
        (ethernet::IPV4, ports::TCP, 64)
    );
    assert_eq!(found.address, Address::V4([10, 0, 0, 1], [10, 0, 0, 2]));
    assert_eq!(
        (found.src_port, found.dst_port, found.tcp_flags),
        (1000, 2000, 0x002)
    );
    assert_eq!((found.network, found.transport), (Some(14), 34));
}

#[test]
fn type_is_what_is_behind_all_tags() {
    for tags in 0..4 {
        let mut frame = tcp_frame();
        for id in 0..tags {
            frame = tagged(&frame, 0x8100, 100 + id);
        }
        let found = look(&frame);
        assert_eq!(found.protocol, ethernet::IPV4, "{tags} tags");
        assert_eq!(found.num_of_vlans, tags as u8);
        assert_eq!(found.dst_port, 2000);
        assert_eq!(found.vlan.is_some(), tags >= 1);
        assert_eq!(found.cvlan.is_some(), tags >= 2);
    }
}

#[test]
fn outermost_tag_is_the_vlan_and_the_next_the_cvlan() {
    let frame = tagged(&tagged(&tcp_frame(), 0x8100, 0x6007), 0x88a8, 0xb123);
    let found = look(&frame);
    let vlan = found.vlan.unwrap();
    assert_eq!(
        (
            vlan.tag.tpid,
            vlan.tag.id(),
            vlan.tag.priority(),
            vlan.behind
        ),
        (0x88a8, 0x123, 5, 0x8100)
    );
    let cvlan = found.cvlan.unwrap();
    assert_eq!(
        (
            cvlan.tag.tpid,
            cvlan.tag.id(),
            cvlan.tag.priority(),
            cvlan.behind
        ),
        (0x8100, 7, 3, 0x0800)
    );
}

#[test]
fn after_fifteen_tags_the_walk_stops_content() {
    let tags = |count: usize| (0..count).fold(tcp_frame(), |frame, _| tagged(&frame, 0x8100, 1));
    let found = look(&tags(15));
    assert_eq!(
        (found.num_of_vlans, found.protocol, found.dst_port),
        (15, ethernet::IPV4, 2000)
    );
    // The sixteenth is counted, and what is behind it is known but not looked at.
    let found = look(&tags(16));
    assert_eq!(
        (found.num_of_vlans, found.protocol, found.dst_port),
        (16, ethernet::IPV4, 0)
    );
    assert_eq!(found.address, Address::None);
}

#[test]
fn old_types_of_double_tags_are_no_tags() {
    let found = look(&tagged(&tcp_frame(), 0x9100, 5));
    assert_eq!((found.num_of_vlans, found.protocol), (0, 0x9100));
}

#[test]
fn cut_inner_tag_leaves_its_type() {
    let frame = tagged(&tagged(&tcp_frame(), 0x8100, 1), 0x88a8, 2);
    let found = look(&frame[..20]);
    assert_eq!((found.protocol, found.num_of_vlans), (0x8100, 1));
    assert_eq!(found.cvlan, None);
}

#[test]
fn tagged_frame_without_six_bytes_behind_ethernet_is_dropped_before_tc() {
    let frame = tagged(&tcp_frame(), 0x8100, 1);
    assert_eq!(Received::new(&frame[..19]), Err(Refused::CutTag));
    assert!(Received::new(&frame[..20]).is_ok());
    assert_eq!(Received::new(&frame[..13]), Err(Refused::Runt));
}

#[test]
fn length_in_place_of_a_type_is_llc() {
    assert_eq!(
        look(&ethernet_frame(0x0040, &[0x42, 0x42, 3])).protocol,
        ethernet::LLC
    );
    assert_eq!(
        look(&ethernet_frame(0x05ff, &[0xff, 0xff, 3])).protocol,
        ethernet::RAW_802_3
    );
    assert_eq!(look(&ethernet_frame(0x0600, &[])).protocol, 0x0600);
}

#[test]
fn cut_ip_header_leaves_type_but_no_family() {
    let frame = tcp_frame();
    let found = look(&frame[..14 + 19]);
    assert_eq!(
        (found.protocol, found.ip_proto, found.address),
        (ethernet::IPV4, 0, Address::None)
    );
    let mut short = frame.clone();
    short[14] = 0x44;
    assert_eq!(
        look(&short).address,
        Address::None,
        "header length of 16 bytes"
    );
}

#[test]
fn ip_version_and_total_length_are_not_looked_at() {
    let mut frame = tcp_frame();
    frame[14] = 0x75;
    frame[16..18].copy_from_slice(&20u16.to_be_bytes());
    let found = look(&frame);
    assert_eq!(
        (found.ip_proto, found.dst_port),
        (ports::TCP, 2000),
        "ports from beyond the packet's own end"
    );
}

#[test]
fn ports_are_behind_options() {
    let frame = ipv4_with(|header| header.options = [1u8; 8].into(), &udp(7, 8, b""));
    let found = look(&frame);
    assert_eq!(
        (found.src_port, found.dst_port, found.transport),
        (7, 8, 14 + 28)
    );
}

#[test]
fn fragments_have_no_ports_not_even_the_first() {
    let first = ipv4_with(|header| header.more_fragments = true, &udp(7, 8, b""));
    let found = look(&first);
    assert_eq!(
        (found.fragment, found.ip_proto, found.dst_port),
        (Fragment::First, ports::UDP, 0)
    );
    let later = ipv4_with(
        |header| header.fragment_offset = IpFragOffset::try_new(2).unwrap(),
        &udp(7, 8, b""),
    );
    let found = look(&later);
    assert_eq!(
        (found.fragment, found.ip_proto, found.dst_port, found.ttl),
        (Fragment::Later, ports::UDP, 0, 9)
    );
}

#[test]
fn cut_tcp_header_has_ports_but_no_flags() {
    let frame = tcp_frame();
    let found = look(&frame[..14 + 20 + 19]);
    assert_eq!((found.dst_port, found.tcp_flags), (2000, 0));
    let mut short = frame.clone();
    short[14 + 20 + 12] = 0x40;
    assert_eq!(
        (look(&short).dst_port, look(&short).tcp_flags),
        (2000, 0),
        "data offset of 16 bytes"
    );
    assert_eq!(
        look(&frame[..14 + 20 + 3]).dst_port,
        0,
        "three bytes are no ports"
    );
}

#[test]
fn tcp_flags_include_the_reserved_bits() {
    let mut frame = tcp_frame();
    frame[14 + 20 + 12] |= 0x0f;
    assert_eq!(look(&frame).tcp_flags, 0xf02);
    assert_eq!(tcp::FLAGS_MASK, 0xfff);
}

#[test]
fn ipv6_options_and_routing_are_stepped_over() {
    let mut payload = vec![ipv6::ROUTING, 0, 0, 0, 0, 0, 0, 0];
    payload.extend_from_slice(&[ipv6::DESTINATION, 1]);
    payload.extend_from_slice(&[0; 14]);
    payload.extend_from_slice(&[ports::UDP, 0, 0, 0, 0, 0, 0, 0]);
    payload.extend_from_slice(&udp(7, 8, b""));
    let found = look(&ipv6_packet(ipv6::HOP_BY_HOP, &payload));
    assert_eq!(
        (found.ip_proto, found.src_port, found.dst_port),
        (ports::UDP, 7, 8)
    );
    assert_eq!((found.tos, found.ttl), (0xab, 33));
    assert_eq!(found.address, Address::V6([0x11; 16], [0x22; 16]));
}

#[test]
fn ipv6_fragment_has_the_protocol_behind_but_no_ports() {
    for (offset, expected) in [(1u16, Fragment::First), (8 | 1, Fragment::Later)] {
        let mut payload = vec![ports::UDP, 0];
        payload.extend_from_slice(&offset.to_be_bytes());
        payload.extend_from_slice(&[0; 4]);
        payload.extend_from_slice(&udp(7, 8, b""));
        let found = look(&ipv6_packet(ipv6::FRAGMENT, &payload));
        assert_eq!(
            (found.fragment, found.ip_proto, found.dst_port),
            (expected, ports::UDP, 0)
        );
    }
}

#[test]
fn whole_ipv6_packet_in_a_fragment_header_is_a_first_fragment() {
    let mut payload = vec![ports::UDP, 0, 0, 0, 0, 0, 0, 0];
    payload.extend_from_slice(&udp(7, 8, b""));
    assert_eq!(
        look(&ipv6_packet(ipv6::FRAGMENT, &payload)).fragment,
        Fragment::First
    );
}

#[test]
fn authentication_header_is_not_stepped_over() {
    let mut payload = vec![ports::UDP, 4, 0, 0, 0x12, 0x34, 0x56, 0x78];
    payload.extend_from_slice(&[0; 16]);
    payload.extend_from_slice(&udp(7, 8, b""));
    let found = look(&ipv6_packet(ipv6::AUTHENTICATION, &payload));
    assert_eq!(
        (found.ip_proto, found.src_port, found.dst_port),
        (ipv6::AUTHENTICATION, 0x1234, 0x5678)
    );
}

#[test]
fn extension_headers_are_none_in_ipv4() {
    let found = look(&ipv4_with(
        |header| header.protocol = IpNumber(ipv6::DESTINATION),
        &[17, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 8],
    ));
    assert_eq!((found.ip_proto, found.dst_port), (ipv6::DESTINATION, 0));
}

#[test]
fn too_many_extension_headers_leave_ports_but_no_flags() {
    let chain = |count: usize| {
        let mut payload = Vec::new();
        for number in 0..count {
            let next = if number + 1 == count {
                ports::TCP
            } else {
                ipv6::DESTINATION
            };
            payload.extend_from_slice(&[next, 0, 0, 0, 0, 0, 0, 0]);
        }
        payload.extend_from_slice(&tcp_frame()[34..]);
        look(&ipv6_packet(ipv6::DESTINATION, &payload))
    };
    assert_eq!((chain(15).dst_port, chain(15).tcp_flags), (2000, 2));
    assert_eq!((chain(16).dst_port, chain(16).tcp_flags), (2000, 0));
}

#[test]
fn icmp_needs_eight_bytes() {
    let frame = ipv4_with(
        |header| header.protocol = IpNumber::ICMP,
        &[8, 3, 0, 0, 0, 1, 0, 2],
    );
    assert_eq!((look(&frame).icmp_type, look(&frame).icmp_code), (8, 3));
    assert_eq!(look(&frame[..frame.len() - 1]).icmp_type, 0);
}

#[test]
fn tunnels_are_not_entered() {
    for protocol in [ports::GRE, ports::IPV4, ports::IPV6] {
        let found = look(&ipv4_with(
            |header| header.protocol = IpNumber(protocol),
            &tcp_frame()[14..],
        ));
        assert_eq!(
            (found.protocol, found.ip_proto, found.dst_port),
            (ethernet::IPV4, protocol, 0)
        );
        assert_eq!(found.ttl, 9, "the outer header's");
    }
}

#[test]
fn label_stack_ends_with_its_bottom_its_seventh_entry_or_the_last_whole_one() {
    let stack = |entries: &[[u8; 4]], more: &[u8]| {
        let bytes = [&entries.concat()[..], more].concat();
        look(&ethernet_frame(ethernet::MPLS, &bytes)).mpls
    };
    let (go_on, bottom) = ([0x12, 0x34, 0x5a, 64], [0xff, 0xff, 0xff, 255]);
    let found = stack(&[go_on, bottom, go_on], &[]);
    assert_eq!((found.there, found.entries[1]), (0b11, bottom));
    assert_eq!(found.entries[2], [0; 4]);
    assert_eq!(stack(&[go_on; 9], &[]).there, 0x7f);
    assert_eq!(stack(&[go_on], &[1, 2, 3]).there, 1);
    assert_eq!(stack(&[], &[]).there, 0);
}

#[test]
fn each_entry_of_a_label_stack_is_a_header_of_those_that_are_looked_at() {
    let mut frame = ethernet_frame(ethernet::MPLS, &[[0; 4]; 8].concat());
    for _ in 0..12 {
        frame = tagged(&frame, ethernet::VLAN, 1);
    }
    let found = look(&frame);
    assert_eq!(found.protocol, ethernet::MPLS);
    assert_eq!(
        found.mpls.there.count_ones(),
        4,
        "12 tags, and so many more"
    );
}

#[test]
fn mpls_in_ip_has_a_label_stack() {
    let found = look(&ipv4_with(
        |header| header.protocol = IpNumber(ports::MPLS),
        &[0, 0, 0x10, 9, 0, 0, 0x21, 8],
    ));
    assert_eq!(found.mpls.there, 0b11);
    assert_eq!(found.mpls.entries[1], [0, 0, 0x21, 8]);
}

#[test]
fn mpls_in_ip_changes_the_type_and_keeps_addresses() {
    let found = look(&ipv4_with(
        |header| header.protocol = IpNumber(ports::MPLS),
        &[0; 8],
    ));
    assert_eq!(
        (found.protocol, found.ip_proto),
        (ethernet::MPLS, ports::MPLS)
    );
    assert_eq!(found.address, Address::V4([10, 0, 0, 1], [10, 0, 0, 2]));
}

#[test]
fn pppoe_session_is_stepped_over() {
    let mut payload = vec![0x11, 0, 0, 9, 0, 0, 0, 0x21];
    payload.extend_from_slice(&tcp_frame()[14..]);
    let found = look(&ethernet_frame(ethernet::PPPOE_SESSION, &payload));
    assert_eq!(
        (found.protocol, found.dst_port, found.network),
        (ethernet::IPV4, 2000, Some(22))
    );
    payload[7] = 0x23;
    assert_eq!(
        look(&ethernet_frame(ethernet::PPPOE_SESSION, &payload)).protocol,
        ethernet::PPPOE_SESSION
    );
}

#[test]
fn tags_within_batman_are_not_counted() {
    let mut payload = vec![0x40, 15, 50, 0, 3, 3, 3, 3, 3, 3];
    payload.extend_from_slice(&tagged(&tcp_frame(), 0x8100, 6));
    let found = look(&ethernet_frame(ethernet::BATMAN, &payload));
    assert_eq!((found.num_of_vlans, found.dst_port), (0, 2000));
    assert_eq!(found.vlan.unwrap().tag.id(), 6);
    assert_eq!(found.eth_src, [1; 6], "the outer header's");
}

#[test]
fn arp_takes_requests_and_replies_over_ethernet_only() {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1];
    packet.extend_from_slice(&[5, 5, 5, 5, 5, 5, 10, 0, 0, 1, 6, 6, 6, 6, 6, 6, 10, 0, 0, 2]);
    let found = look(&ethernet_frame(ethernet::ARP, &packet)).arp;
    assert_eq!(
        (found.operation, found.sender_mac, found.target_ip),
        (1, [5; 6], [10, 0, 0, 2])
    );
    packet[7] = 3;
    assert_eq!(
        look(&ethernet_frame(ethernet::RARP, &packet)).arp.operation,
        0,
        "reverse request"
    );
    packet[7] = 1;
    packet[4] = 8;
    assert_eq!(
        look(&ethernet_frame(ethernet::ARP, &packet)).arp.operation,
        0,
        "other hardware"
    );
}

fn open(
    frame: &[u8],
    kind: tunnel::TunnelKind,
    port: u16,
) -> Option<(tunnel::Tunnel<'static>, Vec<u8>)> {
    let (data, tag, protocol) = received(frame);
    let data: &'static [u8] = data.leak();
    let ports = [tunnel::TunnelPort {
        kind,
        port,
        zero_checksum_v6: false,
    }];
    tunnel::open(
        &Frame {
            data,
            tag,
            protocol,
        },
        &ports,
    )
    .map(|opened| (opened.tunnel, opened.inner.to_vec()))
}

fn outer(port: u16, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([192, 0, 2, 1], [192, 0, 2, 2], 7);
    let mut frame = Vec::new();
    builder.udp(5555, port).write(&mut frame, payload).unwrap();
    frame
}

#[test]
fn vxlan_is_opened_on_any_port() {
    let mut payload = vxlan::Vxlan {
        id: 0x123456,
        group: None,
    }
    .bytes()
    .to_vec();
    payload.extend_from_slice(&tcp_frame());
    let frame = outer(9999, &payload);
    let (found, inner) = open(
        &frame,
        tunnel::TunnelKind::Vxlan {
            group_policy: false,
        },
        9999,
    )
    .unwrap();
    assert_eq!(
        (found.key_id, found.src_port, found.dst_port, found.ttl),
        (0x123456, 5555, 9999, 7)
    );
    assert_eq!(found.address, Address::V4([192, 0, 2, 1], [192, 0, 2, 2]));
    assert_eq!(
        found.flags,
        tunnel::flag::CSUM | tunnel::flag::DF,
        "etherparse sets both"
    );
    assert_eq!(inner, tcp_frame());
    assert_eq!(
        open(
            &frame,
            tunnel::TunnelKind::Vxlan {
                group_policy: false
            },
            4789
        ),
        None
    );
}

#[test]
fn padding_behind_the_outer_packet_is_not_inner() {
    let mut payload = vxlan::Vxlan { id: 1, group: None }.bytes().to_vec();
    payload.extend_from_slice(&tcp_frame());
    let mut frame = outer(4789, &payload);
    frame.extend_from_slice(&[0xaa; 9]);
    assert_eq!(
        open(
            &frame,
            tunnel::TunnelKind::Vxlan {
                group_policy: false
            },
            4789
        )
        .unwrap()
        .1,
        tcp_frame()
    );
}

#[test]
fn vxlan_group_needs_a_device_that_wants_it() {
    let group = 0x0008_1234;
    let mut payload = vxlan::Vxlan {
        id: 1,
        group: Some(group),
    }
    .bytes()
    .to_vec();
    payload.extend_from_slice(&tcp_frame());
    let frame = outer(4789, &payload);
    let (found, _) = open(
        &frame,
        tunnel::TunnelKind::Vxlan { group_policy: true },
        4789,
    )
    .unwrap();
    assert_eq!(found.options, tunnel::TunnelOptions::Group(group));
    assert_eq!(
        open(
            &frame,
            tunnel::TunnelKind::Vxlan {
                group_policy: false
            },
            4789
        ),
        None,
        "reserved bits"
    );
}

#[test]
fn geneve_options_are_taken_as_they_are() {
    let options = [0x01, 0x02, 0x80, 0x1f, 9, 9, 9, 9];
    let header = geneve::Geneve {
        id: 77,
        oam: true,
        critical: true,
        options: &options,
    };
    let mut payload = header.bytes().to_vec();
    payload.extend_from_slice(&options);
    payload.extend_from_slice(&tcp_frame());
    let (found, inner) = open(&outer(6081, &payload), tunnel::TunnelKind::Geneve, 6081).unwrap();
    assert_eq!(found.options, tunnel::TunnelOptions::Geneve(&options));
    assert_eq!(
        found.flags & (tunnel::flag::OAM | tunnel::flag::CRIT),
        tunnel::flag::OAM | tunnel::flag::CRIT
    );
    assert_eq!((found.key_id, inner), (77, tcp_frame()));
}

#[test]
fn gretap_has_no_ports_and_an_optional_key() {
    for (header, key) in [
        (vec![0u8, 0, 0x65, 0x58], 0),
        (vec![0x20, 0, 0x65, 0x58, 0, 0, 1, 2], 0x102),
    ] {
        let payload = [header, tcp_frame()].concat();
        let frame = ipv4_with(|header| header.protocol = IpNumber(ports::GRE), &payload);
        let (found, inner) = open(&frame, tunnel::TunnelKind::Gretap, 0).unwrap();
        assert_eq!(
            (
                found.key_id,
                found.src_port,
                found.dst_port,
                found.flags & tunnel::flag::CSUM
            ),
            (key, 0, 0, 0)
        );
        assert_eq!(inner, tcp_frame());
    }
}

#[test]
fn inner_frame_has_the_header_of_its_type() {
    let header = vxlan::Vxlan { id: 1, group: None }.bytes();
    let kind = tunnel::TunnelKind::Vxlan {
        group_policy: false,
    };
    let whole = |kind| ethernet_frame(kind, &[0; 60]);
    let tag = tagged(&whole(ethernet::IPV4), 0x8100, 5);
    for (inner, length, opens) in [
        (whole(ethernet::IPV4), 34, true),
        (whole(ethernet::IPV4), 33, false),
        (whole(ethernet::IPV6), 54, true),
        (whole(ethernet::IPV6), 53, false),
        (whole(ethernet::ARP), 14, true),
        (whole(ethernet::ARP), 13, false),
        (tag, 18, true),
    ] {
        let frame = outer(4789, &[&header[..], &inner[..length]].concat());
        assert_eq!(open(&frame, kind, 4789).is_some(), opens, "{inner:02x?}");
    }
}

#[test]
fn outer_fragments_and_wrong_checksums_are_not_opened() {
    let mut payload = vxlan::Vxlan { id: 1, group: None }.bytes().to_vec();
    payload.extend_from_slice(&tcp_frame());
    let kind = tunnel::TunnelKind::Vxlan {
        group_policy: false,
    };
    let frame = outer(4789, &payload);
    assert!(open(&frame, kind, 4789).is_some());
    let mut wrong = frame.clone();
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(open(&wrong, kind, 4789), None, "UDP");
    let mut wrong = frame.clone();
    wrong[22] ^= 1;
    assert_eq!(open(&wrong, kind, 4789), None, "IPv4 header");
    let fragment = ipv4_with(
        |header| header.more_fragments = true,
        &udp(1, 4789, &payload),
    );
    assert_eq!(open(&fragment, kind, 4789), None);
}

proptest! {
    #[test]
    fn nothing_panics_on_arbitrary_bytes(frame in proptest::collection::vec(any::<u8>(), 0..300), port in any::<u16>()) {
        if let Ok(seen) = Received::new(&frame) {
            let (data, tag, protocol) = received(&frame);
            prop_assert_eq!((tag, protocol), (seen.tag, seen.protocol));
            let frame = Frame { data: &data, tag, protocol };
            let found = dissect(&frame);
            prop_assert!(found.transport <= data.len());
            let ports = [tunnel::TunnelKind::Geneve, tunnel::TunnelKind::Gretap]
                .map(|kind| tunnel::TunnelPort { kind, port, zero_checksum_v6: true });
            tunnel::open(&frame, &ports);
        }
    }

    #[test]
    fn nothing_panics_on_cut_and_flipped_packets(
        cut in 0usize..160, flips in proptest::collection::vec((0usize..160, any::<u8>()), 0..6), tags in 0usize..3, kind in 0usize..4,
    ) {
        let mut frame = support::sample(kind);
        for id in 0..tags {
            frame = tagged(&frame, 0x8100, id as u16);
        }
        for (at, byte) in flips {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.truncate(cut);
        if Received::new(&frame).is_ok() {
            let (data, tag, protocol) = received(&frame);
            let frame = Frame { data: &data, tag, protocol };
            dissect(&frame);
            let ports = [tunnel::TunnelPort { kind: tunnel::TunnelKind::Vxlan { group_policy: true }, port: 4789, zero_checksum_v6: true }];
            tunnel::open(&frame, &ports);
        }
    }

    #[test]
    fn what_was_written_is_found(
        source in any::<[u8; 4]>(), destination in any::<[u8; 4]>(), ttl in any::<u8>(), ports in any::<(u16, u16)>(),
        tag in proptest::option::of(any::<u16>()),
    ) {
        let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(source, destination, ttl);
        let mut frame = Vec::new();
        builder.udp(ports.0, ports.1).write(&mut frame, b"x").unwrap();
        if let Some(tci) = tag {
            frame = tagged(&frame, 0x8100, tci);
        }
        let found = look(&frame);
        prop_assert_eq!(found.address, Address::V4(source, destination));
        prop_assert_eq!((found.ttl, found.src_port, found.dst_port), (ttl, ports.0, ports.1));
        prop_assert_eq!(found.vlan.map(|key| key.tag), tag.map(|tci| Tag { tpid: 0x8100, tci }));
        prop_assert_eq!(bytes::be16(&frame, frame.len()), None);
    }
}
