// SPDX-License-Identifier: GPL-2.0-only

//! What `oxnic_offload` makes of a rule, on a desk: what the device is told, and which objects that needs.

use super::{
    desk::Desk,
    ports::{TUNNELS, UPPERS},
    refusal::Refusal,
    store::Store,
    tunnel::Tunnel,
    upcall,
    wanted::Wanted, //
};
use crate::command::push_bytes;
use kernel::prelude::*;
use oxnic_abi::flow::{
    action::FlowAction,
    capability::FlowCaps,
    table::TableMiss,
    template::FlowCondition, //
};
use oxnic_offload::plan::{
    actions,
    chains,
    conditions,
    ActionSpace,
    ConditionSpace,
    Context,
    Counts,
    Destinations,
    Need,
    Reach,
    Statistics,
    Target,
    UpperDevice, //
};
use oxnic_offload::rule::{Action, Chain, Police, Port, Rule, Verdict};

/// A list of a template.
#[derive(Clone, Copy)]
pub(crate) struct List<'d> {
    /// Entries, and masks of options behind them.
    pub(crate) words: &'d [u64],
    /// How many entries.
    pub(crate) count: usize,
    /// Bytes of masks.
    pub(crate) options: usize,
}

/// What a counter is of: an action, and what of it.
pub(crate) type Counted = (u8, Counts);

/// A rule as the device is to have it.
pub(crate) struct Planned<'d> {
    pub(crate) conditions: List<'d>,
    pub(crate) key: &'d [u8],
    pub(crate) actions: List<'d>,
    /// Zero where objects go.
    pub(crate) arguments: &'d mut [u8],
    /// Where in the arguments the counter goes, if the rule counts.
    pub(crate) counter: Option<usize>,
    /// Where in the arguments counters of actions go, and what each counts.
    pub(crate) counters: KVec<(usize, Counted)>,
    /// Where in the arguments meters go, and of which policers.
    pub(crate) meters: KVec<(usize, Police)>,
    /// Where in the arguments names of copies go, and which samples they are of.
    pub(crate) samplers: KVec<(usize, Action<'static>)>,
    /// The rule is at a port's egress.
    pub(crate) egress: bool,
    /// Number of the VLAN device that the rule is of; 0: of none.
    pub(crate) above: u32,
    /// What goes along with frames that the rule sends up.
    pub(crate) cookie: u32,
    /// Where in the arguments ports and headers go, and which headers.
    pub(crate) encaps: KVec<(usize, Wanted)>,
    /// The rule does nothing but send up what it takes: software does the rest.
    pub(crate) upwards: bool,
}

/// The tables of chains of a block, and devices that the rule names.
pub(crate) struct Tables<'a> {
    pub(crate) store: &'a Store,
    pub(crate) tunnels: &'a [Tunnel],
    pub(crate) uppers: &'a [UpperDevice],
}

impl Destinations for Tables<'_> {
    fn target(&self, port: Port) -> Option<Target> {
        if let Some(number) = port.0.checked_sub(TUNNELS) {
            let tunnel = self.tunnels.get(number as usize)?;
            return Some(Target::Tunnel(tunnel.device));
        }
        if let Some(number) = port.0.checked_sub(UPPERS) {
            return self.uppers.get(number as usize).copied().map(Target::Upper);
        }
        port.0.try_into().ok().map(Target::Port)
    }

    fn table(&self, chain: Chain) -> Option<u32> {
        self.store.inner.lock().table(chain.0)
    }
}

/// What rules are planned with.
pub(crate) fn context<'a>(
    caps: &'a FlowCaps,
    store: &Store,
    skip_sw: bool,
    statistics: Statistics,
) -> Context<'a> {
    Context {
        device: caps,
        software: upcall::SOFTWARE,
        tunnel: store.tunnel.as_ref().map(|tunnel| tunnel.device),
        upper: store.upper.as_ref().map(|upper| upper.device),
        egress: store.block.is_egress(),
        skip_sw,
        statistics,
    }
}

/// What becomes of a frame that no rule of a chain takes, and the cookie that goes along.
pub(crate) fn miss(caps: &FlowCaps, store: &Store, chain: Chain) -> (TableMiss, u32) {
    let context = Context {
        device: caps,
        software: upcall::SOFTWARE,
        tunnel: store.tunnel.as_ref().map(|tunnel| tunnel.device),
        upper: store.upper.as_ref().map(|upper| upper.device),
        egress: store.block.is_egress(),
        skip_sw: false,
        statistics: Statistics::Off,
    };
    let miss = chains::miss(&context, chain);
    (miss.kind, upcall::cookie(miss.exit))
}

/// The chains that a rule names, its own first.
pub(crate) fn named_chains<'a>(rule: &'a Rule<'_>) -> impl Iterator<Item = Chain> + 'a {
    let target = |verdict: Verdict| match verdict {
        Verdict::Goto(chain) => Some(chain),
        _ => None,
    };
    let of_action = move |action: &Action<'_>| match action {
        Action::Control(verdict) => [target(*verdict), None],
        Action::Police(police) => [target(police.conform), target(police.exceed)],
        _ => [None, None],
    };
    let others = rule.actions.iter().flat_map(of_action).flatten();
    Iterator::chain(core::iter::once(rule.chain), others)
}

/// Plans a rule, to be done by the device.
pub(crate) fn whole<'d>(
    rule: &Rule<'_>,
    context: &Context<'_>,
    tables: &Tables<'_>,
    desk: &'d mut Desk,
) -> Result<Planned<'d>, Refusal> {
    plan(rule, context, tables, Reach::Exact, desk, |space| {
        actions::lower(rule, context, tables, space)
    })
}

