// SPDX-License-Identifier: GPL-2.0-only

//! From the kernel's structures to a rule of `oxnic_offload`.
//!
//! Nothing is left out: what a rule of `oxnic_offload` cannot say is refused here, by name. What is memory of the kernel's in a rule
//! (tunnel options) stays so, which is why a rule is only lent to the caller's function.

mod action;
mod encap;
mod key;

pub(crate) use action::Origin;

use super::{kept::Kept, ports::Own, refusal::Refusal};
use crate::device::Device;
use action::Reader;
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::net::{
    flow::{classifier::Classifier as Kind, Actions, HwStats, Listeners, NewRule},
    netdev::Device as NetDevice, //
};
use oxnic_offload::rule::{check, Action, Chain, Classifier, Cookie, Key, Police, Port, Rule};

/// Which ports interfaces are.
pub(crate) trait Ports {
    /// The port of an interface that a rule sends packets to.
    fn port(&self, netdev: &NetDevice) -> Option<Port>;
    /// The port of an interface that a rule has by its number.
    fn port_by_index(&self, index: u32) -> Option<Port>;
}

/// Reads a rule, sees to it that it can be meant, and hands it to `then`, together with where each of its actions comes from.
///
/// # Errors
///
/// The reason why it cannot be, or the one that `then` gives.
pub(crate) fn with_rule<R>(
    new: &NewRule<'_>,
    ports: &dyn Ports,
    then: impl FnOnce(&Rule<'_>, &[Origin<'_>]) -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    let key = key::read(new.rule.keys(), ports)?;
    let edits = action::edits(new.rule.actions())?;
    let of_tc = new.classifier != Kind::Nftables;
    let mut reader = Reader::new(&edits, ports, of_tc);
    reader.read(new.rule.actions())?;
    let rule = Rule {
        key,
        actions: reader.actions(),
        ..anything(new)
    };
    // What nftables means is not what tc's front end lets through; its parts are.
    if of_tc {
        check(&rule)?;
    }
    then(&rule, reader.origins())
}

/// An action by itself.
pub(crate) struct Alone<'a> {
    /// What it does, if it is a policer.
    pub(crate) police: Option<Police>,
    /// How it is to be counted.
    pub(crate) hw_stats: HwStats,
    /// Who gets copies that it makes.
    pub(crate) listeners: Option<Listeners<'a>>,
    /// What it does; none where that cannot be kept.
    pub(crate) kept: Option<Kept>,
}

/// Reads an action by itself, and hands it to `then`.
///
/// # Errors
///
/// The reason why it cannot be, or the one that `then` gives.
pub(crate) fn with_alone<R>(
    actions: Actions<'_>,
    device: &Arc<Device>,
    then: impl FnOnce(&mut Alone<'_>) -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    let edits = action::edits(actions)?;
    let own = Own::new(device);
    let mut reader = Reader::new(&edits, &own, true);
    reader.read(actions)?;
    let police = match reader.actions() {
        [Action::Police(police)] => Some(*police),
        _ => None,
    };
    let origin = reader.origins().first().ok_or(Refusal::Feature {
        action: "pedit",
        feature: "no edit at all",
    })?;
    let kept = Kept::new(reader.actions(), reader.origins(), &own.uppers())?;
    then(&mut Alone {
        police,
        hw_stats: origin.hw_stats,
        listeners: origin.listeners,
        kept,
    })
}

/// The rule without its actions, for one of which these cannot be read. None where its key cannot be either.
pub(crate) fn without_actions<'a>(new: &'a NewRule<'_>, ports: &dyn Ports) -> Option<Rule<'a>> {
    let rule = Rule {
        key: key::read(new.rule.keys(), ports).ok()?,
        ..anything(new)
    };
    check(&rule).ok().map(|()| rule)
}

/// The rule as if it took any packet of its protocol, and did nothing.
pub(crate) fn anything<'a>(new: &NewRule<'_>) -> Rule<'a> {
    Rule {
        cookie: Cookie(new.cookie.0 as u64),
        classifier: match new.classifier {
            Kind::Flower => Classifier::Flower,
            Kind::Matchall => Classifier::Matchall,
            Kind::Nftables => Classifier::Nftables,
        },
        chain: Chain(new.chain),
        priority: new.priority,
        protocol: new.protocol,
        key: Key::default(),
        actions: &[],
    }
}
