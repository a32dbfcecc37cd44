// SPDX-License-Identifier: GPL-2.0-only

//! Watching over a function: does it live, was it reset by others, does it ask for a reset, do its queues move, has it told
//! something whose interrupt was lost.
//!
//! A task looks at two registers every [`PERIOD_MS`]; one read costs the device a round trip, so not more often.

use crate::device::Device;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, //
    },
};
use oxnic_abi::regs::{device, health, status, Reason, ResetReason};

/// How often the function is looked at, in milliseconds. The heartbeat moves ten times a second.
const PERIOD_MS: u32 = 1000;
/// So many looks at the same heartbeat in a row are a dead function.
const MISSES: u32 = 4;

/// What was seen last.
pub(crate) struct Pulse {
    generation: Atomic<u32>,
    heartbeat: Atomic<u32>,
    misses: Atomic<u32>,
}

impl Pulse {
    pub(crate) const fn new() -> Self {
        Self {
            generation: Atomic::new(0),
            heartbeat: Atomic::new(0),
            misses: Atomic::new(0),
        }
    }
}

impl Device {
    /// Remembers the generation that the handshake was made in; another one is a reset by somebody else.
    pub(crate) fn set_generation(&self, generation: u32) {
        self.pulse.generation.store(generation, Relaxed);
        self.pulse.misses.store(0, Relaxed);
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
        if this.is_gone() {
            // A link that was down, or a VF whose PF was reset, can come back.
            this.try_come_back();
        } else {
            match this.look() {
                Err(_) => this.note_gone(),
                Ok(Some(reason)) => this.request_reset(reason),
                Ok(None) => {}
            }
        }
        this.watch_health();
    }

    /// Looks at the function. Gives the reason to reset it, if there is one.
    fn look(self: &Arc<Self>) -> Result<Option<ResetReason>> {
        if !self.commands.is_started() {
            return Ok(None);
        }
        let generation = self.pulse.generation.load(Relaxed);
        self.serve_control();
        let found = self.examine()?.or_else(|| self.find_stalled());
        // What was found of a function that is being reset meanwhile, or was since, does not count.
        let same = self.pulse.generation.load(Relaxed) == generation;
        Ok(found.filter(|_| same && self.commands.is_started()))
    }

    fn find_stalled(&self) -> Option<ResetReason> {
        let stalled = self.ports().any(|port| port.has_stalled());
        stalled.then_some(ResetReason::TX_TIMEOUT)
    }

    fn examine(&self) -> Result<Option<ResetReason>> {
        let state = self.registers.read(device::STATUS)?;
        let heartbeat = self.registers.read(device::HEARTBEAT)?;
        if state & status::HALTED != 0 {
            let reason = self.registers.read(device::REASON)?;
            let (text, detail) = (Reason(reason as u16).text(), reason >> 16);
            dev_err!(
                self.binding(),
                "the function has halted: {} (detail {})\n",
                text,
                detail
            );
            return Ok(Some(ResetReason::HEALTH));
        }
        if state & status::RESET_REQUESTED != 0 {
            return Ok(Some(ResetReason::REQUESTED));
        }
        if state & status::ACCEPTED == 0
            || self.registers.read(device::GENERATION)? != self.pulse.generation.load(Relaxed)
        {
            dev_warn!(self.binding(), "the function was reset by somebody else\n");
            return Ok(Some(ResetReason::HEALTH));
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
        dev_err!(
            self.binding(),
            "the heartbeat has stood still for {} s\n",
            misses * PERIOD_MS / 1000
        );
        self.pulse.misses.store(0, Relaxed);
        Ok(Some(ResetReason::HEALTH))
    }

    /// Logs what the health block holds.
    pub(crate) fn log_health(&self) {
        let (Ok(Some(severity)), Ok(Some(syndrome)), Ok(Some(count))) = (
            self.registers.read_health(health::SEVERITY),
            self.registers.read_health(health::SYNDROME),
            self.registers.read_health(health::COUNT),
        ) else {
            return;
        };
        let severity = match severity {
            0 => "healthy",
            1 => "warning",
            2 => "error",
            _ => "fatal",
        };
        let text = Reason(syndrome as u16).text();
        dev_warn!(
            self.binding(),
            "health: {}, {} ({} errors so far)\n",
            severity,
            text,
            count
        );
    }
}
