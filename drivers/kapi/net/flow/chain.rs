// SPDX-License-Identifier: GPL-2.0-only

//! Chains of nftables, and where their rules stand.
//!
//! A chain with `flags offload` asks with the requests of flower, and binds like a block of tc that has no queueing discipline. What
//! tells rules apart for tc means nothing there: the chain index is 0, the priority that of the chain, the protocol by chance. So nothing
//! in a request says where in the chain a rule stands. Most are at its end, but not all: `add rule … position` puts one
//! behind another, and a transaction that fails brings back those that it has deleted, last ones first. The place is known to the
//! kernel's own list alone, and [`Position`] looks it up there.

use super::classifier::Cookie;
use crate::net::netdev::Device;
use core::iter;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use kernel::container_of;
use oxnic_bindings as bindings;

/// A base chain of nftables.
///
/// # Invariants
///
/// It is valid for as long as a device is bound to it.
#[derive(Clone, Copy)]
pub(super) struct Chain(NonNull<bindings::nft_base_chain>);

impl Chain {
    /// # Safety
    ///
    /// The block is that of a chain of nftables, and is valid for as long as a device is bound to it.
    pub(super) unsafe fn of_block(block: NonNull<bindings::flow_block>) -> Option<Self> {
        // SAFETY: By the contract, it is a part of a chain.
        let chain = unsafe { container_of!(block.as_ptr(), bindings::nft_base_chain, flow_block) };
        // INVARIANT: By the contract.
        NonNull::new(chain).map(Self)
    }

    /// # Safety
    ///
    /// The kernel asks to take over the rule of this name, and the result does not outlive that.
    pub(super) unsafe fn position<'a>(self, rule: Cookie) -> Position<'a> {
        let rule = ptr::with_exposed_provenance::<bindings::nft_rule>(rule.0);
        // SAFETY: The chain is valid, and so is the rule: a cookie of nftables is the rule's address. No reference is made.
        let (head, at) = unsafe {
            (
                &raw const (*self.0.as_ptr()).chain.rules,
                &raw const (*rule).list,
            )
        };
        // INVARIANT: By the contract; the kernel asks with the lock held under which the list changes, and the rule is in the
        // list from before it asks until it is deleted for good.
        Position {
            head,
            at,
            _chain: PhantomData,
        }
    }
}

/// Where a rule stands in its chain.
///
/// # Invariants
///
/// `head` is the list of the chain's rules and `at` an entry of it; the list does not change for `'a`.
pub struct Position<'a> {
    head: *const bindings::list_head,
    at: *const bindings::list_head,
    _chain: PhantomData<&'a bindings::list_head>,
}

impl<'a> Position<'a> {
    /// Whether the kernel brings the rule back, as a transaction fails that has deleted it. The rule stays in its chain then, whatever is
    /// answered. `device`: one that the chain is on.
    ///
    /// Of a transaction that is being carried out, new rules are not active yet, and those that it deletes still are.
    pub fn is_return(&self, device: &Device) -> bool {
        // SAFETY: By the invariants the entry is in a rule; the device is registered, so that it is in a namespace.
        unsafe {
            let rule = container_of!(self.at, bindings::nft_rule, list);
            bindings::nft_is_active(device.as_raw(), rule)
        }
    }

    /// The rules before it, from the nearest to the first. There may be some among them that the device was not asked to take over
    /// yet, and some that it was asked to forget already.
    pub fn before(&self) -> impl Iterator<Item = Cookie> + use<'a> {
        let head = self.head;
        let previous = |at: &*const bindings::list_head| {
            // SAFETY: By the invariants; it is the head or an entry.
            Some(unsafe { (**at).prev }.cast_const())
        };
        iter::successors(previous(&self.at), previous)
            .take_while(move |at| !ptr::eq(*at, head))
            // SAFETY: By the invariants, all but the head are in rules. No reference is made.
            .map(|at| Cookie(unsafe { container_of!(at, bindings::nft_rule, list) }.addr()))
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_flow_chain)]
mod tests {
    use super::super::fixture::ChainFixture;
    use kernel::prelude::*;

    #[test]
    fn rules_before_a_rule_come_from_the_nearest_on() -> Result {
        let chain = ChainFixture::new(3)?;
        let [first, second, third] = [0, 1, 2].map(|number| chain.cookie(number));
        let before = |rule| chain.position(rule).before();
        assert_eq!(before(first).next(), None);
        assert!(before(second).eq([first]));
        assert!(before(third).eq([second, first]));
        Ok(())
    }

    #[test]
    fn a_rule_alone_has_none_before_it() -> Result {
        let chain = ChainFixture::new(1)?;
        assert_eq!(chain.position(chain.cookie(0)).before().count(), 0);
        Ok(())
    }
}
