// SPDX-License-Identifier: GPL-2.0-only

//! Tables of the device: one for each chain of a block, as long as there is a rule in the chain or one that leads to it. That of the first
//! chain is there while the block is bound.

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
use oxnic_offload::rule::{Chain, Rule};

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
        let table = Table {
            chain: chain.0,
            id,
            there,
            users: 0,
        };
        inner.tables.push(table, GFP_KERNEL)?;
        Ok(id)
    }

    /// As [`Self::table`], for a rule that is in the chain, or leads to it, until [`Self::release_table`].
    ///
    /// # Errors
    ///
    /// There is none.
    pub(super) fn hold_table(
        &self,
        device: &Arc<Device>,
        store: &Store,
        inner: &mut Inner,
        chain: Chain,
    ) -> Result<(), Refusal> {
        self.table(device, store, inner, chain)?;
        let mut tables = inner.tables.iter_mut();
        if let Some(table) = tables.find(|table| table.chain == chain.0) {
            table.users = table.users.checked_add(1).ok_or(Refusal::Memory)?;
        }
        Ok(())
    }

    /// Holds the tables that a rule leads to, and gives their chains.
    ///
    /// # Errors
    ///
    /// There is one that cannot be had; none is held.
    pub(super) fn hold_targets(
        &self,
        device: &Arc<Device>,
        store: &Store,
        rule: &Rule<'_>,
    ) -> Result<KVec<u32>, Refusal> {
        let mut held = KVec::new();
        // The first is its own.
        for chain in plan::named_chains(rule).skip(1) {
            let got = held
                .reserve(1, GFP_KERNEL)
                .map_err(Refusal::from)
                .and_then(|()| self.hold_table(device, store, &mut store.inner.lock(), chain));
            if let Err(refusal) = got {
                self.release_tables(device, store, &held);
                return Err(refusal);
            }
            // There is room.
            let _ = held.push(chain.0, GFP_KERNEL);
        }
        Ok(held)
    }

    /// A rule that was in the chain, or led to it, is gone from the device as well. With the last one the table goes, but for that of the
    /// first chain.
    pub(super) fn release_table(&self, device: &Arc<Device>, store: &Store, chain: u32) {
        let mut inner = store.inner.lock();
        let at = inner.tables.iter().position(|table| table.chain == chain);
        let Some(at) = at else {
            return;
        };
        let users = &mut inner.tables[at].users;
        *users = users.saturating_sub(1);
        if *users > 0 || chain == 0 {
            return;
        }
        if let Ok(table) = inner.tables.remove(at) {
            self.drop_table(device, &table, self.is_reached());
        }
    }

    /// The same, of several chains.
    pub(super) fn release_tables(&self, device: &Arc<Device>, store: &Store, chains: &[u32]) {
        for chain in chains {
            self.release_table(device, store, *chain);
        }
    }

    /// A table is not needed any more: takes it out of the device if that has it and can be reached.
    fn drop_table(&self, device: &Arc<Device>, table: &Table, reached: bool) {
        if !reached || !table.there {
            self.tables.give(table.id);
        } else if let Err(error) = self.destroy_table(device, table.id) {
            dev_err!(device.binding(), "chain {}: {}\n", table.chain, error);
        }
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
        for table in inner.tables.drain_all() {
            self.drop_table(device, &table, reached);
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
