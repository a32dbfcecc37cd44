// SPDX-License-Identifier: GPL-2.0-only

//! Network devices: [`Device`] for any, [`Unregistered`] while a driver sets one up, [`Registration`] for a registered one.
//!
//! The registration owns the driver's data that the operations see: the data is there before the first operation can be
//! called, and is dropped after the last has returned. It lies in the device's private area, so that an operation reaches it
//! without following a pointer. The state of each transmit queue lies behind that queue's own lock, see [`super::queue`].
//!
//! Locks: the core calls most operations with RTNL and the device's instance lock held ("ops locked"). The types [`Locked`]
//! and [`Rtnl`] stand for these locks: functions that need one take it as their receiver or argument.

use super::ethtool;
use super::queue::{self, TxSlots};
use super::skb::{DropReason, SkBuff};
use super::stats::LinkStats;
use super::vf;
use crate::devlink;
use crate::pci::Binding;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::str::BStr;
use kernel::sync::aref::{ARef, AlwaysRefCounted};
use kernel::sync::Arc;
use kernel::types::Opaque;
use oxnic_bindings as bindings;

/// How long a transmit queue may stand still, in milliseconds.
const WATCHDOG_MS: u32 = 5000;
/// Length of an Ethernet address in bytes.
pub const ADDRESS_LENGTH: usize = 6;
/// An Ethernet address in transmission order.
pub type Address = [u8; ADDRESS_LENGTH];

/// A network device. What is here needs no lock.
#[repr(transparent)]
pub struct Device(Opaque<bindings::net_device>);

// SAFETY: A net_device belongs to no task, and all methods that need a lock ask for it.
unsafe impl Send for Device {}
// SAFETY: As above.
unsafe impl Sync for Device {}

// SAFETY: `dev_hold()` and `dev_put()` count the references that unregistration waits for.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: `self` is a valid device.
        unsafe { bindings::dev_hold(self.as_raw()) };
    }

    unsafe fn dec_ref(device: NonNull<Self>) {
        // SAFETY: The caller gives up a reference to a valid device.
        unsafe { bindings::dev_put(device.cast().as_ptr()) };
    }
}

impl Device {
    /// # Safety
    ///
    /// `raw` is a valid device for the lifetime `'a`.
    #[inline(always)]
    pub(super) unsafe fn from_raw<'a>(raw: *mut bindings::net_device) -> &'a Self {
        // SAFETY: `Device` is a transparent wrapper, and the caller promises validity.
        unsafe { &*raw.cast() }
    }

    #[inline(always)]
    pub(super) fn as_raw(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    /// Its name at the moment.
    pub fn name(&self) -> &BStr {
        // SAFETY: The name is an array in the device, and is changed by whole bytes; it always has a NUL in it.
        let name: &[u8; 16] = unsafe { &*(&raw const (*self.as_raw()).name).cast() };
        BStr::from_bytes(name.split(|&byte| byte == 0).next().unwrap_or_default())
    }

    /// MTU in bytes, without the Ethernet header.
    #[inline]
    pub fn mtu(&self) -> u32 {
        // SAFETY: The device is valid; the field is read without a lock as everywhere in the core.
        unsafe { (&raw const (*self.as_raw()).mtu).read_volatile() }
    }

    /// The features in force, see [`super::features`].
    #[inline]
    pub fn features(&self) -> u64 {
        // SAFETY: As in `mtu()`.
        unsafe { (&raw const (*self.as_raw()).features).read_volatile() }
    }

    /// Transmit queues in use.
    pub fn tx_queues(&self) -> u16 {
        // SAFETY: As in `mtu()`.
        unsafe { (&raw const (*self.as_raw()).real_num_tx_queues).read_volatile() as u16 }
    }

    /// Interface flags (`IFF_*`).
    pub fn flags(&self) -> u32 {
        // SAFETY: As in `mtu()`.
        unsafe { (&raw const (*self.as_raw()).flags).read_volatile() }
    }

    /// Whether all unicast frames are to be received.
    pub fn is_promiscuous(&self) -> bool {
        self.flags() & bindings::net_device_flags_IFF_PROMISC != 0
    }

    /// Whether all multicast frames are to be received.
    pub fn is_all_multicast(&self) -> bool {
        self.flags() & bindings::net_device_flags_IFF_ALLMULTI != 0
    }

    /// The address in use.
    pub fn address(&self) -> Address {
        let mut address = [0; ADDRESS_LENGTH];
        // SAFETY: `dev_addr` points to at least 6 bytes for an Ethernet device.
        unsafe {
            address
                .as_mut_ptr()
                .copy_from_nonoverlapping((*self.as_raw()).dev_addr, ADDRESS_LENGTH)
        };
        address
    }

    /// Whether it is open, or being opened or closed.
    pub fn is_running(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_running(self.as_raw()) }
    }

