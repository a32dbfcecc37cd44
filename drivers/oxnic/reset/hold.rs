// SPDX-License-Identifier: GPL-2.0-only

//! Work that no reset may come into, or that is one, for a caller who waits for it.

use super::{Phase, STORM_RESETS};
use crate::{
    command::Cause,
    device::Device, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use oxnic_abi::regs::ResetReason;

impl Device {
    /// Resets a function that works, and brings it back, while the caller waits. RTNL is not held.
    ///
    /// # Errors
    ///
    /// `EBUSY`: it does not work, or is being started or reset; `EIO`: it could not be brought back.
    pub(crate) fn reset_now(self: &Arc<Self>, reason: ResetReason) -> Result {
        let mut state = self.recovery.state.lock();
        if state.phase != Phase::Running {
            return Err(EBUSY);
        }
        dev_info!(self.binding(), "reset: {}\n", reason.text());
        self.quiesce(Cause::Unavailable);
        state.end_in(self.recover(reason));
        if state.phase != Phase::Running {
            self.show_failed();
            return Err(EIO);
        }
        self.show_well();
        Ok(())
    }

    /// Brings a function back that a fault has stopped while the caller waits for it. The lock of the devlink instance is held, so that nobody
    /// else can.
    pub(crate) fn revive_if_down(self: &Arc<Self>) {
        let down = self.recovery.state.lock().phase == Phase::Down;
        if down {
            // The log says why not, and the caller finds that it does not work.
            let _ = self.revive(None, None);
        }
    }

    /// Lets nobody reset the function, until [`Self::begin_recovery`] or [`Self::release_recovery`]; `None` where it is being reset by the
    /// PCI core, or is not there. What it was is for the latter.
    pub(crate) fn hold_recovery(&self) -> Option<Phase> {
        let mut state = self.recovery.state.lock();
        let before = state.phase;
        match before {
            Phase::Down => self.forbid_memory(),
            // Somebody looks after the function: it starts anew.
            Phase::Failed => state.history = [0; STORM_RESETS],
            Phase::Running | Phase::Starting => {}
            _ => return None,
        }
        state.phase = Phase::Starting;
        Some(before)
    }

    /// Undoes [`Self::hold_recovery`].
    pub(crate) fn release_recovery(self: &Arc<Self>, before: Phase) {
        self.recovery.set_phase(before);
        self.reset_task.schedule(self);
    }

    /// Runs `f` while the function works and is not reset by anybody; not at all, where it does not. RTNL is not held.
    pub(crate) fn while_running<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let state = self.recovery.state.lock();
        (state.phase == Phase::Running).then(f)
    }

    /// Runs `f` once a reset that is under way has ended, and lets none begin meanwhile. RTNL is not held.
    pub(crate) fn between_resets<R>(&self, f: impl FnOnce() -> R) -> R {
        let state = self.recovery.state.lock();
        if state.phase == Phase::Down {
            self.forbid_memory();
        }
        f()
    }

    /// Nothing resets the function any more. Waits for a reset that is under way.
    pub(crate) fn end_recovery(&self) {
        let mut state = self.recovery.state.lock();
        // Nobody resets one that is taken for gone before its memory is freed.
        if state.phase == Phase::Down || self.is_gone() {
            self.forbid_memory();
        }
        state.phase = Phase::Removed;
    }
}
