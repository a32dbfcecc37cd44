// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A list in a slice of the caller, with the device's limit.

/// A list that grows up to the length of its slice, or to a lower limit.
#[derive(Debug)]
pub struct List<'s, T> {
    room: &'s mut [T],
    used: usize,
}

impl<'s, T: Copy> List<'s, T> {
    /// An empty list.
    pub fn new(room: &'s mut [T], limit: usize) -> Self {
        let limit = limit.min(room.len());
        Self {
            room: room.get_mut(..limit).unwrap_or(&mut []),
            used: 0,
        }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// How many items there can be.
    pub fn limit(&self) -> usize {
        self.room.len()
    }

    /// Whether so many more fit.
    pub fn has_room(&self, more: usize) -> bool {
        self.room.len() - self.used >= more
    }

    /// Adds items. `false`, and nothing added, where not all of them fit.
    pub fn extend(&mut self, items: &[T]) -> bool {
        let end = self.used.saturating_add(items.len());
        match self.room.get_mut(self.used..end) {
            Some(place) => {
                place.copy_from_slice(items);
                self.used = end;
                true
            }
            None => false,
        }
    }

    /// Adds an item. `false` where it does not fit.
    pub fn push(&mut self, item: T) -> bool {
        self.extend(&[item])
    }

    /// The items.
    pub fn items(&self) -> &[T] {
        self.room.get(..self.used).unwrap_or(&[])
    }

    /// An item, to be changed.
    pub fn item_mut(&mut self, at: usize) -> Option<&mut T> {
        self.room.get_mut(..self.used)?.get_mut(at)
    }

    /// The items, for as long as the slice lives.
    pub fn finish(self) -> &'s [T] {
        self.room.get(..self.used).unwrap_or(&[])
    }
}
