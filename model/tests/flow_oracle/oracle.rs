// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The oracle's world and what it notes.

use oxnic_offload::oracle::{
    Arrival, Bucket, Count, Fate, Output, Packet, Sink, Table, World, classify,
};
use oxnic_offload::packet::Tunnel;
use oxnic_offload::plan::Counts;
use oxnic_offload::rule::{Chain, Cookie, Direction, Police, Port};
use std::collections::HashMap;

/// Room for all the tags that rules can push.
const ROOM: usize = 8192;
/// The port at which frames come in.
pub const PORT: u16 = 1;
/// Ports that rules name: up to here they are up, the others are not.
pub const UP: u16 = 4;

/// What comes of a frame, as both tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Out of a port.
    Out(u16, Vec<u8>),
    /// Into a port as if it came in there; it has no table.
    In(u16, Vec<u8>),
    /// A sample, with its name.
    Sample(u32, Vec<u8>),
    /// Up: why, bytes.
    Up(Why, Vec<u8>),
}

/// Why a frame goes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A rule says so; its mark, if it has one.
    Rule(u32),
    /// No rule of the chain took it.
    Miss(u32),
}

/// What the oracle noted.
#[derive(Default)]
pub struct Noted {
    pub events: Vec<Event>,
    /// Packets and bytes, by rule, action and what is counted of it.
    pub counts: HashMap<(u64, (usize, Counts)), (u64, u64)>,
    pub buckets: HashMap<u32, Bucket>,
    pub now: u64,
}

#[derive(Default)]
struct Pad(Vec<Event>, Vec<(u64, (usize, Counts), u32)>);

impl Sink for Pad {
    fn sent(&mut self, port: Port, direction: Direction, packet: &Output<'_, '_>) {
        let (port, bytes) = (port.0 as u16, packet.bytes().collect());
        self.0.push(match direction {
            Direction::Egress => Event::Out(port, bytes),
            Direction::Ingress => Event::In(port, bytes),
        });
    }

    fn sampled(&mut self, group: u32, _: u32, truncate: Option<u32>, packet: &Output<'_, '_>) {
        let bytes = packet.addresses.iter().chain(packet.rest).copied();
        let bytes = bytes.take(truncate.unwrap_or(u32::MAX) as usize).collect();
        self.0.push(Event::Sample(group, bytes));
    }

    fn counted(&mut self, rule: Cookie, action: usize, count: Count) {
        self.1.push((rule.0, (action, Counts::Taken), count.bytes));
        if count.drop {
            self.1
                .push((rule.0, (action, Counts::Dropped), count.bytes));
        }
    }
}

struct Around<'a>(u64, &'a mut HashMap<u32, Bucket>);

impl World for Around<'_> {
    fn now(&mut self) -> u64 {
        self.0
    }

    fn bucket(&mut self, police: &Police) -> &mut Bucket {
        let new = || Bucket::new(police.rate, 0);
        self.1.entry(police.index).or_insert_with(new)
    }

    fn is_sampled(&mut self, rate: u32) -> bool {
        rate == 1
    }

    fn is_up(&mut self, port: Port) -> bool {
        port.0 <= u32::from(UP)
    }
}

impl Noted {
    /// Takes a frame through the rules, out of a tunnel if there is one; notes what comes of it.
    pub fn play<'t>(&mut self, table: &Table<'_, 't>, frame: &[u8], tunnel: Option<Tunnel<'t>>) {
        let mut buffer = [&[0; ROOM], frame].concat();
        let packet = Packet::receive(&mut buffer, ROOM, frame.len(), tunnel);
        let Ok(mut packet) = packet else {
            return;
        };
        let mut pad = Pad::default();
        let mut around = Around(self.now, &mut self.buckets);
        let arrival = Arrival {
            port: Port(PORT.into()),
            chain: Chain(0),
        };
        let fate = classify(table, arrival, &mut packet, &mut around, &mut pad);
        let bytes = packet.output().bytes().collect();
        let up = match fate {
            Fate::Accept | Fate::Trap => Some(Why::Rule(packet.mark)),
            Fate::Miss(chain) => Some(Why::Miss(chain.0)),
            Fate::Drop | Fate::Consumed => None,
        };
        let Pad(events, counts) = pad;
        self.events.extend(events);
        self.events.extend(up.map(|why| Event::Up(why, bytes)));
        for (rule, action, bytes) in counts {
            let sum = self.counts.entry((rule, action)).or_default();
            sum.0 += 1;
            sum.1 += u64::from(bytes);
        }
    }
}
