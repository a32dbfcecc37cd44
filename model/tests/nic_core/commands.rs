// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands and their errors: each limit at the limit and beyond, each error in the place that the interface names, and
//! nothing changed by a command that failed.

use crate::mock::{Device, Driver, Port};
use oxnic_abi::caps::{CapGet, CapabilityId, NicCaps, SteeringCaps, privilege};
use oxnic_abi::command::{Completion, Opcode, Qualifier, Status, Submission};
use oxnic_abi::port::{PortConfig, PortInfo, port_fields};
use oxnic_abi::queue::{CqCreate, CqModerate, QueueId, RxCreate, TxCreate};
use oxnic_abi::rss::{RssConfig, RssId};
use oxnic_abi::stats::{QueueStatsGet, StatsDma};
use oxnic_abi::steering::{SteeringAction, SteeringId, SteeringRule, keys};
use oxnic_abi::vf::{VfConfig, VfLink, VfRange, vf_fields};
use oxnic_abi::vport::{VportConfig, vport_fields, vport_flags};
use oxnic_model::host::Function;

const PF: Function = Function::Pf;

fn why(completion: &Completion) -> (Status, Qualifier, u16) {
    (completion.status, completion.qualifier, completion.offset)
}

#[test]
fn capabilities_are_listed_and_told() {
    let mut dut = Device::new(2, 100);
    let mut driver = Driver::new(&mut dut, PF);
    let list = driver.submission(Opcode::CAP_LIST);
    assert_eq!(driver.query::<1>(&mut dut, list).unwrap(), [1 | 6 << 16]);
    let get = |driver: &mut Driver, id| Submission {
        parameters: CapGet { id }.to_words(),
        ..driver.submission(Opcode::CAP_GET)
    };
    let nic = get(&mut driver, CapabilityId::NIC);
    let caps = NicCaps::from_words(&driver.query(&mut dut, nic).unwrap());
    assert_eq!(
        (caps.tx_queues, caps.rx_queues, caps.completion_queues),
        (64, 64, 128)
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
    vec![
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
            }
            .to_words(),
        ),
        answers(Opcode::PORT_STATS, [0; 5], 48),
        plain(Opcode::PORT_IDENTIFY, [1, 0, 0, 0, 0]),
        plain(Opcode::VF_ENABLE, VfRange { first: 0, count: 4 }.to_words()),
        answers(Opcode::ESWITCH_PORTS, [0; 5], 12),
        vf(Opcode::VF_SET, &config.to_words(), 0),
        vf(Opcode::VF_QUERY, &[], 6),
        vf(Opcode::VF_STATS, &[], 32),
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
    ]
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
            let expected = (Status::EINVAL, Qualifier::FIELD, 6);
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

