// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A hash index: from hashes to numbers of slots, whose keys the owner has.
//!
//! Open addressing with linear probing, eight bytes an entry: the hash, so that growing needs no keys, and the slot. What is
//! taken out is closed by moving back what was pushed on by it, so that there are no graves.

/// Least number of entries.
const SIZE_MIN: usize = 8;

/// Hash and slot + 1; 0 for none.
#[derive(Clone, Copy, Default)]
struct Entry(u64);

impl Entry {
    fn new(hash: u32, slot: u32) -> Self {
        Self((u64::from(hash) << 32) | (u64::from(slot) + 1))
    }

    fn is_none(self) -> bool {
        self.0 == 0
    }

    fn hash(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn slot(self) -> u32 {
        (self.0 as u32).wrapping_sub(1)
    }
}

/// The index. Slots are below 2^32 - 1.
#[derive(Default)]
pub struct Index {
    /// Length a power of two, or zero.
    entries: Vec<Entry>,
    used: usize,
}

impl Index {
    fn mask(&self) -> usize {
        self.entries.len().wrapping_sub(1)
    }

    /// Where the slot that `is` says is the one stands.
    fn position(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        let mut at = hash as usize & self.mask();
        loop {
            let entry = *self.entries.get(at)?;
            if entry.is_none() {
                return None;
            }
            if entry.hash() == hash && is(entry.slot()) {
                return Some(at);
            }
            at = (at + 1) & self.mask();
        }
    }

    /// The slot with this hash that `is` says is the one.
    pub fn find(&self, hash: u32, is: impl FnMut(u32) -> bool) -> Option<u32> {
        let at = self.position(hash, is)?;
        Some(self.entries.get(at)?.slot())
    }

    /// Adds a slot that is not there.
    pub fn insert(&mut self, hash: u32, slot: u32) {
        if (self.used + 1) * 8 > self.entries.len() * 7 {
            self.grow();
        }
        self.put(Entry::new(hash, slot));
        self.used += 1;
    }

    fn put(&mut self, entry: Entry) {
        let mask = self.mask();
        let mut at = entry.hash() as usize & mask;
        while !self.entries[at].is_none() {
            at = (at + 1) & mask;
        }
        self.entries[at] = entry;
    }

    fn grow(&mut self) {
        let size = (self.entries.len() * 2).max(SIZE_MIN);
        let old = std::mem::replace(&mut self.entries, vec![Entry::default(); size]);
        for entry in old.into_iter().filter(|entry| !entry.is_none()) {
            self.put(entry);
        }
    }

    /// Takes a slot out, if it is there.
    pub fn remove(&mut self, hash: u32, slot: u32) {
        let Some(mut hole) = self.position(hash, |found| found == slot) else {
            return;
        };
        self.used -= 1;
        let mask = self.mask();
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let entry = self.entries[at];
            if entry.is_none() {
                break;
            }
            // It may move into the hole unless its own place is behind that.
            let own = entry.hash() as usize & mask;
            if (at.wrapping_sub(own) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.entries[hole] = entry;
                hole = at;
            }
        }
        self.entries[hole] = Entry::default();
    }
}

/// A hash of bytes that nobody can foresee who does not know the seed.
pub fn hash(seed: u64, bytes: &[u8]) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product >> 64) as u64 ^ product as u64
    };
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(ODD);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.first_chunk().copied().unwrap_or_default();
        state = fold(state ^ u64::from_le_bytes(word), ODD ^ seed.rotate_left(32));
    }
    let rest = chunks
        .remainder()
        .iter()
        .fold(1, |word, byte| (word << 8) | u64::from(*byte));
    let state = fold(fold(state ^ rest, ODD ^ seed), ODD);
    (state ^ (state >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Against a map, with hashes that collide and wrap around.
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((any::<bool>(), 0u32..64), 0..400), spread in 1u32..9) {
            let mut index = Index::default();
            let mut model = HashMap::new();
            let hash = |slot: u32| (slot % spread).wrapping_sub(3);
            for (add, slot) in steps {
                if add && !model.contains_key(&slot) {
                    index.insert(hash(slot), slot);
                    model.insert(slot, ());
                } else if !add {
                    index.remove(hash(slot), slot);
                    model.remove(&slot);
                }
                prop_assert_eq!(index.used, model.len());
                for slot in 0..64 {
                    let found = index.find(hash(slot), |found| found == slot);
                    prop_assert_eq!(found, model.contains_key(&slot).then_some(slot));
                }
            }
        }

        #[test]
        fn hashes_depend_on_seed_and_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..40), at in 0usize..40) {
            prop_assert_ne!(hash(1, &bytes), hash(2, &bytes));
            let mut other = bytes.clone();
            if let Some(byte) = other.get_mut(at) {
                *byte ^= 1;
                prop_assert_ne!(hash(1, &bytes), hash(1, &other));
            }
        }
    }
}
