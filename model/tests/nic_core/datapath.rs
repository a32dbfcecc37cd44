// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Frames in and out: rings, fragments, buffers, errors of queues, fairness.

use crate::mock::{Device, Driver, Port, Rx, Tx, frame, tagged};
use oxnic_abi::command::Opcode;
use oxnic_abi::doorbell::DoorbellKind;
use oxnic_abi::event::{EventKind, QueueError};
use oxnic_abi::queue::QueueId;
use oxnic_abi::ring::{RxDescriptor, TxContext, TxData, completion_flags, tx_flags};
use oxnic_abi::vport::{VportConfig, vport_fields, vport_flags};
use oxnic_model::host::Function;
use proptest::prelude::*;

const PF: Function = Function::Pf;
const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];

#[test]
fn a_frame_goes_to_the_wire_and_one_comes_from_it() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let out = frame(PEER, port.mac, 100);
    port.tx.send(&mut dut, &out);
    assert_eq!(dut.host.take_wire(), [(0, out)]);
    assert_eq!((port.tx.head, port.tx.errors), (1, 0));
    let into = frame(port.mac, PEER, 1514);
    dut.receive(0, &into);
    let received = port.rx.one(&mut dut);
    assert_eq!(received.bytes, into);
    assert_eq!((received.last.source_port, received.last.kind), (1, 0));
    let stats = port.driver.stats(&mut dut, 0);
    assert_eq!(
        (
            stats.tx_unicast,
            stats.tx_bytes,
            stats.rx_unicast,
            stats.rx_bytes
        ),
        (1, 100, 1, 1514)
    );
    let stats = port.driver.port_stats(&mut dut);
    assert_eq!(
        (
            stats.tx_frames,
            stats.tx_octets,
            stats.rx_frames,
            stats.rx_octets
        ),
        (1, 104, 1, 1518)
    );
}

#[test]
fn short_frames_are_padded_on_the_wire_only() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    port.tx.send(&mut dut, &frame(PEER, port.mac, 14));
    port.tx.send(&mut dut, &[0xff; 13]);
    let mut padded = frame(PEER, port.mac, 14);
    padded.resize(60, 0);
    assert_eq!(dut.host.take_wire(), [(0, padded)]);
    let stats = port.driver.stats(&mut dut, 0);
    assert_eq!((stats.tx_bytes, stats.tx_bad, port.tx.errors), (14, 1, 1));
}

#[test]
fn rings_are_passed_many_times() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let mut tx = Tx::new(&mut dut, &mut driver, 0, 0, 1, 5);
    let mut rx = Rx::new(&mut dut, &mut driver, 0, 0, 1, 5, 256);
    driver.enable(&mut dut, 0);
    let mac = driver.info(&mut dut, 0).mac;
    for round in 0..4000 {
        for i in 0..(round % 31) + 1 {
            tx.queue(&mut dut, &frame(PEER, mac, 60 + i), &[], None, TxData::ZERO);
        }
        tx.ring(&mut dut);
        let sent = dut.host.take_wire();
        assert_eq!(sent.len(), round % 31 + 1);
        for (i, (_, bytes)) in sent.iter().enumerate() {
            assert_eq!(*bytes, frame(PEER, mac, 60 + i));
        }
        let length = 60 + round % 700;
        dut.receive(0, &frame(mac, PEER, length));
        assert_eq!(rx.one(&mut dut).bytes, frame(mac, PEER, length));
    }
    assert_eq!(tx.errors, 0);
}

