// SPDX-License-Identifier: GPL-2.0-only

//! Which packets of an interface the device stamps. What the user has set is in the state, and is set again whenever the
//! queues are started.

use super::{NetPort, State};
use crate::cmd;
use kernel::{prelude::*, sync::atomic::Relaxed};
use oxnic_abi::clock::StampFilter;
use oxnic_abi::vport::{vport_fields, VportConfig};
use oxnic_kapi::extack::{refuse, Extack};
use oxnic_kapi::net::timestamp::{HwtstampConfig, RxFilter, TxType};

/// What can be set for transmit.
pub(crate) const TX_TYPES: &[TxType] = &[TxType::OFF, TxType::ON];

/// What can be set for receive with filters that the device has, see [`oxnic_abi::clock::ClockCaps::filters`]. What lies
/// between is set as the next wider one.
fn rx_filters(filters: u32) -> &'static [RxFilter] {
    let has = |filter: StampFilter| filters >> filter.0 & 1 != 0;
    match (has(StampFilter::EVERY), has(StampFilter::PTP)) {
        (true, true) => &[RxFilter::NONE, RxFilter::ALL, RxFilter::PTP_V2_EVENT],
        (true, false) => &[RxFilter::NONE, RxFilter::ALL],
        (false, true) => &[RxFilter::NONE, RxFilter::PTP_V2_EVENT],
        (false, false) => &[RxFilter::NONE],
    }
}

/// The device's filter for one of [`rx_filters`].
fn filter(filter: RxFilter) -> StampFilter {
    match filter {
        RxFilter::NONE => StampFilter::NONE,
        RxFilter::PTP_V2_EVENT => StampFilter::PTP,
        _ => StampFilter::EVERY,
    }
}

/// The narrowest of those offered that stamps all that is wanted, if there is one.
fn widened(wanted: RxFilter, offered: &[RxFilter]) -> Option<RxFilter> {
    let narrowest = match wanted {
        RxFilter::NONE => RxFilter::NONE,
        wanted if wanted.is_ptp_v2() => RxFilter::PTP_V2_EVENT,
        _ => RxFilter::ALL,
    };
    [narrowest, RxFilter::ALL]
        .into_iter()
        .find(|filter| offered.contains(filter))
}

impl NetPort {
    /// What can be set for receive.
    pub(crate) fn rx_filters(&self) -> &'static [RxFilter] {
        rx_filters(self.device.stamp_filters.load(Relaxed))
    }

    /// What is stamped.
    ///
    /// # Errors
    ///
    /// [`EOPNOTSUPP`]: the device stamps nothing.
    pub(super) fn stamping(&self) -> Result<HwtstampConfig> {
        if !self.device.has_clock() {
            return Err(EOPNOTSUPP);
        }
        Ok(self.state.lock().stamping)
    }

    /// Sets what is stamped; gives what it has become, which may be more than was wanted.
    ///
    /// # Errors
    ///
    /// All is as before. [`EOPNOTSUPP`]: the device stamps nothing; [`ERANGE`]: not in this way.
    pub(super) fn set_stamping(
        &self,
        wanted: HwtstampConfig,
        extack: Option<&mut Extack>,
    ) -> Result<HwtstampConfig> {
        if !self.device.has_clock() {
            return Err(refuse(
                extack,
                EOPNOTSUPP,
                fmt!("time stamps: the device has no clock"),
            ));
        }
        if !TX_TYPES.contains(&wanted.tx_type) {
            return Err(refuse(
                extack,
                ERANGE,
                fmt!("tx type: the device takes stamps, it does not write them into packets (one-step)"),
            ));
        }
        if wanted.rx_filter == RxFilter::SOME {
            return Err(refuse(
                extack,
                ERANGE,
                fmt!("rx filter: 'some' does not say which packets"),
            ));
        }
        let Some(rx_filter) = widened(wanted.rx_filter, self.rx_filters()) else {
            return Err(refuse(
                extack,
                ERANGE,
                fmt!("rx filter: the device has none that stamps all these packets"),
            ));
        };
        let config = HwtstampConfig {
            tx_type: wanted.tx_type,
            rx_filter,
        };
        let mut state = self.state.lock();
        if state.is_live() && config.rx_filter != state.stamping.rx_filter {
            let config = stamps(config);
            if let Err(error) = cmd::vport::set(&self.device, self.share.vport, &config) {
                return Err(refuse(extack, error.into(), fmt!("rx filter: {}", error)));
            }
        }
        self.use_stamping(&mut state, config);
        Ok(config)
    }

    fn use_stamping(&self, state: &mut State, config: HwtstampConfig) {
        state.stamping = config;
        for pair in &self.pair_stats {
            pair.stamps.set_enabled(config.tx_type == TxType::ON);
        }
    }

    /// Tells the device what to stamp: it may have been reset, or not have been told while the interface was down.
    pub(super) fn apply_stamping(&self, state: &State) -> Result {
        if !self.device.has_clock() {
            return Ok(());
        }
        self.configure(&stamps(state.stamping))
    }
}

fn stamps(config: HwtstampConfig) -> VportConfig {
    VportConfig {
        fields: vport_fields::STAMPS,
        stamps: filter(config.rx_filter),
        ..VportConfig::ZERO
    }
}
