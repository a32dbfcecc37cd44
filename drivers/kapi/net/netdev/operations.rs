// SPDX-License-Identifier: GPL-2.0-only

//! What a driver does for its network devices.

use super::{Address, AddressList, Device, Rtnl};
use crate::extack::Extack;
use crate::net::ethtool;
use crate::net::flow::{self, Binding};
use crate::net::queue;
use crate::net::skb::SkBuff;
use crate::net::stats::LinkStats;
use crate::net::timestamp::HwtstampConfig;
use crate::net::vf;
use crate::net::xdp;
use core::marker::PhantomData;
use core::ops::Deref;
use kernel::prelude::*;

/// What happened to a packet in [`Operations::start_xmit`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transmit {
    /// The driver has it, or dropped it.
    Taken,
}

/// The operations of a device's driver. The data that they work on is `Self`, owned by the [`Registration`](super::Registration).
///
/// Where nothing else is said, RTNL and the instance lock are held, and the operation may sleep.
#[vtable]
pub trait Operations: ethtool::Operations + queue::Stats + Send + Sync + Sized + 'static {
    /// State of a transmit queue, guarded by the queue's own lock.
    type TxQueue: Send + 'static;

    /// The device goes up.
    ///
    /// # Errors
    ///
    /// It stays down.
    fn open(&self, device: &Rtnl) -> Result;

    /// The device goes down. Has to leave no queue behind.
    fn stop(&self, device: &Rtnl);

    /// Sends a packet. Holds the lock of the queue, atomic.
    fn start_xmit(queue: &mut Self::TxQueue, skb: SkBuff) -> Transmit;

    /// Statistics of the whole device. No lock, atomic.
    fn stats(&self, device: &Device) -> LinkStats;

    /// Of a representor's statistics, what went through this CPU. No lock; may sleep.
    fn cpu_hit_stats(&self) -> LinkStats;

    /// Takes over which frames are to be received.
    ///
    /// # Errors
    ///
    /// The core tries again later.
    fn set_rx_mode(
        &self,
        device: &Rtnl,
        unicast: AddressList<'_>,
        multicast: AddressList<'_>,
    ) -> Result;

    /// Changes the address. The core calls [`Rtnl::set_address`] with it afterwards.
    ///
    /// # Errors
    ///
    /// The address stays.
    fn set_mac_address(&self, device: &Rtnl, address: &Address) -> Result;

    /// Changes the MTU, and calls [`Rtnl::set_mtu`].
    ///
    /// # Errors
    ///
    /// The MTU stays.
    fn change_mtu(&self, device: &Rtnl, mtu: u32) -> Result;

    /// Takes away features that do not go with others.
    fn fix_features(&self, device: &Device, features: u64) -> u64;

    /// Turns features on and off.
    ///
    /// # Errors
    ///
    /// They stay.
    fn set_features(&self, device: &Rtnl, features: u64) -> Result;

    /// Takes away features that this packet cannot have. No lock, atomic.
    fn features_check(skb: &SkBuffRef<'_>, features: u64) -> u64;

    /// Transmit queue `queue` made no progress. Atomic; must only ask for recovery.
    fn tx_timeout(&self, device: &Device, queue: u32);

    /// Receive this VLAN too. `protocol` is the TPID. Of the locks RTNL alone is held.
    ///
    /// # Errors
    ///
    /// The VLAN is not added.
    fn vlan_add(&self, device: &Device, protocol: u16, vid: u16) -> Result;

    /// Receive this VLAN no more. Of the locks RTNL alone is held.
    ///
    /// # Errors
    ///
    /// The core only reports them.
    fn vlan_remove(&self, device: &Device, protocol: u16, vid: u16) -> Result;

    /// Which packets are stamped with the time. The locks are those of whoever asks: it may be a device above this one.
    ///
    /// # Errors
    ///
    /// [`EOPNOTSUPP`]: none can be.
    fn hwtstamp_get(&self, device: &Device) -> Result<HwtstampConfig>;

    /// Sets which packets are stamped; gives what it has become, which may be more for receive. Locks as for
    /// [`Self::hwtstamp_get`].
    ///
    /// # Errors
    ///
    /// It stays.
    fn hwtstamp_set(
        &self,
        device: &Device,
        config: HwtstampConfig,
        extack: Option<&mut Extack>,
    ) -> Result<HwtstampConfig>;

    /// The device is bound to a block of rules, of tc or of nftables; gives what hears of them. RTNL is held. Until it is unbound, the
    /// data stays as it is: the core unbinds a device before it is unregistered.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: no rule of the block goes to the device; it is bound nevertheless. All else: it is not bound.
    fn bind_block(
        &self,
        binding: &Binding<'_>,
        extack: Option<&mut Extack>,
    ) -> Result<KBox<dyn flow::Rules>>;

    /// Puts an XDP program, or none, in the place of the one in force. Taking it away must not fail: the core does so when the
    /// device is unregistered.
    ///
    /// # Errors
    ///
    /// The one in force stays, and the text says why.
    fn set_xdp_program(
        &self,
        device: &Rtnl,
        program: Option<xdp::Program>,
        extack: Option<&mut Extack>,
    ) -> Result;

    /// Sends frames that were redirected here, and tells how many it took. Holds the lock of the queue, atomic.
    fn transmit_frames(queue: &mut Self::TxQueue, frames: xdp::Frames<'_>) -> u32;

    /// Gives a VF its address; zero takes it back. RTNL only, as for all VF operations.
    ///
    /// # Errors
    ///
    /// As for all VF operations: [`EINVAL`] where there is no such VF.
    fn set_vf_mac(&self, vf: u16, address: &Address) -> Result;
    /// Puts a VF into a VLAN that it does not see; 0 for none.
    ///
    /// # Errors
    ///
    /// See [`Self::set_vf_mac`].
    fn set_vf_vlan(&self, vf: u16, vlan: u16, qos: u8, protocol: u16) -> Result;
    /// Rates in Mbit/s; 0 for none.
    ///
    /// # Errors
    ///
    /// See [`Self::set_vf_mac`].
    fn set_vf_rate(&self, vf: u16, min: u32, max: u32) -> Result;
    /// Checks the source address of what a VF sends.
    ///
    /// # Errors
    ///
    /// See [`Self::set_vf_mac`].
    fn set_vf_spoof_check(&self, vf: u16, on: bool) -> Result;
    /// Lets a VF be promiscuous and choose its address.
    ///
    /// # Errors
    ///
    /// See [`Self::set_vf_mac`].
    fn set_vf_trust(&self, vf: u16, on: bool) -> Result;
    /// Sets what a VF sees as its link.
    ///
    /// # Errors
    ///
    /// See [`Self::set_vf_mac`].
    fn set_vf_link(&self, vf: u16, link: vf::Link) -> Result;
    /// The settings of a VF.
    ///
    /// # Errors
    ///
    /// See [`Self::set_vf_mac`].
    fn vf_config(&self, vf: u16) -> Result<vf::Config>;
    /// The statistics of a VF.
    ///
    /// # Errors
    ///
    /// See [`Self::set_vf_mac`].
    fn vf_stats(&self, vf: u16) -> Result<vf::Stats>;
}

/// A packet that somebody else owns, to be looked at.
pub struct SkBuffRef<'a>(
    pub(super) core::mem::ManuallyDrop<SkBuff>,
    pub(super) PhantomData<&'a ()>,
);

impl Deref for SkBuffRef<'_> {
    type Target = SkBuff;

    #[inline]
    fn deref(&self) -> &SkBuff {
        &self.0
    }
}
