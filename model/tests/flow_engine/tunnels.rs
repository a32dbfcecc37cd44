// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Frames into tunnels and out of them.

use crate::bench::{
    Bench, action, checksum, condition, count, mirror, out, plain, table, tagged, udp,
};
use oxnic_abi::flow::action::{
    FlowActionKind as Kind, FlowEdit, FlowHeader, FlowVerdict, decap_flags,
};
use oxnic_abi::flow::encap::{EncapSet, encap_flags};
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::flow_set::CREATE;
use oxnic_abi::flow::meter::MeterSet;
use oxnic_abi::flow::port::FlowDirection;
use oxnic_abi::flow::table::{TableMiss, TableSet, TableView};
use oxnic_abi::flow::tunnel::{TunnelKind, TunnelPort, tunnel_flags};
use oxnic_model::nic::flow::{Place, To, Up, Why};

const EGRESS: u8 = FlowDirection::EGRESS.0;

/// Headers of VXLAN with identifier 5, over IPv4 or IPv6.
fn headers(v6: bool) -> Vec<u8> {
    let mut headers = vec![4, 0, 0, 0, 0, 2, 4, 0, 0, 0, 0, 1];
    if v6 {
        headers.extend([0x86, 0xdd, 0x60, 0, 0, 7, 0, 0, 17, 33]);
        headers.extend([[0xfd; 16], [0xfe; 16]].concat());
    } else {
        headers.extend([8, 0, 0x45, 0x40, 0, 0, 0, 0, 0, 0, 33, 17, 0, 0]);
        headers.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    }
    headers.extend([0xab, 0xcd, 0x12, 0xb5, 0, 0, 0, 0]);
    headers.extend([8, 0, 0, 0, 0, 0, 5, 0]);
    headers
}

fn set(headers: &[u8], options: u16, v6: bool) -> EncapSet {
    let entropy = options & encap_flags::SOURCE_PORT != 0;
    EncapSet {
        id: 3,
        flags: CREATE,
        options,
        length: headers.len() as u16,
        network: 14,
        transport: if v6 { 54 } else { 34 },
        kind: TunnelKind::VXLAN,
        port_min: if entropy { 0xc000 } else { 0 },
        port_max: if entropy { 0xc0ff } else { 0 },
    }
}

/// A bench that puts frames into a tunnel and out of port 2.
fn encap(options: u16, v6: bool) -> Bench {
    let mut bench = Bench::new();
    let headers = headers(v6);
    bench
        .engine
        .set_encap(&set(&headers, options, v6), &headers)
        .unwrap();
    let send = action(Kind::REDIRECT, [EGRESS, 0], &[2, 3]);
    bench.rule(0, 0, &[count(1), send]);
    bench
}

/// A bench that knows the tunnel, with table 9 for what is in it.
fn decap() -> Bench {
    let mut bench = Bench::new();
    let port = TunnelPort {
        kind: TunnelKind::VXLAN,
        port: 4789u16.to_be_bytes(),
        flags: tunnel_flags::ON,
    };
    bench.engine.set_tunnel_port(&port).unwrap();
    bench
        .engine
        .set_table(&table(9, TableView::TUNNEL, TableMiss::DEFAULT, 0, 1009))
        .unwrap();
    let uplink = TableSet {
        flags: 0,
        ..table(0, TableView::PACKET, TableMiss::TABLE, 9, 1000)
    };
    bench.engine.set_table(&uplink).unwrap();
    bench
}

const READY: u16 = encap_flags::READY;

