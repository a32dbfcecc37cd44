// SPDX-License-Identifier: GPL-2.0-only

//! Recovery: the one way in which a function is stopped, reset and brought back.
//!
//! Whoever finds that something is wrong calls [`Device::request_reset`], in any context; a task does the rest. It stops the
//! function and tells devlink, which calls [`Device::revive`] at once, later when a user asks for it, or never, as the user has set. A
//! reset by the PCI core (FLR by the user, error recovery) uses the same two halves, [`Device::quiesce`] and [`Device::bring_up`],
//! around the core's own. `phase` is a mutex that is held for the whole of a reset, so that there is one at a time; it is taken
//! with the lock of the devlink instance held or not, but that one is not taken with it, and nothing takes it with RTNL held.

use crate::{
    cmd,
    command::Cause,
    device::Device,
    handshake,
    health::{Fault, Kind}, //
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
use oxnic_kapi::{
    extack::{refuse, Extack},
    time, //
};

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
    /// Bus mastering is off for good, or until somebody resets the function.
    silent: Atomic<bool>,
}

impl Recovery {
    /// For a function that is being probed.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        let state = State {
            phase: Phase::Starting,
            last: None,
            over: None,
            history: [0; STORM_RESETS],
            next: 0,
        };
        try_pin_init!(Self {
            state <- new_mutex!(state),
            requested: Atomic::new(0),
            noted: Atomic::new(0),
            wanted: Atomic::new(false),
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
    /// The function is stopped for a fault.
    fn stop_for(&mut self, fault: Fault) {
        self.phase = Phase::Down;
        self.last = Some((fault, time::now_ms()));
        self.over = None;
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
    fn start_late(self: &Arc<Self>, reason: ResetReason) -> Phase {
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
    fn prepare_repair(self: &Arc<Self>) {
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

    /// Tells the interfaces that the device is gone, soon. May be called in any context.
    pub(crate) fn note_gone(self: &Arc<Self>) {
        self.presence.set_gone();
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
        if state.phase == Phase::Down {
            dev_err!(
                self.binding(),
                "stays down until 'devlink health recover' or a reset through sysfs\n"
            );
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
        self.allow_memory();
        let reason = fault
            .copied()
            .or(state.last.map(|(last, _)| last))
            .map_or(ResetReason::USER, |fault| fault.reason());
        state.phase = if state.phase == Phase::Dormant {
            self.start_late(reason)
        } else if state.note() {
            self.recover(reason)
        } else {
            self.fail()
        };
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

    /// The function may not use memory any more: for those who free what it could use, and cannot wait for it to be reset.
    fn forbid_memory(&self) {
        if !self.is_gone() {
            self.enabled.clear_master();
        }
        self.recovery.silent.store(true, Relaxed);
        self.release_memory();
    }

    /// The function may use memory again, where that was forbidden. It is about to be reset.
    pub(crate) fn allow_memory(&self) {
        if self.recovery.silent.xchg(false, Full) {
            // A VF may have lost its configuration meanwhile.
            self.enabled.restore_if_cleared();
            self.enabled.set_master();
        }
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
        if state.phase != Phase::Running {
            self.show_failed();
            return Err(EIO);
        }
        self.show_well();
        Ok(())
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

    /// Stops everything of a device that is gone.
    fn give_up(self: &Arc<Self>, state: &mut State) {
        dev_err!(self.binding(), "the device is gone\n");
        state.phase = Phase::Gone;
        self.quiesce(Cause::Gone);
        self.release_memory();
        self.show_failed();
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

    /// Looks whether a function that was found to be gone is back, and has it brought up if so.
    pub(crate) fn try_come_back(self: &Arc<Self>) {
        let fault = Fault::new(Kind::CameBack);
        {
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
            dev_info!(self.binding(), "{}\n", fault);
            state.stop_for(fault);
        }
        // That it was gone is over, and this is another fault, which may be recovered.
        self.show_well();
        self.tell_fault(&fault);
        self.say_if_down();
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
        self.reach(reason)?;
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

    /// Resets the function and makes the handshake. Commands work afterwards.
    fn reach(self: &Arc<Self>, reason: ResetReason) -> Result {
        handshake::reset(&self.registers, reason)
            .inspect_err(|error| dev_err!(self.binding(), "reset does not end: {:?}\n", error))?;
        self.commands.rewind();
        self.events.rewind();
        // What was found wrong so far was of the state that is gone: queues are stopped, and the task that takes events has ended
        // with them. What is found from here on counts, also while the function is still being brought up: it may be a queue
        // that has stopped again, and nobody says so twice.
        self.recovery.requested.xchg(0, Full);
        self.recovery.noted.xchg(0, Full);
        self.recovery.wanted.store(false, Relaxed);
        let generation = handshake::offer(&self.registers, self.binding(), &self.rings())?;
        self.set_generation(generation);
        self.commands.start();
        Ok(())
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
            state.over = Some(time::now_ms());
            self.show_well();
            self.watch_health();
        } else {
            self.show_failed();
        }
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
        if state.phase == Phase::Down {
            self.forbid_memory();
        }
        state.phase = Phase::Removed;
    }
}
