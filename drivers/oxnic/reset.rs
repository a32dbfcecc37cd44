// SPDX-License-Identifier: GPL-2.0-only

//! Recovery: the one way in which a function is stopped, reset and brought back.
//!
//! Whoever finds that something is wrong calls [`Device::request_reset`], in any context; a task does the rest. It stops the
//! function and tells devlink, which calls [`Device::revive`] at once, later when a user asks for it, or never, as the user has set. A
//! reset by the PCI core (FLR by the user, error recovery) uses the same two halves, [`Device::quiesce`] and [`Device::bring_up`],
//! around the core's own. `phase` is a mutex that is held for the whole of a reset, so that there is one at a time; it is taken
//! with the lock of the devlink instance held or not, but that one is not taken with it, and nothing takes it with RTNL held.

mod dormant;
mod external;
mod halves;
mod hold;

use crate::{
    command::Cause,
    device::Device,
    health::{Fault, Kind}, //
};
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Arc,
        Mutex, //
    },
};
use oxnic_abi::regs::ResetReason;
use oxnic_kapi::{
    extack::{refuse, Extack},
    time, //
};

/// More resets than this within [`STORM_MS`] are a function that cannot be helped.
const STORM_RESETS: usize = 10;
/// See [`STORM_RESETS`].
const STORM_MS: u64 = 60_000;

/// Where a function is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Being probed: nobody resets it but probe.
    Starting,
    /// Could not be taken over at probe: there is nothing of it but what devlink shows.
    Dormant,
    /// Works.
    Running,
    /// Stopped after a fault, until [`Device::revive`].
    Down,
    /// Stopped, between the two halves of a reset by the PCI core.
    Stopped,
    /// Could not be brought back. A reset by the PCI core may help.
    Failed,
    /// The device vanished.
    Gone,
    /// Being removed.
    Removed,
}

impl Phase {
    /// For users.
    fn text(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Dormant => "not started",
            Self::Running => "running",
            Self::Down => "down",
            Self::Stopped => "being reset",
            Self::Failed => "given up",
            Self::Gone => "gone",
            Self::Removed => "being removed",
        }
    }
}

/// What users are shown of recovery.
pub(crate) struct Summary {
    /// In a word or two.
    pub(crate) state: &'static str,
    /// How often the function was brought back since probe.
    pub(crate) recoveries: u32,
    /// The last fault for which it was stopped, and when, in milliseconds since the system was started.
    pub(crate) last: Option<(Fault, u64)>,
    /// How long that took, in milliseconds; none while it is not over.
    pub(crate) outage_ms: Option<u64>,
}

struct State {
    phase: Phase,
    /// The last fault for which the function was stopped, and when.
    last: Option<(Fault, u64)>,
    /// When it was over.
    over: Option<u64>,
    /// When the function was last found to be gone.
    gone_since: Option<u64>,
    /// When the last resets by ourselves were, in milliseconds; the oldest is overwritten.
    history: [u64; STORM_RESETS],
    next: usize,
}

/// State of recovery.
#[pin_data]
pub(crate) struct Recovery {
    #[pin]
    state: Mutex<State>,
    /// The fault for which the function is to be stopped, packed; 0: none.
    requested: Atomic<u64>,
    /// One that is to be told only, likewise.
    noted: Atomic<u64>,
    /// The device has asked for a reset since the last one.
    wanted: Atomic<bool>,
    /// Resets since probe.
    count: Atomic<u32>,
    /// Bus mastering is off for good, or until somebody resets the function, as probe does at first.
    silent: Atomic<bool>,
}

impl Recovery {
    /// For a function that is being probed.
    ///
    /// To the lock checker those of a PF and of a VF are two kinds. That of the PF is held while its VFs go, which takes the locks of their
    /// devlink instances; and whoever reloads a VF takes its own after the one of its instance.
    pub(crate) fn new(is_vf: bool) -> impl PinInit<Self, Error> {
        let (name, class) = match is_vf {
            false => (c"oxnic::pf_recovery", static_lock_class!()),
            true => (c"oxnic::vf_recovery", static_lock_class!()),
        };
        let state = State {
            phase: Phase::Starting,
            last: None,
            over: None,
            gone_since: None,
            history: [0; STORM_RESETS],
            next: 0,
        };
        try_pin_init!(Self {
            state <- Mutex::new(state, name, class),
            requested: Atomic::new(0),
            noted: Atomic::new(0),
            wanted: Atomic::new(false),
            count: Atomic::new(0),
            silent: Atomic::new(true),
        })
    }

