// SPDX-License-Identifier: GPL-2.0-only

//! VFs as the administrator sees them on their PF's device (`ip link set ... vf`). RTNL is held in all callbacks.

use super::netdev::{data, Address, Operations};
use core::ffi::c_int;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// What a VF sees as its link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// That of the wire.
    Auto,
    /// Always up.
    Enable,
    /// Always down.
    Disable,
}

impl Link {
    fn from_raw(raw: c_int) -> Result<Self> {
        match raw as u32 {
            bindings::IFLA_VF_LINK_STATE_AUTO => Ok(Self::Auto),
            bindings::IFLA_VF_LINK_STATE_ENABLE => Ok(Self::Enable),
            bindings::IFLA_VF_LINK_STATE_DISABLE => Ok(Self::Disable),
            _ => Err(EINVAL),
        }
    }

    fn as_raw(self) -> u32 {
        match self {
            Self::Auto => bindings::IFLA_VF_LINK_STATE_AUTO,
            Self::Enable => bindings::IFLA_VF_LINK_STATE_ENABLE,
            Self::Disable => bindings::IFLA_VF_LINK_STATE_DISABLE,
        }
    }
}

/// Settings of a VF.
#[derive(Clone, Copy)]
pub struct Config {
    /// Its address.
    pub mac: Address,
    /// Its VLAN, 0 for none.
    pub vlan: u16,
    /// Priority of the tag.
    pub qos: u8,
    /// TPID of the tag.
    pub vlan_protocol: u16,
    /// Its source addresses are checked.
    pub spoof_check: bool,
    /// It is trusted.
    pub trusted: bool,
    /// Its link.
    pub link: Link,
    /// Least rate in Mbit/s, 0 for none.
    pub rate_min: u32,
    /// Highest rate in Mbit/s, 0 for none.
    pub rate_max: u32,
}

/// Statistics of a VF, as the VF counts: received is what it got.
#[derive(Clone, Copy, Default)]
pub struct Stats {
    /// Frames received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Received broadcast frames.
    pub broadcast: u64,
    /// Received multicast frames.
    pub multicast: u64,
    /// Drops on receive.
    pub rx_dropped: u64,
    /// Drops on transmit.
    pub tx_dropped: u64,
}

/// The number of a VF, of which the core passes on any that is not negative.
fn number(vf: c_int) -> Result<u16> {
    u16::try_from(vf).map_err(|_| EINVAL)
}

fn finish(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// The core calls this with RTNL held for a registered device; `mac` points to 6 bytes.
pub(super) unsafe extern "C" fn set_mac_callback<T: Operations>(
    dev: *mut bindings::net_device,
    vf: c_int,
    mac: *mut u8,
) -> c_int {
    // SAFETY: By the contract of this function.
    let (data, mac) = unsafe { (data::<T>(dev), &*mac.cast::<Address>()) };
    finish(number(vf).and_then(|vf| data.set_vf_mac(vf, mac)))
}

/// # Safety
///
/// The core calls this with RTNL held for a registered device.
pub(super) unsafe extern "C" fn set_vlan_callback<T: Operations>(
    dev: *mut bindings::net_device,
    vf: c_int,
    vlan: u16,
    qos: u8,
    protocol: u16,
) -> c_int {
    // SAFETY: By the contract of this function.
    let data = unsafe { data::<T>(dev) };
    let protocol = u16::from_be(protocol);
    finish(number(vf).and_then(|vf| data.set_vf_vlan(vf, vlan, qos, protocol)))
}

/// # Safety
///
/// The core calls this with RTNL held for a registered device.
pub(super) unsafe extern "C" fn set_rate_callback<T: Operations>(
    dev: *mut bindings::net_device,
    vf: c_int,
    min: c_int,
    max: c_int,
) -> c_int {
    // SAFETY: By the contract of this function.
    let data = unsafe { data::<T>(dev) };
    finish(number(vf).and_then(|vf| data.set_vf_rate(vf, min as u32, max as u32)))
}

/// # Safety
///
/// The core calls this with RTNL held for a registered device.
pub(super) unsafe extern "C" fn set_spoof_check_callback<T: Operations>(
    dev: *mut bindings::net_device,
    vf: c_int,
    on: bool,
) -> c_int {
    // SAFETY: By the contract of this function.
    let data = unsafe { data::<T>(dev) };
    finish(number(vf).and_then(|vf| data.set_vf_spoof_check(vf, on)))
}

/// # Safety
///
/// The core calls this with RTNL held for a registered device.
pub(super) unsafe extern "C" fn set_trust_callback<T: Operations>(
    dev: *mut bindings::net_device,
    vf: c_int,
    on: bool,
) -> c_int {
    // SAFETY: By the contract of this function.
    let data = unsafe { data::<T>(dev) };
    finish(number(vf).and_then(|vf| data.set_vf_trust(vf, on)))
}

/// # Safety
///
/// The core calls this with RTNL held for a registered device.
pub(super) unsafe extern "C" fn set_link_callback<T: Operations>(
    dev: *mut bindings::net_device,
    vf: c_int,
    state: c_int,
) -> c_int {
    // SAFETY: By the contract of this function.
    let data = unsafe { data::<T>(dev) };
    let link = Link::from_raw(state);
    finish(link.and_then(|link| data.set_vf_link(number(vf)?, link)))
}

/// # Safety
///
/// The core calls this with RTNL held for a registered device; `info` is the caller's.
pub(super) unsafe extern "C" fn config_callback<T: Operations>(
    dev: *mut bindings::net_device,
    vf: c_int,
    info: *mut bindings::ifla_vf_info,
) -> c_int {
    // SAFETY: By the contract of this function.
    let (data, info) = unsafe { (data::<T>(dev), &mut *info) };
    match number(vf).and_then(|vf| data.vf_config(vf)) {
        Ok(config) => {
            info.vf = vf as u32;
            info.mac[..6].copy_from_slice(&config.mac);
            info.vlan = config.vlan.into();
            info.qos = config.qos.into();
            info.vlan_proto = config.vlan_protocol.to_be();
            info.spoofchk = config.spoof_check.into();
            info.trusted = config.trusted.into();
            info.linkstate = config.link.as_raw();
            info.min_tx_rate = config.rate_min;
            info.max_tx_rate = config.rate_max;
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// The core calls this with RTNL held for a registered device; `stats` is the caller's.
pub(super) unsafe extern "C" fn stats_callback<T: Operations>(
    dev: *mut bindings::net_device,
    vf: c_int,
    stats: *mut bindings::ifla_vf_stats,
) -> c_int {
    // SAFETY: By the contract of this function.
    let (data, out) = unsafe { (data::<T>(dev), &mut *stats) };
    match number(vf).and_then(|vf| data.vf_stats(vf)) {
        Ok(stats) => {
            out.rx_packets = stats.rx_packets;
            out.rx_bytes = stats.rx_bytes;
            out.tx_packets = stats.tx_packets;
            out.tx_bytes = stats.tx_bytes;
            out.broadcast = stats.broadcast;
            out.multicast = stats.multicast;
            out.rx_dropped = stats.rx_dropped;
            out.tx_dropped = stats.tx_dropped;
            0
        }
        Err(error) => error.to_errno(),
    }
}
