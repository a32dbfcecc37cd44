// SPDX-License-Identifier: GPL-2.0-only

//! What only some rules have of the engine's: allocated when the first of it comes, so that all others need no room for it.

use super::{
    counters::Counter,
    kept_rule::KeptRule,
    mixed::Mixed, //
};
use kernel::{alloc::AllocError, prelude::*};
use oxnic_offload::rule::Verdict;

/// A policer of a rule: the meter is shared with others, the verdicts are the rule's own.
pub(crate) struct Metered {
    pub(crate) meter: u32,
    /// For packets within, and beyond.
    pub(crate) verdicts: (Verdict, Verdict),
}

/// What a rule has beside templates and a counter.
#[derive(Default)]
pub(crate) struct Extras {
    /// Counters of actions that do not get all that the rule takes.
    pub(crate) counters: KVec<Counter>,
    pub(crate) meters: KVec<Metered>,
    pub(crate) samplers: KVec<u32>,
    /// Actions that are counted for themselves, by the kernel's names: those that are there by themselves, or all of the rule.
    pub(crate) shared: KVec<usize>,
    /// Chains that it leads to, whose tables it holds.
    pub(crate) chains: KVec<u32>,
    /// Of a rule whose actions are counted singly: those that the kernel does not ask about.
    pub(crate) mixed: Option<KBox<Mixed>>,
    /// Outer headers.
    pub(crate) encaps: KVec<u32>,
    /// Of a rule of a tunnel device: the address of the host that it is about.
    pub(crate) local: Option<u32>,
    /// Of a rule that names actions by themselves: what it does.
    pub(crate) kept: Option<KBox<KeptRule>>,
}

/// A place for [`Extras`], which most rules have not.
#[derive(Default)]
pub(crate) struct More(Option<KBox<Extras>>);

impl More {
    /// Those that there are.
    pub(crate) fn get(&self) -> Option<&Extras> {
        self.0.as_deref()
    }

    /// Those that there are, to be changed.
    pub(crate) fn get_mut(&mut self) -> Option<&mut Extras> {
        self.0.as_deref_mut()
    }

    /// Those that there are, to be added to.
    ///
    /// # Errors
    ///
    /// There are none, and no memory for them.
    pub(crate) fn make(&mut self) -> Result<&mut Extras, AllocError> {
        let extras = match self.0.take() {
            Some(extras) => extras,
            None => KBox::new(Extras::default(), GFP_KERNEL)?,
        };
        Ok(self.0.insert(extras))
    }

    /// Counters of single actions, of which there may be none.
    pub(crate) fn counters(&self) -> &[Counter] {
        self.get().map_or(&[], |extras| &extras.counters)
    }

    /// Outer headers, of which there may be none.
    pub(crate) fn encaps(&self) -> &[u32] {
        self.get().map_or(&[], |extras| &extras.encaps)
    }

    /// Policers, of which there may be none.
    pub(crate) fn meters(&self) -> &[Metered] {
        self.get().map_or(&[], |extras| &extras.meters)
    }
}
