// SPDX-License-Identifier: GPL-2.0-only

//! Which packets a device stamps with the time (`SIOCSHWTSTAMP`, `ethtool --set-hwtimestamp-cfg`).

use super::netdev::{data, Device, Operations};
use crate::extack::Extack;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// Which packets to be sent are stamped (`enum hwtstamp_tx_types`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TxType(u32);

impl TxType {
    /// None.
    pub const OFF: Self = Self(bindings::hwtstamp_tx_types_HWTSTAMP_TX_OFF);
    /// Those whose sender asks for it.
    pub const ON: Self = Self(bindings::hwtstamp_tx_types_HWTSTAMP_TX_ON);

    /// The bit for it in a set.
    pub const fn bit(self) -> u32 {
        1 << self.0
    }
}

/// Which received packets are stamped (`enum hwtstamp_rx_filters`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RxFilter(u32);

impl RxFilter {
    /// None.
    pub const NONE: Self = Self(bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_NONE);
    /// All.
    pub const ALL: Self = Self(bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_ALL);
    /// Some; an answer, never a request.
    pub const SOME: Self = Self(bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_SOME);
    /// Event messages of PTP version 2, over any transport.
    pub const PTP_V2_EVENT: Self = Self(bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_PTP_V2_EVENT);

    /// Whether all that it stamps are event messages of PTP version 2.
    pub const fn is_ptp_v2(self) -> bool {
        self.0 >= bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_PTP_V2_L4_EVENT
            && self.0 <= bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_PTP_V2_DELAY_REQ
    }

    /// The bit for it in a set.
    pub const fn bit(self) -> u32 {
        1 << self.0
    }
}

/// What is stamped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HwtstampConfig {
    /// Packets to be sent.
    pub tx_type: TxType,
    /// Received packets.
    pub rx_filter: RxFilter,
}

impl HwtstampConfig {
    /// Nothing.
    pub const OFF: Self = Self {
        tx_type: TxType::OFF,
        rx_filter: RxFilter::NONE,
    };

    fn store(self, config: &mut bindings::kernel_hwtstamp_config) {
        config.tx_type = self.tx_type.0 as c_int;
        config.rx_filter = self.rx_filter.0 as c_int;
    }
}

/// # Safety
///
/// The core calls this for a registered device; `config` is the caller's.
pub(super) unsafe extern "C" fn get_callback<T: Operations>(
    dev: *mut bindings::net_device,
    config: *mut bindings::kernel_hwtstamp_config,
) -> c_int {
    // SAFETY: By the contract of this function.
    let (data, device, config) = unsafe { (data::<T>(dev), Device::from_raw(dev), &mut *config) };
    match data.hwtstamp_get(device) {
        Ok(current) => {
            current.store(config);
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// As [`get_callback`]; `extack` is null or the caller's.
pub(super) unsafe extern "C" fn set_callback<T: Operations>(
    dev: *mut bindings::net_device,
    config: *mut bindings::kernel_hwtstamp_config,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract of this function.
    let (data, device, config, extack) = unsafe {
        (
            data::<T>(dev),
            Device::from_raw(dev),
            &mut *config,
            Extack::from_raw(extack),
        )
    };
    // The core has checked both against the values that it knows.
    let wanted = HwtstampConfig {
        tx_type: TxType(config.tx_type as u32),
        rx_filter: RxFilter(config.rx_filter as u32),
    };
    match data.hwtstamp_set(device, wanted, extack) {
        Ok(current) => {
            current.store(config);
            0
        }
        Err(error) => error.to_errno(),
    }
}
