// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Objects that commands make: limits, ids, references, what a value may be; each refusal with the place of what is wrong.

use super::{Bench, OK, Why, action, count, exact};
use crate::mock::Driver;
use oxnic_abi::caps::{CapGet, CapabilityId, NicCaps, features};
use oxnic_abi::command::{Opcode, Qualifier, Status, Submission};
use oxnic_abi::flow::action::{FlowAction, FlowActionKind, NO_ENCAP, action_flags};
use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::encap::{EncapSet, encap_flags};
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::info::{FlowInfoGet, FlowObject};
use oxnic_abi::flow::meter::{MeterSet, MeterStats, MeterUnit};
use oxnic_abi::flow::port::{FlowDirection, PortTable};
use oxnic_abi::flow::table::{NO_TABLE, TableMiss, TableSet, TableView};
use oxnic_abi::flow::template::{ConditionKind, FlowCondition, TemplateSet};
use oxnic_abi::flow::tunnel::{TunnelKind, TunnelPort, tunnel_flags};
use oxnic_abi::flow::{FlowId, flow_set};
use oxnic_model::host::Function;

/// What is made wrong of a condition.
type Change = &'static dyn Fn(&mut FlowCondition);

const MISSING: Why = (Status::ENOENT, Qualifier::OBJECT, 24);
const BUSY: Why = (Status::EBUSY, Qualifier::REFERENCED, 24);
const EXISTS: Why = (Status::EEXIST, Qualifier::CONFLICT, 24);

fn capability(bench: &mut Bench) -> FlowCaps {
    let get = Submission {
        parameters: CapGet {
            id: CapabilityId::FLOW,
        }
        .to_words(),
        ..bench.pf.submission(Opcode::CAP_GET)
    };
    FlowCaps::from_words(&bench.pf.query(&mut bench.dut, get).unwrap())
}

fn field(offset: u16) -> Why {
    (Status::EINVAL, Qualifier::FIELD, offset)
}

fn limit(offset: u16) -> Why {
    (Status::EINVAL, Qualifier::LIMIT, offset)
}

fn missing(offset: u16) -> Why {
    (Status::ENOENT, Qualifier::OBJECT, offset)
}

fn reserved(offset: u16) -> Why {
    (Status::EINVAL, Qualifier::RESERVED, offset)
}

fn conflict(offset: u16) -> Why {
    (Status::EINVAL, Qualifier::CONFLICT, offset)
}

#[test]
fn a_pf_alone_has_the_engine() {
    let mut bench = Bench::new();
    let caps = capability(&mut bench);
    assert!(caps.rules >= 1_000_000 && caps.counters % 128 == 0);
    let nic = |bench: &mut Bench, driver: &mut Driver| {
        let id = CapabilityId::NIC;
        let get = Submission {
            parameters: CapGet { id }.to_words(),
            ..driver.submission(Opcode::CAP_GET)
        };
        NicCaps::from_words(&driver.query(&mut bench.dut, get).unwrap())
    };
    bench.pf.enable_vfs(&mut bench.dut, 1);
    let mut vf = Driver::new(&mut bench.dut, Function::Vf(0));
    assert_eq!(nic(&mut bench, &mut vf).features & features::FLOW, 0);
    let mut pf = std::mem::replace(&mut bench.pf, vf);
    let whole = nic(&mut bench, &mut pf);
    assert_ne!(whole.features & features::FLOW, 0);
    let others = whole.tx_queues + whole.rx_queues;
    assert!(whole.completion_queues >= others + caps.queues);
    std::mem::swap(&mut bench.pf, &mut pf);
    let mut vf = pf;
    let get = Submission {
        parameters: CapGet {
            id: CapabilityId::FLOW,
        }
        .to_words(),
        ..vf.submission(Opcode::CAP_GET)
    };
    let refused = vf.query::<27>(&mut bench.dut, get).unwrap_err();
    assert_eq!(super::why(&refused), MISSING);
    for opcode in Opcode::ALL.iter().filter(|op| (0x60..0x90).contains(&op.0)) {
        let refused = vf.set(&mut bench.dut, *opcode, 0, [0; 5]);
        let denied = (Status::EPERM, Qualifier::PRIVILEGE, 0);
        assert_eq!(super::why(&refused), denied, "{}", opcode.text());
    }
}

