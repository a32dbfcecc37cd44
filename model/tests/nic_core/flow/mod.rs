// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The flow engine as a driver reaches it: commands, flow queues, counters in memory. What rules do with frames is tested
//! elsewhere.

mod counters;
mod frames;
mod hostile;
mod objects;
mod operator;
mod requests;
mod sending;
mod states;
mod tunnels;

use crate::mock::{Device, Driver, FlowQueue};
use oxnic_abi::command::{Completion, Opcode, Qualifier, Status, Submission};
use oxnic_abi::eswitch::{EswitchConfig, EswitchMode};
use oxnic_abi::flow::action::{FlowAction, FlowActionKind, action_flags};
use oxnic_abi::flow::counter::CounterMemory;
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::info::{FlowInfo, FlowInfoGet, FlowObject};
use oxnic_abi::flow::request::{FlowOp, FlowRequest};
use oxnic_abi::flow::table::TableSet;
use oxnic_abi::flow::template::{ConditionKind, FlowCondition, TemplateSet};
use oxnic_abi::flow::{FlowId, flow_set};
use oxnic_model::host::Function;

const PF: Function = Function::Pf;
/// A multiple of this is what a request's status, qualifier and offset are.
type Why = (Status, Qualifier, u16);
const OK: Why = (Status::OK, Qualifier::NONE, 0);

fn why(completion: &Completion) -> Why {
    (completion.status, completion.qualifier, completion.offset)
}

/// A PF in switchdev mode.
struct Bench {
    dut: Device,
    pf: Driver,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self::legacy();
        assert_eq!(bench.mode(EswitchMode::SWITCHDEV), OK);
        bench
    }

    fn legacy() -> Self {
        let mut dut = Device::with_memory(2, 4, 32 << 20);
        let pf = Driver::new(&mut dut, PF);
        Self { dut, pf }
    }

    fn mode(&mut self, mode: EswitchMode) -> Why {
        self.set(Opcode::ESWITCH_SET, EswitchConfig { mode }.to_words())
    }

    fn set(&mut self, opcode: Opcode, parameters: [u64; 5]) -> Why {
        why(&self.pf.set(&mut self.dut, opcode, 0, parameters))
    }

    fn send(&mut self, opcode: Opcode, parameters: [u64; 5], request: &[u64]) -> Why {
        let submission = Submission {
            parameters,
            ..self.pf.submission(opcode)
        };
        why(&self.pf.run(&mut self.dut, submission, request))
    }

    fn destroy(&mut self, opcode: Opcode, id: u32) -> Why {
        self.set(opcode, FlowId { id }.to_words())
    }

    fn table(&mut self, set: TableSet) -> Why {
        self.set(Opcode::TABLE_SET, set.to_words())
    }

    /// Makes a plain table.
    fn make_table(&mut self, id: u32) {
        let flags = flow_set::CREATE;
        assert_eq!(
            self.table(TableSet {
                id,
                flags,
                ..TableSet::ZERO
            }),
            OK
        );
    }

    fn match_template(&mut self, id: u32, conditions: &[FlowCondition]) -> Why {
        let request: Vec<u64> = conditions.iter().flat_map(|c| c.to_words()).collect();
        let set = TemplateSet {
            id,
            count: conditions.len() as u16,
            options: 0,
        };
        self.send(Opcode::MATCH_TEMPLATE_SET, set.to_words(), &request)
    }

    fn action_template(&mut self, id: u32, actions: &[FlowAction]) -> Why {
        let request: Vec<u64> = actions.iter().flat_map(|a| a.to_words()).collect();
        let set = TemplateSet {
            id,
            count: actions.len() as u16,
            options: 0,
        };
        self.send(Opcode::ACTION_TEMPLATE_SET, set.to_words(), &request)
    }

    fn info(&mut self, kind: FlowObject) -> FlowInfo {
        let words = FlowInfoGet { kind }.to_words();
        let completion = self.pf.set(&mut self.dut, Opcode::FLOW_INFO, 0, words);
        assert_eq!(why(&completion), OK);
        FlowInfo::from_words(&completion.result)
    }

    /// How many there are of each kind of object.
    fn used(&mut self) -> Vec<(&'static str, u32)> {
        let kinds = FlowObject::ALL.iter();
        kinds
            .map(|kind| (kind.text(), self.info(*kind).used))
            .collect()
    }

    fn counter_memory(&mut self, first: u32, period: u16, pages: &[u64]) -> Why {
        let set = CounterMemory {
            first,
            count: pages.len() as u32 * 128,
            period,
        };
        self.send(Opcode::COUNTER_MEMORY, set.to_words(), pages)
    }

    /// A flow queue; and table 1, match template 2 (type and destination port), action template 3 (a counter of the rule's, drop).
    fn with_rules(&mut self) -> FlowQueue {
        self.make_table(1);
        let conditions = [
            exact(FlowField::ETH_TYPE, &[0xff, 0xff]),
            exact(FlowField::DST_PORT, &[0xff, 0xf0]),
        ];
        assert_eq!(self.match_template(2, &conditions), OK);
        assert_eq!(
            self.action_template(3, &[count(), action(FlowActionKind::DROP)]),
            OK
        );
        FlowQueue::new(&mut self.dut, &mut self.pf, 0, 20, 5)
    }
}

fn exact(field: FlowField, mask: &[u8]) -> FlowCondition {
    let mut condition = FlowCondition {
        field,
        kind: ConditionKind::MASK,
        ..FlowCondition::ZERO
    };
    condition.mask[..mask.len()].copy_from_slice(mask);
    condition
}

fn action(kind: FlowActionKind) -> FlowAction {
    FlowAction {
        kind,
        ..FlowAction::ZERO
    }
}

/// Counts, with a counter of the rule's.
fn count() -> FlowAction {
    FlowAction {
        flags: action_flags::ARGUMENT,
        ..action(FlowActionKind::COUNT)
    }
}

/// The key of a rule of [`Bench::with_rules`].
const KEY: [u8; 4] = [8, 0, 0x12, 0x30];

/// A rule for the objects of [`Bench::with_rules`].
fn rule(rule: u32) -> FlowRequest {
    FlowRequest {
        op: FlowOp::ADD,
        rule,
        table: 1,
        priority: 0x1_0000,
        match_template: 2,
        action_template: 3,
        cookie: 99,
        ..FlowRequest::ZERO
    }
}

fn delete(rule: u32) -> FlowRequest {
    FlowRequest {
        op: FlowOp::DELETE,
        rule,
        ..FlowRequest::ZERO
    }
}
