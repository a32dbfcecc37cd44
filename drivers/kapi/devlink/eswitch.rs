// SPDX-License-Identifier: GPL-2.0-only

//! `devlink dev eswitch`: how the embedded switch of a device forwards.

use super::instance::Private;
use crate::{
    callback::errno,
    extack::{refuse, Extack}, //
};
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// How an eswitch forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By addresses, as a learning bridge would.
    Legacy,
    /// By rules; what none takes goes to the representor of the port it came from.
    Switchdev,
    /// As [`Mode::Switchdev`], but nothing is forwarded between ports yet.
    SwitchdevInactive,
}

impl Mode {
    fn from_raw(raw: u16) -> Option<Self> {
        match raw.into() {
            bindings::devlink_eswitch_mode_DEVLINK_ESWITCH_MODE_LEGACY => Some(Self::Legacy),
            bindings::devlink_eswitch_mode_DEVLINK_ESWITCH_MODE_SWITCHDEV => Some(Self::Switchdev),
            bindings::devlink_eswitch_mode_DEVLINK_ESWITCH_MODE_SWITCHDEV_INACTIVE => {
                Some(Self::SwitchdevInactive)
            }
            _ => None,
        }
    }

    fn into_raw(self) -> u16 {
        (match self {
            Self::Legacy => bindings::devlink_eswitch_mode_DEVLINK_ESWITCH_MODE_LEGACY,
            Self::Switchdev => bindings::devlink_eswitch_mode_DEVLINK_ESWITCH_MODE_SWITCHDEV,
            Self::SwitchdevInactive => {
                bindings::devlink_eswitch_mode_DEVLINK_ESWITCH_MODE_SWITCHDEV_INACTIVE
            }
        }) as u16
    }
}

/// An embedded switch. Called with the instance's lock held.
pub trait Eswitch: Send + Sync {
    /// The mode that it is in.
    fn mode(&self) -> Mode;

    /// Changes the mode; ports and network devices may come and go.
    ///
    /// # Errors
    ///
    /// The old mode is in force as before, and the text says what stood in the way.
    fn set_mode(&self, mode: Mode, extack: Option<&mut Extack>) -> Result;

    /// Whether its rules may put packets into tunnels and take them out: `encap-mode basic`, else `none`.
    fn has_tunnels(&self) -> bool;

    /// Whether they may from now on.
    ///
    /// # Errors
    ///
    /// It is as it was, and the text says why.
    fn set_tunnels(&self, on: bool, extack: Option<&mut Extack>) -> Result;
}

/// Adds the callbacks to the operations of an instance that has an eswitch.
pub(super) const fn fill(ops: &mut bindings::devlink_ops) {
    ops.eswitch_mode_get = Some(mode_get_callback);
    ops.eswitch_mode_set = Some(mode_set_callback);
    ops.eswitch_inline_mode_get = Some(inline_mode_get_callback);
    ops.eswitch_inline_mode_set = Some(inline_mode_set_callback);
    ops.eswitch_encap_mode_get = Some(encap_mode_get_callback);
    ops.eswitch_encap_mode_set = Some(encap_mode_set_callback);
}

/// # Safety
///
/// Called by devlink with the lock of an instance of ours held; `mode` is the caller's.
unsafe extern "C" fn mode_get_callback(raw: *mut bindings::devlink, mode: *mut u16) -> c_int {
    // SAFETY: By the contract.
    let private = unsafe { Private::from_raw(raw) };
    let Some(eswitch) = private.operations.eswitch() else {
        return EOPNOTSUPP.to_errno();
    };
    // SAFETY: By the contract.
    unsafe { *mode = eswitch.mode().into_raw() };
    0
}

