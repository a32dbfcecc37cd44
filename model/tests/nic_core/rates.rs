// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What VFs send where rates are set, as it leaves the wire.

use crate::mock::{Device, Port, Tx, frame, tagged};
use crate::packets::{Ip, payload, tcp};
use oxnic_abi::command::Opcode;
use oxnic_abi::queue::QueueId;
use oxnic_abi::rate::{RateConfig, RateKind, rate_fields};
use oxnic_abi::ring::{TxContext, TxData, tx_flags};
use oxnic_model::host::Function;
use serde_json::json;

const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];

fn pf_and_vfs(count: u16) -> (Device, Port, Vec<Port>) {
    let mut dut = Device::new(1, count);
    let mut pf = Port::new(&mut dut, Function::Pf);
    let vfs = Port::vfs(&mut dut, &mut pf.driver, count);
    dut.host.keep_frames = false;
    (dut, pf, vfs)
}

fn set(dut: &mut Device, pf: &mut Port, config: RateConfig) {
    let words = RateConfig {
        fields: rate_fields::ALL,
        ..config
    }
    .to_words();
    pf.driver.request_ok(dut, Opcode::RATE_SET, 0, 0, &words);
}

fn node(number: u16) -> RateConfig {
    RateConfig {
        kind: RateKind::NODE,
        number,
        ..RateConfig::ZERO
    }
}

fn leaf(vf: u16) -> RateConfig {
    RateConfig {
        kind: RateKind::LEAF,
        number: vf,
        parent: 1,
        ..RateConfig::ZERO
    }
}

/// Lets VFs send all that they can for so many milliseconds; how many bytes each has sent.
fn flood(
    dut: &mut Device,
    vfs: &mut [Port],
    milliseconds: u64,
    packet: impl Fn(usize, &Port) -> (Vec<u8>, TxData),
) -> Vec<u64> {
    let sent = |dut: &mut Device, vfs: &mut [Port]| -> Vec<u64> {
        let each = vfs.iter_mut();
        each.map(|vf| vf.driver.stats(dut, 0).tx_bytes).collect()
    };
    let before = sent(dut, vfs);
    for _ in 0..milliseconds {
        for (number, vf) in vfs.iter_mut().enumerate() {
            while vf.tx.producer.wrapping_sub(vf.tx.head) < 250 {
                let (bytes, first) = packet(number, vf);
                vf.tx.queue(dut, &bytes, &[], None, first);
            }
            vf.tx.ring(dut);
        }
        dut.advance(1_000_000);
        vfs.iter_mut().for_each(|vf| {
            vf.tx.reap(dut);
        });
    }
    let after = sent(dut, vfs);
    after.iter().zip(before).map(|(a, b)| a - b).collect()
}

fn plain(_: usize, vf: &Port) -> (Vec<u8>, TxData) {
    (frame(PEER, vf.mac, 1500), TxData::ZERO)
}

#[test]
fn nobody_is_asked_where_nothing_is_set() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(2);
    // A node that nothing lies below is no reason.
    set(&mut dut, &mut pf, RateConfig { max: 1, ..node(1) });
    flood(&mut dut, &mut vfs, 10, plain);
    let seen = dut.control(json!({"cmd": "rates"}));
    assert_eq!(
        (&seen["asked"], &seen["waiting"]),
        (&json!(0), &json!(false))
    );
    set(&mut dut, &mut pf, leaf(0));
    flood(&mut dut, &mut vfs[..1], 10, plain);
    let seen = dut.control(json!({"cmd": "rates"}));
    assert_ne!(seen["asked"], json!(0), "nor is anybody where something is");
}

#[test]
fn a_group_has_its_max_and_its_members_go_by_weight() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(3);
    set(
        &mut dut,
        &mut pf,
        RateConfig {
            max: 40_000_000,
            ..node(1)
        },
    );
    for (vf, weight) in [(0, 1), (1, 3)] {
        set(&mut dut, &mut pf, RateConfig { weight, ..leaf(vf) });
    }
    let sent = flood(&mut dut, &mut vfs[..2], 500, plain);
    let all = sent[0] + sent[1];
    assert!((20_000_000..20_300_000).contains(&all), "{sent:?}");
    assert!(sent[1].abs_diff(3 * sent[0]) < all / 50, "{sent:?}");
    // One that is not in the group is not held up, nor is what waits once the group's limit has gone.
    let free = flood(&mut dut, &mut vfs[2..], 100, plain);
    assert!(free[0] > 20_000_000, "{free:?}");
    set(&mut dut, &mut pf, node(1));
    dut.settle();
    vfs[0].tx.reap(&mut dut);
    assert_eq!(vfs[0].tx.head, vfs[0].tx.producer);
    let seen = dut.control(json!({"cmd": "rates"}));
    assert_eq!(seen["waiting"], json!(false));
}

#[test]
fn a_promise_goes_before_priority() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(2);
    set(
        &mut dut,
        &mut pf,
        RateConfig {
            max: 40_000_000,
            ..node(1)
        },
    );
    set(
        &mut dut,
        &mut pf,
        RateConfig {
            share: 10_000_000,
            ..leaf(0)
        },
    );
    set(
        &mut dut,
        &mut pf,
        RateConfig {
            priority: 7,
            ..leaf(1)
        },
    );
    let sent = flood(&mut dut, &mut vfs, 500, plain);
    assert!(sent[0].abs_diff(5_000_000) < 300_000, "{sent:?}");
    assert!(sent[1].abs_diff(15_000_000) < 400_000, "{sent:?}");
}

