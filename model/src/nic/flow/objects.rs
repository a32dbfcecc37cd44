// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Objects of one kind by the ids that the driver gave them.

use super::refused::{Place, Refused, Why};

/// How many objects of a kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many there can be.
    pub size: u32,
    /// How many there are.
    pub used: u32,
    /// The most that there were at once.
    pub high_water: u32,
}

impl Usage {
    /// None of so many.
    pub fn new(size: u32) -> Self {
        Self {
            size,
            ..Self::default()
        }
    }

    /// One more.
    pub fn add(&mut self) {
        self.used += 1;
        self.high_water = self.high_water.max(self.used);
    }

    /// One less.
    pub fn sub(&mut self) {
        self.used = self.used.saturating_sub(1);
    }
}

/// An object with the number of those that name it.
#[derive(Debug)]
struct Held<T> {
    object: T,
    references: u32,
}

/// Objects of one kind.
#[derive(Debug)]
pub struct Objects<T> {
    list: Vec<Option<Box<Held<T>>>>,
    usage: Usage,
}

impl<T> Objects<T> {
    /// None of so many.
    pub fn new(size: u32) -> Self {
        Self {
            list: Vec::new(),
            usage: Usage::new(size),
        }
    }

    /// How many there are.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// All of them, by their ids.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let held = (0..).zip(&self.list);
        held.filter_map(|(id, held)| Some((id, &held.as_ref()?.object)))
    }

    /// One of them.
    pub fn get(&self, id: u32) -> Option<&T> {
        Some(&self.list.get(id as usize)?.as_ref()?.object)
    }

    /// One of them.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        Some(&mut self.list.get_mut(id as usize)?.as_mut()?.object)
    }

    /// One that a command or a rule names.
    ///
    /// # Errors
    /// There is none.
    pub fn named(&self, id: u32, place: Place) -> Result<&T, Refused> {
        self.get(id).ok_or(Refused::new(Why::Missing, place))
    }

    /// Whether one can be made with this id.
    ///
    /// # Errors
    /// The id is beyond the limit, or taken.
    pub fn vacant(&self, id: u32) -> Result<(), Refused> {
        if id >= self.usage.size {
            return Err(Refused::new(Why::Limit, Place::Field(0)));
        }
        match self.get(id) {
            Some(_) => Err(Refused::new(Why::Exists, Place::Object)),
            None => Ok(()),
        }
    }

    /// Makes one, whose id is vacant.
    pub fn insert(&mut self, id: u32, object: T) {
        let index = id as usize;
        if self.list.len() <= index {
            self.list.resize_with(index + 1, || None);
        }
        self.list[index] = Some(Box::new(Held {
            object,
            references: 0,
        }));
        self.usage.add();
    }

    /// Takes one out that nothing names.
    ///
    /// # Errors
    /// There is none, or it is named.
    pub fn remove(&mut self, id: u32) -> Result<T, Refused> {
        let missing = Refused::new(Why::Missing, Place::Object);
        let place = self.list.get_mut(id as usize).ok_or(missing)?;
        match place.take() {
            None => Err(missing),
            Some(held) if held.references != 0 => {
                *place = Some(held);
                Err(Refused::new(Why::Busy, Place::Object))
            }
            Some(held) => {
                self.usage.sub();
                Ok(held.object)
            }
        }
    }

    /// Something names it now.
    pub fn hold(&mut self, id: u32) {
        if let Some(Some(held)) = self.list.get_mut(id as usize) {
            held.references += 1;
        }
    }

    /// Something names it no longer.
    pub fn release(&mut self, id: u32) {
        if let Some(Some(held)) = self.list.get_mut(id as usize) {
            held.references = held.references.saturating_sub(1);
        }
    }
}
