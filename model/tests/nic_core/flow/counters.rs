// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Counters in the host's memory: whole records from the start, generations, periods, pages that go.

use super::{Bench, OK, PF, Why};
use crate::mock::FlowQueue;
use oxnic_abi::command::{Qualifier, Status};
use oxnic_abi::event::EventKind;
use oxnic_abi::flow::counter::CounterRecord;
use oxnic_abi::flow::info::FlowObject;
use oxnic_abi::flow::request::{FlowOp, FlowRequest};
use oxnic_model::host::NicCore;

const PERIOD: u64 = 10_000_000;

fn reset(counter: u32, generation: u32) -> FlowRequest {
    FlowRequest {
        op: FlowOp::COUNTER,
        counter,
        cookie: generation,
        ..FlowRequest::ZERO
    }
}

fn write(counter: u32) -> FlowRequest {
    FlowRequest {
        op: FlowOp::COUNTER_WRITE,
        counter,
        ..FlowRequest::ZERO
    }
}

/// The record of a counter whose page is at an address, which is whole.
fn record(bench: &Bench, page: u64, counter: u32) -> CounterRecord {
    let at = page + u64::from(counter % 128) * 32;
    let record = CounterRecord::from_words(&bench.dut.host.words(at));
    assert_eq!(record.sequence, record.sequence_end);
    assert_eq!(record.sequence % 2, 0);
    record
}

#[test]
fn memory_for_counters_is_checked() {
    let mut bench = Bench::new();
    let size = bench.info(FlowObject::COUNTER).size;
    let pages = bench.dut.host.allocate(8192);
    let field = |offset| (Status::EINVAL, Qualifier::FIELD, offset);
    let limit = |offset| (Status::EINVAL, Qualifier::LIMIT, offset);
    assert_eq!(bench.counter_memory(1, 10, &[pages]), field(24));
    assert_eq!(bench.counter_memory(0, 10, &[]), field(28));
    assert_eq!(bench.counter_memory(size, 10, &[pages]), limit(28));
    assert_eq!(bench.counter_memory(0xffff_ff80, 10, &[pages]), limit(28));
    assert_eq!(bench.counter_memory(0, 9, &[pages]), limit(32));
    let unaligned = [pages, pages + 8];
    assert_eq!(bench.counter_memory(0, 10, &unaligned), field(72));
    let fault: Why = (Status::EFAULT, Qualifier::DMA, 72);
    assert_eq!(bench.counter_memory(0, 10, &[pages, 4096]), fault);
    // Nothing came of any of these: the device does not write.
    assert_eq!(bench.dut.settle(), None);
    assert_eq!(bench.counter_memory(size - 128, 10, &[pages]), OK);
}

#[test]
fn records_are_whole_from_the_start_and_written_when_they_change() {
    let mut bench = Bench::new();
    let mut queue = FlowQueue::new(&mut bench.dut, &mut bench.pf, 0, 20, 5);
    let pages = bench.dut.host.allocate(8192);
    bench.dut.host.write(pages, &[0xee; 8192]);
    assert_eq!(bench.counter_memory(128, 10, &[pages, pages + 4096]), OK);
    for counter in 128..384 {
        let page = pages + u64::from(counter / 128 - 1) * 4096;
        let expected = CounterRecord {
            sequence: 2,
            sequence_end: 2,
            ..CounterRecord::ZERO
        };
        assert_eq!(record(&bench, page, counter), expected);
    }
    assert_eq!(queue.run(&mut bench.dut, reset(130, 77), &[], &[]), OK);
    assert_eq!(queue.run(&mut bench.dut, reset(5, 78), &[], &[]), OK);
    assert_eq!(record(&bench, pages, 130).generation, 0);
    bench.dut.advance(PERIOD);
    let changed = record(&bench, pages, 130);
    assert_eq!((changed.generation, changed.sequence), (77, 4));
    assert_eq!(record(&bench, pages, 131).sequence, 2);
    // Only what changed is written again.
    bench.dut.advance(5 * PERIOD);
    assert_eq!(record(&bench, pages, 130).sequence, 4);
    // A counter that changed without memory is right when it gets some.
    let late = bench.dut.host.allocate(4096);
    assert_eq!(bench.counter_memory(0, 10, &[late]), OK);
    assert_eq!(record(&bench, late, 5).generation, 78);
}

