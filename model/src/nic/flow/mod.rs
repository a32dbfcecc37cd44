// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The flow engine: tables of rules, and what these do with frames. Free of I/O, of commands and of queues.
//!
//! [`Engine`] owns all objects of `oxnic_abi::flow` and checks what a driver says of them: limits, references, values. Whoever
//! reads commands and requests has decoded them and checked reserved bytes. [`Engine::run`] takes a frame through the rules and
//! tells what comes of it.
//!
//! - [`parse`], [`tunnel`]: from headers to [`values`]; [`matching`], [`group`], [`index`]: from values to a rule;
//! - [`run`], [`actions`], [`execute`] and what it uses ([`packet`], [`tags`], [`edit`], [`csum`], [`meter`], [`put`],
//!   [`encap`], [`decap`]): what rules do, and [`outcome`], what comes of it;
//! - [`store`], [`table`], [`objects`], [`references`], [`slots`], [`pages`], [`counter`]: where everything is kept.

pub mod actions;
pub mod bytes;
pub mod counter;
pub mod csum;
pub mod decap;
pub mod edit;
pub mod encap;
pub mod execute;
pub mod group;
pub mod index;
pub mod limits;
pub mod matching;
pub mod meter;
pub mod objects;
pub mod outcome;
pub mod packet;
pub mod pages;
pub mod parse;
pub mod put;
pub mod references;
pub mod refused;
pub mod run;
pub mod slots;
pub mod store;
pub mod table;
pub mod tags;
pub mod tunnel;
pub mod values;

pub use counter::{CounterValue, Counters};
pub use objects::{Objects, Usage};
pub use outcome::{Outcome, Sent, To, Up};
pub use refused::{Place, Refused, Why};
pub use store::Shown;

use actions::ActionTemplate;
use encap::Encap;
use group::Group;
use matching::MatchTemplate;
use meter::Meter;
use oxnic_abi::flow::action::FlowAction;
use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::encap::EncapSet;
use oxnic_abi::flow::flow_set;
use oxnic_abi::flow::info::{FlowObject, FlowStats};
use oxnic_abi::flow::meter::{MeterSet, MeterStats, MeterUnit};
use oxnic_abi::flow::port::{FlowDirection, PortTable};
use oxnic_abi::flow::table::{NO_TABLE, TableMiss, TableSet, TableView};
use oxnic_abi::flow::template::FlowCondition;
use oxnic_abi::flow::tunnel::TunnelPort;
use pages::Pages;
use refused::ensure;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use store::Rule;
use table::Table;

/// The flow engine.
pub struct Engine {
    caps: FlowCaps,
    seed: u64,
    tables: Objects<Table>,
    match_templates: Objects<MatchTemplate>,
    action_templates: Objects<ActionTemplate>,
    encaps: Objects<Encap>,
    meters: Objects<Meter>,
    rules: Pages<Rule>,
    rule_usage: Usage,
    groups: Vec<Option<Box<Group>>>,
    free_groups: Vec<u32>,
    /// Groups by table and match template.
    by_template: HashMap<(u32, u32), u32>,
    tunnels: tunnel::Ports,
    ports: HashMap<(u16, FlowDirection), u32>,
    stats: FlowStats,
    chance: run::Chance,
    /// Identification of the next IPv4 header that is put around a frame.
    next_id: u16,
    key: Vec<u8>,
    /// The counters, for who writes them into the host's memory.
    pub counters: Counters,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new(limits::capability())
    }
}

impl Engine {
    /// Without objects.
    pub fn new(caps: FlowCaps) -> Self {
        Self::with_seed(caps, RandomState::new().hash_one(0u8))
    }

    /// Nothing, to stand in for an engine for a moment: cheap to make.
    pub fn stand_in() -> Self {
        Self::with_seed(FlowCaps::ZERO, 0)
    }

    fn with_seed(caps: FlowCaps, seed: u64) -> Self {
        Self {
            caps,
            seed,
            tables: Objects::new(caps.tables),
            match_templates: Objects::new(caps.match_templates),
            action_templates: Objects::new(caps.action_templates),
            encaps: Objects::new(caps.encaps),
            meters: Objects::new(caps.meters),
            rules: Pages::default(),
            rule_usage: Usage::new(caps.rules),
            groups: Vec::new(),
            free_groups: Vec::new(),
            by_template: HashMap::new(),
            tunnels: tunnel::Ports::new(caps.tunnel_ports),
            ports: HashMap::new(),
            stats: FlowStats::ZERO,
            chance: run::Chance::new(seed),
            next_id: 0,
            key: Vec::new(),
            counters: Counters::new(caps.counters),
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.caps);
    }

