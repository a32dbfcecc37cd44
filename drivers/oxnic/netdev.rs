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
use crate::queue::pair::PairConfig;
use crate::queue::set::{QueueSet, Share};
use crate::queue::stats::PairStats;
use crate::queue::tx::{TxLimits, TxRing};
use crate::rss::Hashing;
use crate::stats::DeviceStats;
use crate::steering::Steering;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};
use oxnic_abi::port::{port_fields, PortConfig};
use oxnic_abi::vport::{vport_fields, vport_flags, VportConfig, VportInfo};
use oxnic_kapi::net::netdev::{self, Locked, Rtnl};
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

    /// What a pair is made with for an MTU.
    fn pair_config(&self, config: &Config, mtu: u32) -> PairConfig {
        let caps = self.device.caps();
        PairConfig {
            tx_log2: config.tx_log2,
            rx_log2: config.rx_log2,
            frame: mtu + HEADER + TAGS,
            xdp: config.xdp,
            limits: TxLimits {
                frame_min: caps.frame_min.into(),
                fragments: u32::from(caps.tx_fragments).min(FRAGMENTS_MAX),
                spacing: caps.tx_report_spacing.into(),
            },
        }
    }

    fn allocate(&self, netdev: &Locked, config: &Config, mtu: u32) -> Result<QueueSet> {
        let pair = self.pair_config(config, mtu);
        QueueSet::new(&self.device, netdev, self.share, config.pairs, pair, self)
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

    /// Starts queues, and sets all that the state holds. On failure the queues are stopped.
    fn bring_up(
        &self,
        netdev: &Locked,
        state: &mut State,
        queues: &mut QueueSet,
        mtu: u32,
    ) -> Result {
        let slots = self.slots(netdev)?;
        queues.start(netdev, slots, &state.config.coalesce())?;
        let result = self.apply(netdev, state, mtu);
        if result.is_err() {
            queues.stop(netdev, slots);
        }
        result
    }

    /// Sets all that the state holds, then lets frames in.
    fn apply(&self, netdev: &Locked, state: &mut State, mtu: u32) -> Result {
        self.apply_speed(state.speed)?;
        state.hashing.apply(self)?;
        state.steering.apply(self)?;
        state.filter.apply(self)?;
        let mut info = self.query()?;
        let address = netdev.address();
        if info.mac != address && info.mac_fixed == 0 {
            // A reset brings back the permanent one.
            self.configure(&VportConfig {
                fields: vport_fields::MAC,
                mac: address,
                ..VportConfig::ZERO
            })?;
        }
        let frame_max = (mtu + HEADER) as u16;
        self.configure(&VportConfig {
            fields: vport_fields::FRAME_MAX,
            frame_max,
            ..VportConfig::ZERO
        })?;
        self.apply_stamping(state)?;
        self.set_flags(state, vport_flags::ALL, vport_flags::ENABLED)?;
        self.device_stats.start(self);
        if let Some(stats) = &self.function_stats {
            stats.start(self);
        }
        info = self.query()?;
        show_link(netdev, &self.device, info.link == 1, info.speed);
        Ok(())
    }

    /// Sets the speed of the wire port, if the user has set one: a reset of the PF forgets it.
    fn apply_speed(&self, speed: u32) -> Result {
        if speed == 0 {
            return Ok(());
        }
        let config = PortConfig {
            fields: port_fields::SPEED,
            speed,
            ..PortConfig::ZERO
        };
        cmd::port::set(&self.device, self.share.vport, &config).map_err(|error| self.failed(error))
    }

    /// No frames are let in any more. Errors do not matter: the queues are destroyed next.
    fn disable(&self) {
        let _ = cmd::vport::set(
            &self.device,
            self.share.vport,
            &VportConfig {
                fields: vport_fields::FLAGS,
                flags: 0,
                flags_mask: vport_flags::ENABLED,
                ..VportConfig::ZERO
            },
        );
        self.device_stats.stop(self);
        if let Some(stats) = &self.function_stats {
            stats.stop(self);
        }
    }

    /// Puts other queues in the place of those in use: allocates all memory first; where the new ones cannot be started, the
    /// old ones are again.
    ///
    /// # Errors
    ///
    /// All is as before, but for the rare case that the old queues cannot be started again: then the interface has no
    /// queues until it is opened anew, and this is logged.
    pub(crate) fn replace(
        &self,
        netdev: &Rtnl,
        state: &mut State,
        config: Config,
        mtu: u32,
    ) -> Result {
        if state.resetting {
            return Err(EBUSY);
        }
        if state.queues.is_none() {
            self.set_pairs(netdev, state, config.pairs)?;
            state.config = config;
            return Ok(());
        }
        let mut new = self.allocate(netdev, &config, mtu)?;
        let slots = self.slots(netdev)?;
        let Some(mut old) = state.queues.take() else {
            return Err(EINVAL);
        };
        let before = state.config;
        // The watchdog does not look at a detached device.
        netdev.detach();
        netdev.disable_tx();
        self.disable();
        old.stop(netdev, slots);
        let result = self.set_pairs(netdev, state, config.pairs).and_then(|()| {
            state.config = config;
            self.bring_up(netdev, state, &mut new, mtu)
        });
        if result.is_ok() {
            old.release(netdev);
            state.queues = Some(new);
        } else {
            new.release(netdev);
            state.config = before;
            let again = self
                .set_pairs(netdev, state, before.pairs)
                .and_then(|()| old.rewind(netdev))
                .and_then(|()| self.bring_up(netdev, state, &mut old, netdev.mtu()));
            if let Err(error) = again {
                dev_err!(
                    self.device.binding(),
                    "{}: the old queues do not start again: {:?}\n",
                    netdev.name(),
                    error
                );
                netdev.carrier_off();
            }
            state.queues = Some(old);
        }
        netdev.restart_watchdog();
        netdev.attach();
        result
    }

    /// Sets moderation, now and for queues to come. `config` differs from the present one in nothing else.
    ///
    /// # Errors
    ///
    /// What the device says; some queues may have the new setting then, the present one stays for those to come.
    pub(crate) fn set_moderation(&self, state: &mut State, config: Config) -> Result {
        if state.is_live() {
            if let Some(queues) = &state.queues {
                queues.moderate(&config.coalesce())?;
            }
        }
        state.config = config;
        Ok(())
    }

    /// So many pairs are used; the hashing table follows if the user has not set it.
    fn set_pairs(&self, netdev: &Rtnl, state: &mut State, pairs: u16) -> Result {
        netdev.set_queues(pairs, pairs)?;
        state.hashing.set_pairs(netdev, pairs);
        Ok(())
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
