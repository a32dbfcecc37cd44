// SPDX-License-Identifier: GPL-2.0-only

//! Showing which port a device is, by its lights (`ethtool -p`).

use super::{errno, locked};
use crate::net::netdev::{self, Locked};
use kernel::{bindings as raw, prelude::*};

/// Identification.
#[vtable]
pub trait Operations: Sized {
    /// Lets the port blink by itself, or stop.
    ///
    /// # Errors
    ///
    /// Shown to the user; the port does not blink.
    fn identify(&self, device: &Locked, on: bool) -> Result {
        let _ = (device, on);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// # Safety
///
/// The core calls this with the instance lock held.
pub(super) unsafe extern "C" fn callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    state: raw::ethtool_phys_id_state,
) -> c_int {
    // SAFETY: By the contract of this function.
    let (data, device) = unsafe { locked::<T>(dev) };
    match state {
        raw::ethtool_phys_id_state_ETHTOOL_ID_ACTIVE => errno(data.identify(device, true)),
        raw::ethtool_phys_id_state_ETHTOOL_ID_INACTIVE => errno(data.identify(device, false)),
        // Only for drivers that ask to be called for each blink.
        _ => EINVAL.to_errno(),
    }
}
