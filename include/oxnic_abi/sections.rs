// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Reading a core dump, which may hold anything: what it says of its own lengths is believed as far as its bytes go.

use crate::dump::{DumpHeader, SectionHeader, SectionKind, DUMP_MAGIC};
use crate::wire::Wire;

/// A section of a dump.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// What its entries are.
    pub kind: SectionKind,
    words_each: usize,
    words: &'a [u64],
}

impl<'a> Section<'a> {
    /// Its entries, as far as they are known; none if they are shorter than what this version knows of them.
    pub fn entries<const N: usize, T: Wire<N>>(&self) -> impl Iterator<Item = T> + 'a {
        let known = self.words.chunks_exact(self.words_each.max(1));
        known.filter_map(|entry| entry.first_chunk().map(T::from_words))
    }
}

/// The header of a dump, and all of its sections that are whole. None if these words are no dump.
pub fn read(words: &[u64]) -> Option<(DumpHeader, Sections<'_>)> {
    let (first, rest) = words.split_first_chunk::<{ DumpHeader::WORDS }>()?;
    let header = DumpHeader::from_words(first);
    let sections = Sections {
        left: header.sections,
        words: rest,
    };
    (header.magic == DUMP_MAGIC).then_some((header, sections))
}

/// The sections of a dump, in their order.
#[derive(Clone, Debug)]
pub struct Sections<'a> {
    left: u16,
    words: &'a [u64],
}

impl<'a> Iterator for Sections<'a> {
    type Item = Section<'a>;

    fn next(&mut self) -> Option<Section<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (first, rest) = self.words.split_first_chunk::<{ SectionHeader::WORDS }>()?;
        let header = SectionHeader::from_words(first);
        let words_each = usize::from(header.entry / 8);
        let length = usize::try_from(header.count)
            .ok()?
            .checked_mul(words_each)?;
        if words_each == 0 || header.entry % 8 != 0 || length > rest.len() {
            self.left = 0;
            return None;
        }
        let (words, rest) = rest.split_at(length);
        self.words = rest;
        Some(Section {
            kind: header.kind,
            words_each,
            words,
        })
    }
}
