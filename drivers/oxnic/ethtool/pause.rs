// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -a`, `-A`: there is no flow control on the wire, and PAUSE frames are data like others. They are counted.
//! A VF, being no end of a wire, has none of this.

use crate::cmd;
use crate::netdev::NetPort;
use kernel::prelude::*;
use oxnic_kapi::net::ethtool::pause::{Operations, Pause, PauseStats};
use oxnic_kapi::net::netdev::Locked;

#[vtable]
impl Operations for NetPort {
    fn pause(&self, _netdev: &Locked) -> Pause {
        Pause::default()
    }

    fn set_pause(&self, _netdev: &Locked, pause: Pause) -> Result {
        if pause == Pause::default() {
            return Ok(());
        }
        Err(EOPNOTSUPP)
    }

    fn pause_stats(&self, _netdev: &Locked) -> Option<PauseStats> {
        let stats = cmd::stats::port(&self.device, self.share.vport).ok()?;
        Some(PauseStats {
            tx: stats.tx_pause,
            rx: stats.rx_pause,
        })
    }
}
