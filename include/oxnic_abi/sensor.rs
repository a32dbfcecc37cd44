// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Sensors of the device: temperatures, voltages, power. A device that has them says so by [`crate::caps::features::SENSORS`].

use crate::{open_enum, wire};

/// Most sensors that a device has.
pub const SENSORS_MAX: usize = 16;

wire! {
    /// A sensor, in the answer of [`crate::command::Opcode::SENSORS`]. Values are in the unit of the kind, as two's complement.
    pub struct SensorEntry: 5 {
        /// What it measures.
        0: kind: SensorKind,
        /// Bits of [`sensor_has`]: which of the values below there are. The value itself is always there.
        2: has: u16,
        /// What it measured last, at most a second ago.
        4: value: u32,
        /// Above this the device wants a look at it.
        8: warning: u32,
        /// Above this the device may stop working, or be damaged.
        12: critical: u32,
        /// Highest that it measured since power-on.
        16: highest: u32,
        /// Name for people, ASCII, filled up with zeros; another one for each sensor of a kind.
        24: label: [u8; 16],
    }
}

/// Bits of [`SensorEntry::has`].
pub mod sensor_has {
    /// `warning`.
    pub const WARNING: u16 = 1 << 0;
    /// `critical`.
    pub const CRITICAL: u16 = 1 << 1;
    /// `highest`.
    pub const HIGHEST: u16 = 1 << 2;
}

open_enum! {
    /// What a sensor measures, and its unit.
    pub enum SensorKind: u16 {
        /// Temperature in thousandths of a degree Celsius.
        TEMPERATURE = 1: "temperature",
        /// Voltage in millivolt.
        VOLTAGE = 2: "voltage",
        /// Power in milliwatt.
        POWER = 3: "power",
    }
}
