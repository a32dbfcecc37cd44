// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A small device: it knows nothing of rules but conditions, keys, lists and arguments, and does with them what the device interface says.
#![allow(dead_code, reason = "each test file uses its part")]

use oxnic_abi::flow::action::{
    action_flags, FlowAction, FlowActionKind as Kind, FlowEdit, FlowHeader, FlowNote, FlowVerdict,
};
use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::port::FlowDirection;
use oxnic_abi::flow::table::TableMiss;
use oxnic_abi::flow::template::ConditionKind;
use oxnic_abi::flow::tunnel::TunnelKind;
use oxnic_offload::oracle::{csum, pedit, tags, Packet};
use oxnic_offload::packet::tunnel::TunnelOptions;
use oxnic_offload::packet::{dissect, Tunnel};
use oxnic_offload::plan::chains::Miss;
use oxnic_offload::plan::conditions::number;
use oxnic_offload::plan::{Counts, Need};
use oxnic_offload::rule::field::TABLE;
use oxnic_offload::rule::{Direction, Edit, Field, Header, Operation, Port, Seen, Values};

use crate::hybrid::{Around, Ended, Hardware, Installed, Left};
use crate::planner::Planned;
use crate::stage::Event;

/// A device with the rules of one block.
#[derive(Default)]
pub struct Device<'r> {
    rules: Vec<Installed<'r>>,
    misses: Vec<(u32, Miss)>,
    /// Kind of tunnel that frames come out of.
    tunnel: Option<TunnelKind>,
}

enum Next {
    Go,
    Skip(usize),
    Table(u32),
    Class,
    End(Left),
}

struct Run<'d, 'r, 'f> {
    device: &'d Device<'r>,
    frame: &'f [u8],
    events: Vec<Event>,
    counts: Vec<(u64, (u8, Counts), u32)>,
    /// Whether the last edit was made.
    edited: bool,
}

impl<'r> Hardware<'r> for Device<'r> {
    fn new(around: &Around, _: &FlowCaps, misses: &[(u32, Miss)]) -> Self {
        Self {
            rules: Vec::new(),
            misses: misses.to_vec(),
            tunnel: around.tunnel.then_some(TunnelKind::VXLAN),
        }
    }

    fn install(&mut self, rule: &Installed<'r>) {
        self.rules.push(Installed {
            planned: rule.planned.clone(),
            ..*rule
        });
    }

    fn remove(&mut self, cookie: u64) {
        self.rules.retain(|rule| rule.cookie != cookie);
    }

    fn run(&mut self, frame: &[u8], tunnel: Option<Tunnel<'_>>) -> Ended {
        const ROOM: usize = 256;
        let mut buffer = [&[0; ROOM], frame].concat();
        let mut packet = Packet::receive(&mut buffer, ROOM, frame.len(), tunnel).unwrap();
        let mut run = Run {
            device: self,
            frame,
            events: Vec::new(),
            counts: Vec::new(),
            edited: true,
        };
        let left = run.tables(&mut packet);
        if left == Left::Rewound {
            run.counts.clear();
        }
        Ended {
            left,
            events: run.events,
            counts: run.counts,
        }
    }
}

impl<'r> Device<'r> {
    fn lookup(&self, chain: u32, from: u32, packet: &Packet<'_, '_>) -> Option<&Installed<'r>> {
        let rules = self.rules.iter();
        let rules = rules.filter(|rule| rule.chain == chain && rule.priority >= from);
        rules
            .filter(|rule| takes(&rule.planned, packet, self.tunnel))
            .min_by_key(|rule| rule.priority)
    }
}

/// Whether conditions and key take a packet, out of a tunnel of that kind.
pub fn takes(planned: &Planned<'_>, packet: &Packet<'_, '_>, tunnel: Option<TunnelKind>) -> bool {
    let dissection = dissect(&packet.frame());
    let values = Values::new(&Seen {
        port: Port(1),
        packet: &dissection,
        tunnel: &packet.tunnel,
    });
    let mut key = &planned.key[..];
    let mut take = |length: usize| {
        let (value, rest) = key.split_at(length);
        key = rest;
        value
    };
    let options: Vec<u8> = match values.options {
        TunnelOptions::None => Vec::new(),
        TunnelOptions::Geneve(options) => options.to_vec(),
        TunnelOptions::Group(group) => group.to_be_bytes().to_vec(),
    };
    planned.conditions.iter().all(|condition| {
        let field = condition.field;
        match condition.kind {
            ConditionKind::MASK => {
                let value: Vec<u8> = match field {
                    FlowField::PROTOCOL => packet.frame().filter_protocol().to_be_bytes().to_vec(),
                    FlowField::TUNNEL_KIND => vec![tunnel.map_or(0, |kind| kind.0)],
                    FlowField::ENC_OPTIONS_LENGTH => vec![options.len() as u8],
                    _ => values.get(of_number(field)).to_vec(),
                };
                let key = take(field.width());
                let masked = value.iter().zip(condition.mask).zip(key);
                masked
                    .into_iter()
                    .all(|((value, mask), key)| value & mask == *key)
            }
            ConditionKind::RANGE => {
                let port = values.number(of_number(field));
                (condition.minimum..=condition.maximum).contains(&port)
            }
            _ => {
                let length = usize::from(condition.length);
                let masks = &planned.masks[usize::from(condition.offset)..][..length];
                let key = take(length);
                (0..length).all(|at| options.get(at).copied().unwrap_or(0) & masks[at] == key[at])
            }
        }
    })
}

