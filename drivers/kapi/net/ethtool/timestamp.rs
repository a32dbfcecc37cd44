// SPDX-License-Identifier: GPL-2.0-only

//! What an interface can stamp, and how many packets it has stamped (`ethtool -T`, `-I -T`).

use crate::net::netdev::{self, Device};
use crate::net::timestamp::{RxFilter, TxType};
use kernel::{bindings as raw, prelude::*};

/// What stamps there are. Those by software are always there.
#[derive(Clone, Copy, Debug, Default)]
pub struct TsInfo {
    /// Stamps of the device: the values of each side that can be set.
    pub hardware: Option<Hardware>,
}

/// Stamps of the device.
#[derive(Clone, Copy, Debug)]
pub struct Hardware {
    /// The clock that they are of, see [`crate::ptp::Registration::index`]; `None`: nobody can read it.
    pub phc: Option<i32>,
    /// For transmit.
    pub tx_types: &'static [TxType],
    /// For receive.
    pub rx_filters: &'static [RxFilter],
}

/// Packets that were to be stamped when they were sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TsStats {
    /// That were.
    pub pkts: u64,
    /// That were not, since they were dropped.
    pub lost: u64,
    /// Stamps that belong to no packet.
    pub err: u64,
}

/// Time stamps.
#[vtable]
pub trait Operations: Sized {
    /// What there is. No lock, atomic.
    fn ts_info(&self, device: &Device) -> TsInfo {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Counters. No lock, atomic.
    fn ts_stats(&self, device: &Device) -> TsStats {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// # Safety
///
/// The core calls this for a registered device; `info` is the caller's.
pub(super) unsafe extern "C" fn info_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    info: *mut raw::kernel_ethtool_ts_info,
) -> c_int {
    // SAFETY: By the contract of this function.
    let result = unsafe { raw::ethtool_op_get_ts_info(dev, info) };
    // SAFETY: By the contract of this function.
    let (data, device, info) = unsafe {
        (
            netdev::data::<T>(dev.cast()),
            Device::from_raw(dev.cast()),
            &mut *info,
        )
    };
    let Some(hardware) = data.ts_info(device).hardware else {
        return result;
    };
    info.so_timestamping |= raw::SOF_TIMESTAMPING_TX_HARDWARE
        | raw::SOF_TIMESTAMPING_RX_HARDWARE
        | raw::SOF_TIMESTAMPING_RAW_HARDWARE;
    info.phc_index = hardware.phc.unwrap_or(-1);
    info.tx_types = hardware.tx_types.iter().fold(0, |set, one| set | one.bit());
    info.rx_filters = hardware
        .rx_filters
        .iter()
        .fold(0, |set, one| set | one.bit());
    result
}

/// # Safety
///
/// The core calls this for a registered device; `stats` is the caller's, with every counter marked as not reported.
pub(super) unsafe extern "C" fn stats_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    stats: *mut raw::ethtool_ts_stats,
) {
    // SAFETY: By the contract of this function.
    let (data, device, stats) = unsafe {
        (
            netdev::data::<T>(dev.cast()),
            Device::from_raw(dev.cast()),
            &mut *stats,
        )
    };
    let TsStats { pkts, lost, err } = data.ts_stats(device);
    // SAFETY: Both members of the union are the same, for C's `struct_group()`.
    let counters = unsafe { &mut stats.__bindgen_anon_1.__bindgen_anon_1 };
    counters.pkts = pkts;
    counters.lost = lost;
    counters.err = err;
}
