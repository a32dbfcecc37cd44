// SPDX-License-Identifier: GPL-2.0-only

//! What `oxnic_offload` makes of a rule, copied out of its slices: what the device is told, and which objects that needs.

use super::{
    read::Origin,
    refusal::Refusal,
    request::words, //
};
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
    Destinations,
    Need,
    Reach,
    Software,
    Statistics,
    Target, //
};
use oxnic_offload::rule::{Action, Chain, Police, Port, Rule, Verdict};

/// A list of a template.
pub(crate) struct List {
    /// Entries, and masks of options behind them.
    pub(crate) words: KVec<u64>,
    /// How many entries.
    pub(crate) count: usize,
    /// Bytes of masks.
    pub(crate) options: usize,
}

/// A rule as the device is to have it.
pub(crate) struct Planned {
    pub(crate) conditions: List,
    pub(crate) key: KVec<u8>,
    pub(crate) actions: List,
    /// Zero where the counter goes.
    pub(crate) arguments: KVec<u8>,
    /// Where in the arguments the counter goes, if the rule counts.
    pub(crate) counter: Option<usize>,
    /// Where in the arguments meters go, and of which policers.
    pub(crate) meters: KVec<(usize, Police)>,
    /// The rule does nothing but send up what it takes: software does the rest.
    pub(crate) upwards: bool,
}

/// The tables of chains of a block.
pub(crate) struct Tables<'a>(pub(crate) &'a [(u32, u32)]);

impl Destinations for Tables<'_> {
    fn target(&self, port: Port) -> Option<Target> {
        port.0.try_into().ok().map(Target::Port)
    }

    fn table(&self, chain: Chain) -> Option<u32> {
        self.0
            .iter()
            .find(|(of, _)| *of == chain.0)
            .map(|(_, table)| *table)
    }
}

/// What rules are planned with.
pub(crate) fn context<'a>(
    caps: &'a FlowCaps,
    egress: bool,
    skip_sw: bool,
    origins: &[Origin],
) -> Result<Context<'a>, Refusal> {
    Ok(Context {
        device: caps,
        // Frames that come up are not told apart yet.
        software: Software::default(),
        tunnel: None,
        egress,
        skip_sw,
        statistics: statistics(origins)?,
    })
}

/// What becomes of a frame that no rule of a chain takes.
pub(crate) fn miss(caps: &FlowCaps, egress: bool, chain: Chain) -> TableMiss {
    let context = Context {
        device: caps,
        software: Software::default(),
        tunnel: None,
        egress,
        skip_sw: false,
        statistics: Statistics::Off,
    };
    chains::miss(&context, chain).kind
}

/// What is counted: nothing where no action is to be.
fn statistics(origins: &[Origin]) -> Result<Statistics, Refusal> {
    let mut counts = false;
    for origin in origins {
        let asked = origin.hw_stats;
        counts |= asked.allows_delayed();
        if !asked.allows_delayed() && !asked.allows_none() {
            return Err(Refusal::Feature {
                action: "hw_stats",
                feature: "immediate",
            });
        }
    }
    Ok(if counts {
        Statistics::Rule
    } else {
        Statistics::Off
    })
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
pub(crate) fn whole(
    rule: &Rule<'_>,
    context: &Context<'_>,
    tables: &Tables<'_>,
) -> Result<Planned, Refusal> {
    plan(rule, context, tables, Reach::Exact, |space| {
        actions::lower(rule, context, tables, space)
    })
}

/// Plans what stands in for a rule that only software does: it sends up what the rule may take.
pub(crate) fn stand_in(
    rule: &Rule<'_>,
    context: &Context<'_>,
    tables: &Tables<'_>,
) -> Result<Planned, Refusal> {
    plan(rule, context, tables, Reach::AtLeast, |space| {
        actions::send_up(rule.chain, context, space)
    })
}

fn plan<'r>(
    rule: &Rule<'r>,
    context: &Context<'_>,
    tables: &Tables<'_>,
    reach: Reach,
    lower: impl for<'s> FnOnce(
        ActionSpace<'s, 'r>,
    ) -> Result<actions::Actions<'s, 'r>, oxnic_offload::reject::Reject>,
) -> Result<Planned, Refusal> {
    let caps = context.device;
    let mut room = KVec::from_elem(FlowCondition::ZERO, caps.conditions_max.into(), GFP_KERNEL)?;
    let mut masks = KVec::from_elem(0, caps.options_max.into(), GFP_KERNEL)?;
    let mut key = KVec::from_elem(0, caps.key_max.into(), GFP_KERNEL)?;
    let space = ConditionSpace {
        conditions: &mut room,
        masks: &mut masks,
        key: &mut key,
    };
    let matched = conditions::pack(rule, context, tables, reach, space)?;
    let mut list = KVec::from_elem(FlowAction::ZERO, caps.actions_max.into(), GFP_KERNEL)?;
    let mut arguments = KVec::from_elem(0, caps.arguments_max.into(), GFP_KERNEL)?;
    let nothing = Need::Counter { at: 0, action: 0 };
    let mut needs = KVec::from_elem(nothing, caps.actions_max.into(), GFP_KERNEL)?;
    let done = lower(ActionSpace {
        list: &mut list,
        arguments: &mut arguments,
        needs: &mut needs,
    })?;
    let (counter, meters) = objects(done.needs)?;
    Ok(Planned {
        conditions: list_of(
            matched.conditions.iter().map(FlowCondition::to_words),
            matched.masks,
        )?,
        key: copy(matched.key)?,
        actions: list_of(done.list.iter().map(FlowAction::to_words), &[])?,
        arguments: copy(done.arguments)?,
        counter,
        meters,
        upwards: done.course == oxnic_offload::plan::Course::Upwards,
    })
}

/// Where the objects go that the driver can provide: a counter, and meters.
#[allow(clippy::type_complexity)] // A pair of what the plan has besides.
fn objects(needs: &[Need<'_>]) -> Result<(Option<usize>, KVec<(usize, Police)>), Refusal> {
    let no = |action| Refusal::Feature {
        action,
        feature: "a part that this driver does not have yet",
    };
    let mut counter = None;
    let mut meters = KVec::new();
    for need in needs {
        match need {
            Need::Counter { at, .. } if counter.is_none() => counter = Some(usize::from(*at)),
            Need::Counter { .. } => return Err(no("statistics of single actions")),
            Need::Meter { at, police } => meters.push((usize::from(*at), *police), GFP_KERNEL)?,
            Need::Encap { .. } => return Err(no("tunnel_key set")),
            Need::Sampler { .. } => return Err(no("sample")),
        }
    }
    Ok((counter, meters))
}

fn copy(bytes: &[u8]) -> Result<KVec<u8>, Refusal> {
    let mut copy = KVec::new();
    copy.extend_from_slice(bytes, GFP_KERNEL)?;
    Ok(copy)
}

fn list_of<const N: usize>(
    entries: impl Iterator<Item = [u64; N]>,
    options: &[u8],
) -> Result<List, Refusal> {
    let mut list = KVec::new();
    let mut count = 0;
    for entry in entries {
        list.extend_from_slice(&entry, GFP_KERNEL)?;
        count += 1;
    }
    list.extend_from_slice(&words(options)?, GFP_KERNEL)?;
    Ok(List {
        words: list,
        count,
        options: options.len(),
    })
}
