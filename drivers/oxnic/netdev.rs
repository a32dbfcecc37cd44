// SPDX-License-Identifier: GPL-2.0-only

//! A network interface: the operations of the networking core on a vport.
//!
//! [`NetPort`] is the data of the network device, which owns it. Its `state` is what changes while the interface lives; it is
//! guarded by a mutex of its own, taken with the instance lock held (and RTNL, where the operation has it), and held while
//! commands run. Statistics are counters beside it that need no lock.
//!
//! What a user has set is kept in the state, so that opening, and recovery after a reset, set it all again.

mod create;
mod operations;
mod queues;
mod recovery;
mod statistics;
pub(crate) mod timestamp;
mod xdp;

pub(crate) use create::{create, Kind};

use crate::cmd;
use crate::command::CommandError;
use crate::device::Device;
use crate::features;
use crate::filter::Filter;
use crate::queue::coalesce::{Coalesce, Moderation};
use crate::queue::set::{QueueSet, Share};
use crate::queue::stats::PairStats;
use crate::queue::tx::TxRing;
use crate::rss::Hashing;
use crate::stats::DeviceStats;
use crate::steering::Steering;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};
use oxnic_abi::port::Fec;
use oxnic_abi::vport::{vport_fields, vport_flags, VportConfig, VportInfo};
use oxnic_kapi::net::netdev::{self, Locked};
use oxnic_kapi::net::queue::TxSlots;
use oxnic_kapi::net::timestamp::HwtstampConfig;
use oxnic_kapi::net::xdp::ProgramSlot;

/// Ethernet header.
pub(crate) const HEADER: u32 = 14;
/// Two tags, which a frame may have beyond the MTU.
pub(crate) const TAGS: u32 = 8;
/// Rings are this deep at first, log2.
const DEFAULT_LOG2: u8 = 10;
/// Shallowest and deepest ring that can be set, log2. The deepest is bounded by the device, too.
pub(crate) const LOG2_MIN: u8 = 6;
/// Packets have at most a head and so many fragments.
const FRAGMENTS_MAX: u32 = 18;

/// What the user has set of the queues.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Config {
    /// Queue pairs.
    pub(crate) pairs: u16,
    pub(crate) tx_log2: u8,
    pub(crate) rx_log2: u8,
    pub(crate) tx: Moderation,
    pub(crate) rx: Moderation,
    /// The kernel's algorithm moderates transmit, and `tx` is where it starts.
    pub(crate) adaptive_tx: bool,
    /// Likewise for receive.
    pub(crate) adaptive_rx: bool,
    /// Receive rings are laid out for XDP, see [`crate::queue::xdp`].
    pub(crate) xdp: bool,
}

impl Config {
    fn coalesce(&self) -> Coalesce {
        let Self {
            tx,
            rx,
            adaptive_tx,
            adaptive_rx,
            ..
        } = *self;
        Coalesce {
            tx,
            rx,
            adaptive_tx,
            adaptive_rx,
        }
    }
}

/// What changes while an interface lives.
pub(crate) struct State {
    /// The queues while it is open.
    pub(crate) queues: Option<QueueSet>,
    /// Queues that were closed while the function was not to be reached, and which the device may still write to.
    defunct: KVec<QueueSet>,
    pub(crate) config: Config,
    /// Flags of the vport as they are wanted, but for ENABLED.
    pub(crate) flags: u32,
    pub(crate) filter: Filter,
    pub(crate) hashing: Hashing,
    pub(crate) steering: Steering,
    /// Speed that the wire port was set to, in Mbit/s; 0: its fastest.
    pub(crate) speed: u32,
    /// Forward error correction that the wire port was set to.
    pub(crate) fec: Fec,
    /// Which packets the device stamps.
    pub(crate) stamping: HwtstampConfig,
    /// Commands cannot be run: between the two halves of a reset.
    pub(crate) resetting: bool,
}

impl State {
    /// Whether the device has the queues, so that it can be told of settings; else they are only kept.
    pub(crate) fn is_live(&self) -> bool {
        !self.resetting && self.queues.as_ref().is_some_and(QueueSet::is_started)
    }
}

