// SPDX-License-Identifier: GPL-2.0-only

//! Statistics of a driver's own (`ethtool -S`), and the names of string sets.

use super::info::fill;
use super::locked;
use crate::net::netdev::{self, Locked};
use kernel::{bindings as raw, fmt, prelude::*};

/// Bytes of a name, final zero included.
const NAME: usize = raw::ETH_GSTRING_LEN as usize;

/// Where statistics go. A driver tells all of them in order; whether names, values or only their number are asked for is
/// not its concern.
pub struct Sink<'a>(Wanted<'a>);

enum Wanted<'a> {
    Count(usize),
    Names(core::slice::IterMut<'a, [c_char; NAME]>),
    Values(core::slice::IterMut<'a, u64>),
}

impl Sink<'_> {
    /// A statistic. Names longer than 31 characters are cut.
    pub fn add(&mut self, name: fmt::Arguments<'_>, value: u64) {
        match &mut self.0 {
            Wanted::Count(count) => *count += 1,
            // More than there were when they were counted do not fit; the driver would have broken its promise.
            Wanted::Names(names) => {
                if let Some(place) = names.next() {
                    fill(place, name);
                }
            }
            Wanted::Values(values) => {
                if let Some(place) = values.next() {
                    *place = value;
                }
            }
        }
    }

    /// Whether values are asked for, so that it is worth having them.
    pub fn wants_values(&self) -> bool {
        matches!(self.0, Wanted::Values(_))
    }
}

/// Statistics of the driver's own.
#[vtable]
pub trait Operations: Sized {
    /// Tells all statistics. Their number and names only depend on what the instance lock guards.
    fn statistics(&self, device: &Locked, sink: &mut Sink<'_>) {
        let _ = (device, sink);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

fn count<T: netdev::Operations>(data: &T, device: &Locked) -> usize {
    if !T::HAS_STATISTICS {
        return 0;
    }
    let mut sink = Sink(Wanted::Count(0));
    data.statistics(device, &mut sink);
    match sink.0 {
        Wanted::Count(count) => count,
        _ => 0,
    }
}

/// # Safety
///
/// The core calls this with the instance lock held.
pub(super) unsafe extern "C" fn count_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    set: c_int,
) -> c_int {
    // SAFETY: By the contract of this function.
    let (data, device) = unsafe { locked::<T>(dev) };
    match set as u32 {
        raw::ethtool_stringset_ETH_SS_STATS if T::HAS_STATISTICS => count(data, device) as c_int,
        raw::ethtool_stringset_ETH_SS_TEST if T::HAS_SELF_TEST => T::TESTS.len() as c_int,
        _ => EOPNOTSUPP.to_errno(),
    }
}

/// # Safety
///
/// The core calls this with the instance lock held; `out` has room for as many names as [`count_callback`] has told since
/// the lock was taken.
pub(super) unsafe extern "C" fn names_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    set: u32,
    out: *mut u8,
) {
    // SAFETY: By the contract of this function.
    let (data, device) = unsafe { locked::<T>(dev) };
    let length = match set {
        raw::ethtool_stringset_ETH_SS_STATS => count(data, device),
        raw::ethtool_stringset_ETH_SS_TEST => T::TESTS.len(),
        _ => 0,
    };
    if length == 0 {
        return;
    }
    // SAFETY: The room is there: the number only depends on what the lock guards. The core has zeroed it.
    let names = unsafe { core::slice::from_raw_parts_mut(out.cast::<[c_char; NAME]>(), length) };
    if set == raw::ethtool_stringset_ETH_SS_TEST {
        for (place, name) in names.iter_mut().zip(T::TESTS) {
            fill(place, fmt!("{}", name));
        }
    } else {
        data.statistics(device, &mut Sink(Wanted::Names(names.iter_mut())));
    }
}

/// # Safety
///
/// The core calls this with the instance lock held; `out` has `stats.n_stats` entries, zeroed, as many as
/// [`count_callback`] has told since the lock was taken.
pub(super) unsafe extern "C" fn values_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    stats: *mut raw::ethtool_stats,
    out: *mut u64,
) {
    // SAFETY: By the contract of this function.
    let ((data, device), stats) = unsafe { (locked::<T>(dev), &*stats) };
    if stats.n_stats == 0 {
        return;
    }
    // SAFETY: As above.
    let values = unsafe { core::slice::from_raw_parts_mut(out, stats.n_stats as usize) };
    data.statistics(device, &mut Sink(Wanted::Values(values.iter_mut())));
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_ethtool_stats)]
mod tests {
    use super::*;

    fn three(sink: &mut Sink<'_>) {
        for number in 0..3 {
            sink.add(fmt!("number_{}", number), number * 10);
        }
    }

    #[test]
    fn one_telling_gives_number_names_and_values() {
        let mut sink = Sink(Wanted::Count(0));
        three(&mut sink);
        assert!(matches!(sink.0, Wanted::Count(3)));
        assert!(!sink.wants_values());
        let mut names = [[0; NAME]; 3];
        three(&mut Sink(Wanted::Names(names.iter_mut())));
        assert_eq!(names[2][..9], [110, 117, 109, 98, 101, 114, 95, 50, 0]);
        let mut values = [7; 3];
        three(&mut Sink(Wanted::Values(values.iter_mut())));
        assert_eq!(values, [0, 10, 20]);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut values = [7; 2];
        three(&mut Sink(Wanted::Values(values.iter_mut())));
        assert_eq!(values, [0, 10]);
        let mut names = [[0; NAME]; 1];
        three(&mut Sink(Wanted::Names(names.iter_mut())));
        assert_eq!(names[0][7], 48);
    }
}
