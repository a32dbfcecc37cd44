// SPDX-License-Identifier: GPL-2.0-only

//! `devlink dev reload`: a device starts again, in one way or another.

use super::instance::Private;
use crate::{
    callback::errno,
    extack::{refuse, Extack}, //
};
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// What a reload does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The driver gives up all ports of the instance, and makes them anew.
    Reinit,
    /// Firmware that is stored comes to run, by a reset if need be.
    Activate,
    /// The same without a reset: `limit no_reset`.
    ActivateLive,
}

/// How a device is reloaded. Called with the lock of the PCI device and that of the instance held.
pub trait Reload: Send + Sync {
    /// The first half. For firmware: has the device take what is stored, or makes sure that it will.
    ///
    /// # Errors
    ///
    /// Nothing has changed, and the text says why.
    fn down(&self, action: Action, extack: Option<&mut Extack>) -> Result;

    /// The second half, after the first one has succeeded. For firmware: it runs, and has proven itself.
    ///
    /// # Errors
    ///
    /// The text says what there is now. The whole may be tried again.
    fn up(&self, action: Action, extack: Option<&mut Extack>) -> Result;
}

const REINIT: bindings::devlink_reload_action =
    bindings::devlink_reload_action_DEVLINK_RELOAD_ACTION_DRIVER_REINIT;
const ACTIVATE: bindings::devlink_reload_action =
    bindings::devlink_reload_action_DEVLINK_RELOAD_ACTION_FW_ACTIVATE;
const NO_RESET: bindings::devlink_reload_limit =
    bindings::devlink_reload_limit_DEVLINK_RELOAD_LIMIT_NO_RESET;

/// Adds the callbacks to the operations of any instance.
pub(super) const fn fill(ops: &mut bindings::devlink_ops) {
    ops.reload_actions = 1 << REINIT;
    ops.reload_down = Some(down_callback);
    ops.reload_up = Some(up_callback);
}

/// Adds what an instance can whose device has firmware.
pub(super) const fn fill_firmware(ops: &mut bindings::devlink_ops) {
    ops.reload_actions |= 1 << ACTIVATE;
    ops.reload_limits = 1 << NO_RESET;
}

/// Devlink asks for no others.
fn action(
    action: bindings::devlink_reload_action,
    limit: bindings::devlink_reload_limit,
) -> Action {
    match (action, limit) {
        (ACTIVATE, NO_RESET) => Action::ActivateLive,
        (ACTIVATE, _) => Action::Activate,
        _ => Action::Reinit,
    }
}

/// # Safety
///
/// Called by devlink with the lock of an instance of ours held; `extack` is the caller's or null.
unsafe extern "C" fn down_callback(
    raw: *mut bindings::devlink,
    netns_change: bool,
    asked: bindings::devlink_reload_action,
    limit: bindings::devlink_reload_limit,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (private, extack) = unsafe { (Private::from_raw(raw), Extack::from_raw(extack)) };
    if netns_change {
        return refuse(
            extack,
            EOPNOTSUPP,
            fmt!("netns: interfaces stay in their namespace"),
        )
        .to_errno();
    }
    let _held = private.owner.enter();
    errno(
        private
            .operations
            .reload()
            .down(action(asked, limit), extack),
    )
}

/// # Safety
///
/// Called by devlink with the lock of an instance of ours held, after the other; `performed` and `extack` are the caller's.
unsafe extern "C" fn up_callback(
    raw: *mut bindings::devlink,
    asked: bindings::devlink_reload_action,
    limit: bindings::devlink_reload_limit,
    performed: *mut u32,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (private, extack) = unsafe { (Private::from_raw(raw), Extack::from_raw(extack)) };
    // SAFETY: By the contract.
    unsafe { *performed = 1 << asked };
    let _held = private.owner.enter();
    errno(private.operations.reload().up(action(asked, limit), extack))
}
