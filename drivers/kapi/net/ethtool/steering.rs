// SPDX-License-Identifier: GPL-2.0-only

//! Steering of received frames by rules (`ethtool -n`, `-N`).

mod rule;

pub use rule::{Action, Location, Masked, Match, Rule};

use super::{errno, locked};
use crate::net::netdev::{self, Locked};
use core::ptr::NonNull;
use kernel::{bindings as raw, prelude::*};

/// Steering.
#[vtable]
pub trait Operations: Sized {
    /// Number of places for rules.
    fn rule_capacity(&self, device: &Locked) -> u32;

    /// Places that are taken, in ascending order: as many as fit are written. Gives how many there are.
    fn rule_locations(&self, device: &Locked, out: &mut [u32]) -> usize;

    /// The rule at a place, as it was inserted, at that place.
    fn rule(&self, device: &Locked, location: u32) -> Option<Rule> {
        let _ = (device, location);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Inserts a rule, or replaces the one at its place; gives the place. A context that it names exists.
    ///
    /// # Errors
    ///
    /// Everything is as it was.
    fn insert_rule(&self, device: &Locked, rule: Rule) -> Result<u32> {
        let _ = (device, rule);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Removes the rule at a place.
    ///
    /// # Errors
    ///
    /// `ENOENT`: there is none.
    fn remove_rule(&self, device: &Locked, location: u32) -> Result {
        let _ = (device, location);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// # Safety
///
/// `info` is valid, and `locations` null or with room for `info.rule_cnt` places.
unsafe fn get<T: netdev::Operations>(
    data: &T,
    device: &Locked,
    info: &mut raw::ethtool_rxnfc,
    locations: *mut u32,
) -> Result {
    match info.cmd {
        raw::ETHTOOL_GRXCLSRLCNT => {
            let capacity = data.rule_capacity(device);
            if capacity == 0 {
                return Err(EOPNOTSUPP);
            }
            info.data = (capacity | raw::RX_CLS_LOC_SPECIAL).into();
            info.__bindgen_anon_1.rule_cnt = data.rule_locations(device, &mut []).try_into()?;
        }
        raw::ETHTOOL_GRXCLSRLALL => {
            // SAFETY: Both members of the union are the same plain number.
            let room = unsafe { info.__bindgen_anon_1.rule_cnt };
            let out = match NonNull::new(locations) {
                // SAFETY: By the contract of this function.
                Some(at) => unsafe { core::slice::from_raw_parts_mut(at.as_ptr(), room as usize) },
                None => &mut [],
            };
            let count = data.rule_locations(device, out);
            if count > out.len() {
                return Err(EMSGSIZE);
            }
            info.data = data.rule_capacity(device).into();
            info.__bindgen_anon_1.rule_cnt = count.try_into()?;
        }
        raw::ETHTOOL_GRXCLSRULE => {
            let rule = data.rule(device, info.fs.location).ok_or(ENOENT)?;
            info.fs = rule.flow;
            if rule.flow.flow_type & raw::FLOW_RSS != 0 {
                info.__bindgen_anon_1.rss_context = rule.context;
            }
        }
        _ => return Err(EOPNOTSUPP),
    }
    Ok(())
}

/// # Safety
///
/// The core calls this with the instance lock held; `info` is the caller's, as is `locations`, which is null or has room for
/// as many as `info` says.
pub(super) unsafe extern "C" fn get_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    info: *mut raw::ethtool_rxnfc,
    locations: *mut u32,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), info) = unsafe { (locked::<T>(dev), &mut *info) };
    // SAFETY: By the contract of this function.
    errno(unsafe { get(data, device, info, locations) })
}

/// # Safety
///
/// The core calls this with the instance lock held; `info` is the caller's.
pub(super) unsafe extern "C" fn set_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    info: *mut raw::ethtool_rxnfc,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), info) = unsafe { (locked::<T>(dev), &mut *info) };
    let result = match info.cmd {
        raw::ETHTOOL_SRXCLSRLINS => {
            // SAFETY: Both members of the union are the same plain number.
            let context = unsafe { info.__bindgen_anon_1.rss_context };
            let rule = Rule {
                flow: info.fs,
                context,
            };
            data.insert_rule(device, rule)
                .map(|location| info.fs.location = location)
        }
        raw::ETHTOOL_SRXCLSRLDEL => data.remove_rule(device, info.fs.location),
        _ => Err(EOPNOTSUPP),
    };
    errno(result)
}
