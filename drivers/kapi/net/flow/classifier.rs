// SPDX-License-Identifier: GPL-2.0-only

//! Requests about rules: those of flower, of matchall, and of nftables, which come as those of flower.

use super::chain::{Chain, Position};
use super::rule::FlowRule;
use super::stats::Statistics;
use crate::callback::errno;
use crate::extack::Extack;
use core::ffi::{c_int, c_void};
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// Name of a rule within a block: the kernel's, and not used again before the rule was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie(pub usize);

/// Which classifier a rule is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classifier {
    /// `cls_flower`.
    Flower,
    /// `cls_matchall`.
    Matchall,
    /// A chain of nftables.
    Nftables,
}

/// A rule to be taken over.
pub struct NewRule<'a> {
    /// Its classifier.
    pub classifier: Classifier,
    /// Its name.
    pub cookie: Cookie,
    /// The chain that it is in.
    pub chain: u32,
    /// tc's `prio`, 16 bits: lower comes first.
    pub priority: u32,
    /// tc's `protocol`; `ETH_P_ALL` for all.
    pub protocol: u16,
    /// Software will not run the rule.
    pub skip_sw: bool,
    /// It comes as its block is bound, with all others that are in it, in no certain order.
    pub played_back: bool,
    /// Where it stands in its chain of nftables, which neither chain, priority nor protocol say anything about. None for tc.
    pub position: Option<Position<'a>>,
    /// What it matches and does.
    pub rule: FlowRule<'a>,
}

/// How much packets did to a rule.
pub struct Counted {
    /// Since the last time.
    pub statistics: Statistics,
    /// The kernel shall ask for each action, see [`Others::action_stats`](super::Others::action_stats); what is said here is not
    /// used then.
    pub per_action: bool,
}

/// What a driver does with the rules of a block that a device is bound to. Dropped when the device is unbound, after all rules
/// were destroyed.
///
/// Calls come without RTNL for most rules of flower, with it for others, and at the same time for different rules. Those about one
/// rule come one after the other, and may sleep. All this is otherwise for a chain of nftables: its rules come one after the
/// other, the extack goes nowhere, and [`Self::stats`] must not sleep, is called at any time beside the others, and can be about a rule that
/// is just being removed.
pub trait Rules: Send + Sync + 'static {
    /// The block has rules that came before the binding, and of which nobody will tell. Comes before all others.
    fn miss_older(&self);

    /// Takes over a rule.
    ///
    /// # Errors
    ///
    /// It is not taken over, and the text says why. The kernel then calls [`Self::destroy`] all the same.
    fn replace(&self, rule: &NewRule<'_>, extack: Option<&mut Extack>) -> Result;

    /// Forgets a rule, which may be unknown.
    ///
    /// # Errors
    ///
    /// `ENOENT`: this binding had not taken it over. tc counts the bindings that have each rule. It has not to be said of a rule of
    /// nftables, where an error would undo the transaction.
    fn destroy(&self, cookie: Cookie) -> Result;

    /// What a rule has seen.
    ///
    /// # Errors
    ///
    /// `ENOENT`: it is unknown.
    fn stats(&self, cookie: Cookie) -> Result<Counted>;
}

/// How a request comes.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// From a chain of nftables.
    pub(super) chain: Option<Chain>,
    /// As the block is bound.
    pub(super) played_back: bool,
}

/// A request about a block that a device is bound to.
///
/// # Safety
///
/// `data` is what the kernel has for requests of this type, and ours while this runs.
pub(super) unsafe fn request(
    rules: &dyn Rules,
    way: Way,
    kind: bindings::tc_setup_type,
    data: *mut c_void,
) -> c_int {
    // SAFETY: By the contract.
    let result = unsafe {
        match kind {
            bindings::tc_setup_type_TC_SETUP_CLSFLOWER => flower(rules, way, &mut *data.cast()),
            bindings::tc_setup_type_TC_SETUP_CLSMATCHALL => matchall(rules, way, &mut *data.cast()),
            _ => Err(EOPNOTSUPP),
        }
    };
    errno(result)
}

/// # Safety
///
/// What the request points to is valid.
unsafe fn flower(rules: &dyn Rules, way: Way, request: &mut bindings::flow_cls_offload) -> Result {
    let cookie = Cookie(request.cookie);
    match request.command {
        bindings::flow_cls_command_FLOW_CLS_REPLACE => {
            // SAFETY: By the contract; the rule comes from the core. The position is used in the call alone.
            unsafe {
                let position = way.chain.map(|chain| chain.position(cookie));
                let classifier = match position {
                    Some(_) => Classifier::Nftables,
                    None => Classifier::Flower,
                };
                let of = (classifier, cookie, position);
                replace(rules, of, way.played_back, &request.common, request.rule)
            }
        }
        bindings::flow_cls_command_FLOW_CLS_DESTROY => rules.destroy(cookie),
        bindings::flow_cls_command_FLOW_CLS_STATS => {
            let counted = rules.stats(cookie)?;
            counted.statistics.update(&mut request.stats);
            request.use_act_stats = counted.per_action;
            Ok(())
        }
        _ => Err(EOPNOTSUPP),
    }
}

/// # Safety
///
/// What the request points to is valid.
unsafe fn matchall(
    rules: &dyn Rules,
    way: Way,
    request: &mut bindings::tc_cls_matchall_offload,
) -> Result {
    let cookie = Cookie(request.cookie);
    match request.command {
        bindings::tc_matchall_command_TC_CLSMATCHALL_REPLACE => {
            // SAFETY: By the contract; the rule comes from the core.
            unsafe {
                let of = (Classifier::Matchall, cookie, None);
                replace(rules, of, way.played_back, &request.common, request.rule)
            }
        }
        bindings::tc_matchall_command_TC_CLSMATCHALL_DESTROY => rules.destroy(cookie),
        bindings::tc_matchall_command_TC_CLSMATCHALL_STATS => {
            let counted = rules.stats(cookie)?;
            counted.statistics.update(&mut request.stats);
            request.use_act_stats = counted.per_action;
            Ok(())
        }
        _ => Err(EOPNOTSUPP),
    }
}

/// # Safety
///
/// The extack is null or ours while this runs; the rule is null or the core's, which has made its action entries of actions.
unsafe fn replace(
    rules: &dyn Rules,
    (classifier, cookie, position): (Classifier, Cookie, Option<Position<'_>>),
    played_back: bool,
    common: &bindings::flow_cls_common_offload,
    rule: *mut bindings::flow_rule,
) -> Result {
    // SAFETY: By the contract.
    let (rule, extack) = unsafe { (FlowRule::from_raw(rule), Extack::from_raw(common.extack)) };
    let rule = NewRule {
        classifier,
        cookie,
        chain: common.chain_index,
        priority: common.prio,
        protocol: u16::from_be(common.protocol),
        skip_sw: common.skip_sw,
        played_back,
        position,
        rule: rule.ok_or(EINVAL)?,
    };
    rules.replace(&rule, extack)
}
