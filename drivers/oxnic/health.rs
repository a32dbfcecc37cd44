// SPDX-License-Identifier: GPL-2.0-only

//! Watching over a function: does it live, was it reset by others, does it ask for a reset, what does its health block note, do its
//! queues move, has it told something whose interrupt was lost. What is found goes to the reporters of devlink.
//!
//! A task looks at four registers every [`PERIOD_MS`]; one read costs the device a round trip, so not more often.

mod core;
mod fault;
mod firmware;
mod queues;
mod reporters;

pub(crate) use core::core_dump;
pub(crate) use fault::{Fault, Kind, Part};
pub(crate) use reporters::Reporters;

use crate::device::Device;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, //
    },
};
use oxnic_abi::regs::{device, health, status};

/// How often the function is looked at, in milliseconds. The heartbeat moves ten times a second.
const PERIOD_MS: u32 = 1000;
/// So many looks at the same heartbeat in a row are a dead function.
const MISSES: u32 = 4;

/// What was seen last.
pub(crate) struct Pulse {
    generation: Atomic<u32>,
    heartbeat: Atomic<u32>,
    misses: Atomic<u32>,
    /// Errors that the health block has counted, as far as they were told.
    errors: Atomic<u32>,
}

impl Pulse {
    pub(crate) const fn new() -> Self {
        Self {
            generation: Atomic::new(0),
            heartbeat: Atomic::new(0),
            misses: Atomic::new(0),
            errors: Atomic::new(0),
        }
    }
}

impl Device {
    /// Remembers the generation that the handshake was made in; another one is a reset by somebody else.
    pub(crate) fn set_generation(&self, generation: u32) {
        self.pulse.generation.store(generation, Relaxed);
        self.pulse.misses.store(0, Relaxed);
        // What went wrong before is no news: it was told, or it ended with the reset.
        if let Ok(Some(errors)) = self.registers.read_health(health::COUNT) {
            self.pulse.errors.store(errors, Relaxed);
        }
    }

    /// Starts watching.
    pub(crate) fn watch_health(self: &Arc<Self>) {
        self.health_task.schedule_after(self, PERIOD_MS);
    }

    /// The task: one look, and the next one scheduled.
    pub(crate) fn run_health(this: &Arc<Self>) {
        if this.binding().is_disconnected() {
            // Pulled out: what comes in its place is another device.
            this.note_gone();
            return;
        }
        this.keep_watch();
        if this.is_gone() {
            // A link that was down, or a VF whose PF was reset, can come back.
            this.try_come_back();
        } else {
            match this.look() {
                Err(_) => this.note_gone(),
                Ok(Some(fault)) => this.request_reset(fault),
                Ok(None) => {}
            }
        }
        this.watch_health();
    }

    /// Sees to it that changes of routes and devices of others are noticed. Where the function was started late, with the lock of the
    /// devlink instance held, nobody has yet.
    pub(crate) fn keep_watch(self: &Arc<Self>) {
        if let Err(error) = self.watch_paths() {
            dev_err!(
                self.binding(),
                "changes of routes are not noticed: {:?}\n",
                error
            );
        }
    }

    /// Looks at the function. Gives the fault for which it is to be stopped, if there is one; others are told.
    fn look(self: &Arc<Self>) -> Result<Option<Fault>> {
        if !self.commands.is_started() {
            return Ok(None);
        }
        let generation = self.pulse.generation.load(Relaxed);
        self.serve_control();
        let mut found = self.examine()?;
        let mut noted = None;
        if found.is_none() {
            noted = self.find_noted()?;
            found = self.look_at_queues();
        }
        // What was found of a function that is being reset meanwhile, or was since, does not count.
        if self.pulse.generation.load(Relaxed) != generation || !self.commands.is_started() {
            return Ok(None);
        }
        if let Some(fault) = noted {
            dev_warn!(self.binding(), "health: {}\n", fault);
            self.tell_fault(&fault);
        }
        Ok(found)
    }

    /// What the health block notes and nobody was told of.
    fn find_noted(&self) -> Result<Option<Fault>> {
        let Some(errors) = self.registers.read_health(health::COUNT)? else {
            return Ok(None);
        };
        if self.pulse.errors.xchg(errors, Relaxed) == errors {
            return Ok(None);
        }
        let severity = self.registers.read_health(health::SEVERITY)?.unwrap_or(0);
        let syndrome = self.registers.read_health(health::SYNDROME)?.unwrap_or(0);
        let fault = Fault::of_queue(Kind::Noted, 0, severity as u16, syndrome as u16);
        // A fatal one is seen in the status.
        Ok((1..=2).contains(&severity).then_some(fault))
    }

    /// The driver knows of all errors that the health block has counted: it tells of the next one again.
    pub(crate) fn acknowledge_health(&self) -> Result {
        let Some(errors) = self.registers.read_health(health::COUNT)? else {
            return Ok(());
        };
        match self.registers.write_health(health::ACKNOWLEDGE, errors) {
            // Of the first version, which tells when its severity grows.
            Err(error) if error == EOPNOTSUPP => Ok(()),
            result => result,
        }
    }

    /// Polls, by way of the reporters, what has waited too long, and gives the first queue that only a reset can help.
    fn look_at_queues(self: &Arc<Self>) -> Option<Fault> {
        let mut stalled = None;
        for port in self.ports() {
            let found = port.look();
            for fault in [found.late_transmit, found.late_receive]
                .into_iter()
                .flatten()
            {
                self.tell_fault(&fault);
            }
            stalled = stalled.or(found.stalled);
        }
        stalled
    }

    /// Polls the queues of an interface once.
    pub(crate) fn poll_late(&self, vport: u16) {
        if let Some(port) = self.port(vport) {
            port.poll_late();
        }
    }

    fn examine(&self) -> Result<Option<Fault>> {
        let state = self.registers.read(device::STATUS)?;
        let heartbeat = self.registers.read(device::HEARTBEAT)?;
        if state & status::HALTED != 0 {
            let reason = self.registers.read(device::REASON)?;
            return Ok(Some(Fault::with(Kind::Halted, reason as u16)));
        }
        if state & status::RESET_REQUESTED != 0 && !self.ignores_request() {
            return Ok(Some(Fault::new(Kind::Requested)));
        }
        if state & status::ACCEPTED == 0
            || self.registers.read(device::GENERATION)? != self.pulse.generation.load(Relaxed)
        {
            return Ok(Some(Fault::new(Kind::ForeignReset)));
        }
        if heartbeat != self.pulse.heartbeat.load(Relaxed) {
            self.pulse.heartbeat.store(heartbeat, Relaxed);
            self.pulse.misses.store(0, Relaxed);
            return Ok(None);
        }
        let misses = self.pulse.misses.load(Relaxed) + 1;
        self.pulse.misses.store(misses, Relaxed);
        if misses < MISSES {
            return Ok(None);
        }
        self.pulse.misses.store(0, Relaxed);
        Ok(Some(Fault::new(Kind::StandsStill)))
    }
}