/// The field that has a number of the device interface.
fn of_number(wanted: FlowField) -> Field {
    let row = TABLE.iter().find(|row| number(row.field) == wanted);
    row.expect("a field of tc's").field
}

fn operand(entry: &FlowAction, arguments: &[u8], number: usize) -> u32 {
    let (first, count) = entry.kind.arguments();
    let from_rule = entry.flags & action_flags::ARGUMENT != 0;
    if from_rule && (first..first + count).contains(&number) {
        let at = usize::from(entry.argument) + (number - first) * 4;
        u32::from_le_bytes(arguments[at..at + 4].try_into().unwrap())
    } else {
        entry.operands[number]
    }
}

impl<'r> Run<'_, 'r, '_> {
    fn tables(&mut self, packet: &mut Packet<'_, '_>) -> Left {
        let (mut chain, mut from, mut restarts) = (0, 0, 0);
        loop {
            let Some(rule) = self.device.lookup(chain, from, packet) else {
                return self.miss(chain, packet);
            };
            match self.rule(rule, packet) {
                Next::End(left) => return left,
                Next::Class => from = ((rule.priority >> 16) + 1) << 16,
                Next::Table(table) => {
                    restarts += 1;
                    if restarts > 16 {
                        return Left::Gone;
                    }
                    (chain, from) = (table - 1000, 0);
                }
                Next::Go | Next::Skip(_) => unreachable!("rules end"),
            }
        }
    }

    fn bytes(&self, packet: &Packet<'_, '_>) -> Vec<u8> {
        match self.device.tunnel {
            Some(_) => self.frame.to_vec(),
            None => packet.output().bytes().collect(),
        }
    }

    fn miss(&mut self, chain: u32, packet: &Packet<'_, '_>) -> Left {
        let misses = &self.device.misses;
        let miss = misses.iter().find(|(of, _)| *of == chain).unwrap().1;
        match miss.kind {
            TableMiss::REWIND => Left::Rewound,
            TableMiss::DEFAULT => Left::Missed(chain, self.bytes(packet)),
            other => panic!("{other:?}"),
        }
    }

    fn rule(&mut self, rule: &Installed<'r>, packet: &mut Packet<'_, '_>) -> Next {
        let list = &rule.planned.list;
        let mut at = 0;
        while let Some(entry) = list.get(at) {
            match self.one(rule, entry, packet) {
                Next::Go => at += 1,
                Next::Skip(more) => at += 1 + more,
                end => return end,
            }
        }
        Next::End(Left::SentUp(rule.cookie, self.bytes(packet)))
    }

