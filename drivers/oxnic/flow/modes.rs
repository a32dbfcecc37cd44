// SPDX-License-Identifier: GPL-2.0-only

//! What the modes of the eswitch mean for rules.
//!
//! Interfaces of wire ports outlive switchdev mode, and the kernel keeps them bound to their blocks. A device in legacy mode has no
//! object of the flow engine. So the engine is *parked* meanwhile: what stands in for rules of software is kept here only, with its place,
//! and comes back with the mode. Rules that come in legacy mode are refused, and stay in software. The mode is not left while a wire port
//! has a rule in the device: tc would go on to show it as `in_hw`, and with `skip_sw` nobody would do it.
//!
//! The modes change with the lock of the devlink instance held. Here the gate of the engine is held for writing, so that no rule is on
//! its way while what there is of them is looked at.

use super::{
    engine::{port_table, Engine},
    install::Asked,
    refusal::Refusal,
    request,
    store::{Presence, Store}, //
};
use crate::{
    cmd,
    device::Device,
    health::{Fault, Kind}, //
};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc}, //
};
use oxnic_abi::{flow::table::NO_TABLE, vport::EswitchPortKind};
use oxnic_offload::rule::Action;

impl Engine {
    /// Whether a rule of this kind is taken over at the moment.
    ///
    /// # Errors
    ///
    /// It is not; what it is about is another's business.
    pub(super) fn admit(
        &self,
        device: &Device,
        store: &Store,
        asked: &Asked<'_>,
    ) -> Result<(), Refusal> {
        if store.misses_older() {
            return Err(Refusal::Older);
        }
        if store.is_out_of_order() {
            return Err(Refusal::Behind);
        }
        if device.eswitch.has_tunnels() {
            return Ok(());
        }
        let is_set = |action: &Action<'_>| matches!(action, Action::TunnelSet(_));
        if store.tunnel.is_some() {
            return Err(Refusal::EncapMode("a rule of a tunnel device"));
        }
        if !asked.tunnels.is_empty() || asked.rule.actions.iter().any(is_set) {
            return Err(Refusal::EncapMode("action tunnel_key set"));
        }
        Ok(())
    }

    /// Whether there are rules in the device that put packets into tunnels or take them out.
    fn has_rules_of_tunnels(&self) -> bool {
        let stores = self.stores.lock();
        let mut tunnels = stores.iter().filter(|store| store.tunnel.is_some());
        tunnels.any(|store| store.inner.lock().has_whole_rules()) || !self.encaps.lock().is_empty()
    }

    /// Whether a port is bound to a block that has rules in the device.
    fn has_whole_rules(&self, port: u16) -> bool {
        self.any_side(port, |_, inner| inner.has_whole_rules())
    }

    /// Takes everything out of the device. Nothing but what stands in for rules is there. What is kept here is as after a reset.
    ///
    /// # Errors
    ///
    /// Some of it is gone; a reset brings it back.
    fn park(&self, device: &Arc<Device>) -> Result<(), Refusal> {
        let _alone = self.gate.write();
        if !self.queues.is_started() {
            return Err(Refusal::Lost);
        }
        for store in self.stores.lock().iter() {
            let mut inner = store.inner.lock();
            for side in inner.sides.iter() {
                cmd::flow::port_table(device, &port_table(*side, NO_TABLE))?;
            }
            let there = inner
                .rules()
                .filter(|stored| matches!(stored.presence, Presence::There | Presence::Interim));
            for stored in there {
                if let Some(rule) = stored.objects.rule {
                    self.ask(device, &request::delete(rule))?;
                }
                stored.presence = Presence::Absent;
            }
            for table in inner.tables.iter_mut().filter(|table| table.there) {
                cmd::flow::table_destroy(device, table.id)?;
                table.there = false;
            }
        }
        self.matches.park(device)?;
        self.actions.park(device)?;
        self.queues.destroy(device)?;
        self.counters.withdraw(device)?;
        self.parked.store(true, Relaxed);
        Ok(())
    }
}

impl Device {
    /// Takes over no rules any more, as the mode is about to be legacy.
    ///
    /// # Errors
    ///
    /// The wire port of this number has rules in the device. Rules are taken over as before.
    pub(crate) fn retire_rules(self: &Arc<Self>) -> Result<(), u16> {
        let engine = {
            let holder = self.flow.lock();
            match holder.engine() {
                Some(engine) => engine,
                None => {
                    // With the lock held, so that there is none before this is seen.
                    self.eswitch.take_rules(false);
                    return Ok(());
                }
            }
        };
        let _alone = engine.gate.write();
        for index in 0..self.port_count() {
            let found = self.port_numbers.find(self, EswitchPortKind::WIRE, index);
            if let Ok(Some(port)) = found {
                if engine.has_whole_rules(port) {
                    return Err(index);
                }
            }
        }
        self.eswitch.take_rules(false);
        Ok(())
    }

    /// Takes what there still is of the engine out of the device. Rules are not taken over, and tunnel devices and representors are not
    /// bound any more.
    ///
    /// # Errors
    ///
    /// The function will be reset, which brings everything back.
    pub(crate) fn park_rules(self: &Arc<Self>) -> Result<(), Refusal> {
        let Some(engine) = self.flow.lock().engine() else {
            return Ok(());
        };
        engine.park(self).inspect_err(|refusal| {
            if *refusal != Refusal::Lost {
                // The device has no reason to keep what nothing names.
                self.request_reset(Fault::new(Kind::NotDeleted));
            }
        })
    }

    /// Brings back what was parked, and takes over rules again.
    pub(crate) fn resume_rules(self: &Arc<Self>) {
        let engine = self.flow.lock().engine();
        if let Some(engine) = engine.filter(|engine| engine.parked.load(Relaxed)) {
            engine.parked.store(false, Relaxed);
            self.restore_flow();
        }
        self.eswitch.take_rules(true);
    }

    /// Whether rules put packets into tunnels and take them out, from now on.
    ///
    /// # Errors
    ///
    /// `EBUSY`: there are such rules in the device. Nothing has changed.
    pub(crate) fn set_tunnels(&self, on: bool) -> Result {
        let engine = {
            let holder = self.flow.lock();
            match holder.engine() {
                Some(engine) => engine,
                None => {
                    self.eswitch.allow_tunnels(on);
                    return Ok(());
                }
            }
        };
        let _alone = engine.gate.write();
        if !on && engine.has_rules_of_tunnels() {
            return Err(EBUSY);
        }
        self.eswitch.allow_tunnels(on);
        Ok(())
    }
}
