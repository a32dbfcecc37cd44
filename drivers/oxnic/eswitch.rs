// SPDX-License-Identifier: GPL-2.0-only

//! The eswitch of a PF: its mode, and the representors of VFs.
//!
//! [`Eswitch`] is what is known of it. Modes and number of functions change with the lock of the devlink instance held, and
//! are read by anybody. Where both are taken, that lock comes before the one of recovery, and both before RTNL.

mod function;
mod mode;
mod representor;

pub(crate) use function::Function;
pub(crate) use mode::Switch;

use crate::{cmd, device::Device};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
        SetOnce, //
    },
};
use oxnic_abi::eswitch::{EswitchCaps, EswitchMode};

/// The eswitch of a function, if it has one.
pub(crate) struct Eswitch {
    /// Not set where there is none.
    caps: SetOnce<EswitchCaps>,
    /// Number of the mode in force.
    mode: Atomic<u32>,
    /// Rules are taken over: in switchdev mode, but not on the way there and back.
    rules: Atomic<bool>,
    /// Rules may put packets into tunnels and take them out.
    tunnels: Atomic<bool>,
    /// VFs that are enabled, and have representors in switchdev mode.
    functions: Atomic<u32>,
    /// But for now: they went, and could not be made again.
    lost: Atomic<bool>,
}

impl Eswitch {
    /// None until [`Device::discover_eswitch`] finds it.
    pub(crate) fn new() -> Self {
        Self {
            caps: SetOnce::new(),
            mode: Atomic::new(EswitchMode::LEGACY.0.into()),
            rules: Atomic::new(false),
            tunnels: Atomic::new(true),
            functions: Atomic::new(0),
            lost: Atomic::new(false),
        }
    }

    /// Whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        self.caps.as_ref().is_some()
    }

    /// Most representors that there can be.
    pub(crate) fn representors(&self) -> u16 {
        self.caps.as_ref().map_or(0, |caps| caps.representors)
    }

    /// The vport of a VF's representor.
    fn vport(&self, vf: u16) -> Option<u16> {
        let caps = self.caps.as_ref()?;
        (vf < caps.representors)
            .then(|| caps.representor_first.checked_add(vf))
            .flatten()
    }

    fn mode(&self) -> EswitchMode {
        EswitchMode(self.mode.load(Relaxed) as u16)
    }

    /// Whether representors and rules decide on what goes where.
    pub(crate) fn is_switchdev(&self) -> bool {
        self.mode() != EswitchMode::LEGACY
    }

    /// Whether rules are taken over.
    pub(crate) fn takes_rules(&self) -> bool {
        self.rules.load(Relaxed)
    }

    /// Rules are taken over from now on, or not. Where there is an engine, its gate is held for writing when they are not any more.
    pub(crate) fn take_rules(&self, on: bool) {
        self.rules.store(on, Relaxed);
    }

    /// Whether rules may put packets into tunnels and take them out.
    pub(crate) fn has_tunnels(&self) -> bool {
        self.tunnels.load(Relaxed)
    }

    /// Whether they may from now on. Where there is an engine, its gate is held for writing.
    pub(crate) fn allow_tunnels(&self, on: bool) {
        self.tunnels.store(on, Relaxed);
    }

    fn functions(&self) -> u16 {
        self.functions.load(Relaxed) as u16
    }
}

impl Device {
    /// Asks a PF whether it has an eswitch, and what it can do; or whether that has changed since probe.
    ///
    /// # Errors
    ///
    /// `ESTALE`: it is another than before a reset.
    pub(crate) fn discover_eswitch(self: &Arc<Self>) -> Result {
        if self.is_vf() {
            return Ok(());
        }
        let now = match cmd::caps::eswitch(self) {
            // Its representors lie behind the wire ports.
            Ok(caps) if caps.representor_first >= self.port_count() => Some(caps),
            _ => None,
        };
        match (self.eswitch.caps.as_ref(), now) {
            (None, Some(caps)) if self.ports().next().is_none() => {
                self.eswitch.caps.populate(caps);
                Ok(())
            }
            (before, now) => (before == now.as_ref()).then_some(()).ok_or(ESTALE),
        }
    }

    /// Sets the mode after a reset. The device has another one after a FLR, or from a driver that was there before us.
    pub(crate) fn apply_eswitch_mode(self: &Arc<Self>) -> Result {
        if !self.eswitch.is_there() {
            return Ok(());
        }
        self.release_flow();
        cmd::eswitch::set_mode(self, self.eswitch.mode()).map_err(|error| {
            dev_err!(
                self.binding(),
                "the eswitch mode cannot be set: {}\n",
                error
            );
            error.into()
        })
    }
}
