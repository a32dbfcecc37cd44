// SPDX-License-Identifier: GPL-2.0-only

//! Statistics that a standard defines (`ethtool -S --all-groups`). A counter that is `None` is not reported, which is not the
//! same as 0.

use super::locked;
use crate::net::netdev::{self, Locked};
use kernel::{bindings as raw, prelude::*};

macro_rules! group {
    ($(#[$outer:meta])* $name:ident => $raw:ident { $($(#[$doc:meta])* $field:ident => $counter:ident,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $name { $($(#[$doc])* pub $field: Option<u64>,)* }

        impl $name {
            fn store(&self, out: &mut raw::$raw) {
                // SAFETY: Both members of the union are the same, for C's `struct_group()`.
                let out = unsafe { &mut out.__bindgen_anon_1.__bindgen_anon_1 };
                $(
                    if let Some(value) = self.$field {
                        out.$counter = value;
                    }
                )*
            }
        }
    };
}

group! {
    /// Counters of the MAC, IEEE 802.3 clause 30.3.1.
    MacStats => ethtool_eth_mac_stats {
        /// Frames sent.
        tx_frames => FramesTransmittedOK,
        /// Their octets.
        tx_octets => OctetsTransmittedOK,
        /// Frames sent after one collision.
        single_collisions => SingleCollisionFrames,
        /// Frames sent after several collisions.
        multiple_collisions => MultipleCollisionFrames,
        /// Frames whose sending was put off since the medium was busy.
        deferred => FramesWithDeferredXmissions,
        /// Collisions later than they may be.
        late_collisions => LateCollisions,
        /// Frames given up after too many collisions.
        excessive_collisions => FramesAbortedDueToXSColls,
        /// Frames that the MAC lost on the way out.
        tx_lost => FramesLostDueToIntMACXmitError,
        /// Times that the carrier was lost while sending.
        carrier_errors => CarrierSenseErrors,
        /// Frames put off for too long.
        excessive_deferrals => FramesWithExcessiveDeferral,
        /// Multicast frames sent.
        tx_multicast => MulticastFramesXmittedOK,
        /// Broadcast frames sent.
        tx_broadcast => BroadcastFramesXmittedOK,
        /// Frames received.
        rx_frames => FramesReceivedOK,
        /// Their octets.
        rx_octets => OctetsReceivedOK,
        /// Multicast frames received.
        rx_multicast => MulticastFramesReceivedOK,
        /// Broadcast frames received.
        rx_broadcast => BroadcastFramesReceivedOK,
        /// Frames with a wrong check sequence.
        fcs_errors => FrameCheckSequenceErrors,
        /// Frames that are no whole number of octets.
        alignment_errors => AlignmentErrors,
        /// Frames that the MAC lost on the way in.
        rx_lost => FramesLostDueToIntMACRcvError,
        /// Frames longer than allowed.
        too_long => FrameTooLongErrors,
    }
}

group! {
    /// Counters of the PHY, IEEE 802.3 clause 30.3.2.
    PhyStats => ethtool_eth_phy_stats {
        /// Times that a symbol was invalid.
        symbol_errors => SymbolErrorDuringCarrier,
    }
}

group! {
    /// Counters of MAC control, IEEE 802.3 clause 30.3.3.
    ControlStats => ethtool_eth_ctrl_stats {
        /// MAC control frames sent.
        tx => MACControlFramesTransmitted,
        /// MAC control frames received.
        rx => MACControlFramesReceived,
        /// Those with an unknown opcode.
        unsupported => UnsupportedOpcodesReceived,
    }
}

/// Classes of length that a histogram can have.
const CLASSES: usize = raw::ETHTOOL_RMON_HIST_MAX as usize;

/// Classes of frame length: first and last octet of each, FCS included.
pub struct Ranges([raw::ethtool_rmon_hist_range; CLASSES + 1]);

impl Ranges {
    /// From pairs, at most 11, in ascending order.
    pub const fn new(pairs: &[(u16, u16)]) -> Self {
        assert!(pairs.len() <= CLASSES, "too many classes of length");
        // An entry of zeros ends the list.
        let mut ranges = [raw::ethtool_rmon_hist_range { low: 0, high: 0 }; CLASSES + 1];
        let mut index = 0;
        while index < pairs.len() {
            let (low, high) = pairs[index];
            assert!(low <= high, "a class of length is empty");
            ranges[index] = raw::ethtool_rmon_hist_range { low, high };
            index += 1;
        }
        Self(ranges)
    }
}

/// Counters of RFC 2819.
#[derive(Clone, Copy)]
pub struct RmonStats {
    /// Frames shorter than the shortest allowed.
    pub undersize: Option<u64>,
    /// Frames longer than the longest allowed.
    pub oversize: Option<u64>,
    /// Classes of length.
    pub ranges: &'static Ranges,
    /// Received frames by length.
    pub rx: [u64; CLASSES],
    /// Sent frames by length.
    pub tx: [u64; CLASSES],
}

/// Standard statistics. `None` where the device cannot be asked.
#[vtable]
pub trait Operations: Sized {
    /// Of the MAC.
    fn mac_stats(&self, device: &Locked) -> Option<MacStats> {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Of the PHY.
    fn phy_stats(&self, device: &Locked) -> Option<PhyStats> {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Of MAC control.
    fn control_stats(&self, device: &Locked) -> Option<ControlStats> {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// By length.
    fn rmon_stats(&self, device: &Locked) -> Option<RmonStats> {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

macro_rules! callback {
    ($name:ident, $raw:ident, $operation:ident) => {
        /// # Safety
        ///
        /// The core calls this with the instance lock held; `out` is the caller's, with every counter marked as not reported.
        pub(super) unsafe extern "C" fn $name<T: netdev::Operations>(
            dev: *mut raw::net_device,
            out: *mut raw::$raw,
        ) {
            // SAFETY: By the contract of this function.
            let ((data, device), out) = unsafe { (locked::<T>(dev), &mut *out) };
            if let Some(stats) = data.$operation(device) {
                stats.store(out);
            }
        }
    };
}

callback!(mac_callback, ethtool_eth_mac_stats, mac_stats);
callback!(phy_callback, ethtool_eth_phy_stats, phy_stats);
callback!(control_callback, ethtool_eth_ctrl_stats, control_stats);

/// # Safety
///
/// The core calls this with the instance lock held; `out` and `ranges` are the caller's, with every counter marked as not
/// reported.
pub(super) unsafe extern "C" fn rmon_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    out: *mut raw::ethtool_rmon_stats,
    ranges: *mut *const raw::ethtool_rmon_hist_range,
) {
    // SAFETY: By the contract of this function.
    let ((data, device), out) = unsafe { (locked::<T>(dev), &mut *out) };
    let Some(stats) = data.rmon_stats(device) else {
        return;
    };
    // SAFETY: Both members of the union are the same, for C's `struct_group()`.
    let counters = unsafe { &mut out.__bindgen_anon_1.__bindgen_anon_1 };
    if let Some(value) = stats.undersize {
        counters.undersize_pkts = value;
    }
    if let Some(value) = stats.oversize {
        counters.oversize_pkts = value;
    }
    counters.hist = stats.rx;
    counters.hist_tx = stats.tx;
    // SAFETY: The place is the caller's; the ranges live as long as the module, and end with a zero entry.
    unsafe { ranges.write(stats.ranges.0.as_ptr()) };
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_ethtool_standard_stats)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_stays_marked_as_not_reported() {
        let mut out: raw::ethtool_eth_mac_stats = pin_init::zeroed();
        MacStats {
            tx_frames: Some(5),
            fcs_errors: Some(0),
            ..Default::default()
        }
        .store(&mut out);
        // SAFETY: Both members of the union are the same.
        let counters = unsafe { &mut out.__bindgen_anon_1.__bindgen_anon_1 };
        assert_eq!(counters.FramesTransmittedOK, 5);
        counters.FramesReceivedOK = u64::MAX;
        MacStats {
            tx_octets: Some(9),
            ..Default::default()
        }
        .store(&mut out);
        // SAFETY: As above.
        let counters = unsafe { &out.__bindgen_anon_1.__bindgen_anon_1 };
        assert_eq!(
            (counters.FramesReceivedOK, counters.OctetsTransmittedOK),
            (u64::MAX, 9)
        );
    }

    #[test]
    fn the_list_of_ranges_ends_with_zeros() {
        const RANGES: Ranges = Ranges::new(&[(0, 64), (65, 127)]);
        assert_eq!((RANGES.0[1].low, RANGES.0[1].high), (65, 127));
        assert_eq!((RANGES.0[2].low, RANGES.0[2].high), (0, 0));
        const FULL: Ranges = Ranges::new(&[(1, 1); CLASSES]);
        assert_eq!(FULL.0[CLASSES].high, 0);
    }
}