#[test]
fn tables_are_made_changed_and_go() {
    let mut bench = Bench::new();
    let most = capability(&mut bench).tables;
    let create = TableSet {
        id: 5,
        flags: flow_set::CREATE,
        cookie: 7,
        ..TableSet::ZERO
    };
    let set = |change: &dyn Fn(&mut TableSet)| {
        let mut set = create;
        change(&mut set);
        set
    };
    assert_eq!(bench.table(set(&|t| t.flags = 0)), MISSING);
    assert_eq!(bench.table(set(&|t| t.id = most)), limit(24));
    assert_eq!(bench.table(set(&|t| t.flags |= 2)), reserved(28));
    assert_eq!(bench.table(set(&|t| t.view = TableView(2))), field(30));
    assert_eq!(bench.table(set(&|t| t.miss = TableMiss(4))), field(31));
    assert_eq!(bench.table(set(&|t| t.miss_table = 1)), field(32));
    let to = |id, flags, miss_table| TableSet {
        id,
        flags,
        miss: TableMiss::TABLE,
        miss_table,
        ..TableSet::ZERO
    };
    assert_eq!(bench.table(to(5, flow_set::CREATE, 6)), missing(32));
    assert_eq!(bench.info(FlowObject::TABLE).used, 0);
    assert_eq!(bench.table(create), OK);
    assert_eq!(bench.table(create), EXISTS);
    let other_view = set(&|t| {
        t.flags = 0;
        t.view = TableView::TUNNEL;
    });
    assert_eq!(bench.table(other_view), conflict(30));
    // A table that a miss leads to stays, until the miss leads elsewhere.
    bench.make_table(most - 1);
    assert_eq!(bench.table(to(most - 1, 0, 5)), OK);
    assert_eq!(bench.destroy(Opcode::TABLE_DESTROY, 5), BUSY);
    assert_eq!(
        bench.table(set(&|t| {
            t.id = most - 1;
            t.flags = 0;
        })),
        OK
    );
    assert_eq!(bench.destroy(Opcode::TABLE_DESTROY, 5), OK);
    assert_eq!(bench.destroy(Opcode::TABLE_DESTROY, 5), MISSING);
    let info = bench.info(FlowObject::TABLE);
    assert_eq!((info.size, info.used, info.high_water), (most, 1, 2));
}

#[test]
fn ports_that_have_tables_are_wires_and_vfs() {
    let mut bench = Bench::new();
    let ports = bench.pf.submission(Opcode::ESWITCH_PORTS);
    let words: [u64; 8] = bench.pf.query(&mut bench.dut, ports).unwrap();
    let [wire, pf] = [words[0] as u16, words[4] as u16];
    let info = bench.pf.info(&mut bench.dut, 0);
    assert_eq!(info.eswitch_port, pf);
    bench.make_table(1);
    let tunnel = TableSet {
        id: 2,
        flags: flow_set::CREATE,
        view: TableView::TUNNEL,
        ..TableSet::ZERO
    };
    assert_eq!(bench.table(tunnel), OK);
    let bind = |bench: &mut Bench, port, direction, table| {
        let set = PortTable {
            port,
            direction,
            table,
        };
        bench.set(Opcode::PORT_TABLE, set.to_words())
    };
    let (egress, ingress) = (FlowDirection::EGRESS, FlowDirection::INGRESS);
    assert_eq!(bind(&mut bench, 0x7777, ingress, 1), missing(24));
    assert_eq!(bind(&mut bench, pf, ingress, 1), field(24));
    assert_eq!(bind(&mut bench, wire, FlowDirection(2), 1), field(26));
    assert_eq!(bind(&mut bench, wire, ingress, 3), missing(28));
    assert_eq!(bind(&mut bench, wire, ingress, 2), conflict(28));
    assert_eq!(bind(&mut bench, wire, ingress, 1), OK);
    assert_eq!(bind(&mut bench, wire, egress, 1), OK);
    assert_eq!(bind(&mut bench, wire, egress, NO_TABLE), OK);
    assert_eq!(bench.destroy(Opcode::TABLE_DESTROY, 1), BUSY);
    assert_eq!(bind(&mut bench, wire, ingress, NO_TABLE), OK);
    assert_eq!(bind(&mut bench, wire, ingress, NO_TABLE), OK);
    assert_eq!(bench.destroy(Opcode::TABLE_DESTROY, 1), OK);
}