    /// Whether it has not been detached.
    pub fn is_present(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_device_present(self.as_raw()) }
    }

    /// The carrier is there.
    pub fn carrier_on(&self) {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_carrier_on(self.as_raw()) };
    }

    /// The carrier is gone.
    pub fn carrier_off(&self) {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_carrier_off(self.as_raw()) };
    }

    /// Whether there is a carrier.
    pub fn has_carrier(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_carrier_ok(self.as_raw()) }
    }

    /// Runs `f` with RTNL and the instance lock held. Sleeps.
    pub fn with_rtnl<R>(&self, f: impl FnOnce(&Rtnl) -> R) -> R {
        // SAFETY: The device is valid; the locks are taken in the order that the core prescribes.
        unsafe {
            bindings::rtnl_lock();
            bindings::netdev_lock(self.as_raw());
        }
        // SAFETY: Both locks are held until after `f`.
        let result = f(unsafe { Rtnl::from_raw(self.as_raw()) });
        // SAFETY: They were taken above.
        unsafe {
            bindings::netdev_unlock(self.as_raw());
            bindings::rtnl_unlock();
        }
        result
    }

    /// Runs `f` with the instance lock held. Sleeps.
    pub fn with_lock<R>(&self, f: impl FnOnce(&Locked) -> R) -> R {
        // SAFETY: The device is valid.
        unsafe { bindings::netdev_lock(self.as_raw()) };
        // SAFETY: The lock is held until after `f`.
        let result = f(unsafe { Locked::from_raw(self.as_raw()) });
        // SAFETY: It was taken above.
        unsafe { bindings::netdev_unlock(self.as_raw()) };
        result
    }

    pub(super) fn tx_queue(&self, index: u16) -> Result<NonNull<bindings::netdev_queue>> {
        // SAFETY: The device is valid; the number and the array of queues never change.
        let (queues, count) = unsafe { ((*self.as_raw())._tx, (*self.as_raw()).num_tx_queues) };
        if u32::from(index) >= count {
            return Err(EINVAL);
        }
        // SAFETY: The index was checked.
        NonNull::new(unsafe { queues.add(index.into()) }).ok_or(EINVAL)
    }
}

/// A device whose instance lock is held.
#[repr(transparent)]
pub struct Locked(Device);

impl Deref for Locked {
    type Target = Device;

    #[inline]
    fn deref(&self) -> &Device {
        &self.0
    }
}

impl Locked {
    /// # Safety
    ///
    /// `raw` is valid and its instance lock is held for the lifetime `'a`.
    pub(super) unsafe fn from_raw<'a>(raw: *mut bindings::net_device) -> &'a Self {
        // SAFETY: A transparent wrapper; the caller promises the rest.
        unsafe { &*raw.cast() }
    }

    /// No transmit operation runs when this returns, and none starts until [`Self::start_queues`].
    pub fn disable_tx(&self) {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_tx_disable(self.as_raw()) };
    }

    /// Transmit operations may run, and those that wait do.
    pub fn start_queues(&self) {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_tx_wake_all_queues(self.as_raw()) };
    }

    /// The watchdog starts counting from now.
    pub fn restart_watchdog(&self) {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_trans_update(self.as_raw()) };
    }
}

/// A device whose instance lock is held, as is RTNL.
#[repr(transparent)]
pub struct Rtnl(Locked);

impl Deref for Rtnl {
    type Target = Locked;

    #[inline]
    fn deref(&self) -> &Locked {
        &self.0
    }
}

impl Rtnl {
    /// # Safety
    ///
    /// `raw` is valid and both locks are held for the lifetime `'a`.
    pub(super) unsafe fn from_raw<'a>(raw: *mut bindings::net_device) -> &'a Self {
        // SAFETY: A transparent wrapper; the caller promises the rest.
        unsafe { &*raw.cast() }
    }

