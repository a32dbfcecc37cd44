// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A long list of which memory is taken for the parts in use only.

/// Entries of a page.
const PAGE: usize = 1024;

/// The list. What was never touched is as the default.
#[derive(Debug)]
pub struct Pages<T> {
    pages: Vec<Option<Box<[T]>>>,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T: Default> Pages<T> {
    /// An entry, if its page was touched.
    pub fn get(&self, id: u32) -> Option<&T> {
        let id = id as usize;
        self.pages.get(id / PAGE)?.as_ref()?.get(id % PAGE)
    }

    /// An entry, if its page was touched.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        let id = id as usize;
        self.pages.get_mut(id / PAGE)?.as_mut()?.get_mut(id % PAGE)
    }

    /// All entries of pages that were touched, from an id on.
    pub fn from(&self, first: u32) -> impl Iterator<Item = (u32, &T)> {
        let pages = self.pages.iter().enumerate();
        let pages = pages.skip(first as usize / PAGE);
        let there = pages.filter_map(|(number, page)| Some((number, page.as_ref()?)));
        let all = there.flat_map(|(number, page)| {
            let ids = (number * PAGE) as u32..;
            ids.zip(page.iter())
        });
        all.filter(move |(id, _)| *id >= first)
    }

    /// An entry, whose page is made. The caller knows that the id is within limits.
    pub fn touch(&mut self, id: u32) -> &mut T {
        let id = id as usize;
        if self.pages.len() <= id / PAGE {
            self.pages.resize_with(id / PAGE + 1, || None);
        }
        let page = self.pages[id / PAGE]
            .get_or_insert_with(|| std::iter::repeat_with(T::default).take(PAGE).collect());
        &mut page[id % PAGE]
    }
}
