// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Where a frame goes on that the device does not bring to an end, and which rules must be refused for that.
//!
//! A frame that no rule of a chain takes, one that a rule accepts, one whose outer headers are not known yet: all these go up, and
//! there software tc looks at them. The rule is: **device, then software from where the plan says, must do what software alone
//! would have done**, to the packet, to copies and to counters. The argument is in `Documentation/offload.rst`; in short:
//!
//! - Software can start in chain c with the frame as the device has changed it, where the kernel can be told so
//!   ([`Context::goes_on_in_chain`]). Then all that was done on the way to c counts, and must not be done again: it is not.
//! - Else software starts in chain 0, and does everything again. So nothing may have been done: the frame goes up as it came, and
//!   what has counted it takes that back (REWIND). Copies, samples and a policer's tokens cannot be taken back, so no rule has them
//!   before `goto chain`; nor may that rule be unknown to software (`skip_sw`).
//! - An accepted frame must not meet the rules behind. Software, where it has the rule too, accepts it itself, so the rule in the
//!   device only sends the frame up ([`Course::Upwards`]) and software does the rest. A rule in hardware only is done by the device, and tc
//!   is told to leave the frame alone ([`Software::skips_tc`](super::Software::skips_tc)).
//!
//! At a port's egress none of this is so: the device and software look at different frames there, and what no rule takes leaves.

use oxnic_abi::flow::action::FlowActionKind;
use oxnic_abi::flow::table::TableMiss;

use super::context::{Context, Statistics};
use super::walk::{verdicts, way, Walk, Way};
use crate::reject::{Loss, Obstacle, Reject};
use crate::rule::{Action, Chain, Classifier, Direction, Edit, Header, Rule, Verdict};

/// Who does what a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// The device.
    Device,
    /// The device sends the frame up, and software, which has the rule as well, does it all.
    Upwards,
}

/// What the driver does with a frame that comes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Software goes on in this chain (`tc_skb_ext`).
    Chain(Chain),
    /// Software starts in the first chain, as with any frame.
    Start,
    /// tc does not look at it.
    Past,
}

/// What a chain's table does with a frame that no rule of it takes, and where software goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The table's miss. That of an uplink's first chain can be TABLE instead, to the tables of tunnel devices.
    pub kind: TableMiss,
    /// What the driver does with the frame. For a chain other than the first the table's cookie must lead to it.
    pub exit: Exit,
}

/// What the miss of a chain is.
pub fn miss(context: &Context<'_>, chain: Chain) -> Miss {
    if context.egress || (chain == Chain(0) && context.upper.is_none()) {
        // At egress the frame leaves by the port. In chain 0, no goto leads here but where software goes on in chains; so otherwise nothing has been done that software does again.
        Miss {
            kind: TableMiss::DEFAULT,
            exit: Exit::Start,
        }
    } else if context.goes_on_in_chain() {
        Miss {
            kind: TableMiss::DEFAULT,
            exit: Exit::Chain(chain),
        }
    } else {
        let kind = if rewinds(context) {
            TableMiss::REWIND
        } else {
            TableMiss::DEFAULT
        };
        Miss {
            kind,
            exit: Exit::Start,
        }
    }
}

/// Whether the device can take back what it has done.
pub fn rewinds(context: &Context<'_>) -> bool {
    context.device.misses & (1 << TableMiss::REWIND.0) != 0
        && context.device.actions & FlowActionKind::REWIND.bit() != 0
}

/// Where software goes on with a frame that a rule of this chain has sent up.
pub(super) fn exit_upwards(context: &Context<'_>, chain: Chain) -> Exit {
    miss(context, chain).exit
}

/// What was done to a packet before some point of a rule.
#[derive(Clone, Copy, Default)]
struct Done {
    /// Something that cannot be taken back: copies, samples, tokens.
    lasting: Option<&'static str>,
    /// A change of the packet.
    change: Option<&'static str>,
    /// A note beside the packet that does not get to another table: mark, priority, that the tunnel was forgotten.
    note: Option<&'static str>,
    /// Outer headers that were asked for.
    encap: bool,
    /// The type field was edited. Software goes by the type that the packet came with, all others by what is in the frame.
    retyped: bool,
}

impl Done {
    fn add(&mut self, action: &Action<'_>, context: &Context<'_>) {
        let name = Some(action.name());
        match action {
            Action::Mirror(..) | Action::Sample { .. } | Action::Police(_) => self.lasting = name,
            Action::Mark(_) | Action::Priority(_) => self.note = name,
            Action::TunnelSet(_) => self.encap = true,
            Action::TunnelUnset => {
                self.encap = false;
                // In other tables of a tunnel device the frame would not be known to be that device's.
                if context.tunnel.is_some() {
                    self.note = name;
                }
            }
            Action::VlanPush { .. }
            | Action::VlanPop
            | Action::VlanModify { .. }
            | Action::Checksum(_) => self.change = name,
            Action::Pedit(edits) => {
                self.change = name;
                self.retyped |= edits.iter().any(is_of_type);
            }
            Action::Control(_) | Action::Redirect(..) => {}
        }
    }

    /// Refuses notes that would be lost at a point.
    fn check_notes(&self, at: &'static str) -> Result<(), Reject> {
        let note = if self.encap {
            Some("tunnel_key set")
        } else if self.retyped {
            Some("pedit eth type")
        } else {
            self.note
        };
        match note {
            Some(action) => Err(Reject::Lost(Loss::Note { action, at })),
            None => Ok(()),
        }
    }
}

