// SPDX-License-Identifier: GPL-2.0-only

//! Ids of objects of a kind, which the driver chooses.

use kernel::prelude::*;

/// Ids from 0 up to a limit. What was given back is taken again first.
pub(crate) struct Ids {
    limit: u32,
    /// Ids from here on were never taken.
    fresh: u32,
    /// Has room for all ids that were ever taken, so that giving one back does not fail.
    free: KVec<u32>,
}

impl Ids {
    /// All ids below `limit`.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            fresh: 0,
            free: KVec::new(),
        }
    }

    /// How many there can be.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Takes one.
    ///
    /// # Errors
    ///
    /// `ENOSPC`: none is left; `ENOMEM`.
    pub(crate) fn take(&mut self) -> Result<u32> {
        if let Some(id) = self.free.pop() {
            return Ok(id);
        }
        if self.fresh == self.limit {
            return Err(ENOSPC);
        }
        let capacity = self.fresh as usize + 1;
        self.free.reserve(capacity, GFP_KERNEL)?;
        self.fresh += 1;
        Ok(self.fresh - 1)
    }

    /// Gives one back that was taken.
    pub(crate) fn give(&mut self, id: u32) {
        // There is room, see above.
        let _ = self.free.push(id, GFP_KERNEL);
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_ids)]
mod tests {
    use super::*;

    #[test]
    fn as_many_ids_as_the_limit_says_and_each_once() {
        let mut ids = Ids::new(3);
        assert_eq!(ids.take(), Ok(0));
        assert_eq!(ids.take(), Ok(1));
        ids.give(0);
        assert_eq!(ids.take(), Ok(0));
        assert_eq!(ids.take(), Ok(2));
        assert_eq!(ids.take(), Err(ENOSPC));
        ids.give(1);
        assert_eq!(ids.take(), Ok(1));
        assert_eq!(ids.limit(), 3);
    }
}
