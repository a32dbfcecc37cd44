// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Checksums, segmentation and tags, checked by another implementation of the protocols.

use crate::mock::{Device, Port, frame, tagged};
use crate::packets::{ALL_IPS, Ip, Made, assert_valid, partial, payload, tcp, udp};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use oxnic_abi::command::{Opcode, Submission};
use oxnic_abi::doorbell::DoorbellKind;
use oxnic_abi::event::{EventKind, QueueError};
use oxnic_abi::queue::QueueId;
use oxnic_abi::ring::{TxContext, TxData, completion_flags, rx_kind, tx_flags};
use oxnic_abi::vport::vport_flags;
use oxnic_model::host::{Function, NicCore};
use proptest::prelude::*;

const PF: Function = Function::Pf;
const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];

fn context(made: &Made, flags: u16, mss: u16) -> TxContext {
    TxContext {
        flags,
        mss,
        l3_start: (made.l3 / 2) as u8,
        l4_start: (made.l4 / 2) as u8,
        header_length: made.payload as u16,
        ..TxContext::ZERO
    }
}

/// Sends a packet to be segmented and gives what came out on the wire.
fn segment(
    dut: &mut Device,
    port: &mut Port,
    made: &Made,
    flags: u16,
    mss: u16,
    first: TxData,
) -> Vec<Vec<u8>> {
    let context = context(made, flags, mss);
    port.tx
        .queue(dut, &made.bytes, &[30, 200, 4000], Some(context), first);
    port.tx.ring(dut);
    dut.host
        .take_wire()
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect()
}

