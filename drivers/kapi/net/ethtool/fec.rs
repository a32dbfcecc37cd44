// SPDX-License-Identifier: GPL-2.0-only

//! Forward error correction of the link (`ethtool --show-fec`, `--set-fec`, `-I --show-fec`).

use super::{errno, locked};
use crate::net::netdev::{self, Locked};
use kernel::{bindings as raw, prelude::*};

/// A kind of forward error correction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FecMode {
    /// The device chooses.
    Auto,
    /// None.
    Off,
    /// BASE-R.
    BaseR,
    /// Reed-Solomon.
    ReedSolomon,
}

impl FecMode {
    const ALL: [Self; 4] = [Self::Auto, Self::Off, Self::BaseR, Self::ReedSolomon];

    fn bit(self) -> u32 {
        1 << match self {
            Self::Auto => raw::ethtool_fec_config_bits_ETHTOOL_FEC_AUTO_BIT,
            Self::Off => raw::ethtool_fec_config_bits_ETHTOOL_FEC_OFF_BIT,
            Self::BaseR => raw::ethtool_fec_config_bits_ETHTOOL_FEC_BASER_BIT,
            Self::ReedSolomon => raw::ethtool_fec_config_bits_ETHTOOL_FEC_RS_BIT,
        }
    }

    /// The only kind of a set; none of a set of several, or of what is not known here.
    fn only(bits: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.bit() == bits)
    }
}

/// Forward error correction as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fec {
    /// What was set.
    pub set: FecMode,
    /// What is in force; none while the link is down.
    pub active: Option<FecMode>,
}

/// What forward error correction has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FecStats {
    /// Blocks that it has mended.
    pub corrected: u64,
    /// Blocks that it could not mend.
    pub uncorrectable: u64,
}

/// Forward error correction.
#[vtable]
pub trait Operations: Sized {
    /// How it is.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: the device has no link of its own.
    fn fec(&self, device: &Locked) -> Result<Fec> {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// How it is to be.
    ///
    /// # Errors
    ///
    /// It stays.
    fn set_fec(&self, device: &Locked, mode: FecMode) -> Result {
        let _ = (device, mode);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Counters, where they can be had.
    fn fec_stats(&self, device: &Locked) -> Option<FecStats> {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// # Safety
///
/// The core calls this with the instance lock held; `param` is the caller's.
pub(super) unsafe extern "C" fn get_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    param: *mut raw::ethtool_fecparam,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), param) = unsafe { (locked::<T>(dev), &mut *param) };
    errno(data.fec(device).map(|fec| {
        param.fec = fec.set.bit();
        param.active_fec = fec.active.map_or(0, FecMode::bit);
    }))
}

/// # Safety
///
/// The core calls this with the instance lock held; `param` is the caller's.
pub(super) unsafe extern "C" fn set_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    param: *mut raw::ethtool_fecparam,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), param) = unsafe { (locked::<T>(dev), &*param) };
    // Of several nobody could say which is meant.
    errno(match FecMode::only(param.fec) {
        Some(mode) => data.set_fec(device, mode),
        None => Err(EINVAL),
    })
}

/// # Safety
///
/// The core calls this with the instance lock held; `stats` and the histogram are the caller's, with every counter marked as not reported.
pub(super) unsafe extern "C" fn stats_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    stats: *mut raw::ethtool_fec_stats,
    _histogram: *mut raw::ethtool_fec_hist,
) {
    // SAFETY: By the contract of this function.
    let ((data, device), stats) = unsafe { (locked::<T>(dev), &mut *stats) };
    if let Some(FecStats {
        corrected,
        uncorrectable,
    }) = data.fec_stats(device)
    {
        stats.corrected_blocks.total = corrected;
        stats.uncorrectable_blocks.total = uncorrectable;
    }
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_ethtool_fec)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_is_meant_or_none() {
        for mode in FecMode::ALL {
            assert_eq!(FecMode::only(mode.bit()), Some(mode));
        }
        let llrs = 1 << raw::ethtool_fec_config_bits_ETHTOOL_FEC_LLRS_BIT;
        let both = FecMode::Auto.bit() | FecMode::ReedSolomon.bit();
        for bits in [0, llrs, both, u32::MAX] {
            assert_eq!(FecMode::only(bits), None);
        }
    }
}
