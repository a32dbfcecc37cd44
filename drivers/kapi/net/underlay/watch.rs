// SPDX-License-Identifier: GPL-2.0-only

//! Notices of the kernel about neighbours, routes, addresses and devices.

use crate::net::netdev::Device;
use core::ffi::{c_int, c_void};
use core::ptr::NonNull;
use kernel::{container_of, error::to_result, ffi::c_ulong, prelude::*, sync::Arc};
use oxnic_bindings as bindings;

/// `NOTIFY_DONE`: others are told as well.
const DONE: c_int = 0;

/// What is to be told of changes. Calls can come at the same time.
pub trait Watcher: Send + Sync + 'static {
    /// A neighbour, route or address has changed. Must not sleep.
    fn path_changed(&self);

    /// A device has come into its namespace, also for those that were there before the watch. RTNL is held; may sleep.
    fn device_came(&self, device: &Device);

    /// A device is about to leave its namespace, maybe for ever, or the watch ends: references to it must be given up before this
    /// returns. RTNL is held; may sleep.
    fn device_goes(&self, device: &Device);

    /// Something of a device has changed: its address, its state, how it is configured. RTNL is held; may sleep.
    fn device_changed(&self, device: &Device);
}

/// What the kernel hands back to callbacks.
struct Inner {
    neighbours: bindings::notifier_block,
    addresses4: bindings::notifier_block,
    addresses6: bindings::notifier_block,
    devices: bindings::notifier_block,
    watcher: Arc<dyn Watcher>,
}

/// Tells a [`Watcher`] of neighbours, addresses and devices, until dropped. RTNL must not be held then.
///
/// # Invariants
///
/// `inner` was made by `KBox::into_raw`, and all of its blocks are registered.
pub struct Watch {
    inner: NonNull<Inner>,
}

// SAFETY: Watchers are `Send` and `Sync`, and registering locks by itself.
unsafe impl Send for Watch {}
// SAFETY: As above.
unsafe impl Sync for Watch {}

fn block(
    call: unsafe extern "C" fn(*mut bindings::notifier_block, c_ulong, *mut c_void) -> c_int,
) -> bindings::notifier_block {
    bindings::notifier_block {
        notifier_call: Some(call),
        ..Default::default()
    }
}

impl Watch {
    /// Starts to tell. RTNL must not be held.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or what the kernel says.
    pub fn new(watcher: Arc<dyn Watcher>) -> Result<Self> {
        let inner = Inner {
            neighbours: block(neighbour_callback),
            addresses4: block(address4_callback),
            addresses6: block(address6_callback),
            devices: block(device_callback),
            watcher,
        };
        let raw = KBox::into_raw(KBox::new(inner, GFP_KERNEL)?);
        // SAFETY: The blocks are within a box that stays where it is until they are unregistered. Only the last of these can fail.
        let result = unsafe {
            bindings::register_netevent_notifier(&raw mut (*raw).neighbours);
            bindings::register_inetaddr_notifier(&raw mut (*raw).addresses4);
            bindings::register_inet6addr_notifier(&raw mut (*raw).addresses6);
            to_result(bindings::register_netdevice_notifier(
                &raw mut (*raw).devices,
            ))
        };
        if let Err(error) = result {
            // SAFETY: The others were registered above, and nobody has the box any more afterwards.
            unsafe {
                unregister_paths(raw);
                drop(KBox::from_raw(raw));
            }
            return Err(error);
        }
        // INVARIANT: As above.
        NonNull::new(raw).map(|inner| Self { inner }).ok_or(EINVAL)
    }
}

/// # Safety
///
/// All blocks but that of devices are registered.
unsafe fn unregister_paths(inner: *mut Inner) {
    // SAFETY: By the contract. Nothing of a block is called any more when this returns.
    unsafe {
        bindings::unregister_inet6addr_notifier(&raw mut (*inner).addresses6);
        bindings::unregister_inetaddr_notifier(&raw mut (*inner).addresses4);
        bindings::unregister_netevent_notifier(&raw mut (*inner).neighbours);
    }
    // SAFETY: No requirements. The chains of neighbours and of IPv6 addresses are walked under RCU.
    unsafe { bindings::synchronize_rcu() };
}

impl Drop for Watch {
    fn drop(&mut self) {
        let raw = self.inner.as_ptr();
        // SAFETY: By the invariants. Nothing of the box is called any more when it is freed.
        unsafe {
            bindings::unregister_netdevice_notifier(&raw mut (*raw).devices);
            unregister_paths(raw);
            drop(KBox::from_raw(raw));
        }
    }
}

/// # Safety
///
/// The core calls this with a registered block of an `Inner`.
unsafe extern "C" fn neighbour_callback(
    raw: *mut bindings::notifier_block,
    event: c_ulong,
    _data: *mut c_void,
) -> c_int {
    if event == bindings::netevent_notif_type_NETEVENT_NEIGH_UPDATE as c_ulong {
        // SAFETY: By the contract.
        let inner = unsafe { &*container_of!(raw, Inner, neighbours) };
        inner.watcher.path_changed();
    }
    DONE
}

