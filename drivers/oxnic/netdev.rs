// SPDX-License-Identifier: GPL-2.0-only

//! A network interface: the operations of the networking core on a vport.
//!
//! [`NetPort`] is the data of the network device, which owns it. Its `state` is what changes while the interface lives; it is
//! guarded by a mutex of its own, taken with the instance lock held (and RTNL, where the operation has it), and held while
//! commands run. Statistics are counters beside it that need no lock.
//!
//! What a user has set is kept in the state, so that opening, and recovery after a reset, set it all again.

use crate::cmd;
use crate::command::CommandError;
use crate::device::Device;
use crate::features;
use crate::filter::Filter;
use crate::queue::pair::{Coalesce, Moderation, PairConfig};
use crate::queue::set::{QueueSet, Share};
use crate::queue::stats::PairStats;
use crate::queue::tx::{TxLimits, TxRing};
use crate::rss::Hashing;
use crate::stats::DeviceStats;
use crate::steering::Steering;
use crate::vf;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};
use oxnic_abi::port::{port_fields, PortConfig};
use oxnic_abi::regs::ResetReason;
use oxnic_abi::vf::VfLink;
use oxnic_abi::vport::{vport_fields, vport_flags, VportConfig, VportInfo};
use oxnic_kapi::devlink;
use oxnic_kapi::net::features as net_features;
use oxnic_kapi::net::netdev::{
    self, Address, AddressList, Locked, Operations, Rtnl, SkBuffRef, Transmit, Unregistered,
};
use oxnic_kapi::net::queue::{Stats, TxSlots};
use oxnic_kapi::net::skb::SkBuff;
use oxnic_kapi::net::stats::{LinkStats, RxQueueStats, TxQueueStats};
use oxnic_kapi::net::vf::{Config as VfConfig, Link, Stats as VfStats};

/// Ethernet header.
const HEADER: u32 = 14;
/// Two tags, which a frame may have beyond the MTU.
const TAGS: u32 = 8;
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
    pub(crate) share: Share,
    /// Counters of each queue pair.
    pub(crate) pair_stats: KVec<Arc<PairStats>>,
    pub(crate) device_stats: DeviceStats,
    #[pin]
    pub(crate) state: Mutex<State>,
}

