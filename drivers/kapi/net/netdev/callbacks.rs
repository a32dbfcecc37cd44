// SPDX-License-Identifier: GPL-2.0-only

//! The functions that the core calls, which hand on to [`Operations`].

use super::registration::{data, private};
use super::{AddressList, Device, Operations, Rtnl, SkBuffRef, Transmit, ADDRESS_LENGTH};
use crate::callback::{errno, optional};
use crate::net::skb::{DropReason, SkBuff};
use crate::net::{flow, timestamp, vf, xdp};
use core::marker::PhantomData;
use kernel::prelude::*;
use oxnic_bindings as bindings;

pub(super) struct VTable<T>(PhantomData<T>);

impl<T: Operations> VTable<T> {
    /// The operations of a device.
    pub(super) const OPERATIONS: &'static bindings::net_device_ops = &Self::TABLE;

    const TABLE: bindings::net_device_ops = bindings::net_device_ops {
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
        ndo_hwtstamp_get: optional!(T::HAS_HWTSTAMP_GET, timestamp::get_callback::<T>),
        ndo_hwtstamp_set: optional!(T::HAS_HWTSTAMP_SET, timestamp::set_callback::<T>),
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
        ndo_setup_tc: optional!(T::HAS_BIND_BLOCK, flow::block::setup_callback::<T>),
        ndo_bpf: optional!(T::HAS_SET_XDP_PROGRAM, xdp::callbacks::bpf_callback::<T>),
        ndo_xdp_xmit: optional!(
            T::HAS_TRANSMIT_FRAMES,
            xdp::callbacks::transmit_callback::<T>
        ),
        ..pin_init::zeroed()
    };

    /// Those of a port of an eswitch that leads to another function: VFs are not its to set up, and it tells what of its
    /// counters went through this CPU.
    pub(super) const REPRESENTOR: &'static bindings::net_device_ops = &bindings::net_device_ops {
        ndo_set_vf_mac: None,
        ndo_set_vf_vlan: None,
        ndo_set_vf_rate: None,
        ndo_set_vf_spoofchk: None,
        ndo_set_vf_trust: None,
        ndo_set_vf_link_state: None,
        ndo_get_vf_config: None,
        ndo_get_vf_stats: None,
        ndo_has_offload_stats: Some(Self::has_offload_stats_callback),
        ndo_get_offload_stats: Some(Self::offload_stats_callback),
        ..Self::TABLE
    };

    /// Whether a device has operations of this table.
    pub(super) fn is_of(operations: *const bindings::net_device_ops) -> bool {
        core::ptr::eq(operations, Self::OPERATIONS) || core::ptr::eq(operations, Self::REPRESENTOR)
    }

    /// # Safety
    ///
    /// The core calls this for a registered device.
    unsafe extern "C" fn has_offload_stats_callback(
        _dev: *const bindings::net_device,
        attribute: core::ffi::c_int,
    ) -> bool {
        attribute as u32 == bindings::IFLA_OFFLOAD_XSTATS_CPU_HIT
    }

    /// # Safety
    ///
    /// As [`Self::open_callback`]; for the attribute that the callback above names, `out` is a `rtnl_link_stats64`.
    unsafe extern "C" fn offload_stats_callback(
        attribute: core::ffi::c_int,
        dev: *const bindings::net_device,
        out: *mut core::ffi::c_void,
    ) -> core::ffi::c_int {
        if attribute as u32 != bindings::IFLA_OFFLOAD_XSTATS_CPU_HIT {
            return EINVAL.to_errno();
        }
        // SAFETY: The device is registered.
        let data = unsafe { data::<T>(dev.cast_mut()) };
        // SAFETY: By the contract.
        unsafe { data.cpu_hit_stats().store(&mut *out.cast()) };
        0
    }

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
    /// The core calls this with RTNL held for a registered device, and not with its instance lock.
    unsafe extern "C" fn vlan_add_callback(
        dev: *mut bindings::net_device,
        protocol: u16,
        vid: u16,
    ) -> core::ffi::c_int {
        // SAFETY: The device is registered.
        let (data, device) = unsafe { (data::<T>(dev), Device::from_raw(dev)) };
        errno(data.vlan_add(device, u16::from_be(protocol), vid))
    }

    /// # Safety
    ///
    /// The core calls this with RTNL held for a registered device, and not with its instance lock.
    unsafe extern "C" fn vlan_remove_callback(
        dev: *mut bindings::net_device,
        protocol: u16,
        vid: u16,
    ) -> core::ffi::c_int {
        // SAFETY: The device is registered.
        let (data, device) = unsafe { (data::<T>(dev), Device::from_raw(dev)) };
        errno(data.vlan_remove(device, u16::from_be(protocol), vid))
    }
}