/// TCP segments put together again must be the packet, as RFC 9293 and the interface say.
fn check_tcp(made: &Made, segments: &[Vec<u8>], mss: usize, fixed_id: bool) {
    let data = &made.bytes[made.payload..];
    assert_eq!(segments.len(), data.len().div_ceil(mss));
    let mut together: Vec<u8> = Vec::new();
    for (k, bytes) in segments.iter().enumerate() {
        let length = mss.min(data.len() - k * mss);
        let bytes = &bytes[..made.payload + length];
        assert_valid(bytes);
        assert_eq!(bytes[..made.l3], made.bytes[..made.l3]);
        let packet = SlicedPacket::from_ethernet(bytes).unwrap();
        if let Some(NetSlice::Ipv4(ip)) = &packet.net {
            let step = if fixed_id { 0 } else { k as u16 };
            assert_eq!(ip.header().identification(), 0xfff0u16.wrapping_add(step));
        }
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
            panic!()
        };
        assert_eq!(
            tcp.sequence_number(),
            0xffff_ff00u32.wrapping_add((k * mss) as u32)
        );
        let last = k + 1 == segments.len();
        assert_eq!(
            (tcp.fin(), tcp.psh(), tcp.cwr(), tcp.ack()),
            (last, last, k == 0, true)
        );
        assert_eq!(tcp.options(), &made.bytes[made.l4 + 20..made.payload]);
        together.extend(tcp.payload());
    }
    assert_eq!(together, data);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn tcp_segments_together_are_the_packet(
        ip in 0usize..4,
        length in 1usize..40_000,
        mss in prop_oneof![1u16..64, 500u16..9000],
        options: bool,
        fixed_id: bool,
        tags in 0usize..3,
    ) {
        let length = length.min(usize::from(mss) * 200);
        let mut dut = Device::new(1, 0);
        let mut port = Port::new(&mut dut, PF);
        let tags = &[(0x88a8, 100), (0x8100, 0x3064)][..tags];
        let made = tcp((PEER, port.mac), ALL_IPS[ip], tags, options, &payload(length));
        let flags = tx_flags::TSO | if fixed_id { tx_flags::FIXED_ID } else { 0 };
        let segments = segment(&mut dut, &mut port, &made, flags, mss, TxData::ZERO);
        check_tcp(&made, &segments, usize::from(mss), fixed_id);
        let stats = port.driver.stats(&mut dut, 0);
        prop_assert_eq!((stats.tx_segmented, stats.tx_segmented_bytes), (1, made.bytes.len() as u64));
        prop_assert_eq!((stats.tx_unicast, stats.tx_csum), (segments.len() as u64, segments.len() as u64));
    }

    #[test]
    fn udp_segments_together_are_the_packet(
        ip in 0usize..4,
        length in 1usize..20_000,
        mss in 1u16..9000,
    ) {
        let length = length.min(usize::from(mss) * 100);
        let mut dut = Device::new(1, 0);
        let mut port = Port::new(&mut dut, PF);
        let made = udp((PEER, port.mac), ALL_IPS[ip], &[], &payload(length));
        let segments = segment(&mut dut, &mut port, &made, tx_flags::USO, mss, TxData::ZERO);
        let mut together: Vec<u8> = Vec::new();
        for (k, bytes) in segments.iter().enumerate() {
            let part = usize::from(mss).min(length - k * usize::from(mss));
            let bytes = &bytes[..made.payload + part];
            assert_valid(bytes);
            together.extend(&bytes[made.payload..]);
        }
        prop_assert_eq!(together, &made.bytes[made.payload..]);
    }

    #[test]
    fn inserted_checksums_are_right(ip in 0usize..4, length in 0usize..3000, is_tcp: bool, tags in 0usize..3) {
        let mut dut = Device::new(1, 0);
        let mut port = Port::new(&mut dut, PF);
        let tags = &[(0x88a8, 100), (0x8100, 0x3064)][..tags];
        let macs = (PEER, port.mac);
        let made = match is_tcp {
            true => tcp(macs, ALL_IPS[ip], tags, true, &payload(length)),
            false => udp(macs, ALL_IPS[ip], tags, &payload(length)),
        };
        let field = if is_tcp { 16 } else { 6 };
        let first = TxData {
            flags: tx_flags::CSUM,
            csum_start: (made.l4 / 2) as u8,
            csum_offset: field as u8 / 2,
            ..TxData::ZERO
        };
        port.tx.queue(&mut dut, &partial(&made, field), &[made.l4 - 3], None, first);
        port.tx.ring(&mut dut);
        let wire = dut.host.take_wire();
        prop_assert_eq!(&wire[0].1[..made.bytes.len()], &made.bytes[..]);
        prop_assert_eq!(port.driver.stats(&mut dut, 0).tx_csum, 1);
    }

    #[test]
    fn a_checksum_can_stand_anywhere(
        length in 60usize..1500,
        start in 0usize..256,
        offset in 0usize..256,
    ) {
        let mut dut = Device::new(1, 0);
        let mut port = Port::new(&mut dut, PF);
        let mut out = frame(PEER, port.mac, length);
        let first = TxData {
            flags: tx_flags::CSUM,
            csum_start: start as u8,
            csum_offset: offset as u8,
            ..TxData::ZERO
        };
        port.tx.queue(&mut dut, &out, &[], None, first);
        port.tx.ring(&mut dut);
        let wire = dut.host.take_wire();
        let at = 2 * start + 2 * offset;
        if at + 2 > length {
            prop_assert!(wire.is_empty());
            prop_assert_eq!(port.driver.stats(&mut dut, 0).tx_bad, 1);
            return Ok(());
        }
        let mut sum = 0u32;
        for pair in out[2 * start..].chunks(2) {
            sum += (u32::from(pair[0]) << 8) | u32::from(*pair.get(1).unwrap_or(&0));
        }
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let checksum = if sum == 0xffff { 0xffff } else { !sum as u16 };
        out[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
        prop_assert_eq!(&wire[0].1, &out);
    }
}

#[test]
fn a_checksum_of_zero_is_written_as_ones() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let mut out = frame(PEER, port.mac, 60);
    out[20..].fill(0);
    out[30..32].copy_from_slice(&[0xff, 0xff]);
    let first = TxData {
        flags: tx_flags::CSUM,
        csum_start: 10,
        csum_offset: 2,
        ..TxData::ZERO
    };
    port.tx.queue(&mut dut, &out, &[], None, first);
    port.tx.ring(&mut dut);
    assert_eq!(dut.host.take_wire()[0].1[24..26], [0xff, 0xff]);
}

