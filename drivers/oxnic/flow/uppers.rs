// SPDX-License-Identifier: GPL-2.0-only

//! VLAN devices that are bound to blocks, and how packets get to their tables.
//!
//! ```text
//!   a port's own rules --miss--> guard (view PACKET) --without the tags--> chain 0 of a VLAN device
//! ```
//!
//! The guard is that of tunnel devices ([`super::tunnels`]), whose rules come behind those of VLAN devices: in software a frame gets to a
//! VLAN device before anybody looks into it. What misses in a VLAN device's tables goes up as it came, with its tags. A VLAN device that
//! is closed drops what it receives; that is left to software. Of two VLAN devices one above the other, only one can be bound:
//! what the rules of the lower one leave over would have to go on to those of the upper one, and would be without a tag when it goes up.
//!
//! They are kept under the lock of tunnel devices.

use super::{
    engine::{has_ingress, new_store, port_table, Engine, Side},
    exactly::Exactly,
    own_rule::OwnRule,
    plan,
    refusal::Refusal,
    store::{BlockSide, Store},
    tunnels::Tunnels,
    upper::Upper, //
};
use crate::{cmd, command::told, device::Device};
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::flow::{field::FlowField, port::FlowDirection};
use oxnic_kapi::net::netdev::Device as NetDevice;
use oxnic_offload::{
    plan::{chains, Statistics, UpperDevice},
    rule::Chain,
};

/// A VLAN device that is bound to a block.
pub(super) struct BoundUpper {
    store: Arc<Store>,
    device: UpperDevice,
    /// Brings packets to its table; none while it does not receive any.
    pub(super) dispatch: Option<OwnRule>,
}

impl BoundUpper {
    /// The port below.
    pub(super) fn port(&self) -> u16 {
        self.device.port
    }

    fn is(&self, netdev: &NetDevice) -> bool {
        let upper = self.store.upper.as_ref();
        upper.is_some_and(|upper| core::ptr::eq::<NetDevice>(&*upper.netdev, netdev))
    }
}

/// What frames of a VLAN device have.
fn of_upper(device: &UpperDevice) -> Result<Exactly, Refusal> {
    const TAGS: [(FlowField, FlowField); 2] = [
        (FlowField::VLAN_ID, FlowField::VLAN_TPID),
        (FlowField::CVLAN_ID, FlowField::CVLAN_TPID),
    ];
    let mut exactly = Exactly::default();
    exactly.add(
        FlowField::INGRESS_PORT,
        &u32::from(device.port).to_be_bytes(),
    )?;
    for ((id, tpid), (has_tpid, tci)) in TAGS.iter().zip(device.tags()) {
        exactly.add(*id, &(tci & 0xfff).to_be_bytes())?;
        exactly.add(*tpid, &has_tpid.to_be_bytes())?;
    }
    Ok(exactly)
}

impl Engine {
    /// Binds a VLAN device to a block, which nothing else is bound to. Answers what is kept of the block.
    ///
    /// # Errors
    ///
    /// It is not bound.
    pub(crate) fn bind_upper(
        &self,
        device: &Arc<Device>,
        block: BlockSide,
        upper: Upper,
    ) -> Result<Arc<Store>, Refusal> {
        let _going = self.gate.read();
        self.check(device)?;
        let mut stores = self.stores.lock();
        if stores.iter().any(|store| store.block == block) {
            return Err(Refusal::Vlan("a block that it shares"));
        }
        let mut above = stores.iter().filter_map(|store| store.upper.as_ref());
        if above.any(|other| other.overlaps(&upper)) {
            return Err(Refusal::Vlan(
                "filters on it and on one above or below, both,",
            ));
        }
        let mut tunnels = self.tunnels.lock();
        self.open_tables(device, &stores, &mut tunnels)?;
        let known = upper.device;
        let bound = new_store(&mut stores, block, true, None, Some(upper)).and_then(|store| {
            let entered = self.enter_upper(device, &stores, &mut tunnels, &store, known);
            match entered {
                Ok(()) => Ok(store),
                Err(refusal) => {
                    self.forget(device, &mut stores, &store, self.is_reached());
                    Err(refusal)
                }
            }
        });
        bound.inspect_err(|_| self.close_tables(device, &stores, &mut tunnels, self.is_reached()))
    }

