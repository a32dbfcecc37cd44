// SPDX-License-Identifier: GPL-2.0-only

//! Memory of the module that is plugged into a port (`ethtool -m`), as SFF-8472, SFF-8636 and CMIS lay it out.

use super::{errno, locked};
use crate::extack::Extack;
use crate::net::netdev::{self, Locked};
use kernel::{bindings as raw, prelude::*};

/// Where in a module's memory something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Page of the upper half.
    pub page: u8,
    /// Bank of the page.
    pub bank: u8,
    /// Address on the two-wire bus, without the bit for reading.
    pub address: u8,
    /// First byte: 0 to 127 in the lower half, 128 to 255 in the page.
    pub offset: u8,
}

/// Modules.
#[vtable]
pub trait Operations: Sized {
    /// Fills a buffer, which does not reach from the lower half into the page or beyond it. Answers how many bytes were read.
    ///
    /// # Errors
    ///
    /// Shown to the user, who is told why by the extack.
    fn read_module(
        &self,
        device: &Locked,
        place: Place,
        out: &mut [u8],
        extack: Option<&mut Extack>,
    ) -> Result<usize> {
        let _ = (device, place, out, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// # Safety
///
/// The core calls this with the instance lock held; `request` is the caller's, with a buffer of its length that nobody else uses, and
/// so is `extack`.
pub(super) unsafe extern "C" fn read_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    request: *const raw::ethtool_module_eeprom,
    extack: *mut raw::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), request) = unsafe { (locked::<T>(dev), &*request) };
    // SAFETY: As above; the buffer was allocated zeroed.
    let out = unsafe { core::slice::from_raw_parts_mut(request.data, request.length as usize) };
    // SAFETY: As above; the kernel crate only declares the type.
    let extack = unsafe { Extack::from_raw(extack.cast()) };
    let Ok(offset) = u8::try_from(request.offset) else {
        return EINVAL.to_errno();
    };
    let place = Place {
        page: request.page,
        bank: request.bank,
        address: request.i2c_address,
        offset,
    };
    match data.read_module(device, place, out, extack) {
        Ok(length) => length as c_int,
        Err(error) => errno(Err(error)),
    }
}
