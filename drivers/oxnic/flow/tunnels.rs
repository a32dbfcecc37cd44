// SPDX-License-Identifier: GPL-2.0-only

//! Tunnel devices that are bound to blocks, and how packets get to their tables.
//!
//! ```text
//!   wire port's own rules --miss--> guard (view PACKET) --> dispatch (view TUNNEL) --> chain 0 of a tunnel device (view TUNNEL)
//! ```
//!
//! The guard has a rule for each address of the host that rules of tunnel devices are about: packets to it that came in at the right
//! wire port, with the right hardware address and tags, are looked at further. So nothing is taken out of a tunnel that the host
//! itself would not have: when the address goes away, or moves, so does the rule. Dispatch has a rule for each tunnel device. What
//! misses anywhere goes up as it came. VLAN devices share the guard ([`super::uppers`]).
//!
//! [`Tunnels`] is behind a mutex, under that of the list of blocks; it is held while the device carries out requests about rules of the
//! driver's own, which are few.

use super::{
    engine::{new_store, port_table, Engine, Side},
    exactly::Exactly,
    gaps::Gaps,
    guard::{table, Tables},
    locals::Local,
    own_rule::OwnRule,
    refusal::Refusal,
    store::{BlockSide, Store},
    tunnel::Tunnel,
    uppers::BoundUpper, //
};
use crate::{
    cmd,
    command::{told, CommandError},
    device::Device, //
};
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::flow::{
    port::FlowDirection,
    table::{TableView, NO_TABLE},
    tunnel::{tunnel_flags, TunnelPort}, //
};
use oxnic_kapi::net::netdev::Device as NetDevice;
use oxnic_offload::{plan::TunnelId, rule::Chain};

/// The tunnel devices of an engine.
pub(crate) struct Tunnels {
    pub(super) tables: Option<Tables>,
    /// Ports that are on, and how many tunnel devices have them.
    ports: KVec<(TunnelPort, u32)>,
    pub(super) bound: KVec<Bound>,
    /// VLAN devices that are bound.
    pub(super) uppers: KVec<BoundUpper>,
    pub(super) locals: KVec<Local>,
    /// The number of the next address.
    pub(super) next: u32,
}

/// A tunnel device that is bound to a block.
pub(super) struct Bound {
    store: Arc<Store>,
    tunnel: Tunnel,
    /// The device was changed, so that all its rules were for another one.
    changed: bool,
    /// Brings packets to its table; none while it does not receive any, and once it was changed.
    dispatch: Option<OwnRule>,
}

impl Bound {
    /// Whether its rules are about what the device receives now: a closed one receives nothing.
    fn receives(&self) -> bool {
        !self.changed && self.tunnel.netdev.is_running()
    }
}

