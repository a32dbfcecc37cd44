// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Plans with a device that can do everything, and owned results.
#![allow(dead_code, reason = "each test file uses its part")]

use oxnic_abi::flow::action::{
    decap_flags, flow_checksum, FlowAction, FlowActionKind, FlowHeader, FlowVerdict,
};
use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::encap::encap_flags;
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::meter::MeterUnit;
use oxnic_abi::flow::table::TableMiss;
use oxnic_abi::flow::template::FlowCondition;
use oxnic_offload::packet::TunnelKind;
use oxnic_offload::plan::actions::send_up;
use oxnic_offload::plan::{
    lower, pack, ActionSpace, ConditionSpace, Context, Course, Destinations, Endpoint, Exit, Need,
    Reach, Software, Statistics, Target, TunnelDevice, TunnelId, UpperDevice,
};
use oxnic_offload::reject::Reject;
use oxnic_offload::rule::{check, Chain, Port, Rule};

/// A device that can do everything that the interface has.
pub fn everything() -> FlowCaps {
    let headers = FlowHeader::ALL;
    let mut edits = [0; 6];
    for header in headers {
        edits[usize::from(header.0)] = (1 << header.length()) - 1;
    }
    let kinds = |numbers: &[u16]| numbers.iter().fold(0, |all, number| all | (1 << number));
    FlowCaps {
        tables: 1 << 16,
        match_templates: 1 << 16,
        action_templates: 1 << 16,
        rules: 1 << 20,
        counters: 1 << 20,
        meters: 1 << 10,
        encaps: 1 << 10,
        tunnel_ports: 16,
        queues: 16,
        key_max: 512,
        arguments_max: 1024,
        conditions_max: 64,
        actions_max: 256,
        copies_max: 32,
        restarts_max: 16,
        hops_max: 8,
        queue_log2_max: 16,
        request_slots_max: 32,
        encap_max: 512,
        options_max: 252,
        counter_period_min: 10,
        meter_units: MeterUnit::ALL
            .iter()
            .fold(0, |all, unit| all | (1 << unit.0)),
        fields: FlowField::ALL
            .iter()
            .fold(0, |all, field| all | field.bit()),
        masks: FlowField::ALL
            .iter()
            .fold(0, |all, field| all | field.bit()),
        ranges: FlowField::SRC_PORT.bit() | FlowField::DST_PORT.bit(),
        actions: FlowActionKind::ALL
            .iter()
            .fold(0, |all, kind| all | kind.bit()),
        verdicts: FlowVerdict::ALL
            .iter()
            .fold(0, |all, kind| all | (1 << kind.0)),
        checksums: flow_checksum::ALL as u16,
        decap_v4: kinds(&[1, 2, 3]),
        decap_v6: kinds(&[1, 2, 3]),
        encap_v4: kinds(&[1, 2, 3]),
        encap_v6: kinds(&[1, 2, 3]),
        encap_flags: encap_flags::ALL,
        decap_flags: decap_flags::ALL as u16,
        edit_set: edits,
        edit_add: edits,
        rule_rate: 0,
        misses_max: 16,
        misses: TableMiss::ALL
            .iter()
            .fold(0, |all, miss| all | (1 << miss.0)),
    }
}

/// A device that can do everything, and a kernel with nothing special.
pub fn context(device: &FlowCaps) -> Context<'_> {
    Context {
        device,
        software: Software::default(),
        tunnel: None,
        upper: None,
        egress: false,
        skip_sw: false,
        statistics: Statistics::Rule,
    }
}

/// A VLAN device above port 7.
pub fn above() -> UpperDevice {
    UpperDevice::new(7, &[(0x8100, 0x3005)]).unwrap()
}

/// An external VXLAN device with an address of its own.
pub const VXLAN: TunnelDevice = TunnelDevice {
    number: 7,
    kind: TunnelKind::Vxlan { group_policy: true },
    port: 4789,
    id: TunnelId::External,
    local: Some(Endpoint::V4([192, 0, 2, 2])),
    remote: None,
};