    /// The device cannot be used: its operations fail with ENODEV, its queues are stopped.
    pub fn detach(&self) {
        // SAFETY: The device is valid, RTNL is held.
        unsafe { bindings::netif_device_detach(self.as_raw()) };
    }

    /// The device can be used again.
    pub fn attach(&self) {
        // SAFETY: The device is valid, RTNL is held.
        unsafe { bindings::netif_device_attach(self.as_raw()) };
    }

    /// So many queues are used from now on.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: more than the device was made with; [`ENOMEM`].
    pub fn set_queues(&self, tx: u16, rx: u16) -> Result {
        // SAFETY: The device is valid, both locks are held.
        kernel::error::to_result(unsafe {
            bindings::netif_set_real_num_queues(self.as_raw(), tx.into(), rx.into())
        })
    }

    /// The address is this one from now on; listeners are told.
    pub fn set_address(&self, address: &Address) {
        // SAFETY: The device is valid, both locks are held.
        unsafe { bindings::eth_hw_addr_set(self.as_raw(), address.as_ptr()) };
    }

    /// As [`Self::set_address`], from outside of an operation: listeners are told.
    pub fn change_address(&self, address: &Address) {
        self.set_address(address);
        // SAFETY: The device is valid, RTNL is held.
        unsafe {
            bindings::call_netdevice_notifiers(
                bindings::netdev_cmd_NETDEV_CHANGEADDR as usize,
                self.as_raw(),
            )
        };
    }

    /// The MTU is this from now on. For the operation [`Operations::change_mtu`].
    pub fn set_mtu(&self, mtu: u32) {
        // SAFETY: The device is valid, both locks are held; readers take the field as a whole.
        unsafe { (&raw mut (*self.as_raw()).mtu).write_volatile(mtu) };
    }

    /// The set of features is computed anew, which calls the operations for features.
    pub fn update_features(&self) {
        // SAFETY: The device is valid, both locks are held.
        unsafe { bindings::netdev_update_features(self.as_raw()) };
    }

    /// The device is closed, as by the user; for one that cannot be brought up again.
    pub fn close(&self) {
        // SAFETY: The device is valid, both locks are held.
        unsafe { bindings::netif_close(self.as_raw()) };
    }
}

/// A list of addresses to receive, as the core keeps it.
pub struct AddressList<'a>(&'a bindings::netdev_hw_addr_list);

impl AddressList<'_> {
    /// Number of addresses.
    pub fn len(&self) -> usize {
        self.0.count as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `f` for each address.
    pub fn for_each(&self, mut f: impl FnMut(Address)) {
        let head: *const bindings::list_head = &self.0.list;
        let mut node = self.0.list.next.cast_const();
        while !core::ptr::eq(node, head) {
            let entry = node.cast::<bindings::netdev_hw_addr>();
            const { assert!(core::mem::offset_of!(bindings::netdev_hw_addr, list) == 0) };
            let mut address = [0; ADDRESS_LENGTH];
            // SAFETY: The list is intact while we have it, and its nodes are the first members of its entries.
            unsafe {
                address
                    .as_mut_ptr()
                    .copy_from_nonoverlapping((*entry).addr.as_ptr(), ADDRESS_LENGTH);
                node = (*node).next;
            }
            f(address);
        }
    }
}

/// What happened to a packet in [`Operations::start_xmit`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transmit {
    /// The driver has it, or dropped it.
    Taken,
}

/// The operations of a device's driver. The data that they work on is `Self`, owned by the [`Registration`].
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

    /// Receive this VLAN too. `protocol` is the TPID.
    ///
    /// # Errors
    ///
    /// The VLAN is not added.
    fn vlan_add(&self, device: &Rtnl, protocol: u16, vid: u16) -> Result;

    /// Receive this VLAN no more.
    ///
    /// # Errors
    ///
    /// The core only reports them.
    fn vlan_remove(&self, device: &Rtnl, protocol: u16, vid: u16) -> Result;

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
pub struct SkBuffRef<'a>(core::mem::ManuallyDrop<SkBuff>, PhantomData<&'a ()>);

impl Deref for SkBuffRef<'_> {
    type Target = SkBuff;

    #[inline]
    fn deref(&self) -> &SkBuff {
        &self.0
    }
}

