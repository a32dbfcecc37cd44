// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Statistics: by command, by DMA, for the operator; every frame in exactly one counter.

use crate::mock::{Device, Port, frame, tagged};
use oxnic_abi::command::{Opcode, Qualifier, Status, Submission};
use oxnic_abi::event::EventKind;
use oxnic_abi::stats::{QueueStats, QueueStatsGet, StatsDma, VportStats};
use oxnic_abi::vport::vport_flags;
use oxnic_model::host::Function;

const PF: Function = Function::Pf;
const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];

fn dma(dut: &Device, at: u64) -> VportStats {
    VportStats::from_words(&dut.host.words(at))
}

#[test]
fn statistics_by_dma_come_at_once_and_then_in_time() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let at = dut.host.allocate(4096);
    let set = |address, period| StatsDma { address, period }.to_words();
    port.driver
        .set_ok(&mut dut, Opcode::STATS_DMA, 0, set(at, 10));
    let first = dma(&dut, at);
    assert_eq!((first.sequence, first.sequence_end), (2, 2));
    dut.receive(0, &frame(port.mac, PEER, 100));
    dut.advance(9_999_999);
    assert_eq!(dma(&dut, at).sequence, 2);
    dut.advance(1);
    let second = dma(&dut, at);
    assert_eq!(
        (second.sequence, second.sequence_end, second.rx_unicast),
        (4, 4, 1)
    );
    dut.advance(100_000_000);
    assert_eq!(dma(&dut, at).sequence, 24);
    // A new address replaces the old one, also where it starts anew.
    let other = dut.host.allocate(4096);
    port.driver
        .set_ok(&mut dut, Opcode::STATS_DMA, 0, set(other + 256, 1000));
    dut.advance(1_000_000_000);
    assert_eq!(
        (dma(&dut, at).sequence, dma(&dut, other + 256).sequence),
        (24, 4)
    );
    port.driver
        .set_ok(&mut dut, Opcode::STATS_DMA, 0, set(0, 0));
    dut.advance(5_000_000_000);
    assert_eq!(dma(&dut, other + 256).sequence, 4);
}

#[test]
fn wrong_requests_leave_the_old_address_in_force() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let at = dut.host.allocate(4096);
    let set = |address, period| StatsDma { address, period }.to_words();
    port.driver
        .set_ok(&mut dut, Opcode::STATS_DMA, 0, set(at, 10));
    for (address, period, status, qualifier, offset) in [
        (at + 128, 10, Status::EINVAL, Qualifier::FIELD, 24),
        (at, 9, Status::EINVAL, Qualifier::LIMIT, 32),
        (0x1000, 10, Status::EFAULT, Qualifier::DMA, 24),
    ] {
        let completion = port
            .driver
            .set(&mut dut, Opcode::STATS_DMA, 0, set(address, period));
        assert_eq!(
            (completion.status, completion.qualifier, completion.offset),
            (status, qualifier, offset)
        );
    }
    dut.advance(10_000_000);
    assert_eq!(dma(&dut, at).sequence, 4);
}

#[test]
fn a_fault_ends_the_updates_with_a_warning() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let at = crate::mock::BASE + dut.host.memory.len() as u64 - 4096;
    let set = StatsDma {
        address: at,
        period: 10,
    }
    .to_words();
    port.driver.set_ok(&mut dut, Opcode::STATS_DMA, 0, set);
    let size = dut.host.memory.len();
    dut.host.memory.truncate(size - 4096);
    dut.advance(10_000_000);
    let event = port.driver.event(&mut dut).unwrap();
    assert_eq!((event.kind, event.detail), (EventKind::HEALTH, 1));
    dut.host.memory.resize(size, 0);
    dut.advance(100_000_000);
    assert_eq!(dma(&dut, at).sequence, 0);
}

#[test]
fn counters_of_queues_start_with_the_queue() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    for length in [60, 3000] {
        let out = frame(PEER, port.mac, length);
        port.tx.queue(
            &mut dut,
            &out,
            &[20, 20],
            None,
            oxnic_abi::ring::TxData::ZERO,
        );
        dut.receive(0, &frame(port.mac, PEER, length));
    }
    port.tx.send(&mut dut, &[0; 5]);
    let mut stats = |transmit| {
        let get = Submission {
            parameters: QueueStatsGet { id: 0, transmit }.to_words(),
            ..port.driver.submission(Opcode::QUEUE_STATS)
        };
        QueueStats::from_words(&port.driver.query(&mut dut, get).unwrap())
    };
    assert_eq!(
        stats(1),
        QueueStats {
            frames: 2,
            bytes: 3060,
            drops: 1,
            descriptors: 7
        }
    );
    assert_eq!(
        stats(0),
        QueueStats {
            frames: 2,
            bytes: 3060,
            drops: 0,
            descriptors: 3
        }
    );
}

#[test]
fn a_receive_queue_counts_bytes_before_a_strip() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let strip = vport_flags::VLAN_STRIP;
    port.driver.flags(&mut dut, 0, strip, strip);
    let into = tagged(&frame(port.mac, PEER, 100), 0x8100, 5);
    dut.receive(0, &into);
    assert_eq!(port.rx.one(&mut dut).bytes.len(), 100);
    let get = QueueStatsGet { id: 0, transmit: 0 };
    let get = Submission {
        parameters: get.to_words(),
        ..port.driver.submission(Opcode::QUEUE_STATS)
    };
    let stats = QueueStats::from_words(&port.driver.query(&mut dut, get).unwrap());
    assert_eq!((stats.frames, stats.bytes), (1, 104));
    assert_eq!(port.driver.stats(&mut dut, 0).rx_bytes, 104);
}

#[test]
fn counters_of_a_vport_survive_its_reset() {
    let mut dut = Device::new(1, 0);
    let port = Port::new(&mut dut, PF);
    for address in [port.mac, [0xff; 6]] {
        dut.receive(0, &frame(address, PEER, 64));
    }
    let mut again = Port::new(&mut dut, PF);
    let stats = again.driver.stats(&mut dut, 0);
    assert_eq!(
        (stats.rx_unicast, stats.rx_broadcast, stats.rx_bytes),
        (1, 1, 128)
    );
    assert_eq!((stats.sequence, stats.sequence_end), (0, 0));
}

#[test]
fn the_operator_sees_everything_in_one_answer() {
    let mut dut = Device::new(2, 3);
    let mut port = Port::new(&mut dut, PF);
    port.driver.enable_vfs(&mut dut, 3);
    dut.receive(1, &frame([6; 6], PEER, 64));
    port.tx.send(&mut dut, &frame(PEER, port.mac, 64));
    let report = dut.control(serde_json::json!({"cmd": "stats"}));
    assert_eq!(report["functions"].as_object().unwrap().len(), 4);
    assert_eq!(
        report["functions"]["pf"]["vports"][0]["counters"]["tx_unicast"],
        1
    );
    assert_eq!(report["functions"]["pf"]["tx"]["0"]["frames"], 1);
    assert_eq!(report["ports"][1]["counters"]["rx_filtered"], 1);
    assert_eq!(report["functions"]["vf2"]["accepted"], false);
}