    /// Sets the phase without doing anything.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.state.lock().phase = phase;
    }
}

impl State {
    /// The function is stopped for a fault.
    fn stop_for(&mut self, fault: Fault) {
        self.phase = Phase::Down;
        self.last = Some((fault, time::now_ms()));
        self.over = None;
    }

    /// A reset has ended so. What is gone then is so from now on, whatever it was before.
    fn end_in(&mut self, phase: Phase) {
        self.phase = phase;
        if phase == Phase::Gone {
            self.gone_since = Some(time::now_ms());
        }
    }

    /// Since when a function that is gone has not worked: since the fault that it did not come back from, or that it was gone.
    fn outage_since(&self) -> u64 {
        match (self.over, self.last) {
            (None, Some((_, since))) => since,
            _ => self.gone_since.unwrap_or_else(time::now_ms),
        }
    }

    /// Notes a reset. False if there were too many of late.
    fn note(&mut self) -> bool {
        let now = time::now_ms();
        let oldest = core::mem::replace(&mut self.history[self.next], now);
        self.next = (self.next + 1) % STORM_RESETS;
        let calm = oldest == 0 || now.wrapping_sub(oldest) > STORM_MS;
        if !calm {
            pr_err!("{} resets within {} s\n", STORM_RESETS, STORM_MS / 1000);
        }
        calm
    }
}

impl Device {
    /// Has a fault told, soon, and the function stopped, unless it can bear it. May be called in any context; of several the first
    /// counts.
    pub(crate) fn request_reset(self: &Arc<Self>, fault: Fault) {
        let recovery = &self.recovery;
        if fault.kind == Kind::Requested
            && (!self.settings.resets_on_request() || recovery.wanted.xchg(true, Full))
        {
            return;
        }
        let slot = if fault.is_bearable() {
            &recovery.noted
        } else {
            &recovery.requested
        };
        let _ = slot.cmpxchg(0, fault.pack(), Full);
        self.reset_task.schedule(self);
    }

    /// Whether a reset that the device asks for is no news.
    pub(crate) fn ignores_request(&self) -> bool {
        self.recovery.wanted.load(Relaxed) || !self.settings.resets_on_request()
    }

    /// Probe has finished: from now on resets that are asked for are done, those asked for so far included.
    pub(crate) fn begin_recovery(self: &Arc<Self>) {
        let mut state = self.recovery.state.lock();
        state.phase = Phase::Running;
        state.over = state.over.or(Some(time::now_ms()));
        drop(state);
        self.reset_task.schedule(self);
    }

    /// The task behind [`Self::request_reset`] and [`Self::note_gone`].
    pub(crate) fn run_reset(this: &Arc<Self>) {
        if let Some(fault) = this.take_noted() {
            dev_warn!(this.binding(), "{}\n", fault);
            this.tell_fault(&fault);
        }
        if let Some(fault) = this.stop_for_fault() {
            this.tell_fault(&fault);
            this.say_if_down();
        }
        this.seek_representors();
    }

    /// The fault that is to be told only, if there is one.
    fn take_noted(&self) -> Option<Fault> {
        let state = self.recovery.state.lock();
        if state.phase != Phase::Running || self.is_gone() {
            return None;
        }
        Fault::unpack(self.recovery.noted.xchg(0, Full))
    }

    /// Stops the function for the fault that was found, if there is one.
    fn stop_for_fault(self: &Arc<Self>) -> Option<Fault> {
        let mut state = self.recovery.state.lock();
        if state.phase != Phase::Running {
            return None;
        }
        // Not before: what is asked for during probe is done at its end.
        let requested = self.recovery.requested.xchg(0, Full);
        if self.is_gone() {
            self.give_up(&mut state);
            return None;
        }
        let fault = Fault::unpack(requested)?;
        dev_err!(self.binding(), "{}\n", fault);
        state.stop_for(fault);
        self.quiesce(Cause::Unavailable);
        Some(fault)
    }

