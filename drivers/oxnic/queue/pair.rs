// SPDX-License-Identifier: GPL-2.0-only

//! A pair of a transmit and a receive queue with their vector and NAPI instance.
//!
//! A pair has its memory for as long as it lives; it can be started and stopped several times, and what it had posted or
//! queued is given up when it is stopped. Starting and stopping need the instance lock of the network device.

use crate::cmd;
use crate::device::Device;
use crate::health::{Fault, Kind};
use crate::netdev::NetPort;
use crate::queue::coalesce::{Coalesce, CqTarget, Moderation};
use crate::queue::poll::{PairPoll, PairVector};
use crate::queue::rx::{RxMemory, RxSetup, RxWatch};
use crate::queue::stats::PairStats;
use crate::queue::tx::{Progress, TxLimits, TxMemory, TxRing, TxSetup, TxWatch};
use crate::queue::xdp::RxXdp;
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_abi::queue::{CqCreate, RxCreate, TxCreate};
use oxnic_kapi::irq::Irq;
use oxnic_kapi::net::moderation::{Adaptive, Direction};
use oxnic_kapi::net::napi::Napi;
use oxnic_kapi::net::netdev::Locked;
use oxnic_kapi::net::queue::{TxAccess, TxSlots};

/// Slots of a vector: which completion queue counts where in its doorbell.
const TX_SLOT: u8 = 0;
const RX_SLOT: u8 = 1;

/// What a pair is made with.
#[derive(Clone, Copy)]
pub(crate) struct PairConfig {
    pub(crate) tx_log2: u8,
    pub(crate) rx_log2: u8,
    /// Longest frame in bytes, tags included.
    pub(crate) frame: u32,
    /// Packets take the way of XDP.
    pub(crate) xdp: bool,
    pub(crate) limits: TxLimits,
}

/// Names of a pair: in the network device, and in the device.
#[derive(Clone, Copy)]
pub(crate) struct PairId {
    /// Queue number of the network device.
    pub(crate) index: u16,
    /// Queue id of the device for both directions; completion queues are twice that, plus 1 for receive.
    pub(crate) queue: u16,
    /// MSI-X vector.
    pub(crate) vector: u16,
    pub(crate) vport: u16,
}

impl PairId {
    fn tx_cq(&self) -> u16 {
        self.queue * 2
    }

    fn rx_cq(&self) -> u16 {
        self.queue * 2 + 1
    }
}

/// A pair of queues.
pub(crate) struct Pair {
    pub(super) id: PairId,
    device: Arc<Device>,
    napi: Arc<Napi<PairPoll>>,
    pub(super) stats: Arc<PairStats>,
    tx_adaptive: Arc<Adaptive<CqTarget>>,
    rx_adaptive: Arc<Adaptive<CqTarget>>,
    pub(super) tx_watch: TxWatch,
    pub(super) rx_watch: RxWatch,
    pub(super) tx_memory: TxMemory,
    pub(super) rx_memory: RxMemory,
    config: PairConfig,
    irq: Option<Irq<PairVector>>,
    /// Something has waited, and was not polled since.
    late: bool,
    /// While the queue is not started; else it is in the transmit slot. Boxed from the start, since a queue that starts again after a
    /// reset may not need memory.
    tx: Option<KBox<TxRing>>,
    /// What exists in the device, in order of creation.
    pub(super) created: Created,
}

