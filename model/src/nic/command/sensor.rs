// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The command about sensors.

use super::Answer;
use crate::nic::Nic;

impl Nic {
    pub(super) fn read_sensors(&self) -> Answer {
        Answer::list(self.sensors.iter().map(|entry| entry.to_words()))
    }
}
