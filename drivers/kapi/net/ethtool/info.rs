// SPDX-License-Identifier: GPL-2.0-only

//! What a driver says of itself and its device (`ethtool -i`).

use super::locked;
use crate::net::netdev::{self, Locked};
use kernel::{bindings as raw, fmt, fmt::Write, prelude::*};

/// What is shown. The core fills in the names of driver and bus device.
#[repr(transparent)]
pub struct DriverInfo(raw::ethtool_drvinfo);

impl DriverInfo {
    /// Version of the firmware, or of whatever stands for it.
    pub fn set_firmware(&mut self, text: fmt::Arguments<'_>) {
        fill(&mut self.0.fw_version, text);
    }
}

/// Information.
#[vtable]
pub trait Operations: Sized {
    /// Fills in what the core does not know.
    fn driver_info(&self, device: &Locked, info: &mut DriverInfo) {
        let _ = (device, info);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// Puts a text into an array of characters, cut to fit with a final zero.
pub(super) fn fill(out: &mut [c_char], text: fmt::Arguments<'_>) {
    let mut cursor = Cursor { out, length: 0 };
    // Too long a text is cut, which the formatter takes for an error.
    let _ = cursor.write_fmt(text);
    let Cursor { out, length } = cursor;
    if let Some(rest) = out.get_mut(length..) {
        rest.fill(0);
    }
}

struct Cursor<'a> {
    out: &'a mut [c_char],
    length: usize,
}

impl Write for Cursor<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.length + 1 >= self.out.len() {
                return Err(fmt::Error);
            }
            self.out[self.length] = byte as c_char;
            self.length += 1;
        }
        Ok(())
    }
}

/// # Safety
///
/// The core calls this with the instance lock held; `info` is the caller's.
pub(super) unsafe extern "C" fn driver_info_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    info: *mut raw::ethtool_drvinfo,
) {
    // SAFETY: By the contract of this function; the wrapper is transparent.
    let ((data, device), info) = unsafe { (locked::<T>(dev), &mut *info.cast()) };
    data.driver_info(device, info);
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_ethtool_info)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_fit_with_its_final_zero() {
        let mut out = [7; 5];
        fill(&mut out, fmt!("ab{}", 1));
        assert_eq!(out, [97, 98, 49, 0, 0]);
        fill(&mut out, fmt!("abcd"));
        assert_eq!(out, [97, 98, 99, 100, 0]);
        fill(&mut out, fmt!("{}", "abcde"));
        assert_eq!(out, [97, 98, 99, 100, 0]);
        fill(&mut [], fmt!("a"));
    }
}
