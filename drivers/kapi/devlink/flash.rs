// SPDX-License-Identifier: GPL-2.0-only

//! `devlink dev flash`: new firmware for a device, and how far it has come.

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

    /// Before [`Self::activated`]: has the device take what is stored, or makes sure that it will.
    ///
    /// # Errors
    ///
    /// Nothing has changed, and the text says why.
    fn activate(&self, how: Activation, extack: Option<&mut Extack>) -> Result;

    /// What is stored runs from here on, and has proven itself.
    ///
    /// # Errors
    ///
    /// It does not; the text says what became of it.
    fn activated(&self, how: Activation, extack: Option<&mut Extack>) -> Result;
}

/// What users are ready to bear for new firmware to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// A reset.
    Reset,
    /// None: `limit no_reset`.
    Live,
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

const ACTIVATE: bindings::devlink_reload_action =
    bindings::devlink_reload_action_DEVLINK_RELOAD_ACTION_FW_ACTIVATE;
const NO_RESET: bindings::devlink_reload_limit =
    bindings::devlink_reload_limit_DEVLINK_RELOAD_LIMIT_NO_RESET;

/// Adds the callbacks to the operations of an instance that has firmware.
pub(super) const fn fill(ops: &mut bindings::devlink_ops) {
    ops.flash_update = Some(flash_callback);
    ops.reload_actions = 1 << ACTIVATE;
    ops.reload_limits = 1 << NO_RESET;
    ops.reload_down = Some(reload_down_callback);
    ops.reload_up = Some(reload_up_callback);
}

fn activation(limit: bindings::devlink_reload_limit) -> Activation {
    match limit {
        NO_RESET => Activation::Live,
        _ => Activation::Reset,
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
        return EOPNOTSUPP.to_errno();
    };
    let _held = private.owner.enter();
    errno(firmware.flash(&Update { raw, params }, extack))
}

/// # Safety
///
/// Called by devlink with the lock of an instance of ours held; `extack` is the caller's or null.
unsafe extern "C" fn reload_down_callback(
    raw: *mut bindings::devlink,
    netns_change: bool,
    _action: bindings::devlink_reload_action,
    limit: bindings::devlink_reload_limit,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (private, extack) = unsafe { (Private::from_raw(raw), Extack::from_raw(extack)) };
    let Some(firmware) = private.operations.firmware() else {
        return EOPNOTSUPP.to_errno();
    };
    if netns_change {
        return refuse(
            extack,
            EOPNOTSUPP,
            fmt!("netns: interfaces stay where they are"),
        )
        .to_errno();
    }
    let _held = private.owner.enter();
    errno(firmware.activate(activation(limit), extack))
}

/// # Safety
///
/// Called by devlink with the lock of an instance of ours held, after the other; `performed` and `extack` are the caller's.
unsafe extern "C" fn reload_up_callback(
    raw: *mut bindings::devlink,
    _action: bindings::devlink_reload_action,
    limit: bindings::devlink_reload_limit,
    performed: *mut u32,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (private, extack) = unsafe { (Private::from_raw(raw), Extack::from_raw(extack)) };
    let Some(firmware) = private.operations.firmware() else {
        return EOPNOTSUPP.to_errno();
    };
    // SAFETY: By the contract.
    unsafe { *performed = 1 << ACTIVATE };
    let _held = private.owner.enter();
    errno(firmware.activated(activation(limit), extack))
}