#[test]
fn conditions_of_match_templates_are_checked_one_by_one() {
    let mut bench = Bench::new();
    let caps = capability(&mut bench);
    let good = exact(FlowField::IPV4_DST, &[255; 4]);
    let bad = |change: &dyn Fn(&mut FlowCondition)| {
        let mut condition = good;
        change(&mut condition);
        [exact(FlowField::ETH_TYPE, &[255; 2]), condition]
    };
    // The second condition starts at 64 + 32.
    let unsupported = |byte: u16| (Status::EOPNOTSUPP, Qualifier::UNSUPPORTED, 96 + byte);
    let cases: [(Change, Why); 10] = [
        (&|c| c.field = FlowField(60), field(96)),
        (&|c| c.field = FlowField(999), field(96)),
        (&|c| c.field = FlowField::ETH_TYPE, conflict(96)),
        (&|c| c.kind = ConditionKind(0), field(96 + 2)),
        (&|c| c.kind = ConditionKind::RANGE, unsupported(0)),
        (&|c| c.offset = 4, field(96 + 4)),
        (&|c| c.maximum = 4, field(96 + 10)),
        (&|c| c.mask[4] = 1, field(96 + 20)),
        (
            &|c| {
                c.field = FlowField::VLAN_ID;
                c.mask = [0; 16];
                c.mask[0] = 0x1f;
            },
            field(96 + 16),
        ),
        (
            &|c| {
                *c = FlowCondition {
                    field: FlowField::DST_PORT,
                    kind: ConditionKind::RANGE,
                    minimum: 5,
                    maximum: 4,
                    ..FlowCondition::ZERO
                }
            },
            field(96 + 8),
        ),
    ];
    for (number, (change, expected)) in cases.iter().enumerate() {
        assert_eq!(
            bench.match_template(1, &bad(change)),
            *expected,
            "case {number}"
        );
    }
    let many = vec![good; usize::from(caps.conditions_max) + 1];
    assert_eq!(bench.match_template(1, &many), limit(28));
    assert_eq!(
        bench.match_template(caps.match_templates, &[good]),
        limit(24)
    );
    assert_eq!(bench.info(FlowObject::MATCH_TEMPLATE).high_water, 0);
    assert_eq!(bench.match_template(1, &bad(&|_| {})), OK);
    assert_eq!(bench.match_template(1, &[]), EXISTS);
    assert_eq!(bench.match_template(2, &[]), OK);
    assert_eq!(bench.destroy(Opcode::MATCH_TEMPLATE_DESTROY, 1), OK);
    assert_eq!(bench.destroy(Opcode::MATCH_TEMPLATE_DESTROY, 1), MISSING);
}

#[test]
fn masks_of_options_stand_behind_the_conditions() {
    let mut bench = Bench::new();
    let options = |offset, length| FlowCondition {
        field: FlowField::ENC_OPTIONS,
        kind: ConditionKind::OPTIONS,
        offset,
        length,
        ..FlowCondition::ZERO
    };
    let send = |bench: &mut Bench, condition: FlowCondition, length, masks: &[u64]| {
        let set = TemplateSet {
            id: 1,
            count: 1,
            options: length,
        };
        let request = [&condition.to_words(), masks].concat();
        bench.send(Opcode::MATCH_TEMPLATE_SET, set.to_words(), &request)
    };
    let most = capability(&mut bench).options_max;
    let short = (Status::EINVAL, Qualifier::BUFFER, 16);
    assert_eq!(send(&mut bench, options(0, 8), 8, &[]), short);
    assert_eq!(
        send(&mut bench, options(0, 8), most + 4, &[0; 64]),
        limit(30)
    );
    // What follows the masks is zero: byte 4 of them does not.
    assert_eq!(
        send(&mut bench, options(0, 4), 4, &[1 << 32]),
        reserved(64 + 32 + 4)
    );
    assert_eq!(
        send(&mut bench, options(4, 8), 8, &[u64::MAX]).0,
        Status::EINVAL
    );
    assert_eq!(
        send(&mut bench, options(0, 3), 8, &[u64::MAX]).0,
        Status::EINVAL
    );
    assert_eq!(send(&mut bench, options(0, 8), 8, &[u64::MAX]), OK);
}

