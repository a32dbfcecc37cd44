// SPDX-License-Identifier: GPL-2.0-only

//! What a rule matches and does.

use super::action::Actions;
use super::key::Keys;
use core::marker::PhantomData;
use core::ptr::NonNull;
use oxnic_bindings as bindings;

/// `struct flow_rule`, for as long as the kernel asks about it.
///
/// # Invariants
///
/// The rule is valid and does not change for `'a`. Its dissector, if it has one, gives for each key in use an offset at which its
/// values and its masks have that key's structure. All its action entries are initialised, and what they point to is valid for
/// `'a`. Their cookies are zero or point to the `struct tc_action` that they were made of.
#[derive(Clone, Copy)]
pub struct FlowRule<'a> {
    raw: NonNull<bindings::flow_rule>,
    _rule: PhantomData<&'a bindings::flow_rule>,
}

impl<'a> FlowRule<'a> {
    /// # Safety
    ///
    /// `raw` is null, or is as the type's invariants say.
    pub(super) unsafe fn from_raw(raw: *mut bindings::flow_rule) -> Option<Self> {
        // INVARIANT: By the contract.
        NonNull::new(raw).map(|raw| Self {
            raw,
            _rule: PhantomData,
        })
    }

    /// What it matches: each key that it uses, once. Every one of them must be understood, else packets are taken that were not
    /// meant. A rule of matchall has none.
    pub fn keys(&self) -> Keys<'a> {
        // SAFETY: By the invariants.
        unsafe { Keys::new(&(*self.raw.as_ptr()).match_) }
    }

    /// What it does, in order.
    pub fn actions(&self) -> Actions<'a> {
        // SAFETY: By the invariants.
        unsafe { Actions::new(&raw const (*self.raw.as_ptr()).action) }
    }
}
