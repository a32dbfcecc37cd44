// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -c`, `-C`: interrupt moderation, the same for all queues.

use crate::netdev::{Config, NetPort};
use crate::queue::coalesce::Moderation;
use kernel::prelude::*;
use oxnic_kapi::extack::{refuse, Extack};
use oxnic_kapi::net::ethtool::coalesce::{parameters, Coalescing, Direction, Operations};
use oxnic_kapi::net::netdev::Locked;

fn direction(moderation: Moderation, adaptive: bool) -> Direction {
    Direction {
        usecs: moderation.microseconds.into(),
        frames: moderation.frames.into(),
        adaptive,
    }
}

/// What a device with this longest time can be told; or which of its numbers is too great, and what it may be.
fn moderation(new: Direction, longest: u16) -> Result<Moderation, (&'static str, u16)> {
    let microseconds = u16::try_from(new.usecs)
        .ok()
        .filter(|&time| time <= longest)
        .ok_or(("time", longest))?;
    let frames = u16::try_from(new.frames).map_err(|_| ("number of frames", u16::MAX))?;
    Ok(Moderation {
        microseconds,
        frames,
    })
}

#[vtable]
impl Operations for NetPort {
    const PARAMETERS: u32 = parameters::USECS
        | parameters::MAX_FRAMES
        | parameters::ADAPTIVE_RX
        | parameters::ADAPTIVE_TX;

    fn coalescing(&self, _netdev: &Locked) -> Coalescing {
        let config = self.state.lock().config;
        Coalescing {
            rx: direction(config.rx, config.adaptive_rx),
            tx: direction(config.tx, config.adaptive_tx),
        }
    }

    fn set_coalescing(
        &self,
        _netdev: &Locked,
        new: Coalescing,
        extack: Option<&mut Extack>,
    ) -> Result {
        let longest = self.device.caps().moderation_max;
        let both =
            moderation(new.rx, longest).and_then(|rx| Ok((rx, moderation(new.tx, longest)?)));
        let (rx, tx) = match both {
            Ok(both) => both,
            Err((what, most)) => {
                return Err(refuse(
                    extack,
                    EINVAL,
                    fmt!("the {} may be up to {}", what, most),
                ))
            }
        };
        let mut state = self.state.lock();
        let (adaptive_rx, adaptive_tx) = (new.rx.adaptive, new.tx.adaptive);
        let config = Config {
            rx,
            tx,
            adaptive_rx,
            adaptive_tx,
            ..state.config
        };
        self.set_moderation(&mut state, config).map_err(|error| {
            refuse(
                extack,
                error,
                fmt!("the device does not take these settings"),
            )
        })
    }
}