#[test]
fn actions_are_checked_one_by_one_and_hold_what_they_name() {
    let mut bench = Bench::new();
    let caps = capability(&mut bench);
    let after = |action: FlowAction| [count(), action];
    let unsupported = |byte: u16| (Status::EOPNOTSUPP, Qualifier::UNSUPPORTED, 64 + 24 + byte);
    let with = |kind, operand| FlowAction {
        operands: [operand, 0, 0, 0],
        ..action(kind)
    };
    let cases = [
        (action(FlowActionKind(0)), field(88)),
        (action(FlowActionKind(63)), field(88)),
        (
            FlowAction {
                flags: 4,
                ..action(FlowActionKind::DROP)
            },
            field(88 + 2),
        ),
        (
            FlowAction {
                flags: action_flags::ARGUMENT,
                ..action(FlowActionKind::DROP)
            },
            field(88 + 2),
        ),
        (
            FlowAction {
                argument: 2,
                ..count()
            },
            field(88 + 4),
        ),
        (
            FlowAction {
                argument: caps.arguments_max,
                ..count()
            },
            limit(88 + 4),
        ),
        (with(FlowActionKind::GOTO, 4), missing(88 + 8)),
        (with(FlowActionKind::METER, 4), missing(88 + 8)),
        (with(FlowActionKind::COUNT, caps.counters), missing(88 + 8)),
        (with(FlowActionKind::MIRROR, 1), missing(88 + 12)),
        (with(FlowActionKind::DROP, 1), field(88 + 8)),
        (with(FlowActionKind::CSUM, 1 << 7), unsupported(8)),
    ];
    for (number, (action, expected)) in cases.into_iter().enumerate() {
        assert_eq!(
            bench.action_template(1, &after(action)),
            expected,
            "case {number}"
        );
    }
    let set = TemplateSet {
        id: 1,
        count: 1,
        options: 0,
    };
    let surplus = [&count().to_words()[..], &[0, 1 << 8]].concat();
    assert_eq!(
        bench.send(Opcode::ACTION_TEMPLATE_SET, set.to_words(), &surplus),
        reserved(64 + 24 + 9)
    );
    assert_eq!(bench.info(FlowObject::ACTION_TEMPLATE).used, 0);
    bench.make_table(4);
    assert_eq!(
        bench.action_template(1, &after(with(FlowActionKind::GOTO, 4))),
        OK
    );
    assert_eq!(bench.destroy(Opcode::TABLE_DESTROY, 4), BUSY);
    assert_eq!(bench.destroy(Opcode::ACTION_TEMPLATE_DESTROY, 1), OK);
    assert_eq!(bench.destroy(Opcode::TABLE_DESTROY, 4), OK);
}

/// VXLAN over UDP over IPv4 without tags: 50 bytes.
fn headers() -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    bytes.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    bytes.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    bytes.extend([0, 0, 0x12, 0xb5, 0, 0, 0, 0]);
    bytes.extend([8, 0, 0, 0, 0, 0, 7, 0]);
    bytes
}

#[test]
fn headers_are_held_by_the_templates_that_name_them() {
    let mut bench = Bench::new();
    let words = |bytes: &[u8]| -> Vec<u64> {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let chunks = bytes.chunks(8);
        chunks
            .map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap()))
            .collect()
    };
    let good = EncapSet {
        id: 3,
        flags: flow_set::CREATE,
        options: encap_flags::READY | encap_flags::SOURCE_PORT,
        length: 50,
        network: 14,
        transport: 34,
        kind: TunnelKind::VXLAN,
        port_min: 0xc000,
        port_max: 0xffff,
    };
    let send = |bench: &mut Bench, change: &dyn Fn(&mut EncapSet)| {
        let mut set = good;
        change(&mut set);
        let bytes = headers();
        let own = &bytes[..bytes.len().min(usize::from(set.length))];
        bench.send(Opcode::ENCAP_SET, set.to_words(), &words(own))
    };
    let most = capability(&mut bench).encap_max;
    assert_eq!(send(&mut bench, &|e| e.flags = 0), MISSING);
    assert_eq!(send(&mut bench, &|e| e.flags |= 2), reserved(28));
    assert_eq!(send(&mut bench, &|e| e.options |= 1 << 7), reserved(30));
    assert_eq!(send(&mut bench, &|e| e.length = most + 1), limit(32));
    assert_eq!(send(&mut bench, &|e| e.network = 15), field(34));
    assert_eq!(send(&mut bench, &|e| e.transport = 35), field(36));
    assert_eq!(send(&mut bench, &|e| e.kind = TunnelKind(9)), field(38));
    assert_eq!(send(&mut bench, &|e| e.port_max = 0xbfff), field(40));
    assert_eq!(bench.info(FlowObject::ENCAP).used, 0);
    assert_eq!(send(&mut bench, &|_| {}), OK);
    assert_eq!(send(&mut bench, &|_| {}), EXISTS);
    let redirect = |encap| FlowAction {
        operands: [1, encap, 0, 0],
        ..action(FlowActionKind::REDIRECT)
    };
    assert_eq!(bench.action_template(1, &[redirect(NO_ENCAP)]), OK);
    assert_eq!(bench.action_template(2, &[redirect(3)]), OK);
    assert_eq!(bench.destroy(Opcode::ENCAP_DESTROY, 3), BUSY);
    // Its neighbour went: it stays, and is not ready.
    let gone: &dyn Fn(&mut EncapSet) = &|e| {
        e.flags = 0;
        e.options = 0;
        e.length = 0;
        e.port_min = 0;
        e.port_max = 0;
    };
    assert_eq!(send(&mut bench, gone), OK);
    assert_eq!(bench.destroy(Opcode::ACTION_TEMPLATE_DESTROY, 2), OK);
    assert_eq!(bench.destroy(Opcode::ENCAP_DESTROY, 3), OK);
}

