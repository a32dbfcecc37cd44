// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands and their errors: what all of them have in common, with one good command of each kind.

mod flow;
mod queues;
mod rates;
mod settings;
mod virtual_functions;

use crate::mock::{Device, Driver};
use oxnic_abi::caps::{CapGet, CapabilityId, NicCaps, SteeringCaps};
use oxnic_abi::clock::{ClockConfig, StampFilter, clock_fields};
use oxnic_abi::command::{Completion, Opcode, Qualifier, Status, Submission};
use oxnic_abi::eswitch::EswitchCaps;
use oxnic_abi::port::{ModuleRead, PortConfig, port_fields};
use oxnic_abi::queue::{CqCreate, CqModerate, QueueId, RxCreate, TxCreate};
use oxnic_abi::rate::{RateConfig, RateId, RateKind, rate_fields};
use oxnic_abi::regs::device;
use oxnic_abi::rss::{RssConfig, RssId};
use oxnic_abi::stats::{QueueStatsGet, StatsDma};
use oxnic_abi::steering::{SteeringAction, SteeringId, SteeringRule, keys};
use oxnic_abi::vf::{VfConfig, VfRange, vf_fields};
use oxnic_abi::vport::{VportConfig, vport_fields, vport_flags};
use oxnic_model::host::Function;

const PF: Function = Function::Pf;
/// Reads the whole of page 0.
const MODULE: ModuleRead = ModuleRead {
    page: 0,
    bank: 0,
    address: 0x50,
    offset: 128,
    length: 128,
};

fn why(completion: &Completion) -> (Status, Qualifier, u16) {
    (completion.status, completion.qualifier, completion.offset)
}

#[test]
fn capabilities_are_listed_and_told() {
    let mut dut = Device::new(2, 100);
    let mut driver = Driver::new(&mut dut, PF);
    let list = driver.submission(Opcode::CAP_LIST);
    assert_eq!(
        driver.query::<2>(&mut dut, list).unwrap(),
        [
            1 | (2 << 16) | (3 << 32) | (4 << 48),
            6 | (7 << 16) | (8 << 32)
        ]
    );
    let get = |driver: &mut Driver, id| Submission {
        parameters: CapGet { id }.to_words(),
        ..driver.submission(Opcode::CAP_GET)
    };
    let nic = get(&mut driver, CapabilityId::NIC);
    let caps = NicCaps::from_words(&driver.query(&mut dut, nic).unwrap());
    assert_eq!(
        (caps.tx_queues, caps.rx_queues, caps.completion_queues),
        (164, 164, 336)
    );
    assert_eq!(
        (caps.vports, caps.vfs, caps.frame_max, caps.tx_fragments),
        (2, 100, 9614, 48)
    );
    assert_eq!(
        (
            caps.vf_vectors_total,
            caps.vf_vectors_default,
            caps.vf_vectors_max
        ),
        (1412, 9, 65)
    );
    let steering = get(&mut driver, CapabilityId::STEERING);
    let caps = SteeringCaps::from_words(&driver.query(&mut dut, steering).unwrap());
    assert_eq!((caps.rules, caps.keys), (1024, keys::ALL));
    let eswitch = get(&mut driver, CapabilityId::ESWITCH);
    let caps = EswitchCaps::from_words(&driver.query(&mut dut, eswitch).unwrap());
    assert_eq!(
        (caps.modes, caps.representor_first, caps.representors),
        (7, 2, 100)
    );
    assert_eq!(dut.read(PF, device::VECTORS), 229);
    let none = get(&mut driver, CapabilityId::RDMA);
    let error = driver.query::<1>(&mut dut, none).unwrap_err();
    assert_eq!(why(&error), (Status::ENOENT, Qualifier::OBJECT, 24));
}

#[test]
fn every_opcode_that_is_not_defined_is_refused() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    for opcode in (0..=u16::MAX).filter(|opcode| *opcode < 0x200 || opcode % 97 == 0) {
        let opcode = Opcode(opcode);
        if Opcode::ALL.contains(&opcode) && opcode != Opcode::CAP_SET {
            continue;
        }
        let completion = driver.set(&mut dut, opcode, 0, [0; 5]);
        assert_eq!(
            why(&completion),
            (Status::EOPNOTSUPP, Qualifier::OPCODE, 0),
            "{opcode:?}"
        );
    }
}