/// Who does what a rule says, or why it cannot be had.
///
/// # Errors
///
/// [`Reject::Lost`], [`Reject::Tunnel`], [`Reject::Jump`].
pub fn judge(rule: &Rule<'_>, context: &Context<'_>) -> Result<Course, Reject> {
    let walk = Walk::new(rule.actions)?;
    if context.egress {
        check_ways(rule, &walk, context)?;
        return Ok(Course::Device);
    }
    if (walk.accepts || walk.traps) && !context.skip_sw {
        let polices = rule.actions.iter().enumerate();
        let polices = polices
            .filter(|(at, _)| walk.reaches(*at))
            .any(|(_, action)| matches!(action, Action::Police(_)));
        let device = polices && !walk.traps && check_accepted(rule, &walk, context).is_ok();
        if !device {
            return Ok(Course::Upwards);
        }
    } else if walk.accepts || walk.traps {
        check_accepted(rule, &walk, context)?;
    }
    check_ways(rule, &walk, context)?;
    Ok(Course::Device)
}

/// Whether the device can do all that is before some packet of a rule is accepted or trapped.
fn check_accepted(rule: &Rule<'_>, walk: &Walk, context: &Context<'_>) -> Result<(), Reject> {
    let action = if walk.traps { "trap" } else { "ok" };
    if context.tunnel.is_some() {
        return Err(Reject::Tunnel(Obstacle::Upwards { action }));
    }
    if context.upper.is_some() {
        return Err(Reject::Lost(Loss::Upper { what: action }));
    }
    if walk.accepts && walk.traps {
        return Err(Reject::Lost(Loss::Mixed));
    }
    if walk.accepts && !context.software.skips_tc {
        return Err(Reject::Lost(Loss::Accepted));
    }
    let mut done = Done::default();
    for (at, step) in rule.actions.iter().enumerate() {
        if walk.reaches(at) {
            done.add(step, context);
        }
        if matches!(step, Action::Priority(_)) && walk.reaches(at) {
            let (action, at) = (step.name(), action);
            return Err(Reject::Lost(Loss::Note { action, at }));
        }
    }
    // An accepted packet takes its mark along; with a trapped one the driver must know the rule, and so learns no mark.
    if !walk.traps {
        done.note = None;
    }
    done.check_notes(action)
}

/// Whether an edit reaches the type field of the Ethernet header.
fn is_of_type(edit: &Edit) -> bool {
    edit.header == Header::Ethernet && edit.places().any(|place| place.name == "eth type")
}

/// Looks at each point where a packet leaves the rule for other rules.
fn check_ways(rule: &Rule<'_>, walk: &Walk, context: &Context<'_>) -> Result<(), Reject> {
    let mut done = Done::default();
    for (at, action) in rule.actions.iter().enumerate() {
        if !walk.reaches(at) {
            continue;
        }
        if let Action::Redirect(_, Direction::Ingress) | Action::Mirror(_, Direction::Ingress) =
            action
        {
            done.check_notes(action.name())?;
        }
        done.add(action, context);
        for verdict in verdicts(action).into_iter().flatten() {
            match way(verdict, at, rule.actions.len())? {
                Way::Out(Verdict::Goto(chain)) => check_goto(chain, &done, context)?,
                Way::Out(Verdict::Continue) => check_continue(rule, &done, context)?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn check_goto(chain: Chain, done: &Done, context: &Context<'_>) -> Result<(), Reject> {
    done.check_notes("goto chain")?;
    if context.goes_on_in_chain() || context.egress {
        return Ok(());
    }
    let lost = |loss| Err(Reject::Lost(loss));
    let Chain(number) = chain;
    if number == 0 {
        return lost(Loss::Back);
    }
    if context.skip_sw {
        return lost(Loss::Unknown { chain: number });
    }
    if let Some(action) = done.lasting {
        return lost(Loss::Again {
            action,
            chain: number,
        });
    }
    let counted = (context.statistics != Statistics::Off).then_some("hw_stats");
    match done.change.or(counted) {
        Some(what) if !rewinds(context) => lost(Loss::Rewind {
            what,
            chain: number,
        }),
        _ => Ok(()),
    }
}

/// A packet that was policed and let through to the next priority, and that nothing there takes, goes up having been policed. Software
/// must not have the rule then, must find the other rules of the chain as the device found them, and there must be none in the
/// same priority, which software would not pass over: that is so with matchall.
fn check_continue(rule: &Rule<'_>, done: &Done, context: &Context<'_>) -> Result<(), Reject> {
    done.check_notes("continue")?;
    let lost = |loss| Err(Reject::Lost(loss));
    if context.egress {
        return Ok(());
    }
    if !context.skip_sw {
        return lost(Loss::Continue);
    }
    if rule.classifier != Classifier::Matchall {
        return lost(Loss::ContinueFlower);
    }
    if let Some(what) = done.change {
        return lost(Loss::ContinueAfter { what });
    }
    if context.goes_on_in_chain() {
        return Ok(());
    }
    // What is taken back of a packet that goes on to other chains would take back what this rule has counted.
    if rule.chain != Chain(0) {
        lost(Loss::ContinueAfter { what: "goto chain" })
    } else if context.statistics != Statistics::Off {
        lost(Loss::ContinueAfter { what: "hw_stats" })
    } else {
        Ok(())
    }
}
