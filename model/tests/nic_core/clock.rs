// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The clock and time stamps: reading, setting, what resets leave alone, and which frames are stamped with what.

use crate::mock::{Device, Driver, Port, frame};
use crate::packets::{Ip, payload, tcp};
use oxnic_abi::caps::{CapGet, CapabilityId, NicCaps, features};
use oxnic_abi::clock::{ClockCaps, ClockConfig, ClockInfo, SET_MAX, StampFilter, clock_fields};
use oxnic_abi::command::{Completion, Opcode, Qualifier, Status, Submission};
use oxnic_abi::event::EventKind;
use oxnic_abi::regs::{BlockHeader, BlockKind, clock};
use oxnic_abi::ring::{TxContext, TxData, completion_flags, tx_flags};
use oxnic_abi::vport::{VportConfig, vport_fields};
use oxnic_model::host::{Function, NicCore};

const PF: Function = Function::Pf;
const VF: Function = Function::Vf(0);
const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];
const SECOND: u64 = 1_000_000_000;

/// Where the clock block is, by the list of blocks.
fn block(dut: &mut Device, function: Function) -> u32 {
    let mut at = 0;
    loop {
        let low = u64::from(dut.read(function, at));
        let high = u64::from(dut.read(function, at + 4));
        let header = BlockHeader::from_words(&[low | (high << 32)]);
        if header.kind == BlockKind::CLOCK {
            return at;
        }
        assert!(u32::from(header.next) > at, "no clock block");
        at = header.next.into();
    }
}

fn time(dut: &mut Device, function: Function) -> u64 {
    let at = u64::from(block(dut, function) + clock::TIME);
    let mut word = [0; 8];
    dut.nic
        .register_read(&mut dut.host, function, at, &mut word);
    u64::from_le_bytes(word)
}

fn set(dut: &mut Device, driver: &mut Driver, config: ClockConfig) -> Completion {
    driver.set(dut, Opcode::CLOCK_SET, 0, config.to_words())
}

fn query(dut: &mut Device, driver: &mut Driver) -> ClockInfo {
    let submission = driver.submission(Opcode::CLOCK_QUERY);
    ClockInfo::from_words(&driver.query(dut, submission).unwrap())
}

fn step(time: u64) -> ClockConfig {
    ClockConfig {
        fields: clock_fields::TIME,
        time,
        ..ClockConfig::ZERO
    }
}

fn rate(parts: i64) -> ClockConfig {
    ClockConfig {
        fields: clock_fields::RATE,
        rate: (parts * 65_536 / 1000) as u64,
        ..ClockConfig::ZERO
    }
}

fn filter(dut: &mut Device, driver: &mut Driver, stamps: StampFilter) {
    let config = VportConfig {
        fields: vport_fields::STAMPS,
        stamps,
        ..VportConfig::ZERO
    };
    driver.set_ok(dut, Opcode::VPORT_SET, 0, config.to_words());
}

const STAMPED: TxData = TxData {
    flags: tx_flags::TIMESTAMP,
    ..TxData::ZERO
};

#[test]
fn all_functions_read_the_same_clock_in_words_of_both_sizes() {
    let mut dut = Device::new(1, 1);
    let mut pf = Port::new(&mut dut, PF);
    Port::vfs(&mut dut, &mut pf.driver, 1);
    dut.host.now += 6 * SECOND;
    let pf_time = time(&mut dut, PF);
    assert!(pf_time >= 6 * SECOND);
    assert_eq!(time(&mut dut, VF), pf_time);
    let at = block(&mut dut, PF) + clock::TIME;
    let halves = [dut.read(PF, at), dut.read(PF, at + 4)].map(u64::from);
    assert_eq!(halves[0] | (halves[1] << 32), pf_time);
    dut.write64(PF, at, 5);
    assert_eq!(time(&mut dut, PF), pf_time);
}

