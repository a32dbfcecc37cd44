// SPDX-License-Identifier: GPL-2.0-only

//! What could not be put back, while everything is tried.

use super::{
    engine::Engine,
    gap::{Instead, Missing},
    refusal::Refusal, //
};
use crate::{command::Cause, command::CommandError, device::Device};
use kernel::{prelude::*, sync::Arc};

/// Lines in the log each time that rules are tried.
const LINES: u32 = 8;

/// What could not be put back while everything was tried. Refusals leave a gap; where the device cannot be reached, trying ends.
pub(crate) struct Gaps<'a> {
    engine: &'a Engine,
    objects: u32,
    /// Rules for which something stands in.
    interims: u32,
    /// Lines that may be logged yet.
    lines: u32,
    finished: bool,
}

impl<'a> Gaps<'a> {
    /// None yet.
    pub(crate) fn new(engine: &'a Engine) -> Self {
        engine.missing.lock().start();
        let is_loud = engine.outage.lock().is_loud();
        Self {
            engine,
            objects: 0,
            interims: 0,
            lines: if is_loud { LINES } else { 0 },
            finished: false,
        }
    }

    /// The device was told of an object. Answers whether it has it.
    ///
    /// # Errors
    ///
    /// It cannot be reached.
    pub(crate) fn object(
        &mut self,
        device: &Arc<Device>,
        what: &str,
        id: u32,
        told: Result<(), CommandError>,
    ) -> Result<bool, Refusal> {
        match told {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.cause, Cause::Refused { .. }) => {
                self.objects = self.objects.saturating_add(1);
                if self.may_say() {
                    dev_warn!(device.binding(), "{} {} is missing: {}\n", what, id, error);
                }
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A rule is missing.
    pub(crate) fn rule(&mut self, device: &Arc<Device>, missing: Missing) {
        if self.may_say() {
            dev_warn!(
                device.binding(),
                "{} is missing: {} (in its place: {})\n",
                missing.place,
                missing.why,
                missing.instead
            );
        }
        if missing.instead == Instead::Upwards {
            self.interims = self.interims.saturating_add(1);
        }
        self.engine.missing.lock().note(missing);
    }

    /// A rule of the driver's own is missing.
    pub(crate) fn own_rule(&mut self, device: &Arc<Device>, why: Refusal) {
        self.objects = self.objects.saturating_add(1);
        if self.may_say() {
            dev_warn!(device.binding(), "tunnels: a rule is missing: {}\n", why);
        }
    }

    fn may_say(&mut self) -> bool {
        let may = self.lines > 0;
        self.lines = self.lines.saturating_sub(1);
        may
    }

    /// All was tried. Answers how many objects and rules are missing.
    pub(crate) fn finish(mut self, device: &Arc<Device>) -> (u32, u32) {
        self.finished = true;
        if self.interims == 0 {
            self.engine.end_interims(device);
        }
        let mut missing = self.engine.missing.lock();
        missing.finish(self.objects);
        (self.objects, missing.count)
    }
}

impl Drop for Gaps<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.engine.missing.lock().abandon();
        }
    }
}
