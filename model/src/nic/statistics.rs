// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Statistics by DMA: a vport's counters are written into host memory from time to time.
//!
//! The first word is odd while an update is under way; the last one is written last, so that a reader that finds both equal
//! has read one update.

use super::Nic;
use super::ids::{FunctionId, VportId};
use super::timers::Timer;
use super::vport::StatsDma;
use crate::host::{DmaFault, Host};
use oxnic_abi::regs::Reason;
use oxnic_abi::stats::VportStats;

/// Whose memory a vport's counters go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// That of the vport's own function.
    Own,
    /// That of the PF, where the vport is a VF's.
    Pf,
}

impl Stream {
    /// The timer of a vport's updates.
    pub fn timer(self, id: VportId) -> Timer {
        match self {
            Stream::Own => Timer::Stats(id),
            Stream::Pf => Timer::Watch(id),
        }
    }
}

impl Nic {
    /// Where a vport's counters go.
    pub(super) fn stats_target(&mut self, id: VportId, stream: Stream) -> &mut Option<StatsDma> {
        let vport = self.vport_mut(id);
        match stream {
            Stream::Own => &mut vport.stats_dma,
            Stream::Pf => &mut vport.watch,
        }
    }

    /// The function that receives them.
    fn stats_reader(&self, id: VportId, stream: Stream) -> FunctionId {
        match stream {
            Stream::Own => self.vport(id).function,
            Stream::Pf => FunctionId::PF,
        }
    }

    /// No more updates.
    pub(super) fn stop_stats(&mut self, id: VportId, stream: Stream) {
        *self.stats_target(id, stream) = None;
        self.timers.cancel(stream.timer(id));
    }

    /// A vport's update is due.
    pub(super) fn stats_due(&mut self, host: &mut dyn Host, id: VportId, stream: Stream) {
        let function = self.stats_reader(id, stream);
        let Some(target) = *self.stats_target(id, stream) else {
            return;
        };
        if self.state(function).works() && self.write_stats(host, id, stream).is_err() {
            log::warn!("{}: statistics stopped: DMA fault", function.bus());
            *self.stats_target(id, stream) = None;
            self.note(host, function, 1, Reason::DMA);
            return;
        }
        self.timers
            .set(stream.timer(id), self.now.saturating_add(target.period));
    }

    /// Writes one update.
    ///
    /// # Errors
    /// The memory cannot be written.
    pub(super) fn write_stats(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        stream: Stream,
    ) -> Result<(), DmaFault> {
        let stats = self.vport(id).stats;
        let function = self.stats_reader(id, stream).bus();
        let Some(target) = self.stats_target(id, stream).as_mut() else {
            return Ok(());
        };
        let address = target.address;
        let under_way = target.sequence.wrapping_add(1);
        let done = target.sequence.wrapping_add(2);
        target.sequence = done;
        let words = VportStats {
            sequence: done,
            sequence_end: done,
            ..stats
        }
        .to_words();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let (body, end) = bytes.split_at(VportStats::BYTES - 8);
        host.dma_write(function, address, &under_way.to_le_bytes())?;
        host.dma_write(
            function,
            address.wrapping_add(8),
            body.get(8..).unwrap_or_default(),
        )?;
        host.dma_write(function, address, &done.to_le_bytes())?;
        host.dma_write(
            function,
            address.wrapping_add(VportStats::BYTES as u64 - 8),
            end,
        )
    }
}