impl NetPort {
    fn new(
        device: &Arc<Device>,
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
            resetting: false,
        };
        let device_stats = DeviceStats::new(device)?;
        let device = device.clone();
        Ok(try_pin_init!(Self {
            device,
            share,
            pair_stats,
            device_stats,
            state <- new_mutex!(state),
        }))
    }

    /// What a pair is made with for an MTU.
    fn pair_config(&self, config: &Config, mtu: u32) -> PairConfig {
        let caps = self.device.caps();
        PairConfig {
            tx_log2: config.tx_log2,
            rx_log2: config.rx_log2,
            frame: mtu + HEADER + TAGS,
            limits: TxLimits {
                frame_min: caps.frame_min.into(),
                fragments: u32::from(caps.tx_fragments).min(FRAGMENTS_MAX),
                spacing: caps.tx_report_spacing.into(),
            },
        }
    }

    fn allocate(&self, netdev: &Locked, config: &Config, mtu: u32) -> Result<QueueSet> {
        let pair = self.pair_config(config, mtu);
        QueueSet::new(
            &self.device,
            netdev,
            self.share,
            config.pairs,
            pair,
            &self.pair_stats,
        )
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
        self.set_flags(state, vport_flags::ALL, vport_flags::ENABLED)?;
        self.device_stats.start(self);
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

#[vtable]
impl Operations for NetPort {
    type TxQueue = TxRing;

    fn open(&self, netdev: &Rtnl) -> Result {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.resetting {
            return Err(EBUSY);
        }
        let mut queues = self.allocate(netdev, &state.config, netdev.mtu())?;
        if let Err(error) = self.bring_up(netdev, state, &mut queues, netdev.mtu()) {
            queues.release(netdev);
            return Err(error);
        }
        state.queues = Some(queues);
        netdev.start_queues();
        Ok(())
    }

    fn stop(&self, netdev: &Rtnl) {
        let mut state = self.state.lock();
        netdev.disable_tx();
        netdev.carrier_off();
        let Some(mut queues) = state.queues.take() else {
            return;
        };
        if queues.is_started() {
            self.disable();
            if let Ok(slots) = self.slots(netdev) {
                queues.stop(netdev, slots);
            }
        }
        queues.release(netdev);
        if state.resetting && !self.device.is_silent() {
            // Without room for it, it would have to be leaked; there is, as it was made in prepare_reset().
            let _ = state.defunct.push(queues, GFP_KERNEL);
        }
    }

    #[inline(always)]
    fn start_xmit(queue: &mut TxRing, skb: SkBuff) -> Transmit {
        queue.send(skb);
        Transmit::Taken
    }

    fn stats(&self, _netdev: &netdev::Device) -> LinkStats {
        self.link_stats()
    }

    fn set_rx_mode(
        &self,
        netdev: &Rtnl,
        unicast: AddressList<'_>,
        multicast: AddressList<'_>,
    ) -> Result {
        let mut state = self.state.lock();
        let state = &mut *state;
        state
            .filter
            .update(self.device.caps(), netdev, &unicast, &multicast)?;
        if !state.is_live() {
            return Ok(());
        }
        state.filter.apply(self)?;
        self.set_flags(
            state,
            vport_flags::PROMISCUOUS | vport_flags::ALL_MULTICAST | vport_flags::VLAN_FILTER,
            0,
        )
    }

    fn set_mac_address(&self, _netdev: &Rtnl, address: &Address) -> Result {
        self.configure(&VportConfig {
            fields: vport_fields::MAC,
            mac: *address,
            ..VportConfig::ZERO
        })
    }

    fn change_mtu(&self, netdev: &Rtnl, mtu: u32) -> Result {
        let mut state = self.state.lock();
        let state = &mut *state;
        let config = state.config;
        if state.queues.is_some() {
            self.replace(netdev, state, config, mtu)?;
        }
        netdev.set_mtu(mtu);
        Ok(())
    }

    fn fix_features(&self, _netdev: &netdev::Device, features: u64) -> u64 {
        features::fix(features)
    }

    fn set_features(&self, _netdev: &Rtnl, features: u64) -> Result {
        let mut state = self.state.lock();
        let flags = features::vport_flags(features);
        let changed = (state.flags ^ flags) & features::VPORT_FLAGS;
        if features & net_features::NTUPLE == 0 {
            let reached = !state.resetting;
            state.steering.clear(self, reached)?;
        }
        let before = state.flags;
        state.flags ^= changed;
        if changed != 0 && state.is_live() {
            let result = self.set_flags(&state, changed, 0);
            if result.is_err() {
                state.flags = before;
            }
            return result;
        }
        Ok(())
    }

    fn features_check(skb: &SkBuffRef<'_>, features: u64) -> u64 {
        features::check(skb, features)
    }

    fn tx_timeout(&self, netdev: &netdev::Device, queue: u32) {
        dev_warn!(
            self.device.binding(),
            "{}: transmit queue {} makes no progress\n",
            netdev.name(),
            queue
        );
        self.device.request_reset(ResetReason::TX_TIMEOUT);
    }

    fn vlan_add(&self, _netdev: &Rtnl, protocol: u16, vid: u16) -> Result {
        self.change_vlan(protocol, vid, true)
    }

    fn vlan_remove(&self, _netdev: &Rtnl, protocol: u16, vid: u16) -> Result {
        self.change_vlan(protocol, vid, false)
    }

    fn set_vf_mac(&self, vf: u16, address: &Address) -> Result {
        vf::set_mac(&self.device, vf, *address)
    }

    fn set_vf_vlan(&self, vf: u16, vlan: u16, qos: u8, protocol: u16) -> Result {
        vf::set_vlan(&self.device, vf, vlan, qos, protocol)
    }

    fn set_vf_rate(&self, vf: u16, min: u32, max: u32) -> Result {
        vf::set_rate(&self.device, vf, min, max)
    }

    fn set_vf_spoof_check(&self, vf: u16, on: bool) -> Result {
        vf::set_spoof_check(&self.device, vf, on)
    }

    fn set_vf_trust(&self, vf: u16, on: bool) -> Result {
        vf::set_trust(&self.device, vf, on)
    }

    fn set_vf_link(&self, vf: u16, link: Link) -> Result {
        let link = match link {
            Link::Auto => VfLink::AUTO,
            Link::Enable => VfLink::ENABLE,
            Link::Disable => VfLink::DISABLE,
        };
        vf::set_link(&self.device, vf, link)
    }

    fn vf_config(&self, vf: u16) -> Result<VfConfig> {
        let info = self.device.vf_info(vf)?;
        Ok(VfConfig {
            mac: info.mac,
            vlan: info.vlan,
            qos: info.qos,
            vlan_protocol: info.vlan_proto,
            spoof_check: info.spoof_check != 0,
            trusted: info.trust != 0,
            link: match info.link {
                VfLink::ENABLE => Link::Enable,
                VfLink::DISABLE => Link::Disable,
                _ => Link::Auto,
            },
            rate_min: info.rate_min,
            rate_max: info.rate_max,
        })
    }

    fn vf_stats(&self, vf: u16) -> Result<VfStats> {
        let stats = self.device.vf_stats(vf)?;
        Ok(VfStats {
            rx_packets: stats.rx_unicast + stats.rx_multicast + stats.rx_broadcast,
            rx_bytes: stats.rx_bytes,
            tx_packets: stats.tx_unicast + stats.tx_multicast + stats.tx_broadcast,
            tx_bytes: stats.tx_bytes,
            broadcast: stats.rx_broadcast,
            multicast: stats.rx_multicast,
            rx_dropped: stats.rx_no_buffer
                + stats.rx_too_long
                + stats.rx_disabled
                + stats.rx_vlan
                + stats.rx_dma,
            tx_dropped: stats.tx_spoofed
                + stats.tx_vlan
                + stats.tx_rate
                + stats.tx_bad
                + stats.tx_disabled
                + stats.tx_too_long,
        })
    }
}

impl NetPort {
    fn change_vlan(&self, protocol: u16, vid: u16, on: bool) -> Result {
        let mut state = self.state.lock();
        if protocol != features::CTAG {
            return Ok(());
        }
        let running = state.is_live();
        if !state.filter.set_vlan(vid, on) || !running {
            return Ok(());
        }
        state.filter.apply_vlans(self).inspect_err(|_| {
            state.filter.set_vlan(vid, !on);
        })
    }

    fn link_stats(&self) -> LinkStats {
        let mut link = LinkStats::default();
        for pair in &self.pair_stats {
            let (tx, rx) = (&pair.tx, &pair.rx);
            link.tx_packets += tx.packets.get();
            link.tx_bytes += tx.bytes.get();
            link.tx_dropped += tx.dropped() + tx.device_drops.get();
            link.rx_packets += rx.packets.get();
            link.rx_bytes += rx.bytes.get();
            link.rx_dropped += rx.dropped_memory.get();
            link.rx_length_errors += rx.truncated.get();
            link.rx_errors += rx.truncated.get();
        }
        let device = self.device_stats.snapshot();
        link.multicast = device.rx_multicast;
        link.rx_missed = device.rx_no_buffer;
        link.rx_length_errors += device.rx_too_long;
        link.rx_errors += device.rx_too_long + device.rx_dma;
        link
    }
}

impl Stats for NetPort {
    fn rx_queue(&self, _netdev: &Locked, index: u16) -> RxQueueStats {
        self.pair_stats
            .get(usize::from(index))
            .map(|pair| pair.rx.queue())
            .unwrap_or_default()
    }

    fn tx_queue(&self, _netdev: &Locked, index: u16) -> TxQueueStats {
        self.pair_stats
            .get(usize::from(index))
            .map(|pair| pair.tx.queue())
            .unwrap_or_default()
    }

    fn base(&self, netdev: &Locked) -> (RxQueueStats, TxQueueStats) {
        let (mut rx, mut tx) = (RxQueueStats::default(), TxQueueStats::default());
        for pair in self.pair_stats.iter().skip(netdev.tx_queues().into()) {
            rx.add(&pair.rx.queue());
            tx.add(&pair.tx.queue());
        }
        (rx, tx)
    }
}

/// Makes and registers the interface of a vport.
///
/// # Errors
///
/// What the device refuses is logged.
pub(crate) fn create(
    device: &Arc<Device>,
    vport: u16,
    port: Arc<devlink::Port>,
) -> Result<Arc<dyn crate::port::Port>> {
    let caps = device.caps();
    let info = cmd::vport::query(device, vport).inspect_err(|error| {
        dev_err!(device.binding(), "vport {}: {}\n", vport, error);
    })?;
    let share = share(device, vport)?;
    let cpus = u16::try_from(kernel::cpu::nr_cpu_ids()).unwrap_or(u16::MAX);
    let config = Config {
        pairs: share.pairs.min(cpus),
        tx_log2: DEFAULT_LOG2.min(caps.tx_log2_max).min(caps.cq_log2_max),
        rx_log2: DEFAULT_LOG2.min(caps.rx_log2_max).min(caps.cq_log2_max),
        tx: Moderation {
            microseconds: 50.min(caps.moderation_max),
            frames: 64,
        },
        rx: Moderation {
            microseconds: 20.min(caps.moderation_max),
            frames: 64,
        },
        adaptive_tx: false,
        adaptive_rx: true,
    };
    let mut netdev = Unregistered::<NetPort>::new(device.binding(), share.pairs, share.pairs)?;
    let steering = Steering::new(device, share.first_queue);
    let mut offer = features::offered(caps);
    if steering.capacity() > 0 {
        offer.changeable |= net_features::NTUPLE;
        offer.initial |= net_features::NTUPLE;
    }
    netdev
        .set_features(offer.changeable, offer.initial, offer.vlan)
        .set_limits(
            u32::from(caps.frame_max).saturating_sub(HEADER),
            caps.tso_max.min(u16::MAX.into()),
        )
        .set_address(&info.mac, &info.permanent_mac)
        .set_flexible()
        .set_port(vport)
        .set_devlink_port(port)
        .set_affinity_auto()
        .set_queues(config.pairs, config.pairs)?;
    if device.is_vf() {
        netdev.without_pause();
    }
    let data = NetPort::new(device, share, config, steering, offer.initial)?;
    let registration = netdev.register(data)?;
    crate::interface::Interface::create(vport, registration)
}

/// The part of the function's queues and vectors that a vport gets.
fn share(device: &Device, vport: u16) -> Result<Share> {
    let caps = device.caps();
    let ports = device.port_count();
    let queues = caps
        .tx_queues
        .min(caps.rx_queues)
        .min(caps.completion_queues / 2);
    let pairs = queues.min(device.vectors().saturating_sub(1)) / ports;
    if pairs == 0 {
        dev_err!(
            device.binding(),
            "vport {}: no queue or vector is left for it\n",
            vport
        );
        return Err(ENOSPC);
    }
    Ok(Share {
        vport,
        first_queue: vport * pairs,
        first_vector: 1 + vport * pairs,
        pairs,
    })
}

impl NetPort {
    /// Between the two halves of a reset: the queues are stopped, their memory stays.
    pub(crate) fn prepare_reset(&self, netdev: &Rtnl) {
        let mut state = self.state.lock();
        if state.resetting {
            return;
        }
        state.resetting = true;
        let _ = state.defunct.reserve(1, GFP_KERNEL);
        netdev.detach();
        netdev.disable_tx();
        if let Some(queues) = &mut state.queues {
            if let Ok(slots) = self.slots(netdev) {
                queues.stop(netdev, slots);
            }
        }
    }

    /// The device cannot use memory any more: what was kept for it goes.
    pub(crate) fn release_memory(&self) {
        self.state.lock().defunct.clear();
    }

    /// The function was reset: everything is set again.
    pub(crate) fn complete_reset(&self, netdev: &Rtnl) -> Result {
        let mut state = self.state.lock();
        let state = &mut *state;
        // The device has forgotten all rings.
        state.defunct.clear();
        if let Some(mut queues) = state.queues.take() {
            let result = queues
                .rewind(netdev)
                .and_then(|()| self.bring_up(netdev, state, &mut queues, netdev.mtu()));
            state.queues = Some(queues);
            result?;
        }
        state.resetting = false;
        netdev.restart_watchdog();
        netdev.attach();
        Ok(())
    }

    /// Shows a change of the link.
    pub(crate) fn link_changed(&self, netdev: &Rtnl, up: bool, speed: u32) {
        let state = self.state.lock();
        if state.is_live() {
            show_link(netdev, &self.device, up, speed);
        }
    }

    /// Takes over what the PF has set of this vport.
    pub(crate) fn refresh(&self, netdev: &Rtnl) {
        let Ok(info) = self.query() else { return };
        if info.mac != netdev.address() && info.mac != [0; 6] {
            netdev.change_address(&info.mac);
        }
        self.link_changed(netdev, info.link == 1, info.speed);
    }

    /// Whether the interface has this queue id of the function.
    pub(crate) fn has_queue(&self, queue: u16) -> bool {
        let share = self.share;
        (share.first_queue..share.first_queue + share.pairs).contains(&queue)
    }
}