#[test]
fn a_record_is_written_when_that_is_asked_for_and_never_goes_back() {
    let mut bench = Bench::new();
    let mut queue = FlowQueue::new(&mut bench.dut, &mut bench.pf, 0, 20, 5);
    let page = bench.dut.host.allocate(4096);
    assert_eq!(bench.counter_memory(0, 10, &[page]), OK);
    assert_eq!(queue.run(&mut bench.dut, reset(3, 8), &[], &[]), OK);
    assert_eq!(record(&bench, page, 3).generation, 0);
    assert_eq!(queue.run(&mut bench.dut, write(3), &[], &[]), OK);
    let first = record(&bench, page, 3);
    assert_eq!((first.generation, first.sequence), (8, 4));
    // Nothing has changed since; it is written all the same.
    assert_eq!(queue.run(&mut bench.dut, write(3), &[], &[]), OK);
    let again = record(&bench, page, 3);
    assert_eq!((again.generation, again.sequence), (8, 6));
    assert_eq!(record(&bench, page, 4).sequence, 2);
    assert_eq!(queue.run(&mut bench.dut, reset(3, 9), &[], &[]), OK);
    assert_eq!(queue.run(&mut bench.dut, write(3), &[], &[]), OK);
    bench.dut.advance(3 * PERIOD);
    assert_eq!(record(&bench, page, 3).generation, 9);
}

#[test]
fn a_record_that_cannot_be_written_on_demand_is_an_error() {
    let mut bench = Bench::new();
    let mut queue = FlowQueue::new(&mut bench.dut, &mut bench.pf, 0, 20, 5);
    let page = bench.dut.host.allocate(4096);
    assert_eq!(bench.counter_memory(0, 10, &[page]), OK);
    let end = (page - crate::mock::BASE) as usize;
    let memory = bench.dut.host.memory.split_off(end);
    let fault: Why = (Status::EFAULT, Qualifier::DMA, 32);
    assert_eq!(queue.run(&mut bench.dut, write(3), &[], &[]), fault);
    bench.dut.host.memory.extend(memory);
    // The page is not written any more.
    let without: Why = (Status::EINVAL, Qualifier::STATE, 32);
    assert_eq!(queue.run(&mut bench.dut, write(3), &[], &[]), without);
    assert_eq!(record(&bench, page, 3).sequence, 2);
}

#[test]
fn pages_that_were_taken_back_are_not_written() {
    let mut bench = Bench::new();
    let mut queue = FlowQueue::new(&mut bench.dut, &mut bench.pf, 0, 20, 5);
    let [old, new] = [0; 2].map(|_| bench.dut.host.allocate(4096));
    assert_eq!(bench.counter_memory(0, 10, &[old]), OK);
    assert_eq!(queue.run(&mut bench.dut, reset(3, 1), &[], &[]), OK);
    assert_eq!(bench.counter_memory(0, 10, &[new]), OK);
    bench.dut.host.write(old, &[0xee; 4096]);
    assert_eq!(queue.run(&mut bench.dut, reset(3, 2), &[], &[]), OK);
    bench.dut.advance(3 * PERIOD);
    assert_eq!(record(&bench, new, 3).generation, 2);
    assert_eq!(bench.dut.host.read(old, 4096), [0xee; 4096]);
    assert_eq!(bench.counter_memory(0, 10, &[0]), OK);
    bench.dut.host.write(new, &[0xee; 4096]);
    assert_eq!(queue.run(&mut bench.dut, reset(3, 3), &[], &[]), OK);
    bench.dut.advance(3 * PERIOD);
    assert_eq!(bench.dut.host.read(new, 4096), [0xee; 4096]);
    assert_eq!(bench.dut.settle(), None);
}

#[test]
fn a_page_that_faults_is_given_up_and_others_go_on() {
    let mut bench = Bench::new();
    let mut queue = FlowQueue::new(&mut bench.dut, &mut bench.pf, 0, 20, 5);
    let good = bench.dut.host.allocate(4096);
    let bad = bench.dut.host.allocate(4096);
    assert_eq!(bench.counter_memory(0, 10, &[good, bad]), OK);
    for counter in [1, 129] {
        assert_eq!(queue.run(&mut bench.dut, reset(counter, 9), &[], &[]), OK);
    }
    bench.pf.events(&mut bench.dut);
    let end = (bad - crate::mock::BASE) as usize;
    let memory = bench.dut.host.memory.split_off(end);
    bench.dut.advance(PERIOD);
    bench.dut.host.memory.extend(memory);
    let events = bench.pf.events(&mut bench.dut);
    let health = |event: &oxnic_abi::event::Event| event.kind == EventKind::HEALTH;
    assert_eq!(events.iter().filter(|event| health(event)).count(), 1);
    assert_eq!(record(&bench, good, 1).generation, 9);
    assert_eq!(queue.run(&mut bench.dut, reset(129, 10), &[], &[]), OK);
    bench.dut.advance(PERIOD);
    assert_eq!(record(&bench, bad, 129).generation, 0);
}

