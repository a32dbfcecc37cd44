// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -l`, `-L`: the number of queue pairs.
//!
//! The hashing tables grow and shrink with it: where a user has set one that would lose something, the number stays. So it does
//! where a steering rule would lead beyond the last channel.

use crate::netdev::{Config, NetPort};
use crate::steering::Queues;
use kernel::prelude::*;
use oxnic_kapi::net::ethtool::channels::Operations;
use oxnic_kapi::net::netdev::{Locked, Rtnl};

impl NetPort {
    /// Whether all hashing tables that users have set fit so many channels; gives the new size if it is another one.
    fn check_tables(&self, netdev: &Rtnl, channels: u16) -> Result<Option<u32>> {
        let mut table = KVec::new();
        let size = {
            // The check below takes the core's lock for hashing, which is taken before that of the state.
            let state = self.state.lock();
            let size = state.hashing.entries_for(channels);
            if size == state.hashing.entries() {
                return Ok(None);
            }
            let context = state.hashing.context(0)?;
            for entry in 0..state.hashing.entries() {
                table.push(context.queue(entry.into()).into(), GFP_KERNEL)?;
            }
            size
        };
        netdev.check_hash_table_size(&table, size.into()).inspect_err(|_| {
            dev_info!(
                self.device.binding(),
                "{}: {} channels need hashing tables of {} entries, which does not fit those that were set\n",
                netdev.name(),
                channels,
                size
            );
        })?;
        Ok(Some(size.into()))
    }

    /// Whether all steering rules lead to one of so many channels. The core knows only of those to a queue.
    fn check_rules(&self, netdev: &Rtnl, channels: u16) -> Result {
        let state = self.state.lock();
        let queues = Queues {
            channels,
            highest_of: &|id| state.hashing.highest_queue(netdev, id, channels),
        };
        state.steering.fit(&queues).map_err(|rule| {
            dev_info!(
                self.device.binding(),
                "{}: {} channels are too few: {}\n",
                netdev.name(),
                channels,
                rule
            );
            EINVAL
        })
    }
}

#[vtable]
impl Operations for NetPort {
    fn channels(&self, _netdev: &Locked) -> (u16, u16) {
        (self.state.lock().config.pairs, self.share.pairs)
    }

    fn set_channels(&self, netdev: &Rtnl, count: u16) -> Result {
        if count > self.share.pairs {
            return Err(EINVAL);
        }
        if count == self.state.lock().config.pairs {
            return Ok(());
        }
        let size = self.check_tables(netdev, count)?;
        self.check_rules(netdev, count)?;
        {
            let mut state = self.state.lock();
            let config = Config {
                pairs: count,
                ..state.config
            };
            self.replace(netdev, &mut state, config, netdev.mtu())?;
            state.hashing.settle();
        }
        if let Some(size) = size {
            netdev.resize_hash_tables(size);
        }
        Ok(())
    }
}