#[test]
fn it_starts_anew_when_power_comes() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    for config in [step(9 * SECOND), rate(1000)] {
        assert_eq!(set(&mut dut, &mut driver, config).status, Status::OK);
    }
    dut.host.now += 5 * SECOND;
    dut.nic.function_reset(&mut dut.host, PF);
    assert!(time(&mut dut, PF) > 14 * SECOND);
    dut.nic.power_on(&mut dut.host);
    assert!(time(&mut dut, PF) < SECOND);
    let mut driver = Driver::new(&mut dut, PF);
    let info = query(&mut dut, &mut driver);
    assert_eq!((info.rate, info.steps), (0, 0));
}

#[test]
fn what_is_offered_says_so() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let get = |id| Submission {
        opcode: Opcode::CAP_GET,
        parameters: CapGet { id }.to_words(),
        ..Submission::ZERO
    };
    let nic = driver.query(&mut dut, get(CapabilityId::NIC)).unwrap();
    assert_ne!(NicCaps::from_words(&nic).features & features::TIMESTAMP, 0);
    let caps = driver.query(&mut dut, get(CapabilityId::CLOCK)).unwrap();
    let caps = ClockCaps::from_words(&caps);
    assert_eq!((caps.resolution, caps.filters), (1, 7));
    let most = i64::from(caps.rate_max);
    assert_eq!(set(&mut dut, &mut driver, rate(most)).status, Status::OK);
    assert_eq!(set(&mut dut, &mut driver, rate(-most)).status, Status::OK);
    let completion = set(&mut dut, &mut driver, rate(most + 1));
    assert_eq!(
        (completion.status, completion.qualifier, completion.offset),
        (Status::EINVAL, Qualifier::LIMIT, 48)
    );
}

#[test]
fn the_pf_sets_steps_and_tunes_it() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    assert_eq!(query(&mut dut, &mut driver).steps, 0);
    set(&mut dut, &mut driver, rate(1_000_000));
    assert_eq!(query(&mut dut, &mut driver).steps, 0);
    set(&mut dut, &mut driver, step(100 * SECOND));
    assert_eq!(time(&mut dut, PF), 100 * SECOND);
    dut.host.now += 1000 * SECOND;
    assert_eq!(time(&mut dut, PF), 1101 * SECOND);
    let back = ClockConfig {
        fields: clock_fields::OFFSET | clock_fields::RATE,
        offset: (-(SECOND as i64)) as u64,
        ..ClockConfig::ZERO
    };
    set(&mut dut, &mut driver, back);
    assert_eq!(time(&mut dut, PF), 1100 * SECOND);
    dut.host.now += SECOND;
    let info = query(&mut dut, &mut driver);
    assert_eq!((info.time, info.rate, info.steps), (1101 * SECOND, 0, 2));
}

#[test]
fn a_setting_that_is_refused_changes_nothing() {
    let mut dut = Device::new(1, 1);
    let mut driver = Driver::new(&mut dut, PF);
    set(&mut dut, &mut driver, step(10));
    let offset = |offset: i64| ClockConfig {
        fields: clock_fields::OFFSET,
        offset: offset as u64,
        ..rate(5)
    };
    let with_rate = |config: ClockConfig| ClockConfig {
        fields: config.fields | clock_fields::RATE,
        ..config
    };
    let bad = [
        (
            ClockConfig {
                fields: 8,
                ..rate(5)
            },
            Qualifier::FIELD,
            24,
        ),
        (
            ClockConfig {
                fields: clock_fields::TIME | clock_fields::OFFSET,
                ..ClockConfig::ZERO
            },
            Qualifier::FIELD,
            24,
        ),
        (with_rate(step(SET_MAX + 1)), Qualifier::LIMIT, 32),
        (with_rate(offset(-11)), Qualifier::LIMIT, 40),
        (with_rate(offset(i64::MAX)), Qualifier::LIMIT, 40),
    ];
    for (config, qualifier, offset) in bad {
        let completion = set(&mut dut, &mut driver, config);
        assert_eq!(
            (completion.status, completion.qualifier, completion.offset),
            (Status::EINVAL, qualifier, offset),
            "{config:?}"
        );
        let info = query(&mut dut, &mut driver);
        assert_eq!((info.time, info.rate, info.steps), (10, 0, 1));
    }
    set(&mut dut, &mut driver, step(SET_MAX));
    assert_eq!(time(&mut dut, PF), SET_MAX);
}

