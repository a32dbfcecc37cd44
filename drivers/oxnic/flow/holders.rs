// SPDX-License-Identifier: GPL-2.0-only

//! Which bindings of a block have a rule. The kernel tells a binding of the end of rules that it was never offered, or that it has refused:
//! where it cannot bind an interface to a block, it takes back all rules of the block. What others have of them stays.

use kernel::{alloc::AllocError, prelude::*};

/// Numbers in a word.
const BITS: u32 = u64::BITS;

/// Some bindings of a block, by their numbers. Needs no memory of its own for the first 64.
#[derive(Default)]
pub(crate) struct Holders {
    first: u64,
    others: KVec<u64>,
}

impl Holders {
    /// One.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn one(number: u32) -> Result<Self, AllocError> {
        let mut holders = Self::default();
        holders.add(number)?;
        Ok(holders)
    }

    fn words(&self) -> impl Iterator<Item = u64> + '_ {
        Iterator::chain(core::iter::once(self.first), self.others.iter().copied())
    }

    fn word(&mut self, number: u32) -> Option<&mut u64> {
        match (number / BITS) as usize {
            0 => Some(&mut self.first),
            other => self.others.get_mut(other - 1),
        }
    }

    /// Whether one is there.
    pub(crate) fn has(&self, number: u32) -> bool {
        let word = self.words().nth((number / BITS) as usize);
        word.is_some_and(|word| word >> (number % BITS) & 1 != 0)
    }

    /// Adds one, which may be there already.
    ///
    /// # Errors
    ///
    /// There is no memory, and nothing has changed.
    pub(crate) fn add(&mut self, number: u32) -> Result<(), AllocError> {
        let others = (number / BITS) as usize;
        if let Some(more @ 1..) = others.checked_sub(self.others.len()) {
            self.others.extend_with(more, 0, GFP_KERNEL)?;
        }
        if let Some(word) = self.word(number) {
            *word |= 1 << (number % BITS);
        }
        Ok(())
    }

    /// Takes one out. Says whether it was there.
    pub(crate) fn remove(&mut self, number: u32) -> bool {
        let bit = 1 << (number % BITS);
        let word = self.word(number).filter(|word| **word & bit != 0);
        word.map(|word| *word &= !bit).is_some()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.words().all(|word| word == 0)
    }

    /// The lowest number that is not there.
    pub(crate) fn free(&self) -> u32 {
        let mut before = 0;
        for word in self.words() {
            let ones = word.trailing_ones();
            before += ones;
            if ones < BITS {
                break;
            }
        }
        before
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_holders)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_rule_and_no_other_gives_it_back_once() -> Result {
        for number in [0, 1, 63, 64, 200] {
            let mut holders = Holders::one(3)?;
            holders.add(number)?;
            holders.add(number)?;
            assert!(!holders.remove(number + 1) && !holders.remove(1000));
            assert!(holders.has(number) && !holders.has(number + 1));
            assert!(holders.remove(number) && !holders.remove(number));
            assert!(!holders.has(number));
            assert!(!holders.is_empty());
            assert!(holders.remove(3) && holders.is_empty());
        }
        Ok(())
    }

    #[test]
    fn the_lowest_free_number_is_next() -> Result {
        let mut holders = Holders::default();
        for number in 0..130 {
            assert_eq!(holders.free(), number);
            holders.add(number)?;
        }
        for number in [129, 64, 5] {
            assert!(holders.remove(number));
            assert_eq!(holders.free(), number);
        }
        Ok(())
    }
}
