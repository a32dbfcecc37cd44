// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! When firmware is started, watched, proven and given up.
//!
//! New firmware is on trial from its start until it has worked for a while behind a handshake of the PF's driver. Firmware that does
//! not get ready, or stops while on trial, makes way for what was there before.

use super::Nic;
use super::event::Notice;
use super::firmware::TRIAL_MS;
use super::firmware::build::Behaviour;
use super::ids::FunctionId;
use super::timers::Timer;
use crate::host::Host;
use oxnic_abi::event::EventKind;
use oxnic_abi::firmware::{FirmwareComponent, FirmwareFault};
use oxnic_abi::regs::Reason;

/// Until firmware that is not ready is given up, in nanoseconds: well within the longest time of a reset.
const READY_NS: u64 = 300_000_000;
/// Until firmware that is to stop does so, in nanoseconds after the handshake.
const CRASH_NS: u64 = 100_000_000;

impl Nic {
    /// Power has come: what is in flash is started.
    pub(super) fn start_firmware(&mut self, host: &mut dyn Host) {
        self.firmware.power_on();
        self.follow_firmware();
        self.tell_firmware(host);
    }

    /// The PF is being reset; it had stopped before or not.
    pub(super) fn reset_firmware(&mut self, halted: bool) {
        self.timers.cancel(Timer::Firmware);
        self.firmware.reset(halted);
        self.follow_firmware();
    }

    /// The PF's driver has made its handshake.
    pub(super) fn watch_firmware(&mut self, host: &mut dyn Host) {
        let after = match self.firmware.behaviour() {
            Some(Behaviour::Crash) => Some(CRASH_NS),
            Some(_) => Some(u64::from(TRIAL_MS) * 1_000_000),
            None => None,
        };
        if let Some(after) = after {
            self.timers.set(Timer::Firmware, self.now + after);
        }
        self.tell_firmware(host);
    }

    /// The time of [`Self::watch_firmware`] or [`Self::follow_firmware`] is up.
    pub(super) fn end_firmware_trial(&mut self, host: &mut dyn Host) {
        match self.firmware.behaviour() {
            Some(Behaviour::Hang) => {
                self.firmware.roll_back_trials(FirmwareFault::HANG);
                self.reset(host, FunctionId::PF);
            }
            Some(Behaviour::Crash) => self.halt(FunctionId::PF, Reason::INTERNAL, 0),
            _ => self.firmware.prove(),
        }
        self.tell_firmware(host);
    }

    /// The device is as the firmware that runs makes it.
    pub(super) fn follow_firmware(&mut self) {
        let pipeline = self.firmware.build(FirmwareComponent::PIPELINE);
        let hangs = self.firmware.behaviour() == Some(Behaviour::Hang);
        let pf = self.state_mut(FunctionId::PF);
        pf.shares.rules = pipeline.rules;
        if hangs {
            pf.registers.status = 0;
            self.timers.set(Timer::Firmware, self.now + READY_NS);
        }
    }

    /// Whether firmware takes handshakes.
    pub(super) fn is_firmware_ready(&self) -> bool {
        self.firmware.behaviour() != Some(Behaviour::Hang)
    }

    /// Firmware was started while the driver works, or was not.
    pub(super) fn watch_live_firmware(&mut self, host: &mut dyn Host, started: bool) {
        match started {
            true => self.watch_firmware(host),
            false => self.tell_firmware(host),
        }
    }

    /// Tells the driver, if there is one, what has become of firmware.
    fn tell_firmware(&mut self, host: &mut dyn Host) {
        if !self.state(FunctionId::PF).works() {
            return;
        }
        for (component, news) in self.firmware.take_news() {
            let notice = Notice::new(EventKind::FIRMWARE, component.0.into(), news.0);
            self.tell(host, FunctionId::PF, notice);
        }
    }
}

// A driver waits for a reset no longer than the device says.
const _: () = assert!(READY_NS < super::limits::RESET_TIMEOUT as u64 * 500_000);
