// SPDX-License-Identifier: GPL-2.0-only

//! Sizes of rings (`ethtool -g`, `-G`).

use super::{errno, locked, rtnl};
use crate::extack::Extack;
use crate::net::netdev::{self, Locked, Rtnl};
use kernel::{bindings as raw, prelude::*};

/// Entries of each receive and of each transmit ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rings {
    /// Receive.
    pub rx: u32,
    /// Transmit.
    pub tx: u32,
}

/// Ring sizes.
#[vtable]
pub trait Operations: Sized {
    /// The sizes as they are set, and the greatest that can be.
    fn rings(&self, device: &Locked) -> (Rings, Rings) {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Changes the sizes. The core has seen to it that none is over the greatest.
    ///
    /// # Errors
    ///
    /// Everything is as it was.
    fn set_rings(&self, device: &Rtnl, rings: Rings, extack: Option<&mut Extack>) -> Result {
        let _ = (device, rings, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// # Safety
///
/// The core calls this with the instance lock held; `ring` is the caller's.
pub(super) unsafe extern "C" fn get_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    ring: *mut raw::ethtool_ringparam,
    _more: *mut raw::kernel_ethtool_ringparam,
    _extack: *mut raw::netlink_ext_ack,
) {
    // SAFETY: By the contract of this function.
    let ((data, device), ring) = unsafe { (locked::<T>(dev), &mut *ring) };
    let (now, most) = data.rings(device);
    ring.rx_pending = now.rx;
    ring.tx_pending = now.tx;
    ring.rx_max_pending = most.rx;
    ring.tx_max_pending = most.tx;
}

/// # Safety
///
/// The core calls this with RTNL and the instance lock held; `ring` and `extack` are the caller's.
pub(super) unsafe extern "C" fn set_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    ring: *mut raw::ethtool_ringparam,
    _more: *mut raw::kernel_ethtool_ringparam,
    extack: *mut raw::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), ring) = unsafe { (rtnl::<T>(dev), &*ring) };
    // SAFETY: As above.
    let extack = unsafe { Extack::from_raw(extack) };
    errno(data.set_rings(
        device,
        Rings {
            rx: ring.rx_pending,
            tx: ring.tx_pending,
        },
        extack,
    ))
}
