// SPDX-License-Identifier: GPL-2.0-only

//! What happens to a function from outside: the PCI core resets it, it vanishes, it comes back.

use super::{Phase, State, STORM_RESETS};
use crate::{
    command::Cause,
    device::Device,
    health::{Fault, Kind}, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use oxnic_abi::regs::ResetReason;
use oxnic_kapi::time;

impl Device {
    /// Tells the interfaces that the device is gone, soon. May be called in any context.
    pub(crate) fn note_gone(self: &Arc<Self>) {
        self.presence.set_gone();
        self.reset_task.schedule(self);
    }

    /// Stops everything of a device that is gone.
    pub(super) fn give_up(self: &Arc<Self>, state: &mut State) {
        dev_err!(self.binding(), "the device is gone\n");
        state.end_in(Phase::Gone);
        self.quiesce(Cause::Gone);
        self.forbid_memory();
        self.show_failed();
    }

    /// Looks whether a function that was found to be gone is back, and has it brought up if so.
    pub(crate) fn try_come_back(self: &Arc<Self>) {
        let fault = Fault::new(Kind::CameBack);
        {
            let mut state = self.recovery.state.lock();
            if state.phase != Phase::Gone || !self.binding().is_present() {
                return;
            }
            self.take_for_back();
            if !self.is_usable() {
                self.presence.set_gone();
                return;
            }
            dev_info!(self.binding(), "{}\n", fault);
            let since = state.outage_since();
            state.stop_for(fault);
            state.last = Some((fault, since));
        }
        // That it was gone is over, and this is another fault, which may be recovered.
        self.show_well();
        self.tell_fault(&fault);
        self.say_if_down();
    }

    /// A function that was found to be gone while nobody watched it may be back, for those who are about to reset it.
    pub(crate) fn look_again(&self) {
        if self.is_gone() && self.binding().is_present() {
            self.take_for_back();
        }
    }

    /// A function that was gone is spoken to again.
    fn take_for_back(&self) {
        // Whatever took it away may have cleared its configuration, as disabling VFs does. Where it has not, the function is where it was,
        // with queues whose memory is others' by now: it may not use any until it is reset.
        self.enabled.restore();
        self.enabled.clear_master();
        self.presence.set_back();
    }

    /// The PCI core is about to reset the function.
    pub(crate) fn begin_external_reset(self: &Arc<Self>) {
        let mut state = self.recovery.state.lock();
        if matches!(state.phase, Phase::Running) {
            self.quiesce(Cause::Unavailable);
        }
        if matches!(state.phase, Phase::Running | Phase::Down) {
            // Nobody knows when the other half comes, and interfaces can be removed before it. They wait for what they keep for a
            // device that may still use memory; so this one may not.
            self.forbid_memory();
        }
        if matches!(
            state.phase,
            Phase::Running | Phase::Down | Phase::Failed | Phase::Gone
        ) {
            state.phase = Phase::Stopped;
        }
    }

    /// The PCI core does not bring the function back: it could not, or another function behind the same port has no driver that takes part. The
    /// other half of its reset does not come.
    pub(crate) fn abandon_external_reset(self: &Arc<Self>) {
        let mut state = self.recovery.state.lock();
        if state.phase == Phase::Stopped {
            // It may be there all the same, which the watch finds out.
            self.give_up(&mut state);
        }
    }

    /// The PCI core has reset the function, or tried to.
    pub(crate) fn end_external_reset(self: &Arc<Self>, reason: ResetReason) {
        let mut state = self.recovery.state.lock();
        if state.phase != Phase::Stopped {
            return;
        }
        self.presence.set_back();
        if !self.binding().is_present() || !self.check_presence() {
            self.presence.set_gone();
            self.give_up(&mut state);
            return;
        }
        // Somebody looked after the function: it starts anew.
        state.history = [0; STORM_RESETS];
        state.end_in(self.recover(reason));
        if state.phase == Phase::Running {
            // What it was stopped for, if it was.
            state.over = state.over.or(Some(time::now_ms()));
            self.show_well();
            self.watch_health();
        } else {
            self.show_failed();
        }
    }
}
