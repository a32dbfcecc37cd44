// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The input is frames that come in at wire ports whose tables have rules with every field, every action and every tunnel. Most of the
//! frames start with headers that are right, since else hardly any tunnel would be one.

use crate::host::{Bench, FREE};
use arbitrary::{Arbitrary, Unstructured};
use oxnic_abi::command::{Opcode, Submission};
use oxnic_abi::doorbell::DoorbellKind;
use oxnic_abi::eswitch::{EswitchConfig, EswitchMode};
use oxnic_abi::flow::action::{
    FlowAction, FlowActionKind as Kind, FlowHeader, FlowVerdict, NO_ENCAP, action_flags,
    decap_flags, flow_checksum,
};
use oxnic_abi::flow::encap::{EncapSet, encap_flags};
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::flow_set;
use oxnic_abi::flow::meter::{MeterSet, MeterUnit};
use oxnic_abi::flow::port::{FlowDirection, PortTable};
use oxnic_abi::flow::queue::FlowQueueCreate;
use oxnic_abi::flow::request::{FlowOp, FlowRequest};
use oxnic_abi::flow::table::{TableMiss, TableSet, TableView};
use oxnic_abi::flow::template::{ConditionKind, FlowCondition, TemplateSet};
use oxnic_abi::flow::tunnel::{TunnelKind, TunnelPort, tunnel_flags};
use oxnic_abi::queue::CqCreate;
use oxnic_model::host::{Function, NicCore};

/// Where the ring of the flow queue is.
const RING: u64 = FREE + 0x1_8000;
/// Where its results go.
const CQ: u64 = RING + 0x1000;
/// Ports of the eswitch.
const WIRES: [u16; 2] = [1, 2];

#[derive(Arbitrary, Debug)]
struct Input {
    port: bool,
    /// What stands before the data.
    start: Start,
    data: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Start {
    Nothing,
    Ethernet { tags: u8, kind: Type },
    Tunnel { v6: bool, kind: Tunnel },
}

#[derive(Arbitrary, Debug)]
enum Type {
    Ipv4,
    Ipv6,
    Arp,
    Any(u16),
}

#[derive(Arbitrary, Debug)]
enum Tunnel {
    Vxlan { group: u16 },
    Geneve { options: u8 },
    Gretap { flags: u8 },
}

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut bench = bench();
    while let Ok(step) = Input::arbitrary(&mut input) {
        let bytes = [head(&step.start, step.data.len()), step.data].concat();
        let port = u8::from(step.port);
        bench.nic.wire_receive(&mut bench.host, port, &bytes);
        bench.run();
        if input.is_empty() {
            break;
        }
    }
}

fn head(start: &Start, payload: usize) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    match start {
        Start::Nothing => return Vec::new(),
        Start::Ethernet { tags, kind } => {
            for tag in 0..tags % 4 {
                bytes.extend(if tag % 2 == 0 {
                    [0x81, 0]
                } else {
                    [0x88, 0xa8]
                });
                bytes.extend([0x20, tag]);
            }
            bytes.extend(match kind {
                Type::Ipv4 => [8, 0],
                Type::Ipv6 => [0x86, 0xdd],
                Type::Arp => [8, 6],
                Type::Any(kind) => kind.to_be_bytes(),
            });
        }
        Start::Tunnel { v6, kind } => {
            let inner = tunnel(kind, payload);
            let protocol = match kind {
                Tunnel::Gretap { .. } => 47,
                _ => 17,
            };
            bytes.extend(outer(*v6, protocol, inner.len() + payload));
            bytes.extend(inner);
        }
    }
    bytes
}

/// A frame in VXLAN over IPv4.
pub fn vxlan(within: &[u8]) -> Vec<u8> {
    let kind = Tunnel::Vxlan { group: 0 };
    let start = Start::Tunnel { v6: false, kind };
    [head(&start, within.len()), within.to_vec()].concat()
}

