// SPDX-License-Identifier: GPL-2.0-only

//! Slots of the admin queue: what has become of each command that was given to the device. Part of the queue's state, and guarded
//! with it.

use kernel::prelude::*;
use oxnic_abi::command::Completion;

/// What a slot holds.
#[derive(Clone, Copy)]
enum Slot {
    /// Nobody's.
    Free,
    /// Taken, and not given to the device yet.
    Claimed,
    /// Given to the device.
    Waiting,
    /// Answered, not collected yet.
    Done(Completion),
    /// The queue was stopped while it was waiting, not collected yet.
    Aborted,
    /// Nobody waits any more, but the device may still answer.
    Abandoned,
}

/// The device answered something that it was not asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Breach {
    /// The id that it named.
    pub(crate) id: u16,
}

/// What an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// Who waits at this slot.
    Waiter(usize),
    /// Nobody any more; the slot is free now.
    Freed,
    /// Nobody any more, and who waited has the slot still.
    Nobody,
}

/// How a command stands that somebody waits for.
pub(super) enum Standing {
    /// It has this answer.
    Done(Completion),
    /// It has none yet.
    Waiting,
    /// There will be none.
    Aborted,
}

/// The slots of a queue.
pub(super) struct Slots(KVec<Slot>);

impl Slots {
    /// So many, all free.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn new(count: usize) -> Result<Self> {
        Ok(Self(KVec::from_elem(Slot::Free, count, GFP_KERNEL)?))
    }

    /// Takes a free one. The device does not know of it yet. `None`: all are taken.
    pub(super) fn claim(&mut self) -> Option<usize> {
        let free = self.0.iter().position(|slot| matches!(slot, Slot::Free))?;
        self.set(free, Slot::Claimed);
        Some(free)
    }

    /// The command of a claimed slot goes to the device.
    pub(super) fn submit(&mut self, index: usize) {
        self.set(index, Slot::Waiting);
    }

    /// Who had the slot is done with it, and so is the device.
    pub(super) fn free(&mut self, index: usize) {
        self.set(index, Slot::Free);
    }

    /// Who had the slot waits no longer, but the device may still answer.
    pub(super) fn abandon(&mut self, index: usize) {
        self.set(index, Slot::Abandoned);
    }

    fn set(&mut self, index: usize, to: Slot) {
        if let Some(slot) = self.0.get_mut(index) {
            *slot = to;
        }
    }

    /// How the command of a slot stands.
    pub(super) fn standing(&self, index: usize) -> Standing {
        match self.0.get(index) {
            Some(Slot::Done(completion)) => Standing::Done(*completion),
            Some(Slot::Waiting) => Standing::Waiting,
            _ => Standing::Aborted,
        }
    }

    /// Takes an answer.
    ///
    /// # Errors
    ///
    /// [`Breach`]: the device was not asked that, or has answered before.
    pub(super) fn settle(&mut self, completion: Completion) -> Result<Answered, Breach> {
        let breach = Breach { id: completion.id };
        let index = usize::from(completion.id);
        let slot = self.0.get_mut(index).ok_or(breach)?;
        match slot {
            Slot::Waiting => {
                *slot = Slot::Done(completion);
                Ok(Answered::Waiter(index))
            }
            Slot::Abandoned => {
                *slot = Slot::Free;
                Ok(Answered::Freed)
            }
            // Stopped meanwhile: the waiter was told.
            Slot::Aborted => Ok(Answered::Nobody),
            Slot::Free | Slot::Claimed | Slot::Done(_) => Err(breach),
        }
    }

    /// No command is answered any more, as far as those who wait are concerned. Calls `tell` with the slots of these.
    pub(super) fn abort(&mut self, tell: impl Fn(usize)) {
        for (index, slot) in self.0.iter_mut().enumerate() {
            if matches!(slot, Slot::Waiting) {
                *slot = Slot::Aborted;
                tell(index);
            }
        }
    }

    /// The device was reset: it answers nothing that it was asked before. Tells how many slots that sets free.
    pub(super) fn forget(&mut self) -> usize {
        let mut freed = 0;
        for slot in self.0.iter_mut() {
            if matches!(slot, Slot::Abandoned) {
                *slot = Slot::Free;
                freed += 1;
            }
        }
        freed
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_cmdq_slots)]
mod tests {
    use super::*;

    fn answer(id: u16) -> Completion {
        Completion {
            id,
            ..Completion::ZERO
        }
    }

    /// Slots of which this many wait for an answer.
    fn waiting(count: usize) -> Result<Slots> {
        let mut slots = Slots::new(4)?;
        for _ in 0..count {
            let index = slots.claim().ok_or(EINVAL)?;
            slots.submit(index);
        }
        Ok(slots)
    }

    #[test]
    fn there_are_as_many_as_asked_for() -> Result {
        let mut slots = waiting(4)?;
        assert_eq!(slots.claim(), None);
        slots.free(2);
        assert_eq!(slots.claim(), Some(2));
        Ok(())
    }

    #[test]
    fn an_answer_is_taken_once_and_by_who_waits() -> Result {
        let mut slots = waiting(2)?;
        assert_eq!(slots.settle(answer(1)).ok(), Some(Answered::Waiter(1)));
        assert!(matches!(slots.standing(1), Standing::Done(_)));
        assert!(matches!(slots.standing(0), Standing::Waiting));
        for nobody_asked in [1, 2, 4, u16::MAX] {
            assert!(slots.settle(answer(nobody_asked)).is_err());
        }
        Ok(())
    }

    #[test]
    fn a_claimed_slot_has_no_answer_before_it_is_given_to_the_device() -> Result {
        let mut slots = waiting(0)?;
        assert_eq!(slots.claim(), Some(0));
        assert!(slots.settle(answer(0)).is_err());
        Ok(())
    }

    #[test]
    fn a_late_answer_frees_the_slot_and_reaches_nobody() -> Result {
        let mut slots = waiting(1)?;
        slots.abandon(0);
        assert_eq!(slots.claim(), Some(1));
        assert_eq!(slots.settle(answer(0)).ok(), Some(Answered::Freed));
        assert_eq!(slots.claim(), Some(0));
        Ok(())
    }

    #[test]
    fn what_waits_is_aborted_and_what_was_abandoned_is_free_after_a_reset() -> Result {
        let mut slots = waiting(3)?;
        slots.abandon(0);
        slots.settle(answer(1)).map_err(|_| EPROTO)?;
        let told = core::cell::Cell::new(0);
        slots.abort(|index| told.set(told.get() | 1 << index));
        assert_eq!(told.get(), 1 << 2);
        assert!(matches!(slots.standing(1), Standing::Done(_)));
        assert!(matches!(slots.standing(2), Standing::Aborted));
        assert_eq!(slots.settle(answer(2)).ok(), Some(Answered::Nobody));
        assert_eq!(slots.forget(), 1);
        assert_eq!(slots.claim(), Some(0));
        Ok(())
    }
}