    /// Lets packets into the tables of a VLAN device.
    fn enter_upper(
        &self,
        device: &Arc<Device>,
        stores: &[Arc<Store>],
        tunnels: &mut Tunnels,
        store: &Arc<Store>,
        known: UpperDevice,
    ) -> Result<(), Refusal> {
        if !chains::rewinds(&plan::context(&self.caps, store, false, Statistics::Off)) {
            return Err(Refusal::Vlan("a device that cannot take back"));
        }
        let table = self.table(device, store, &mut store.inner.lock(), Chain(0))?;
        tunnels.uppers.reserve(1, GFP_KERNEL)?;
        let receives = store
            .upper
            .as_ref()
            .is_some_and(|upper| Upper::receives(&upper.netdev));
        let dispatch = match receives {
            true => Some(self.add_dispatch(device, tunnels, &known, table)?),
            false => None,
        };
        let rested = tunnels.resting(ingress_of(known.port));
        let bound = BoundUpper {
            store: store.clone(),
            device: known,
            dispatch,
        };
        // There is room, see above.
        let _ = tunnels.uppers.push(bound, GFP_KERNEL);
        let resting = tunnels.resting(ingress_of(known.port));
        // Where it is being reset, it will be told.
        if self.is_reached() && rested != resting && !has_ingress(stores, known.port) {
            let set = port_table(ingress_of(known.port), resting);
            if let Err(error) = told(cmd::flow::port_table(device, &set)) {
                if let Some(dispatch) = tunnels.uppers.pop().and_then(|bound| bound.dispatch) {
                    self.remove_own(device, dispatch, self.is_reached());
                }
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn add_dispatch(
        &self,
        device: &Arc<Device>,
        tunnels: &Tunnels,
        known: &UpperDevice,
        table: u32,
    ) -> Result<OwnRule, Refusal> {
        let exactly = of_upper(known)?;
        let guard = tunnels.guard().ok_or(Refusal::Lost)?;
        let pops = known.tags().len();
        self.add_own(device, (guard, 0), &exactly, pops, table)
    }

    /// Unbinds a VLAN device. Its rules were destroyed.
    pub(crate) fn unbind_upper(&self, device: &Arc<Device>, store: &Arc<Store>) {
        let _going = self.gate.read();
        let reached = self.is_reached();
        let mut stores = self.stores.lock();
        let mut tunnels = self.tunnels.lock();
        let mut uppers = tunnels.uppers.iter();
        let at = uppers.position(|bound| Arc::ptr_eq(&bound.store, store));
        if let Some(Ok(bound)) = at.map(|at| tunnels.uppers.remove(at)) {
            if let Some(rule) = bound.dispatch {
                self.remove_own(device, rule, reached);
            }
            let side = ingress_of(bound.device.port);
            let rests = tunnels.resting(side);
            if reached && Some(rests) != tunnels.guard() && !has_ingress(&stores, side.port) {
                if let Err(error) = cmd::flow::port_table(device, &port_table(side, rests)) {
                    dev_err!(device.binding(), "VLAN device: {}\n", error);
                }
            }
        }
        self.forget(device, &mut stores, store, reached);
        self.close_tables(device, &stores, &mut tunnels, reached);
    }

    /// A VLAN device may have been opened, closed or changed.
    pub(crate) fn check_upper(&self, device: &Arc<Device>, netdev: &NetDevice) {
        let _going = self.gate.read();
        let mut tunnels = self.tunnels.lock();
        for at in 0..tunnels.uppers.len() {
            if tunnels.uppers[at].is(netdev) {
                self.settle_upper(device, &mut tunnels, at);
            }
        }
    }

    /// Looks at all VLAN devices again: while the device was being reset, changes could not be told.
    pub(super) fn settle_uppers(&self, device: &Arc<Device>) {
        let mut tunnels = self.tunnels.lock();
        for at in 0..tunnels.uppers.len() {
            self.settle_upper(device, &mut tunnels, at);
        }
    }

    /// Lets packets into the tables of a VLAN device if it receives any, and else none.
    fn settle_upper(&self, device: &Arc<Device>, tunnels: &mut Tunnels, at: usize) {
        let bound = &mut tunnels.uppers[at];
        let Some(upper) = &bound.store.upper else {
            return;
        };
        if Upper::receives(&upper.netdev) == bound.dispatch.is_some() {
            return;
        }
        if let Some(rule) = bound.dispatch.take() {
            return self.remove_own(device, rule, self.is_reached());
        }
        let (store, known) = (bound.store.clone(), bound.device);
        let table = store.inner.lock().table(0).ok_or(Refusal::Lost);
        match table.and_then(|table| self.add_dispatch(device, tunnels, &known, table)) {
            Ok(rule) => tunnels.uppers[at].dispatch = Some(rule),
            // It is looked at again when the device was reset.
            Err(Refusal::Unreached(_)) => {}
            Err(refusal) => dev_err!(device.binding(), "VLAN device: {}\n", refusal),
        }
    }
}

fn ingress_of(port: u16) -> Side {
    Side {
        port,
        direction: FlowDirection::INGRESS,
    }
}
