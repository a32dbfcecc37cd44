// SPDX-License-Identifier: GPL-2.0-only

//! Flow control by PAUSE frames (`ethtool -a`, `-A`, `-I -a`).

use super::{errno, locked};
use crate::net::netdev::{self, Locked};
use kernel::{bindings as raw, prelude::*};

/// How PAUSE frames are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pause {
    /// The partner decides, too.
    pub autoneg: bool,
    /// Received ones are obeyed.
    pub rx: bool,
    /// They are sent.
    pub tx: bool,
}

/// PAUSE frames that passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PauseStats {
    /// Sent.
    pub tx: u64,
    /// Received.
    pub rx: u64,
}

/// Flow control.
#[vtable]
pub trait Operations: Sized {
    /// How it is.
    fn pause(&self, device: &Locked) -> Pause {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// How it is to be.
    ///
    /// # Errors
    ///
    /// It stays.
    fn set_pause(&self, device: &Locked, pause: Pause) -> Result {
        let _ = (device, pause);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Counters, where they can be had.
    fn pause_stats(&self, device: &Locked) -> Option<PauseStats> {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// # Safety
///
/// The core calls this with the instance lock held; `param` is the caller's.
pub(super) unsafe extern "C" fn get_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    param: *mut raw::ethtool_pauseparam,
) {
    // SAFETY: By the contract of this function.
    let ((data, device), param) = unsafe { (locked::<T>(dev), &mut *param) };
    let pause = data.pause(device);
    param.autoneg = pause.autoneg.into();
    param.rx_pause = pause.rx.into();
    param.tx_pause = pause.tx.into();
}

/// # Safety
///
/// The core calls this with the instance lock held; `param` is the caller's.
pub(super) unsafe extern "C" fn set_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    param: *mut raw::ethtool_pauseparam,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), param) = unsafe { (locked::<T>(dev), &*param) };
    let pause = Pause {
        autoneg: param.autoneg != 0,
        rx: param.rx_pause != 0,
        tx: param.tx_pause != 0,
    };
    errno(data.set_pause(device, pause))
}

/// # Safety
///
/// The core calls this with the instance lock held; `stats` is the caller's, with every counter marked as not reported.
pub(super) unsafe extern "C" fn stats_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    stats: *mut raw::ethtool_pause_stats,
) {
    // SAFETY: By the contract of this function.
    let ((data, device), stats) = unsafe { (locked::<T>(dev), &mut *stats) };
    if let Some(PauseStats { tx, rx }) = data.pause_stats(device) {
        // SAFETY: Both members of the union are the same, for C's `struct_group()`.
        let counters = unsafe { &mut stats.__bindgen_anon_1.__bindgen_anon_1 };
        counters.tx_pause_frames = tx;
        counters.rx_pause_frames = rx;
    }
}
