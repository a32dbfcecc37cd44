// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! An engine, and short words for what a driver tells it.

use oxnic_abi::flow::action::{FlowAction, FlowActionKind as Kind, NO_ENCAP};
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::flow_set::CREATE;
use oxnic_abi::flow::port::{FlowDirection, PortTable};
use oxnic_abi::flow::request::FlowRequest;
use oxnic_abi::flow::table::{TableMiss, TableSet, TableView};
use oxnic_abi::flow::template::{ConditionKind, FlowCondition};
use oxnic_model::nic::flow::run::World;
use oxnic_model::nic::flow::{Engine, Outcome, Refused, To, Up};

/// Ports above this are down.
pub const UP: u16 = 99;

pub struct Bench {
    pub engine: Engine,
    pub outcome: Outcome,
    pub now: u64,
    templates: u32,
    rules: u32,
}

pub fn action(kind: Kind, choice: [u8; 2], operands: &[u32]) -> FlowAction {
    let mut action = FlowAction {
        kind,
        choice,
        ..FlowAction::ZERO
    };
    action.operands[..operands.len()].copy_from_slice(operands);
    action
}

pub fn count(counter: u32) -> FlowAction {
    action(Kind::COUNT, [0; 2], &[counter])
}

pub fn mirror(port: u32, direction: FlowDirection) -> FlowAction {
    action(Kind::MIRROR, [direction.0, 0], &[port, NO_ENCAP])
}

pub fn redirect(port: u32, direction: FlowDirection) -> FlowAction {
    action(Kind::REDIRECT, [direction.0, 0], &[port, NO_ENCAP])
}

pub fn out(port: u32) -> FlowAction {
    redirect(port, FlowDirection::EGRESS)
}

pub fn goto(table: u32) -> FlowAction {
    action(Kind::GOTO, [0; 2], &[table])
}

pub fn plain(kind: Kind) -> FlowAction {
    action(kind, [0; 2], &[])
}

pub fn condition(field: FlowField, mask: &[u8]) -> FlowCondition {
    let mut condition = FlowCondition {
        field,
        kind: ConditionKind::MASK,
        ..FlowCondition::ZERO
    };
    condition.mask[..mask.len()].copy_from_slice(mask);
    condition
}

pub fn table(id: u32, view: TableView, miss: TableMiss, miss_table: u32, cookie: u32) -> TableSet {
    TableSet {
        id,
        flags: CREATE,
        view,
        miss,
        miss_table,
        cookie,
    }
}

impl Bench {
    /// With table 0, that of port 1, whose cookie is 1000.
    pub fn new() -> Self {
        let mut bench = Self {
            engine: Engine::default(),
            outcome: Outcome::default(),
            now: 0,
            templates: 0,
            rules: 0,
        };
        bench.table(0);
        bench.bind(1, FlowDirection::INGRESS, 0);
        bench
    }

    /// A table that misses into DEFAULT with cookie 1000 + id.
    pub fn table(&mut self, id: u32) {
        let set = table(id, TableView::PACKET, TableMiss::DEFAULT, 0, 1000 + id);
        self.engine.set_table(&set).unwrap();
    }

    pub fn bind(&mut self, port: u16, direction: FlowDirection, table: u32) {
        let set = PortTable {
            port,
            direction,
            table,
        };
        self.engine.set_port_table(&set).unwrap();
    }

    /// Adds a rule with templates of its own; its cookie is its id plus 1.
    pub fn try_rule(
        &mut self,
        table: u32,
        priority: u32,
        conditions: &[FlowCondition],
        key: &[u8],
        actions: &[FlowAction],
    ) -> Result<u32, Refused> {
        let (template, rule) = (self.templates, self.rules);
        self.templates += 1;
        self.engine.set_match_template(template, conditions, &[])?;
        self.engine.set_action_template(template, actions)?;
        let request = FlowRequest {
            rule,
            table,
            priority,
            match_template: template,
            action_template: template,
            cookie: rule + 1,
            ..FlowRequest::ZERO
        };
        self.engine.add_rule(&request, key, &[])?;
        self.rules += 1;
        Ok(rule)
    }

    pub fn rule(&mut self, table: u32, priority: u32, actions: &[FlowAction]) -> u32 {
        self.try_rule(table, priority, &[], &[], actions).unwrap()
    }

    /// What comes of a frame at port 1.
    pub fn run(&mut self, frame: &[u8]) -> Vec<(To, Vec<u8>)> {
        self.run_at(1, frame)
    }

    pub fn run_at(&mut self, port: u16, frame: &[u8]) -> Vec<(To, Vec<u8>)> {
        let world = World {
            now: self.now,
            uptime: 7,
            is_up: &|port| port <= UP,
        };
        if !self.engine.run(&world, port, frame, &mut self.outcome) {
            return vec![(To::Up(port, Up::Plain), frame.to_vec())];
        }
        let sent = self.outcome.sent.iter();
        sent.map(|sent| (sent.to, sent.bytes.clone())).collect()
    }

    /// Where frames went.
    pub fn ways(&mut self, frame: &[u8]) -> Vec<To> {
        self.run(frame).into_iter().map(|(to, _)| to).collect()
    }

    pub fn counted(&self, counter: u32) -> (u64, u64) {
        let value = self.engine.counters.value(counter);
        (value.packets, value.bytes)
    }
}

/// A frame of UDP over IPv4 without a checksum: 14 + 20 + 8 + 18 bytes.
pub fn udp() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([
        0x45, 0, 0, 46, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ]);
    let sum = checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum);
    frame.extend([0x10, 0, 0x20, 0, 0, 26, 0, 0]);
    frame.extend([0xaa; 18]);
    frame
}

/// The checksum that makes a range right.
pub fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += (u32::from(pair[0]) << 8) | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// A frame with a tag in front.
pub fn tagged(frame: &[u8], tpid: u16, tci: u16) -> Vec<u8> {
    let tag = [tpid.to_be_bytes(), tci.to_be_bytes()].concat();
    [&frame[..12], &tag, &frame[12..]].concat()
}
