// SPDX-License-Identifier: GPL-2.0-only

//! Recovery: the one way in which a function is stopped, reset and brought back.
//!
//! Whoever finds that something is wrong calls [`Device::request_reset`], in any context; a task does the rest. A reset by the
//! PCI core (FLR by the user, error recovery) uses the same two halves, [`Device::quiesce`] and [`Device::bring_up`], around
//! the core's own. `phase` is a mutex that is held for the whole of a reset, so that there is one at a time; nothing takes
//! it with RTNL held.

use crate::{
    cmd,
    command::Cause,
    device::Device,
    handshake, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Arc,
        Mutex, //
    },
};
use oxnic_abi::regs::{device, status, ResetReason};
use oxnic_kapi::time;

/// How often one reset is tried before the function is given up.
const ATTEMPTS: u32 = 3;
/// More resets than this within [`STORM_MS`] are a function that cannot be helped.
const STORM_RESETS: usize = 10;
/// See [`STORM_RESETS`].
const STORM_MS: u64 = 60_000;

/// Where a function is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Being probed: nobody resets it but probe.
    Starting,
    /// Works.
    Running,
    /// Stopped, between the two halves of a reset by the PCI core.
    Stopped,
    /// Could not be brought back. A reset by the PCI core may help.
    Failed,
    /// The device vanished.
    Gone,
    /// Being removed.
    Removed,
}

struct State {
    phase: Phase,
    /// When the last resets by ourselves were, in milliseconds; the oldest is overwritten.
    history: [u64; STORM_RESETS],
    next: usize,
}

/// State of recovery.
#[pin_data]
pub(crate) struct Recovery {
    #[pin]
    state: Mutex<State>,
    /// Reason of the reset that was asked for, plus 1; 0: none.
    requested: Atomic<u32>,
    /// Resets since probe.
    count: Atomic<u32>,
    /// Bus mastering is off for good, or until somebody resets the function.
    silent: Atomic<bool>,
}

impl Recovery {
    /// For a function that is being probed.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        let state = State {
            phase: Phase::Starting,
            history: [0; STORM_RESETS],
            next: 0,
        };
        try_pin_init!(Self {
            state <- new_mutex!(state),
            requested: Atomic::new(0),
            count: Atomic::new(0),
            silent: Atomic::new(false),
        })
    }

    /// Sets the phase without doing anything.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.state.lock().phase = phase;
    }
}

impl State {
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
    /// Asks for a reset of the function, soon. May be called in any context; the first reason counts.
    pub(crate) fn request_reset(self: &Arc<Self>, reason: ResetReason) {
        let _ = self
            .recovery
            .requested
            .cmpxchg(0, u32::from(reason.0) + 1, Full);
        self.reset_task.schedule(self);
    }

    /// Probe has finished: from now on resets that are asked for are done, those asked for so far included.
    pub(crate) fn begin_recovery(self: &Arc<Self>) {
        self.recovery.set_phase(Phase::Running);
        self.reset_task.schedule(self);
    }

    /// Tells the interfaces that the device is gone, soon. May be called in any context.
    pub(crate) fn note_gone(self: &Arc<Self>) {
        self.presence.set_gone();
        self.reset_task.schedule(self);
    }