/// An external Geneve device without an address of its own.
pub const GENEVE: TunnelDevice = TunnelDevice {
    kind: TunnelKind::Geneve,
    port: 6081,
    local: None,
    ..VXLAN
};

/// A gretap device with a key, an address and a peer.
pub const GRETAP: TunnelDevice = TunnelDevice {
    kind: TunnelKind::Gretap,
    port: 0,
    id: TunnelId::Fixed(5),
    remote: Some(Endpoint::V4([192, 0, 2, 1])),
    ..VXLAN
};

/// Ports up to 99 are the device's, 100 and 101 VLAN devices above ports 7 and 8, 200 to 203 tunnel devices; there are tables for chains up to 99.
pub struct World;

impl Destinations for World {
    fn target(&self, port: Port) -> Option<Target> {
        match port.0 {
            100 => Some(Target::Upper(above())),
            101 => UpperDevice::new(8, &[(0x88a8, 6), (0x8100, 5)]).map(Target::Upper),
            200 => Some(Target::Tunnel(VXLAN)),
            201 => Some(Target::Tunnel(GENEVE)),
            202 => Some(Target::Tunnel(GRETAP)),
            203 => Some(Target::Tunnel(TunnelDevice {
                id: TunnelId::External,
                remote: None,
                ..GRETAP
            })),
            number if number < 100 => Some(Target::Port(number as u16)),
            _ => None,
        }
    }

    fn table(&self, chain: Chain) -> Option<u32> {
        (chain.0 < 100).then_some(1000 + chain.0)
    }
}

/// A plan that owns what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned<'r> {
    pub conditions: Vec<FlowCondition>,
    pub masks: Vec<u8>,
    pub key: Vec<u8>,
    pub wider: bool,
    pub list: Vec<FlowAction>,
    pub arguments: Vec<u8>,
    pub needs: Vec<Need<'r>>,
    pub course: Course,
    pub exit: Exit,
}

/// Plans a rule, or a stand-in for it.
pub fn plan_as<'r>(
    rule: &Rule<'r>,
    context: &Context<'_>,
    stand_in: bool,
) -> Result<Planned<'r>, Reject> {
    check(rule)?;
    let mut conditions = [FlowCondition::ZERO; 64];
    let mut masks = [0; 252];
    let mut key = [0; 600];
    let space = ConditionSpace {
        conditions: &mut conditions,
        masks: &mut masks,
        key: &mut key,
    };
    let reach = if stand_in {
        Reach::AtLeast
    } else {
        Reach::Exact
    };
    let matched = pack(rule, context, &World, reach, space)?;
    let mut list = [FlowAction::ZERO; 300];
    let mut arguments = [0; 2000];
    let mut needs = [Need::BLANK; 300];
    let space = ActionSpace {
        list: &mut list,
        arguments: &mut arguments,
        needs: &mut needs,
    };
    let actions = if stand_in {
        send_up(rule.chain, context, space)?
    } else {
        lower(rule, context, &World, space)?
    };
    Ok(Planned {
        conditions: matched.conditions.to_vec(),
        masks: matched.masks.to_vec(),
        key: matched.key.to_vec(),
        wider: matched.wider,
        list: actions.list.to_vec(),
        arguments: actions.arguments.to_vec(),
        needs: actions.needs.to_vec(),
        course: actions.course,
        exit: actions.exit,
    })
}

/// Plans a rule.
pub fn plan<'r>(rule: &Rule<'r>, context: &Context<'_>) -> Result<Planned<'r>, Reject> {
    plan_as(rule, context, false)
}

/// An external VXLAN device whose address and port are not among what it adds.
pub const TUNNEL_ANYWHERE: TunnelDevice = TunnelDevice {
    port: 1,
    local: None,
    ..VXLAN
};