#[test]
fn pages_that_keep_coming_do_not_put_off_those_that_are_there() {
    let mut bench = Bench::new();
    let mut queue = FlowQueue::new(&mut bench.dut, &mut bench.pf, 0, 20, 5);
    let first = bench.dut.host.allocate(8 * 4096);
    assert_eq!(bench.counter_memory(0, 10, &[first]), OK);
    assert_eq!(queue.run(&mut bench.dut, reset(3, 9), &[], &[]), OK);
    for page in 1..6 {
        bench.dut.advance(PERIOD * 3 / 10);
        let at = first + u64::from(page) * 4096;
        assert_eq!(bench.counter_memory(page * 128, 10, &[at]), OK);
        let due = page > 3;
        assert_eq!(record(&bench, first, 3).generation == 9, due, "{page}");
    }
    // A shorter period begins at once, a longer one behind the round that is due.
    assert_eq!(queue.run(&mut bench.dut, reset(3, 10), &[], &[]), OK);
    let another = first + 6 * 4096;
    assert_eq!(bench.counter_memory(6 * 128, 1000, &[another]), OK);
    bench.dut.advance(PERIOD);
    assert_eq!(record(&bench, first, 3).generation, 10);
    assert_eq!(queue.run(&mut bench.dut, reset(3, 11), &[], &[]), OK);
    assert_eq!(bench.counter_memory(6 * 128, 10, &[another]), OK);
    bench.dut.advance(PERIOD);
    assert_eq!(record(&bench, first, 3).generation, 11);
}

#[test]
fn a_round_that_is_under_way_goes_on_when_pages_come() {
    const PAGES: u32 = 128;
    let mut bench = Bench::new();
    let mut queue = FlowQueue::new(&mut bench.dut, &mut bench.pf, 0, 20, 15);
    let first = bench.dut.host.allocate((PAGES as usize + 1) * 4096);
    let pages: Vec<u64> = (0..=PAGES)
        .map(|page| first + u64::from(page) * 4096)
        .collect();
    let (more, pages) = pages.split_last().unwrap();
    assert_eq!(bench.counter_memory(0, 10, pages), OK);
    for counter in 0..PAGES * 128 {
        let bytes = FlowQueue::bytes(reset(counter, 7), &[], &[]);
        queue.put(&mut bench.dut, &bytes);
    }
    queue.ring(&mut bench.dut);
    bench.dut.host.now += PERIOD;
    let next = bench.dut.nic.poll(&mut bench.dut.host);
    assert!(next.is_some_and(|at| at <= bench.dut.host.now));
    assert_eq!(bench.counter_memory(PAGES * 128, 10, &[*more]), OK);
    for (page, at) in (0..).zip(pages) {
        assert_eq!(record(&bench, *at, page * 128).generation, 7, "{page}");
    }
}

#[test]
fn many_changed_counters_are_written_over_several_polls() {
    const PAGES: u32 = 64;
    let mut bench = Bench::new();
    let mut queue = FlowQueue::new(&mut bench.dut, &mut bench.pf, 0, 20, 15);
    let first = bench.dut.host.allocate(PAGES as usize * 4096);
    let pages: Vec<u64> = (0..PAGES)
        .map(|page| first + u64::from(page) * 4096)
        .collect();
    assert_eq!(bench.counter_memory(0, 10, &pages), OK);
    for counter in 0..PAGES * 128 {
        let bytes = FlowQueue::bytes(reset(counter, counter + 1), &[], &[]);
        queue.put(&mut bench.dut, &bytes);
    }
    queue.ring(&mut bench.dut);
    bench.dut.advance(PERIOD);
    for counter in 0..PAGES * 128 {
        let page = first + u64::from(counter / 128) * 4096;
        let record = record(&bench, page, counter);
        assert_eq!((record.generation, record.sequence), (counter + 1, 4));
    }
}

#[test]
fn without_bus_mastering_counters_wait() {
    let mut bench = Bench::new();
    let mut queue = FlowQueue::new(&mut bench.dut, &mut bench.pf, 0, 20, 5);
    let page = bench.dut.host.allocate(4096);
    assert_eq!(bench.counter_memory(0, 10, &[page]), OK);
    assert_eq!(queue.run(&mut bench.dut, reset(3, 9), &[], &[]), OK);
    bench.dut.nic.set_bus_master(PF, false);
    bench.dut.host.writable = Some(Vec::new());
    bench.dut.advance(5 * PERIOD);
    assert_eq!(record(&bench, page, 3).generation, 0);
    bench.dut.host.writable = None;
    bench.dut.nic.set_bus_master(PF, true);
    bench.dut.advance(2 * PERIOD);
    assert_eq!(record(&bench, page, 3).generation, 9);
}
