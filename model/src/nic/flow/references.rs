// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What templates and rules name: it has to be there, and stays while it is named.

use super::Engine;
use super::actions::Named;
use super::refused::{Place, Refused};

impl Engine {
    /// Whether all that is named is there.
    pub(super) fn exist(&self, names: &[(Place, Named)]) -> Result<(), Refused> {
        for (place, name) in names {
            match *name {
                Named::Counter(id) => self.counters.named(id, *place)?,
                Named::Meter(id) => self.meters.named(id, *place).map(|_| ())?,
                Named::Table(id) => self.tables.named(id, *place).map(|_| ())?,
                Named::Encap(id) => self.encaps.named(id, *place).map(|_| ())?,
            }
        }
        Ok(())
    }

    /// Rules or templates name these now.
    pub(super) fn hold(&mut self, names: &[(Place, Named)]) {
        for (_, name) in names {
            match *name {
                Named::Counter(id) => self.counters.hold(id),
                Named::Meter(id) => self.meters.hold(id),
                Named::Table(id) => self.tables.hold(id),
                Named::Encap(id) => self.encaps.hold(id),
            }
        }
    }

    /// Rules or templates name these no longer.
    pub(super) fn release(&mut self, names: &[(Place, Named)]) {
        for (_, name) in names {
            match *name {
                Named::Counter(id) => self.counters.release(id),
                Named::Meter(id) => self.meters.release(id),
                Named::Table(id) => self.tables.release(id),
                Named::Encap(id) => self.encaps.release(id),
            }
        }
    }
}
