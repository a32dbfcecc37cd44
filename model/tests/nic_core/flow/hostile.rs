// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands, requests and frames in any order, most of them nearly right: nothing panics, and references add up, since in the end
//! everything can be taken apart again.

use super::{Bench, OK, PF, delete};
use crate::mock::FlowQueue;
use oxnic_abi::command::{Opcode, Status};
use oxnic_abi::eswitch::EswitchMode;
use oxnic_abi::flow::action::{FlowAction, FlowActionKind, NO_ENCAP, action_flags};
use oxnic_abi::flow::encap::EncapSet;
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::flow_set;
use oxnic_abi::flow::info::FlowObject;
use oxnic_abi::flow::meter::{MeterSet, MeterUnit};
use oxnic_abi::flow::port::{FlowDirection, PortTable};
use oxnic_abi::flow::request::{FlowOp, FlowRequest};
use oxnic_abi::flow::table::{NO_TABLE, TableMiss, TableSet, TableView};
use oxnic_abi::flow::template::{ConditionKind, FlowCondition};
use oxnic_abi::flow::tunnel::{TunnelKind, TunnelPort};
use oxnic_abi::queue::QueueId;
use oxnic_model::host::NicCore;
use proptest::prelude::*;
use std::collections::HashMap;

/// Ids that are used of each kind.
const IDS: u32 = 4;
/// Ids of rules that are used.
const RULES: u32 = 12;
/// Ports of the eswitch: the wires, the PF's, two VFs', no port.
const PORTS: [u16; 6] = [1, 2, 0x10, 0x100, 0x101, 0x999];
/// UDP ports that may carry tunnels.
const TUNNELS: [[u8; 2]; 3] = [[0x12, 0xb5], [0x17, 0xc1], [0, 0]];

#[derive(Clone, Debug)]
enum Step {
    Table(TableSet),
    Bind(PortTable),
    Match(u32, Vec<FlowCondition>),
    Actions(u32, Vec<FlowAction>),
    Encap(EncapSet),
    Meter(MeterSet),
    Tunnel(TunnelPort),
    Destroy(Opcode, u32),
    Counters(bool),
    Request(FlowRequest, Vec<u8>, bool),
    Frame(u8, Vec<u8>),
    Raw(Vec<u8>),
    Mode(u16),
    Time(u64),
}

fn id() -> impl Strategy<Value = u32> {
    prop_oneof![12 => 0..IDS, 1 => any::<u32>()]
}

fn table() -> impl Strategy<Value = TableSet> {
    let kind = prop_oneof![3 => Just(1u16), 2 => Just(0), 1 => any::<u16>()];
    (id(), kind, 0u8..3, 0u8..5, id(), any::<u32>()).prop_map(
        |(id, flags, view, miss, miss_table, cookie)| TableSet {
            id,
            flags,
            view: TableView(view),
            miss: TableMiss(miss),
            miss_table: if miss == 1 { miss_table } else { 0 },
            cookie,
        },
    )
}

fn condition() -> impl Strategy<Value = FlowCondition> {
    (0u16..48, 1u8..5, any::<bool>()).prop_map(|(field, kind, all)| {
        let field = FlowField(field);
        let mut mask = [0; 16];
        let bits = field.bits();
        for (at, byte) in mask.iter_mut().take(field.width()).enumerate() {
            let first = at == 0 && bits % 8 != 0;
            *byte = if first { (1 << (bits % 8)) - 1 } else { 0xff };
        }
        match ConditionKind(kind) {
            ConditionKind::RANGE => FlowCondition {
                field: FlowField::DST_PORT,
                kind: ConditionKind::RANGE,
                minimum: 1,
                maximum: if all { 0xffff } else { 9 },
                ..FlowCondition::ZERO
            },
            kind => FlowCondition {
                field,
                kind: if all { ConditionKind::MASK } else { kind },
                mask,
                ..FlowCondition::ZERO
            },
        }
    })
}

fn action() -> impl Strategy<Value = FlowAction> {
    let operand = || prop_oneof![8 => 0..IDS, 1 => Just(NO_ENCAP), 1 => any::<u32>()];
    let operands = [operand(), operand(), operand(), operand()];
    (0u16..21, 0u16..3, 0u16..4, any::<[bool; 2]>(), operands).prop_map(
        |(kind, flags, argument, choice, mut operands)| {
            let kind = FlowActionKind(kind);
            let (first, count) = kind.arguments();
            let own = flags & action_flags::ARGUMENT != 0;
            // What has no meaning is zero, so that most are taken.
            let used = match kind {
                FlowActionKind::METER | FlowActionKind::EDIT | FlowActionKind::SAMPLE => 3,
                FlowActionKind::MIRROR | FlowActionKind::REDIRECT | FlowActionKind::VLAN_MODIFY => {
                    2
                }
                _ => usize::from(count != 0),
            };
            for (at, operand) in operands.iter_mut().enumerate() {
                let idle = at >= used || own && (first..first + count).contains(&at);
                *operand = if idle { 0 } else { *operand };
            }
            let choice = match kind {
                FlowActionKind::VLAN_PUSH | FlowActionKind::VLAN_MODIFY => [0x81, 0],
                _ => choice.map(u8::from),
            };
            FlowAction {
                kind,
                flags,
                argument: if own { argument * 4 } else { 0 },
                choice,
                operands,
            }
        },
    )
}

