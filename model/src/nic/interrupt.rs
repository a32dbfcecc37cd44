// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! When vectors are raised: arming, moderation, timers.
//!
//! Functions of [`Nic`], which owns all that is touched. Vectors that something happened to are listed and looked at once, at
//! the end of a poll.

use super::Nic;
use super::chaos::Fault;
use super::ids::FunctionId;
use super::statistics::Stream;
use super::timers::Timer;
use crate::host::Host;

/// Timers that one poll serves.
const POLL_TIMERS: usize = 1024;

impl Nic {
    /// Puts a vector on the list of those to look at.
    pub(super) fn list_vector(&mut self, function: FunctionId, index: u16) {
        let state = self.state_mut(function);
        match state.vectors.get_mut(usize::from(index)) {
            Some(vector) if !vector.listed => vector.listed = true,
            _ => return,
        }
        self.vectors_ready.push((function, index));
    }

    /// Takes an arming doorbell.
    pub(super) fn arm(&mut self, function: FunctionId, vector: u32, index: u32) {
        let state = self.state_mut(function);
        let place = state
            .vectors
            .get_mut(vector as usize)
            .filter(|_| vector != 0);
        let Some(place) = place else {
            return self.stray(function);
        };
        place.seen = [Some(index as u16), Some((index >> 16) as u16)];
        place.armed = true;
        self.list_vector(function, vector as u16);
    }

    /// Raises the vectors that are due, and sets timers for those that will be.
    pub(super) fn run_vectors(&mut self, host: &mut dyn Host) {
        let now = self.now;
        let mut ready = std::mem::take(&mut self.vectors_ready);
        for (function, index) in ready.drain(..) {
            let state = self.state_mut(function);
            let works = state.works();
            let Some(vector) = state.vectors.get_mut(usize::from(index)) else {
                continue;
            };
            vector.listed = false;
            let timer = Timer::Vector(function, index);
            match vector.due(&state.cqs, now).filter(|_| works) {
                Some(at) if at <= now => {
                    vector.armed = false;
                    self.timers.cancel(timer);
                    if !self.chaos.hit(Fault::InterruptLost) {
                        host.interrupt(function.bus(), index);
                    }
                }
                Some(at) => self.timers.set(timer, at),
                None => self.timers.cancel(timer),
            }
        }
        self.vectors_ready = ready;
        for index in 0..self.functions.len() {
            let state = &mut self.functions[index];
            let told = state.works() && std::mem::take(&mut state.raise);
            let halted = std::mem::take(&mut state.raise_halted) && state.bus_master;
            if told || halted {
                let function = state.id;
                if !self.chaos.hit(Fault::InterruptLost) {
                    host.interrupt(function.bus(), 0);
                }
            }
        }
    }

    /// Serves the timers that have expired.
    pub(super) fn run_timers(&mut self, host: &mut dyn Host) {
        let now = self.now;
        for _ in 0..POLL_TIMERS {
            match self.timers.expire(now) {
                Some(Timer::Vector(function, index)) => self.list_vector(function, index),
                Some(Timer::Stats(id)) => self.stats_due(host, id, Stream::Own),
                Some(Timer::Watch(id)) => self.stats_due(host, id, Stream::Pf),
                // Who that is, is found out when it is asked who sends next.
                Some(Timer::Rate) => {}
                Some(Timer::FlowQueue(id)) => self.wake_flow(id),
                Some(Timer::Firmware) => self.end_firmware_trial(host),
                Some(Timer::Counters) => {
                    // What is left of a round follows in the next poll.
                    self.counters_due(host);
                    return;
                }
                None => return,
            }
        }
    }
}