/// What lies in the private area of a device.
#[repr(C)]
struct Private<T: Operations> {
    tx: TxSlots<T::TxQueue>,
    data: T,
}

/// The private area of a device.
///
/// # Safety
///
/// `raw` is valid, and was made by [`Unregistered<T>`].
#[inline(always)]
unsafe fn private<T: Operations>(raw: *mut bindings::net_device) -> *mut Private<T> {
    // SAFETY: The caller has a valid device, the private area is at its end.
    unsafe { (&raw mut (*raw).priv_).cast() }
}

/// A device that is being set up. Dropping it frees it.
pub struct Unregistered<T: Operations> {
    device: NonNull<bindings::net_device>,
    // After the device was freed.
    port: Option<Arc<devlink::Port>>,
    _binding: Binding,
    _data: PhantomData<T>,
}

impl<T: Operations> Unregistered<T> {
    /// Allocates an Ethernet device with room for so many queues, below the bound PCI function.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub fn new(binding: &Binding, tx: u16, rx: u16) -> Result<Self> {
        const {
            assert!(
                align_of::<Private<T>>() <= 32,
                "the private area is aligned to 32 bytes only"
            )
        };
        let size = size_of::<Private<T>>().try_into()?;
        // SAFETY: No requirements.
        let raw = unsafe { bindings::alloc_etherdev_mqs(size, tx.into(), rx.into()) };
        let device = NonNull::new(raw).ok_or(ENOMEM)?;
        let this = Self {
            device,
            port: None,
            _binding: binding.clone(),
            _data: PhantomData,
        };
        // SAFETY: The device is valid and nobody else knows it. The parent outlives it for the binding that we keep.
        unsafe {
            bindings::SET_NETDEV_DEV(raw, binding.raw_device());
            bindings::netdev_lockdep_set_classes(raw);
            (*raw).netdev_ops = &VTable::<T>::OPERATIONS;
            (*raw).ethtool_ops = &ethtool::VTable::<T>::OPERATIONS;
            (*raw).stat_ops = &queue::StatsVTable::<T>::OPERATIONS;
            (*raw).request_ops_lock = true;
            (*raw).watchdog_timeo = kernel::time::msecs_to_jiffies(WATCHDOG_MS) as i32;
            (*raw).min_mtu = bindings::ETH_MIN_MTU;
        }
        Ok(this)
    }

    fn fields(&mut self) -> &mut bindings::net_device {
        // SAFETY: The device is valid, and nobody else knows it yet.
        unsafe { self.device.as_mut() }
    }

    /// The device as everybody sees it.
    pub fn device(&self) -> &Device {
        // SAFETY: The device is valid as long as `self` is.
        unsafe { Device::from_raw(self.device.as_ptr()) }
    }

    /// What the user can turn on and off, what is on at first, and what VLAN devices above it inherit.
    pub fn set_features(&mut self, changeable: u64, initial: u64, vlan: u64) -> &mut Self {
        let fields = self.fields();
        fields.hw_features = changeable;
        fields.features = initial;
        fields.vlan_features = vlan;
        self
    }

    /// The largest MTU, and the longest packet that can be segmented, in bytes.
    pub fn set_limits(&mut self, mtu: u32, segmentation: u32) -> &mut Self {
        self.fields().max_mtu = mtu;
        // SAFETY: The device is valid.
        unsafe { bindings::netif_set_tso_max_size(self.device.as_ptr(), segmentation) };
        self
    }

    /// The address at first, and the permanent one.
    pub fn set_address(&mut self, address: &Address, permanent: &Address) -> &mut Self {
        // SAFETY: The device is valid.
        unsafe { bindings::eth_hw_addr_set(self.device.as_ptr(), address.as_ptr()) };
        let fields = self.fields();
        fields.perm_addr[..ADDRESS_LENGTH].copy_from_slice(permanent);
        self
    }

    /// Further unicast addresses can be received, and the address changed while it is up.
    pub fn set_flexible(&mut self) -> &mut Self {
        // SAFETY: Both members of the union are the same, for C's `struct_group()`.
        let flags = unsafe { &mut self.fields().__bindgen_anon_1.__bindgen_anon_1 };
        let more = bindings::netdev_priv_flags_IFF_UNICAST_FLT
            | bindings::netdev_priv_flags_IFF_LIVE_ADDR_CHANGE;
        flags.set_priv_flags(flags.priv_flags() | more as usize);
        self
    }

    /// It is no end of a wire: ethtool shows no flow control.
    pub fn without_pause(&mut self) -> &mut Self {
        self.fields().ethtool_ops = &ethtool::VTable::<T>::WITHOUT_PAUSE;
        self
    }

    /// Number of this port within its function.
    pub fn set_port(&mut self, port: u16) -> &mut Self {
        self.fields().dev_port = port;
        self
    }

    /// The core keeps interrupt affinity over changes of the vectors.
    pub fn set_affinity_auto(&mut self) -> &mut Self {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_set_affinity_auto(self.device.as_ptr()) };
        self
    }

    /// How many queues are used at first.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: more than there are.
    pub fn set_queues(&mut self, tx: u16, rx: u16) -> Result {
        // SAFETY: The device is valid.
        kernel::error::to_result(unsafe {
            bindings::netif_set_real_num_queues(self.device.as_ptr(), tx.into(), rx.into())
        })
    }

    /// The device belongs to a devlink port, which gives it its name and identity, and which it keeps.
    pub fn set_devlink_port(&mut self, port: Arc<devlink::Port>) -> &mut Self {
        // SAFETY: The device is valid and not registered; the port is kept for as long as the device is.
        unsafe { bindings::SET_NETDEV_DEVLINK_PORT(self.device.as_ptr(), port.raw()) };
        self.port = Some(port);
        self
    }

    /// Registers the device with its data. Operations may be called before this returns. No carrier at first.
    ///
    /// # Errors
    ///
    /// Whatever makes the data or the registration fail; the device is freed.
    pub fn register(self, data: impl PinInit<T, Error>) -> Result<Registration<T>> {
        let raw = self.device.as_ptr();
        // SAFETY: The device is valid and has a private area of the size of `Private<T>`.
        let private = unsafe { private::<T>(raw) };
        // SAFETY: The device is valid, the number of queues is fixed.
        let slots = TxSlots::new(unsafe { (*raw).num_tx_queues } as usize)?;
        // SAFETY: `data` in the private area is uninitialised, and stays where it is until it is dropped.
        unsafe { pin_init::raw_try_init(&raw mut (*private).data, data) }?;
        // SAFETY: `tx` is uninitialised.
        unsafe { (&raw mut (*private).tx).write(slots) };
        // SAFETY: The device is valid.
        unsafe { bindings::netif_carrier_off(raw) };
        // From here on, dropping `registration` undoes everything.
        let mut registration = Registration {
            device: self.device,
            registered: false,
            _setup: self,
        };
        // SAFETY: The device is set up, its data is in place.
        kernel::error::to_result(unsafe { bindings::register_netdev(raw) })?;
        registration.registered = true;
        Ok(registration)
    }
}

