// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -n`, `-N`: steering rules, see [`crate::steering`]. There are none while the feature `ntuple-filters` is off.
//!
//! ethtool has no way to tell a user why a rule was refused, so the log does.

use crate::netdev::{NetPort, State};
use crate::steering::Queues;
use kernel::prelude::*;
use oxnic_kapi::net::ethtool::steering::{Operations, Rule};
use oxnic_kapi::net::features;
use oxnic_kapi::net::netdev::Locked;

#[vtable]
impl Operations for NetPort {
    fn rule_capacity(&self, _netdev: &Locked) -> u32 {
        self.state.lock().steering.capacity()
    }

    fn rule_locations(&self, _netdev: &Locked, out: &mut [u32]) -> usize {
        let state = self.state.lock();
        for (place, location) in out.iter_mut().zip(state.steering.locations()) {
            *place = location;
        }
        state.steering.locations().count()
    }

    fn rule(&self, _netdev: &Locked, location: u32) -> Option<Rule> {
        self.state.lock().steering.get(location)
    }

    fn insert_rule(&self, netdev: &Locked, rule: Rule) -> Result<u32> {
        let mut state = self.state.lock();
        if state.steering.capacity() == 0 || netdev.features() & features::NTUPLE == 0 {
            return Err(EOPNOTSUPP);
        }
        let live = state.is_live();
        let State {
            steering,
            hashing,
            config,
            ..
        } = &mut *state;
        let highest_of = |id| hashing.highest_queue(netdev, id, config.pairs);
        let queues = Queues {
            channels: config.pairs,
            highest_of: &highest_of,
        };
        steering.insert(self, rule, queues, live).map_err(|reject| {
            dev_info!(
                self.device.binding(),
                "{}: steering rule refused: {}\n",
                netdev.name(),
                reject
            );
            reject.into()
        })
    }

    fn remove_rule(&self, _netdev: &Locked, location: u32) -> Result {
        let mut state = self.state.lock();
        let reached = !state.resetting;
        state.steering.remove(self, location, reached)
    }
}