impl Tunnels {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            tables: None,
            ports: KVec::new(),
            bound: KVec::new(),
            uppers: KVec::new(),
            locals: KVec::new(),
            next: 0,
        }
    }

    /// Whether addresses are to be followed.
    pub(crate) fn has_locals(&self) -> bool {
        !self.locals.is_empty()
    }

    /// The table that a side of a port has without a block.
    pub(crate) fn resting(&self, side: Side) -> u32 {
        let ingress = side.direction == FlowDirection::INGRESS;
        match &self.tables {
            Some(tables) if ingress && self.watches(tables, side.port) => tables.guard,
            _ => NO_TABLE,
        }
    }

    /// Whether packets of a port may be those of a tunnel or VLAN device.
    fn watches(&self, tables: &Tables, port: u16) -> bool {
        tables.wires.contains(&port) || self.uppers.iter().any(|upper| upper.port() == port)
    }

    /// The table that packets go on in that no rule of a port takes.
    pub(super) fn guard(&self) -> Option<u32> {
        self.tables.as_ref().map(|tables| tables.guard)
    }

    /// The device was reset, and has nothing of this.
    pub(crate) fn lose(&mut self) {
        if let Some(tables) = &mut self.tables {
            (tables.guard_there, tables.dispatch_there) = (false, false);
        }
        self.own_rules().for_each(|own| own.there = false);
    }

    /// Tells the device of what all tunnel devices share, as far as it does not have it: before tables of blocks.
    ///
    /// # Errors
    ///
    /// It cannot be reached.
    pub(crate) fn put_back(
        &mut self,
        device: &Arc<Device>,
        gaps: &mut Gaps<'_>,
    ) -> Result<(), Refusal> {
        let Some(tables) = &mut self.tables else {
            return Ok(());
        };
        for (id, there, view) in [
            (
                tables.dispatch,
                &mut tables.dispatch_there,
                TableView::TUNNEL,
            ),
            (tables.guard, &mut tables.guard_there, TableView::PACKET),
        ] {
            if !*there {
                let set = cmd::flow::table_set(device, &table(id, view));
                *there = gaps.object(device, "table", id, set)?;
            }
        }
        for (port, _) in self.ports.iter() {
            let number = u16::from_be_bytes(port.port).into();
            gaps.object(
                device,
                "tunnel port",
                number,
                cmd::flow::tunnel_port(device, port),
            )?;
        }
        Ok(())
    }

    /// The rules of the driver's own.
    pub(crate) fn own_rules(&mut self) -> impl Iterator<Item = &mut OwnRule> {
        let bound = self.bound.iter_mut();
        let dispatch = bound.filter_map(|bound| bound.dispatch.as_mut());
        let locals = self.locals.iter_mut();
        let guard = locals.filter_map(|local| local.guard.as_mut());
        let uppers = self.uppers.iter_mut();
        let uppers = uppers.filter_map(|upper| upper.dispatch.as_mut());
        Iterator::chain(Iterator::chain(dispatch, guard), uppers)
    }

    /// Binds ports that have no block: behind all others.
    ///
    /// # Errors
    ///
    /// The device cannot be reached.
    pub(crate) fn put_ports_back(
        &self,
        device: &Arc<Device>,
        bound: impl Fn(u16) -> bool,
        gaps: &mut Gaps<'_>,
    ) -> Result<(), Refusal> {
        let Some(tables) = &self.tables else {
            return Ok(());
        };
        let wires = tables.wires.iter().copied();
        let ports = Iterator::chain(wires, self.uppers.iter().map(BoundUpper::port));
        for port in ports.filter(|port| !bound(*port)) {
            let set = cmd::flow::port_table(device, &ingress(port, tables.guard));
            gaps.object(device, "port", port.into(), set)?;
        }
        Ok(())
    }

    /// One more tunnel device has this port.
    fn open_port(
        &mut self,
        device: &Arc<Device>,
        port: TunnelPort,
        reached: bool,
    ) -> Result<(), Refusal> {
        let same = |(has, _): &&mut (TunnelPort, u32)| has.port == port.port;
        if let Some((has, users)) = self.ports.iter_mut().find(same) {
            if *has != port {
                return Err(Refusal::Tunnel(
                    "a port that another one has with other settings",
                ));
            }
            *users += 1;
            return Ok(());
        }
        self.ports.reserve(1, GFP_KERNEL)?;
        if reached {
            told(cmd::flow::tunnel_port(device, &port))?;
        }
        self.ports.push((port, 1), GFP_KERNEL)?;
        Ok(())
    }

    fn close_port(&mut self, device: &Arc<Device>, port: &TunnelPort, reached: bool) {
        let same = |(has, _): &(TunnelPort, u32)| has.port == port.port;
        let Some(at) = self.ports.iter().position(same) else {
            return;
        };
        self.ports[at].1 -= 1;
        if self.ports[at].1 > 0 {
            return;
        }
        let off = TunnelPort {
            flags: self.ports[at].0.flags & !tunnel_flags::ALL,
            ..self.ports[at].0
        };
        // `at` was found above.
        let _ = self.ports.remove(at);
        if reached {
            log(device, cmd::flow::tunnel_port(device, &off));
        }
    }
}

fn ingress(port: u16, table: u32) -> oxnic_abi::flow::port::PortTable {
    let side = Side {
        port,
        direction: FlowDirection::INGRESS,
    };
    port_table(side, table)
}

/// Tells who looks into the log what the device has not done.
pub(super) fn log(device: &Arc<Device>, result: Result<(), CommandError>) {
    if let Err(error) = result {
        dev_err!(device.binding(), "tunnels: {}\n", error);
    }
}

impl Engine {
    /// Binds a tunnel device to a block, which nothing else is bound to. Answers what is kept of the block.
    ///
    /// # Errors
    ///
    /// It is not bound.
    pub(crate) fn bind_tunnel(
        &self,
        device: &Arc<Device>,
        block: BlockSide,
        tunnel: Tunnel,
    ) -> Result<Arc<Store>, Refusal> {
        let _going = self.gate.read();
        self.check(device)?;
        let reached = self.is_reached();
        let mut stores = self.stores.lock();
        if stores.iter().any(|store| store.block == block) {
            return Err(Refusal::Tunnel("a block that it shares"));
        }
        let mut tunnels = self.tunnels.lock();
        self.open_tables(device, &stores, &mut tunnels)?;
        let port = tunnel.port();
        let bound = tunnels.open_port(device, port, reached).and_then(|()| {
            let store = self.bind_store(device, &mut stores, &mut tunnels, block, tunnel);
            store.inspect_err(|_| tunnels.close_port(device, &port, self.is_reached()))
        });
        bound.inspect_err(|_| self.close_tables(device, &stores, &mut tunnels, self.is_reached()))
    }