#[test]
fn fields_of_queues_are_checked_at_their_limits() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let ring = dut.host.allocate(4 << 20);
    let good = CqCreate {
        id: 127,
        vector: 128,
        slot: 1,
        log2: 5,
        entry: 16,
        address: ring,
        microseconds: 10_000,
        frames: 65535,
    };
    let bad = [
        (
            CqCreate { id: 128, ..good },
            Status::EINVAL,
            Qualifier::LIMIT,
            24,
        ),
        (
            CqCreate { vector: 0, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            26,
        ),
        (
            CqCreate {
                vector: 129,
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            26,
        ),
        (
            CqCreate { slot: 2, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            28,
        ),
        (
            CqCreate { log2: 4, ..good },
            Status::EINVAL,
            Qualifier::LIMIT,
            29,
        ),
        (
            CqCreate { log2: 16, ..good },
            Status::EINVAL,
            Qualifier::LIMIT,
            29,
        ),
        (
            CqCreate { entry: 24, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            30,
        ),
        (
            CqCreate {
                address: ring + 2048,
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            32,
        ),
        (
            CqCreate {
                microseconds: 10_001,
                ..good
            },
            Status::EINVAL,
            Qualifier::LIMIT,
            40,
        ),
        (
            CqCreate {
                address: 0x1000,
                ..good
            },
            Status::EFAULT,
            Qualifier::DMA,
            32,
        ),
    ];
    for (create, status, qualifier, offset) in bad {
        let completion = driver.set(&mut dut, Opcode::CQ_CREATE, 0, create.to_words());
        assert_eq!(why(&completion), (status, qualifier, offset), "{create:?}");
    }
    driver.set_ok(&mut dut, Opcode::CQ_CREATE, 0, good.to_words());
    let again = driver.set(&mut dut, Opcode::CQ_CREATE, 0, good.to_words());
    assert_eq!(why(&again), (Status::EEXIST, Qualifier::CONFLICT, 24));
    let slot = driver.set(
        &mut dut,
        Opcode::CQ_CREATE,
        0,
        CqCreate { id: 1, ..good }.to_words(),
    );
    assert_eq!(why(&slot), (Status::EBUSY, Qualifier::CONFLICT, 28));
    let big = CqCreate {
        id: 1,
        slot: 0,
        log2: 15,
        entry: 32,
        ..good
    };
    driver.set_ok(&mut dut, Opcode::CQ_CREATE, 0, big.to_words());

    let tx = TxCreate {
        id: 63,
        cq: 127,
        log2: 5,
        version: 0,
        address: ring,
    };
    let bad = [
        (
            TxCreate { id: 64, ..tx },
            Status::EINVAL,
            Qualifier::LIMIT,
            24,
        ),
        (
            TxCreate { cq: 2, ..tx },
            Status::ENOENT,
            Qualifier::OBJECT,
            26,
        ),
        (
            TxCreate { cq: 999, ..tx },
            Status::ENOENT,
            Qualifier::OBJECT,
            26,
        ),
        (
            TxCreate { cq: 1, ..tx },
            Status::EINVAL,
            Qualifier::CONFLICT,
            26,
        ),
        (
            TxCreate { log2: 6, ..tx },
            Status::ENOSPC,
            Qualifier::LIMIT,
            26,
        ),
        (
            TxCreate { log2: 4, ..tx },
            Status::EINVAL,
            Qualifier::LIMIT,
            28,
        ),
        (
            TxCreate { log2: 14, ..tx },
            Status::EINVAL,
            Qualifier::LIMIT,
            28,
        ),
        (
            TxCreate { version: 1, ..tx },
            Status::EOPNOTSUPP,
            Qualifier::FIELD,
            29,
        ),
        (
            TxCreate {
                address: ring + 16,
                ..tx
            },
            Status::EINVAL,
            Qualifier::FIELD,
            32,
        ),
    ];
    for (create, status, qualifier, offset) in bad {
        let completion = driver.set(&mut dut, Opcode::TX_CREATE, 0, create.to_words());
        assert_eq!(why(&completion), (status, qualifier, offset), "{create:?}");
    }
    driver.set_ok(&mut dut, Opcode::TX_CREATE, 0, tx.to_words());
    let referenced = driver.set(
        &mut dut,
        Opcode::CQ_DESTROY,
        0,
        QueueId { id: 127 }.to_words(),
    );
    assert_eq!(why(&referenced), (Status::EBUSY, Qualifier::REFERENCED, 24));

    let rx = RxCreate {
        id: 63,
        cq: 1,
        log2: 13,
        version: 0,
        buffer_length: 256,
        address: ring,
    };
    for length in [255, 16385] {
        let create = RxCreate {
            buffer_length: length,
            ..rx
        };
        let completion = driver.set(&mut dut, Opcode::RX_CREATE, 0, create.to_words());
        assert_eq!(why(&completion), (Status::EINVAL, Qualifier::LIMIT, 30));
    }
    for id in 0..4 {
        let create = RxCreate {
            id,
            buffer_length: 16384,
            ..rx
        };
        driver.set_ok(&mut dut, Opcode::RX_CREATE, 0, create.to_words());
    }
    let full = driver.set(&mut dut, Opcode::RX_CREATE, 0, rx.to_words());
    assert_eq!(why(&full), (Status::ENOSPC, Qualifier::LIMIT, 26));
    let missing = driver.set(
        &mut dut,
        Opcode::RX_DESTROY,
        0,
        QueueId { id: 63 }.to_words(),
    );
    assert_eq!(why(&missing), (Status::ENOENT, Qualifier::OBJECT, 24));
}

#[test]
fn vport_settings_are_checked_and_a_failure_changes_nothing() {
    let mut dut = Device::new(1, 1);
    let mut port = Port::new(&mut dut, PF);
    let driver = &mut port.driver;
    let before = driver.info(&mut dut, 0);
    let good = VportConfig {
        fields: vport_fields::ALL,
        flags: vport_flags::ALL,
        flags_mask: vport_flags::ALL,
        mac: [2, 9, 9, 9, 9, 9],
        frame_max: 9614,
    };
    let bad = [
        (VportConfig { fields: 8, ..good }, Qualifier::FIELD, 24),
        (
            VportConfig {
                flags_mask: 1 << 12,
                ..good
            },
            Qualifier::FIELD,
            40,
        ),
        (
            VportConfig {
                mac: [0; 6],
                ..good
            },
            Qualifier::FIELD,
            32,
        ),
        (
            VportConfig {
                mac: [1, 0, 0, 0, 0, 0],
                ..good
            },
            Qualifier::FIELD,
            32,
        ),
        (
            VportConfig {
                frame_max: 59,
                ..good
            },
            Qualifier::LIMIT,
            38,
        ),
        (
            VportConfig {
                frame_max: 9615,
                ..good
            },
            Qualifier::LIMIT,
            38,
        ),
    ];
    for (config, qualifier, offset) in bad {
        let completion = driver.set(&mut dut, Opcode::VPORT_SET, 0, config.to_words());
        assert_eq!(
            why(&completion),
            (Status::EINVAL, qualifier, offset),
            "{config:?}"
        );
        assert_eq!(driver.info(&mut dut, 0), before);
    }
    driver.set_ok(&mut dut, Opcode::VPORT_SET, 0, good.to_words());
    let after = driver.info(&mut dut, 0);
    assert_eq!(
        (after.mac, after.flags, after.frame_max),
        (good.mac, vport_flags::ALL, 9614)
    );
    assert_eq!(after.permanent_mac, before.permanent_mac);
    let least = VportConfig {
        fields: vport_fields::FRAME_MAX,
        frame_max: 60,
        ..VportConfig::ZERO
    };
    driver.set_ok(&mut dut, Opcode::VPORT_SET, 0, least.to_words());
}

#[test]
fn address_lists_hold_as_many_as_published() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let list = |count: u64| (1..=count).map(|i| i << 8 | 2).collect::<Vec<u64>>();
    driver.request_ok(&mut dut, Opcode::MAC_LIST, 0, 0, &list(128));
    let submission = driver.submission(Opcode::MAC_LIST);
    let completion = driver.run(&mut dut, submission, &list(129));
    assert_eq!(why(&completion), (Status::ENOSPC, Qualifier::LIMIT, 16));
    let submission = driver.submission(Opcode::MAC_LIST);
    let completion = driver.run(&mut dut, submission, &[2, 3, 0, 4]);
    assert_eq!(why(&completion), (Status::EINVAL, Qualifier::FIELD, 80));
    let submission = driver.submission(Opcode::MAC_LIST);
    let completion = driver.run(&mut dut, submission, &[2, 1 << 48]);
    assert_eq!(why(&completion), (Status::EINVAL, Qualifier::RESERVED, 78));
    driver.set_ok(&mut dut, Opcode::MAC_LIST, 0, [0; 5]);
}

#[test]
fn hashing_contexts_are_checked() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let driver = &mut port.driver;
    let good = RssConfig {
        context: 7,
        types: 0xff,
        entries: 256,
        ..RssConfig::ZERO
    };
    let mut elsewhere = good;
    elsewhere.table[255] = 1;
    let mut ports_of_addresses = good;
    ports_of_addresses.omit[1] = 4;
    let mut unknown_field = good;
    unknown_field.omit[7] = 16;
    let bad = [
        (
            RssConfig { context: 8, ..good },
            Status::EINVAL,
            Qualifier::LIMIT,
            64,
        ),
        (
            RssConfig {
                types: 0x100,
                ..good
            },
            Status::EOPNOTSUPP,
            Qualifier::FIELD,
            66,
        ),
        (
            RssConfig { entries: 0, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            68,
        ),
        (
            RssConfig { entries: 3, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            68,
        ),
        (
            RssConfig {
                entries: 512,
                ..good
            },
            Status::EINVAL,
            Qualifier::LIMIT,
            68,
        ),
        (
            RssConfig { input: 4, ..good },
            Status::EOPNOTSUPP,
            Qualifier::FIELD,
            70,
        ),
        (
            RssConfig { input: 3, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            70,
        ),
        (elsewhere, Status::ENOENT, Qualifier::OBJECT, 64 + 48 + 510),
        (ports_of_addresses, Status::EINVAL, Qualifier::FIELD, 625),
        (unknown_field, Status::EINVAL, Qualifier::FIELD, 631),
    ];
    for (config, status, qualifier, offset) in bad {
        let submission = driver.submission(Opcode::RSS_SET);
        let completion = driver.run(&mut dut, submission, &config.to_words());
        assert_eq!(why(&completion), (status, qualifier, offset), "{config:?}");
    }
    driver.request_ok(&mut dut, Opcode::RSS_SET, 0, 0, &good.to_words());
    elsewhere.entries = 128;
    driver.request_ok(&mut dut, Opcode::RSS_SET, 0, 0, &elsewhere.to_words());
    let rule = SteeringRule {
        action: SteeringAction::CONTEXT,
        context: 7,
        ..SteeringRule::ZERO
    };
    driver.request_ok(&mut dut, Opcode::STEERING_SET, 0, 0, &rule.to_words());
    for (context, status, qualifier) in [
        (0, Status::EINVAL, Qualifier::FIELD),
        (6, Status::ENOENT, Qualifier::OBJECT),
        (99, Status::ENOENT, Qualifier::OBJECT),
        (7, Status::EBUSY, Qualifier::REFERENCED),
    ] {
        let completion = driver.set(
            &mut dut,
            Opcode::RSS_DESTROY,
            0,
            RssId { context }.to_words(),
        );
        assert_eq!(why(&completion), (status, qualifier, 24));
    }
    driver.set_ok(
        &mut dut,
        Opcode::STEERING_CLEAR,
        0,
        SteeringId { location: 0 }.to_words(),
    );
    driver.set_ok(
        &mut dut,
        Opcode::RSS_DESTROY,
        0,
        RssId { context: 7 }.to_words(),
    );
}

#[test]
fn steering_rules_are_checked() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let driver = &mut port.driver;
    let good = SteeringRule {
        location: 1023,
        keys: keys::ETHER_TYPE | keys::DESTINATION_PORT,
        action: SteeringAction::QUEUE,
        ether_type: [0x86, 0xdd],
        destination_port: [0x12, 0x30],
        destination_port_mask: [0xff, 0xf0],
        ..SteeringRule::ZERO
    };
    let v4 = SteeringRule {
        ether_type: [8, 0],
        keys: good.keys | keys::SOURCE,
        ..good
    };
    let bad = [
        (
            SteeringRule {
                location: 1024,
                ..good
            },
            Status::EINVAL,
            Qualifier::LIMIT,
            64,
        ),
        (
            SteeringRule {
                keys: 1 << 10,
                ..good
            },
            Status::EOPNOTSUPP,
            Qualifier::FIELD,
            68,
        ),
        (
            SteeringRule {
                keys: keys::DESTINATION_PORT,
                ether_type: [0; 2],
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            68,
        ),
        (
            SteeringRule {
                ether_type: [8, 6],
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            76,
        ),
        (
            SteeringRule {
                action: SteeringAction(3),
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            70,
        ),
        (
            SteeringRule { queue: 1, ..good },
            Status::ENOENT,
            Qualifier::OBJECT,
            72,
        ),
        (
            SteeringRule {
                action: SteeringAction::CONTEXT,
                context: 1,
                ..good
            },
            Status::ENOENT,
            Qualifier::OBJECT,
            74,
        ),
        (
            SteeringRule {
                destination_port: [0x12, 0x31],
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            180,
        ),
        (
            SteeringRule {
                source_port_mask: [1, 0],
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            178,
        ),
        (
            SteeringRule { tos: 1, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            184,
        ),
        (
            SteeringRule {
                source_mask: [255; 16],
                ..v4
            },
            Status::EINVAL,
            Qualifier::FIELD,
            128,
        ),
        (
            SteeringRule {
                action: SteeringAction::DROP,
                queue: 1,
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            72,
        ),
    ];
    for (rule, status, qualifier, offset) in bad {
        let submission = driver.submission(Opcode::STEERING_SET);
        let completion = driver.run(&mut dut, submission, &rule.to_words());
        assert_eq!(why(&completion), (status, qualifier, offset), "{rule:?}");
        let location = SteeringId { location: 1023 }.to_words();
        let none = driver.set(&mut dut, Opcode::STEERING_CLEAR, 0, location);
        assert_eq!(why(&none), (Status::ENOENT, Qualifier::OBJECT, 24));
    }
    driver.request_ok(&mut dut, Opcode::STEERING_SET, 0, 0, &good.to_words());
    let beyond = driver.set(
        &mut dut,
        Opcode::STEERING_CLEAR,
        0,
        SteeringId { location: 1024 }.to_words(),
    );
    assert_eq!(why(&beyond), (Status::EINVAL, Qualifier::LIMIT, 24));
    driver.set_ok(
        &mut dut,
        Opcode::STEERING_CLEAR,
        0,
        SteeringId { location: 1023 }.to_words(),
    );
}

#[test]
fn ports_take_known_speeds_only() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    for speed in [
        1000, 10_000, 25_000, 40_000, 50_000, 100_000, 200_000, 400_000, 0,
    ] {
        let config = PortConfig {
            fields: port_fields::SPEED,
            speed,
            enabled: 7,
        };
        driver.set_ok(&mut dut, Opcode::PORT_SET, 0, config.to_words());
        let query = driver.submission(Opcode::PORT_QUERY);
        let info = PortInfo::from_words(&driver.query(&mut dut, query).unwrap());
        let expected = if speed == 0 { 400_000 } else { speed };
        assert_eq!(
            (info.speed, info.speed_set, info.link, info.duplex),
            (expected, speed, 1, 1)
        );
    }
    let bad = [
        (
            PortConfig {
                fields: 4,
                speed: 0,
                enabled: 0,
            },
            24,
        ),
        (
            PortConfig {
                fields: 1,
                speed: 2500,
                enabled: 0,
            },
            28,
        ),
        (
            PortConfig {
                fields: 2,
                speed: 0,
                enabled: 2,
            },
            32,
        ),
    ];
    for (config, offset) in bad {
        let completion = driver.set(&mut dut, Opcode::PORT_SET, 0, config.to_words());
        assert_eq!(why(&completion), (Status::EINVAL, Qualifier::FIELD, offset));
    }
}

#[test]
fn vf_settings_are_checked_and_a_failure_changes_nothing() {
    let mut dut = Device::new(2, 4);
    let mut pf = Driver::new(&mut dut, PF);
    for (first, count) in [(0, 0), (0, 5), (4, 1), (1, 4), (65535, 65535)] {
        for opcode in [Opcode::VF_ENABLE, Opcode::VF_DISABLE] {
            let completion = pf.set(&mut dut, opcode, 0, VfRange { first, count }.to_words());
            assert_eq!(why(&completion), (Status::EINVAL, Qualifier::LIMIT, 26));
        }
    }
    pf.set_ok(
        &mut dut,
        Opcode::VF_ENABLE,
        0,
        VfRange { first: 1, count: 2 }.to_words(),
    );
    let again = pf.set(
        &mut dut,
        Opcode::VF_ENABLE,
        0,
        VfRange { first: 2, count: 2 }.to_words(),
    );
    assert_eq!(why(&again), (Status::EEXIST, Qualifier::STATE, 24));
    let good = VfConfig {
        fields: vf_fields::ALL,
        link: VfLink::DISABLE,
        port: 1,
        vlan: 4094,
        qos: 7,
        vlan_proto: 0x88a8,
        vectors: 65,
        rate_min: 100,
        rate_max: 100,
        ..VfConfig::ZERO
    };
    let bad = [
        (
            VfConfig {
                fields: 1 << 8,
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            64,
        ),
        (
            VfConfig {
                link: VfLink(3),
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            68,
        ),
        (
            VfConfig {
                spoof_check: 2,
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            69,
        ),
        (
            VfConfig { trust: 2, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            70,
        ),
        (
            VfConfig { port: 2, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            71,
        ),
        (
            VfConfig {
                mac: [1, 0, 0, 0, 0, 1],
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            72,
        ),
        (
            VfConfig { vlan: 4095, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            78,
        ),
        (
            VfConfig { qos: 8, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            80,
        ),
        (
            VfConfig {
                vlan_proto: 0x9100,
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            82,
        ),
        (
            VfConfig { vectors: 1, ..good },
            Status::EINVAL,
            Qualifier::LIMIT,
            84,
        ),
        (
            VfConfig {
                vectors: 66,
                ..good
            },
            Status::EINVAL,
            Qualifier::LIMIT,
            84,
        ),
        (
            VfConfig {
                rate_min: 101,
                ..good
            },
            Status::EINVAL,
            Qualifier::CONFLICT,
            88,
        ),
        (
            VfConfig {
                rate_min: 400_001,
                rate_max: 0,
                ..good
            },
            Status::ENOSPC,
            Qualifier::LIMIT,
            88,
        ),
    ];
    let query = |pf: &mut Driver, dut: &mut Device| {
        let submission = Submission {
            function: 2,
            ..pf.submission(Opcode::VF_QUERY)
        };
        pf.query::<6>(dut, submission).unwrap()
    };
    let before = query(&mut pf, &mut dut);
    for (config, status, qualifier, offset) in bad {
        let submission = Submission {
            function: 2,
            ..pf.submission(Opcode::VF_SET)
        };
        let completion = pf.run(&mut dut, submission, &config.to_words());
        assert_eq!(why(&completion), (status, qualifier, offset), "{config:?}");
        assert_eq!(query(&mut pf, &mut dut), before, "{config:?}");
    }
    pf.vf_set(&mut dut, 1, good);
    assert_ne!(query(&mut pf, &mut dut), before);
    pf.set_ok(
        &mut dut,
        Opcode::VF_DISABLE,
        0,
        VfRange { first: 0, count: 4 }.to_words(),
    );
    pf.set_ok(
        &mut dut,
        Opcode::VF_ENABLE,
        0,
        VfRange { first: 1, count: 1 }.to_words(),
    );
    assert_eq!(query(&mut pf, &mut dut), before);
}

#[test]
fn the_pool_of_vectors_is_finite() {
    let mut dut = Device::new(1, 128);
    let mut pf = Driver::new(&mut dut, PF);
    pf.set_ok(
        &mut dut,
        Opcode::VF_ENABLE,
        0,
        VfRange {
            first: 0,
            count: 128,
        }
        .to_words(),
    );
    // 512 are spare, each step from 9 to 65 takes 56.
    for vf in 0..9 {
        let config = VfConfig {
            fields: vf_fields::VECTORS,
            vectors: 65,
            ..VfConfig::ZERO
        };
        pf.vf_set(&mut dut, vf, config);
    }
    let config = |vectors| VfConfig {
        fields: vf_fields::VECTORS,
        vectors,
        ..VfConfig::ZERO
    };
    let submission = Submission {
        function: 10,
        ..pf.submission(Opcode::VF_SET)
    };
    let completion = pf.run(&mut dut, submission, &config(18).to_words());
    assert_eq!(why(&completion), (Status::ENOSPC, Qualifier::LIMIT, 84));
    pf.vf_set(&mut dut, 9, config(17));
}

#[test]
fn a_vf_cannot_do_what_its_pf_does() {
    let mut dut = Device::new(1, 2);
    let mut pf = Driver::new(&mut dut, PF);
    pf.enable_vfs(&mut dut, 2);
    let mut vf = Driver::new(&mut dut, Function::Vf(0));
    pf.events(&mut dut);
    assert_eq!(
        vf.info(&mut dut, 0).privileges,
        privilege::MAC | privilege::VLAN
    );
    let commands = good(&mut dut, &mut vf);
    for command in &commands {
        let opcode = command.0.opcode;
        let pf_only = [
            Opcode::ESWITCH_PORTS,
            Opcode::PORT_SET,
            Opcode::PORT_STATS,
            Opcode::PORT_IDENTIFY,
            Opcode::VF_ENABLE,
            Opcode::VF_DISABLE,
            Opcode::VF_SET,
            Opcode::VF_QUERY,
            Opcode::VF_STATS,
        ];
        let offset = if pf_only.contains(&opcode) { 0 } else { 6 };
        let change = |words: &mut [u64; 8]| words[0] = words[0] & !(0xffff << 48) | 2 << 48;
        let completion = run(&mut dut, &mut vf, command, change);
        let denied = (Status::EPERM, Qualifier::PRIVILEGE, offset);
        assert_eq!(why(&completion), denied, "{}", opcode.text());
        let event = pf.event(&mut dut).unwrap();
        assert_eq!(event.kind, oxnic_abi::event::EventKind::VF_DENIED);
        assert_eq!((event.object, event.detail), (0, opcode.0));
        run(&mut dut, &mut vf, command, change);
        assert!(pf.event(&mut dut).is_none(), "once a second at most");
        dut.advance(1_000_000_000);
    }
    let flags = VportConfig {
        fields: vport_fields::FLAGS,
        flags: vport_flags::PROMISCUOUS,
        flags_mask: vport_flags::ALL,
        ..VportConfig::ZERO
    };
    let completion = vf.set(&mut dut, Opcode::VPORT_SET, 0, flags.to_words());
    assert_eq!(why(&completion), (Status::EPERM, Qualifier::PRIVILEGE, 28));
}
