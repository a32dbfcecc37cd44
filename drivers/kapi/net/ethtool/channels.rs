// SPDX-License-Identifier: GPL-2.0-only

//! Number of channels (`ethtool -l`, `-L`), for devices whose channels are pairs of a receive and a transmit queue.

use super::{errno, locked, rtnl};
use crate::net::netdev::{self, Locked, Rtnl};
use kernel::{bindings as raw, prelude::*};

/// Channels.
#[vtable]
pub trait Operations: Sized {
    /// How many channels are used, and how many can be.
    fn channels(&self, device: &Locked) -> (u16, u16) {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Uses so many channels from now on: at least one, at most what can be. The core has seen to it that no receive hashing
    /// table that a user has set and no steering rule to a queue names one beyond that. What rules add to the queues of a
    /// hashing context is left to the driver.
    ///
    /// # Errors
    ///
    /// Everything is as it was.
    fn set_channels(&self, device: &Rtnl, count: u16) -> Result {
        let _ = (device, count);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// # Safety
///
/// The core calls this with the instance lock held; `channels` is the caller's.
pub(super) unsafe extern "C" fn get_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    channels: *mut raw::ethtool_channels,
) {
    // SAFETY: By the contract of this function.
    let ((data, device), channels) = unsafe { (locked::<T>(dev), &mut *channels) };
    let (now, most) = data.channels(device);
    channels.combined_count = now.into();
    channels.max_combined = most.into();
}

/// # Safety
///
/// The core calls this with RTNL and the instance lock held; `channels` is the caller's.
pub(super) unsafe extern "C" fn set_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    channels: *mut raw::ethtool_channels,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), channels) = unsafe { (rtnl::<T>(dev), &*channels) };
    let only_pairs = channels.rx_count == 0 && channels.tx_count == 0 && channels.other_count == 0;
    match u16::try_from(channels.combined_count) {
        Ok(count) if count > 0 && only_pairs => errno(data.set_channels(device, count)),
        _ => EINVAL.to_errno(),
    }
}