/// # Safety
///
/// Called by devlink with the lock of an instance of ours held; `extack` is the caller's or null.
unsafe extern "C" fn mode_set_callback(
    raw: *mut bindings::devlink,
    mode: u16,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (private, extack) = unsafe { (Private::from_raw(raw), Extack::from_raw(extack)) };
    let Some(eswitch) = private.operations.eswitch() else {
        return EOPNOTSUPP.to_errno();
    };
    let Some(mode) = Mode::from_raw(mode) else {
        return refuse(
            extack,
            EOPNOTSUPP,
            fmt!("eswitch mode {} is not known", mode),
        )
        .to_errno();
    };
    let _held = private.owner.enter();
    errno(eswitch.set_mode(mode, extack))
}

/// # Safety
///
/// `mode` is the caller's.
unsafe extern "C" fn inline_mode_get_callback(
    _raw: *mut bindings::devlink,
    mode: *mut u8,
) -> c_int {
    // SAFETY: By the contract.
    unsafe { *mode = bindings::devlink_eswitch_inline_mode_DEVLINK_ESWITCH_INLINE_MODE_NONE as u8 };
    0
}

/// # Safety
///
/// `extack` is the caller's or null.
unsafe extern "C" fn inline_mode_set_callback(
    _raw: *mut bindings::devlink,
    mode: u8,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    if u32::from(mode) == bindings::devlink_eswitch_inline_mode_DEVLINK_ESWITCH_INLINE_MODE_NONE {
        return 0;
    }
    // SAFETY: By the contract.
    let extack = unsafe { Extack::from_raw(extack) };
    refuse(
        extack,
        EOPNOTSUPP,
        fmt!("inline-mode: the device needs no headers inline, only 'none' can be set"),
    )
    .to_errno()
}

/// # Safety
///
/// Called by devlink with the lock of an instance of ours held; `mode` is the caller's.
unsafe extern "C" fn encap_mode_get_callback(
    raw: *mut bindings::devlink,
    mode: *mut bindings::devlink_eswitch_encap_mode,
) -> c_int {
    // SAFETY: By the contract.
    let private = unsafe { Private::from_raw(raw) };
    let Some(eswitch) = private.operations.eswitch() else {
        return EOPNOTSUPP.to_errno();
    };
    let now = if eswitch.has_tunnels() {
        bindings::devlink_eswitch_encap_mode_DEVLINK_ESWITCH_ENCAP_MODE_BASIC
    } else {
        bindings::devlink_eswitch_encap_mode_DEVLINK_ESWITCH_ENCAP_MODE_NONE
    };
    // SAFETY: By the contract.
    unsafe { *mode = now };
    0
}

/// # Safety
///
/// Called by devlink with the lock of an instance of ours held; `extack` is the caller's or null.
unsafe extern "C" fn encap_mode_set_callback(
    raw: *mut bindings::devlink,
    mode: bindings::devlink_eswitch_encap_mode,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (private, extack) = unsafe { (Private::from_raw(raw), Extack::from_raw(extack)) };
    let Some(eswitch) = private.operations.eswitch() else {
        return EOPNOTSUPP.to_errno();
    };
    let on = match mode {
        bindings::devlink_eswitch_encap_mode_DEVLINK_ESWITCH_ENCAP_MODE_NONE => false,
        bindings::devlink_eswitch_encap_mode_DEVLINK_ESWITCH_ENCAP_MODE_BASIC => true,
        other => {
            return refuse(
                extack,
                EOPNOTSUPP,
                fmt!("encap-mode {} is not known", other),
            )
            .to_errno();
        }
    };
    errno(eswitch.set_tunnels(on, extack))
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_devlink_eswitch)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_the_numbers_of_user_space_and_one_more_is_none() {
        for (mode, raw) in [
            (Mode::Legacy, 0),
            (Mode::Switchdev, 1),
            (Mode::SwitchdevInactive, 2),
        ] {
            assert_eq!(mode.into_raw(), raw);
            assert_eq!(Mode::from_raw(raw), Some(mode));
        }
        assert_eq!(Mode::from_raw(3), None);
    }
}
