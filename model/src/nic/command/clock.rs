// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about the clock.

use super::{Answer, Outcome, ensure, field, limit, parameter, parameters};
use crate::nic::Nic;
use crate::nic::clock::Clock;
use oxnic_abi::clock::{ClockConfig, ClockInfo, SET_MAX, clock_fields};
use oxnic_abi::command::Submission;

impl Nic {
    pub(super) fn clock_set(&mut self, submission: &Submission) -> Outcome {
        let config = parameters!(ClockConfig, submission)?;
        let has = |bit| config.fields & bit != 0;
        let twice = has(clock_fields::TIME) && has(clock_fields::OFFSET);
        let known = config.fields & !clock_fields::ALL == 0;
        ensure(known && !twice, field(parameter(0)))?;
        let mut time = None;
        if has(clock_fields::TIME) {
            ensure(config.time <= SET_MAX, limit(parameter(8)))?;
            time = Some(config.time);
        }
        if has(clock_fields::OFFSET) {
            let shifted = self.clock.shifted(self.now, config.offset as i64);
            ensure(shifted.is_some(), limit(parameter(16)))?;
            time = shifted;
        }
        let rate = config.rate as i64;
        ensure(
            !has(clock_fields::RATE) || Clock::allows(rate),
            limit(parameter(24)),
        )?;
        if let Some(time) = time {
            self.clock.step(self.now, time);
        }
        if has(clock_fields::RATE) {
            self.clock.tune(self.now, rate);
        }
        Ok(Answer::default())
    }

    pub(super) fn clock_query(&self) -> Outcome {
        let info = ClockInfo {
            time: self.clock.time(self.now),
            rate: self.clock.rate() as u64,
            steps: self.clock.steps(),
        };
        Ok(Answer::buffer(&info.to_words()))
    }
}