    fn one(
        &mut self,
        rule: &Installed<'r>,
        entry: &FlowAction,
        packet: &mut Packet<'_, '_>,
    ) -> Next {
        let arguments = &rule.planned.arguments;
        let word = |number| operand(entry, arguments, number);
        let need = |at: u16| {
            rule.planned
                .needs
                .iter()
                .find(|need| need.at() == at)
                .unwrap()
        };
        match entry.kind {
            Kind::COUNT => {
                let Need::Counter { action, counts, .. } = need(entry.argument) else {
                    panic!("no counter")
                };
                self.counts
                    .push((rule.cookie, (*action, *counts), packet.accounted()));
            }
            Kind::METER => {
                let Need::Meter { police, .. } = need(entry.argument) else {
                    panic!("no meter")
                };
                let beyond = packet.accounted() + 14 > police.mtu;
                return self.verdict(rule, entry, usize::from(beyond), packet);
            }
            Kind::MIRROR => self.send(packet, entry, word(0)),
            Kind::REDIRECT => {
                self.send(packet, entry, word(0));
                return Next::End(Left::Gone);
            }
            Kind::DROP => return Next::End(Left::Gone),
            Kind::ACCEPT => {
                let bytes = self.bytes(packet);
                return Next::End(if entry.choice[0] == FlowNote::MARK.0 {
                    Left::Marked(packet.mark, bytes)
                } else {
                    Left::SentUp(rule.cookie, bytes)
                });
            }
            Kind::TRAP => return Next::End(Left::SentUp(rule.cookie, self.bytes(packet))),
            Kind::REWIND => return Next::End(Left::Rewound),
            Kind::GOTO => return Next::Table(word(0)),
            Kind::CONTINUE => return Next::Class,
            Kind::SAMPLE => {
                let Need::Sampler { group, .. } = need(entry.argument + 8) else {
                    panic!("no sampler")
                };
                let out = packet.output();
                let bytes = out.addresses.iter().chain(out.rest).copied();
                let length = if word(1) == 0 { u32::MAX } else { word(1) };
                let bytes = bytes.take(length as usize).collect();
                self.events.push(Event::Sampled(*group, bytes));
            }
            Kind::MARK => packet.mark = word(0),
            Kind::PRIORITY => packet.priority = word(0),
            Kind::DECAP => {}
            _ => return self.change(entry, word, packet),
        }
        Next::Go
    }

    fn verdict(
        &mut self,
        rule: &Installed<'r>,
        entry: &FlowAction,
        which: usize,
        packet: &Packet<'_, '_>,
    ) -> Next {
        let value = entry.operands[1 + which];
        match FlowVerdict(entry.choice[which]) {
            FlowVerdict::PIPE => Next::Go,
            FlowVerdict::DROP => Next::End(Left::Gone),
            FlowVerdict::ACCEPT => Next::End(Left::SentUp(rule.cookie, self.bytes(packet))),
            FlowVerdict::GOTO => Next::Table(value),
            FlowVerdict::CONTINUE => Next::Class,
            FlowVerdict::SKIP => Next::Skip(value as usize),
            other => panic!("{other:?}"),
        }
    }

    fn send(&mut self, packet: &Packet<'_, '_>, entry: &FlowAction, port: u32) {
        let direction = match FlowDirection(entry.choice[0]) {
            FlowDirection::EGRESS => Direction::Egress,
            _ => Direction::Ingress,
        };
        let back = port == 1 && direction == Direction::Ingress;
        if !back {
            let bytes = packet.output().bytes().collect();
            self.events.push(Event::Sent(port, direction, bytes));
        }
    }

    fn change(
        &mut self,
        entry: &FlowAction,
        word: impl Fn(usize) -> u32,
        packet: &mut Packet<'_, '_>,
    ) -> Next {
        let tpid = u16::from_be_bytes(entry.choice);
        let tag = word(0) as u16;
        let done = match entry.kind {
            Kind::VLAN_PUSH => tags::push(packet, tpid, tag & 0xfff, (tag >> 13) as u8),
            Kind::VLAN_POP => tags::pop(packet),
            Kind::VLAN_MODIFY => {
                assert_eq!(word(1) & 0x1fff, 0x1000, "DEI is kept, the id is not");
                let priority = (word(1) & 0xe000 == 0).then_some((tag >> 13) as u8);
                tags::modify(packet, tpid, tag & 0xfff, priority)
            }
            Kind::CSUM => csum::correct(packet, word(0) as u8),
            Kind::EDIT => {
                if entry.flags & action_flags::CONTINUED == 0 || self.edited {
                    self.edited = pedit::apply(packet, &[edit(entry, word)]);
                }
                true
            }
            other => panic!("{other:?}"),
        };
        if done {
            Next::Go
        } else {
            Next::End(Left::Gone)
        }
    }
}

fn edit(entry: &FlowAction, word: impl Fn(usize) -> u32) -> Edit {
    let header = match FlowHeader(entry.choice[0]) {
        FlowHeader::ETHERNET => Header::Ethernet,
        FlowHeader::NETWORK => Header::Network,
        FlowHeader::IPV4 => Header::Ipv4,
        FlowHeader::IPV6 => Header::Ipv6,
        FlowHeader::TCP => Header::Tcp,
        _ => Header::Udp,
    };
    let operation = match FlowEdit(entry.choice[1]) {
        FlowEdit::SET => Operation::Set,
        _ => Operation::Add,
    };
    Edit {
        header,
        offset: word(0),
        operation,
        keep: word(1).to_le_bytes(),
        value: word(2).to_le_bytes(),
    }
}