    fn bind_store(
        &self,
        device: &Arc<Device>,
        stores: &mut KVec<Arc<Store>>,
        tunnels: &mut Tunnels,
        block: BlockSide,
        tunnel: Tunnel,
    ) -> Result<Arc<Store>, Refusal> {
        tunnels.bound.reserve(1, GFP_KERNEL)?;
        let store = new_store(stores, block, true, Some(tunnel.clone()), None)?;
        let mut bound = Bound {
            store: store.clone(),
            tunnel,
            changed: false,
            dispatch: None,
        };
        let table = self.table(device, &store, &mut store.inner.lock(), Chain(0));
        let entered = table.and_then(|table| {
            if bound.receives() {
                bound.dispatch = Some(self.add_entry(device, tunnels, &bound.tunnel, table)?);
            }
            Ok(())
        });
        match entered {
            Ok(()) => {
                // There is room, see above.
                let _ = tunnels.bound.push(bound, GFP_KERNEL);
                Ok(store)
            }
            Err(refusal) => {
                self.forget(device, stores, &store, self.is_reached());
                Err(refusal)
            }
        }
    }

    /// Brings packets of a tunnel device to its table.
    fn add_entry(
        &self,
        device: &Arc<Device>,
        tunnels: &Tunnels,
        tunnel: &Tunnel,
        table: u32,
    ) -> Result<OwnRule, Refusal> {
        let exactly = Exactly::of_tunnel(tunnel)?;
        // A device of its own identifier comes before one that takes all.
        let priority = u32::from(tunnel.device.id == TunnelId::External);
        let dispatch = tunnels.tables.as_ref().ok_or(Refusal::Lost)?.dispatch;
        self.add_own(device, (dispatch, priority), &exactly, 0, table)
    }

    /// Unbinds a tunnel device. Its rules were destroyed.
    pub(crate) fn unbind_tunnel(&self, device: &Arc<Device>, store: &Arc<Store>) {
        let _going = self.gate.read();
        let reached = self.is_reached();
        let mut stores = self.stores.lock();
        let mut tunnels = self.tunnels.lock();
        let at = tunnels
            .bound
            .iter()
            .position(|bound| Arc::ptr_eq(&bound.store, store));
        if let Some(Ok(bound)) = at.map(|at| tunnels.bound.remove(at)) {
            if let Some(rule) = bound.dispatch {
                self.remove_own(device, rule, reached);
            }
            tunnels.close_port(device, &bound.tunnel.port(), reached);
        }
        self.forget(device, &mut stores, store, reached);
        self.close_tables(device, &stores, &mut tunnels, reached);
    }

    /// A tunnel device may have been opened, closed or changed. Rules that were made for what it was are not used any more.
    pub(crate) fn check_tunnel(&self, device: &Arc<Device>, netdev: &NetDevice) {
        let now = Tunnel::read(netdev, 0);
        let _going = self.gate.read();
        let mut tunnels = self.tunnels.lock();
        for at in 0..tunnels.bound.len() {
            let bound = &mut tunnels.bound[at];
            if !core::ptr::eq::<NetDevice>(&*bound.tunnel.netdev, netdev) {
                continue;
            }
            let same = now
                .as_ref()
                .is_ok_and(|now| now.configured == bound.tunnel.configured);
            if !same && !core::mem::replace(&mut bound.changed, true) {
                dev_warn!(
                    device.binding(),
                    "{}: it was changed, its rules are not used any more\n",
                    netdev.name()
                );
            }
            self.settle_tunnel(device, &mut tunnels, at);
        }
        drop(tunnels);
        self.encaps.lock().reread(device, netdev, now.ok());
    }

    /// Looks at all tunnel devices again: while the device was being reset, changes could not be told.
    pub(super) fn settle_tunnels(&self, device: &Arc<Device>) {
        let mut tunnels = self.tunnels.lock();
        for at in 0..tunnels.bound.len() {
            self.settle_tunnel(device, &mut tunnels, at);
        }
    }

    /// Lets packets into the table of a tunnel device if it receives any, and else none.
    fn settle_tunnel(&self, device: &Arc<Device>, tunnels: &mut Tunnels, at: usize) {
        let bound = &mut tunnels.bound[at];
        if bound.receives() == bound.dispatch.is_some() {
            return;
        }
        if let Some(rule) = bound.dispatch.take() {
            return self.remove_own(device, rule, self.is_reached());
        }
        let bound = &tunnels.bound[at];
        let table = bound.store.inner.lock().table(0).ok_or(Refusal::Lost);
        let entry = table.and_then(|table| self.add_entry(device, tunnels, &bound.tunnel, table));
        match entry {
            Ok(rule) => tunnels.bound[at].dispatch = Some(rule),
            // It is looked at again when the device was reset.
            Err(Refusal::Unreached(_)) => {}
            Err(refusal) => dev_err!(device.binding(), "tunnels: {}\n", refusal),
        }
    }

    /// A tunnel device is going.
    pub(crate) fn forget_tunnel(&self, device: &Arc<Device>, netdev: &NetDevice) {
        let _going = self.gate.read();
        self.encaps.lock().forget(device, netdev);
    }
}
