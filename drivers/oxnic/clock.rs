// SPDX-License-Identifier: GPL-2.0-only

//! The device's clock as a PTP hardware clock.
//!
//! The device has one clock for all its functions, which keeps running, at its rate, through every reset of a function. The
//! PF's `/dev/ptpN` reads and sets it. A VF has one of its own that only reads: it may be all that a guest sees of the
//! device, and stamps are of no use without the clock that they are of.
//!
//! The registration is kept in [`Device::clock`], a mutex that is held only to put it there and to take it away. While the
//! function is being reset its registers are left alone: the clock cannot be read or set then, and says `EBUSY` or `EAGAIN`.

use crate::cmd;
use crate::command::CommandError;
use crate::device::Device;
use kernel::prelude::*;
use kernel::sync::{atomic::Relaxed, Arc};
use oxnic_abi::caps::features;
use oxnic_abi::clock::{clock_fields, ClockCaps, ClockConfig};
use oxnic_kapi::ptp::{Operations, Parameters, Registration, SystemTimestamps};
use oxnic_kapi::time;

/// What the clock's operations work on.
pub(crate) struct Clock(Arc<Device>);

/// A clock that user space sees.
pub(crate) type Registered = Registration<Clock>;

impl Clock {
    fn set(&self, config: &ClockConfig) -> Result {
        if self.0.is_vf() {
            return Err(EOPNOTSUPP);
        }
        cmd::clock::set(&self.0, config).map_err(|error| failed(&self.0, error))
    }
}

/// Logs what the device refuses: user space gets no more than an errno.
fn failed(device: &Device, error: CommandError) -> Error {
    dev_err!(device.binding(), "clock: {}\n", error);
    error.into()
}

impl Operations for Clock {
    fn gettimex64(&self, system: SystemTimestamps<'_>) -> Result<u64> {
        let device = &self.0;
        if !device.is_gone() && !device.commands.is_started() {
            return Err(EBUSY);
        }
        system.around(|| device.registers.read_clock())
    }

    fn settime64(&self, time: u64) -> Result {
        self.set(&ClockConfig {
            fields: clock_fields::TIME,
            time,
            ..ClockConfig::ZERO
        })
    }

    fn adjtime(&self, delta: i64) -> Result {
        self.set(&ClockConfig {
            fields: clock_fields::OFFSET,
            offset: delta as u64,
            ..ClockConfig::ZERO
        })
    }

    fn adjfine(&self, scaled_ppm: i64) -> Result {
        self.set(&ClockConfig {
            fields: clock_fields::RATE,
            rate: scaled_ppm as u64,
            ..ClockConfig::ZERO
        })
    }
}

impl Device {
    /// Whether the device has a clock and stamps frames.
    pub(crate) fn has_clock(&self) -> bool {
        self.caps().features & features::TIMESTAMP != 0
    }

    /// Shows the clock to user space, if there is one. An interface works without, so failing is only logged.
    pub(crate) fn start_clock(self: &Arc<Self>) {
        if !self.has_clock() {
            return;
        }
        if let Err(error) = self.register_clock() {
            dev_warn!(self.binding(), "no PTP clock: {:?}\n", error);
        }
    }

    fn register_clock(self: &Arc<Self>) -> Result {
        let caps = cmd::caps::clock(self).map_err(|error| failed(self, error))?;
        self.stamp_filters.store(caps.filters.into(), Relaxed);
        self.registers.read_clock()?;
        if !self.is_vf() {
            self.set_first_time()?;
        }
        let parameters = Parameters {
            name: if self.is_vf() { c"oxnic-vf" } else { c"oxnic" },
            max_adj: max_adj(&caps, self.is_vf()),
        };
        let registration = Registration::new(self.binding(), &parameters, Clock(self.clone()))?;
        *self.clock.lock() = Some(registration);
        Ok(())
    }

    /// Gives the clock the host's time, unless somebody has set it since the device was powered on: loading the driver
    /// again does not step the time of those who follow it.
    fn set_first_time(self: &Arc<Self>) -> Result {
        let info = cmd::clock::query(self).map_err(|error| failed(self, error))?;
        if info.steps != 0 {
            return Ok(());
        }
        let config = ClockConfig {
            fields: clock_fields::TIME,
            time: time::now_real_ns(),
            ..ClockConfig::ZERO
        };
        cmd::clock::set(self, &config).map_err(|error| failed(self, error))
    }

    /// Takes the clock from user space.
    pub(crate) fn stop_clock(&self) {
        // Unregistering waits for operations, which must not find the mutex held.
        let registration = self.clock.lock().take();
        drop(registration);
    }

    /// The N of `/dev/ptpN`, if there is one. It does not change while there are interfaces.
    pub(crate) fn clock_index(&self) -> Option<i32> {
        self.clock.lock().as_ref().map(Registration::index)
    }
}

/// How far the rate can be set, as the core checks it.
fn max_adj(caps: &ClockCaps, read_only: bool) -> i32 {
    if read_only {
        return 0;
    }
    // At 10^9 the clock would stand still.
    caps.rate_max.min(999_999_999) as i32
}
