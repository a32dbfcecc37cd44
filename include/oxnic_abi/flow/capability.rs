// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a flow engine can do, and how much of it.

use crate::wire;

wire! {
    /// Capability [`crate::caps::CapabilityId::FLOW`], of a PF only.
    pub struct FlowCaps: 27 {
        /// Tables.
        0: tables: u32,
        /// Match templates.
        4: match_templates: u32,
        /// Action templates.
        8: action_templates: u32,
        /// Rules, in all tables together.
        12: rules: u32,
        /// Counters; a multiple of [`super::counter::COUNTERS_IN_PAGE`].
        16: counters: u32,
        /// Meters.
        20: meters: u32,
        /// Outer headers.
        24: encaps: u32,
        /// UDP ports that can be told to carry tunnels.
        28: tunnel_ports: u16,
        /// Flow queues.
        30: queues: u16,
        /// Longest key of a rule in bytes.
        32: key_max: u16,
        /// Longest arguments of a rule in bytes.
        34: arguments_max: u16,
        /// Conditions of a match template.
        36: conditions_max: u16,
        /// Actions of an action template.
        38: actions_max: u16,
        /// Actions MIRROR and SAMPLE of an action template.
        40: copies_max: u16,
        /// How often one frame can be sent on by GOTO, from one port's table on. The next time it is dropped.
        42: restarts_max: u16,
        /// How often one frame, or a copy of it, can be put into a port. The next time it is dropped.
        44: hops_max: u16,
        /// Deepest flow queue, log2 of slots.
        46: queue_log2_max: u8,
        /// Slots of a request.
        47: request_slots_max: u8,
        /// Longest headers of an encap in bytes.
        48: encap_max: u16,
        /// Longest options of a tunnel, in bytes, that a match template can name.
        50: options_max: u16,
        /// Shortest period of counters by DMA in milliseconds.
        52: counter_period_min: u16,
        /// Bit n: [`super::meter::MeterUnit`] n.
        54: meter_units: u16,
        /// Bit n: [`super::field::FlowField`] n can be matched.
        56: fields: u64,
        /// Fields that can be matched with any mask; the others with all of their bits.
        64: masks: u64,
        /// Fields that can be matched by range.
        72: ranges: u64,
        /// Bit n: [`super::action::FlowActionKind`] n.
        80: actions: u64,
        /// Bit n: [`super::action::FlowVerdict`] n can be a meter's.
        88: verdicts: u16,
        /// See [`super::action::flow_checksum`].
        90: checksums: u16,
        /// Bit n: [`super::tunnel::TunnelKind`] n over IPv4 is understood.
        92: decap_v4: u16,
        /// Likewise over IPv6.
        94: decap_v6: u16,
        /// Bit n: headers of [`super::tunnel::TunnelKind`] n over IPv4 can be put around frames.
        96: encap_v4: u16,
        /// Likewise over IPv6.
        98: encap_v6: u16,
        /// See [`super::encap::encap_flags`]: those that can be set.
        100: encap_flags: u16,
        /// See [`super::action::decap_flags`]: those that can be set.
        102: decap_flags: u16,
        /// For each header of [`super::action::FlowHeader`]: bit n: byte n can be SET.
        104: edit_set: [u64; 6],
        /// For each header: bit n: byte n can be changed by ADD.
        152: edit_add: [u64; 6],
        /// Most requests that a flow queue carries out in a second, as a hint; 0: not said.
        200: rule_rate: u32,
        /// How often one frame can miss into another table, from one port's table on. The next time it is dropped.
        204: misses_max: u16,
        /// Bit n: [`super::table::TableMiss`] n.
        206: misses: u16,
    }
}
