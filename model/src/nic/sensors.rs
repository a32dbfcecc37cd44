// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Sensors: what they show is set by the operator, as there is nothing to measure.

use oxnic_abi::sensor::{SensorEntry, SensorKind, sensor_has};

/// What the device has, as after power-on.
pub fn sensors() -> Vec<SensorEntry> {
    vec![
        sensor(SensorKind::TEMPERATURE, "asic", 46_000, 95_000, 105_000),
        sensor(SensorKind::TEMPERATURE, "board", 38_500, 75_000, 85_000),
        sensor(SensorKind::VOLTAGE, "core", 850, 900, 950),
        sensor(SensorKind::POWER, "total", 24_700, 65_000, 75_000),
    ]
}

fn sensor(kind: SensorKind, name: &str, value: u32, warning: u32, critical: u32) -> SensorEntry {
    let mut label = [0; 16];
    label[..name.len()].copy_from_slice(name.as_bytes());
    SensorEntry {
        kind,
        has: sensor_has::WARNING | sensor_has::CRITICAL | sensor_has::HIGHEST,
        value,
        warning,
        critical,
        highest: value,
        label,
    }
}

/// It measures this now.
pub fn set(sensor: &mut SensorEntry, value: i32) {
    sensor.highest = (sensor.highest as i32).max(value) as u32;
    sensor.value = value as u32;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_stays_also_where_all_are_below_zero() {
        let mut sensor = sensor(SensorKind::TEMPERATURE, "cold", -20_i32 as u32, 0, 10);
        set(&mut sensor, -30);
        assert_eq!((sensor.value as i32, sensor.highest as i32), (-30, -20));
        set(&mut sensor, -10);
        assert_eq!((sensor.value as i32, sensor.highest as i32), (-10, -10));
    }
}
