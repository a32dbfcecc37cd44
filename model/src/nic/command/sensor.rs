// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The command about sensors.

use super::Answer;
use crate::nic::Nic;
use oxnic_abi::sensor::SensorEntry;

impl Nic {
    pub(super) fn read_sensors(&self) -> Answer {
        let entries = self.sensors.iter();
        Answer {
            result: [self.sensors.len() as u64, SensorEntry::BYTES as u64],
            words: entries.flat_map(|entry| entry.to_words()).collect(),
        }
    }
}
