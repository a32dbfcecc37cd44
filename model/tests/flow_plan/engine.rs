// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The flow engine of the reference device as hardware for plans.

use crate::hybrid::{Around, CHAINS, Ended, Hardware, Installed, Left};
use crate::planner::VXLAN;
use crate::stage::Event;
use crate::support::udp;
use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::flow_set::CREATE;
use oxnic_abi::flow::meter::MeterSet;
use oxnic_abi::flow::port::{FlowDirection, PortTable};
use oxnic_abi::flow::request::FlowRequest;
use oxnic_abi::flow::table::{TableMiss, TableSet, TableView};
use oxnic_abi::flow::tunnel::{TunnelKind, TunnelPort, tunnel_flags};
use oxnic_model::nic::flow::{Engine, Outcome, Sent, To, Up, run};
use oxnic_offload::packet::checksum::Sum;
use oxnic_offload::packet::vxlan::Vxlan;
use oxnic_offload::packet::{Tunnel, ethernet};
use oxnic_offload::plan::chains::Miss;
use oxnic_offload::plan::{Counts, Exit, Need, meters};
use oxnic_offload::rule::Direction;
use std::collections::{HashMap, HashSet};

/// The port at which frames come in.
const PORT: u16 = 1;
/// Number of the table of chain 0.
const TABLES: u32 = 1000;

/// The device with a driver's books.
pub struct Reference {
    engine: Engine,
    outcome: Outcome,
    match_templates: HashMap<String, u32>,
    action_templates: HashMap<String, u32>,
    meters: HashSet<u32>,
    /// Rule and action of each counter.
    counters: Vec<(u64, (u8, Counts))>,
    tunnel: bool,
}

/// A table's cookie, which says where software goes on: none in the first chain.
fn cookie(miss: &Miss) -> u32 {
    match miss.exit {
        Exit::Chain(chain) => chain.0,
        Exit::Start => 0,
        Exit::Past => panic!("no miss is past tc"),
    }
}

/// The id of a template: made if there is none like it.
fn template(known: &mut HashMap<String, u32>, name: String, make: impl FnOnce(u32)) -> u32 {
    let next = known.len() as u32;
    *known.entry(name).or_insert_with(|| {
        make(next);
        next
    })
}

impl<'r> Hardware<'r> for Reference {
    fn new(around: &Around, device: &FlowCaps, misses: &[(u32, Miss)]) -> Self {
        let mut engine = Engine::new(*device);
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
        let view = match around.tunnel {
            true => TableView::TUNNEL,
            false => TableView::PACKET,
        };
        for (chain, miss) in misses {
            table(TABLES + chain, view, miss.kind, 0, cookie(miss));
        }
        let uplink = 0;
        table(uplink, TableView::PACKET, TableMiss::TABLE, TABLES, 0);
        let bind = PortTable {
            port: PORT,
            direction: FlowDirection::INGRESS,
            table: if around.tunnel { uplink } else { TABLES },
        };
        engine.set_port_table(&bind).unwrap();
        let port = TunnelPort {
            kind: TunnelKind::VXLAN,
            port: VXLAN.port.to_be_bytes(),
            flags: tunnel_flags::ON | tunnel_flags::GROUP_POLICY,
        };
        engine.set_tunnel_port(&port).unwrap();
        Self {
            engine,
            outcome: Outcome::default(),
            match_templates: HashMap::new(),
            action_templates: HashMap::new(),
            meters: HashSet::new(),
            counters: Vec::new(),
            tunnel: around.tunnel,
        }
    }

    fn install(&mut self, rule: &Installed<'r>) {
        let planned = &rule.planned;
        let mut arguments = planned.arguments.clone();
        for need in &planned.needs {
            let id = self.object(rule.cookie, need);
            assert!(need.fill(&mut arguments, &[id]));
        }
        let name = format!("{:?}{:?}", planned.conditions, planned.masks);
        let engine = &mut self.engine;
        let match_template = template(&mut self.match_templates, name, |id| {
            let made = engine.set_match_template(id, &planned.conditions, &planned.masks);
            made.unwrap();
        });
        let name = format!("{:?}", planned.list);
        let action_template = template(&mut self.action_templates, name, |id| {
            engine.set_action_template(id, &planned.list).unwrap();
        });
        let request = FlowRequest {
            rule: rule.cookie as u32,
            table: TABLES + rule.chain,
            priority: rule.priority,
            match_template,
            action_template,
            cookie: rule.cookie as u32 + 1,
            ..FlowRequest::ZERO
        };
        engine.add_rule(&request, &planned.key, &arguments).unwrap();
    }

    fn remove(&mut self, cookie: u64) {
        self.engine.delete_rule(cookie as u32).unwrap();
    }

