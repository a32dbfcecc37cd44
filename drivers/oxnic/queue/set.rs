// SPDX-License-Identifier: GPL-2.0-only

//! All queue pairs of an open interface. The instance lock is held throughout.

use crate::device::Device;
use crate::health::Part;
use crate::netdev::NetPort;
use crate::queue::coalesce::Coalesce;
use crate::queue::pair::{Look, Pair, PairConfig, PairId};
use crate::queue::tx::TxRing;
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_kapi::devlink::Message;
use oxnic_kapi::net::netdev::Locked;
use oxnic_kapi::net::queue::TxSlots;

/// Which queues and vectors of the function an interface has.
#[derive(Clone, Copy)]
pub(crate) struct Share {
    /// Its vport.
    pub(crate) vport: u16,
    /// Its first queue id.
    pub(crate) first_queue: u16,
    /// Its first vector.
    pub(crate) first_vector: u16,
    /// How many of both.
    pub(crate) pairs: u16,
}

/// The pairs of an interface.
pub(crate) struct QueueSet {
    pairs: KVec<Pair>,
    started: bool,
    /// It was stopped, and the device has not said that it has let go of its memory.
    held: bool,
}

impl QueueSet {
    /// Allocates memory for `count` pairs. The device knows nothing of them yet.
    pub(crate) fn new(
        device: &Arc<Device>,
        netdev: &Locked,
        share: Share,
        count: u16,
        config: PairConfig,
        port: &NetPort,
    ) -> Result<Self> {
        let mut set = Self {
            pairs: KVec::with_capacity(count.into(), GFP_KERNEL)?,
            started: false,
            held: false,
        };
        for (index, stats) in port.pair_stats.iter().enumerate().take(count.into()) {
            let index = index as u16;
            let id = PairId {
                index,
                queue: share.first_queue + index,
                vector: share.first_vector + index,
                vport: share.vport,
            };
            match Pair::new(device, netdev, id, config, stats, port) {
                Ok(pair) => set.pairs.push(pair, GFP_KERNEL)?,
                Err(error) => {
                    set.release(netdev);
                    return Err(error);
                }
            }
        }
        Ok(set)
    }

    /// Whether the device has the queues.
    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    /// Whether the device may still use the memory of a stopped set, until it is reset.
    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// Makes the queues in the device. On failure there are none, unless the set is held.
    pub(crate) fn start(
        &mut self,
        netdev: &Locked,
        slots: &TxSlots<TxRing>,
        coalesce: &Coalesce,
    ) -> Result {
        self.started = true;
        for pair in &mut self.pairs {
            if let Err(error) = pair.start(netdev, slots, coalesce) {
                self.stop(netdev, slots);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Destroys the queues in the device. The caller has stopped transmission.
    pub(crate) fn stop(&mut self, netdev: &Locked, slots: &TxSlots<TxRing>) {
        for pair in &mut self.pairs {
            self.held |= !pair.stop(netdev, slots);
        }
        self.started = false;
    }

    /// Makes a stopped set as new, of which the device has let go, if need be by a reset.
    pub(crate) fn rewind(&mut self, netdev: &Locked) -> Result {
        self.held = false;
        for pair in &mut self.pairs {
            pair.rewind(netdev)?;
        }
        Ok(())
    }

    /// Looks at each pair, at a time in milliseconds.
    pub(crate) fn look(&mut self, now: u64, mut found: impl FnMut(u16, Look)) {
        for (index, pair) in self.pairs.iter_mut().enumerate() {
            found(index as u16, pair.look(now));
        }
    }

    /// Polls those that were late when they were looked at.
    pub(crate) fn poll_late(&mut self) {
        self.pairs.iter_mut().for_each(Pair::poll_late);
    }

    /// Says how each pair stands, one way, and on demand what is in its rings.
    pub(crate) fn tell(&self, part: Part, memory: bool, message: &mut Message<'_>) -> Result {
        for pair in &self.pairs {
            message.object(|message| pair.tell(part, memory, message))?;
        }
        Ok(())
    }

    /// Sets moderation of all.
    pub(crate) fn moderate(&self, coalesce: &Coalesce) -> Result {
        for pair in &self.pairs {
            pair.moderate(coalesce)?;
        }
        Ok(())
    }

    /// Takes a stopped set from the network device. Its memory stays until it is dropped.
    pub(crate) fn release(&mut self, netdev: &Locked) {
        for pair in &mut self.pairs {
            pair.release(netdev);
        }
    }
}
