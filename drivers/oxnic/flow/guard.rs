// SPDX-License-Identifier: GPL-2.0-only

//! The two tables that all tunnel and VLAN devices share, see [`super::tunnels`]: made for the first of them, and dropped with the last.

use super::{
    engine::Engine,
    refusal::Refusal,
    store::Store,
    tunnels::{log, Tunnels}, //
};
use crate::{cmd, command::told, device::Device};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc}, //
};
use oxnic_abi::{
    flow::{
        flow_set,
        table::{TableMiss, TableSet, TableView, NO_TABLE}, //
    },
    vport::EswitchPortKind,
};

/// What there is while a tunnel or VLAN device is bound.
pub(super) struct Tables {
    pub(super) guard: u32,
    pub(super) guard_there: bool,
    pub(super) dispatch: u32,
    pub(super) dispatch_there: bool,
    /// Numbers of wire ports.
    pub(super) wires: KVec<u16>,
}

/// Such a table, to be made.
pub(super) fn table(id: u32, view: TableView) -> TableSet {
    TableSet {
        id,
        flags: flow_set::CREATE,
        view,
        miss: TableMiss::DEFAULT,
        ..TableSet::ZERO
    }
}

impl Engine {
    /// Makes what all tunnel and VLAN devices share, for the first.
    pub(super) fn open_tables(
        &self,
        device: &Arc<Device>,
        stores: &[Arc<Store>],
        tunnels: &mut Tunnels,
    ) -> Result<(), Refusal> {
        if tunnels.tables.is_some() {
            return Ok(());
        }
        let mut wires = KVec::new();
        for index in 0..device.port_count() {
            let found = device
                .port_numbers
                .find(device, EswitchPortKind::WIRE, index)?;
            if let Some(port) = found {
                wires.push(port, GFP_KERNEL)?;
            }
        }
        let dispatch = self.new_table_id()?;
        let guard = self
            .new_table_id()
            .inspect_err(|_| self.tables.give(dispatch))?;
        let tables = tunnels.tables.insert(Tables {
            guard,
            guard_there: false,
            dispatch,
            dispatch_there: false,
            wires,
        });
        let made = self.make_tables(device, stores, tables);
        made.inspect_err(|_| self.close_tables(device, stores, tunnels, self.is_reached()))
    }

    /// Tells the device of the two tables. Where it is being reset it will be told.
    fn make_tables(
        &self,
        device: &Arc<Device>,
        stores: &[Arc<Store>],
        tables: &mut Tables,
    ) -> Result<(), Refusal> {
        if self.is_reached() {
            let make = |id, view| told(cmd::flow::table_set(device, &table(id, view)));
            tables.dispatch_there = make(tables.dispatch, TableView::TUNNEL)?;
            tables.guard_there = make(tables.guard, TableView::PACKET)?;
        }
        self.link(device, stores, &tables.wires, tables.guard)
    }

    /// Drops what all tunnel and VLAN devices share, if there is none of them.
    pub(super) fn close_tables(
        &self,
        device: &Arc<Device>,
        stores: &[Arc<Store>],
        tunnels: &mut Tunnels,
        reached: bool,
    ) {
        if !tunnels.bound.is_empty() || !tunnels.uppers.is_empty() {
            return;
        }
        let Some(tables) = tunnels.tables.take() else {
            return;
        };
        self.guard.store(NO_TABLE, Relaxed);
        if reached {
            if let Err(refusal) = self.link(device, stores, &tables.wires, NO_TABLE) {
                dev_err!(device.binding(), "tunnels: {}\n", refusal);
            }
        }
        for (id, there) in [
            (tables.guard, tables.guard_there),
            (tables.dispatch, tables.dispatch_there),
        ] {
            if !reached || !there {
                self.tables.give(id);
            } else {
                log(device, self.destroy_table(device, id));
            }
        }
    }
}
