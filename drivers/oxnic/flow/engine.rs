// SPDX-License-Identifier: GPL-2.0-only

//! The flow engine of an eswitch, from the first interface that is bound to a block until the last one is unbound.
//!
//! `state` is a mutex over all that the driver keeps of objects; commands run under it, requests about rules do not. It is taken
//! with RTNL held or not, and nothing else is taken under it but the lock of the admin queue. A reset takes all objects away;
//! [`super::restore`] puts them back. Where that fails the engine stays stopped, refuses rules, and goes when the last interface is
//! unbound.

use super::{
    counters::Counters,
    ids::Ids,
    meters::Meters,
    plan,
    queue::FlowQueue,
    refusal::Refusal,
    store::{BlockSide, Store},
    template::{Kind, Templates},
};
use crate::{cmd, command::CommandError, device::Device};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex}, //
};
use oxnic_abi::flow::{
    capability::FlowCaps,
    flow_set,
    port::{FlowDirection, PortTable},
    table::{TableSet, TableView, NO_TABLE},
};
use oxnic_abi::vport::EswitchPortKind;
use oxnic_offload::rule::Chain;

/// A side of a port of the eswitch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    /// The port's number.
    pub(crate) port: u16,
    /// Which way frames pass it.
    pub(crate) direction: FlowDirection,
}

/// What the driver keeps of objects.
pub(crate) struct State {
    pub(crate) counters: Counters,
    pub(crate) matches: Templates,
    pub(crate) actions: Templates,
    pub(crate) meters: Meters,
    pub(crate) rules: Ids,
    tables: Ids,
    pub(crate) stores: KVec<Store>,
    /// How often everything was put back after a reset.
    pub(crate) epoch: u32,
}

/// The flow engine.
#[pin_data]
pub(crate) struct Engine {
    pub(crate) caps: FlowCaps,
    #[pin]
    pub(crate) queue: FlowQueue,
    #[pin]
    pub(crate) state: Mutex<State>,
}

impl Engine {
    /// Starts the engine.
    ///
    /// # Errors
    ///
    /// The device has none, or not what it takes.
    fn start(device: &Arc<Device>) -> Result<Arc<Self>, Refusal> {
        let caps = cmd::caps::flow(device).map_err(|_| Refusal::NoEngine)?;
        let queue = FlowQueue::new(device, caps.queue_log2_max).map_err(|_| Refusal::Memory)?;
        let state = State {
            counters: Counters::new(caps.counters, caps.counter_period_min),
            matches: Templates::new(caps.match_templates, Kind::Match),
            actions: Templates::new(caps.action_templates, Kind::Action),
            meters: Meters::new(caps.meters),
            rules: Ids::new(caps.rules),
            tables: Ids::new(caps.tables),
            stores: KVec::new(),
            epoch: 0,
        };
        let engine = Arc::pin_init(
            try_pin_init!(Self {
                caps,
                queue <- queue,
                state <- new_mutex!(state),
            }),
            GFP_KERNEL,
        )
        .map_err(|_| Refusal::Memory)?;
        engine.queue.create(device)?;
        Ok(engine)
    }

    /// Takes from the device what it writes to. Nothing is bound any more.
    ///
    /// # Errors
    ///
    /// It may still write.
    fn end(&self, device: &Arc<Device>) -> Result<(), CommandError> {
        let queue = self.queue.destroy(device);
        self.state.lock().counters.withdraw(device)?;
        queue
    }

    /// Binds a side of a port to a block.
    ///
    /// # Errors
    ///
    /// It is not bound.
    pub(crate) fn bind(
        &self,
        device: &Arc<Device>,
        block: BlockSide,
        side: Side,
    ) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.store(block).is_none() {
            state.stores.push(Store::new(block), GFP_KERNEL)?;
        }
        let bound = state.bind(device, &self.caps, block, side);
        if bound.is_err() {
            state.forget(device, block, true);
        }
        bound
    }

    /// Unbinds a side of a port. Its rules were destroyed.
    pub(crate) fn unbind(&self, device: &Arc<Device>, block: BlockSide, side: Side) {
        let reached = self.queue.is_started();
        let mut state = self.state.lock();
        if reached {
            if let Err(error) = cmd::flow::port_table(device, &port_table(side, NO_TABLE)) {
                dev_err!(device.binding(), "{}\n", error);
            }
        }
        if let Some(store) = state.store(block) {
            store.sides.retain(|bound| *bound != side);
        }
        state.forget(device, block, reached);
    }
}

/// A side that is bound to a table.
pub(super) fn port_table(side: Side, table: u32) -> PortTable {
    PortTable {
        port: side.port,
        direction: side.direction,
        table,
    }
}

/// The table of a chain.
pub(super) fn new_table(caps: &FlowCaps, id: u32, block: BlockSide, chain: Chain) -> TableSet {
    TableSet {
        id,
        flags: flow_set::CREATE,
        view: TableView::PACKET,
        miss: plan::miss(caps, block.is_egress(), chain),
        ..TableSet::ZERO
    }
}

impl State {
    /// What is in the device for a block.
    pub(crate) fn store(&mut self, block: BlockSide) -> Option<&mut Store> {
        self.stores.iter_mut().find(|store| store.block == block)
    }

