// SPDX-License-Identifier: GPL-2.0-only

//! A network device as anybody may see it, and the locks that more needs: [`Locked`] stands for the instance lock, [`Rtnl`]
//! for RTNL and the instance lock.

use super::{Address, DeviceRef, ADDRESS_LENGTH};
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::str::BStr;
use kernel::sync::aref::AlwaysRefCounted;
use kernel::types::Opaque;
use oxnic_bindings as bindings;

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
    pub(in crate::net) unsafe fn from_raw<'a>(raw: *mut bindings::net_device) -> &'a Self {
        // SAFETY: `Device` is a transparent wrapper, and the caller promises validity.
        unsafe { &*raw.cast() }
    }

    #[inline(always)]
    pub(in crate::net) fn as_raw(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    /// Its name at the moment.
    pub fn name(&self) -> &BStr {
        // SAFETY: The name is an array in the device, and is changed by whole bytes; it always has a NUL in it.
        let name: &[u8; 16] = unsafe { &*(&raw const (*self.as_raw()).name).cast() };
        BStr::from_bytes(name.split(|&byte| byte == 0).next().unwrap_or_default())
    }

    /// Its number, which it has for life in its network namespace.
    pub fn index(&self) -> u32 {
        // SAFETY: The device is valid.
        unsafe { (*self.as_raw()).ifindex as u32 }
    }

    /// The device of this number that is in the same network namespace.
    pub fn neighbour(&self, index: u32) -> Option<DeviceRef> {
        // SAFETY: The device is valid, and so is its namespace. The function takes the reference that we get.
        let found = unsafe {
            bindings::dev_get_by_index(bindings::dev_net(self.as_raw()), index as core::ffi::c_int)
        };
        // SAFETY: As above; the wrapper is transparent.
        NonNull::new(found).map(|found| unsafe { DeviceRef::from_raw(found.cast()) })
    }

    /// MTU in bytes, without the Ethernet header.
    #[inline]
    pub fn mtu(&self) -> u32 {
        // SAFETY: The device is valid; the field is read without a lock as everywhere in the core.
        unsafe { (&raw const (*self.as_raw()).mtu).read_volatile() }
    }

    /// The features in force, see [`crate::net::features`].
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

    pub(in crate::net) fn tx_queue(&self, index: u16) -> Result<NonNull<bindings::netdev_queue>> {
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
    pub(in crate::net) unsafe fn from_raw<'a>(raw: *mut bindings::net_device) -> &'a Self {
        // SAFETY: A transparent wrapper; the caller promises the rest.
        unsafe { &*raw.cast() }
    }

    /// No transmit operation runs when this returns, and none starts until [`Self::start_queues`], or until a poll that still
    /// runs completes packets and wakes its queue.
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
    pub(in crate::net) unsafe fn from_raw<'a>(raw: *mut bindings::net_device) -> &'a Self {
        // SAFETY: A transparent wrapper; the caller promises the rest.
        unsafe { &*raw.cast() }
    }

    /// The device cannot be used: its operations fail with ENODEV, its queues are stopped.
    pub fn detach(&self) {
        // SAFETY: The device is valid, RTNL is held.
        unsafe { bindings::netif_device_detach(self.as_raw()) };
    }

    /// The device, which is detached, can be used again: packets that wait for any of its queues are sent, and if it is open, the
    /// core hands its addresses and modes on again, soon.
    ///
    /// Attaching wakes the queues that are stopped, and only these. One that a late poll has woken before may have had byte queue
    /// limits against it; [`TxSlots::settle`](crate::net::queue::TxSlots::settle) resets these, after which it may run, and
    /// nobody runs it: what waits there would wait for the next packet, and where the sender waits for its buffer to
    /// drain, for ever. So all of them are stopped first.
    ///
    /// A group that is joined while the device is detached gets into the core's lists, but the core keeps that from the driver, and
    /// does not make up for it.
    pub fn attach(&self) {
        self.disable_tx();
        // SAFETY: The device is valid, RTNL is held.
        unsafe { bindings::netif_device_attach(self.as_raw()) };
        self.hand_addresses_on();
    }

    /// Has the core call the operation that takes the lists. There is no function for that, but any change of a list does it: so
    /// an address that is always received comes and goes.
    fn hand_addresses_on(&self) {
        // SAFETY: The device is valid; the address is an array in it, which does not change.
        unsafe {
            let address = (&raw const (*self.as_raw()).broadcast).cast::<u8>();
            if bindings::dev_mc_add(self.as_raw(), address) == 0 {
                bindings::dev_mc_del(self.as_raw(), address);
            }
        }
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

    /// The MTU is this from now on. For the operation [`change_mtu`](super::Operations::change_mtu).
    pub fn set_mtu(&self, mtu: u32) {
        // SAFETY: The device is valid, both locks are held; readers take the field as a whole.
        unsafe { (&raw mut (*self.as_raw()).mtu).write_volatile(mtu) };
    }

    /// The device is closed, as by the user; for one that cannot be brought up again.
    pub fn close(&self) {
        // SAFETY: The device is valid, both locks are held.
        unsafe { bindings::netif_close(self.as_raw()) };
    }
}

/// A list of addresses to receive, as the core keeps it.
pub struct AddressList<'a>(pub(super) &'a bindings::netdev_hw_addr_list);

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