    /// The task behind [`Self::request_reset`] and [`Self::note_gone`].
    pub(crate) fn run_reset(this: &Arc<Self>) {
        let mut state = this.recovery.state.lock();
        if state.phase != Phase::Running {
            return;
        }
        // Not before: what is asked for during probe is done at its end.
        let requested = this.recovery.requested.xchg(0, Full);
        if this.is_gone() {
            this.give_up(&mut state);
            return;
        }
        if requested == 0 {
            return;
        }
        let reason = ResetReason((requested - 1) as u8);
        dev_warn!(this.binding(), "reset: {}\n", reason.text());
        this.quiesce(Cause::Unavailable);
        state.phase = if state.note() {
            this.recover(reason)
        } else {
            this.fail()
        };
    }

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
        state.phase = self.recover(reason);
        (state.phase == Phase::Running).then_some(()).ok_or(EIO)
    }

    /// Lets nobody reset a function that works, until [`Self::begin_recovery`]; true if it works, or that was so already.
    pub(crate) fn hold_recovery(&self) -> bool {
        let mut state = self.recovery.state.lock();
        if state.phase == Phase::Running {
            state.phase = Phase::Starting;
        }
        state.phase == Phase::Starting
    }

    /// Stops everything of a device that is gone.
    fn give_up(self: &Arc<Self>, state: &mut State) {
        dev_err!(self.binding(), "the device is gone\n");
        state.phase = Phase::Gone;
        self.quiesce(Cause::Gone);
        self.release_memory();
    }

    /// Whether the function cannot use memory: it is gone, or was given up.
    pub(crate) fn is_silent(&self) -> bool {
        self.is_gone() || self.recovery.silent.load(Relaxed)
    }

    /// Lets the interfaces free what they keep for a device that may still use it.
    fn release_memory(&self) {
        for port in self.ports() {
            port.release_memory();
        }
    }

    /// The first half of a reset: no command is accepted, the interfaces are detached, their queues stopped.
    fn quiesce(self: &Arc<Self>, cause: Cause) {
        self.commands.stop(cause);
        self.stop_flow();
        for port in self.ports() {
            port.prepare_reset();
        }
    }

    /// The second half, as often as it may take.
    fn recover(self: &Arc<Self>, reason: ResetReason) -> Phase {
        for attempt in 1..=ATTEMPTS {
            // A VF loses it when its PF is reset, without being told.
            self.enabled.restore_if_cleared();
            match self.bring_up(reason).and_then(|()| self.settle()) {
                Ok(()) => {
                    self.recovery.count.add(1, Relaxed);
                    dev_info!(self.binding(), "works again\n");
                    return Phase::Running;
                }
                Err(_) if !self.is_usable() => {
                    dev_err!(
                        self.binding(),
                        "the function is gone, or not enabled by its PF\n"
                    );
                    self.presence.set_gone();
                    self.quiesce(Cause::Gone);
                    self.release_memory();
                    return Phase::Gone;
                }
                Err(error) => {
                    dev_err!(
                        self.binding(),
                        "attempt {} of {} failed: {:?}\n",
                        attempt,
                        ATTEMPTS,
                        error
                    );
                    self.quiesce(Cause::Unavailable);
                }
            }
        }
        self.fail()
    }

    /// The end of an attempt: a command that nobody has answered may have been one whose failure stopped nothing.
    fn settle(&self) -> Result {
        self.commands.is_started().then_some(()).ok_or(ETIMEDOUT)
    }

    /// Whether the function is there and takes handshakes, if need be after a reset: it may have halted while it was brought back.
    fn is_usable(&self) -> bool {
        self.check_presence()
            && self
                .registers
                .read(device::STATUS)
                .is_ok_and(|state| state & (status::READY | status::HALTED) != 0)
    }

    /// Looks whether a function that was found to be gone is back, and brings it up if so.
    pub(crate) fn try_come_back(self: &Arc<Self>) {
        let mut state = self.recovery.state.lock();
        if state.phase != Phase::Gone || !self.binding().is_present() {
            return;
        }
        // Whatever took it away may have cleared its configuration, as disabling VFs does.
        self.enabled.restore();
        self.presence.set_back();
        if !self.is_usable() {
            self.presence.set_gone();
            return;
        }
        dev_info!(self.binding(), "the function is back\n");
        state.phase = if state.note() {
            self.recover(ResetReason::HEALTH)
        } else {
            self.fail()
        };
    }

    /// Gives the function up. It may not use memory any more.
    fn fail(&self) -> Phase {
        dev_err!(
            self.binding(),
            "given up; a reset through sysfs or reloading the driver may help\n"
        );
        self.commands.stop(Cause::GivenUp);
        self.enabled.clear_master();
        self.recovery.silent.store(true, Relaxed);
        self.release_memory();
        Phase::Failed
    }

    /// Resets the function and brings everything back that it had.
    fn bring_up(self: &Arc<Self>, reason: ResetReason) -> Result {
        self.take_over(reason)?;
        self.restore_vfs()?;
        // Before the VFs were back, the device did not know all of its ports.
        self.port_numbers.forget();
        self.restore_flow();
        for port in self.ports() {
            port.complete_reset()?;
        }
        Ok(())
    }

    /// Resets the function, makes the handshake, asks what it offers, and sets the eswitch's mode. Commands work afterwards.
    pub(crate) fn take_over(self: &Arc<Self>, reason: ResetReason) -> Result {
        handshake::reset(&self.registers, reason)
            .inspect_err(|error| dev_err!(self.binding(), "reset does not end: {:?}\n", error))?;
        self.commands.rewind();
        self.events.rewind();
        // What was found wrong so far was of the state that is gone: queues are stopped, and the task that takes events has ended
        // with them. What is found from here on counts, also while the function is still being brought up: it may be a queue
        // that has stopped again, and nobody says so twice.
        self.recovery.requested.xchg(0, Full);
        let generation = handshake::offer(&self.registers, self.binding(), &self.rings())?;
        self.set_generation(generation);
        self.commands.start();
        let caps =
            cmd::caps::nic(self).inspect_err(|error| dev_err!(self.binding(), "{}\n", error))?;
        self.set_caps(caps)
            .and_then(|()| self.discover_eswitch())
            .inspect_err(|_| {
                dev_err!(
                    self.binding(),
                    "the device changed its limits: reload the driver to use it\n"
                );
            })?;
        self.apply_eswitch_mode()
    }

    /// The PCI core is about to reset the function.
    pub(crate) fn begin_external_reset(self: &Arc<Self>) {
        let mut state = self.recovery.state.lock();
        if matches!(state.phase, Phase::Running) {
            self.quiesce(Cause::Unavailable);
            // Nobody knows when the other half comes, and interfaces can be removed before it. They wait for what they keep for a
            // device that may still use memory; so this one may not.
            if !self.is_gone() {
                self.enabled.clear_master();
            }
            self.recovery.silent.store(true, Relaxed);
            self.release_memory();
        }
        if matches!(state.phase, Phase::Running | Phase::Failed | Phase::Gone) {
            state.phase = Phase::Stopped;
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
        // Forbidden where the function had been given up.
        self.enabled.set_master();
        self.recovery.silent.store(false, Relaxed);
        // Somebody looked after the function: it starts anew.
        state.history = [0; STORM_RESETS];
        state.phase = self.recover(reason);
        if state.phase == Phase::Running {
            self.watch_health();
        }
    }

    /// Runs `f` while the function works and is not reset by anybody; not at all, where it does not. RTNL is not held.
    pub(crate) fn while_running<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let state = self.recovery.state.lock();
        (state.phase == Phase::Running).then(f)
    }

    /// Runs `f` once a reset that is under way has ended, and lets none begin meanwhile. RTNL is not held.
    pub(crate) fn between_resets<R>(&self, f: impl FnOnce() -> R) -> R {
        let _state = self.recovery.state.lock();
        f()
    }

    /// Nothing resets the function any more. Waits for a reset that is under way.
    pub(crate) fn end_recovery(&self) {
        self.recovery.set_phase(Phase::Removed);
    }
}
