// SPDX-License-Identifier: GPL-2.0-only

//! Tables of the device: one for each chain of a block.

use super::{
    engine::{has_ingress, port_table, Engine, Side},
    plan,
    refusal::Refusal,
    store::{Inner, Store, Table}, //
};
use crate::{
    cmd,
    command::{insist, told, CommandError},
    device::Device, //
};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc}, //
};
use oxnic_abi::flow::{
    flow_set,
    port::FlowDirection,
    table::{TableMiss, TableSet, TableView, NO_TABLE}, //
};
use oxnic_offload::rule::Chain;

impl Engine {
    /// The table of a chain of a block; makes it if there is none, in the device as well where that can be reached.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(super) fn table(
        &self,
        device: &Arc<Device>,
        store: &Store,
        inner: &mut Inner,
        chain: Chain,
    ) -> Result<u32, Refusal> {
        let reached = self.is_reached();
        let make = |id| match reached {
            true => told(cmd::flow::table_set(
                device,
                &self.new_table(id, store, chain),
            )),
            false => Ok(false),
        };
        if let Some(known) = inner.tables.iter_mut().find(|known| known.chain == chain.0) {
            if reached && !known.there {
                known.there = make(known.id)?;
            }
            return Ok(known.id);
        }
        inner.tables.reserve(1, GFP_KERNEL)?;
        let id = self.new_table_id()?;
        let there = make(id).inspect_err(|_| self.tables.give(id))?;
        let chain = chain.0;
        inner.tables.push(Table { chain, id, there }, GFP_KERNEL)?;
        Ok(id)
    }

    /// The id of a table.
    pub(super) fn new_table_id(&self) -> Result<u32, Refusal> {
        let limit = self.tables.limit();
        self.tables.take().map_err(|error| Refusal::Full {
            what: "tables",
            limit,
            error,
        })
    }

    /// The table of a chain. Packets that the first chain of ports does not take are looked at by the guard of tunnel and VLAN devices,
    /// while there is one.
    pub(super) fn new_table(&self, id: u32, store: &Store, chain: Chain) -> TableSet {
        let (tunnel, egress) = (store.tunnel.is_some(), store.block.is_egress());
        let (miss, cookie) = plan::miss(&self.caps, store, chain);
        let table = TableSet {
            id,
            flags: flow_set::CREATE,
            view: if tunnel {
                TableView::TUNNEL
            } else {
                TableView::PACKET
            },
            miss,
            cookie,
            ..TableSet::ZERO
        };
        let of_port = !tunnel && store.upper.is_none() && !egress;
        match self.guard.load(Relaxed) {
            guard if guard != NO_TABLE && chain == Chain(0) && of_port => TableSet {
                miss: TableMiss::TABLE,
                miss_table: guard,
                ..table
            },
            _ => table,
        }
    }

    /// Lets all packets that no rule of a port takes be looked at by the guard of tunnel and VLAN devices, or by none.
    pub(super) fn link(
        &self,
        device: &Arc<Device>,
        stores: &[Arc<Store>],
        wires: &[u16],
        guard: u32,
    ) -> Result<(), Refusal> {
        self.guard.store(guard, Relaxed);
        if !self.is_reached() {
            return Ok(());
        }
        let of_port = |store: &&Arc<Store>| store.tunnel.is_none() && store.upper.is_none();
        for store in stores.iter().filter(of_port) {
            let inner = store.inner.lock();
            // What the device has not it gets as it is to be.
            let mut first = inner
                .tables
                .iter()
                .filter(|table| table.chain == 0 && table.there);
            if let Some(table) = first.next() {
                let table = self.new_table(table.id, store, Chain(0));
                told(cmd::flow::table_set(
                    device,
                    &TableSet { flags: 0, ..table },
                ))?;
            }
        }
        for port in wires.iter().filter(|port| !has_ingress(stores, **port)) {
            let side = Side {
                port: *port,
                direction: FlowDirection::INGRESS,
            };
            told(cmd::flow::port_table(device, &port_table(side, guard)))?;
        }
        Ok(())
    }

    /// Drops the tables of a block if nothing is bound to it any more, from the device too if it can be reached.
    pub(super) fn forget(
        &self,
        device: &Arc<Device>,
        stores: &mut KVec<Arc<Store>>,
        store: &Arc<Store>,
        reached: bool,
    ) {
        let mut inner = store.inner.lock();
        if !inner.sides.is_empty() {
            return;
        }
        stores.retain(|known| !Arc::ptr_eq(known, store));
        for Table { chain, id, there } in inner.tables.drain_all() {
            if !reached || !there {
                self.tables.give(id);
            } else if let Err(error) = self.destroy_table(device, id) {
                dev_err!(device.binding(), "chain {}: {}\n", chain, error);
            }
        }
    }

    /// Takes a table out of the device, and gives its id back.
    pub(super) fn destroy_table(&self, device: &Arc<Device>, id: u32) -> Result<(), CommandError> {
        let destroyed = insist(
            || cmd::flow::table_destroy(device, id),
            CommandError::is_refusal,
        );
        self.tables.give_destroyed(id, destroyed)
    }
}
