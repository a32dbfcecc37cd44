// SPDX-License-Identifier: GPL-2.0-only

//! Ids of objects of a kind, which the driver chooses.
//!
//! A spinlock guards them, for as long as it takes to look at the last entry of a list; memory is allocated outside of it.

use crate::{
    command::{insist, CommandError},
    device::Device, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{Arc, SpinLock}, //
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
    /// Ids of objects that the device has refused to destroy. A reset takes them away.
    withheld: KVec<u32>,
}

impl Ids {
    /// All ids below `limit`.
    pub(crate) fn new(limit: u32) -> impl PinInit<Self> {
        let state = State {
            fresh: 0,
            free: KVVec::new(),
            withheld: KVec::new(),
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
        self.take_but(0)
    }

    /// Takes one, and leaves so many to others.
    ///
    /// # Errors
    ///
    /// `ENOSPC`: no more are left; `ENOMEM`.
    pub(crate) fn take_but(&self, others: u32) -> Result<u32> {
        loop {
            let capacity = {
                let mut state = self.state.lock();
                let never = (self.limit - state.fresh) as usize;
                if never + state.free.len() <= others as usize {
                    return Err(ENOSPC);
                }
                if let Some(id) = state.free.pop() {
                    return Ok(id);
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

    /// Gives one back whose object the device was to destroy. Where it has refused that, the id is withheld until a reset, since the
    /// device may still have the object. Where it could not be asked, it is reset, and forgets all of them.
    ///
    /// # Errors
    ///
    /// What the device has said.
    pub(crate) fn give_destroyed(
        &self,
        id: u32,
        destroyed: Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        match destroyed {
            Err(error) if error.is_refusal() => {
                // Without memory it is lost until the engine goes.
                let _ = self.state.lock().withheld.push(id, GFP_NOWAIT);
                Err(error)
            }
            _ => {
                self.give(id);
                Ok(())
            }
        }
    }

    /// Gives one back, and has the device destroy the object first if it has it. `what`: the kind, for the log.
    pub(crate) fn end(
        &self,
        device: &Arc<Device>,
        (what, id): (&str, u32),
        there: bool,
        destroy: impl FnMut() -> Result<(), CommandError>,
    ) {
        if !there {
            return self.give(id);
        }
        let destroyed = insist(destroy, CommandError::is_refusal);
        if let Err(error) = self.give_destroyed(id, destroyed) {
            dev_err!(device.binding(), "{} {}: {}\n", what, id, error);
        }
    }

    /// The device was reset: what was withheld can be taken again.
    pub(crate) fn reclaim(&self) {
        let mut state = self.state.lock();
        while let Some(id) = state.withheld.pop() {
            // There is room, see above.
            let _ = state.free.push(id, GFP_NOWAIT);
        }
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_ids)]
mod tests {
    use super::*;
    use crate::command::Cause;
    use oxnic_abi::command::{Opcode, Qualifier, Status};

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
    fn some_are_left_to_others() -> Result {
        let ids = KBox::pin_init(Ids::new(3), GFP_KERNEL)?;
        assert_eq!((ids.take_but(1), ids.take_but(1)), (Ok(0), Ok(1)));
        assert_eq!(ids.take_but(1), Err(ENOSPC));
        ids.give(0);
        assert_eq!(ids.take_but(2), Err(ENOSPC));
        assert_eq!(ids.take_but(1), Ok(0));
        assert_eq!((ids.take(), ids.take()), (Ok(2), Err(ENOSPC)));
        Ok(())
    }

    #[test]
    fn what_the_device_refuses_to_destroy_is_taken_again_after_a_reset_only() -> Result {
        let failed = |cause| {
            Err(CommandError {
                opcode: Opcode::METER_DESTROY,
                cause,
            })
        };
        let ids = KBox::pin_init(Ids::new(2), GFP_KERNEL)?;
        assert_eq!((ids.take(), ids.take()), (Ok(0), Ok(1)));
        let refused = Cause::Refused {
            status: Status::EBUSY,
            qualifier: Qualifier::NONE,
            offset: 0,
        };
        assert!(ids.give_destroyed(0, failed(refused)).is_err());
        assert_eq!(ids.take(), Err(ENOSPC));
        assert!(ids.give_destroyed(1, failed(Cause::Unavailable)).is_ok());
        assert_eq!(ids.take(), Ok(1));
        ids.reclaim();
        assert_eq!(ids.take(), Ok(0));
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
