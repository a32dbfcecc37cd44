// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about statistics.

use super::{
    Answer, Failure, Outcome, VPORT, ensure, field, limit, no_object, parameter, parameters,
};
use crate::host::Host;
use crate::nic::Nic;
use crate::nic::ids::FunctionId;
use crate::nic::limits;
use crate::nic::statistics::Stream;
use crate::nic::vport::StatsDma as Target;
use oxnic_abi::command::{Qualifier, Status, Submission};
use oxnic_abi::stats::{QueueStatsGet, StatsDma};

/// Alignment of the room for statistics by DMA.
const STATS_ALIGN: u64 = 256;

impl Nic {
    pub(super) fn vport_stats(&self, function: FunctionId, submission: &Submission) -> Outcome {
        let id = self.named_vport(function, submission)?;
        Ok(Answer::buffer(&self.vport(id).stats.to_words()))
    }

    pub(super) fn queue_stats(&self, function: FunctionId, submission: &Submission) -> Outcome {
        let get = parameters!(QueueStatsGet, submission)?;
        let state = self.state(function);
        let place = usize::from(get.id);
        let stats = match get.transmit {
            0 => state
                .rx
                .get(place)
                .and_then(Option::as_ref)
                .map(|queue| queue.stats),
            1 => state
                .tx
                .get(place)
                .and_then(Option::as_ref)
                .map(|queue| queue.stats),
            _ => return Err(field(parameter(2))),
        };
        Ok(Answer::buffer(
            &stats.ok_or(no_object(parameter(0)))?.to_words(),
        ))
    }

    pub(super) fn stats_dma(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let set = parameters!(StatsDma, submission)?;
        let (id, stream) = match submission.function {
            0 => (self.named_vport(function, submission)?, Stream::Own),
            _ => {
                ensure(submission.vport == 0, field(VPORT))?;
                (self.vf_vport_id(self.named_vf(submission)?), Stream::Pf)
            }
        };
        if set.address == 0 {
            self.stop_stats(id, stream);
            return Ok(Answer::default());
        }
        ensure(set.address % STATS_ALIGN == 0, field(parameter(0)))?;
        ensure(set.period >= limits::STATS_PERIOD_MIN, limit(parameter(8)))?;
        let before = *self.stats_target(id, stream);
        let period = u64::from(set.period) * 1_000_000;
        let target = Target {
            address: set.address,
            period,
            sequence: 0,
        };
        *self.stats_target(id, stream) = Some(target);
        if self.write_stats(host, id, stream).is_err() {
            *self.stats_target(id, stream) = before;
            return Err(Failure::new(Status::EFAULT, Qualifier::DMA, parameter(0)));
        }
        let at = self.now.saturating_add(period);
        self.timers.set(stream.timer(id), at);
        Ok(Answer::default())
    }
}