/// Type and IP header of so many bytes.
fn outer(v6: bool, protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    if v6 {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        bytes.extend((length as u16).to_be_bytes());
        bytes.extend([protocol, 64]);
        bytes.extend([0xfd; 32]);
        return bytes;
    }
    let mut header = vec![0x45, 1];
    header.extend((20 + length as u16).to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    let words = header.chunks_exact(2);
    let sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend([8, 0]);
    bytes.extend(header);
    bytes
}

/// Headers of a tunnel around so many bytes.
fn tunnel(kind: &Tunnel, payload: usize) -> Vec<u8> {
    let (port, mut own) = match kind {
        Tunnel::Vxlan { group } => {
            let [high, low] = group.to_be_bytes();
            ([0x12, 0xb5], vec![8 | (high & 0x80), 0, 0, low, 0, 0, 7, 0])
        }
        Tunnel::Geneve { options } => {
            let count = options % 5;
            let mut own = vec![count, 0, 0x65, 0x58, 0, 0, 7, 0];
            own.extend(vec![*options; usize::from(count) * 4]);
            ([0x17, 0xc1], own)
        }
        Tunnel::Gretap { flags } => {
            // Key and sequence number, as bits say.
            let mut own = vec![(flags & 3) << 4, 0, 0x65, 0x58];
            own.extend(vec![9; (flags & 3).count_ones() as usize * 4]);
            return own;
        }
    };
    let mut bytes = vec![0x99, 0x99];
    bytes.extend(port);
    bytes.extend(((8 + own.len() + payload) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.append(&mut own);
    bytes
}

/// A PF in switchdev mode with tables, rules and tunnels: what a wire receives is looked at as tunnelled, and then as it is.
pub fn bench() -> Bench {
    let mut driver = Driver {
        bench: Bench::new(),
        id: 0,
    };
    let mode = EswitchMode::SWITCHDEV;
    driver.send(Opcode::ESWITCH_SET, EswitchConfig { mode }.to_words(), &[]);
    let table = |id, view, next| TableSet {
        id,
        flags: flow_set::CREATE,
        view,
        miss: match next {
            0 => TableMiss::DEFAULT,
            _ => TableMiss::TABLE,
        },
        miss_table: next,
        cookie: id,
    };
    for set in [
        table(2, TableView::PACKET, 0),
        table(1, TableView::TUNNEL, 2),
        table(0, TableView::PACKET, 1),
    ] {
        driver.send(Opcode::TABLE_SET, set.to_words(), &[]);
    }
    driver.objects();
    driver.templates();
    driver.rules();
    for (port, direction, table) in [
        (WIRES[0], FlowDirection::INGRESS, 0),
        (WIRES[0], FlowDirection::EGRESS, 2),
        (WIRES[1], FlowDirection::INGRESS, 2),
    ] {
        let set = PortTable {
            port,
            direction,
            table,
        };
        driver.send(Opcode::PORT_TABLE, set.to_words(), &[]);
    }
    driver.bench
}

struct Driver {
    bench: Bench,
    id: u16,
}

impl Driver {
    fn send(&mut self, opcode: Opcode, parameters: [u64; 5], request: &[u8]) {
        self.id += 1;
        self.bench.host.put(FREE, request);
        let submission = Submission {
            opcode,
            id: self.id,
            buffer: if request.is_empty() { 0 } else { FREE },
            buffer_length: request.len() as u32,
            parameters,
            ..Submission::ZERO
        };
        self.bench
            .submit(Function::Pf, &bytes(&submission.to_words()));
    }

    /// Tunnels, a meter, headers.
    fn objects(&mut self) {
        for (kind, port) in [
            (TunnelKind::VXLAN, [0x12, 0xb5]),
            (TunnelKind::GENEVE, [0x17, 0xc1]),
            (TunnelKind::GRETAP, [0, 0]),
        ] {
            let flags = match kind {
                TunnelKind::VXLAN => tunnel_flags::ALL,
                TunnelKind::GENEVE => tunnel_flags::ON | tunnel_flags::ZERO_CHECKSUM_V6,
                _ => tunnel_flags::ON,
            };
            let set = TunnelPort { kind, port, flags };
            self.send(Opcode::TUNNEL_PORT, set.to_words(), &[]);
        }
        let meter = MeterSet {
            id: 0,
            flags: flow_set::CREATE,
            unit: MeterUnit::BYTES,
            rate: 1_000_000,
            burst: 1_000_000,
            mtu: 1000,
        };
        self.send(Opcode::METER_SET, meter.to_words(), &[]);
        let headers = [
            vec![2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 4],
            outer(false, 17, 0),
            tunnel(&Tunnel::Vxlan { group: 0 }, 0),
        ]
        .concat();
        let encap = EncapSet {
            id: 0,
            flags: flow_set::CREATE,
            options: encap_flags::ALL,
            length: headers.len() as u16,
            network: 14,
            transport: 34,
            kind: TunnelKind::VXLAN,
            port_min: 0xc000,
            port_max: 0xffff,
        };
        self.send(Opcode::ENCAP_SET, encap.to_words(), &headers);
    }

    /// Match templates 0, for every frame, and 1, with every field; action templates 0 and 1, see below.
    fn templates(&mut self) {
        self.send(Opcode::MATCH_TEMPLATE_SET, [0; 5], &[]);
        let fields = FlowField::ALL.iter().filter(|field| field.width() != 0);
        let mut list: Vec<FlowCondition> = fields
            .map(|field| {
                let mut mask = [0; 16];
                // The last bit of each field.
                mask[field.width() - 1] = 1;
                FlowCondition {
                    field: *field,
                    kind: ConditionKind::MASK,
                    mask,
                    ..FlowCondition::ZERO
                }
            })
            .collect();
        list.push(FlowCondition {
            field: FlowField::ENC_OPTIONS,
            kind: ConditionKind::OPTIONS,
            length: 8,
            ..FlowCondition::ZERO
        });
        let set = TemplateSet {
            id: 1,
            count: list.len() as u16,
            options: 8,
        };
        let mut request: Vec<u8> = list
            .iter()
            .flat_map(|condition| bytes(&condition.to_words()))
            .collect();
        request.extend([0xff; 8]);
        self.send(Opcode::MATCH_TEMPLATE_SET, set.to_words(), &request);
        for (id, list) in [(0, opens()), (1, changes())] {
            let set = TemplateSet {
                id,
                count: list.len() as u16,
                options: 0,
            };
            let request: Vec<u8> = list
                .iter()
                .flat_map(|action| bytes(&action.to_words()))
                .collect();
            self.send(Opcode::ACTION_TEMPLATE_SET, set.to_words(), &request);
        }
    }

    /// A rule for everything in tables 1 and 2; in both before it one that looks at every field.
    fn rules(&mut self) {
        let cq = CqCreate {
            vector: 1,
            log2: 5,
            entry: 16,
            address: CQ,
            ..CqCreate::ZERO
        };
        self.send(Opcode::CQ_CREATE, cq.to_words(), &[]);
        let queue = FlowQueueCreate {
            log2: 5,
            address: RING,
            ..FlowQueueCreate::ZERO
        };
        self.send(Opcode::FLOW_QUEUE_CREATE, queue.to_words(), &[]);
        let width: usize = FlowField::ALL.iter().map(|field| field.width()).sum();
        let key = (width + 8) as u16;
        let mut slot = 0u64;
        for (rule, table, match_template) in [(0, 1, 1), (1, 1, 0), (2, 2, 1), (3, 2, 0)] {
            let key_length = key * match_template as u16;
            let slots = (40 + usize::from(key_length)).div_ceil(64);
            let request = FlowRequest {
                op: FlowOp::ADD,
                slots: slots as u8,
                rule,
                table,
                priority: rule,
                match_template,
                action_template: table - 1,
                key_length,
                ..FlowRequest::ZERO
            };
            self.bench
                .host
                .put(RING + slot * 64, &bytes(&request.to_words()));
            slot += slots as u64;
        }
        self.bench
            .doorbell(Function::Pf, DoorbellKind::FLOW, 0, slot as u32);
        self.bench.run();
    }
}

/// Out of the tunnel, and on to the rules for what was within.
fn opens() -> Vec<FlowAction> {
    vec![
        with(Kind::COUNT, [0; 4]),
        with(Kind::DECAP, [decap_flags::ECN, 0, 0, 0]),
        with(Kind::GOTO, [2, 0, 0, 0]),
    ]
}

/// Every action that changes a frame; copies with and without headers; and out of the other wire.
fn changes() -> Vec<FlowAction> {
    let tag = |kind, operands| FlowAction {
        choice: [0x88, 0xa8],
        ..with(kind, operands)
    };
    let mut list = vec![
        FlowAction {
            choice: [FlowVerdict::PIPE.0, FlowVerdict::SKIP.0],
            ..with(Kind::METER, [0, 0, 2, 0])
        },
        with(Kind::COUNT, [1, 0, 0, 0]),
        tag(Kind::VLAN_PUSH, [0x6007, 0, 0, 0]),
        tag(Kind::VLAN_MODIFY, [9, 0xe000, 0, 0]),
    ];
    for header in FlowHeader::ALL {
        for (edit, offset) in [(0, 0), (1, header.length() - 4)] {
            let start = offset / 4 * 4;
            list.push(FlowAction {
                choice: [header.0, edit],
                flags: if edit == 1 {
                    action_flags::CONTINUED
                } else {
                    0
                },
                ..with(Kind::EDIT, [start, 0xff00_00ff, 0x0012_3400, 0])
            });
        }
    }
    list.extend([
        with(Kind::MARK, [5, 0, 0, 0]),
        with(Kind::PRIORITY, [5, 0, 0, 0]),
        with(Kind::SAMPLE, [2, 50, 6, 0]),
        with(Kind::MIRROR, [2, 0, 0, 0]),
        with(Kind::MIRROR, [1, NO_ENCAP, 0, 0]),
        with(Kind::CSUM, [flow_checksum::ALL, 0, 0, 0]),
        with(Kind::VLAN_POP, [0; 4]),
        with(Kind::VLAN_POP, [0; 4]),
        with(Kind::DECAP, [decap_flags::FORGET, 0, 0, 0]),
        with(Kind::REDIRECT, [2, NO_ENCAP, 0, 0]),
    ]);
    list
}

fn with(kind: Kind, operands: [u32; 4]) -> FlowAction {
    FlowAction {
        kind,
        operands,
        ..FlowAction::ZERO
    }
}

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
