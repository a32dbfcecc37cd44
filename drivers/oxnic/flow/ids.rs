// SPDX-License-Identifier: GPL-2.0-only

//! Ids of objects of a kind, which the driver chooses.
//!
//! A spinlock guards them, for as long as it takes to look at the last entry of a list; memory is allocated outside of it.

use kernel::{
    new_spinlock,
    prelude::*,
    sync::SpinLock, //
};

/// Ids from 0 up to a limit. What was given back is taken again first.
#[pin_data]
pub(crate) struct Ids {
    limit: u32,
    #[pin]
    state: SpinLock<State>,
}

struct State {
    /// Ids from here on were never taken.
    fresh: u32,
    /// Has room for all ids that were ever taken, so that giving one back does not fail.
    free: KVVec<u32>,
}

impl Ids {
    /// All ids below `limit`.
    pub(crate) fn new(limit: u32) -> impl PinInit<Self> {
        let state = State {
            fresh: 0,
            free: KVVec::new(),
        };
        pin_init!(Self { limit, state <- new_spinlock!(state) })
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
    pub(crate) fn take(&self) -> Result<u32> {
        loop {
            let capacity = {
                let mut state = self.state.lock();
                if let Some(id) = state.free.pop() {
                    return Ok(id);
                }
                if state.fresh == self.limit {
                    return Err(ENOSPC);
                }
                if (state.fresh as usize) < state.free.capacity() {
                    state.fresh += 1;
                    return Ok(state.fresh - 1);
                }
                state.free.capacity()
            };
            self.grow(capacity)?;
        }
    }

    /// Makes room for more ids than there was for.
    fn grow(&self, capacity: usize) -> Result {
        let more = (2 * capacity).clamp(64, (self.limit as usize).max(64));
        let mut room = KVVec::with_capacity(more, GFP_KERNEL)?;
        let mut state = self.state.lock();
        if state.free.capacity() < room.capacity() {
            // The few that were given back meanwhile. There is room for all.
            for id in state.free.iter() {
                let _ = room.push(*id, GFP_NOWAIT);
            }
            core::mem::swap(&mut state.free, &mut room);
        }
        // Before the memory is freed.
        drop(state);
        Ok(())
    }

    /// Gives one back that was taken.
    pub(crate) fn give(&self, id: u32) {
        // There is room, see above.
        let _ = self.state.lock().free.push(id, GFP_NOWAIT);
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_ids)]
mod tests {
    use super::*;

    #[test]
    fn as_many_ids_as_the_limit_says_and_each_once() -> Result {
        let ids = KBox::pin_init(Ids::new(3), GFP_KERNEL)?;
        assert_eq!(ids.take(), Ok(0));
        assert_eq!(ids.take(), Ok(1));
        ids.give(0);
        assert_eq!(ids.take(), Ok(0));
        assert_eq!(ids.take(), Ok(2));
        assert_eq!(ids.take(), Err(ENOSPC));
        ids.give(1);
        assert_eq!(ids.take(), Ok(1));
        assert_eq!(ids.limit(), 3);
        Ok(())
    }

    #[test]
    fn there_is_room_for_all_that_are_given_back() -> Result {
        let ids = KBox::pin_init(Ids::new(1000), GFP_KERNEL)?;
        for id in 0..1000 {
            assert_eq!(ids.take(), Ok(id));
        }
        for id in 0..1000 {
            ids.give(id);
        }
        for id in (0..1000).rev() {
            assert_eq!(ids.take(), Ok(id));
        }
        assert_eq!(ids.take(), Err(ENOSPC));
        Ok(())
    }
}
