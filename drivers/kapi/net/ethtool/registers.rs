// SPDX-License-Identifier: GPL-2.0-only

//! Register dump (`ethtool -d`).

use super::locked;
use crate::net::netdev::{self, Locked};
use core::ffi::c_void;
use kernel::{bindings as raw, prelude::*};

/// The registers of a device.
#[vtable]
pub trait Operations: Sized {
    /// Length of a dump in bytes, which never changes.
    fn registers_length(&self) -> usize {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Fills a dump, which is all zero and as long as [`Self::registers_length`] says, and gives the version of its layout.
    fn registers(&self, device: &Locked, data: &mut [u8]) -> u32 {
        let _ = (device, data);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// # Safety
///
/// The core calls this for a device whose data is a `T`, with the instance lock held.
pub(super) unsafe extern "C" fn length_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
) -> c_int {
    // SAFETY: By the contract of this function.
    let (data, _) = unsafe { locked::<T>(dev) };
    c_int::try_from(data.registers_length()).unwrap_or(0)
}

/// # Safety
///
/// As [`length_callback`]; `registers` is the caller's, and `dump` has as many bytes, all zero, as [`length_callback`] gives.
pub(super) unsafe extern "C" fn dump_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    registers: *mut raw::ethtool_regs,
    dump: *mut c_void,
) {
    // SAFETY: By the contract of this function.
    let ((data, device), registers) = unsafe { (locked::<T>(dev), &mut *registers) };
    // SAFETY: As above; the length does not change.
    let dump = unsafe { core::slice::from_raw_parts_mut(dump.cast(), data.registers_length()) };
    registers.version = data.registers(device, dump);
}
