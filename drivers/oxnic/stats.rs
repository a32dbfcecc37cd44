// SPDX-License-Identifier: GPL-2.0-only

//! Statistics that the device keeps of a vport. It writes them to our memory once a period, so that reading them costs
//! nothing and can be done in atomic context.

use crate::cmd;
use crate::command::CommandError;
use crate::device::Device;
use crate::netdev::NetPort;
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_abi::caps::features;
use oxnic_abi::stats::{StatsDma, VportStats};
use oxnic_kapi::dma::{self, Words};

/// How often the device writes, in milliseconds.
const PERIOD: u16 = 250;
/// How often a reader that meets an update under way tries again.
const ATTEMPTS: usize = 4;

/// The vport's statistics in our memory.
pub(crate) struct DeviceStats {
    /// The VF whose vport it is, from 0; none: the interface's own.
    vf: Option<u16>,
    words: Option<Words>,
    period: u16,
}

impl DeviceStats {
    /// Allocates, where the device can do it.
    pub(crate) fn new(device: &Arc<Device>, vf: Option<u16>) -> Result<Self> {
        let caps = device.caps();
        let words = if caps.features & features::STATS_DMA != 0 {
            Some(Words::new(device.binding(), VportStats::WORDS)?)
        } else {
            None
        };
        Ok(Self {
            vf,
            words,
            period: PERIOD.max(caps.stats_period_min),
        })
    }

    /// Lets the device write.
    pub(crate) fn start(&self, port: &NetPort) {
        if let Some(words) = &self.words {
            let dma = StatsDma {
                address: words.address(),
                period: self.period,
            };
            if let Err(error) = self.set(port, &dma) {
                dev_warn!(
                    port.device.binding(),
                    "vport {}: {}\n",
                    port.share.vport,
                    error
                );
            }
        }
    }

    /// The device does not write any more, or is being reset. The counters stay as they are.
    pub(crate) fn stop(&self, port: &NetPort) {
        if self.words.is_some() {
            let _ = self.set(
                port,
                &StatsDma {
                    address: 0,
                    period: 0,
                },
            );
        }
    }

    fn set(&self, port: &NetPort, dma: &StatsDma) -> Result<(), CommandError> {
        match self.vf {
            None => cmd::stats::dma(&port.device, port.share.vport, dma),
            Some(vf) => cmd::vf::stats_dma(&port.device, vf, dma),
        }
    }

    /// The statistics as of the last period.
    pub(crate) fn snapshot(&self) -> VportStats {
        let mut values = [0; VportStats::WORDS];
        let Some(words) = &self.words else {
            return VportStats::from_words(&values);
        };
        for _ in 0..ATTEMPTS {
            let end = words.read(VportStats::WORDS - 1);
            dma::rmb();
            for (index, value) in values.iter_mut().enumerate().skip(1) {
                *value = words.read(index);
            }
            dma::rmb();
            values[0] = words.read(0);
            if values[0] == end && end & 1 == 0 {
                break;
            }
        }
        VportStats::from_words(&values)
    }
}
