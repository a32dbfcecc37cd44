// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Arming and moderation: no interrupt lost, none early, none unasked.

use crate::mock::{Device, Driver, Rx, Tx, frame};
use oxnic_abi::command::Opcode;
use oxnic_abi::doorbell::{DoorbellKind, arm_index};
use oxnic_abi::queue::CqModerate;
use oxnic_abi::ring::TxData;
use oxnic_model::host::Function;
use proptest::prelude::*;

const PF: Function = Function::Pf;
const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];
const VECTOR: u16 = 1;

/// A PF whose receive completion queue is in slot 1 and whose transmit completion queue is in slot 0 of vector 1.
struct Bench {
    dut: Device,
    driver: Driver,
    tx: Tx,
    rx: Rx,
    mac: [u8; 6],
}

impl Bench {
    fn new(microseconds: u16, frames: u16) -> Self {
        let mut dut = Device::new(1, 0);
        let mut driver = Driver::new(&mut dut, PF);
        let tx = Tx::new(&mut dut, &mut driver, 0, 0, VECTOR, 8);
        let rx = Rx::new(&mut dut, &mut driver, 0, 0, VECTOR, 8, 2048);
        for id in [0, 1] {
            let moderate = CqModerate {
                id,
                microseconds,
                frames,
            };
            driver.set_ok(&mut dut, Opcode::CQ_MODERATE, 0, moderate.to_words());
        }
        driver.enable(&mut dut, 0);
        let mac = driver.info(&mut dut, 0).mac;
        dut.host.take_interrupts();
        Self {
            dut,
            driver,
            tx,
            rx,
            mac,
        }
    }

    fn arm(&mut self) {
        let index = arm_index(self.tx.seen, self.rx.seen);
        self.dut.ring(PF, DoorbellKind::ARM, VECTOR, index);
        self.dut.settle();
    }

    fn receive(&mut self, count: usize) {
        for _ in 0..count {
            self.dut.receive(0, &frame(self.mac, PEER, 60));
        }
    }

    fn raised(&mut self) -> usize {
        let raised = self.dut.host.take_interrupts();
        assert!(
            raised.iter().all(|which| *which == (PF, VECTOR)),
            "{raised:?}"
        );
        raised.len()
    }
}

#[test]
fn a_vector_is_raised_once_for_each_arming() {
    let mut bench = Bench::new(0, 0);
    bench.receive(3);
    assert_eq!(bench.raised(), 0);
    bench.arm();
    assert_eq!(bench.raised(), 1);
    bench.receive(3);
    assert_eq!(bench.raised(), 0);
    bench.rx.take(&mut bench.dut);
    bench.arm();
    assert_eq!(bench.raised(), 0);
    bench.receive(1);
    assert_eq!(bench.raised(), 1);
    bench.tx.send(&mut bench.dut, &frame(PEER, bench.mac, 60));
    assert_eq!(bench.raised(), 0);
    bench.rx.take(&mut bench.dut);
    bench.tx.seen -= 1;
    bench.arm();
    assert_eq!(bench.raised(), 1);
}

#[test]
fn time_and_count_decide_and_never_early() {
    let mut bench = Bench::new(100, 10);
    bench.arm();
    bench.receive(1);
    bench.dut.advance(99_999);
    assert_eq!(bench.raised(), 0);
    bench.dut.advance(1);
    assert_eq!(bench.raised(), 1);
    bench.rx.take(&mut bench.dut);
    bench.arm();
    bench.receive(9);
    assert_eq!(bench.raised(), 0);
    bench.receive(1);
    assert_eq!(bench.raised(), 1);
    // What was written long ago makes the slot due as soon as it is armed again.
    bench.dut.advance(100_000);
    bench.arm();
    assert_eq!(bench.raised(), 1);
    bench.rx.take(&mut bench.dut);
    bench.receive(1);
    bench.dut.advance(60_000);
    bench.arm();
    bench.dut.advance(39_999);
    assert_eq!(bench.raised(), 0);
    bench.dut.advance(1);
    assert_eq!(bench.raised(), 1);
}