#[test]
fn segments_beyond_64_kib_are_cut_up_to_the_limit() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    for ip in ALL_IPS {
        let empty = tcp((PEER, port.mac), ip, &[], false, &[]);
        let most = 262_144 - empty.payload;
        let made = tcp((PEER, port.mac), ip, &[], false, &payload(most));
        let segments = segment(
            &mut dut,
            &mut port,
            &made,
            tx_flags::TSO,
            1448,
            TxData::ZERO,
        );
        check_tcp(&made, &segments, 1448, false);
        let made = tcp((PEER, port.mac), ip, &[], false, &payload(most + 1));
        let none = segment(
            &mut dut,
            &mut port,
            &made,
            tx_flags::TSO,
            1448,
            TxData::ZERO,
        );
        assert!(none.is_empty());
    }
    assert_eq!(port.driver.stats(&mut dut, 0).tx_too_long, 4);
}

/// Rings for a packet that becomes so many segments, and lets the device work once.
fn begin_segments(dut: &mut Device, port: &mut Port, count: usize) -> Made {
    let made = tcp((PEER, port.mac), Ip::V4, &[], true, &payload(count));
    let context = context(&made, tx_flags::TSO, 1);
    let cuts = [30, 100, 1, 700];
    port.tx
        .queue(dut, &made.bytes, &cuts, Some(context), TxData::ZERO);
    let producer = u32::from(port.tx.producer);
    dut.ring(port.tx.function, DoorbellKind::TX, port.tx.id, producer);
    dut.nic.poll(&mut dut.host);
    made
}

#[test]
fn a_packet_of_many_segments_lets_others_have_their_turns() {
    let mut dut = Device::new(1, 1);
    let mut pf = Port::new(&mut dut, PF);
    let mut vf = Port::vfs(&mut dut, &mut pf.driver, 1).remove(0);
    let made = begin_segments(&mut dut, &mut vf, 5000);
    let first = dut.host.take_wire();
    assert!((1..1000).contains(&first.len()), "{} at once", first.len());
    assert_eq!(vf.tx.reap(&mut dut), 0, "the packet is not taken yet");
    pf.tx
        .queue(&mut dut, &frame(PEER, pf.mac, 60), &[], None, TxData::ZERO);
    dut.ring(PF, DoorbellKind::TX, 0, u32::from(pf.tx.producer));
    dut.nic.poll(&mut dut.host);
    assert_eq!(pf.tx.reap(&mut dut), 1, "the other queue has its turn");
    dut.settle();
    assert_eq!(vf.tx.reap(&mut dut), 1);
    assert_eq!((vf.tx.head, vf.tx.errors), (vf.tx.producer, 0));
    let segments = first.into_iter().chain(dut.host.take_wire());
    let segments: Vec<Vec<u8>> = segments
        .map(|(_, bytes)| bytes)
        .filter(|bytes| bytes[6..12] == vf.mac)
        .collect();
    check_tcp(&made, &segments, 1, false);
    let stats = vf.driver.stats(&mut dut, 0);
    assert_eq!((stats.tx_unicast, stats.tx_csum), (5000, 5000));
    assert_eq!(
        (stats.tx_segmented, stats.tx_segmented_bytes),
        (1, made.bytes.len() as u64)
    );
}

#[test]
fn segments_that_are_left_go_with_their_queue() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    begin_segments(&mut dut, &mut port, 5000);
    let id = QueueId { id: 0 };
    let destroy = Submission {
        parameters: id.to_words(),
        ..port.driver.submission(Opcode::TX_DESTROY)
    };
    port.driver.submit(&mut dut, &destroy.to_words());
    dut.nic.poll(&mut dut.host);
    dut.host.take_wire();
    dut.settle();
    assert!(dut.host.take_wire().is_empty(), "after TX_DESTROY");

    let mut port = Port::new(&mut dut, PF);
    begin_segments(&mut dut, &mut port, 5000);
    dut.host.take_wire();
    dut.reset(PF);
    dut.settle();
    assert!(dut.host.take_wire().is_empty(), "after a reset");

    let mut port = Port::new(&mut dut, PF);
    begin_segments(&mut dut, &mut port, 5000);
    dut.carrier(0, false);
    dut.settle();
    port.tx.reap(&mut dut);
    assert_eq!((port.tx.head, port.tx.errors), (port.tx.producer, 1));
    let stats = port.driver.stats(&mut dut, 0);
    assert_eq!((stats.tx_disabled, stats.tx_segmented), (1, 3));
    assert!(stats.tx_unicast < 3000, "of all three together");
}

