// SPDX-License-Identifier: GPL-2.0-only

//! Receive hashing as the user has set it. Part of [`crate::netdev::State`], and guarded with it.

use crate::cmd;
use crate::netdev::NetPort;
use kernel::prelude::*;
use oxnic_abi::caps::{features, NicCaps};
use oxnic_abi::rss::{hash_types, RssConfig, KEY_MAX, TABLE_MAX};

/// The default context: key, table, types.
pub(crate) struct Hashing {
    /// The device can hash.
    offered: bool,
    pub(crate) entries: u16,
    pub(crate) key: [u8; KEY_MAX],
    /// Queue numbers of the interface.
    pub(crate) table: [u16; TABLE_MAX],
    pub(crate) types: u16,
    pub(crate) input: u16,
    /// By type: fields that are left out of the hash.
    pub(crate) omit: [u8; 8],
    /// The user has set the table; else it spreads over all queues.
    pub(crate) fixed: bool,
    first_queue: u16,
}

impl Hashing {
    /// A random key, and a table that spreads evenly over so many pairs.
    pub(crate) fn new(caps: &NicCaps, first_queue: u16, pairs: u16) -> Self {
        let entries = caps.rss_entries.min(TABLE_MAX as u16);
        let mut key = [0; KEY_MAX];
        oxnic_kapi::net::ethtool::fill_hash_key(&mut key);
        let mut this = Self {
            offered: caps.features & features::RSS != 0 && entries.is_power_of_two(),
            entries,
            key,
            table: [0; TABLE_MAX],
            types: caps.rss_types
                & (hash_types::IPV4 | hash_types::IPV6 | hash_types::TCP4 | hash_types::TCP6 | hash_types::UDP4 | hash_types::UDP6),
            input: 0,
            omit: [0; 8],
            fixed: false,
            first_queue,
        };
        this.set_pairs(pairs);
        this
    }

    /// The interface uses so many pairs from now on.
    pub(crate) fn set_pairs(&mut self, pairs: u16) {
        if self.fixed {
            return;
        }
        for (index, entry) in self.table.iter_mut().enumerate() {
            *entry = (index % usize::from(pairs.max(1))) as u16;
        }
    }

    /// Tells the device.
    pub(crate) fn apply(&self, port: &NetPort) -> Result {
        if !self.offered {
            return Ok(());
        }
        let mut table = self.table;
        for entry in &mut table {
            *entry += self.first_queue;
        }
        let config = RssConfig {
            context: 0,
            types: self.types,
            entries: self.entries,
            input: self.input,
            key: self.key,
            table,
            omit: self.omit,
        };
        cmd::rss::set(&port.device, port.share.vport, &config).map_err(|error| port.failed(error))
    }
}