fn request() -> impl Strategy<Value = FlowRequest> {
    let ids = (0..RULES, id(), id(), id());
    let op = prop_oneof![8 => Just(1u8), 3 => Just(2), 3 => Just(3), 2 => Just(4), 1 => Just(5), 1 => any::<u8>()];
    (op, ids, 0u32..3, any::<u32>()).prop_map(
        |(op, (rule, table, match_template, action_template), priority, cookie)| {
            let op = FlowOp(op);
            let of = |used: bool, value| if used { value } else { 0 };
            let add = op == FlowOp::ADD;
            let actions = add || op == FlowOp::UPDATE;
            let counts = op == FlowOp::COUNTER || op == FlowOp::COUNTER_WRITE;
            FlowRequest {
                op,
                rule: of(!counts, rule),
                table: of(add, table),
                priority: of(add, priority << 16),
                match_template: of(add, match_template),
                action_template: of(actions, action_template),
                cookie: of(actions || op == FlowOp::COUNTER, cookie),
                counter: of(counts, match_template),
                ..FlowRequest::ZERO
            }
        },
    )
}

/// Frames that rules may take: IPv4 with UDP, to ports of tunnels too; and any bytes.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let udp = (
        0usize..3,
        any::<[u8; 8]>(),
        proptest::collection::vec(any::<u8>(), 0..120),
    );
    let udp = udp.prop_map(|(port, head, payload)| {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        bytes.extend((28 + payload.len() as u16).to_be_bytes());
        bytes.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        bytes.extend(head);
        bytes.extend([7, 7]);
        bytes.extend(TUNNELS[port]);
        bytes.extend((8 + payload.len() as u16).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(payload);
        bytes
    });
    prop_oneof![3 => udp, 1 => proptest::collection::vec(any::<u8>(), 0..100)]
}

fn step() -> impl Strategy<Value = Step> {
    let bind = (
        0..PORTS.len(),
        0u8..2,
        prop_oneof![3 => 0..IDS, 1 => Just(NO_TABLE)],
    );
    let encap = (id(), 0u16..2, 0u8..5);
    let meter = (id(), 0u16..2, 0u8..3, any::<u32>());
    let tunnel = (0u8..4, 0..TUNNELS.len(), 0u16..8);
    let destroy = prop_oneof![
        Just(Opcode::TABLE_DESTROY),
        Just(Opcode::MATCH_TEMPLATE_DESTROY),
        Just(Opcode::ACTION_TEMPLATE_DESTROY),
        Just(Opcode::ENCAP_DESTROY),
        Just(Opcode::METER_DESTROY),
    ];
    prop_oneof![
        6 => table().prop_map(Step::Table),
        4 => bind.prop_map(|(port, direction, table)| Step::Bind(PortTable {
            port: PORTS[port],
            direction: FlowDirection(direction),
            table,
        })),
        5 => (id(), proptest::collection::vec(condition(), 0..4)).prop_map(|(id, list)| Step::Match(id, list)),
        6 => (id(), proptest::collection::vec(action(), 0..4)).prop_map(|(id, list)| Step::Actions(id, list)),
        2 => encap.prop_map(|(id, flags, kind)| Step::Encap(EncapSet {
            id,
            flags,
            kind: TunnelKind(kind),
            ..EncapSet::ZERO
        })),
        2 => meter.prop_map(|(id, flags, unit, rate)| Step::Meter(MeterSet {
            id,
            flags,
            unit: MeterUnit(unit),
            rate: if unit == 0 { 0 } else { rate.into() },
            burst: if unit == 0 { 0 } else { 1_000_000 },
            mtu: 1514,
        })),
        2 => tunnel.prop_map(|(kind, port, flags)| Step::Tunnel(TunnelPort {
            kind: TunnelKind(kind),
            port: TUNNELS[port],
            flags,
        })),
        2 => (destroy, id()).prop_map(|(opcode, id)| Step::Destroy(opcode, id)),
        1 => any::<bool>().prop_map(Step::Counters),
        24 => (request(), proptest::collection::vec(any::<u8>(), 0..80), prop_oneof![5 => Just(true), 1 => Just(false)])
            .prop_map(|(request, bytes, right)| Step::Request(request, bytes, right)),
        6 => (0u8..2, frame()).prop_map(|(port, bytes)| Step::Frame(port, bytes)),
        1 => proptest::collection::vec(any::<u8>(), 64..65).prop_map(Step::Raw),
        1 => (0u16..3).prop_map(Step::Mode),
        2 => (0u64..50_000_000).prop_map(Step::Time),
    ]
}