#[test]
fn memory_that_faults_between_segments_stops_the_queue() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    begin_segments(&mut dut, &mut port, 5000);
    dut.host.faulty = true;
    dut.nic.poll(&mut dut.host);
    dut.host.faulty = false;
    let events = port.driver.events(&mut dut);
    assert!(
        events.iter().any(|event| {
            (event.kind, event.detail) == (EventKind::TX_ERROR, QueueError::DMA.0)
        })
    );
    assert_eq!(port.driver.stats(&mut dut, 0).tx_bad, 1);
    dut.host.take_wire();
    dut.settle();
    assert!(dut.host.take_wire().is_empty());
}

#[test]
fn segments_longer_than_a_frame_may_be_are_refused() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let made = tcp(
        (PEER, port.mac),
        Ip::V4,
        &[(0x8100, 1)],
        false,
        &payload(20_000),
    );
    let most = (9614 + 4 - made.payload) as u16;
    let segments = segment(
        &mut dut,
        &mut port,
        &made,
        tx_flags::TSO,
        most,
        TxData::ZERO,
    );
    assert_eq!(segments.len(), 3);
    let none = segment(
        &mut dut,
        &mut port,
        &made,
        tx_flags::TSO,
        most + 1,
        TxData::ZERO,
    );
    assert!(none.is_empty());
    assert_eq!(port.driver.stats(&mut dut, 0).tx_too_long, 1);
}

#[test]
fn each_fault_of_the_headers_drops_the_packet_only() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let macs = (PEER, port.mac);
    let good = tcp(macs, Ip::V4, &[], true, &payload(3000));
    let v6 = tcp(macs, Ip::V6, &[], false, &payload(3000));
    let tso = context(&good, tx_flags::TSO, 1000);
    let tso6 = context(&v6, tx_flags::TSO, 1000);
    let patched = |made: &Made, at: usize, value: u8| {
        let mut bytes = made.bytes.clone();
        bytes[at] = value;
        bytes
    };
    let faults: Vec<(Vec<u8>, TxContext)> = vec![
        (
            good.bytes.clone(),
            TxContext {
                l3_start: tso.l3_start + 1,
                ..tso
            },
        ),
        (
            good.bytes.clone(),
            TxContext {
                l4_start: tso.l4_start - 1,
                ..tso
            },
        ),
        (
            good.bytes.clone(),
            TxContext {
                header_length: tso.header_length - 4,
                ..tso
            },
        ),
        (
            good.bytes.clone(),
            TxContext {
                header_length: 3000,
                ..tso
            },
        ),
        (
            good.bytes.clone(),
            TxContext {
                flags: tx_flags::USO,
                ..tso
            },
        ),
        (good.bytes[..good.payload].to_vec(), tso),
        (patched(&good, good.l3, 0x65), tso),
        (patched(&good, good.l3, 0x44), tso),
        (patched(&good, good.l3 + 9, 17), tso),
        (patched(&good, good.l3 + 6, 0x20), tso),
        (patched(&good, good.l3 + 7, 1), tso),
        (patched(&good, good.l4 + 12, 0x40), tso),
        (patched(&good, good.l4 + 12, 0xf0), tso),
        (patched(&good, 12, 0x12), tso),
        (patched(&v6, v6.l3 + 6, 17), tso6),
        (patched(&v6, v6.l3, 0x45), tso6),
    ];
    let count = faults.len() as u64;
    for (bytes, context) in faults {
        port.tx
            .queue(&mut dut, &bytes, &[], Some(context), TxData::ZERO);
        port.tx.ring(&mut dut);
        assert!(dut.host.take_wire().is_empty(), "{context:?}");
    }
    let segments = segment(
        &mut dut,
        &mut port,
        &good,
        tx_flags::TSO,
        1000,
        TxData::ZERO,
    );
    check_tcp(&good, &segments, 1000, false);
    assert_eq!(port.driver.stats(&mut dut, 0).tx_bad, count);
    assert_eq!(port.tx.errors, count);
}

