// SPDX-License-Identifier: GPL-2.0-only

//! Rules that a binding still has as it goes.
//!
//! The kernel takes them back before, but where a queueing discipline goes while tc changes rules of its block without RTNL: whoever of both holds
//! the block last flushes it (`tcf_block_flush_all_chains()`), and that can be tc, beside the unbinding (`tcf_block_unbind()`), which then finds
//! no rules, while the flush finds nothing bound. So does a rule with `skip_sw` in a shared block that one binding has taken over and the next
//! has refused, where the first goes before tc takes the rule back. Nobody would ask for these rules again, and their table could not go.

use super::{
    chain::part_of,
    engine::Engine,
    member::Member, //
};
use crate::device::Device;
use kernel::sync::Arc;
use oxnic_kapi::net::flow::Cookie;

impl Engine {
    /// Takes the rules of a binding out of the device that the kernel has not taken back. No rule comes or goes for the binding any more.
    pub(crate) fn remove_leftovers(&self, device: &Arc<Device>, member: &Member) {
        let mut from = Some(Cookie(0));
        while let Some(first) = from {
            let mut left = None;
            from = member.store.inner.lock().walk(first, |cookie, stored| {
                left = stored.holders.has(member.number).then_some(cookie);
                left.is_none()
            });
            match left {
                Some(cookie) if member.store.of_tc => {
                    self.remove(device, member, cookie);
                }
                Some(part) => self.remove_from_chain(device, member, part_of(part).0),
                None => {}
            }
        }
    }
}
