// SPDX-License-Identifier: GPL-2.0-only

//! A device while a driver sets it up, and while it is registered.

use super::callbacks::VTable;
use super::{Address, Device, Operations, ADDRESS_LENGTH};
use crate::devlink;
use crate::net::ethtool;
use crate::net::queue::{self, TxSlots};
use crate::pci::Binding;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_bindings as bindings;

/// How long a transmit queue may stand still, in milliseconds.
const WATCHDOG_MS: u32 = 5000;

/// What lies in the private area of a device.
#[repr(C)]
pub(super) struct Private<T: Operations> {
    pub(super) tx: TxSlots<T::TxQueue>,
    data: T,
}

/// The private area of a device.
///
/// # Safety
///
/// `raw` is valid, and was made by [`Unregistered<T>`].
#[inline(always)]
pub(super) unsafe fn private<T: Operations>(raw: *mut bindings::net_device) -> *mut Private<T> {
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
            (*raw).netdev_ops = VTable::<T>::OPERATIONS;
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

    /// What it can do with XDP, see [`crate::net::xdp::features`].
    pub fn set_xdp_features(&mut self, features: u32) -> &mut Self {
        self.fields().xdp_features = features;
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

    /// It leads to another function, of an eswitch: it cannot set up VFs, and shows how much of its traffic went through the
    /// CPU.
    pub fn set_representor(&mut self) -> &mut Self {
        self.fields().netdev_ops = VTable::<T>::REPRESENTOR;
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
        let slots = TxSlots::new(raw, unsafe { (*raw).num_tx_queues } as usize)?;
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
    if !VTable::<T>::is_of(operations) || !core::ptr::eq(mine, core::ptr::from_ref(data).cast()) {
        return Err(EINVAL);
    }
    // SAFETY: It is our device, and `data` proves that its private area is initialised.
    Ok(unsafe { &(*private::<T>(device.as_raw())).tx })
}

/// The driver's data of a device, if it is one with data of type `T` that was registered.
pub fn data_of<T: Operations>(device: &Device) -> Option<&T> {
    let raw = device.as_raw();
    // SAFETY: The device is valid; operations and state are read as everywhere in the core.
    let (operations, state) = unsafe {
        (
            (*raw).netdev_ops,
            (&raw const (*raw).reg_state).read_volatile(),
        )
    };
    let registered = (bindings::netdev_reg_state_NETREG_REGISTERED
        ..=bindings::netdev_reg_state_NETREG_UNREGISTERED)
        .contains(&state.into());
    // SAFETY: The device has our operations, and its data was put in place before it was registered. It is dropped when
    // the core has seen to it that nobody has a reference any more; the caller has one, or has the registration.
    (VTable::<T>::is_of(operations) && registered).then(|| unsafe { data::<T>(raw) })
}

/// The transmit slots of a device.
///
/// # Safety
///
/// As [`data`].
#[inline(always)]
pub(in crate::net) unsafe fn private_slots<'a, T: Operations>(
    raw: *mut bindings::net_device,
) -> &'a TxSlots<T::TxQueue> {
    // SAFETY: By the contract of this function.
    unsafe { &(*private::<T>(raw)).tx }
}

/// The driver's data of a device.
///
/// # Safety
///
/// `raw` was registered with data of type `T`, or is being so, and is not freed for the lifetime `'a`.
#[inline(always)]
pub(in crate::net) unsafe fn data<'a, T: Operations>(raw: *mut bindings::net_device) -> &'a T {
    // SAFETY: By the contract of this function.
    unsafe { &(*private::<T>(raw)).data }
}
