// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about rates, and what becomes of what they set.

use super::{PF, why};
use crate::mock::{Device, Driver};
use oxnic_abi::caps::{CapGet, CapabilityId};
use oxnic_abi::command::{Completion, Opcode, Qualifier, Status, Submission};
use oxnic_abi::port::PortInfo;
use oxnic_abi::rate::{RateCaps, RateConfig, RateId, RateKind, rate_fields};
use oxnic_abi::vf::{VfConfig, VfInfo, VfRange, vf_fields};
use oxnic_model::host::Function;
use serde_json::json;

fn config(kind: RateKind, number: u16) -> RateConfig {
    RateConfig {
        fields: rate_fields::ALL,
        kind,
        number,
        ..RateConfig::ZERO
    }
}

fn node(number: u16) -> RateConfig {
    config(RateKind::NODE, number)
}

fn leaf(number: u16) -> RateConfig {
    config(RateKind::LEAF, number)
}

fn set(dut: &mut Device, pf: &mut Driver, config: RateConfig) -> Completion {
    let submission = pf.submission(Opcode::RATE_SET);
    pf.run(dut, submission, &config.to_words())
}

fn set_ok(dut: &mut Device, pf: &mut Driver, config: RateConfig) {
    let done = set(dut, pf, config);
    assert_eq!(done.status, Status::OK, "{:?}", why(&done));
}

fn destroy(dut: &mut Device, pf: &mut Driver, kind: RateKind, number: u16) -> Completion {
    let id = RateId { kind, number };
    pf.set(dut, Opcode::RATE_DESTROY, 0, id.to_words())
}

fn with_vfs(vfs: u16) -> (Device, Driver) {
    let mut dut = Device::new(1, vfs);
    let mut pf = Driver::new(&mut dut, PF);
    let range = VfRange {
        first: 0,
        count: vfs,
    };
    pf.set_ok(&mut dut, Opcode::VF_ENABLE, 0, range.to_words());
    (dut, pf)
}

fn rates(dut: &mut Device) -> serde_json::Value {
    dut.control(json!({"cmd": "rates"}))
}

