// SPDX-License-Identifier: GPL-2.0-only

//! Rules that name actions by themselves, as they are kept.

use super::{kept::Kept, place::Place, read::Origin};
use kernel::{alloc::AllocError, prelude::*};
use oxnic_offload::{
    plan::UpperDevice,
    rule::{Action, Chain, Classifier, Cookie, Key, Rule}, //
};

/// A rule that names actions by themselves: what its plan depends on beside its key.
pub(crate) struct KeptRule {
    pub(crate) kept: Kept,
    pub(crate) skip_sw: bool,
    /// It sends up what it takes, and software does the rest.
    pub(crate) upwards: bool,
    /// It would stand elsewhere, or not at all, if it did not do both as now: it has port ranges, by which others may stand before or behind it,
    /// or it is not known where it stands.
    pub(crate) stands_by_that: bool,
    cookie: Cookie,
    classifier: Classifier,
    chain: Chain,
    priority: u32,
    protocol: u16,
}

impl KeptRule {
    /// Copies a rule. None where it cannot be kept.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn new(
        rule: &Rule<'_>,
        origins: &[Origin<'_>],
        uppers: &[UpperDevice],
        skip_sw: bool,
        (upwards, place): (bool, &Place),
    ) -> Result<Option<Self>, AllocError> {
        let kept = Kept::new(rule.actions, origins, uppers)?;
        Ok(kept.map(|kept| Self {
            kept,
            skip_sw,
            upwards,
            stands_by_that: rule.key.src_range.is_some()
                || rule.key.dst_range.is_some()
                || place.is_loose(),
            cookie: rule.cookie,
            classifier: rule.classifier,
            chain: rule.chain,
            priority: rule.priority,
            protocol: rule.protocol,
        }))
    }

    /// The same, doing something else.
    pub(crate) fn doing(&self, kept: Kept) -> Self {
        Self { kept, ..*self }
    }

    /// As a rule, without its key.
    pub(crate) fn rule<'a>(&self, actions: &'a [Action<'a>]) -> Rule<'a> {
        Rule {
            cookie: self.cookie,
            classifier: self.classifier,
            chain: self.chain,
            priority: self.priority,
            protocol: self.protocol,
            key: Key::default(),
            actions,
        }
    }
}
