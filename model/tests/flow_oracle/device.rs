// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The device's side: rules become objects by the plan of `oxnic_offload`, frames go through the engine.

use crate::fields::device_ports;
use crate::oracle::{Event, PORT, UP, Why};
use oxnic_abi::flow::action::FlowAction;
use oxnic_abi::flow::flow_set::CREATE;
use oxnic_abi::flow::meter::MeterSet;
use oxnic_abi::flow::port::{FlowDirection, PortTable};
use oxnic_abi::flow::request::FlowRequest;
use oxnic_abi::flow::table::{TableMiss, TableSet, TableView};
use oxnic_abi::flow::template::FlowCondition;
use oxnic_model::nic::flow::{Engine, Outcome, To, Up, run};
use oxnic_offload::plan::{
    ActionSpace, ConditionSpace, Context, Counts, Destinations, Need, Order, Place, Reach, Slot,
    Target, TunnelDevice, lower, meters, order, pack,
};
use oxnic_offload::reject::Reject;
use oxnic_offload::rule::police::Rate;
use oxnic_offload::rule::{Chain, Key, Police, Port, Rule};
use std::collections::HashMap;

/// Chains that there are; each is a table of the same number.
pub const CHAINS: u32 = 4;

struct Ports;

impl Destinations for Ports {
    fn target(&self, port: Port) -> Option<Target> {
        Some(Target::Port(port.0 as u16))
    }

    fn table(&self, chain: Chain) -> Option<u32> {
        (chain.0 < CHAINS).then_some(chain.0)
    }
}

/// What the driver would keep of a rule.
struct Kept {
    order: (u32, u32),
    slot: usize,
    /// Counters: action of tc, id.
    counters: Vec<((usize, Counts), u32)>,
}

/// The device with a driver's books.
pub struct Device<'r> {
    pub engine: Engine,
    pub context: Context<'static>,
    outcome: Outcome,
    orders: HashMap<(u32, u32), Vec<Slot>>,
    masks: Vec<Key<'r>>,
    match_templates: HashMap<String, u32>,
    action_templates: HashMap<String, u32>,
    rules: HashMap<u64, Kept>,
    counters: u32,
}

impl<'r> Device<'r> {
    /// With a table for each chain. Of a tunnel device's chains, the first one is where an uplink's table misses to.
    pub fn new(tunnel: Option<TunnelDevice>) -> Self {
        let mut engine = Engine::default();
        let caps = Box::leak(Box::new(*engine.capability()));
        for port in device_ports(true) {
            engine.set_tunnel_port(&port).unwrap();
        }
        let mut table = |id, view, miss, miss_table, cookie| {
            let set = TableSet {
                id,
                flags: CREATE,
                view,
                miss,
                miss_table,
                cookie,
            };
            engine.set_table(&set).unwrap();
        };
        let view = match tunnel {
            Some(_) => TableView::TUNNEL,
            None => TableView::PACKET,
        };
        for chain in 0..CHAINS {
            table(chain, view, TableMiss::DEFAULT, 0, chain + 1);
        }
        table(CHAINS, TableView::PACKET, TableMiss::TABLE, 0, 0);
        let bind = PortTable {
            port: PORT,
            direction: FlowDirection::INGRESS,
            table: if tunnel.is_some() { CHAINS } else { 0 },
        };
        engine.set_port_table(&bind).unwrap();
        Self {
            engine,
            context: Context {
                device: caps,
                software: oxnic_offload::plan::Software {
                    restores_chain: true,
                    skips_tc: true,
                },
                tunnel,
                upper: None,
                egress: false,
                skip_sw: true,
                statistics: oxnic_offload::plan::Statistics::Actions,
            },
            outcome: Outcome::default(),
            orders: HashMap::new(),
            masks: Vec::new(),
            match_templates: HashMap::new(),
            action_templates: HashMap::new(),
            rules: HashMap::new(),
            counters: 0,
        }
    }

    /// Makes a policer's meter.
    pub fn meter(&mut self, police: &Police) {
        let (rate, burst) = match police.rate {
            Rate::None => (0, 0),
            Rate::Bytes { rate, burst } | Rate::Packets { rate, burst } => (rate, burst),
        };
        let set = MeterSet {
            id: police.index,
            flags: CREATE,
            unit: meters::unit(police.rate),
            rate,
            burst,
            mtu: police.mtu,
        };
        self.engine.set_meter(&set, 0).unwrap();
    }

    /// A rule's place among those of its priority, as a driver finds it.
    fn enter(&mut self, rule: &Rule<'r>) -> Result<Place, Reject> {
        let known = self.masks.iter().position(|key| key.has_mask_of(&rule.key));
        let mask = known.unwrap_or_else(|| {
            self.masks.push(rule.key);
            self.masks.len() - 1
        });
        let slots = self
            .orders
            .entry((rule.chain.0, rule.priority))
            .or_insert_with(|| vec![Slot::default(); 64]);
        let ranges = order::Ranges {
            src: rule.key.src_range,
            dst: rule.key.dst_range,
        };
        Order::new(rule.priority, slots)?.enter(mask as u32, ranges, false)
    }