    /// What it can do.
    pub fn capability(&self) -> &FlowCaps {
        &self.caps
    }

    /// What it did.
    pub fn stats(&self) -> &FlowStats {
        &self.stats
    }

    /// Whether there is no object, and no port that is bound.
    pub fn is_empty(&self) -> bool {
        let kinds = [
            FlowObject::TABLE,
            FlowObject::MATCH_TEMPLATE,
            FlowObject::ACTION_TEMPLATE,
            FlowObject::RULE,
            FlowObject::METER,
            FlowObject::ENCAP,
            FlowObject::TUNNEL_PORT,
        ];
        let none = |kind: &FlowObject| self.usage(*kind).is_none_or(|usage| usage.used == 0);
        self.ports.is_empty() && kinds.iter().all(none)
    }

    /// How many objects of a kind there are; none of a kind that is not the engine's.
    pub fn usage(&self, kind: FlowObject) -> Option<Usage> {
        Some(match kind {
            FlowObject::TABLE => self.tables.usage(),
            FlowObject::MATCH_TEMPLATE => self.match_templates.usage(),
            FlowObject::ACTION_TEMPLATE => self.action_templates.usage(),
            FlowObject::RULE => self.rule_usage,
            FlowObject::COUNTER => self.counters.usage(),
            FlowObject::METER => self.meters.usage(),
            FlowObject::ENCAP => self.encaps.usage(),
            FlowObject::TUNNEL_PORT => self.tunnels.usage(),
            _ => return None,
        })
    }

    /// The tables.
    pub fn tables(&self) -> impl Iterator<Item = (u32, &Table)> {
        self.tables.iter()
    }