/// What a look at a pair found.
pub(crate) struct Look {
    pub(crate) transmit: Progress,
    /// A packet that was received waits to be polled.
    pub(crate) receive: bool,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Created {
    pub(super) tx_cq: bool,
    pub(super) rx_cq: bool,
    pub(super) tx: bool,
    pub(super) rx: bool,
}

impl Pair {
    /// Allocates all memory of a pair, receive buffers included. The device knows nothing of it yet.
    pub(crate) fn new(
        device: &Arc<Device>,
        netdev: &Locked,
        id: PairId,
        config: PairConfig,
        stats: &Arc<PairStats>,
        port: &NetPort,
    ) -> Result<Self> {
        let setup = TxSetup {
            device,
            netdev,
            index: id.index,
            id: id.queue,
            log2: config.tx_log2,
            limits: config.limits,
            stats,
        };
        let (tx, done, tx_watch, tx_memory) = setup.allocate()?;
        let tx = KBox::new(tx, GFP_KERNEL)?;
        let xdp = if config.xdp {
            let tx = TxAccess::new(netdev, port, id.index)?;
            Some(RxXdp::new(&port.program, tx)?)
        } else {
            None
        };
        let setup = RxSetup {
            device,
            id: id.queue,
            log2: config.rx_log2,
            frame: config.frame,
            stats,
            xdp,
        };
        let target = |id| CqTarget::new(device, id);
        let (tx_adaptive, tx_sampler) = Adaptive::new(Direction::Transmit, target(id.tx_cq()))?;
        let (rx_adaptive, rx_sampler) = Adaptive::new(Direction::Receive, target(id.rx_cq()))?;
        let mut rx_parts = None;
        let napi = Napi::new(netdev, id.index, device.clone(), |place| {
            let (mut rx, watch, memory) = setup.allocate(&place)?;
            rx.fill()?;
            rx_parts = Some((watch, memory));
            Ok(PairPoll {
                tx: done,
                rx,
                vector: id.vector.into(),
                place: (id.vport, id.index),
                device: device.clone(),
                stats: stats.clone(),
                tx_sampler,
                rx_sampler,
            })
        })?;
        let (rx_watch, rx_memory) = rx_parts.ok_or(EINVAL)?;
        Ok(Self {
            id,
            device: device.clone(),
            napi,
            stats: stats.clone(),
            tx_adaptive,
            rx_adaptive,
            tx_watch,
            rx_watch,
            tx_memory,
            rx_memory,
            config,
            irq: None,
            late: false,
            tx: Some(tx),
            created: Created::default(),
        })
    }

    /// Makes the queues in the device and lets packets through. On failure the pair has to be stopped as if it had started.
    pub(crate) fn start(
        &mut self,
        netdev: &Locked,
        slots: &TxSlots<TxRing>,
        coalesce: &Coalesce,
    ) -> Result {
        let id = self.id;
        self.create(coalesce.tx, coalesce.rx)?;
        self.tx_adaptive.set_enabled(coalesce.adaptive_tx);
        self.rx_adaptive.set_enabled(coalesce.adaptive_rx);
        let irq = Irq::request(
            &self.device.vector_set()?,
            id.vector,
            fmt!("{}-{}", netdev.name(), id.index),
            PairVector(self.napi.clone()),
        )?;
        self.napi.set_irq(netdev, irq.number());
        self.irq = Some(irq);
        let arm = self.napi.with_data(netdev, |data| {
            data.rx.ring_doorbell();
            data.arm_value()
        })?;
        self.late = false;
        self.tx_watch.restart();
        self.rx_watch.restart();
        self.napi.enable(netdev);
        self.napi.link_queues(netdev, id.index);
        slots.install(netdev, id.index, self.tx.take().ok_or(EINVAL)?)?;
        self.device.doorbells().ring(arm);
        Ok(())
    }

    fn create(&mut self, tx: Moderation, rx: Moderation) -> Result {
        let id = self.id;
        let cq = CqCreate {
            id: id.tx_cq(),
            vector: id.vector,
            slot: TX_SLOT,
            log2: self.config.tx_log2,
            entry: 16,
            address: self.tx_memory.cq.address(),
            microseconds: tx.microseconds,
            frames: tx.frames,
        };
        cmd::queue::cq_create(&self.device, &cq)?;
        self.created.tx_cq = true;
        let cq = CqCreate {
            id: id.rx_cq(),
            slot: RX_SLOT,
            log2: self.config.rx_log2,
            entry: 32,
            address: self.rx_memory.cq.address(),
            microseconds: rx.microseconds,
            frames: rx.frames,
            ..cq
        };
        cmd::queue::cq_create(&self.device, &cq)?;
        self.created.rx_cq = true;
        let tx = TxCreate {
            id: id.queue,
            cq: id.tx_cq(),
            log2: self.config.tx_log2,
            version: 0,
            address: self.tx_memory.ring.address(),
        };
        cmd::queue::tx_create(&self.device, id.vport, &tx)?;
        self.created.tx = true;
        let rx = RxCreate {
            id: id.queue,
            cq: id.rx_cq(),
            log2: self.config.rx_log2,
            version: 0,
            buffer_length: self.rx_memory.buffer,
            address: self.rx_memory.ring.address(),
        };
        cmd::queue::rx_create(&self.device, id.vport, &rx)?;
        self.created.rx = true;
        Ok(())
    }