/// Plans what stands in for a rule that only software does: it sends up what the rule may take.
pub(crate) fn stand_in<'d>(
    rule: &Rule<'_>,
    context: &Context<'_>,
    tables: &Tables<'_>,
    desk: &'d mut Desk,
) -> Result<Planned<'d>, Refusal> {
    plan(rule, context, tables, Reach::AtLeast, desk, |space| {
        actions::send_up(rule.chain, context, space)
    })
}

/// The list by which a rule sends up what it takes, of one action without arguments, and the cookie that goes along.
pub(crate) fn upwards(chain: Chain, context: &Context<'_>) -> Result<(KVec<u64>, u32), Refusal> {
    let space = ActionSpace {
        list: &mut [FlowAction::ZERO],
        arguments: &mut [],
        needs: &mut [],
    };
    let done = actions::send_up(chain, context, space)?;
    let mut words = KVec::new();
    list(&mut words, done.list.iter().map(FlowAction::to_words), &[])?;
    Ok((words, upcall::cookie(done.exit)))
}

fn plan<'r, 'd>(
    rule: &Rule<'r>,
    context: &Context<'_>,
    tables: &Tables<'_>,
    reach: Reach,
    desk: &'d mut Desk,
    lower: impl for<'s> FnOnce(
        ActionSpace<'s, 'r>,
    ) -> Result<actions::Actions<'s, 'r>, oxnic_offload::reject::Reject>,
) -> Result<Planned<'d>, Refusal> {
    let space = ConditionSpace {
        conditions: &mut desk.conditions,
        masks: &mut desk.masks,
        key: &mut desk.key,
    };
    let matched = conditions::pack(rule, context, tables, reach, space)?;
    let conditions = matched.conditions.iter().map(FlowCondition::to_words);
    let (match_count, options) = (matched.conditions.len(), matched.masks.len());
    list(&mut desk.match_list, conditions, matched.masks)?;
    let key_length = matched.key.len();
    // An object and two counters for each action, and a counter for the rule.
    let most = 3 * rule.actions.len() + 1;
    let mut needs = KVec::from_elem(Need::BLANK, most, GFP_KERNEL)?;
    let done = lower(ActionSpace {
        list: &mut desk.actions,
        arguments: &mut desk.arguments,
        needs: &mut needs,
    })?;
    let Needs {
        counter,
        counters,
        meters,
        samplers,
        encaps,
    } = wanted(done.needs)?;
    // Listeners would not be told of the tunnel's headers, where software does.
    if context.tunnel.is_some() && !samplers.is_empty() {
        return Err(Refusal::Feature {
            action: "sample",
            feature: "a rule of a tunnel device",
        });
    }
    let upper = tables.store.upper.as_ref();
    let cookie = upcall::cookie(done.exit);
    let action_count = done.list.len();
    list(
        &mut desk.action_list,
        done.list.iter().map(FlowAction::to_words),
        &[],
    )?;
    let upwards = done.course == oxnic_offload::plan::Course::Upwards;
    let arguments_length = done.arguments.len();
    Ok(Planned {
        conditions: List {
            words: &desk.match_list,
            count: match_count,
            options,
        },
        key: &desk.key[..key_length],
        actions: List {
            words: &desk.action_list,
            count: action_count,
            options: 0,
        },
        arguments: &mut desk.arguments[..arguments_length],
        counter,
        counters,
        meters,
        samplers,
        egress: context.egress,
        above: upper.map_or(0, |upper| upper.netdev.index()),
        cookie,
        encaps,
        upwards,
    })
}

/// Where in the arguments objects go.
#[derive(Default)]
struct Needs {
    counter: Option<usize>,
    counters: KVec<(usize, Counted)>,
    meters: KVec<(usize, Police)>,
    samplers: KVec<(usize, Action<'static>)>,
    encaps: KVec<(usize, Wanted)>,
}

/// Where objects go.
fn wanted(needs: &[Need<'_>]) -> Result<Needs, Refusal> {
    let mut wanted = Needs::default();
    for need in needs {
        let at = usize::from(need.at());
        match need {
            Need::Counter { .. } if wanted.counter.is_none() => wanted.counter = Some(at),
            Need::Counter { action, counts, .. } => {
                let counted = (*action, *counts);
                wanted.counters.push((at, counted), GFP_KERNEL)?;
            }
            Need::Meter { police, .. } => wanted.meters.push((at, *police), GFP_KERNEL)?,
            Need::Encap { encap, device, .. } => {
                let headers = Wanted::new(encap, device.number)?;
                wanted.encaps.push((at, headers), GFP_KERNEL)?;
            }
            Need::Sampler {
                group,
                rate,
                truncate,
                ..
            } => {
                let sample = Action::Sample {
                    group: *group,
                    rate: *rate,
                    truncate: *truncate,
                };
                wanted.samplers.push((at, sample), GFP_KERNEL)?;
            }
        }
    }
    Ok(wanted)
}

/// Writes entries of a list as words, and bytes behind them with zeros up to a whole one.
fn list<const N: usize>(
    to: &mut KVec<u64>,
    entries: impl Iterator<Item = [u64; N]>,
    options: &[u8],
) -> Result<(), Refusal> {
    to.clear();
    for entry in entries {
        to.extend_from_slice(&entry, GFP_KERNEL)?;
    }
    Ok(push_bytes(to, options)?)
}
