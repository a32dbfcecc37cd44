// SPDX-License-Identifier: GPL-2.0-only

//! Queues of an interface: a pair of a transmit and a receive queue for each vector, with one NAPI instance.
//!
//! [`tx`] and [`rx`] are the rings and what is done for each packet, [`pair`] joins them with vector and NAPI (`poll`),
//! [`coalesce`] is how long interrupts wait, [`set`] is what an open interface has. [`xdp`] is the path of packets that a
//! program sees first.

use oxnic_abi::caps::NicCaps;
use oxnic_kapi::net::rx_buffers::Layout;

pub(crate) mod coalesce;
pub(crate) mod pair;
mod poll;
pub(crate) mod rx;
pub(crate) mod set;
pub(crate) mod stamps;
pub(crate) mod stats;
mod tell;
pub(crate) mod tx;
pub(crate) mod xdp;

/// The limit of a function that queues of this driver cannot keep, if there is one.
pub(crate) fn lacks(caps: &NicCaps) -> Option<&'static str> {
    let longest = Layout::for_frame(u32::MAX).usable();
    if caps.tx_report_spacing > 1 {
        // The last packets before a lull would be completed with those after it, and who has sent them may wait for that.
        return Some("tx_report_spacing");
    }
    if u32::from(caps.rx_buffer_min) > Layout::for_xdp().usable() {
        return Some("rx_buffer_min");
    }
    (u32::from(caps.rx_buffer_max) < longest).then_some("rx_buffer_max")
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_queue)]
mod tests {
    use super::*;

    #[test]
    fn what_queues_cannot_keep_is_named() {
        let page = Layout::for_frame(u32::MAX).usable() as u16;
        let xdp = Layout::for_xdp().usable() as u16;
        let caps = NicCaps {
            tx_report_spacing: 1,
            rx_buffer_min: xdp,
            rx_buffer_max: page,
            ..NicCaps::ZERO
        };
        assert_eq!(lacks(&caps), None);
        let spaced = NicCaps {
            tx_report_spacing: 2,
            ..caps
        };
        assert_eq!(lacks(&spaced), Some("tx_report_spacing"));
        let long = NicCaps {
            rx_buffer_min: xdp + 1,
            ..caps
        };
        assert_eq!(lacks(&long), Some("rx_buffer_min"));
        let short = NicCaps {
            rx_buffer_max: page - 1,
            ..caps
        };
        assert_eq!(lacks(&short), Some("rx_buffer_max"));
    }
}
