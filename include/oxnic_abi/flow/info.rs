// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How full the flow engine is, and what it has dropped.

use crate::{open_enum, wire};

wire! {
    /// Parameters of [`crate::command::Opcode::FLOW_INFO`].
    pub struct FlowInfoGet: 5 {
        /// Which kind of object.
        0: kind: FlowObject,
    }
}

open_enum! {
    /// Kinds of object of the flow engine.
    pub enum FlowObject: u16 {
        /// Tables.
        TABLE = 1: "tables",
        /// Match templates.
        MATCH_TEMPLATE = 2: "match templates",
        /// Action templates.
        ACTION_TEMPLATE = 3: "action templates",
        /// Rules.
        RULE = 4: "rules",
        /// Counters; those that rules name are in use.
        COUNTER = 5: "counters",
        /// Meters.
        METER = 6: "meters",
        /// Encaps.
        ENCAP = 7: "encaps",
        /// UDP ports of tunnels.
        TUNNEL_PORT = 8: "tunnel ports",
        /// Flow queues.
        QUEUE = 9: "flow queues",
    }
}

wire! {
    /// Answer of [`crate::command::Opcode::FLOW_INFO`].
    pub struct FlowInfo: 2 {
        /// How many there can be.
        0: size: u32,
        /// How many there are.
        4: used: u32,
        /// The most that there were at once since the last reset.
        8: high_water: u32,
    }
}

wire! {
    /// Answer of [`crate::command::Opcode::FLOW_STATS`]. All since the last reset of the PF.
    pub struct FlowStats: 12 {
        /// Frames that tables were asked about, once for each table.
        0: lookups: u64,
        /// Lookups that found a rule.
        8: hits: u64,
        /// Frames dropped by a rule's DROP, or a meter's.
        16: dropped_rule: u64,
        /// Frames dropped by a table's miss.
        24: dropped_miss: u64,
        /// Frames dropped since they were sent on or put into ports too often.
        32: dropped_loop: u64,
        /// Frames and copies dropped since the port is gone, has no carrier, or is where an ingress frame came in.
        40: dropped_port: u64,
        /// Frames dropped since an action could not be done: a tag cut off, no room for headers, a congestion mark that cannot be.
        48: dropped_action: u64,
        /// Frames that missed into DEFAULT since the encap of their rule was not ready.
        56: encap_not_ready: u64,
        /// Edits that were left out since the packet has no such bytes.
        64: edits_left_out: u64,
        /// Copies made by MIRROR.
        72: mirrored: u64,
        /// Copies made by SAMPLE.
        80: sampled: u64,
        /// Frames that were taken out of tunnels.
        88: decapsulated: u64,
    }
}