/// What the driver knows: how long keys and arguments of templates are.
#[derive(Default)]
struct Widths {
    keys: HashMap<u32, usize>,
    arguments: HashMap<u32, usize>,
}

struct Run {
    bench: Bench,
    queue: FlowQueue,
    page: u64,
    widths: Widths,
    rules: u32,
}

impl Run {
    /// A queue, and objects that rules can name: tables in a row, a meter, headers that are not ready; templates with and without
    /// arguments.
    fn new() -> Self {
        let mut bench = Bench::new();
        let queue = FlowQueue::new(&mut bench.dut, &mut bench.pf, 0, 20, 8);
        let page = bench.dut.host.allocate(4096);
        let mut run = Self {
            bench,
            queue,
            page,
            widths: Widths::default(),
            rules: 0,
        };
        let create = flow_set::CREATE;
        for id in 0..IDS {
            run.bench.make_table(id);
            run.bench.table(TableSet {
                id,
                miss: TableMiss::TABLE,
                miss_table: (id + 1) % IDS,
                ..TableSet::ZERO
            });
        }
        let argument = |kind, argument| FlowAction {
            flags: action_flags::ARGUMENT,
            argument,
            ..super::action(kind)
        };
        let sends = argument(FlowActionKind::MIRROR, 4);
        let lists = [
            vec![super::count(), super::action(FlowActionKind::DROP)],
            vec![super::count(), argument(FlowActionKind::GOTO, 0)],
            vec![super::count(), sends, argument(FlowActionKind::METER, 0)],
        ];
        for step in [
            Step::Encap(EncapSet {
                id: 1,
                flags: create,
                kind: TunnelKind::VXLAN,
                ..EncapSet::ZERO
            }),
            Step::Meter(MeterSet {
                id: 1,
                flags: create,
                ..MeterSet::ZERO
            }),
            Step::Match(0, Vec::new()),
            Step::Match(1, vec![super::exact(FlowField::IP_PROTO, &[0xff])]),
            Step::Bind(PortTable {
                port: PORTS[0],
                direction: FlowDirection::INGRESS,
                table: 0,
            }),
        ] {
            run.apply(step);
        }
        for (id, list) in (0..).zip(lists) {
            run.apply(Step::Actions(id, list));
        }
        run
    }

    fn apply(&mut self, step: Step) {
        let bench = &mut self.bench;
        match step {
            Step::Table(set) => {
                bench.table(set);
            }
            Step::Bind(set) => {
                bench.set(Opcode::PORT_TABLE, set.to_words());
            }
            Step::Match(id, conditions) => {
                if bench.match_template(id, &conditions) == OK {
                    let masks = conditions
                        .iter()
                        .filter(|condition| condition.kind == ConditionKind::MASK);
                    let width = masks.map(|condition| condition.field.width()).sum();
                    self.widths.keys.insert(id, width);
                }
            }
            Step::Actions(id, actions) => {
                if bench.action_template(id, &actions) == OK {
                    let own = actions
                        .iter()
                        .filter(|action| action.flags & action_flags::ARGUMENT != 0);
                    let ends = own
                        .map(|action| usize::from(action.argument) + 4 * action.kind.arguments().1);
                    self.widths.arguments.insert(id, ends.max().unwrap_or(0));
                }
            }
            Step::Encap(set) => {
                bench.send(Opcode::ENCAP_SET, set.to_words(), &[]);
            }
            Step::Meter(set) => {
                bench.set(Opcode::METER_SET, set.to_words());
            }
            Step::Tunnel(set) => {
                bench.set(Opcode::TUNNEL_PORT, set.to_words());
            }
            Step::Destroy(opcode, id) => {
                bench.destroy(opcode, id);
            }
            Step::Counters(on) => {
                let page = if on { self.page } else { 0 };
                bench.counter_memory(0, 10, &[page]);
            }
            Step::Request(request, bytes, right) => self.request(request, &bytes, right),
            Step::Frame(port, bytes) => bench.dut.receive(port, &bytes),
            Step::Raw(mut bytes) => {
                bytes[1] = 1;
                self.queue.raw(&mut bench.dut, &bytes);
            }
            Step::Mode(mode) => {
                // LEGACY is refused while there is anything, and the queue is.
                let answer = bench.mode(EswitchMode(mode));
                assert_eq!(answer == OK, mode != EswitchMode::LEGACY.0);
            }
            Step::Time(time) => bench.dut.advance(time),
        }
    }

