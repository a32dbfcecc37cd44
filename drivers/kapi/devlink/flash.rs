// SPDX-License-Identifier: GPL-2.0-only

//! `devlink dev flash`: new firmware for a device, and how far it has come. `devlink dev selftests`: whether what is stored is whole.

use super::{
    instance::Private,
    package::{self, Target}, //
};
use crate::{
    callback::errno,
    extack::{refuse, Extack},
    pci::Binding, //
};
use core::ptr;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// The firmware of a device. Called with the instance's lock held.
pub trait Firmware: Send + Sync {
    /// Takes new firmware, of all components or of the one that the user names. It does not run yet when this returns.
    ///
    /// # Errors
    ///
    /// What is stored is as it was before, and the text says what stood in the way.
    fn flash(&self, update: &Update<'_>, extack: Option<&mut Extack>) -> Result;

    /// Whether what is stored is whole, as a test of it finds.
    ///
    /// # Errors
    ///
    /// The test could not be made.
    fn test(&self, extack: Option<&mut Extack>) -> Result<bool>;
}

/// New firmware that a user has asked for.
pub struct Update<'a> {
    raw: *mut bindings::devlink,
    params: &'a bindings::devlink_flash_update_params,
}

impl Update<'_> {
    /// The component that the user has named: a name that the instance's versions have.
    pub fn component(&self) -> Option<&CStr> {
        if self.params.component.is_null() {
            return None;
        }
        // SAFETY: It is a string of the request, which outlives this.
        Some(unsafe { CStr::from_char_ptr(self.params.component) })
    }

    /// The file that the user has named.
    pub fn file(&self) -> &[u8] {
        // SAFETY: The kernel has loaded it, and keeps it for the request; `data` has `size` bytes, and is not null where there are any.
        unsafe {
            let file = &*self.params.fw;
            match file.size {
                0 => &[],
                size => core::slice::from_raw_parts(file.data, size),
            }
        }
    }

    /// Takes the file apart, which is a package, and hands the parts that are for this device to the target, in their order; only the
    /// component with this number, if there is one.
    ///
    /// # Errors
    ///
    /// What is wrong with the package, or what the target says.
    pub fn unpack(
        &self,
        binding: &Binding,
        only: Option<u16>,
        target: &mut dyn Target,
    ) -> core::result::Result<(), package::Failure> {
        // SAFETY: The kernel keeps the file for the request.
        let file = unsafe { &*self.params.fw };
        package::unpack(binding, file, self.file(), only, target)
    }

    /// Shows how far something has come.
    pub fn progress(&self, text: &CStr, component: Option<&CStr>, done: usize, total: usize) {
        // SAFETY: The lock of the registered instance is held; strings are copied.
        unsafe {
            bindings::devlink_flash_update_status_notify(
                self.raw,
                text.as_char_ptr(),
                component.map_or(ptr::null(), CStr::as_char_ptr),
                done,
                total,
            )
        }
    }

    /// Shows that something begins that takes at most so many seconds.
    pub fn waits(&self, text: &CStr, component: Option<&CStr>, seconds: u32) {
        // SAFETY: The lock of the registered instance is held; strings are copied.
        unsafe {
            bindings::devlink_flash_update_timeout_notify(
                self.raw,
                text.as_char_ptr(),
                component.map_or(ptr::null(), CStr::as_char_ptr),
                seconds as usize,
            )
        }
    }
}

/// Adds the callbacks to the operations of an instance that has firmware.
pub(super) const fn fill(ops: &mut bindings::devlink_ops) {
    ops.flash_update = Some(flash_callback);
    ops.selftest_check = Some(test_check_callback);
    ops.selftest_run = Some(test_callback);
}

/// The only test that devlink knows.
const TEST_FLASH: c_uint = bindings::devlink_attr_selftest_id_DEVLINK_ATTR_SELFTEST_ID_FLASH;

/// # Safety
///
/// Called by devlink with the lock of a registered instance of ours held.
unsafe extern "C" fn test_check_callback(
    raw: *mut bindings::devlink,
    id: c_uint,
    _extack: *mut bindings::netlink_ext_ack,
) -> bool {
    // SAFETY: By the contract.
    let private = unsafe { Private::from_raw(raw) };
    id == TEST_FLASH && private.operations.firmware().is_some()
}

/// # Safety
///
/// As [`test_check_callback`]; `extack` is the caller's.
unsafe extern "C" fn test_callback(
    raw: *mut bindings::devlink,
    _id: c_uint,
    extack: *mut bindings::netlink_ext_ack,
) -> bindings::devlink_selftest_status {
    // SAFETY: By the contract.
    let (private, extack) = unsafe { (Private::from_raw(raw), Extack::from_raw(extack)) };
    let Some(firmware) = private.operations.firmware() else {
        return bindings::devlink_selftest_status_DEVLINK_SELFTEST_STATUS_SKIP;
    };
    let _held = private.owner.enter();
    match firmware.test(extack) {
        Ok(true) => bindings::devlink_selftest_status_DEVLINK_SELFTEST_STATUS_PASS,
        // A test that cannot be made has not found flash to be whole; devlink has no word for why.
        Ok(false) | Err(_) => bindings::devlink_selftest_status_DEVLINK_SELFTEST_STATUS_FAIL,
    }
}

/// # Safety
///
/// Called by devlink with the lock of a registered instance of ours held; `params` and `extack` are the caller's.
unsafe extern "C" fn flash_callback(
    raw: *mut bindings::devlink,
    params: *mut bindings::devlink_flash_update_params,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (private, params, extack) = unsafe {
        (
            Private::from_raw(raw),
            &*params,
            Extack::from_raw(extack), //
        )
    };
    let Some(firmware) = private.operations.firmware() else {
        return refuse(
            extack,
            EOPNOTSUPP,
            fmt!("the device has no firmware that can be updated"),
        )
        .to_errno();
    };
    let _held = private.owner.enter();
    errno(firmware.flash(&Update { raw, params }, extack))
}