#[test]
fn headers_are_filled_in() {
    for (v6, checksummed) in [(false, false), (false, true), (true, false), (true, true)] {
        let options = READY
            | if checksummed {
                encap_flags::CHECKSUM
            } else {
                0
            };
        let mut bench = encap(options, v6);
        let frame = tagged(&udp(), 0x8100, 5);
        let sent = bench.run(&frame);
        let (to, bytes) = &sent[0];
        assert_eq!((*to, sent.len()), (To::Out(2), 1));
        let (head, rest) = bytes.split_at(headers(v6).len());
        assert_eq!(rest, frame);
        let length = |at: usize| usize::from(u16::from_be_bytes([head[at], head[at + 1]]));
        let udp = if v6 { 54 } else { 34 };
        assert_eq!(length(udp + 4), bytes.len() - udp);
        assert_eq!(head[udp..udp + 4], [0xab, 0xcd, 0x12, 0xb5]);
        let addresses = if v6 {
            assert_eq!(length(18), bytes.len() - 54);
            &bytes[22..54]
        } else {
            assert_eq!(length(16), bytes.len() - 14);
            assert_eq!(checksum(&head[14..34]), [0, 0]);
            &bytes[26..34]
        };
        let pseudo = [addresses, &[0, 17], &head[udp + 4..udp + 6]].concat();
        let sum = checksum(&[&pseudo, &bytes[udp..]].concat());
        assert_eq!(sum == [0, 0], checksummed);
        assert_eq!(length(udp + 6) != 0, checksummed);
        assert_eq!(bench.counted(1), (1, 46));
    }
}

#[test]
fn what_is_within_shows_outside_where_flags_say_so() {
    let all = READY | encap_flags::TTL | encap_flags::TOS | encap_flags::ECN | encap_flags::DF;
    let mut frame = udp();
    frame[15] = 0x2b; // DSCP 10, CE
    let (_, bytes) = encap(all, false).run(&frame).remove(0);
    // A mark within becomes ECT(0) outside.
    assert_eq!((bytes[15], bytes[22]), (0x2a, 64));
    assert_eq!(bytes[18..22], [0, 0, 0x40, 0]);
    let (_, bytes) = encap(all, true).run(&frame).remove(0);
    assert_eq!(bytes[14..16], [0x62, 0xa0]);
    assert_eq!(bytes[21], 64);
    // Also behind tags.
    let once = tagged(&frame, 0x8100, 1);
    for frame in [once.clone(), tagged(&once, 0x88a8, 2)] {
        let (_, bytes) = encap(all, false).run(&frame).remove(0);
        assert_eq!((bytes[15], bytes[22]), (0x2a, 64));
        assert_eq!(bytes[20..22], [0x40, 0]);
    }
    // Without IP it is as the headers have it.
    let mut other = frame.clone();
    other[12..14].copy_from_slice(&[0x88, 0xb5]);
    let (_, bytes) = encap(all, false).run(&other).remove(0);
    assert_eq!((bytes[15], bytes[22]), (0x40, 33));
    // Without DF identifications differ.
    let mut bench = encap(READY, false);
    let ids: Vec<_> = (0..3)
        .map(|_| bench.run(&udp())[0].1[18..20].to_vec())
        .collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
}

#[test]
fn frames_of_a_flow_have_one_source_port() {
    let mut bench = encap(READY | encap_flags::SOURCE_PORT, false);
    let port = |bench: &mut Bench, frame: &[u8]| {
        let bytes = bench.run(frame).remove(0).1;
        u16::from_be_bytes([bytes[34], bytes[35]])
    };
    let first = port(&mut bench, &udp());
    assert_eq!(first, port(&mut bench, &udp()));
    let mut ports = std::collections::HashSet::new();
    for source in 0..64 {
        let mut frame = udp();
        frame[35] = source;
        let port = port(&mut bench, &frame);
        assert!((0xc000..=0xc0ff).contains(&port));
        ports.insert(port);
    }
    assert!(ports.len() > 32);
}

#[test]
fn a_copy_in_a_tunnel_leaves_the_frame_without() {
    let mut bench = Bench::new();
    let headers = headers(false);
    bench
        .engine
        .set_encap(&set(&headers, READY, false), &headers)
        .unwrap();
    let copy = action(Kind::MIRROR, [EGRESS, 0], &[2, 3]);
    bench.rule(0, 0, &[copy, mirror(3, FlowDirection::EGRESS), out(4)]);
    let sent = bench.run(&udp());
    assert_eq!(sent[0].1.len(), headers.len() + 60);
    assert_eq!(sent[1..], [(To::Out(3), udp()), (To::Out(4), udp())]);
}