/// The data of an interface.
#[pin_data]
pub(crate) struct NetPort {
    pub(crate) device: Arc<Device>,
    pub(crate) kind: Kind,
    pub(crate) share: Share,
    /// Index of the PTP clock that stamps are of, if it can be read.
    pub(crate) phc: Option<i32>,
    /// Counters of each queue pair.
    pub(crate) pair_stats: KVec<Arc<PairStats>>,
    pub(crate) device_stats: DeviceStats,
    /// Of a representor: the statistics of what it stands for.
    pub(crate) function_stats: Option<DeviceStats>,
    /// The XDP program in force; changed with RTNL held.
    pub(crate) program: Arc<ProgramSlot>,
    #[pin]
    pub(crate) state: Mutex<State>,
}

impl NetPort {
    fn new(
        device: &Arc<Device>,
        kind: Kind,
        share: Share,
        config: Config,
        steering: Steering,
        features: u64,
    ) -> Result<impl PinInit<Self, Error>> {
        let flags = vport_flags::BROADCAST | features::vport_flags(features);
        let mut pair_stats = KVec::with_capacity(share.pairs.into(), GFP_KERNEL)?;
        for _ in 0..share.pairs {
            pair_stats.push(Arc::new(PairStats::default(), GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let state = State {
            queues: None,
            defunct: KVec::new(),
            config,
            flags,
            filter: Filter::new()?,
            hashing: Hashing::new(device.caps(), share.first_queue, config.pairs)?,
            steering,
            speed: 0,
            fec: Fec::AUTO,
            stamping: HwtstampConfig::OFF,
            resetting: false,
        };
        let device_stats = DeviceStats::new(device, None)?;
        let function_stats = match kind {
            Kind::Own => None,
            Kind::Representor(vf) => Some(DeviceStats::new(device, Some(vf))?),
        };
        let device = device.clone();
        let phc = device.clock_index();
        let program = Arc::new(ProgramSlot::default(), GFP_KERNEL)?;
        Ok(try_pin_init!(Self {
            device,
            kind,
            share,
            phc,
            pair_stats,
            device_stats,
            function_stats,
            program,
            state <- new_mutex!(state),
        }))
    }

    /// Whether this is an end of a wire, which the function may look after.
    pub(crate) fn has_wire(&self) -> bool {
        self.kind == Kind::Own && !self.device.is_vf()
    }

    pub(crate) fn slots<'a>(&'a self, netdev: &'a Locked) -> Result<&'a TxSlots<TxRing>> {
        netdev::tx_slots(netdev, self)
    }

    /// Logs a command that failed, for those whose caller cannot say more than an errno.
    pub(crate) fn failed(&self, error: CommandError) -> Error {
        dev_err!(
            self.device.binding(),
            "vport {}: {}\n",
            self.share.vport,
            error
        );
        error.into()
    }

    pub(crate) fn configure(&self, config: &VportConfig) -> Result {
        cmd::vport::set(&self.device, self.share.vport, config).map_err(|error| self.failed(error))
    }

    /// Sets those flags of the vport that `mask` names to what the state wants, and `more`.
    fn set_flags(&self, state: &State, mask: u32, more: u32) -> Result {
        let set = |flags| {
            let config = VportConfig {
                fields: vport_fields::FLAGS,
                flags,
                flags_mask: mask,
                ..VportConfig::ZERO
            };
            cmd::vport::set(&self.device, self.share.vport, &config)
        };
        let modes = state.filter.flags();
        // Promiscuous means of all VLANs.
        let unwanted = if modes & vport_flags::PROMISCUOUS != 0 {
            vport_flags::VLAN_FILTER
        } else {
            0
        };
        let result = set((state.flags & !unwanted | modes | more) & mask);
        match result {
            // A VF that is not trusted cannot be promiscuous: it gets what it can.
            Err(error) if modes != 0 && Error::from(error) == EPERM => {
                set((state.flags | more) & mask)
            }
            result => result,
        }
        .map_err(|error| self.failed(error))
    }

    fn query(&self) -> Result<VportInfo> {
        cmd::vport::query(&self.device, self.share.vport).map_err(|error| self.failed(error))
    }
}

/// Shows the state of the link to the core.
fn show_link(netdev: &netdev::Device, device: &Device, up: bool, speed: u32) {
    if up == netdev.has_carrier() {
        return;
    }
    if up {
        netdev.carrier_on();
        dev_info!(
            device.binding(),
            "{}: link up, {} Mbit/s\n",
            netdev.name(),
            speed
        );
    } else {
        netdev.carrier_off();
        dev_info!(device.binding(), "{}: link down\n", netdev.name());
    }
}
