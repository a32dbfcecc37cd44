// SPDX-License-Identifier: GPL-2.0-only

//! What tables of functions that C calls are made with.

use core::ffi::c_int;
use kernel::error::Result;

/// What C callers expect: 0, or a negative errno.
pub(crate) fn errno(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// An entry of a table: the callback if the driver has the operation, else none.
macro_rules! optional {
    ($condition:expr, $callback:expr) => {
        if $condition {
            Some($callback)
        } else {
            None
        }
    };
}
pub(crate) use optional;