/// Commands that succeed on a PF with a queue pair and a VF, in an order in which each finds what it needs.
fn good(dut: &mut Device, driver: &mut Driver) -> Vec<(Submission, Vec<u64>, usize)> {
    let ring = dut.host.allocate(1 << 20);
    let stats = dut.host.allocate(4096);
    let with = |opcode, parameters| Submission {
        opcode,
        parameters,
        ..Submission::ZERO
    };
    let plain = |opcode, parameters| (with(opcode, parameters), vec![], 0);
    let asks = |opcode, request: &[u64]| (with(opcode, [0; 5]), request.to_vec(), 0);
    let answers = |opcode, parameters, words| (with(opcode, parameters), vec![], words);
    let vf = |opcode, request: &[u64], words| {
        (
            Submission {
                function: 1,
                ..with(opcode, [0; 5])
            },
            request.to_vec(),
            words,
        )
    };
    let rate = RateConfig {
        fields: rate_fields::ALL,
        kind: RateKind::NODE,
        number: 3,
        ..RateConfig::ZERO
    };
    let cq = CqCreate {
        id: 7,
        vector: 9,
        slot: 1,
        log2: 6,
        entry: 16,
        address: ring,
        microseconds: 10_000,
        frames: 9,
    };
    let rx_cq = CqCreate {
        id: 8,
        vector: 9,
        slot: 0,
        entry: 32,
        ..cq
    };
    let tx = TxCreate {
        id: 5,
        cq: 7,
        log2: 6,
        version: 0,
        address: ring,
    };
    let rx = RxCreate {
        id: 6,
        cq: 8,
        log2: 6,
        version: 0,
        buffer_length: 2048,
        address: ring,
    };
    let rss = RssConfig {
        context: 3,
        types: 0xff,
        entries: 8,
        table: [6; 256],
        ..RssConfig::ZERO
    };
    let rule = SteeringRule {
        location: 9,
        keys: keys::ETHER_TYPE | keys::SOURCE,
        action: SteeringAction::CONTEXT,
        context: 3,
        ether_type: [8, 0],
        source: [10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        source_mask: [255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ..SteeringRule::ZERO
    };
    let vport = VportConfig {
        fields: vport_fields::ALL,
        flags: vport_flags::ALL,
        mac: [2, 0, 0, 0, 0, 9],
        frame_max: 1514,
        flags_mask: vport_flags::ALL,
        stamps: StampFilter::EVERY,
    };
    let clock = ClockConfig {
        fields: clock_fields::TIME | clock_fields::RATE,
        time: 77,
        rate: (-5i64) as u64,
        ..ClockConfig::ZERO
    };
    let config = VfConfig {
        fields: vf_fields::ALL & !vf_fields::PORT,
        mac: [2, 0, 0, 0, 0, 8],
        vlan: 5,
        qos: 7,
        vlan_proto: 0x8100,
        vectors: 12,
        rate_min: 1,
        rate_max: 9,
        ..VfConfig::ZERO
    };
    let _ = driver;
    let mut commands = vec![
        plain(Opcode::NOP, [0; 5]),
        answers(Opcode::CAP_LIST, [0; 5], 1),
        answers(
            Opcode::CAP_GET,
            CapGet {
                id: CapabilityId::NIC,
            }
            .to_words(),
            16,
        ),
        plain(Opcode::CQ_CREATE, cq.to_words()),
        plain(Opcode::CQ_CREATE, rx_cq.to_words()),
        plain(
            Opcode::CQ_MODERATE,
            CqModerate {
                id: 7,
                microseconds: 3,
                frames: 4,
            }
            .to_words(),
        ),
        plain(Opcode::TX_CREATE, tx.to_words()),
        plain(Opcode::RX_CREATE, rx.to_words()),
        answers(Opcode::VPORT_QUERY, [0; 5], 8),
        plain(Opcode::VPORT_SET, vport.to_words()),
        asks(Opcode::MAC_LIST, &[0x0102_0304_0502, 0x0102_0304_0503]),
        asks(Opcode::VLAN_SET, &[6; 64]),
        asks(Opcode::RSS_SET, &rss.to_words()),
        answers(Opcode::RSS_GET, RssId { context: 3 }.to_words(), 71),
        asks(Opcode::STEERING_SET, &rule.to_words()),
        answers(Opcode::VPORT_STATS, [0; 5], 32),
        answers(
            Opcode::QUEUE_STATS,
            QueueStatsGet { id: 5, transmit: 1 }.to_words(),
            4,
        ),
        plain(
            Opcode::STATS_DMA,
            StatsDma {
                address: stats,
                period: 10,
            }
            .to_words(),
        ),
        answers(Opcode::PORT_QUERY, [0; 5], 6),
        plain(
            Opcode::PORT_SET,
            PortConfig {
                fields: port_fields::ALL,
                speed: 25_000,
                enabled: 1,
                ..PortConfig::ZERO
            }
            .to_words(),
        ),
        answers(Opcode::PORT_STATS, [0; 5], 48),
        plain(Opcode::PORT_IDENTIFY, [1, 0, 0, 0, 0]),
        answers(Opcode::PORT_MODULE, MODULE.to_words(), 16),
        plain(Opcode::CLOCK_SET, clock.to_words()),
        answers(Opcode::CLOCK_QUERY, [0; 5], 3),
        answers(Opcode::SENSORS, [0; 5], 20),
        plain(Opcode::VF_ENABLE, VfRange { first: 0, count: 4 }.to_words()),
        answers(Opcode::ESWITCH_PORTS, [0; 5], 12),
        plain(Opcode::ESWITCH_SET, [0; 5]),
        answers(Opcode::ESWITCH_QUERY, [0; 5], 2),
        vf(Opcode::VF_SET, &config.to_words(), 0),
        vf(Opcode::VF_QUERY, &[], 6),
        vf(Opcode::VF_STATS, &[], 32),
        asks(Opcode::RATE_SET, &rate.to_words()),
        plain(
            Opcode::RATE_DESTROY,
            RateId {
                kind: RateKind::NODE,
                number: 3,
            }
            .to_words(),
        ),
        plain(
            Opcode::VF_DISABLE,
            VfRange { first: 1, count: 3 }.to_words(),
        ),
        plain(
            Opcode::STEERING_CLEAR,
            SteeringId { location: 9 }.to_words(),
        ),
        plain(Opcode::RSS_DESTROY, RssId { context: 3 }.to_words()),
        plain(Opcode::RX_DESTROY, QueueId { id: 6 }.to_words()),
        plain(Opcode::TX_DESTROY, QueueId { id: 5 }.to_words()),
        plain(Opcode::CQ_DESTROY, QueueId { id: 7 }.to_words()),
    ];
    commands.extend(flow::good(cq, stats));
    commands
}

/// Runs a command of [`good`], as it is or with words changed before.
fn run(
    dut: &mut Device,
    driver: &mut Driver,
    (submission, request, answer): &(Submission, Vec<u64>, usize),
    change: impl FnOnce(&mut [u64; 8]),
) -> Completion {
    let mut submission = Submission {
        id: driver.id.wrapping_add(1),
        ..*submission
    };
    driver.id = submission.id;
    let length = request.len().max(*answer);
    if length != 0 {
        dut.host.put_words(driver.buffer, request);
        submission.buffer = driver.buffer;
        submission.buffer_length = length as u32 * 8;
    }
    let mut words = submission.to_words();
    change(&mut words);
    driver.raw(dut, &words)
}

#[test]
fn every_reserved_byte_and_every_missing_buffer_is_refused() {
    let mut dut = Device::new(2, 8);
    let mut driver = Driver::new(&mut dut, PF);
    let commands = good(&mut dut, &mut driver);
    for command in &commands {
        let opcode = command.0.opcode;
        let text = opcode.text();
        for byte in [20, 21, 22, 23] {
            let change = |words: &mut [u64; 8]| words[byte / 8] |= 1 << (byte % 8 * 8);
            let completion = run(&mut dut, &mut driver, command, change);
            let field = if byte < 22 { 20 } else { byte as u16 };
            assert_eq!(
                why(&completion),
                (Status::EINVAL, Qualifier::RESERVED, field),
                "{text}"
            );
        }
        if !command.1.is_empty() || command.2 != 0 {
            let misaligned = run(&mut dut, &mut driver, command, |words| words[1] += 4);
            assert_eq!(
                why(&misaligned),
                (Status::EINVAL, Qualifier::BUFFER, 8),
                "{text}"
            );
            let too_long = run(&mut dut, &mut driver, command, |words| words[2] = 65544);
            assert_eq!(
                why(&too_long),
                (Status::EINVAL, Qualifier::BUFFER, 16),
                "{text}"
            );
            let unreachable = run(&mut dut, &mut driver, command, |words| words[1] = 8);
            assert_eq!(
                why(&unreachable),
                (Status::EFAULT, Qualifier::DMA, 8),
                "{text}"
            );
        } else if opcode != Opcode::NOP {
            let stray = run(&mut dut, &mut driver, command, |words| words[1] = 8);
            assert_eq!(
                why(&stray),
                (Status::EINVAL, Qualifier::RESERVED, 8),
                "{text}"
            );
        }
        if command.2 != 0 {
            let missing = run(&mut dut, &mut driver, command, |words| words[2] = 0);
            assert_eq!(
                why(&missing),
                (Status::EINVAL, Qualifier::BUFFER, 16),
                "{text}"
            );
        }
        if !command.1.is_empty() && opcode != Opcode::MAC_LIST {
            let short = run(&mut dut, &mut driver, command, |words| words[2] -= 8);
            assert_eq!(
                why(&short),
                (Status::EINVAL, Qualifier::BUFFER, 16),
                "{text}"
            );
            let length = command.1.len() as u64 * 8;
            dut.host.put_words(driver.buffer + length, &[0, 1 << 56]);
            let surplus = run(&mut dut, &mut driver, command, |words| words[2] += 16);
            assert_eq!(why(&surplus).1, Qualifier::RESERVED, "{text}");
            dut.host.put_words(driver.buffer + length, &[0, 0]);
        }
        let completion = run(&mut dut, &mut driver, command, |_| {});
        assert_eq!(completion.status, Status::OK, "{text}: {completion:?}");
    }
}

#[test]
fn vports_and_functions_that_are_not_there_are_refused() {
    let mut dut = Device::new(2, 8);
    let mut driver = Driver::new(&mut dut, PF);
    let about_vport = [
        Opcode::TX_CREATE,
        Opcode::RX_CREATE,
        Opcode::VPORT_QUERY,
        Opcode::VPORT_SET,
        Opcode::MAC_LIST,
        Opcode::VLAN_SET,
        Opcode::RSS_SET,
        Opcode::RSS_GET,
        Opcode::RSS_DESTROY,
        Opcode::STEERING_SET,
        Opcode::STEERING_CLEAR,
        Opcode::VPORT_STATS,
        Opcode::STATS_DMA,
        Opcode::PORT_QUERY,
        Opcode::PORT_SET,
        Opcode::PORT_STATS,
        Opcode::PORT_IDENTIFY,
        Opcode::PORT_MODULE,
    ];
    for command in &good(&mut dut, &mut driver) {
        let opcode = command.0.opcode;
        let completion = run(&mut dut, &mut driver, command, |words| words[0] |= 2 << 32);
        let expected = match about_vport.contains(&opcode) {
            true => (Status::ENOENT, Qualifier::OBJECT, 4),
            false => (Status::EINVAL, Qualifier::FIELD, 4),
        };
        assert_eq!(why(&completion), expected, "{}", opcode.text());
        if !matches!(opcode, Opcode::VF_SET | Opcode::VF_QUERY | Opcode::VF_STATS) {
            let completion = run(&mut dut, &mut driver, command, |words| words[0] |= 1 << 48);
            let expected = match opcode {
                Opcode::STATS_DMA => (Status::ENOENT, Qualifier::OBJECT, 6),
                _ => (Status::EINVAL, Qualifier::FIELD, 6),
            };
            assert_eq!(why(&completion), expected, "{}", opcode.text());
        } else {
            let completion = run(&mut dut, &mut driver, command, |words| {
                words[0] ^= 0xff << 48
            });
            let expected = (Status::ENOENT, Qualifier::OBJECT, 6);
            assert_eq!(why(&completion), expected, "{}", opcode.text());
        }
        assert_eq!(
            run(&mut dut, &mut driver, command, |_| {}).status,
            Status::OK
        );
    }
}
