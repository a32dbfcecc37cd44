// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about VFs, and what a VF is refused.

use super::{PF, good, run, why};
use crate::mock::Device;
use crate::mock::Driver;
use oxnic_abi::caps::privilege;
use oxnic_abi::command::{Opcode, Qualifier, Status, Submission};
use oxnic_abi::vf::{VfConfig, VfLink, VfRange, vf_fields};
use oxnic_abi::vport::{VportConfig, vport_fields, vport_flags};
use oxnic_model::host::Function;

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
            Opcode::ESWITCH_SET,
            Opcode::ESWITCH_QUERY,
            Opcode::PORT_SET,
            Opcode::PORT_STATS,
            Opcode::PORT_IDENTIFY,
            Opcode::PORT_MODULE,
            Opcode::VF_ENABLE,
            Opcode::VF_DISABLE,
            Opcode::VF_SET,
            Opcode::VF_QUERY,
            Opcode::VF_STATS,
            Opcode::RATE_SET,
            Opcode::RATE_DESTROY,
            Opcode::CLOCK_SET,
            Opcode::SENSORS,
        ];
        let flow = (0x60..0x90).contains(&opcode.0);
        let offset = if flow || pf_only.contains(&opcode) {
            0
        } else {
            6
        };
        let change = |words: &mut [u64; 8]| words[0] = words[0] & !(0xffff << 48) | (2 << 48);
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