#[test]
fn classes_are_those_of_tags_in_frames_and_descriptors() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(3);
    set(
        &mut dut,
        &mut pf,
        RateConfig {
            max: 40_000_000,
            classes: [10, 0, 20, 0, 0, 70, 0, 0],
            ..node(1)
        },
    );
    (0..3).for_each(|vf| set(&mut dut, &mut pf, leaf(vf)));
    let sent = flood(&mut dut, &mut vfs, 500, |number, vf| {
        let bytes = frame(PEER, vf.mac, 1500);
        match number {
            0 => (bytes, TxData::ZERO),
            1 => (tagged(&bytes, 0x8100, (2 << 13) | 7), TxData::ZERO),
            _ => {
                let first = TxData {
                    flags: tx_flags::VLAN,
                    vlan: (5 << 13) | 7,
                    ..TxData::ZERO
                };
                (bytes, first)
            }
        }
    });
    let all: u64 = sent.iter().sum();
    for (sent, part) in sent.iter().zip([10, 20, 70]) {
        assert!(
            sent.abs_diff(all * part / 100) < all / 40,
            "{sent} of {all} for {part}"
        );
    }
}

#[test]
fn a_vf_that_is_reset_leaves_nothing_waiting() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(2);
    set(
        &mut dut,
        &mut pf,
        RateConfig {
            max: 1_000_000,
            parent: 0,
            ..leaf(0)
        },
    );
    flood(&mut dut, &mut vfs[..1], 20, plain);
    assert_eq!(dut.control(json!({"cmd": "rates"}))["waiting"], json!(true));
    dut.function_level_reset(Function::Vf(0));
    assert_eq!(
        dut.control(json!({"cmd": "rates"}))["waiting"],
        json!(false)
    );
    let sent = flood(&mut dut, &mut vfs[1..], 10, plain);
    assert!(sent[0] > 2_000_000, "{sent:?}");
}

#[test]
fn a_queue_that_is_destroyed_leaves_nothing_waiting() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(1);
    let slow = RateConfig {
        max: 100_000,
        parent: 0,
        ..leaf(0)
    };
    set(&mut dut, &mut pf, slow);
    flood(&mut dut, &mut vfs, 1900, plain);
    let vf = &mut vfs[0];
    assert_eq!(dut.control(json!({"cmd": "rates"}))["waiting"], json!(true));
    for opcode in [Opcode::TX_DESTROY, Opcode::CQ_DESTROY] {
        let id = QueueId { id: 0 }.to_words();
        vf.driver.set_ok(&mut dut, opcode, 0, id);
    }
    let seen = dut.control(json!({"cmd": "rates"}));
    assert_eq!(seen["waiting"], json!(false));
    // What the one before had waited is no concern of the next one with that id.
    vf.tx = Tx::new(&mut dut, &mut vf.driver, 0, 0, 1, 8);
    vf.tx.send(&mut dut, &frame(PEER, vf.mac, 1500));
    dut.advance(1_000_000_000);
    vf.tx.reap(&mut dut);
    assert_eq!((vf.tx.head, vf.tx.errors), (vf.tx.producer, 0));
}

#[test]
fn segments_wait_for_their_rate_in_the_middle_of_a_packet() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(1);
    let vf = &mut vfs[0];
    let made = tcp((PEER, vf.mac), Ip::V4, &[], false, &payload(40_000));
    let context = TxContext {
        flags: tx_flags::TSO,
        mss: 100,
        l3_start: (made.l3 / 2) as u8,
        l4_start: (made.l4 / 2) as u8,
        header_length: made.payload as u16,
        ..TxContext::ZERO
    };
    // The second time two packets go out, and the third in part, before others would have to wait for too long.
    for (max, lost) in [(1_000_000, 0), (1000, 8)] {
        let limited = RateConfig {
            max,
            parent: 0,
            ..leaf(0)
        };
        set(&mut dut, &mut pf, limited);
        let before = vf.driver.stats(&mut dut, 0);
        for _ in 0..10 {
            vf.tx
                .queue(&mut dut, &made.bytes, &[], Some(context), TxData::ZERO);
        }
        vf.tx.ring(&mut dut);
        dut.advance(5_000_000_000);
        vf.tx.reap(&mut dut);
        assert_eq!(vf.tx.head, vf.tx.producer);
        let stats = vf.driver.stats(&mut dut, 0);
        let frames = stats.tx_unicast - before.tx_unicast;
        assert_eq!(stats.tx_rate - before.tx_rate, lost, "{frames} frames sent");
        assert_eq!(frames % 400 == 0, lost == 0, "{frames} frames sent");
    }
    let seen = dut.control(json!({"cmd": "rates"}));
    assert_eq!(seen["waiting"], json!(false));
}

#[test]
fn what_waits_for_too_long_is_dropped_and_counted() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(2);
    set(
        &mut dut,
        &mut pf,
        RateConfig {
            max: 4_000_000,
            ..node(1)
        },
    );
    set(&mut dut, &mut pf, leaf(0));
    let first = RateConfig {
        priority: 7,
        ..leaf(1)
    };
    set(&mut dut, &mut pf, first);
    flood(&mut dut, &mut vfs, 1500, plain);
    let before = vfs[0].driver.stats(&mut dut, 0);
    assert_eq!(before.tx_rate, 0);
    flood(&mut dut, &mut vfs, 3000, plain);
    let after = vfs[0].driver.stats(&mut dut, 0);
    assert_eq!(
        after.tx_bytes, before.tx_bytes,
        "the lower priority has its turn"
    );
    assert!(
        (128..=384).contains(&after.tx_rate),
        "{} dropped",
        after.tx_rate
    );
    assert_eq!(vfs[1].driver.stats(&mut dut, 0).tx_rate, 0);
}
