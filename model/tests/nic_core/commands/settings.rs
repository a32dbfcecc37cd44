// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about vports, hashing, steering and ports: each field at its limit and beyond, and nothing changed by a
//! command that failed.

use super::{MODULE, PF, why};
use crate::mock::{Device, Driver, Port, frame, tagged};
use oxnic_abi::clock::StampFilter;
use oxnic_abi::command::{Opcode, Qualifier, Status, Submission};
use oxnic_abi::port::{DownReason, Fec, ModuleRead, PortConfig, PortInfo, port_fields};
use oxnic_abi::rss::{RssConfig, RssId};
use oxnic_abi::steering::{SteeringAction, SteeringId, SteeringRule, keys};
use oxnic_abi::vport::{VportConfig, vport_fields, vport_flags};

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
        stamps: StampFilter::PTP,
    };
    let bad = [
        (VportConfig { fields: 16, ..good }, Qualifier::FIELD, 24),
        (
            VportConfig {
                stamps: StampFilter(3),
                ..good
            },
            Qualifier::FIELD,
            44,
        ),
        (
            VportConfig {
                stamps: StampFilter(255),
                ..good
            },
            Qualifier::FIELD,
            44,
        ),
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
        (after.mac, after.flags, after.frame_max, after.stamps),
        (good.mac, vport_flags::ALL, 9614, StampFilter::PTP)
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
    let list = |count: u64| (1..=count).map(|i| (i << 8) | 2).collect::<Vec<u64>>();
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
fn a_port_has_the_error_correction_of_its_speed() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let (off, base_r, rs) = (Fec::OFF, Fec::BASE_R, Fec::REED_SOLOMON);
    for (speed, kinds) in [
        (1000, vec![off]),
        (10_000, vec![off, base_r]),
        (25_000, vec![off, base_r, rs]),
        (100_000, vec![off, rs]),
        (400_000, vec![rs]),
    ] {
        for fec in [Fec::AUTO, off, base_r, rs, Fec(4), Fec(200)] {
            let config = PortConfig {
                fields: port_fields::SPEED | port_fields::FEC,
                speed,
                fec,
                ..PortConfig::ZERO
            };
            let completion = driver.set(&mut dut, Opcode::PORT_SET, 0, config.to_words());
            let query = driver.submission(Opcode::PORT_QUERY);
            let info = PortInfo::from_words(&driver.query(&mut dut, query).unwrap());
            if fec != Fec::AUTO && !kinds.contains(&fec) {
                let refused = (Status::EINVAL, Qualifier::FIELD, 33);
                assert_eq!(why(&completion), refused, "{speed} {fec:?}");
                continue;
            }
            assert_eq!(completion.status, Status::OK, "{speed} {fec:?}");
            let in_force = match fec {
                Fec::AUTO => *kinds.last().unwrap(),
                fec => fec,
            };
            let bits = kinds.iter().fold(1, |bits, kind| bits | kind.bit());
            assert_eq!(
                (info.fec, info.fec_set, info.fec_modes),
                (in_force, fec, bits)
            );
        }
    }
    // A speed that does not have what was set forgets it.
    for (fields, speed, fec, set) in [
        (port_fields::ALL, 25_000, base_r, base_r),
        (port_fields::SPEED, 10_000, base_r, base_r),
        (port_fields::SPEED, 100_000, rs, Fec::AUTO),
        (port_fields::SPEED, 10_000, base_r, Fec::AUTO),
    ] {
        let config = PortConfig {
            fields,
            speed,
            enabled: 1,
            fec: base_r,
        };
        driver.set_ok(&mut dut, Opcode::PORT_SET, 0, config.to_words());
        let query = driver.submission(Opcode::PORT_QUERY);
        let info = PortInfo::from_words(&driver.query(&mut dut, query).unwrap());
        assert_eq!((info.fec, info.fec_set), (fec, set));
    }
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
            fec: Fec(9),
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
                fields: 8,
                ..PortConfig::ZERO
            },
            24,
        ),
        (
            PortConfig {
                fields: 1,
                speed: 2500,
                ..PortConfig::ZERO
            },
            28,
        ),
        (
            PortConfig {
                fields: 2,
                enabled: 2,
                ..PortConfig::ZERO
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
fn the_memory_of_a_module_is_read_in_parts_while_it_is_plugged_in() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let request = |driver: &mut Driver, read: ModuleRead| Submission {
        parameters: read.to_words(),
        ..driver.submission(Opcode::PORT_MODULE)
    };
    let whole = request(&mut driver, MODULE);
    let page: [u64; 16] = driver.query(&mut dut, whole).unwrap();
    assert_eq!(page[0] & 0xff, 0x18);
    let some = ModuleRead {
        offset: 129,
        length: 5,
        ..MODULE
    };
    let some = request(&mut driver, some);
    let [name] = driver.query(&mut dut, some).unwrap();
    assert_eq!(&name.to_le_bytes(), b"Oxnic\0\0\0");
    let bad = [
        (ModuleRead { page: 1, ..MODULE }, 24),
        (ModuleRead { bank: 1, ..MODULE }, 25),
        (
            ModuleRead {
                address: 0x51,
                ..MODULE
            },
            26,
        ),
        (
            ModuleRead {
                length: 0,
                ..MODULE
            },
            28,
        ),
        (
            ModuleRead {
                offset: 129,
                ..MODULE
            },
            28,
        ),
        (
            ModuleRead {
                offset: 127,
                length: 2,
                ..MODULE
            },
            28,
        ),
    ];
    let refusal = |driver: &mut Driver, dut: &mut Device, read| {
        let submission = Submission {
            buffer: driver.buffer,
            buffer_length: 128,
            ..request(driver, read)
        };
        why(&driver.raw(dut, &submission.to_words()))
    };
    for (read, offset) in bad {
        let expected = (Status::EINVAL, Qualifier::FIELD, offset);
        assert_eq!(refusal(&mut driver, &mut dut, read), expected);
    }
    let reason = |driver: &mut Driver, dut: &mut Device| {
        let query = driver.submission(Opcode::PORT_QUERY);
        PortInfo::from_words(&driver.query(dut, query).unwrap()).reason
    };
    assert_eq!(reason(&mut driver, &mut dut), DownReason::NONE);
    dut.carrier(0, false);
    assert_eq!(reason(&mut driver, &mut dut), DownReason::NO_MODULE);
    let gone = (Status::ENOENT, Qualifier::STATE, 0);
    assert_eq!(refusal(&mut driver, &mut dut, MODULE), gone);
    let off = PortConfig {
        fields: port_fields::ENABLED,
        ..PortConfig::ZERO
    };
    driver.set_ok(&mut dut, Opcode::PORT_SET, 0, off.to_words());
    assert_eq!(reason(&mut driver, &mut dut), DownReason::DISABLED);
}

#[test]
fn a_longer_request_of_any_length_is_taken_if_the_surplus_is_zero() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    for surplus in [0, 1, 7, 8, 9] {
        dut.host.put_words(driver.buffer, &[0; 70]);
        for (last, status) in [(0, Status::OK), (1, Status::EINVAL)] {
            if surplus > 0 {
                dut.host.write(driver.buffer + 511 + surplus, &[last]);
            }
            let submission = Submission {
                buffer: driver.buffer,
                buffer_length: 512 + surplus as u32,
                ..driver.submission(Opcode::VLAN_SET)
            };
            let completion = driver.raw(&mut dut, &submission.to_words());
            let expected = if surplus == 0 { Status::OK } else { status };
            assert_eq!(completion.status, expected, "{surplus} {last}");
        }
    }
    let submission = Submission {
        buffer: driver.buffer,
        buffer_length: 12,
        ..driver.submission(Opcode::MAC_LIST)
    };
    let completion = driver.raw(&mut dut, &submission.to_words());
    assert_eq!(why(&completion), (Status::EINVAL, Qualifier::BUFFER, 16));
}

#[test]
fn vlans_0_and_4095_are_not_in_any_set() {
    let mut dut = Device::new(1, 0);
    let mut port = Port::new(&mut dut, PF);
    let filter = vport_flags::VLAN_FILTER;
    port.driver.flags(&mut dut, 0, filter, filter);
    let plain = frame(port.mac, [2, 0xaa, 0, 0, 0, 1], 60);
    for (set, passed) in [([0u64; 64], vec![0]), ([u64::MAX; 64], vec![0, 1, 4094])] {
        port.driver
            .request_ok(&mut dut, Opcode::VLAN_SET, 0, 0, &set);
        for vid in [0, 1, 4094, 4095] {
            dut.receive(0, &tagged(&plain, 0x8100, 0xe000 | vid));
            let received = port.rx.take(&mut dut).len();
            assert_eq!(received, usize::from(passed.contains(&vid)), "VLAN {vid}");
        }
    }
}
