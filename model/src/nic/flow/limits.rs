// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! How much of the flow engine there is.
//!
//! Figures are chosen to be beyond what a host will ask of a software device, and so that all of it fits into about 2 GiB: a
//! rule takes a few hundred bytes, a counter 48.

use oxnic_abi::flow::action::{
    FlowActionKind, FlowHeader, FlowVerdict, decap_flags, flow_checksum,
};
use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::encap::encap_flags;
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::meter::MeterUnit;
use oxnic_abi::flow::table::TableMiss;
use oxnic_abi::flow::tunnel::TunnelKind;

/// Frames and copies that may come of one frame that arrived; what is more is dropped. Rules that copy to ports whose rules copy
/// would otherwise keep the device busy for as long as they like.
pub const COPIES_PER_FRAME: u32 = 1024;
/// Lookups that may come of one frame that arrived.
pub const LOOKUPS_PER_FRAME: u32 = 1024;
/// Longest frame that may come of actions: the longest one, with all the tags that rules can push and headers around it.
pub const LENGTH_MAX: usize = 16_384;

/// What the device says of its flow engine.
pub fn capability() -> FlowCaps {
    let fields = FlowField::ALL
        .iter()
        .fold(0, |all, field| all | field.bit());
    let actions = FlowActionKind::ALL
        .iter()
        .fold(0, |all, kind| all | kind.bit());
    let verdicts = FlowVerdict::ALL
        .iter()
        .fold(0, |all, verdict| all | (1 << verdict.0));
    let misses = TableMiss::ALL
        .iter()
        .fold(0, |all, miss| all | (1 << miss.0));
    let units = MeterUnit::ALL
        .iter()
        .fold(0, |all, unit| all | (1 << unit.0));
    let tunnels = [TunnelKind::VXLAN, TunnelKind::GENEVE, TunnelKind::GRETAP];
    let tunnels = tunnels.iter().fold(0, |all, kind| all | (1 << kind.0));
    let mut edits = [0; 6];
    for (header, bits) in (0..).map(FlowHeader).zip(&mut edits) {
        *bits = (1 << header.length()) - 1;
    }
    FlowCaps {
        tables: 65_536,
        match_templates: 4_096,
        action_templates: 65_536,
        rules: 2_097_152,
        counters: 1_048_576,
        meters: 65_536,
        encaps: 65_536,
        tunnel_ports: 32,
        queues: 8,
        key_max: 512,
        arguments_max: 512,
        conditions_max: 64,
        actions_max: 96,
        copies_max: 32,
        restarts_max: 16,
        misses_max: 16,
        misses,
        hops_max: 8,
        queue_log2_max: 15,
        request_slots_max: 17,
        encap_max: 512,
        options_max: 252,
        counter_period_min: 10,
        meter_units: units,
        fields,
        masks: fields,
        ranges: FlowField::SRC_PORT.bit() | FlowField::DST_PORT.bit(),
        actions,
        verdicts,
        checksums: flow_checksum::ALL as u16,
        decap_v4: tunnels,
        decap_v6: tunnels,
        encap_v4: tunnels,
        encap_v6: tunnels,
        encap_flags: encap_flags::ALL,
        decap_flags: decap_flags::ALL as u16,
        edit_set: edits,
        edit_add: edits,
        ..FlowCaps::ZERO
    }
}