#[test]
fn headers_that_are_not_ready_are_a_miss() {
    let mut bench = encap(0, false);
    assert_eq!(bench.run(&udp()), [(To::Up(1, Up::Miss(1000)), udp())]);
    assert_eq!(bench.counted(1), (0, 0));
    assert_eq!(bench.engine.stats().encap_not_ready, 1);
    let headers = headers(false);
    let ready = EncapSet {
        flags: 0,
        ..set(&headers, READY, false)
    };
    bench.engine.set_encap(&ready, &headers).unwrap();
    assert_eq!(bench.ways(&udp()), [To::Out(2)]);
}

#[test]
fn what_went_in_comes_out() {
    for options in [READY, READY | encap_flags::CHECKSUM] {
        let mut out_of = decap();
        out_of.rule(9, 0, &[plain(Kind::DECAP), count(1), out(5)]);
        let frame = tagged(&udp(), 0x8100, 5);
        let around = encap(options, false).run(&frame).remove(0).1;
        assert_eq!(out_of.run(&around), [(To::Out(5), frame)]);
        assert_eq!(out_of.counted(1), (1, 46));
        assert_eq!(out_of.engine.stats().decapsulated, 1);
    }
}

#[test]
fn what_is_taken_out_goes_up_as_it_came() {
    let change = action(
        Kind::EDIT,
        [FlowHeader::ETHERNET.0, FlowEdit::SET.0],
        &[0, 0, 6],
    );
    let around = encap(READY, false).run(&udp()).remove(0).1;
    for last in [Kind::ACCEPT, Kind::TRAP] {
        let mut bench = decap();
        bench.rule(9, 0, &[plain(Kind::DECAP), change, plain(last)]);
        let up = To::Up(1, Up::Rule(1));
        assert_eq!(bench.run(&around), [(up, around.clone())]);
    }
    let mut bench = decap();
    let key = [condition(FlowField::ENC_KEY_ID, &[0xff; 4])];
    bench
        .try_rule(9, 0, &key, &[0, 0, 0, 6], &[plain(Kind::DROP)])
        .unwrap();
    assert_eq!(
        bench.run(&around),
        [(To::Up(1, Up::Miss(1009)), around.clone())]
    );
    bench
        .try_rule(9, 1, &key, &[0, 0, 0, 5], &[count(4), plain(Kind::DROP)])
        .unwrap();
    assert_eq!(bench.run(&around), []);
    // What is in no tunnel misses there.
    assert_eq!(bench.run(&udp()), [(To::Up(1, Up::Miss(1009)), udp())]);
    assert_eq!(bench.counted(4), (1, 46));
}

#[test]
fn a_frame_within_has_the_header_of_its_type() {
    let of_type = |kind: [u8; 2]| {
        let mut frame = udp();
        frame[12..14].copy_from_slice(&kind);
        frame
    };
    let (v4, v6) = (udp(), of_type([0x86, 0xdd]));
    let tag = tagged(&v4, 0x8100, 5);
    for (frame, length, opens) in [
        (&v4, 34, true),
        (&v4, 33, false),
        (&v6, 54, true),
        (&v6, 53, false),
        (&of_type([8, 6]), 14, true),
        (&tag, 20, true),
    ] {
        let around = encap(READY, false).run(&frame[..length]).remove(0).1;
        let mut bench = decap();
        bench.rule(9, 0, &[plain(Kind::DROP)]);
        let up = [(To::Up(1, Up::Miss(1009)), around.clone())];
        let expected: &[_] = if opens { &[] } else { &up };
        assert_eq!(bench.run(&around), expected, "{frame:02x?}");
    }
}