#[test]
fn a_full_transmit_ring_is_taken_and_one_more_is_an_error() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let mut tx = Tx::new(&mut dut, &mut driver, 0, 0, 1, 5);
    driver.enable(&mut dut, 0);
    let mac = driver.info(&mut dut, 0).mac;
    for _ in 0..32 {
        tx.queue(&mut dut, &frame(PEER, mac, 64), &[], None, TxData::ZERO);
    }
    tx.ring(&mut dut);
    assert_eq!((dut.host.take_wire().len(), tx.head), (32, 32));
    dut.ring(PF, DoorbellKind::TX, 0, u32::from(tx.producer) + 33);
    let event = driver
        .events(&mut dut)
        .into_iter()
        .find(|e| e.kind == EventKind::TX_ERROR)
        .unwrap();
    assert_eq!((event.object, event.detail), (0, QueueError::INDEX.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_packet_in_fragments_is_the_same_on_the_wire(
        length in 60usize..9614,
        cuts in proptest::collection::vec(1usize..400, 0..47),
    ) {
        let mut dut = Device::new(1, 0);
        let mut port = Port::new(&mut dut, PF);
        let out = frame(PEER, port.mac, length);
        port.tx.queue(&mut dut, &out, &cuts, None, TxData::ZERO);
        port.tx.ring(&mut dut);
        prop_assert_eq!(dut.host.take_wire(), [(0, out)]);
    }

    #[test]
    fn a_frame_fills_buffers_of_any_length(
        length in 14usize..9614,
        buffer in 256u16..4096,
    ) {
        let mut dut = Device::new(1, 0);
        let mut driver = Driver::new(&mut dut, PF);
        let mut rx = Rx::new(&mut dut, &mut driver, 0, 0, 1, 6, buffer);
        driver.enable(&mut dut, 0);
        let mac = driver.info(&mut dut, 0).mac;
        let ranges = [(rx.buffers, u64::from(buffer) << 6), (rx.completions, 32 << 6), (driver.cq, 32 << 5)];
        dut.host.writable = Some(ranges.iter().map(|(at, length)| *at..at + length).collect());
        let into = frame(mac, PEER, length);
        dut.receive(0, &into);
        let received = rx.one(&mut dut);
        prop_assert_eq!(&received.bytes, &into);
        prop_assert_eq!(received.buffers, length.div_ceil(usize::from(buffer)));
        prop_assert!(!received.has(completion_flags::TRUNCATED));
    }
}

/// A device with a PF whose receive queue of 32 buffers of 256 bytes is posted but for what `take` says.
fn few_buffers(count: u16) -> (Device, Driver, Rx, [u8; 6]) {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let mut rx = Rx::new(&mut dut, &mut driver, 0, 0, 1, 5, 256);
    rx.repost = false;
    driver.enable(&mut dut, 0);
    let mac = driver.info(&mut dut, 0).mac;
    for _ in count..32 {
        dut.receive(0, &frame(mac, PEER, 60));
        rx.one(&mut dut);
    }
    (dut, driver, rx, mac)
}

#[test]
fn a_frame_beyond_the_last_buffer_is_dropped_and_uses_none() {
    let (mut dut, mut driver, mut rx, mac) = few_buffers(2);
    dut.receive(0, &frame(mac, PEER, 513));
    assert!(rx.take(&mut dut).is_empty());
    dut.receive(0, &frame(mac, PEER, 512));
    assert_eq!(rx.one(&mut dut).bytes.len(), 512);
    dut.receive(0, &frame(mac, PEER, 60));
    assert!(rx.take(&mut dut).is_empty());
    assert_eq!(driver.stats(&mut dut, 0).rx_no_buffer, 2);
}

#[test]
fn receive_descriptors_that_break_the_rules_stop_the_queue() {
    let bad = [
        RxDescriptor {
            address: crate::mock::BASE,
            buffer: 32,
        }
        .to_words(),
        [crate::mock::BASE, 1 << 16],
        [crate::mock::BASE, 1 << 63],
    ];
    for words in bad {
        let (mut dut, mut driver, mut rx, mac) = few_buffers(0);
        let entry = rx.producer & 31;
        dut.host.put_words(rx.ring + u64::from(entry) * 16, &words);
        rx.producer += 1;
        rx.ring(&mut dut);
        dut.receive(0, &frame(mac, PEER, 60));
        let events = driver.events(&mut dut);
        let event = events
            .iter()
            .find(|event| event.kind == EventKind::RX_ERROR)
            .unwrap();
        assert_eq!((event.object, event.detail), (0, QueueError::DESCRIPTOR.0));
        dut.receive(0, &frame(mac, PEER, 60));
        assert!(rx.take(&mut dut).is_empty());
        assert_eq!(driver.stats(&mut dut, 0).rx_no_buffer, 2);
    }
}

#[test]
fn good_descriptors_before_a_bad_one_are_used() {
    let (mut dut, mut driver, mut rx, mac) = few_buffers(0);
    for buffer in [3, 4, 32, 5] {
        let address = rx.buffer(buffer % 32);
        let words = RxDescriptor { address, buffer }.to_words();
        let entry = rx.producer & 31;
        dut.host.put_words(rx.ring + u64::from(entry) * 16, &words);
        rx.producer += 1;
    }
    rx.ring(&mut dut);
    for sent in 1..=4u64 {
        dut.receive(0, &frame(mac, PEER, 60));
        let stats = driver.stats(&mut dut, 0);
        assert_eq!(stats.rx_unicast, 32 + sent.min(2));
        assert_eq!(stats.rx_no_buffer, sent.saturating_sub(2));
    }
}

#[test]
fn a_buffer_that_cannot_be_reached_stops_the_queue() {
    let (mut dut, mut driver, mut rx, mac) = few_buffers(0);
    let entry = rx.producer & 31;
    let words = RxDescriptor {
        address: 0x10,
        buffer: 0,
    }
    .to_words();
    dut.host.put_words(rx.ring + u64::from(entry) * 16, &words);
    rx.producer += 1;
    rx.ring(&mut dut);
    dut.receive(0, &frame(mac, PEER, 60));
    let events = driver.events(&mut dut);
    let event = events
        .iter()
        .find(|event| event.kind == EventKind::RX_ERROR)
        .unwrap();
    assert_eq!(event.detail, QueueError::DMA.0);
    assert_eq!(driver.stats(&mut dut, 0).rx_dma, 1);
}

#[test]
fn transmit_descriptors_that_break_the_rules_stop_their_queue_only() {
    let data = |flags| {
        TxData {
            address: crate::mock::BASE,
            length: 60,
            flags,
            ..TxData::ZERO
        }
        .to_words()
    };
    let context = |flags, mss| {
        TxContext {
            flags: flags | tx_flags::CONTEXT,
            mss,
            ..TxContext::ZERO
        }
        .to_words()
    };
    let end = data(tx_flags::END);
    let bad: Vec<(QueueError, Vec<[u64; 2]>)> = vec![
        (QueueError::DESCRIPTOR, vec![data((1 << 7) | tx_flags::END)]),
        (
            QueueError::DESCRIPTOR,
            vec![data(tx_flags::TSO | tx_flags::END)],
        ),
        (QueueError::DESCRIPTOR, vec![data(tx_flags::REPORT), end]),
        (
            QueueError::DESCRIPTOR,
            vec![data(tx_flags::VLAN_STAG | tx_flags::END)],
        ),
        (
            QueueError::DESCRIPTOR,
            vec![data(0), data(tx_flags::VLAN | tx_flags::END)],
        ),
        (
            QueueError::DESCRIPTOR,
            vec![data(0), data(tx_flags::CSUM | tx_flags::END)],
        ),
        (
            QueueError::DESCRIPTOR,
            vec![data(0), data(tx_flags::TIMESTAMP | tx_flags::END)],
        ),
        (
            QueueError::DESCRIPTOR,
            vec![
                TxData {
                    flags: tx_flags::END,
                    ..TxData::ZERO
                }
                .to_words(),
            ],
        ),
        (QueueError::DESCRIPTOR, vec![data(0); 49]),
        (
            QueueError::DESCRIPTOR,
            vec![context(0, 0), context(0, 0), end],
        ),
        (QueueError::DESCRIPTOR, vec![data(0), context(0, 0), end]),
        (
            QueueError::DESCRIPTOR,
            vec![context(tx_flags::TSO | tx_flags::USO, 100), end],
        ),
        (
            QueueError::DESCRIPTOR,
            vec![context(tx_flags::FIXED_ID, 0), end],
        ),
        (QueueError::DESCRIPTOR, vec![context(tx_flags::TSO, 0), end]),
        (
            QueueError::DESCRIPTOR,
            vec![context(tx_flags::USO, 16385), end],
        ),
        (QueueError::DESCRIPTOR, vec![context(tx_flags::END, 0), end]),
        (QueueError::DESCRIPTOR, vec![context(1 << 15, 0), end]),
        (
            QueueError::DESCRIPTOR,
            vec![[0, (u64::from(tx_flags::CONTEXT) << 16) | (1 << 32)], end],
        ),
        (
            QueueError::DMA,
            vec![
                TxData {
                    address: 8,
                    length: 60,
                    flags: tx_flags::END,
                    ..TxData::ZERO
                }
                .to_words(),
            ],
        ),
    ];
    for (error, descriptors) in bad {
        let mut dut = Device::new(1, 0);
        let mut driver = Driver::new(&mut dut, PF);
        let mut bad = Tx::new(&mut dut, &mut driver, 0, 0, 1, 6);
        let mut good = Tx::new(&mut dut, &mut driver, 0, 1, 2, 6);
        driver.enable(&mut dut, 0);
        let mac = driver.info(&mut dut, 0).mac;
        bad.send(&mut dut, &frame(PEER, mac, 60));
        for words in &descriptors {
            bad.put(&mut dut, *words);
        }
        bad.ring(&mut dut);
        bad.send(&mut dut, &frame(PEER, mac, 61));
        good.send(&mut dut, &frame(PEER, mac, 62));
        let lengths: Vec<_> = dut
            .host
            .take_wire()
            .iter()
            .map(|(_, bytes)| bytes.len())
            .collect();
        assert_eq!(lengths, [60, 62], "{descriptors:x?}");
        let events = driver.events(&mut dut);
        let event = events
            .iter()
            .find(|event| event.kind == EventKind::TX_ERROR)
            .unwrap();
        assert_eq!(
            (event.object, event.detail),
            (0, error.0),
            "{descriptors:x?}"
        );
        assert_eq!(driver.stats(&mut dut, 0).tx_bad, 1, "{descriptors:x?}");
        driver.set_ok(
            &mut dut,
            Opcode::TX_DESTROY,
            0,
            QueueId { id: 0 }.to_words(),
        );
    }
}

#[test]
fn most_fragments_are_taken() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let out = frame(PEER, port.mac, 48 * 5);
    port.tx.queue(&mut dut, &out, &[5; 47], None, TxData::ZERO);
    assert_eq!(port.tx.producer, 48);
    port.tx.ring(&mut dut);
    assert_eq!(dut.host.take_wire(), [(0, out)]);
}

