// SPDX-License-Identifier: GPL-2.0-only

//! Moderation of the interrupts of a pair of queues: as it was set, or as the kernel's algorithm sets it.

use crate::cmd;
use crate::device::Device;
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_abi::queue::CqModerate;
use oxnic_kapi::net::moderation::Apply;

/// Interrupt moderation of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Moderation {
    /// Longest delay in microseconds.
    pub(crate) microseconds: u16,
    /// Entries after which there is no delay; 0: the time alone counts.
    pub(crate) frames: u16,
}

/// Moderation of both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Coalesce {
    pub(crate) tx: Moderation,
    pub(crate) rx: Moderation,
    /// The kernel's algorithm sets that of transmit; `tx` is where it starts.
    pub(crate) adaptive_tx: bool,
    /// Likewise for receive.
    pub(crate) adaptive_rx: bool,
}

/// Sets the moderation of a completion queue.
pub(super) struct CqTarget {
    device: Arc<Device>,
    id: u16,
}

impl CqTarget {
    /// The completion queue of a number.
    pub(super) fn new(device: &Arc<Device>, id: u16) -> Self {
        Self {
            device: device.clone(),
            id,
        }
    }

    /// Sets it, with the delay that the device can do.
    pub(super) fn set(&self, moderation: Moderation) -> Result {
        let most = self.device.caps().moderation_max;
        let moderation = CqModerate {
            id: self.id,
            microseconds: moderation.microseconds.min(most),
            frames: moderation.frames,
        };
        Ok(cmd::queue::cq_moderate(&self.device, &moderation)?)
    }
}

impl Apply for CqTarget {
    fn apply(&self, microseconds: u16, packets: u16) {
        // A queue that is being stopped, or a reset, are no reason for a message.
        let _ = self.set(Moderation {
            microseconds,
            frames: packets,
        });
    }
}
