// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A stage on which the oracle plays: it notes what leaves and what is counted.

use oxnic_offload::oracle::{
    classify, Arrival, Bucket, Count, Entry, Fate, Output, Packet, Sink, Table, World,
};
use oxnic_offload::packet::Tunnel;
use oxnic_offload::rule::{Chain, Cookie, Direction, Police, Port, Rule};

/// What left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Through a port, with these bytes.
    Sent(u32, Direction, Vec<u8>),
    /// To a group of psample.
    Sampled(u32, Vec<u8>),
}

/// What was noted, and how the world is.
#[derive(Default)]
pub struct Stage {
    pub events: Vec<Event>,
    /// Rule, action, count.
    pub counts: Vec<(u64, usize, Count)>,
    /// Key id and destination port of the headers that the last packet sent was told to get.
    pub encap: Option<(u32, u16)>,
    pub down: Vec<u32>,
    pub sampled: bool,
    pub now: u64,
    pub buckets: std::collections::HashMap<u32, Bucket>,
    /// What counters count, where the packet has come in elsewhere.
    pub accounted: Option<u32>,
}

impl Sink for Stage {
    fn sent(&mut self, port: Port, direction: Direction, packet: &Output<'_, '_>) {
        self.encap = packet.encap.map(|encap| (encap.key_id, encap.dst_port));
        self.events
            .push(Event::Sent(port.0, direction, packet.bytes().collect()));
    }

    fn sampled(&mut self, group: u32, _rate: u32, truncate: Option<u32>, packet: &Output<'_, '_>) {
        let bytes = packet.addresses.iter().chain(packet.rest).copied();
        self.events.push(Event::Sampled(
            group,
            bytes.take(truncate.unwrap_or(u32::MAX) as usize).collect(),
        ));
    }

    fn counted(&mut self, rule: Cookie, action: usize, count: Count) {
        self.counts.push((rule.0, action, count));
    }
}

/// The half of the stage that is the world.
pub struct Around<'a> {
    down: &'a [u32],
    sampled: bool,
    now: u64,
    buckets: &'a mut std::collections::HashMap<u32, Bucket>,
}

impl World for Around<'_> {
    fn now(&mut self) -> u64 {
        self.now
    }

    fn bucket(&mut self, police: &Police) -> &mut Bucket {
        self.buckets
            .entry(police.index)
            .or_insert_with(|| Bucket::new(police.rate, 0))
    }

    fn is_sampled(&mut self, _rate: u32) -> bool {
        self.sampled
    }

    fn is_up(&mut self, port: Port) -> bool {
        !self.down.contains(&port.0)
    }
}

/// What became of a packet: its fate and bytes, with its mark and priority.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    pub fate: Fate,
    pub bytes: Vec<u8>,
    pub mark: u32,
    pub priority: u32,
}

#[allow(dead_code, reason = "each test file uses its part")]
impl Stage {
    /// Plays rules, inserted in this order, over a frame that comes in at port 1.
    pub fn play(&mut self, rules: &[Rule<'_>], frame: &[u8]) -> End {
        self.play_from(rules, frame, None, Chain(0))
    }

    /// The same out of a tunnel, or from another chain on.
    pub fn play_from(
        &mut self,
        rules: &[Rule<'_>],
        frame: &[u8],
        tunnel: Option<Tunnel<'_>>,
        chain: Chain,
    ) -> End {
        let mut slots: Vec<Option<Entry<'_>>> = vec![None; rules.len()];
        let mut table = Table::new(&mut slots);
        for rule in rules {
            table.insert(*rule).unwrap();
        }
        self.play_table(&table, frame, tunnel, chain)
    }

    /// The same with a table.
    pub fn play_table<'t>(
        &mut self,
        table: &Table<'_, 't>,
        frame: &[u8],
        tunnel: Option<Tunnel<'t>>,
        chain: Chain,
    ) -> End {
        const ROOM: usize = 64;
        let mut buffer = [&[0; ROOM], frame].concat();
        let mut packet = Packet::receive(&mut buffer, ROOM, frame.len(), tunnel).unwrap();
        if let Some(bytes) = self.accounted {
            packet.set_accounted(bytes);
        }
        let mut sink = Stage::default();
        let mut around = Around {
            down: &self.down,
            sampled: self.sampled,
            now: self.now,
            buckets: &mut self.buckets,
        };
        let arrival = Arrival {
            port: Port(1),
            chain,
        };
        let fate = classify(table, arrival, &mut packet, &mut around, &mut sink);
        self.events.append(&mut sink.events);
        self.counts.append(&mut sink.counts);
        self.encap = sink.encap;
        End {
            fate,
            bytes: packet.output().bytes().collect(),
            mark: packet.mark,
            priority: packet.priority,
        }
    }
}
