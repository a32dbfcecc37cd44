// SPDX-License-Identifier: GPL-2.0-only

//! `devlink dev eswitch set`: mode and encap-mode. The lock of the devlink instance is held. No reset is under way while the mode changes:
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

    fn has_tunnels(&self) -> bool {
        self.0.eswitch.has_tunnels()
    }

    fn set_tunnels(&self, on: bool, extack: Option<&mut Extack>) -> Result {
        self.0.set_tunnels(on).map_err(|error| {
            refuse(
                extack,
                error,
                fmt!("encap-mode: rules of tunnels are in hardware; delete them first"),
            )
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
            return self.find_representors(extack);
        }
        let supported = self.eswitch.caps.as_ref().map_or(0, |caps| caps.modes);
        if supported >> mode.0 & 1 == 0 {
            return Err(refuse(
                extack,
                EOPNOTSUPP,
                fmt!("mode: the device does not have it"),
            ));
        }
        match mode {
            EswitchMode::LEGACY => self.enter_legacy(extack),
            mode if before == EswitchMode::LEGACY => self.leave_legacy(mode, extack),
            mode => self
                .find_representors(extack.as_deref_mut())
                .and_then(|()| self.tell_mode(mode, extack)),
        }
    }

    /// Leaves switchdev mode. Rules of representors and tunnel devices go, and the kernel knows of it.
    fn enter_legacy(self: &Arc<Self>, mut extack: Option<&mut Extack>) -> Result {
        self.retire_rules().map_err(|wire| {
            refuse(
                extack.as_deref_mut(),
                EBUSY,
                fmt!(
                    "mode: wire port p{} has filters in hardware; delete them first",
                    wire
                ),
            )
        })?;
        // The device changes nothing else with the mode, so that this alone goes back.
        self.close_outside();
        self.remove_representors(KVec::new());
        let parked = self.park_rules().map_err(|refusal| {
            refuse(
                extack.as_deref_mut(),
                refusal.error(),
                format_args!("mode: {refusal}"),
            )
        });
        parked
            .and_then(|()| self.tell_mode(EswitchMode::LEGACY, extack))
            .inspect(|()| {
                self.eswitch.lost.store(false, Relaxed);
                self.drop_details_of_rates();
            })
            .inspect_err(|_| self.return_to_switchdev())
    }

    /// What [`Self::enter_legacy`] has undone comes back; representors after the reset, where the function is about to have one.
    fn return_to_switchdev(self: &Arc<Self>) {
        self.resume_rules();
        if self.return_representors().is_err() {
            self.eswitch.lost.store(true, Relaxed);
            self.reset_task.schedule(self);
        }
    }

    /// Makes the representors that are lost, if they are. The lock of the devlink instance is held, and no reset is under way.
    fn find_representors(self: &Arc<Self>, extack: Option<&mut Extack>) -> Result {
        if !self.eswitch.lost.load(Relaxed) {
            return Ok(());
        }
        self.make_representors(extack)
    }

    /// Makes the representors of the VFs that there are, and hears of rules on tunnel devices from then on.
    fn make_representors(self: &Arc<Self>, extack: Option<&mut Extack>) -> Result {
        self.add_representors(self.eswitch.functions(), extack)?;
        self.eswitch.lost.store(false, Relaxed);
        self.listen();
        Ok(())
    }

    /// As [`Self::find_representors`], from the task that resets the function, once that is over.
    pub(crate) fn seek_representors(self: &Arc<Self>) {
        if !self.eswitch.lost.load(Relaxed) {
            return;
        }
        let Some(instance) = self.instance() else {
            return;
        };
        let _locked = instance.lock();
        if let Some(Err(error)) = self.while_running(|| self.find_representors(None)) {
            dev_err!(
                self.binding(),
                "representors are lost ({:?}); set the mode again\n",
                error
            );
        }
    }

    fn leave_legacy(
        self: &Arc<Self>,
        mode: EswitchMode,
        mut extack: Option<&mut Extack>,
    ) -> Result {
        self.tell_mode(mode, extack.as_deref_mut())?;
        self.learn_flow();
        self.resume_rules();
        if let Err(error) = self.add_representors(self.eswitch.functions(), extack) {
            // Where somebody has laid rules on a wire port meanwhile, there is none.
            let back = self.retire_rules().map_err(|_| EBUSY);
            let back = back.and_then(|()| self.park_rules().map_err(|refusal| refusal.error()));
            let back = back.and_then(|()| self.tell_mode(EswitchMode::LEGACY, None));
            if let Err(error) = back {
                dev_err!(self.binding(), "no way back to legacy mode: {:?}\n", error);
                self.eswitch.take_rules(false);
                self.eswitch
                    .mode
                    .store(EswitchMode::LEGACY.0.into(), Relaxed);
            }
            return Err(error);
        }
        self.listen();
        Ok(())
    }

    /// Tells the device of the mode.
    fn tell_mode(self: &Arc<Self>, mode: EswitchMode, extack: Option<&mut Extack>) -> Result {
        cmd::eswitch::set_mode(self, mode)
            .map_err(|error| refuse(extack, error.into(), fmt!("mode: {}", error)))?;
        self.eswitch.mode.store(mode.0.into(), Relaxed);
        Ok(())
    }

    /// The mode has been kept while all interfaces were away: representors come back where it has some.
    pub(crate) fn return_representors(self: &Arc<Self>) -> Result {
        if !self.eswitch.is_switchdev() {
            return Ok(());
        }
        self.make_representors(None)
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