#[test]
fn rates_are_checked_and_a_failure_changes_nothing() {
    let (mut dut, mut pf) = with_vfs(2);
    set_ok(
        &mut dut,
        &mut pf,
        RateConfig {
            max: 1000,
            ..node(1)
        },
    );
    set_ok(
        &mut dut,
        &mut pf,
        RateConfig {
            parent: 1,
            share: 400,
            ..leaf(0)
        },
    );
    for (number, parent) in [(2, 1), (3, 2), (4, 3)] {
        set_ok(
            &mut dut,
            &mut pf,
            RateConfig {
                parent,
                ..node(number)
            },
        );
    }
    let before = rates(&mut dut);
    let field = (Status::EINVAL, Qualifier::FIELD);
    let limit = (Status::EINVAL, Qualifier::LIMIT);
    let conflict = (Status::EINVAL, Qualifier::CONFLICT);
    let none = (Status::ENOENT, Qualifier::OBJECT);
    let full = (Status::ENOSPC, Qualifier::LIMIT);
    let wrong = [
        (
            RateConfig {
                fields: 1 << 6,
                ..leaf(0)
            },
            field,
            64,
        ),
        (config(RateKind::EVERY, 0), field, 68),
        (config(RateKind(9), 0), field, 68),
        (leaf(2), none, 70),
        (node(0), limit, 70),
        (node(65), limit, 70),
        (
            RateConfig {
                parent: 65,
                ..leaf(0)
            },
            limit,
            72,
        ),
        (
            RateConfig {
                parent: 9,
                ..leaf(0)
            },
            none,
            72,
        ),
        (
            RateConfig {
                parent: 4,
                ..node(1)
            },
            conflict,
            72,
        ),
        (
            RateConfig {
                parent: 4,
                ..node(5)
            },
            full,
            72,
        ),
        (
            RateConfig {
                priority: 8,
                ..leaf(0)
            },
            limit,
            76,
        ),
        (
            RateConfig {
                share: 1 << 51,
                ..leaf(0)
            },
            limit,
            80,
        ),
        (
            RateConfig {
                share: 1 << 49,
                ..leaf(0)
            },
            full,
            80,
        ),
        (
            RateConfig {
                share: 2,
                max: 1,
                ..leaf(0)
            },
            conflict,
            80,
        ),
        (
            RateConfig {
                share: 601,
                parent: 1,
                ..leaf(1)
            },
            conflict,
            80,
        ),
        (
            RateConfig {
                max: 1 << 51,
                ..leaf(0)
            },
            limit,
            88,
        ),
        (
            RateConfig {
                max: 399,
                fields: rate_fields::MAX,
                ..node(1)
            },
            conflict,
            88,
        ),
        (
            RateConfig {
                weight: 1001,
                ..leaf(0)
            },
            limit,
            96,
        ),
        (
            RateConfig {
                classes: [0, 0, 0, 0, 0, 0, 0, 101],
                ..leaf(0)
            },
            limit,
            104,
        ),
    ];
    for (config, (status, qualifier), offset) in wrong {
        let done = set(&mut dut, &mut pf, config);
        assert_eq!(why(&done), (status, qualifier, offset), "{config:?}");
    }
    let busy = destroy(&mut dut, &mut pf, RateKind::NODE, 1);
    assert_eq!(why(&busy), (Status::EBUSY, Qualifier::REFERENCED, 26));
    for (kind, number, (status, qualifier), offset) in [
        (RateKind::NODE, 9, none, 26),
        (RateKind::NODE, 0, limit, 26),
        (RateKind::LEAF, 2, none, 26),
        (RateKind::EVERY, 1, field, 26),
        (RateKind(0), 0, field, 24),
    ] {
        let done = destroy(&mut dut, &mut pf, kind, number);
        assert_eq!(why(&done), (status, qualifier, offset), "{kind:?} {number}");
    }
    dut.control(json!({"cmd": "chaos", "spec": "nic.fail-allocation=1"}));
    let done = set(&mut dut, &mut pf, node(7));
    assert_eq!(why(&done), (Status::ENOSPC, Qualifier::INJECTED, 0));
    assert_eq!(rates(&mut dut), before);
}

/// Asks a function for the capability.
fn capability(dut: &mut Device, driver: &mut Driver) -> Result<RateCaps, Completion> {
    let get = CapGet {
        id: CapabilityId::RATE,
    };
    let submission = Submission {
        parameters: get.to_words(),
        ..driver.submission(Opcode::CAP_GET)
    };
    let words = driver.query::<{ RateCaps::WORDS }>(dut, submission)?;
    Ok(RateCaps::from_words(&words))
}

#[test]
fn a_vf_cannot_set_rates_and_finds_no_capability() {
    let mut dut = Device::new(1, 1);
    let mut pf = Driver::new(&mut dut, PF);
    pf.enable_vfs(&mut dut, 1);
    let mut vf = Driver::new(&mut dut, Function::Vf(0));
    for opcode in [Opcode::RATE_SET, Opcode::RATE_DESTROY] {
        let submission = vf.submission(opcode);
        let done = vf.run(&mut dut, submission, &[]);
        assert_eq!(why(&done), (Status::EPERM, Qualifier::PRIVILEGE, 0));
    }
    let none = capability(&mut dut, &mut vf).unwrap_err();
    assert_eq!(why(&none), (Status::ENOENT, Qualifier::OBJECT, 24));
    let caps = capability(&mut dut, &mut pf).unwrap();
    assert_eq!((caps.nodes, caps.depth), (64, 4));
    dut.control(json!({"cmd": "rates", "offered": false}));
    let none = capability(&mut dut, &mut pf).unwrap_err();
    assert_eq!(why(&none), (Status::ENOENT, Qualifier::OBJECT, 24));
}

