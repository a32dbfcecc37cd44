// SPDX-License-Identifier: GPL-2.0-only

//! A PF that probe could not take over: it stays bound, without interfaces, so that users find out why in devlink, and can repair it.

use super::Phase;
use crate::{
    command::Cause,
    device::Device,
    health::{Fault, Kind}, //
};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc}, //
};
use oxnic_abi::regs::ResetReason;

impl Device {
    /// Probe could not take the function over, or make what it has. It waits for a user to repair it.
    pub(crate) fn stay_dormant(self: &Arc<Self>, error: Error) {
        let fault = Fault::new(Kind::NotStarted);
        dev_err!(self.binding(), "{}: {:?}\n", fault, error);
        self.commands.stop(Cause::GivenUp);
        let mut state = self.recovery.state.lock();
        state.stop_for(fault);
        state.phase = Phase::Dormant;
        drop(state);
        // Tries once more.
        self.tell_fault(&fault);
        if self.is_dormant() {
            dev_err!(
                self.binding(),
                "there are no interfaces until 'devlink health recover' or other firmware helps\n"
            );
        }
    }

    /// Whether probe could not take the function over, and nobody has since.
    pub(crate) fn is_dormant(&self) -> bool {
        self.recovery.state.lock().phase == Phase::Dormant
    }

    /// Does what probe could not.
    pub(super) fn start_late(self: &Arc<Self>, reason: ResetReason) -> Phase {
        self.look_again();
        let taken = self.take_over(reason);
        match taken.and_then(|()| self.make_interfaces()) {
            Ok(()) => {
                self.recovery.count.add(1, Relaxed);
                dev_info!(self.binding(), "works\n");
                self.watch_health();
                Phase::Running
            }
            Err(error) => {
                dev_err!(self.binding(), "still not to be had: {:?}\n", error);
                self.prepare_repair();
                Phase::Dormant
            }
        }
    }

    /// Has commands work of a function that cannot be taken over, if that much is possible, so that its firmware can be updated.
    pub(super) fn prepare_repair(self: &Arc<Self>) {
        self.commands.stop(Cause::GivenUp);
        match self.reach(ResetReason::PROBE) {
            Ok(()) => {
                if let Some(devlink) = self.devlink.lock().as_ref() {
                    devlink.find_firmware(self);
                }
            }
            Err(_) => self.commands.stop(Cause::GivenUp),
        }
    }
}
