// SPDX-License-Identifier: GPL-2.0-only

//! The NAPI side of a pair of queues: what its vector leads to.

use crate::device::Device;
use crate::health::{Fault, Kind};
use crate::queue::coalesce::CqTarget;
use crate::queue::rx::RxRing;
use crate::queue::stats::PairStats;
use crate::queue::tx::TxDone;
use kernel::sync::Arc;
use oxnic_abi::doorbell::{self, DoorbellKind};
use oxnic_kapi::irq::Handler;
use oxnic_kapi::net::moderation::Sampler;
use oxnic_kapi::net::napi::{Context, Napi, Poll, Polled};

/// The NAPI side of a pair.
pub(super) struct PairPoll {
    pub(super) tx: TxDone,
    pub(super) rx: RxRing,
    pub(super) vector: u32,
    /// Vport and number in the network device, for messages.
    pub(super) place: (u16, u16),
    pub(super) device: Arc<Device>,
    pub(super) stats: Arc<PairStats>,
    pub(super) tx_sampler: Sampler<CqTarget>,
    pub(super) rx_sampler: Sampler<CqTarget>,
}

impl Poll for PairPoll {
    type Arm = Arc<Device>;

    #[inline]
    fn poll(&mut self, context: Context<'_>, budget: u32) -> Polled {
        if budget == 0 && self.tx.may_hold_frames() {
            return Polled { work: 0, arm: 0 };
        }
        let good = self.tx.poll(context);
        if budget == 0 {
            return Polled { work: 0, arm: 0 };
        }
        let (received, starved) = self.rx.poll(context, budget);
        if !good || self.rx.is_broken() {
            // The interrupt stays disarmed: nothing of this device is believed before it was reset.
            let kind = if good {
                Kind::BadReceive
            } else {
                Kind::BadTransmit
            };
            let (vport, index) = self.place;
            let fault = Fault::of_queue(kind, vport, index, 0);
            self.device.request_reset(fault);
            return Polled {
                work: received,
                arm: 0,
            };
        }
        let work = if starved { budget } else { received };
        if work < budget {
            let stats = &self.stats;
            stats.polls.add(1);
            self.rx_sampler
                .sample(stats.rx.packets.get(), stats.rx.bytes.get());
            self.tx_sampler
                .sample(stats.tx.packets.get(), stats.tx.bytes.get());
        }
        Polled {
            work,
            arm: self.arm_value(),
        }
    }

    #[inline(always)]
    fn arm(device: &Arc<Device>, value: u64) {
        if value != 0 {
            device.doorbells().ring(value);
        }
    }
}

impl PairPoll {
    /// The doorbell that arms the vector.
    #[inline(always)]
    pub(super) fn arm_value(&self) -> u64 {
        let index = doorbell::arm_index(self.tx.next() as u16, self.rx.next() as u16);
        doorbell::encode(DoorbellKind::ARM, self.vector, index)
    }
}

/// The handler of a pair's vector.
pub(super) struct PairVector(pub(super) Arc<Napi<PairPoll>>);

impl Handler for PairVector {
    #[inline]
    fn handle(&self) {
        self.0.schedule();
    }
}
