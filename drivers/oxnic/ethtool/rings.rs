// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -g`, `-G`: sizes of the rings. They are powers of two; what a user asks for is rounded up, unless it is less than
//! the least.

use crate::netdev::{Config, NetPort, LOG2_MIN};
use kernel::prelude::*;
use oxnic_kapi::extack::{refuse, Extack};
use oxnic_kapi::net::ethtool::rings::{Operations, Rings};
use oxnic_kapi::net::netdev::{Locked, Rtnl};

/// Fewest entries.
const ENTRIES_MIN: u32 = 1 << LOG2_MIN;

/// The size of a ring as log2: at least so many entries.
fn log2(entries: u32) -> Option<u8> {
    let rounded = entries
        .checked_next_power_of_two()
        .filter(|_| entries >= ENTRIES_MIN)?;
    Some(rounded.trailing_zeros() as u8)
}

#[vtable]
impl Operations for NetPort {
    fn rings(&self, _netdev: &Locked) -> (Rings, Rings) {
        let config = self.state.lock().config;
        let caps = self.device.caps();
        let most = |log2: u8| 1 << log2.min(caps.cq_log2_max).min(16);
        (
            Rings {
                rx: 1 << config.rx_log2,
                tx: 1 << config.tx_log2,
            },
            Rings {
                rx: most(caps.rx_log2_max),
                tx: most(caps.tx_log2_max),
            },
        )
    }

    fn set_rings(&self, netdev: &Rtnl, rings: Rings, extack: Option<&mut Extack>) -> Result {
        let (Some(rx_log2), Some(tx_log2)) = (log2(rings.rx), log2(rings.tx)) else {
            return Err(refuse(
                extack,
                EINVAL,
                fmt!("a ring has at least {} entries", ENTRIES_MIN),
            ));
        };
        let mut state = self.state.lock();
        let config = Config {
            rx_log2,
            tx_log2,
            ..state.config
        };
        if config == state.config {
            return Ok(());
        }
        self.replace(netdev, &mut state, config, netdev.mtu())
            .map_err(|error| {
                refuse(
                    extack,
                    error,
                    fmt!("rings of this size cannot be had, the old ones stay"),
                )
            })
    }
}