/// # Safety
///
/// The core calls this with a registered block of an `Inner`.
unsafe extern "C" fn address4_callback(
    raw: *mut bindings::notifier_block,
    _event: c_ulong,
    _data: *mut c_void,
) -> c_int {
    // SAFETY: By the contract.
    let inner = unsafe { &*container_of!(raw, Inner, addresses4) };
    inner.watcher.path_changed();
    DONE
}

/// # Safety
///
/// The core calls this with a registered block of an `Inner`.
unsafe extern "C" fn address6_callback(
    raw: *mut bindings::notifier_block,
    _event: c_ulong,
    _data: *mut c_void,
) -> c_int {
    // SAFETY: By the contract.
    let inner = unsafe { &*container_of!(raw, Inner, addresses6) };
    inner.watcher.path_changed();
    DONE
}

/// # Safety
///
/// The core calls this with RTNL held, a registered block of an `Inner`, and what it says of a valid device.
unsafe extern "C" fn device_callback(
    raw: *mut bindings::notifier_block,
    event: c_ulong,
    data: *mut c_void,
) -> c_int {
    // SAFETY: By the contract.
    let (inner, device) = unsafe {
        (
            &*container_of!(raw, Inner, devices),
            Device::from_raw(bindings::netdev_notifier_info_to_dev(data)),
        )
    };
    let watcher = &inner.watcher;
    match event as bindings::netdev_cmd {
        bindings::netdev_cmd_NETDEV_REGISTER => watcher.device_came(device),
        bindings::netdev_cmd_NETDEV_UNREGISTER => watcher.device_goes(device),
        bindings::netdev_cmd_NETDEV_UP
        | bindings::netdev_cmd_NETDEV_DOWN
        | bindings::netdev_cmd_NETDEV_CHANGE
        | bindings::netdev_cmd_NETDEV_CHANGEADDR
        | bindings::netdev_cmd_NETDEV_CHANGEUPPER => watcher.device_changed(device),
        _ => {}
    }
    DONE
}

/// What the kernel hands back for routes.
struct Routes {
    block: bindings::notifier_block,
    net: *mut bindings::net,
    watcher: Arc<dyn Watcher>,
}

/// Tells a [`Watcher`] of the routes of the namespace that a device is in, until dropped. It must be dropped before that device has
/// left the namespace, see [`Watcher::device_goes`].
///
/// # Invariants
///
/// `inner` was made by `KBox::into_raw`, and its block is registered with its namespace.
pub struct RouteWatch {
    inner: NonNull<Routes>,
}

// SAFETY: Watchers are `Send` and `Sync`, and registering locks by itself.
unsafe impl Send for RouteWatch {}
// SAFETY: As above.
unsafe impl Sync for RouteWatch {}

impl RouteWatch {
    /// Starts to tell. Those that are there are told of, too.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EBUSY`: routes change all the time.
    pub fn new(device: &Device, watcher: Arc<dyn Watcher>) -> Result<Self> {
        // SAFETY: The device is valid, and so is its namespace while it is in there.
        let net = unsafe { bindings::dev_net(device.as_raw()) };
        let inner = Routes {
            block: block(route_callback),
            net,
            watcher,
        };
        let raw = KBox::into_raw(KBox::new(inner, GFP_KERNEL)?);
        // SAFETY: The block stays where it is until it is unregistered.
        let result = to_result(unsafe {
            bindings::register_fib_notifier(net, &raw mut (*raw).block, None, core::ptr::null_mut())
        });
        if let Err(error) = result {
            // SAFETY: It is not registered.
            drop(unsafe { KBox::from_raw(raw) });
            return Err(error);
        }
        // INVARIANT: As above.
        NonNull::new(raw).map(|inner| Self { inner }).ok_or(EINVAL)
    }
}

impl Drop for RouteWatch {
    fn drop(&mut self) {
        let raw = self.inner.as_ptr();
        // SAFETY: By the invariants. The chain is walked under RCU; nothing of the box is called any more when it is freed.
        unsafe {
            bindings::unregister_fib_notifier((*raw).net, &raw mut (*raw).block);
            bindings::synchronize_rcu();
            drop(KBox::from_raw(raw));
        }
    }
}

/// # Safety
///
/// The core calls this with a registered block of `Routes`.
unsafe extern "C" fn route_callback(
    raw: *mut bindings::notifier_block,
    _event: c_ulong,
    _data: *mut c_void,
) -> c_int {
    // SAFETY: By the contract.
    let routes = unsafe { &*container_of!(raw, Routes, block) };
    routes.watcher.path_changed();
    DONE
}