    /// Lets no packet through any more, and destroys the queues in the device. Where the device was reset or is gone,
    /// there is nothing to destroy. False: the device may still use the memory of the pair.
    pub(crate) fn stop(&mut self, netdev: &Locked, slots: &TxSlots<TxRing>) -> bool {
        if let Some(tx) = slots.remove(netdev, self.id.index) {
            self.tx = Some(tx);
        }
        if let Some(irq) = self.irq.take() {
            self.napi.unlink_queues(netdev, self.id.index);
            self.napi.disable(netdev);
            self.napi.clear_irq(netdev);
            drop(irq);
        }
        // Nobody polls any more, and it may be long until this queue is used again.
        slots.settle(netdev, self.id.index);
        self.stats.stamps.settle();
        // Before another queue may get these ids.
        self.tx_adaptive.cancel();
        self.rx_adaptive.cancel();
        self.destroy()
    }

    /// True: the device says that it does no DMA to our memory any more. Else it will be reset, or is gone.
    fn destroy(&mut self) -> bool {
        let created = core::mem::take(&mut self.created);
        let id = self.id;
        let mut confirmed = true;
        if created.rx {
            confirmed &= self.report(cmd::queue::rx_destroy(&self.device, id.queue));
        }
        if created.tx {
            confirmed &= self.report(cmd::queue::tx_destroy(&self.device, id.queue));
        }
        if created.rx_cq {
            confirmed &= self.report(cmd::queue::cq_destroy(&self.device, id.rx_cq()));
        }
        if created.tx_cq {
            confirmed &= self.report(cmd::queue::cq_destroy(&self.device, id.tx_cq()));
        }
        confirmed
    }

    /// Whether it is done. Where the device refuses it is reset.
    fn report<T>(&self, result: Result<T, crate::command::CommandError>) -> bool {
        use crate::command::Cause;
        let Err(error) = result else {
            return true;
        };
        if !matches!(
            error.cause,
            Cause::Gone | Cause::Unavailable | Cause::GivenUp
        ) {
            dev_err!(self.device.binding(), "{}\n", error);
            let (vport, queue) = (self.id.vport, self.id.queue);
            let fault = Fault::of_queue(Kind::NotDestroyed, vport, queue, 0);
            self.device.request_reset(fault);
        }
        false
    }

    /// Makes a stopped pair as it was when it was new: what was queued is dropped, all buffers are posted again.
    pub(crate) fn rewind(&mut self, netdev: &Locked) -> Result {
        self.tx_memory.cq.clear();
        self.rx_memory.cq.clear();
        let tx = self.tx.as_mut().ok_or(EBUSY)?;
        self.napi.with_data(netdev, |data| {
            data.tx.rewind(tx)?;
            data.rx.rewind()
        })?
    }

    /// Looks at a started pair, at a time in milliseconds: whether something waits whose interrupt has not come, or the completion of
    /// what was sent is missing.
    pub(crate) fn look(&mut self, now: u64) -> Look {
        let receive = self.rx_watch.is_late(now);
        let transmit = self.tx_watch.look(now);
        if transmit == Progress::Stalled {
            self.stats.tx.stalls.add(1);
        }
        self.late |= receive || transmit == Progress::Late;
        Look { transmit, receive }
    }

    /// Polls what has waited.
    pub(crate) fn poll_late(&mut self) {
        if !core::mem::take(&mut self.late) {
            return;
        }
        self.stats.late_polls.add(1);
        self.napi.schedule_bh();
    }

    /// Sets the moderation of a started pair.
    pub(crate) fn moderate(&self, coalesce: &Coalesce) -> Result {
        let id = self.id;
        for (cq, adaptive, on, fixed) in [
            (
                id.tx_cq(),
                &self.tx_adaptive,
                coalesce.adaptive_tx,
                coalesce.tx,
            ),
            (
                id.rx_cq(),
                &self.rx_adaptive,
                coalesce.adaptive_rx,
                coalesce.rx,
            ),
        ] {
            adaptive.set_enabled(on);
            if !on {
                adaptive.cancel();
                CqTarget::new(&self.device, cq).set(fixed)?;
            }
        }
        Ok(())
    }

    /// Removes the NAPI instance; to be called before a stopped pair is dropped.
    pub(crate) fn release(&mut self, netdev: &Locked) {
        self.napi.remove(netdev);
    }
}