    fn bind(
        &mut self,
        device: &Arc<Device>,
        caps: &FlowCaps,
        block: BlockSide,
        side: Side,
    ) -> Result<(), Refusal> {
        let table = self.table(device, caps, block, Chain(0))?;
        let store = self.store(block).ok_or(Refusal::Lost)?;
        store.sides.reserve(1, GFP_KERNEL)?;
        cmd::flow::port_table(device, &port_table(side, table))?;
        store.sides.push(side, GFP_KERNEL)?;
        Ok(())
    }

    /// Whether a port is bound to a block.
    fn is_bound(&self, port: u16) -> bool {
        let mut sides = self.stores.iter().flat_map(|store| store.sides.iter());
        sides.any(|side| side.port == port)
    }

    /// Whether there are rules that a port has to do with.
    fn has_rules(&self, port: u16) -> bool {
        let mut stores = self.stores.iter();
        stores.any(|store| !store.is_empty() && store.sides.iter().any(|side| side.port == port))
    }

    /// The table of a chain of a block; makes it if there is none.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn table(
        &mut self,
        device: &Arc<Device>,
        caps: &FlowCaps,
        block: BlockSide,
        chain: Chain,
    ) -> Result<u32, Refusal> {
        let limit = self.tables.limit();
        let store = self.stores.iter_mut().find(|store| store.block == block);
        let store = store.ok_or(Refusal::NoEngine)?;
        if let Some(table) = store.table(chain.0) {
            return Ok(table);
        }
        store.tables.reserve(1, GFP_KERNEL)?;
        let id = self.tables.take().map_err(|error| Refusal::Full {
            what: "tables",
            limit,
            error,
        })?;
        if let Err(error) = cmd::flow::table_set(device, &new_table(caps, id, block, chain)) {
            self.tables.give(id);
            return Err(error.into());
        }
        store.tables.push((chain.0, id), GFP_KERNEL)?;
        Ok(id)
    }

    /// Drops the tables of a block that nothing is bound to any more, from the device too if it can be reached.
    fn forget(&mut self, device: &Arc<Device>, block: BlockSide, reached: bool) {
        let unbound = |store: &Store| store.block == block && store.sides.is_empty();
        let Some(at) = self.stores.iter().position(unbound) else {
            return;
        };
        let Ok(store) = self.stores.remove(at) else {
            return;
        };
        for (chain, table) in store.tables {
            if !reached {
                self.tables.give(table);
                continue;
            }
            match cmd::flow::table_destroy(device, table) {
                Ok(()) => self.tables.give(table),
                Err(error) => dev_err!(device.binding(), "chain {}: {}\n", chain, error),
            }
        }
    }
}

/// The engine of a function, while it has one.
pub(crate) struct Holder {
    engine: Option<Arc<Engine>>,
    /// Bindings.
    users: u32,
    /// What the device may still write to.
    defunct: KVec<Arc<Engine>>,
}

impl Holder {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            engine: None,
            users: 0,
            defunct: KVec::new(),
        }
    }

    /// The engine, if there is one.
    pub(crate) fn engine(&self) -> Option<Arc<Engine>> {
        self.engine.clone()
    }
}

impl Device {
    /// The engine, for one more binding; starts it for the first.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn join_flow(self: &Arc<Self>) -> Result<Arc<Engine>, Refusal> {
        let mut holder = self.flow.lock();
        holder.defunct.reserve(1, GFP_KERNEL)?;
        let engine = match &holder.engine {
            Some(engine) if engine.queue.is_started() => engine.clone(),
            Some(_) => return Err(Refusal::Lost),
            None => Engine::start(self)?,
        };
        holder.engine = Some(engine.clone());
        holder.users += 1;
        Ok(engine)
    }

    /// A binding is gone. With the last one the engine goes.
    pub(crate) fn leave_flow(self: &Arc<Self>) {
        let mut holder = self.flow.lock();
        holder.users -= 1;
        if holder.users > 0 {
            return;
        }
        let Some(engine) = holder.engine.take() else {
            return;
        };
        if let Err(error) = engine.end(self) {
            if !self.is_silent() {
                dev_err!(self.binding(), "flow engine: {}\n", error);
                // There is room since it was joined.
                let _ = holder.defunct.push(engine, GFP_KERNEL);
            }
        }
    }

    /// Whether the engine has rules that a port has to do with.
    pub(crate) fn has_flow_rules(&self, port: u16) -> bool {
        let engine = self.flow.lock().engine.clone();
        engine.is_some_and(|engine| engine.state.lock().has_rules(port))
    }

    /// Whether a wire port is bound to a block.
    pub(crate) fn has_flow_on_wires(self: &Arc<Self>) -> bool {
        let Some(engine) = self.flow.lock().engine.clone() else {
            return false;
        };
        let wires = 0..self.port_count();
        let mut numbers = wires.filter_map(|index| {
            let found = self.port_numbers.find(self, EswitchPortKind::WIRE, index);
            found.ok().flatten()
        });
        numbers.any(|port| engine.state.lock().is_bound(port))
    }

    /// The function is about to be reset, or cannot be reached: nobody waits for results any more.
    pub(crate) fn stop_flow(&self) {
        if let Some(engine) = &self.flow.lock().engine {
            engine.queue.stop();
        }
    }

    /// The function was reset: it writes nothing any more, and has no objects.
    pub(crate) fn release_flow(&self) {
        self.flow.lock().defunct.clear();
    }
}
