// SPDX-License-Identifier: GPL-2.0-only

//! `devlink dev eswitch set mode`. The lock of the devlink instance is held. No reset is under way while the mode changes:
//! the lock of recovery is held, too.

use crate::{cmd, device::Device};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc},
};
use oxnic_abi::eswitch::EswitchMode;
use oxnic_kapi::{
    devlink::{Eswitch, Mode},
    extack::{refuse, Extack}, //
};

/// The eswitch as devlink sees it.
pub(crate) struct Switch(pub(crate) Arc<Device>);

impl Eswitch for Switch {
    fn mode(&self) -> Mode {
        match self.0.eswitch.mode() {
            EswitchMode::SWITCHDEV => Mode::Switchdev,
            EswitchMode::SWITCHDEV_INACTIVE => Mode::SwitchdevInactive,
            _ => Mode::Legacy,
        }
    }

    fn set_mode(&self, mode: Mode, mut extack: Option<&mut Extack>) -> Result {
        let mode = match mode {
            Mode::Legacy => EswitchMode::LEGACY,
            Mode::Switchdev => EswitchMode::SWITCHDEV,
            Mode::SwitchdevInactive => EswitchMode::SWITCHDEV_INACTIVE,
        };
        let changed = self
            .0
            .while_running(|| self.0.change_mode(mode, extack.as_deref_mut()));
        changed.unwrap_or_else(|| {
            Err(refuse(
                extack,
                EBUSY,
                fmt!("mode: the function is starting, being reset, or does not work"),
            ))
        })
    }
}

impl Device {
    /// Changes the mode of a function that works. Representors come after the mode that they need, and go before it.
    ///
    /// # Errors
    ///
    /// The old mode is in force, and the text says what stood in the way.
    fn change_mode(self: &Arc<Self>, mode: EswitchMode, mut extack: Option<&mut Extack>) -> Result {
        let before = self.eswitch.mode();
        if mode == before {
            return Ok(());
        }
        let supported = self.eswitch.caps.as_ref().map_or(0, |caps| caps.modes);
        if supported >> mode.0 & 1 == 0 {
            return Err(refuse(
                extack,
                EOPNOTSUPP,
                fmt!("mode: the device does not have it"),
            ));
        }
        if mode == EswitchMode::LEGACY && self.has_flow_on_wires() {
            return Err(refuse(
                extack,
                EBUSY,
                fmt!(
                    "mode: tc filters are bound to a wire port; remove its clsact or ingress qdisc"
                ),
            ));
        }
        let count = self.eswitch.functions();
        // The device changes nothing else with the mode, so that this alone goes back.
        if mode == EswitchMode::LEGACY {
            self.close_outside();
            self.remove_representors(KVec::new());
        }
        let result = cmd::eswitch::set_mode(self, mode).map_err(|error| {
            let code = Error::from(error);
            refuse(extack.as_deref_mut(), code, fmt!("mode: {}", error))
        });
        if let Err(error) = result {
            if mode == EswitchMode::LEGACY {
                self.add_representors(count, None).inspect_err(|_| {
                    dev_err!(self.binding(), "representors are lost; change the mode\n");
                })?;
                self.listen();
            }
            return Err(error);
        }
        self.eswitch.mode.store(mode.0.into(), Relaxed);
        if before == EswitchMode::LEGACY {
            if let Err(error) = self.add_representors(count, extack) {
                self.eswitch.mode.store(before.0.into(), Relaxed);
                if let Err(error) = cmd::eswitch::set_mode(self, before) {
                    dev_err!(self.binding(), "no way back to legacy mode: {}\n", error);
                }
                return Err(error);
            }
            self.listen();
        }
        Ok(())
    }

    /// Hears of rules on tunnel devices. Where there is no memory for that, they stay in software.
    fn listen(self: &Arc<Self>) {
        if let Err(error) = self.open_outside() {
            dev_err!(
                self.binding(),
                "rules on tunnel devices stay in software: {:?}\n",
                error
            );
        }
    }
}