#[test]
fn tags_are_inserted_outermost_also_into_segments() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    for (flags, tpid) in [
        (tx_flags::VLAN, 0x8100),
        (tx_flags::VLAN | tx_flags::VLAN_STAG, 0x88a8),
    ] {
        let first = TxData {
            flags,
            vlan: 0x6123,
            ..TxData::ZERO
        };
        let inner = tagged(&frame(PEER, port.mac, 100), 0x8100, 7);
        port.tx.queue(&mut dut, &inner, &[], None, first);
        port.tx.ring(&mut dut);
        assert_eq!(dut.host.take_wire(), [(0, tagged(&inner, tpid, 0x6123))]);
        let made = tcp((PEER, port.mac), Ip::V6, &[], false, &payload(5000));
        let segments = segment(&mut dut, &mut port, &made, tx_flags::TSO, 1400, first);
        for bytes in &segments {
            assert_eq!(bytes[12..16], [(tpid >> 8) as u8, tpid as u8, 0x61, 0x23]);
            assert_valid(bytes);
        }
        let untagged: Vec<Vec<u8>> = segments
            .iter()
            .map(|bytes| [&bytes[..12], &bytes[16..]].concat())
            .collect();
        check_tcp(&made, &untagged, 1400, false);
    }
}

#[test]
fn tags_are_stripped_as_the_flags_say() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let plain = frame(port.mac, PEER, 100);
    let c = tagged(&plain, 0x8100, 0x2005);
    let s = tagged(&c, 0x88a8, 0x4006);
    let strip = vport_flags::VLAN_STRIP | vport_flags::STAG_STRIP;
    for (flags, into, out, tag) in [
        (0, &c, &c, None),
        (vport_flags::VLAN_STRIP, &c, &plain, Some((0, 0x2005))),
        (vport_flags::VLAN_STRIP, &s, &s, None),
        (
            vport_flags::STAG_STRIP,
            &s,
            &c,
            Some((completion_flags::VLAN_STAG, 0x4006)),
        ),
        (vport_flags::STAG_STRIP, &c, &c, None),
        (strip, &s, &c, Some((completion_flags::VLAN_STAG, 0x4006))),
        (strip, &plain, &plain, None),
    ] {
        port.driver.flags(&mut dut, 0, flags, strip);
        dut.receive(0, into);
        let received = port.rx.one(&mut dut);
        assert_eq!(received.bytes, *out);
        let stag = received.last.flags & completion_flags::VLAN_STAG;
        let found = received
            .has(completion_flags::VLAN)
            .then_some((stag, received.last.vlan));
        assert_eq!(found, tag);
    }
}

#[test]
fn checksums_are_verified_on_receive() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    port.driver
        .flags(&mut dut, 0, vport_flags::RX_CSUM, vport_flags::RX_CSUM);
    let mask = completion_flags::L3_OK | completion_flags::L4_OK | completion_flags::CSUM_BAD;
    let both = completion_flags::L3_OK | completion_flags::L4_OK;
    let mut check = |bytes: &[u8], flags: u16, kind: u16| {
        for tags in 0..3 {
            let mut bytes = bytes.to_vec();
            for _ in 0..tags {
                bytes = tagged(&bytes, 0x8100, 9);
            }
            bytes.resize(bytes.len().max(60), 0xcc);
            dut.receive(0, &bytes);
            let received = port.rx.one(&mut dut);
            assert_eq!(
                (received.last.flags & mask, received.last.kind),
                (flags, kind),
                "{tags} tags"
            );
        }
    };
    let macs = (port.mac, PEER);
    for ip in ALL_IPS {
        let v4 = matches!(ip, Ip::V4 | Ip::V4Options);
        let version = if v4 { rx_kind::IPV4 } else { rx_kind::IPV6 };
        let l3_only = if v4 { completion_flags::L3_OK } else { 0 };
        for (made, field, kind) in [
            (
                tcp(macs, ip, &[], true, &payload(5)),
                16,
                version | rx_kind::TCP,
            ),
            (udp(macs, ip, &[], &payload(5)), 6, version | rx_kind::UDP),
        ] {
            check(&made.bytes, both, kind);
            let mut wrong = made.bytes.clone();
            wrong[made.l4 + 1] ^= 1;
            check(&wrong, l3_only | completion_flags::CSUM_BAD, kind);
            let mut cut = made.bytes.clone();
            let at = made.l3 + if v4 { 2 } else { 4 };
            cut[at] = 0xff;
            check(&cut, 0, 0);
            if v4 {
                let mut wrong = made.bytes.clone();
                wrong[made.l3 + 8] ^= 1;
                check(&wrong, completion_flags::CSUM_BAD, kind);
            }
            if field == 6 {
                let mut none = made.bytes.clone();
                none[made.l4 + 6..made.l4 + 8].fill(0);
                check(&none, l3_only, kind);
                let mut short = made.bytes.clone();
                short[made.l4 + 4] = 0x40;
                check(&short, l3_only | completion_flags::CSUM_BAD, kind);
            }
        }
    }
    check(&frame(port.mac, PEER, 100), 0, 0);
    assert!(port.driver.stats(&mut dut, 0).rx_csum_bad > 0);
}