impl<T: Operations> Unpin for Unregistered<T> {}

impl<T: Operations> Drop for Unregistered<T> {
    fn drop(&mut self) {
        // SAFETY: The device is valid and not registered, or no longer.
        unsafe { bindings::free_netdev(self.device.as_ptr()) };
    }
}

/// A registered device. Dropping it unregisters it, which waits for operations and for references to the device; then its
/// data is dropped, then it is freed. Must not be dropped with RTNL held.
pub struct Registration<T: Operations> {
    device: NonNull<bindings::net_device>,
    registered: bool,
    // After the drop below, this frees the device.
    _setup: Unregistered<T>,
}

// SAFETY: The registration gives access to `T`, which is `Send` and `Sync`, and to the device, which is too.
unsafe impl<T: Operations> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: Operations> Sync for Registration<T> {}

impl<T: Operations> Registration<T> {
    /// The device.
    pub fn device(&self) -> &Device {
        // SAFETY: The device is valid as long as `self` is.
        unsafe { Device::from_raw(self.device.as_ptr()) }
    }

    /// The driver's data.
    pub fn data(&self) -> &T {
        // SAFETY: Initialised before the registration was made, dropped with it.
        unsafe { &(*private::<T>(self.device.as_ptr())).data }
    }
}

impl<T: Operations> Registration<T> {
    /// Unregisters many devices together, which waits once for all of them instead of once for each; then drops them. Must not
    /// be called with RTNL held.
    pub fn unregister_all(mut registrations: KVec<Self>) {
        let mut list = bindings::list_head::default();
        list.next = &mut list;
        list.prev = &mut list;
        // SAFETY: Pairs with the unlock below.
        unsafe { bindings::rtnl_lock() };
        for registration in registrations
            .iter_mut()
            .filter(|registration| registration.registered)
        {
            // SAFETY: The device is registered, RTNL is held, and the list is initialised and stays where it is.
            unsafe {
                bindings::unregister_netdevice_queue(registration.device.as_ptr(), &mut list)
            };
            registration.registered = false;
        }
        // SAFETY: RTNL is held. The list is empty afterwards. Unlocking waits for the references to the devices.
        unsafe {
            bindings::unregister_netdevice_many(&mut list);
            bindings::rtnl_unlock();
        }
        drop(registrations);
    }
}

