// SPDX-License-Identifier: GPL-2.0-only

//! Whether the device has an object that the driver keeps: it has not while it is reset, and gets it back afterwards, if it takes it.

use super::{gaps::Gaps, refusal::Refusal};
use crate::{command::CommandError, device::Device};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, //
    },
};

/// Whether the device has an object. Changes under the lock of the objects of its kind only.
pub(crate) struct There(Atomic<bool>);

impl There {
    /// Not yet.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(false))
    }

    /// Whether it has.
    pub(crate) fn is(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// It has from now on, or has not.
    pub(crate) fn set(&self, there: bool) {
        self.0.store(there, Relaxed);
    }

    /// After a reset: tells the device of the object, named by its kind and number, if it does not have it.
    ///
    /// # Errors
    ///
    /// It cannot be reached.
    pub(crate) fn put_back(
        &self,
        device: &Arc<Device>,
        gaps: &mut Gaps<'_>,
        (what, id): (&str, u32),
        tell: impl FnOnce() -> Result<(), CommandError>,
    ) -> Result<(), Refusal> {
        if !self.is() {
            self.set(gaps.object(device, what, id, tell())?);
        }
        Ok(())
    }
}