#[test]
fn a_packet_whose_end_is_not_announced_waits_for_it() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let out = frame(PEER, port.mac, 300);
    port.tx
        .queue(&mut dut, &out, &[100, 100], None, TxData::ZERO);
    for (index, sent) in [(1, 0), (2, 0), (3, 1)] {
        dut.ring(PF, DoorbellKind::TX, 0, index);
        dut.settle();
        assert_eq!(dut.host.take_wire().len(), sent);
    }
}

#[test]
fn lengths_at_the_limit_pass_and_one_more_does_not() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    for (length, tags, sent) in [
        (9614, 0, 1),
        (9615, 0, 0),
        (9614, 1, 1),
        (9615, 1, 0),
        (9614, 2, 1),
        (9614, 3, 0),
    ] {
        let mut out = frame(PEER, port.mac, length);
        for _ in 0..tags {
            out = tagged(&out, 0x8100, 5);
        }
        port.tx.send(&mut dut, &out);
        assert_eq!(dut.host.take_wire().len(), sent, "{length} {tags}");
        let mut into = frame(port.mac, PEER, length);
        for _ in 0..tags {
            into = tagged(&into, 0x8100, 5);
        }
        dut.receive(0, &into);
        assert_eq!(port.rx.take(&mut dut).len(), sent, "{length} {tags}");
    }
    let stats = port.driver.stats(&mut dut, 0);
    // One byte too many without a tag is not yet too long for the port, with three tags it is.
    assert_eq!((stats.tx_too_long, stats.rx_too_long), (3, 2));
    assert_eq!(port.driver.port_stats(&mut dut).rx_oversize, 1);
}