    /// After a fault was told: says so where nobody has brought the function back.
    fn say_if_down(&self) {
        let state = self.recovery.state.lock();
        match state.phase {
            Phase::Down => dev_err!(
                self.binding(),
                "stays down until 'devlink health recover' or a reset through sysfs\n"
            ),
            // Who has brought it back, as a reload or a reset by the user, may have come before the telling.
            Phase::Running => self.show_well(),
            _ => {}
        }
    }

    /// Brings the function back from whatever state it is in, as devlink asks for after the fault that is given, or a user. Nothing
    /// is done where it works. The lock of the instance is held.
    ///
    /// # Errors
    ///
    /// It does not work, and the text says why.
    pub(crate) fn revive(
        self: &Arc<Self>,
        fault: Option<&Fault>,
        extack: Option<&mut Extack>,
    ) -> Result {
        if fault.is_some() && !self.settings.resets_after_errors() {
            return Err(EPERM);
        }
        let mut state = self.recovery.state.lock();
        match state.phase {
            Phase::Running if self.recovery.wanted.load(Relaxed) => {
                state.stop_for(Fault::new(Kind::Requested));
                self.quiesce(Cause::Unavailable);
            }
            Phase::Running => return Ok(()),
            Phase::Down => {
                // Who is told of another fault does not know whether the user wants this one recovered.
                if fault.is_some_and(|fault| state.last.is_some_and(|(last, _)| last != *fault)) {
                    return Err(EBUSY);
                }
            }
            Phase::Dormant => {}
            // Somebody looks after the function: it starts anew.
            Phase::Failed if fault.is_none() => state.history = [0; STORM_RESETS],
            phase => {
                return Err(refuse(
                    extack,
                    ENODEV,
                    fmt!("the function cannot be recovered: it is {}", phase.text()),
                ));
            }
        }
        let fault = fault.copied().or(state.last.map(|(last, _)| last));
        let reason = fault.map_or(ResetReason::USER, |fault| fault.reason());
        // What somebody else does to a function, as the PF to its VFs when it is reset itself, is no failure of its own.
        let by_others =
            fault.is_some_and(|fault| matches!(fault.kind, Kind::ForeignReset | Kind::CameBack));
        let phase = if state.phase == Phase::Dormant {
            self.start_late(reason)
        } else if by_others || state.note() {
            self.recover(reason)
        } else {
            self.fail()
        };
        state.end_in(phase);
        if state.phase != Phase::Running {
            self.show_failed();
            return Err(refuse(
                extack,
                EIO,
                fmt!("the function could not be brought back, see the kernel log"),
            ));
        }
        state.over = Some(time::now_ms());
        self.show_well();
        Ok(())
    }

    /// What users are shown.
    pub(crate) fn summary(&self) -> Summary {
        let state = self.recovery.state.lock();
        let outage = |(_, since)| state.over.map(|over| over.saturating_sub(since));
        Summary {
            state: state.phase.text(),
            recoveries: self.recovery.count.load(Relaxed),
            last: state.last,
            outage_ms: state.last.and_then(outage),
        }
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_reset)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_begins_when_the_function_was_last_gone() {
        let now = time::now_ms();
        let mut state = State {
            phase: Phase::Stopped,
            last: Some((Fault::new(Kind::CameBack), 1)),
            over: Some(2),
            gone_since: Some(1),
            history: [0; STORM_RESETS],
            next: 0,
        };
        // As after a FLR of a VF that its PF has not enabled again: no fault had stopped it.
        state.end_in(Phase::Gone);
        assert!(state.outage_since() >= now);
        // It did not come back from a fault.
        state.stop_for(Fault::new(Kind::Requested));
        let since = state.last.map_or(0, |(_, since)| since);
        state.end_in(Phase::Gone);
        assert_eq!(state.outage_since(), since);
        assert!(since >= now);
    }
}