#[test]
fn notes_stay_until_they_are_forgotten() {
    let around = encap(READY, false).run(&udp()).remove(0).1;
    let key = [condition(FlowField::TUNNEL_KIND, &[0xff])];
    for (flags, to) in [(0, To::Out(6)), (decap_flags::FORGET, To::Out(7))] {
        let mut bench = decap();
        bench.table(4);
        let decap = action(Kind::DECAP, [0; 2], &[flags]);
        bench.rule(9, 0, &[decap, action(Kind::GOTO, [0; 2], &[4])]);
        bench
            .try_rule(4, 0, &key, &[TunnelKind::VXLAN.0], &[out(6)])
            .unwrap();
        bench.rule(4, 1, &[out(7)]);
        assert_eq!(bench.run(&around), [(to, udp())]);
    }
}

#[test]
fn a_tunnel_within_a_tunnel_is_opened_when_a_table_looks_into_it() {
    let inner = encap(READY, false).run(&udp()).remove(0).1;
    let around = encap(READY, false).run(&inner).remove(0).1;
    let decap_action = |flags| action(Kind::DECAP, [0; 2], &[flags]);
    let forget = decap_action(decap_flags::FORGET);
    let mut bench = decap();
    bench.rule(9, 0, &[decap_action(0), forget, forget, count(1), out(5)]);
    assert_eq!(bench.run(&around), [(To::Out(5), inner)]);
    let mut bench = decap();
    let goto = action(Kind::GOTO, [0; 2], &[9]);
    let port = [condition(FlowField::DST_PORT, &[0xff; 2])];
    bench
        .try_rule(9, 0, &port, &[0x12, 0xb5], &[forget, goto])
        .unwrap();
    bench
        .try_rule(9, 1, &port, &[0x20, 0], &[forget, out(6)])
        .unwrap();
    assert_eq!(bench.run(&around), [(To::Out(6), udp())]);
    assert_eq!(bench.engine.stats().decapsulated, 2);
}

#[test]
fn behind_more_than_two_tags_no_tunnel_is_found() {
    let mut around = encap(READY, false).run(&udp()).remove(0).1;
    for (tpid, opens) in [(0x8100, true), (0x8100, true), (0x88a8, false)] {
        around = tagged(&around, tpid, 5);
        let mut bench = decap();
        bench.rule(9, 0, &[plain(Kind::DECAP), out(5)]);
        let expected = match opens {
            true => (To::Out(5), udp()),
            false => (To::Up(1, Up::Miss(1009)), around.clone()),
        };
        assert_eq!(bench.run(&around), [expected]);
    }
}

#[test]
fn what_came_out_of_a_tunnel_counts_whole_until_a_table_looks_further() {
    let inner = encap(READY, false).run(&udp()).remove(0).1;
    let around = encap(READY, false).run(&inner).remove(0).1;
    let forget = action(Kind::DECAP, [0; 2], &[decap_flags::FORGET]);
    let goto = |table| action(Kind::GOTO, [0; 2], &[table]);
    let mut bench = decap();
    bench.table(4);
    bench.rule(9, 0, &[forget, count(1), goto(4)]);
    bench.rule(4, 0, &[count(2), out(5)]);
    assert_eq!(bench.run(&around), [(To::Out(5), inner.clone())]);
    let length = inner.len() as u64 - 14;
    assert_eq!([1, 2].map(|id| bench.counted(id)), [(1, length); 2]);
    let mut bench = decap();
    let tunnel = table(8, TableView::TUNNEL, TableMiss::DEFAULT, 0, 1008);
    bench.engine.set_table(&tunnel).unwrap();
    bench.rule(9, 0, &[forget, goto(8)]);
    bench.rule(8, 0, &[count(1), out(5)]);
    bench.run(&around);
    assert_eq!(bench.counted(1), (1, 46));
}