#[test]
fn frame_max_of_a_vport_is_kept_unless_it_receives_all() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let config = VportConfig {
        fields: vport_fields::FRAME_MAX,
        frame_max: 1514,
        ..VportConfig::ZERO
    };
    port.driver
        .set_ok(&mut dut, Opcode::VPORT_SET, 0, config.to_words());
    dut.receive(0, &frame(port.mac, PEER, 1514));
    dut.receive(0, &frame(port.mac, PEER, 1515));
    dut.receive(0, &frame(port.mac, PEER, 13)[..13]);
    assert_eq!(port.rx.take(&mut dut).len(), 1);
    port.driver
        .flags(&mut dut, 0, vport_flags::RX_ALL, vport_flags::RX_ALL);
    dut.receive(0, &frame(port.mac, PEER, 1515));
    dut.receive(0, &frame(port.mac, PEER, 13)[..13]);
    let lengths: Vec<_> = port
        .rx
        .take(&mut dut)
        .iter()
        .map(|frame| frame.bytes.len())
        .collect();
    assert_eq!(lengths, [1515, 13]);
    assert_eq!(port.driver.stats(&mut dut, 0).rx_too_long, 1);
    assert_eq!(port.driver.port_stats(&mut dut).rx_undersize, 2);
}

#[test]
fn nothing_longer_than_a_port_takes_is_received_by_those_that_receive_all() {
    let mut dut = Device::new(1, 1);
    let mut pf = Port::new(&mut dut, PF);
    let mut vf = Port::vfs(&mut dut, &mut pf.driver, 1).remove(0);
    let all = vport_flags::RX_ALL;
    vf.driver.flags(&mut dut, 0, all, all);
    let inserted = TxData {
        flags: tx_flags::VLAN,
        vlan: 7,
        ..TxData::ZERO
    };
    let once = tagged(&frame(vf.mac, pf.mac, 9614), 0x8100, 5);
    let twice = tagged(&once, 0x8100, 6);
    for (bytes, received) in [(once, 1), (twice, 0)] {
        pf.tx.queue(&mut dut, &bytes, &[], None, inserted);
        pf.tx.ring(&mut dut);
        assert_eq!(vf.rx.take(&mut dut).len(), received);
    }
    assert_eq!(pf.driver.stats(&mut dut, 0).tx_unicast, 2);
    assert_eq!(vf.driver.stats(&mut dut, 0).rx_too_long, 1);
}