impl<T: Operations> Drop for Registration<T> {
    fn drop(&mut self) {
        let raw = self.device.as_ptr();
        if self.registered {
            // SAFETY: The device is registered. After this no operation runs or will.
            unsafe { bindings::unregister_netdev(raw) };
        }
        // SAFETY: Both were initialised, and nobody can see them any more.
        unsafe { core::ptr::drop_in_place(private::<T>(raw)) };
    }
}

/// The transmit slots of the device that `T` is the data of; for code that changes queues.
pub fn tx_slots<'a, T: Operations>(
    device: &'a Device,
    data: &'a T,
) -> Result<&'a TxSlots<T::TxQueue>> {
    // SAFETY: Only compares the address of the data that a device with our operations has.
    let mine = unsafe { (&raw const (*private::<T>(device.as_raw())).data).cast::<u8>() };
    // SAFETY: The device is valid.
    let operations = unsafe { (*device.as_raw()).netdev_ops };
    if !core::ptr::eq(operations, &VTable::<T>::OPERATIONS)
        || !core::ptr::eq(mine, core::ptr::from_ref(data).cast())
    {
        return Err(EINVAL);
    }
    // SAFETY: It is our device, and `data` proves that its private area is initialised.
    Ok(unsafe { &(*private::<T>(device.as_raw())).tx })
}

struct VTable<T>(PhantomData<T>);

macro_rules! optional {
    ($condition:expr, $callback:expr) => {
        if $condition {
            Some($callback)
        } else {
            None
        }
    };
}

fn errno(result: Result) -> core::ffi::c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

