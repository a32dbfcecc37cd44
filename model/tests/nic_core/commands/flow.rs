// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A good command of each kind that the flow engine has.

use oxnic_abi::command::{Opcode, Submission};
use oxnic_abi::eswitch::{EswitchConfig, EswitchMode};
use oxnic_abi::flow::action::{FlowAction, FlowActionKind};
use oxnic_abi::flow::counter::CounterMemory;
use oxnic_abi::flow::encap::EncapSet;
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::info::{FlowInfoGet, FlowObject};
use oxnic_abi::flow::meter::{MeterSet, MeterUnit};
use oxnic_abi::flow::port::{FlowDirection, PortTable};
use oxnic_abi::flow::queue::FlowQueueCreate;
use oxnic_abi::flow::table::{NO_TABLE, TableSet};
use oxnic_abi::flow::template::{ConditionKind, FlowCondition, TemplateSet};
use oxnic_abi::flow::tunnel::{TunnelKind, TunnelPort, tunnel_flags};
use oxnic_abi::flow::{FlowId, flow_set};
use oxnic_abi::queue::{CqCreate, QueueId};

type Command = (Submission, Vec<u64>, usize);
/// From opcode, parameters, buffer, and words of the answer.
type Make<'a> = &'a dyn Fn(Opcode, [u64; 5], &[u64], usize) -> Command;

/// Commands that succeed one after the other in legacy mode, and leave nothing behind. The completion queue is not there yet; the
/// memory is a page of the driver's.
pub fn good(cq: CqCreate, memory: u64) -> Vec<Command> {
    let with = |opcode, parameters, request: &[u64], answer| {
        let submission = Submission {
            opcode,
            parameters,
            ..Submission::ZERO
        };
        (submission, request.to_vec(), answer)
    };
    let plain = |opcode, parameters| with(opcode, parameters, &[], 0);
    let mode = |mode| plain(Opcode::ESWITCH_SET, EswitchConfig { mode }.to_words());
    let destroy = |opcode| plain(opcode, FlowId { id: 3 }.to_words());
    let mut commands = vec![
        mode(EswitchMode::SWITCHDEV),
        plain(Opcode::CQ_CREATE, cq.to_words()),
    ];
    commands.extend(objects(&with));
    commands.extend([
        with(Opcode::COUNTER_MEMORY, memory_of(), &[memory], 0),
        plain(
            Opcode::FLOW_QUEUE_CREATE,
            FlowQueueCreate {
                id: 3,
                cq: cq.id,
                log2: cq.log2,
                address: cq.address,
            }
            .to_words(),
        ),
        plain(
            Opcode::FLOW_INFO,
            FlowInfoGet {
                kind: FlowObject::RULE,
            }
            .to_words(),
        ),
        with(Opcode::FLOW_STATS, [0; 5], &[], 12),
        with(Opcode::METER_QUERY, FlowId { id: 3 }.to_words(), &[], 4),
        plain(Opcode::FLOW_QUEUE_DESTROY, QueueId { id: 3 }.to_words()),
        with(Opcode::COUNTER_MEMORY, memory_of(), &[0], 0),
        destroy(Opcode::TABLE_DESTROY),
        destroy(Opcode::MATCH_TEMPLATE_DESTROY),
        destroy(Opcode::ACTION_TEMPLATE_DESTROY),
        destroy(Opcode::ENCAP_DESTROY),
        destroy(Opcode::METER_DESTROY),
        plain(Opcode::TUNNEL_PORT, tunnel(0).to_words()),
        mode(EswitchMode::LEGACY),
    ]);
    commands
}

fn memory_of() -> [u64; 5] {
    CounterMemory {
        first: 0,
        count: 128,
        period: 10,
    }
    .to_words()
}

fn tunnel(flags: u16) -> TunnelPort {
    TunnelPort {
        kind: TunnelKind::VXLAN,
        port: [0x12, 0xb5],
        flags,
    }
}

fn objects(with: Make<'_>) -> Vec<Command> {
    let flags = flow_set::CREATE;
    let table = TableSet {
        id: 3,
        flags,
        ..TableSet::ZERO
    };
    let template = TemplateSet {
        id: 3,
        count: 1,
        options: 0,
    };
    let mut mask = [0; 16];
    mask[..2].fill(0xff);
    let condition = FlowCondition {
        field: FlowField::ETH_TYPE,
        kind: ConditionKind::MASK,
        mask,
        ..FlowCondition::ZERO
    };
    let action = FlowAction {
        kind: FlowActionKind::DROP,
        ..FlowAction::ZERO
    };
    let meter = MeterSet {
        id: 3,
        flags,
        unit: MeterUnit::PACKETS,
        rate: 5,
        burst: 9,
        mtu: 1514,
    };
    let port = PortTable {
        port: 1,
        direction: FlowDirection::EGRESS,
        table: NO_TABLE,
    };
    // Ethernet, IPv4 without options, UDP to 4789, VXLAN with the I flag.
    let headers = [
        0x0000_0100_0000_0002,
        0x0045_0008_0000_0002,
        0x1140_0040_0000_0000,
        0xc000_0102_00c0_0000,
        0x0000_0000_0202_00c0,
        0x0000_0008_0000_b512,
        0x0000_0000_0000_0000,
    ];
    let encap = EncapSet {
        id: 3,
        flags,
        length: 50,
        network: 14,
        transport: 34,
        kind: TunnelKind::VXLAN,
        ..EncapSet::ZERO
    };
    vec![
        with(Opcode::TABLE_SET, table.to_words(), &[], 0),
        with(Opcode::PORT_TABLE, port.to_words(), &[], 0),
        with(
            Opcode::MATCH_TEMPLATE_SET,
            template.to_words(),
            &condition.to_words(),
            0,
        ),
        with(
            Opcode::ACTION_TEMPLATE_SET,
            template.to_words(),
            &action.to_words(),
            0,
        ),
        with(Opcode::ENCAP_SET, encap.to_words(), &headers, 0),
        with(Opcode::METER_SET, meter.to_words(), &[], 0),
        with(
            Opcode::TUNNEL_PORT,
            tunnel(tunnel_flags::ON).to_words(),
            &[],
            0,
        ),
    ]
}