    /// Sends a request with the bytes as key and arguments, cut to what the templates want if it is to be right.
    fn request(&mut self, request: FlowRequest, bytes: &[u8], right: bool) {
        let width = |widths: &HashMap<u32, usize>, id, uses: bool| match (right, uses) {
            (_, false) => 0,
            (true, _) => widths.get(&id).copied().unwrap_or(0),
            (false, _) => bytes.len() / 2,
        };
        let adds = request.op == FlowOp::ADD;
        let acts = adds || request.op == FlowOp::UPDATE;
        let key = width(&self.widths.keys, request.match_template, adds);
        let arguments = width(&self.widths.arguments, request.action_template, acts);
        // Zeros are in every mask, and small numbers name objects.
        let key: Vec<u8> = vec![0; key];
        let small = |at: usize| match at % 4 {
            0 => bytes.get(at).map_or(0, |byte| byte % IDS as u8),
            _ => 0,
        };
        let arguments: Vec<u8> = (0..arguments).map(small).collect();
        let before = self.bench.info(FlowObject::RULE).used;
        let (status, ..) = self
            .queue
            .run(&mut self.bench.dut, request, &key, &arguments);
        let done = status == Status::OK;
        let grows = u32::from(done && request.op == FlowOp::ADD);
        let shrinks = u32::from(done && request.op == FlowOp::DELETE);
        let after = self.bench.info(FlowObject::RULE).used;
        assert_eq!(after, before + grows - shrinks);
        self.rules += grows;
    }

    /// Takes everything apart, as a driver that knows all ids.
    fn take_apart(&mut self) {
        for rule in 0..RULES {
            self.queue.run(&mut self.bench.dut, delete(rule), &[], &[]);
        }
        let bench = &mut self.bench;
        for port in PORTS {
            for direction in [FlowDirection::EGRESS, FlowDirection::INGRESS] {
                let table = NO_TABLE;
                let set = PortTable {
                    port,
                    direction,
                    table,
                };
                bench.set(Opcode::PORT_TABLE, set.to_words());
            }
        }
        for id in 0..IDS {
            bench.destroy(Opcode::ACTION_TEMPLATE_DESTROY, id);
            bench.destroy(Opcode::MATCH_TEMPLATE_DESTROY, id);
            for view in [TableView::PACKET, TableView::TUNNEL] {
                bench.table(TableSet {
                    id,
                    view,
                    ..TableSet::ZERO
                });
            }
        }
        for id in 0..IDS {
            bench.destroy(Opcode::TABLE_DESTROY, id);
            bench.destroy(Opcode::ENCAP_DESTROY, id);
            bench.destroy(Opcode::METER_DESTROY, id);
        }
        for port in TUNNELS {
            for kind in [TunnelKind::VXLAN, TunnelKind::GENEVE, TunnelKind::GRETAP] {
                let flags = 0;
                bench.set(
                    Opcode::TUNNEL_PORT,
                    TunnelPort { kind, port, flags }.to_words(),
                );
            }
        }
        bench.counter_memory(0, 10, &[0]);
        let id = QueueId { id: self.queue.id }.to_words();
        assert_eq!(bench.set(Opcode::FLOW_QUEUE_DESTROY, id), OK);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn anything_is_survived_and_can_be_taken_apart(steps in proptest::collection::vec(step(), 1..150)) {
        let mut run = Run::new();
        for step in steps {
            run.apply(step);
        }
        run.take_apart();
        let left = run.bench.used();
        prop_assert!(left.iter().all(|(_, used)| *used == 0), "{left:?}");
        prop_assert_eq!(run.bench.mode(EswitchMode::LEGACY), OK);
    }

    #[test]
    fn a_reset_in_the_middle_leaves_nothing(steps in proptest::collection::vec(step(), 1..80)) {
        let mut run = Run::new();
        for step in steps {
            run.apply(step);
        }
        run.bench.dut.nic.function_reset(&mut run.bench.dut.host, PF);
        run.bench.dut.nic.set_bus_master(PF, true);
        run.bench.dut.host.writable = Some(Vec::new());
        run.bench.dut.advance(100_000_000);
        run.bench.dut.host.writable = None;
        run.bench.pf = crate::mock::Driver::new(&mut run.bench.dut, PF);
        prop_assert!(run.bench.used().iter().all(|(_, used)| *used == 0));
    }
}