impl<T: Operations> VTable<T> {
    const OPERATIONS: bindings::net_device_ops = bindings::net_device_ops {
        ndo_open: Some(Self::open_callback),
        ndo_stop: Some(Self::stop_callback),
        ndo_start_xmit: Some(Self::start_xmit_callback),
        ndo_features_check: optional!(T::HAS_FEATURES_CHECK, Self::features_check_callback),
        ndo_set_rx_mode_async: Some(Self::set_rx_mode_callback),
        ndo_set_mac_address: Some(Self::set_mac_address_callback),
        ndo_validate_addr: Some(bindings::eth_validate_addr),
        ndo_change_mtu: optional!(T::HAS_CHANGE_MTU, Self::change_mtu_callback),
        ndo_tx_timeout: optional!(T::HAS_TX_TIMEOUT, Self::tx_timeout_callback),
        ndo_get_stats64: Some(Self::stats_callback),
        ndo_fix_features: optional!(T::HAS_FIX_FEATURES, Self::fix_features_callback),
        ndo_set_features: optional!(T::HAS_SET_FEATURES, Self::set_features_callback),
        ndo_vlan_rx_add_vid: optional!(T::HAS_VLAN_ADD, Self::vlan_add_callback),
        ndo_vlan_rx_kill_vid: optional!(T::HAS_VLAN_REMOVE, Self::vlan_remove_callback),
        ndo_set_vf_mac: optional!(T::HAS_SET_VF_MAC, vf::set_mac_callback::<T>),
        ndo_set_vf_vlan: optional!(T::HAS_SET_VF_VLAN, vf::set_vlan_callback::<T>),
        ndo_set_vf_rate: optional!(T::HAS_SET_VF_RATE, vf::set_rate_callback::<T>),
        ndo_set_vf_spoofchk: optional!(
            T::HAS_SET_VF_SPOOF_CHECK,
            vf::set_spoof_check_callback::<T>
        ),
        ndo_set_vf_trust: optional!(T::HAS_SET_VF_TRUST, vf::set_trust_callback::<T>),
        ndo_set_vf_link_state: optional!(T::HAS_SET_VF_LINK, vf::set_link_callback::<T>),
        ndo_get_vf_config: optional!(T::HAS_VF_CONFIG, vf::config_callback::<T>),
        ndo_get_vf_stats: optional!(T::HAS_VF_STATS, vf::stats_callback::<T>),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// The core calls this with RTNL and the instance lock held, for a registered device.
    unsafe extern "C" fn open_callback(dev: *mut bindings::net_device) -> core::ffi::c_int {
        // SAFETY: The device is registered and both locks are held.
        let (data, rtnl) = unsafe { (data::<T>(dev), Rtnl::from_raw(dev)) };
        errno(data.open(rtnl))
    }

    /// # Safety
    ///
    /// As [`Self::open_callback`].
    unsafe extern "C" fn stop_callback(dev: *mut bindings::net_device) -> core::ffi::c_int {
        // SAFETY: The device is registered and both locks are held.
        let (data, rtnl) = unsafe { (data::<T>(dev), Rtnl::from_raw(dev)) };
        data.stop(rtnl);
        0
    }

    /// # Safety
    ///
    /// The core calls this with the lock of the queue held that the skb names, and hands over the skb.
    unsafe extern "C" fn start_xmit_callback(
        skb: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
    ) -> bindings::netdev_tx_t {
        // SAFETY: The core hands over the skb.
        let skb = unsafe { SkBuff::from_raw(skb) };
        // SAFETY: The device is registered, so its private area is initialised.
        let slots = unsafe { &(*private::<T>(dev)).tx };
        // SAFETY: The core holds the lock of this queue until we return.
        match unsafe { slots.get(skb.queue().into()) } {
            Some(queue) => match T::start_xmit(queue, skb) {
                Transmit::Taken => {}
            },
            None => skb.drop_with(DropReason::DeviceNotReady),
        }
        bindings::netdev_tx_NETDEV_TX_OK
    }

    /// # Safety
    ///
    /// The core calls this with a valid skb that it owns.
    unsafe extern "C" fn features_check_callback(
        skb: *mut bindings::sk_buff,
        _dev: *mut bindings::net_device,
        features: bindings::netdev_features_t,
    ) -> bindings::netdev_features_t {
        // SAFETY: The skb is valid while this runs.
        let skb = unsafe { SkBuff::from_raw(skb) };
        // It stays its owner's.
        let skb = SkBuffRef(core::mem::ManuallyDrop::new(skb), PhantomData);
        T::features_check(&skb, features)
    }

    /// # Safety
    ///
    /// As [`Self::open_callback`]; the lists are snapshots of the core's.
    unsafe extern "C" fn set_rx_mode_callback(
        dev: *mut bindings::net_device,
        unicast: *mut bindings::netdev_hw_addr_list,
        multicast: *mut bindings::netdev_hw_addr_list,
    ) -> core::ffi::c_int {
        // SAFETY: The device is registered and both locks are held.
        let (data, rtnl) = unsafe { (data::<T>(dev), Rtnl::from_raw(dev)) };
        // SAFETY: The lists are valid while this runs, and nobody changes them.
        let (unicast, multicast) = unsafe { (AddressList(&*unicast), AddressList(&*multicast)) };
        errno(data.set_rx_mode(rtnl, unicast, multicast))
    }

    /// # Safety
    ///
    /// As [`Self::open_callback`]; `address` is a `sockaddr_storage`.
    unsafe extern "C" fn set_mac_address_callback(
        dev: *mut bindings::net_device,
        address: *mut core::ffi::c_void,
    ) -> core::ffi::c_int {
        // SAFETY: The device is registered and both locks are held.
        let (data, rtnl) = unsafe { (data::<T>(dev), Rtnl::from_raw(dev)) };
        let mut new = [0; ADDRESS_LENGTH];
        // SAFETY: The address is a socket address with at least 14 bytes of data.
        unsafe {
            let from = (&raw const (*address.cast::<bindings::sockaddr>()).sa_data).cast::<u8>();
            new.as_mut_ptr()
                .copy_from_nonoverlapping(from, ADDRESS_LENGTH);
        }
        if new[0] & 1 != 0 || new == [0; ADDRESS_LENGTH] {
            return EADDRNOTAVAIL.to_errno();
        }
        match data.set_mac_address(rtnl, &new) {
            Ok(()) => {
                rtnl.set_address(&new);
                0
            }
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// As [`Self::open_callback`].
    unsafe extern "C" fn change_mtu_callback(
        dev: *mut bindings::net_device,
        mtu: core::ffi::c_int,
    ) -> core::ffi::c_int {
        // SAFETY: The device is registered and both locks are held.
        let (data, rtnl) = unsafe { (data::<T>(dev), Rtnl::from_raw(dev)) };
        errno(data.change_mtu(rtnl, mtu as u32))
    }

    /// # Safety
    ///
    /// The core calls this from the watchdog with all transmit queues frozen.
    unsafe extern "C" fn tx_timeout_callback(
        dev: *mut bindings::net_device,
        queue: core::ffi::c_uint,
    ) {
        // SAFETY: The device is registered.
        let (data, device) = unsafe { (data::<T>(dev), Device::from_raw(dev)) };
        data.tx_timeout(device, queue);
    }

    /// # Safety
    ///
    /// The core calls this under RCU for a registered device; `storage` is zeroed.
    unsafe extern "C" fn stats_callback(
        dev: *mut bindings::net_device,
        storage: *mut bindings::rtnl_link_stats64,
    ) {
        // SAFETY: The device is registered.
        let (data, device) = unsafe { (data::<T>(dev), Device::from_raw(dev)) };
        // SAFETY: The storage is ours while this runs.
        data.stats(device).store(unsafe { &mut *storage });
    }

    /// # Safety
    ///
    /// As [`Self::open_callback`], also while the device is being registered.
    unsafe extern "C" fn fix_features_callback(
        dev: *mut bindings::net_device,
        features: bindings::netdev_features_t,
    ) -> bindings::netdev_features_t {
        // SAFETY: The data was put in place before the registration began.
        let (data, device) = unsafe { (data::<T>(dev), Device::from_raw(dev)) };
        data.fix_features(device, features)
    }

    /// # Safety
    ///
    /// As [`Self::open_callback`], also while the device is being registered.
    unsafe extern "C" fn set_features_callback(
        dev: *mut bindings::net_device,
        features: bindings::netdev_features_t,
    ) -> core::ffi::c_int {
        // SAFETY: The data was put in place before the registration began; both locks are held.
        let (data, rtnl) = unsafe { (data::<T>(dev), Rtnl::from_raw(dev)) };
        errno(data.set_features(rtnl, features))
    }

    /// # Safety
    ///
    /// As [`Self::open_callback`].
    unsafe extern "C" fn vlan_add_callback(
        dev: *mut bindings::net_device,
        protocol: u16,
        vid: u16,
    ) -> core::ffi::c_int {
        // SAFETY: The device is registered and both locks are held.
        let (data, rtnl) = unsafe { (data::<T>(dev), Rtnl::from_raw(dev)) };
        errno(data.vlan_add(rtnl, u16::from_be(protocol), vid))
    }

    /// # Safety
    ///
    /// As [`Self::open_callback`].
    unsafe extern "C" fn vlan_remove_callback(
        dev: *mut bindings::net_device,
        protocol: u16,
        vid: u16,
    ) -> core::ffi::c_int {
        // SAFETY: The device is registered and both locks are held.
        let (data, rtnl) = unsafe { (data::<T>(dev), Rtnl::from_raw(dev)) };
        errno(data.vlan_remove(rtnl, u16::from_be(protocol), vid))
    }
}

/// The driver's data of a device.
///
/// # Safety
///
/// `raw` was registered with data of type `T`, or is being so, and is not freed for the lifetime `'a`.
#[inline(always)]
pub(super) unsafe fn data<'a, T: Operations>(raw: *mut bindings::net_device) -> &'a T {
    // SAFETY: By the contract of this function.
    unsafe { &(*private::<T>(raw)).data }
}

/// The reference that keeps a device from being freed, as what lives in queues needs it.
pub type DeviceRef = ARef<Device>;