#[test]
fn fragments_and_sctp_are_recognised() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    port.driver
        .flags(&mut dut, 0, vport_flags::RX_CSUM, vport_flags::RX_CSUM);
    let macs = (port.mac, PEER);
    let mut made = udp(macs, Ip::V4, &[], &payload(50));
    made.bytes[made.l3 + 6] = 0x20;
    let header = made.l3..made.l3 + 20;
    made.bytes[header.start + 10..header.start + 12].fill(0);
    let mut sum: u32 = made.bytes[header.clone()]
        .chunks(2)
        .map(|pair| (u32::from(pair[0]) << 8) | u32::from(pair[1]))
        .sum();
    sum = (sum & 0xffff) + (sum >> 16);
    made.bytes[header.start + 10..header.start + 12].copy_from_slice(&(!sum as u16).to_be_bytes());
    dut.receive(0, &made.bytes);
    let received = port.rx.one(&mut dut);
    assert_eq!(received.last.kind, rx_kind::IPV4 | rx_kind::FRAGMENT);
    assert!(received.has(completion_flags::L3_OK) && !received.has(completion_flags::L4_OK));
    assert!(!received.has(completion_flags::CSUM_BAD));

    // An SCTP packet whose checksum the kernel computed: INIT from port 5001 to 5002.
    let mut sctp = udp(macs, Ip::V6, &[], &payload(24));
    sctp.bytes[sctp.l3 + 6] = 132;
    let message = sctp.l4..sctp.bytes.len();
    sctp.bytes[message.start + 8..message.start + 12].fill(0);
    let crc = crc32c(&sctp.bytes[message.clone()]);
    sctp.bytes[message.start + 8..message.start + 12].copy_from_slice(&crc.to_le_bytes());
    dut.receive(0, &sctp.bytes);
    let received = port.rx.one(&mut dut);
    assert_eq!(received.last.kind, rx_kind::IPV6 | rx_kind::SCTP);
    assert!(received.has(completion_flags::L4_OK));
    sctp.bytes[message.start] ^= 1;
    dut.receive(0, &sctp.bytes);
    assert!(port.rx.one(&mut dut).has(completion_flags::CSUM_BAD));
    // Behind a routing header that names a further address nothing is checked.
    let further = [132, 0, 0, 1, 0, 0, 0, 0];
    let mut routed = sctp.bytes.clone();
    routed.splice(sctp.l4..sctp.l4, further);
    routed[sctp.l3 + 5] += 8;
    routed[sctp.l3 + 6] = 43;
    dut.receive(0, &routed);
    let received = port.rx.one(&mut dut);
    assert_eq!(received.last.kind, rx_kind::IPV6 | rx_kind::SCTP);
    assert!(!received.has(completion_flags::CSUM_BAD) && !received.has(completion_flags::L4_OK));
}

/// CRC-32C bit by bit, as its definition says.
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 != 0 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            }
        })
    })
}

#[test]
fn the_raw_sum_is_that_of_the_bytes_in_the_buffers() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let flags = vport_flags::RX_CSUM_RAW | vport_flags::VLAN_STRIP;
    port.driver.flags(&mut dut, 0, flags, flags);
    for length in 60..200 {
        for into in [
            frame(port.mac, PEER, length),
            tagged(&frame(port.mac, PEER, length), 0x8100, 3),
        ] {
            dut.receive(0, &into);
            let received = port.rx.one(&mut dut);
            let mut sum = 0u32;
            for pair in received.bytes[14..].chunks(2) {
                sum += u32::from(u16::from_ne_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            }
            while sum >> 16 != 0 {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            assert!(received.has(completion_flags::CSUM_RAW));
            assert_eq!(u32::from(received.last.csum), sum);
        }
    }
}
