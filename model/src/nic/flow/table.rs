// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Tables: groups of rules, in the order in which a lookup visits them.

use oxnic_abi::flow::table::{TableMiss, TableSet, TableView};

/// A table.
#[derive(Debug)]
pub struct Table {
    /// What its rules look at.
    pub view: TableView,
    /// What becomes of a frame that no rule takes.
    pub miss: TableMiss,
    /// With [`TableMiss::TABLE`]: the next one.
    pub miss_table: u32,
    /// Goes along with a frame that misses.
    pub cookie: u32,
    /// Lowest priority and number of each group, in that order: a lookup ends where no group can have anything better.
    pub groups: Vec<(u32, u32)>,
    /// Rules in it.
    pub rules: u32,
}

impl Table {
    /// Without rules.
    pub fn new(set: &TableSet) -> Self {
        Self {
            view: set.view,
            miss: set.miss,
            miss_table: set.miss_table,
            cookie: set.cookie,
            groups: Vec::new(),
            rules: 0,
        }
    }

    /// The lowest priority of a group changed; none where it is empty or new.
    pub fn reorder(&mut self, group: u32, old: Option<u32>, new: Option<u32>) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            if let Ok(at) = self.groups.binary_search(&(old, group)) {
                self.groups.remove(at);
            }
        }
        if let Some(new) = new {
            let at = self.groups.partition_point(|entry| *entry < (new, group));
            self.groups.insert(at, (new, group));
        }
    }
}