#[test]
fn a_disabled_vport_and_a_link_that_is_down_drop_and_count() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    port.driver.flags(&mut dut, 0, 0, vport_flags::ENABLED);
    port.tx.send(&mut dut, &frame(PEER, port.mac, 60));
    dut.receive(0, &frame(port.mac, PEER, 60));
    port.driver.enable(&mut dut, 0);
    dut.carrier(0, false);
    port.tx.send(&mut dut, &frame(PEER, port.mac, 60));
    let stats = port.driver.stats(&mut dut, 0);
    assert_eq!(
        (
            stats.tx_disabled,
            stats.rx_disabled,
            port.tx.head,
            port.tx.errors
        ),
        (2, 1, 2, 2)
    );
    assert!(dut.host.take_wire().is_empty());
}

#[test]
fn a_wire_that_is_full_counts_and_the_queue_goes_on() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    dut.host.wire_full = true;
    port.tx.send(&mut dut, &frame(PEER, port.mac, 60));
    assert_eq!(port.driver.port_stats(&mut dut).tx_dropped, 1);
    assert_eq!((port.tx.head, port.tx.errors), (1, 0));
}

#[test]
fn loopback_brings_frames_back_and_nowhere_else() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    port.driver
        .flags(&mut dut, 0, vport_flags::LOOPBACK, vport_flags::LOOPBACK);
    dut.carrier(0, false);
    let out = frame(PEER, PEER, 80);
    port.tx.send(&mut dut, &out);
    let back = port.rx.one(&mut dut);
    assert_eq!((back.bytes, back.last.source_port), (out.clone(), 0x10));
    assert!(dut.host.take_wire().is_empty());
    // What it does not see of others, it does not see of its own.
    let filter = vport_flags::VLAN_FILTER;
    port.driver.flags(&mut dut, 0, filter, filter);
    port.tx.send(&mut dut, &tagged(&out, 0x8100, 5));
    assert_eq!(port.driver.stats(&mut dut, 0).rx_vlan, 1);
    port.tx.send(&mut dut, &out);
    assert_eq!(port.rx.one(&mut dut).bytes, out);
}

#[test]
fn queues_take_turns() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let mut queues: Vec<Tx> = (0..4)
        .map(|id| Tx::new(&mut dut, &mut driver, 0, id, id + 1, 10))
        .collect();
    driver.enable(&mut dut, 0);
    let mac = driver.info(&mut dut, 0).mac;
    for tx in &mut queues {
        for _ in 0..1000 {
            tx.queue(
                &mut dut,
                &frame(PEER, mac, 60 + usize::from(tx.id)),
                &[],
                None,
                TxData::ZERO,
            );
        }
        dut.ring(PF, DoorbellKind::TX, tx.id, u32::from(tx.producer));
    }
    dut.settle();
    let wire = dut.host.take_wire();
    assert_eq!(wire.len(), 4000);
    // Wherever one looks, the queues have sent about the same.
    for upto in [1000, 2000, 3000] {
        for length in 60..64 {
            let sent = wire[..upto]
                .iter()
                .filter(|(_, bytes)| bytes.len() == length)
                .count();
            assert!(sent.abs_diff(upto / 4) <= 130, "{sent} of {upto}");
        }
    }
}

#[test]
fn after_a_destroy_nothing_of_the_queue_is_touched() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    port.tx.queue(
        &mut dut,
        &frame(PEER, port.mac, 60),
        &[],
        None,
        TxData::ZERO,
    );
    dut.ring(PF, DoorbellKind::TX, 0, 1);
    for opcode in [Opcode::RX_DESTROY, Opcode::TX_DESTROY] {
        port.driver
            .set_ok(&mut dut, opcode, 0, QueueId { id: 0 }.to_words());
    }
    dut.host.take_wire();
    dut.host.allow(port.driver.cq, 1024);
    dut.ring(PF, DoorbellKind::TX, 0, 1);
    dut.receive(0, &frame(port.mac, PEER, 60));
    dut.settle();
    assert!(dut.host.take_wire().is_empty());
    for id in [0, 1] {
        port.driver
            .set_ok(&mut dut, Opcode::CQ_DESTROY, 0, QueueId { id }.to_words());
    }
}