#[test]
fn rates_of_a_vf_are_those_of_its_leaf() {
    let (mut dut, mut pf) = with_vfs(2);
    let config = VfConfig {
        fields: vf_fields::RATE,
        rate_min: 3,
        rate_max: 10,
        ..VfConfig::ZERO
    };
    pf.request_ok(&mut dut, Opcode::VF_SET, 0, 1, &config.to_words());
    let seen = rates(&mut dut);
    assert_eq!(seen["leaves"][0]["share"], 375_000);
    assert_eq!(seen["leaves"][0]["max"], 1_250_000);
    let half = RateConfig {
        fields: rate_fields::MAX,
        max: 62_500,
        ..leaf(1)
    };
    set_ok(&mut dut, &mut pf, half);
    let submission = Submission {
        function: 2,
        ..pf.submission(Opcode::VF_QUERY)
    };
    let words = pf.query::<{ VfInfo::WORDS }>(&mut dut, submission).unwrap();
    let info = VfInfo::from_words(&words);
    assert_eq!((info.rate_min, info.rate_max), (0, 1), "half a Mbit/s");
}

#[test]
fn a_vf_moves_only_to_a_wire_port_that_has_room_for_its_promise() {
    let mut dut = Device::new(2, 2);
    let mut pf = Driver::new(&mut dut, PF);
    let range = VfRange { first: 0, count: 2 };
    pf.set_ok(&mut dut, Opcode::VF_ENABLE, 0, range.to_words());
    let get = pf.submission(Opcode::PORT_QUERY);
    let info = pf.query::<{ PortInfo::WORDS }>(&mut dut, get).unwrap();
    let most = PortInfo::from_words(&info).speed / 3 * 2;
    let both = vf_fields::RATE | vf_fields::PORT;
    let mut set = |vf: u16, fields, port, rate_min| {
        let config = VfConfig {
            fields,
            port,
            rate_min,
            ..VfConfig::ZERO
        };
        let submission = Submission {
            function: vf + 1,
            ..pf.submission(Opcode::VF_SET)
        };
        why(&pf.run(&mut dut, submission, &config.to_words()))
    };
    let ok = (Status::OK, Qualifier::NONE, 0);
    let full = |offset| (Status::ENOSPC, Qualifier::LIMIT, offset);
    assert_eq!(set(0, vf_fields::RATE, 0, most), ok);
    assert_eq!(set(1, both, 1, most), ok);
    assert_eq!(set(0, vf_fields::PORT, 1, 0), full(71));
    assert_eq!(set(0, both, 1, most), full(88));
    assert_eq!(set(0, both, 1, most / 3), ok);
    assert_eq!(set(1, vf_fields::PORT, 0, 0), ok);
}

#[test]
fn leaves_go_with_vfs_and_nodes_with_the_last_reset() {
    let (mut dut, mut pf) = with_vfs(2);
    set_ok(&mut dut, &mut pf, node(3));
    for vf in 0..2 {
        set_ok(
            &mut dut,
            &mut pf,
            RateConfig {
                parent: 3,
                weight: 5,
                ..leaf(vf)
            },
        );
    }
    let range = VfRange { first: 1, count: 1 };
    pf.set_ok(&mut dut, Opcode::VF_DISABLE, 0, range.to_words());
    let seen = rates(&mut dut);
    assert_eq!(
        (&seen["leaves"][0]["parent"], &seen["leaves"][1]["parent"]),
        (&json!(3), &json!(0))
    );
    // A reset of the PF leaves VFs as they are, and what they are below.
    dut.reset(PF);
    dut.settle();
    assert_eq!(rates(&mut dut)["leaves"], seen["leaves"]);
    let mut pf = Driver::new(&mut dut, PF);
    let done = destroy(&mut dut, &mut pf, RateKind::EVERY, 0);
    assert_eq!(done.status, Status::OK);
    let seen = rates(&mut dut);
    assert_eq!(
        (&seen["nodes"], &seen["in_force"]),
        (&json!({}), &json!(false))
    );
    // FLR, and a reset without VFs, leave nothing.
    for last in [true, false] {
        set_ok(&mut dut, &mut pf, node(1));
        if last {
            dut.function_level_reset(PF);
        } else {
            dut.reset(PF);
            dut.settle();
        }
        assert_eq!(rates(&mut dut)["nodes"], json!({}));
        pf = Driver::new(&mut dut, PF);
    }
}