#[test]
fn a_vf_reads_and_does_not_set() {
    let mut dut = Device::new(1, 1);
    let mut pf = Port::new(&mut dut, PF);
    let mut vf = Port::vfs(&mut dut, &mut pf.driver, 1).remove(0);
    pf.driver.events(&mut dut);
    let before = time(&mut dut, VF);
    let completion = set(&mut dut, &mut vf.driver, step(5));
    assert_eq!(
        (completion.status, completion.qualifier),
        (Status::EPERM, Qualifier::PRIVILEGE)
    );
    let told = pf.driver.event(&mut dut).unwrap();
    assert_eq!(
        (told.kind, told.detail),
        (EventKind::VF_DENIED, Opcode::CLOCK_SET.0)
    );
    assert_eq!(query(&mut dut, &mut vf.driver).time, before);
}

#[test]
fn no_reset_reaches_it() {
    let mut dut = Device::new(1, 1);
    let mut pf = Port::new(&mut dut, PF);
    Port::vfs(&mut dut, &mut pf.driver, 1);
    set(&mut dut, &mut pf.driver, rate(1_000_000));
    set(&mut dut, &mut pf.driver, step(0));
    let resets: [fn(&mut Device); 4] = [
        |dut| dut.reset(VF),
        |dut| dut.nic.function_reset(&mut dut.host, VF),
        |dut| dut.reset(PF),
        |dut| dut.nic.function_reset(&mut dut.host, PF),
    ];
    for (done, reset) in (1..).zip(resets) {
        dut.host.now += 1000 * SECOND;
        reset(&mut dut);
        assert_eq!(time(&mut dut, PF), done * 1001 * SECOND);
        assert_eq!(time(&mut dut, VF), done * 1001 * SECOND);
    }
}

#[test]
fn a_packet_that_asks_gets_its_stamp_in_its_own_completion() {
    let mut dut = Device::new(1, 0);
    let mut pf = Port::new(&mut dut, PF);
    dut.host.now += SECOND;
    let one = frame(PEER, pf.mac, 100);
    pf.tx.queue(&mut dut, &one, &[], None, TxData::ZERO);
    pf.tx.queue(&mut dut, &one, &[30], None, STAMPED);
    pf.tx.queue(&mut dut, &one, &[], None, TxData::ZERO);
    let now = time(&mut dut, PF);
    pf.tx.ring(&mut dut);
    assert_eq!(pf.tx.stamps, [(3, now)]);
    assert_eq!((pf.tx.seen, dut.host.take_wire().len()), (3, 3));
    // Without REPORT, too.
    let address = pf.tx.copy(&mut dut, &one);
    let data = TxData {
        address,
        length: 100,
        flags: tx_flags::END | tx_flags::TIMESTAMP,
        ..TxData::ZERO
    };
    pf.tx.put(&mut dut, data.to_words());
    dut.host.now += 7;
    pf.tx.ring(&mut dut);
    assert_eq!(pf.tx.stamps[1], (5, now + 7));
}

#[test]
fn of_segments_the_last_is_stamped_once() {
    let mut dut = Device::new(1, 0);
    let mut pf = Port::new(&mut dut, PF);
    dut.host.now += SECOND;
    let made = tcp((PEER, pf.mac), Ip::V4, &[], false, &payload(5000));
    let context = TxContext {
        flags: tx_flags::TSO,
        mss: 1000,
        l3_start: (made.l3 / 2) as u8,
        l4_start: (made.l4 / 2) as u8,
        header_length: made.payload as u16,
        ..TxContext::ZERO
    };
    pf.tx
        .queue(&mut dut, &made.bytes, &[], Some(context), STAMPED);
    let now = time(&mut dut, PF);
    pf.tx.ring(&mut dut);
    assert_eq!(dut.host.take_wire().len(), 5);
    assert_eq!(pf.tx.stamps, [(pf.tx.head, now)]);
}