#[test]
fn a_frame_out_of_its_tunnel_is_as_long_to_a_meter_at_each_end_of_a_port() {
    let around = encap(READY, false).run(&udp()).remove(0).1;
    let verdicts = [FlowVerdict::PIPE.0, FlowVerdict::DROP.0];
    let meter = action(Kind::METER, verdicts, &[2]);
    let last = plain(Kind::ACCEPT);
    // Of a table where the frame goes out, taken out of its tunnel or looked at within; and of one where it came in.
    let ways: [&dyn Fn(&mut Bench); 3] = [
        &|bench| {
            bench.rule(5, 0, &[plain(Kind::DECAP), meter, last]);
        },
        &|bench| {
            bench.rule(5, 0, &[action(Kind::GOTO, [0; 2], &[9])]);
            bench.rule(9, 0, &[meter, last]);
        },
        &|bench| {
            bench.rule(9, 0, &[plain(Kind::DECAP), meter, out(3)]);
        },
    ];
    for (number, rules) in ways.iter().enumerate() {
        for (mtu, passes) in [(60, true), (59, false)] {
            let mut bench = decap();
            bench.table(5);
            bench.bind(2, FlowDirection::EGRESS, 5);
            let set = MeterSet {
                id: 2,
                flags: CREATE,
                mtu,
                ..MeterSet::ZERO
            };
            bench.engine.set_meter(&set, 0).unwrap();
            if number < 2 {
                bench.rule(0, 0, &[out(2)]);
            }
            rules(&mut bench);
            let sent = bench.run(&around).len();
            assert_eq!(sent == 1, passes, "{number} {mtu}");
            let stats = bench.engine.query_meter(2).unwrap();
            assert_eq!(stats.within_bytes + stats.beyond_bytes, 46);
        }
    }
}

#[test]
fn headers_begin_with_ethernet_and_up_to_two_tags() {
    let plain = headers(false);
    let tag = |bytes: &[u8]| tagged(bytes, 0x8100, 5);
    let (once, junk) = (tag(&plain), tagged(&plain, 0x88b5, 5));
    let twice = tagged(&once, 0x88a8, 6);
    for (bytes, good) in [
        (&plain, true),
        (&once, true),
        (&twice, true),
        (&tag(&twice), false),
        (&junk, false),
        (&tag(&junk), false),
    ] {
        let network = (bytes.len() - 36) as u16;
        let set = EncapSet {
            network,
            transport: network + 20,
            ..set(bytes, READY, false)
        };
        let done = Bench::new().engine.set_encap(&set, bytes);
        let place = done.map_err(|refused| (refused.why, refused.place));
        let expected = match good {
            true => Ok(()),
            false => Err((Why::Invalid, Place::Field(10))),
        };
        assert_eq!(place, expected, "{bytes:02x?}");
    }
}

#[test]
fn congestion_marks_are_joined() {
    let decap_action = action(Kind::DECAP, [0; 2], &[decap_flags::ECN]);
    let come_out = |outer: u8, inner: u8| {
        let mut frame = udp();
        frame[15] = inner;
        frame[24..26].fill(0);
        let sum = checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum);
        let mut around = encap(READY, false).run(&frame).remove(0).1;
        around[15] = outer;
        around[24..26].fill(0);
        let sum = checksum(&around[14..34]);
        around[24..26].copy_from_slice(&sum);
        let mut bench = decap();
        bench.rule(9, 0, &[decap_action, out(5)]);
        let sent = bench.run(&around);
        sent.first().map(|(_, bytes)| {
            assert_eq!(checksum(&bytes[14..34]), [0, 0]);
            bytes[15]
        })
    };
    assert_eq!(come_out(3, 0x28), None);
    assert_eq!(come_out(3, 0x29), Some(0x2b));
    assert_eq!(come_out(3, 0x2a), Some(0x2b));
    assert_eq!(come_out(1, 0x2a), Some(0x29));
    assert_eq!(come_out(1, 0x28), Some(0x28));
    assert_eq!(come_out(2, 0x29), Some(0x29));
}

#[test]
fn a_port_that_is_off_carries_no_tunnel() {
    let around = encap(READY, false).run(&udp()).remove(0).1;
    let mut bench = decap();
    bench.rule(9, 0, &[plain(Kind::DROP)]);
    assert_eq!(bench.ways(&around), []);
    let off = TunnelPort {
        kind: TunnelKind::VXLAN,
        port: 4789u16.to_be_bytes(),
        flags: 0,
    };
    bench.engine.set_tunnel_port(&off).unwrap();
    assert_eq!(bench.ways(&around), [To::Up(1, Up::Miss(1009))]);
}
