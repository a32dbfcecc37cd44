// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Statistics by DMA: a vport's counters are written into host memory from time to time.
//!
//! The first word is odd while an update is under way; the last one is written last, so that a reader that finds both equal
//! has read one update.

use super::Nic;
use super::ids::VportId;
use super::timers::Timer;
use crate::host::{DmaFault, Host};
use oxnic_abi::regs::Reason;
use oxnic_abi::stats::VportStats;

impl Nic {
    /// A vport's update is due.
    pub(super) fn stats_due(&mut self, host: &mut dyn Host, id: VportId) {
        let vport = self.vport(id);
        let (function, target) = (vport.function, vport.stats_dma);
        let Some(target) = target else {
            return;
        };
        if self.state(function).works() && self.write_stats(host, id).is_err() {
            log::warn!("{}: statistics stopped: DMA fault", function.bus());
            self.vport_mut(id).stats_dma = None;
            self.note(host, function, 1, Reason::DMA);
            return;
        }
        self.timers
            .set(Timer::Stats(id), self.now.saturating_add(target.period));
    }

    /// Writes one update.
    ///
    /// # Errors
    /// The memory cannot be written.
    pub(super) fn write_stats(&mut self, host: &mut dyn Host, id: VportId) -> Result<(), DmaFault> {
        let vport = self.vport_mut(id);
        let stats = vport.stats;
        let function = vport.function.bus();
        let Some(target) = vport.stats_dma.as_mut() else {
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