#[test]
fn a_packet_that_is_dropped_has_a_stamp_of_zero() {
    let mut dut = Device::new(1, 0);
    let mut pf = Port::new(&mut dut, PF);
    let short = frame(PEER, pf.mac, 14)[..13].to_vec();
    pf.tx.queue(&mut dut, &short, &[], None, STAMPED);
    pf.tx.ring(&mut dut);
    assert_eq!((pf.tx.stamps.as_slice(), pf.tx.errors), (&[(1, 0)][..], 1));
}

#[test]
fn received_frames_are_stamped_as_the_filter_says() {
    let mut dut = Device::new(1, 0);
    let mut pf = Port::new(&mut dut, PF);
    dut.host.now += SECOND;
    let plain = frame(pf.mac, PEER, 100);
    let mut event = plain.clone();
    event[12..16].copy_from_slice(&[0x88, 0xf7, 0, 2]);
    let stamps = |dut: &mut Device, pf: &mut Port| {
        dut.receive(0, &plain);
        dut.receive(0, &event);
        let now = time(dut, PF);
        let frames = pf.rx.take(dut);
        assert_eq!(frames.len(), 2);
        [0, 1].map(|i| {
            let frame = &frames[i];
            let stamped = frame.has(completion_flags::TIMESTAMP);
            let wanted = if stamped { now } else { 0 };
            assert_eq!(frame.last.timestamp, wanted);
            stamped
        })
    };
    assert_eq!(stamps(&mut dut, &mut pf), [false, false]);
    filter(&mut dut, &mut pf.driver, StampFilter::PTP);
    assert_eq!(pf.driver.info(&mut dut, 0).stamps, StampFilter::PTP);
    assert_eq!(stamps(&mut dut, &mut pf), [false, true]);
    filter(&mut dut, &mut pf.driver, StampFilter::EVERY);
    assert_eq!(stamps(&mut dut, &mut pf), [true, true]);
    filter(&mut dut, &mut pf.driver, StampFilter::NONE);
    assert_eq!(stamps(&mut dut, &mut pf), [false, false]);
}

#[test]
fn a_reset_turns_the_filter_off() {
    let mut dut = Device::new(1, 0);
    let mut pf = Port::new(&mut dut, PF);
    filter(&mut dut, &mut pf.driver, StampFilter::EVERY);
    dut.reset(PF);
    let mut pf = Port::new(&mut dut, PF);
    assert_eq!(pf.driver.info(&mut dut, 0).stamps, StampFilter::NONE);
}

#[test]
fn what_another_vport_sent_arrives_no_earlier_than_it_left() {
    let mut dut = Device::new(1, 1);
    let mut pf = Port::new(&mut dut, PF);
    dut.host.now += SECOND;
    let mut vf = Port::vfs(&mut dut, &mut pf.driver, 1).remove(0);
    filter(&mut dut, &mut vf.driver, StampFilter::EVERY);
    let one = frame(vf.mac, pf.mac, 100);
    pf.tx.queue(&mut dut, &one, &[], None, STAMPED);
    pf.tx.ring(&mut dut);
    let received = vf.rx.one(&mut dut).last.timestamp;
    let (_, sent) = pf.tx.stamps[0];
    assert!(sent != 0 && received >= sent);
}

#[test]
fn a_stamp_is_never_zero() {
    let mut dut = Device::new(1, 0);
    let mut pf = Port::new(&mut dut, PF);
    filter(&mut dut, &mut pf.driver, StampFilter::EVERY);
    set(&mut dut, &mut pf.driver, step(0));
    let one = frame(PEER, pf.mac, 100);
    pf.tx.queue(&mut dut, &one, &[], None, STAMPED);
    pf.tx.ring(&mut dut);
    dut.receive(0, &frame(pf.mac, PEER, 100));
    assert_eq!(time(&mut dut, PF), 0);
    assert_eq!(pf.tx.stamps, [(1, 1)]);
    assert_eq!(pf.rx.one(&mut dut).last.timestamp, 1);
}