    fn run(&mut self, frame: &[u8], note: Option<Tunnel<'_>>) -> Ended {
        let outer = match note {
            Some(note) => around_it(frame, &note),
            None => frame.to_vec(),
        };
        let before = self.values();
        let world = run::World {
            now: 0,
            uptime: 1,
            is_up: &|_| true,
        };
        assert!(self.engine.run(&world, PORT, &outer, &mut self.outcome));
        let mut events = Vec::new();
        let mut left = Left::Gone;
        for sent in &self.outcome.sent {
            match self.seen(sent, frame, &outer) {
                Ok(event) => events.push(event),
                Err(up) => left = up,
            }
        }
        let mut counts = Vec::new();
        for (counter, (old, new)) in before.into_iter().zip(self.values()).enumerate() {
            let (rule, action) = self.counters[counter];
            if new.0 > old.0 {
                assert_eq!(new.0 - old.0, 1, "a frame counts once");
                counts.push((rule, action, (new.1 - old.1) as u32));
            }
        }
        Ended {
            left,
            events,
            counts,
        }
    }
}

impl Reference {
    /// The id of what a rule needs.
    fn object(&mut self, rule: u64, need: &Need<'_>) -> u32 {
        match need {
            Need::Counter { action, counts, .. } => {
                self.counters.push((rule, (*action, *counts)));
                self.counters.len() as u32 - 1
            }
            Need::Meter { police, .. } => {
                // As many meters as there are policers; an index of all bits is one beyond.
                let id = police.index % 1000;
                if self.meters.insert(id) {
                    let set = MeterSet {
                        id,
                        flags: CREATE,
                        unit: meters::unit(police.rate),
                        mtu: police.mtu,
                        ..MeterSet::ZERO
                    };
                    self.engine.set_meter(&set, 0).unwrap();
                }
                id
            }
            Need::Sampler { group, .. } => *group,
            Need::Encap { .. } => panic!("no rule sends into a tunnel"),
        }
    }

    /// What each counter has: packets and bytes.
    fn values(&self) -> Vec<(u64, u64)> {
        let values = (0..self.counters.len()).map(|id| self.engine.counters.value(id as u32));
        values.map(|value| (value.packets, value.bytes)).collect()
    }

    /// What was sent: an event, or the frame itself on its way up.
    fn seen(&self, sent: &Sent, inner: &[u8], outer: &[u8]) -> Result<Event, Left> {
        let bytes = sent.bytes.clone();
        let up = match sent.to {
            To::Out(port) => {
                return Ok(Event::Sent(port.into(), Direction::Egress, bytes));
            }
            To::Up(port, _) if port != PORT => {
                return Ok(Event::Sent(port.into(), Direction::Ingress, bytes));
            }
            To::Up(_, Up::Sample(group, _)) => return Ok(Event::Sampled(group, bytes)),
            To::Up(_, up) => up,
        };
        // What comes out of a tunnel goes up as it came, and so is the frame within for software.
        let bytes = match self.tunnel {
            true => {
                assert_eq!(bytes, outer);
                inner.to_vec()
            }
            false => bytes,
        };
        Err(match up {
            Up::Plain if bytes == inner => Left::Rewound,
            Up::Plain => panic!("a changed frame, and nothing said with it"),
            Up::Miss(chain) => Left::Missed(chain, bytes),
            Up::Rule(rule) => Left::SentUp(u64::from(rule) - 1, bytes),
            Up::Mark(mark) => Left::Marked(mark, bytes),
            Up::Sample(..) => unreachable!(),
        })
    }
}

/// The frame in a VXLAN packet that the tunnel device would note so.
fn around_it(frame: &[u8], note: &Tunnel<'_>) -> Vec<u8> {
    let oxnic_offload::packet::Address::V4(from, to) = note.address else {
        panic!("not over IPv4")
    };
    let header = Vxlan {
        id: note.key_id,
        group: None,
    };
    let payload = [&header.bytes()[..], frame].concat();
    let datagram = udp(note.src_port, note.dst_port, &payload);
    let length = (20 + datagram.len() as u16).to_be_bytes();
    let mut ip = [
        &[0x45, note.tos],
        &length[..],
        &[0; 4],
        &[note.ttl, 17, 0, 0],
    ]
    .concat();
    ip.extend_from_slice(&from);
    ip.extend_from_slice(&to);
    let sum = Sum::default().with(&ip).checksum();
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let addresses = [[2u8; 6], [1; 6]].concat();
    let kind = ethernet::IPV4.to_be_bytes();
    [&addresses[..], &kind, &ip, &datagram].concat()
}

const _: () = assert!(CHAINS < 100);
