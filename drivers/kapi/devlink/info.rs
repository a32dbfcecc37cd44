// SPDX-License-Identifier: GPL-2.0-only

//! What `devlink dev info` is answered with.

use kernel::{error::to_result, fmt, prelude::*, str::CString};
use oxnic_bindings as bindings;

const NO_COMPONENT: bindings::devlink_info_version_type =
    bindings::devlink_info_version_type_DEVLINK_INFO_VERSION_TYPE_NONE;
const COMPONENT: bindings::devlink_info_version_type =
    bindings::devlink_info_version_type_DEVLINK_INFO_VERSION_TYPE_COMPONENT;

/// An answer to `devlink dev info` that is being written.
pub struct InfoRequest<'a>(pub(super) &'a mut bindings::devlink_info_req);

/// A function of the core's that puts a version, and copies both strings.
type Put = unsafe extern "C" fn(
    *mut bindings::devlink_info_req,
    *const c_char,
    *const c_char,
    bindings::devlink_info_version_type,
) -> c_int;

impl InfoRequest<'_> {
    /// A version that never changes.
    pub fn fixed(&mut self, name: &CStr, value: fmt::Arguments<'_>) -> Result {
        let value = CString::try_from_fmt(value)?;
        // SAFETY: The request is valid, and copies both strings.
        to_result(unsafe {
            bindings::devlink_info_version_fixed_put(
                self.0,
                name.as_char_ptr(),
                value.as_char_ptr(),
            )
        })
    }

    /// A version of what runs now.
    pub fn running(&mut self, name: &CStr, value: fmt::Arguments<'_>) -> Result {
        self.put(
            bindings::devlink_info_version_running_put_ext,
            NO_COMPONENT,
            name,
            value,
        )
    }

    /// A version of what runs now, of a component that can be updated by this name.
    pub fn running_component(&mut self, name: &CStr, value: fmt::Arguments<'_>) -> Result {
        self.put(
            bindings::devlink_info_version_running_put_ext,
            COMPONENT,
            name,
            value,
        )
    }

    /// A version of what is stored and runs next, of a component that can be updated by this name.
    pub fn stored_component(&mut self, name: &CStr, value: fmt::Arguments<'_>) -> Result {
        self.put(
            bindings::devlink_info_version_stored_put_ext,
            COMPONENT,
            name,
            value,
        )
    }

    fn put(
        &mut self,
        put: Put,
        kind: bindings::devlink_info_version_type,
        name: &CStr,
        value: fmt::Arguments<'_>,
    ) -> Result {
        let value = CString::try_from_fmt(value)?;
        // SAFETY: The request is valid, and copies both strings.
        to_result(unsafe { put(self.0, name.as_char_ptr(), value.as_char_ptr(), kind) })
    }

    /// The serial number of the device.
    pub fn serial(&mut self, value: fmt::Arguments<'_>) -> Result {
        let value = CString::try_from_fmt(value)?;
        // SAFETY: The request is valid, and copies the string.
        to_result(unsafe { bindings::devlink_info_serial_number_put(self.0, value.as_char_ptr()) })
    }
}