    /// The sides of ports that are bound, and their tables.
    pub fn bound(&self) -> impl Iterator<Item = (u16, FlowDirection, u32)> + '_ {
        let ports = self.ports.iter();
        ports.map(|((port, direction), table)| (*port, *direction, *table))
    }

    /// Makes or changes a table.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn set_table(&mut self, set: &TableSet) -> Result<(), Refused> {
        let field = |offset| Place::Field(offset);
        ensure(TableView::ALL.contains(&set.view), Why::Invalid, field(6))?;
        ensure(TableMiss::ALL.contains(&set.miss), Why::Invalid, field(7))?;
        let offered = self.caps.misses & (1 << set.miss.0) != 0;
        ensure(offered, Why::Unsupported, field(7))?;
        let follows = set.miss == TableMiss::TABLE;
        ensure(follows || set.miss_table == 0, Why::Invalid, field(8))?;
        let create = set.flags & flow_set::CREATE != 0;
        if create {
            self.tables.vacant(set.id)?;
        }
        if follows {
            ensure(set.miss_table != set.id, Why::Conflict, field(8))?;
            self.tables.named(set.miss_table, field(8))?;
        }
        let old = match create {
            true => {
                self.tables.insert(set.id, Table::new(set));
                None
            }
            false => {
                let table = self.tables.named(set.id, Place::Object)?;
                ensure(table.view == set.view, Why::Conflict, field(6))?;
                (table.miss == TableMiss::TABLE).then_some(table.miss_table)
            }
        };
        if follows {
            self.tables.hold(set.miss_table);
        }
        if let Some(old) = old {
            self.tables.release(old);
        }
        if let Some(table) = self.tables.get_mut(set.id) {
            table.miss = set.miss;
            table.miss_table = set.miss_table;
            table.cookie = set.cookie;
        }
        Ok(())
    }

    /// Takes a table out that has no rules and that nothing names.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn destroy_table(&mut self, id: u32) -> Result<(), Refused> {
        let table = self.tables.remove(id)?;
        if table.miss == TableMiss::TABLE {
            self.tables.release(table.miss_table);
        }
        Ok(())
    }

    /// Binds a port, which the caller knows to be one, to a table, or to none.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn set_port_table(&mut self, set: &PortTable) -> Result<(), Refused> {
        let known = FlowDirection::ALL.contains(&set.direction);
        ensure(known, Why::Invalid, Place::Field(2))?;
        let key = (set.port, set.direction);
        let old = match set.table {
            NO_TABLE => self.ports.remove(&key),
            id => {
                let table = self.tables.named(id, Place::Field(4))?;
                let plain = table.view == TableView::PACKET;
                ensure(plain, Why::Conflict, Place::Field(4))?;
                self.tables.hold(id);
                self.ports.insert(key, id)
            }
        };
        if let Some(old) = old {
            self.tables.release(old);
        }
        Ok(())
    }

    /// Makes a match template.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn set_match_template(
        &mut self,
        id: u32,
        conditions: &[FlowCondition],
        masks: &[u8],
    ) -> Result<(), Refused> {
        self.match_templates.vacant(id)?;
        let template = MatchTemplate::new(&self.caps, conditions, masks)?;
        self.match_templates.insert(id, template);
        Ok(())
    }

    /// Takes a match template out that no rule has.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn destroy_match_template(&mut self, id: u32) -> Result<(), Refused> {
        self.match_templates.remove(id).map(|_| ())
    }

    /// Makes an action template.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn set_action_template(&mut self, id: u32, actions: &[FlowAction]) -> Result<(), Refused> {
        self.action_templates.vacant(id)?;
        let template = ActionTemplate::new(&self.caps, actions)?;
        let names = template.own_names();
        self.exist(&names)?;
        self.hold(&names);
        self.action_templates.insert(id, template);
        Ok(())
    }

    /// Takes an action template out that no rule has.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn destroy_action_template(&mut self, id: u32) -> Result<(), Refused> {
        let template = self.action_templates.remove(id)?;
        self.release(&template.own_names());
        Ok(())
    }

    /// Makes or changes headers.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn set_encap(&mut self, set: &EncapSet, headers: &[u8]) -> Result<(), Refused> {
        let create = set.flags & flow_set::CREATE != 0;
        if create {
            self.encaps.vacant(set.id)?;
        } else {
            let old = self.encaps.named(set.id, Place::Object)?;
            let same = old.kind() == set.kind;
            ensure(same, Why::Conflict, Place::Field(14))?;
        }
        let encap = Encap::new(&self.caps, set, headers)?;
        match self.encaps.get_mut(set.id) {
            Some(old) => *old = encap,
            None => self.encaps.insert(set.id, encap),
        }
        Ok(())
    }

    /// Takes headers out that nothing names.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn destroy_encap(&mut self, id: u32) -> Result<(), Refused> {
        self.encaps.remove(id).map(|_| ())
    }

    /// Makes or changes a meter. One that is changed starts anew, but for what it has counted.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn set_meter(&mut self, set: &MeterSet, now: u64) -> Result<(), Refused> {
        let known = MeterUnit::ALL.contains(&set.unit);
        ensure(known, Why::Invalid, Place::Field(6))?;
        let offered = self.caps.meter_units & (1 << set.unit.0) != 0;
        ensure(offered, Why::Unsupported, Place::Field(6))?;
        let none = set.unit == MeterUnit::NONE;
        ensure((set.rate == 0) == none, Why::Invalid, Place::Field(8))?;
        ensure(!none || set.burst == 0, Why::Invalid, Place::Field(16))?;
        if set.flags & flow_set::CREATE != 0 {
            self.meters.vacant(set.id)?;
            self.meters.insert(set.id, Meter::new(set, now));
            return Ok(());
        }
        self.meters.named(set.id, Place::Object)?;
        if let Some(meter) = self.meters.get_mut(set.id) {
            let stats = meter.stats;
            *meter = Meter::new(set, now);
            meter.stats = stats;
        }
        Ok(())
    }

    /// What a meter let pass, and what not.
    ///
    /// # Errors
    /// There is none.
    pub fn query_meter(&self, id: u32) -> Result<MeterStats, Refused> {
        Ok(self.meters.named(id, Place::Object)?.stats)
    }

    /// Takes a meter out that nothing names.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn destroy_meter(&mut self, id: u32) -> Result<(), Refused> {
        self.meters.remove(id).map(|_| ())
    }

    /// Frames to a UDP port, or of GRE, are looked at as tunnelled from now on, or no longer.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn set_tunnel_port(&mut self, set: &TunnelPort) -> Result<(), Refused> {
        self.tunnels.set(&self.caps, set)
    }

    /// Starts a counter from zero.
    ///
    /// # Errors
    /// There is none.
    pub fn reset_counter(&mut self, id: u32, generation: u32) -> Result<(), Refused> {
        self.counters.reset(id, generation)
    }
}