    /// Adds a rule.
    pub fn add(&mut self, rule: &Rule<'r>) -> Result<(), Reject> {
        let mut conditions = [FlowCondition::ZERO; 64];
        let (mut masks, mut key) = ([0; 252], [0; 512]);
        let space = ConditionSpace {
            conditions: &mut conditions,
            masks: &mut masks,
            key: &mut key,
        };
        let packed = pack(rule, &self.context, &Ports, Reach::Exact, space)?;
        let mut list = [FlowAction::ZERO; 96];
        let mut arguments = [0; 512];
        let mut needs = [Need::BLANK; 96];
        let space = ActionSpace {
            list: &mut list,
            arguments: &mut arguments,
            needs: &mut needs,
        };
        let actions = lower(rule, &self.context, &Ports, space)?;
        let place = self.enter(rule)?;
        let mut arguments = actions.arguments.to_vec();
        let mut counters = Vec::new();
        for need in actions.needs {
            let id = match need {
                Need::Counter { action, counts, .. } => {
                    counters.push(((usize::from(*action), *counts), self.counters));
                    self.counters += 1;
                    self.counters - 1
                }
                Need::Meter { police, .. } => police.index,
                Need::Sampler { group, .. } => *group,
                Need::Encap { .. } => unreachable!("no rule is about a tunnel device's port"),
            };
            assert!(need.fill(&mut arguments, &[id]));
        }
        let templates = &mut self.match_templates;
        let next = templates.len() as u32;
        let name = format!("{:?}{:?}", packed.conditions, packed.masks);
        let match_template = *templates.entry(name).or_insert_with(|| {
            let made = self
                .engine
                .set_match_template(next, packed.conditions, packed.masks);
            made.unwrap();
            next
        });
        let templates = &mut self.action_templates;
        let next = templates.len() as u32;
        let name = format!("{:?}", actions.list);
        let action_template = *templates.entry(name).or_insert_with(|| {
            let made = self.engine.set_action_template(next, actions.list);
            made.unwrap();
            next
        });
        let request = FlowRequest {
            rule: rule.cookie.0 as u32,
            table: rule.chain.0,
            priority: place.priority,
            match_template,
            action_template,
            cookie: rule.cookie.0 as u32 + 1,
            ..FlowRequest::ZERO
        };
        self.engine
            .add_rule(&request, packed.key, &arguments)
            .unwrap();
        let kept = Kept {
            order: (rule.chain.0, rule.priority),
            slot: place.slot,
            counters,
        };
        self.rules.insert(rule.cookie.0, kept);
        Ok(())
    }

    /// Takes a rule out; its counters stay.
    pub fn remove(&mut self, cookie: u64) {
        self.engine.delete_rule(cookie as u32).unwrap();
        let kept = &self.rules[&cookie];
        let (_, priority) = kept.order;
        let slots = self.orders.get_mut(&kept.order).unwrap();
        Order::new(priority, slots).unwrap().leave(kept.slot);
    }

    /// Takes a frame through the rules.
    pub fn play(&mut self, frame: &[u8], now: u64) -> Vec<Event> {
        let world = run::World {
            now,
            uptime: 1,
            is_up: &|port| port <= UP,
        };
        let seen = self.engine.run(&world, PORT, frame, &mut self.outcome);
        if !seen {
            return Vec::new();
        }
        let event = |sent: &oxnic_model::nic::flow::Sent| {
            let bytes = sent.bytes.clone();
            match sent.to {
                To::Out(port) => Event::Out(port, bytes),
                To::Up(port, up) if port != PORT => {
                    assert_eq!(up, Up::Plain);
                    Event::In(port, bytes)
                }
                To::Up(_, Up::Sample(name, _)) => Event::Sample(name, bytes),
                To::Up(_, Up::Miss(cookie)) => Event::Up(Why::Miss(cookie - 1), bytes),
                To::Up(_, Up::Mark(mark)) => Event::Up(Why::Rule(mark), bytes),
                // A rule's cookie, or a mark of zero.
                To::Up(_, Up::Rule(_) | Up::Plain) => Event::Up(Why::Rule(0), bytes),
            }
        };
        self.outcome.sent.iter().map(event).collect()
    }

    /// What each counter has: rule, action and what of it is counted, packets, bytes.
    pub fn counts(&self) -> Vec<(u64, (usize, Counts), u64, u64)> {
        let of = |(cookie, kept): (&u64, &Kept)| {
            let (cookie, counters) = (*cookie, kept.counters.clone());
            counters.into_iter().map(move |(action, id)| {
                let value = self.engine.counters.value(id);
                (cookie, action, value.packets, value.bytes)
            })
        };
        self.rules.iter().flat_map(of).collect()
    }
}
