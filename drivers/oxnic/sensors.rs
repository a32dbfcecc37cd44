// SPDX-License-Identifier: GPL-2.0-only

//! The device's sensors, as hardware monitoring shows them. They are the PF's: a guest with a VF is not to learn what heats the device.
//!
//! Which there are, is asked once; what they measure, each time that somebody reads it. While the function is being reset that
//! fails with `EBUSY`.

use crate::cmd;
use crate::command::CommandError;
use crate::device::Device;
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_abi::caps::features;
use oxnic_abi::sensor::{sensor_has, SensorEntry, SensorKind};
use oxnic_kapi::hwmon::{Attribute, Kind, Operations, Registration};

/// Sensors that user space sees.
pub(crate) type Registered = Registration<Sensors>;

/// What the operations work on.
pub(crate) struct Sensors {
    device: Arc<Device>,
    known: KVec<Known>,
}

/// A sensor that there was when the driver looked.
struct Known {
    entry: SensorEntry,
    /// Ends with a zero.
    label: [u8; 17],
}

impl Known {
    fn new(entry: SensorEntry) -> Self {
        let mut label = [0; 17];
        let (text, _) = label.split_at_mut(entry.label.len());
        text.copy_from_slice(&entry.label);
        // Names are for terminals.
        for byte in label.iter_mut().filter(|byte| **byte != 0) {
            if !byte.is_ascii_graphic() && *byte != b' ' {
                *byte = b'?';
            }
        }
        Self { entry, label }
    }
}

fn code(kind: Kind) -> SensorKind {
    match kind {
        Kind::Temp => SensorKind::TEMPERATURE,
        Kind::In => SensorKind::VOLTAGE,
        Kind::Power => SensorKind::POWER,
    }
}

impl Sensors {
    /// The number in the device's list of the sensor `channel` of a kind.
    fn find(&self, kind: Kind, channel: usize) -> Option<usize> {
        let all = self.known.iter().enumerate();
        let mut of_kind = all.filter(|(_, known)| known.entry.kind == code(kind));
        of_kind.nth(channel).map(|(index, _)| index)
    }
}

impl Operations for Sensors {
    fn is_visible(&self, kind: Kind, channel: usize, attribute: Attribute) -> bool {
        let Some(known) = self
            .find(kind, channel)
            .and_then(|index| self.known.get(index))
        else {
            return false;
        };
        let has = |bit| known.entry.has & bit != 0;
        match attribute {
            Attribute::Input => true,
            Attribute::Label => known.label[0] != 0,
            Attribute::Max => has(sensor_has::WARNING),
            Attribute::Crit => has(sensor_has::CRITICAL),
            Attribute::Highest => has(sensor_has::HIGHEST),
        }
    }

    fn read(&self, kind: Kind, channel: usize, attribute: Attribute) -> Result<i64> {
        let index = self.find(kind, channel).ok_or(ENODEV)?;
        // EAGAIN would have who reads a file try again at once.
        let busy = |error: CommandError| match error.into() {
            EAGAIN => EBUSY,
            other => other,
        };
        let entries = cmd::sensor::read(&self.device).map_err(busy)?;
        let entry = entries.get(index).filter(|entry| entry.kind == code(kind));
        let entry = entry.ok_or(EIO)?;
        let value = match attribute {
            Attribute::Input => entry.value,
            Attribute::Max => entry.warning,
            Attribute::Crit => entry.critical,
            Attribute::Highest => entry.highest,
            Attribute::Label => return Err(EOPNOTSUPP),
        };
        let value = i64::from(value as i32);
        Ok(match kind {
            // From milliwatt.
            Kind::Power => value * 1000,
            Kind::Temp | Kind::In => value,
        })
    }

    fn label(&self, kind: Kind, channel: usize) -> Option<&CStr> {
        let known = self.known.get(self.find(kind, channel)?)?;
        CStr::from_bytes_until_nul(&known.label).ok()
    }
}

impl Device {
    /// Shows the sensors to user space, if there are any. An interface works without, so failing is only logged.
    pub(crate) fn start_sensors(self: &Arc<Self>) {
        if self.is_vf() || self.caps().features & features::SENSORS == 0 {
            return;
        }
        if let Err(error) = self.register_sensors() {
            dev_warn!(self.binding(), "no sensors: {:?}\n", error);
        }
    }

    fn register_sensors(self: &Arc<Self>) -> Result {
        let failed = |error: CommandError| {
            dev_err!(self.binding(), "sensors: {}\n", error);
            Error::from(error)
        };
        let mut known = KVec::new();
        for entry in cmd::sensor::read(self).map_err(failed)? {
            known.push(Known::new(entry), GFP_KERNEL)?;
        }
        let device = self.clone();
        let registration = Registration::new(self.binding(), c"oxnic", Sensors { device, known })?;
        *self.sensors.lock() = Some(registration);
        Ok(())
    }

    /// Takes the sensors from user space.
    pub(crate) fn stop_sensors(&self) {
        // Unregistering waits for operations, which must not find the mutex held.
        let registration = self.sensors.lock().take();
        drop(registration);
    }
}