#[test]
fn meters_and_tunnel_ports_are_checked() {
    let mut bench = Bench::new();
    let good = MeterSet {
        id: 8,
        flags: flow_set::CREATE,
        unit: MeterUnit::BYTES,
        rate: 1000,
        burst: 1_000_000,
        mtu: 1514,
    };
    let meter = |bench: &mut Bench, change: &dyn Fn(&mut MeterSet)| {
        let mut set = good;
        change(&mut set);
        bench.set(Opcode::METER_SET, set.to_words())
    };
    assert_eq!(meter(&mut bench, &|m| m.flags = 0), MISSING);
    assert_eq!(meter(&mut bench, &|m| m.flags |= 4), reserved(28));
    assert_eq!(meter(&mut bench, &|m| m.unit = MeterUnit(3)), field(30));
    assert_eq!(meter(&mut bench, &|m| m.rate = 0), field(32));
    assert_eq!(meter(&mut bench, &|_| {}), OK);
    let query = Submission {
        parameters: FlowId { id: 8 }.to_words(),
        ..bench.pf.submission(Opcode::METER_QUERY)
    };
    let stats = bench.pf.query(&mut bench.dut, query).unwrap();
    assert_eq!(MeterStats::from_words(&stats), MeterStats::ZERO);
    assert_eq!(bench.destroy(Opcode::METER_DESTROY, 8), OK);
    assert_eq!(bench.destroy(Opcode::METER_DESTROY, 8), MISSING);

    let good = TunnelPort {
        kind: TunnelKind::VXLAN,
        port: [0x12, 0xb5],
        flags: tunnel_flags::ON | tunnel_flags::GROUP_POLICY,
    };
    let tunnel = |bench: &mut Bench, change: &dyn Fn(&mut TunnelPort)| {
        let mut set = good;
        change(&mut set);
        bench.set(Opcode::TUNNEL_PORT, set.to_words())
    };
    assert_eq!(tunnel(&mut bench, &|t| t.flags |= 8), reserved(28));
    assert_eq!(tunnel(&mut bench, &|t| t.flags = 0), missing(26));
    assert_eq!(tunnel(&mut bench, &|t| t.port = [0, 0]), field(26));
    assert_eq!(
        tunnel(&mut bench, &|t| t.kind = TunnelKind::GENEVE),
        field(28)
    );
    assert_eq!(tunnel(&mut bench, &|_| {}), OK);
    let other: &dyn Fn(&mut TunnelPort) = &|t| {
        t.kind = TunnelKind::GENEVE;
        t.flags = tunnel_flags::ON;
    };
    assert_eq!(tunnel(&mut bench, other), conflict(26));
    let most = capability(&mut bench).tunnel_ports;
    for port in 1..most {
        assert_eq!(
            tunnel(&mut bench, &|t| t.port = port.to_be_bytes()),
            OK,
            "{port}"
        );
    }
    let full = (Status::ENOSPC, Qualifier::LIMIT, 26);
    assert_eq!(tunnel(&mut bench, &|t| t.port = [9, 9]), full);
    assert_eq!(tunnel(&mut bench, &|t| t.flags = 0), OK);
    assert_eq!(tunnel(&mut bench, &|t| t.port = [9, 9]), OK);
    let unknown = FlowInfoGet {
        kind: FlowObject(77),
    };
    assert_eq!(bench.set(Opcode::FLOW_INFO, unknown.to_words()), field(24));
}