#[test]
fn a_new_setting_is_in_force_for_what_waits() {
    let mut bench = Bench::new(10_000, 0);
    bench.arm();
    bench.receive(1);
    assert_eq!(bench.raised(), 0);
    let moderate = CqModerate {
        id: 1,
        microseconds: 0,
        frames: 0,
    };
    bench
        .driver
        .set_ok(&mut bench.dut, Opcode::CQ_MODERATE, 0, moderate.to_words());
    let raised = bench.dut.host.take_interrupts();
    assert!(raised.contains(&(PF, VECTOR)));
}

#[test]
fn vectors_that_are_not_there_are_ignored() {
    let mut bench = Bench::new(0, 0);
    for vector in [0, 129, 5000] {
        bench.dut.ring(PF, DoorbellKind::ARM, vector, 0);
    }
    bench.dut.settle();
    bench.receive(1);
    assert_eq!(bench.raised(), 0);
}

#[test]
fn an_index_that_cannot_be_counts_as_unseen() {
    let mut bench = Bench::new(0, 0);
    bench
        .dut
        .ring(PF, DoorbellKind::ARM, VECTOR, arm_index(0x8000, 0x4000));
    bench.dut.settle();
    assert_eq!(bench.raised(), 1);
}

#[test]
fn a_ring_made_after_the_arming_waits_for_the_next() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let mut tx = Tx::new(&mut dut, &mut driver, 0, 0, VECTOR, 8);
    dut.ring(PF, DoorbellKind::ARM, VECTOR, arm_index(0, 0));
    let _rx = Rx::new(&mut dut, &mut driver, 0, 0, VECTOR, 8, 2048);
    driver.enable(&mut dut, 0);
    let mac = driver.info(&mut dut, 0).mac;
    dut.settle();
    dut.host.take_interrupts();
    dut.receive(0, &frame(mac, PEER, 60));
    assert!(dut.host.take_interrupts().is_empty());
    tx.send(&mut dut, &frame(PEER, mac, 60));
    assert_eq!(dut.host.take_interrupts(), [(PF, VECTOR)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// A driver that polls until it finds nothing and then arms is always woken for what comes, in time.
    #[test]
    fn no_interrupt_is_lost(
        microseconds in 0u16..300,
        frames in 0u16..8,
        steps in proptest::collection::vec((0u8..5, 0u64..200_000), 1..80),
    ) {
        let mut bench = Bench::new(microseconds, frames);
        bench.arm();
        let mut armed = true;
        let mut waiting_since = None;
        for (what, time) in steps {
            match what {
                0 => bench.receive(1),
                1 => {
                    let mac = bench.mac;
                    let out = frame(PEER, mac, 60);
                    bench.tx.queue(&mut bench.dut, &out, &[], None, TxData::ZERO);
                    bench.dut.ring(PF, DoorbellKind::TX, 0, u32::from(bench.tx.producer));
                    bench.dut.settle();
                }
                2 => bench.dut.advance(time),
                _ => {
                    bench.rx.take(&mut bench.dut);
                    bench.tx.reap(&mut bench.dut);
                    bench.arm();
                    armed = true;
                    waiting_since = None;
                }
            }
            let raised = bench.raised();
            prop_assert!(raised <= usize::from(armed), "raised though not armed");
            armed &= raised == 0;
            let pending = bench.rx.pending(&bench.dut) || bench.tx.pending(&bench.dut);
            if armed && pending {
                let since = *waiting_since.get_or_insert(bench.dut.host.now);
                let waited = bench.dut.host.now - since;
                prop_assert!(waited < u64::from(microseconds) * 1000, "not woken after {} ns", waited);
            } else {
                waiting_since = None;
            }
        }
    }
}
