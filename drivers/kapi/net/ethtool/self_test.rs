// SPDX-License-Identifier: GPL-2.0-only

//! Self-tests (`ethtool -t`).

use super::rtnl;
use crate::net::netdev::{self, Rtnl};
use kernel::{bindings as raw, prelude::*};

/// Self-tests.
#[vtable]
pub trait Operations: Sized {
    /// Names of the tests, at most 31 characters each.
    const TESTS: &'static [&'static str] = &[];

    /// Runs the tests; those that disturb traffic only if they were asked for (`offline`), and leaves everything as it was.
    /// A result is 0 for a test that passed or was not run; one is there for each name. True: all is well.
    fn self_test(&self, device: &Rtnl, offline: bool, results: &mut [u64]) -> bool {
        let _ = (device, offline, results);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// # Safety
///
/// The core calls this with RTNL and the instance lock held; `test` is the caller's, and `results` has as many entries as
/// there are names.
pub(super) unsafe extern "C" fn run_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    test: *mut raw::ethtool_test,
    results: *mut u64,
) {
    // SAFETY: By the contract of this function.
    let ((data, device), test) = unsafe { (rtnl::<T>(dev), &mut *test) };
    // SAFETY: As above. The core has not initialised the array.
    let results = unsafe {
        results.write_bytes(0, T::TESTS.len());
        core::slice::from_raw_parts_mut(results, T::TESTS.len())
    };
    let offline = test.flags & raw::ethtool_test_flags_ETH_TEST_FL_OFFLINE != 0;
    if !data.self_test(device, offline, results) {
        test.flags |= raw::ethtool_test_flags_ETH_TEST_FL_FAILED;
    }
}
