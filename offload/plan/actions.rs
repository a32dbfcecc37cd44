// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A rule's actions into the device's list, with the values beside it as the rule's arguments.
//!
//! Each action of tc becomes none, one or several of the device's. Counting is an action of its own in front: one for the whole rule, or
//! ([`Statistics::Actions`]) one wherever fewer packets may go on than before, or others join, and one of what each policer drops. Actions
//! that no packet reaches are left out. A list that lets packets go through ends with ACCEPT.
//!
//! A rule of a tunnel device takes the frame out of its tunnel first, unless all it does is to drop it.

use oxnic_abi::flow::action::{
    action_flags, decap_flags, flow_checksum, FlowAction, FlowActionKind, FlowNote, FlowVerdict,
    NO_ENCAP,
};
use oxnic_abi::flow::port::FlowDirection;

use super::chains::{self, Course, Exit};
use super::context::{Context, Destinations, Statistics, Target};
use super::list::List;
use super::needs::{Counts, Need};
use super::tunnels;
use super::walk::Walk;
use crate::packet::vlan::{PRIORITY_MASK, PRIORITY_SHIFT};
use crate::reject::{Lack, Loss, Obstacle, Reject};
use crate::rule::{Action, Chain, Direction, Encap, Port, Rule, Verdict};

/// The bit of a tag that tc never changes: drop eligibility.
const DEI: u16 = 1 << 12;

/// Where lists, arguments and needs are written.
#[derive(Debug)]
pub struct ActionSpace<'s, 'r> {
    /// Entries of the list: as many as the device takes ([`oxnic_abi::flow::capability::FlowCaps::actions_max`]).
    pub list: &'s mut [FlowAction],
    /// Bytes of arguments: as many as the device takes.
    pub arguments: &'s mut [u8],
    /// Needs: as many as entries are enough.
    pub needs: &'s mut [Need<'r>],
}

/// A rule's actions, as the device has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions<'s, 'r> {
    /// The list of the action template.
    pub list: &'s [FlowAction],
    /// The rule's arguments, with zeros where objects that are needed go.
    pub arguments: &'s [u8],
    /// What the arguments need.
    pub needs: &'s [Need<'r>],
    /// Who does what the rule says.
    pub course: Course,
    /// What the driver does with a frame that comes up with the rule's cookie. One that comes up with a mark was accepted by a rule of
    /// [`Exit::Past`].
    pub exit: Exit,
}

/// Makes the device's list of a rule's actions.
///
/// # Errors
///
/// The first reason that was found: where packets would go wrong before what the device lacks.
pub fn lower<'s, 'r>(
    rule: &Rule<'r>,
    context: &Context<'_>,
    destinations: &impl Destinations,
    space: ActionSpace<'s, 'r>,
) -> Result<Actions<'s, 'r>, Reject> {
    let course = chains::judge(rule, context)?;
    match course {
        Course::Upwards => send_up(rule.chain, context, space),
        Course::Device => {
            let mut lowering = Lowering::new(rule, context, destinations, space)?;
            lowering.all(rule)?;
            Ok(lowering.finish(course, Exit::Past))
        }
    }
}

/// The actions of a rule that sends up what it takes: one that software does, or that stands in for a rule that was refused, so that
/// rules behind do not take its packets.
///
/// # Errors
///
/// [`Lack::Action`], [`Lack::Actions`]; [`Loss::Egress`], where nothing can stand in.
pub fn send_up<'s, 'r>(
    chain: Chain,
    context: &Context<'_>,
    space: ActionSpace<'s, 'r>,
) -> Result<Actions<'s, 'r>, Reject> {
    if context.egress {
        return Err(Reject::Lost(Loss::Egress { what: "software" }));
    }
    let changed = chain != Chain(0) || context.upper.is_some();
    let back = changed && !context.goes_on_in_chain() && chains::rewinds(context);
    let kind = if back {
        FlowActionKind::REWIND
    } else {
        FlowActionKind::ACCEPT
    };
    let mut list = List::new(space.list, usize::from(context.device.actions_max));
    let action = "ok";
    if context.device.actions & kind.bit() == 0 {
        return Err(Reject::Lacks(Lack::Action { action, kind }));
    }
    let limit = list.limit();
    if !list.push(FlowAction {
        kind,
        ..FlowAction::ZERO
    }) {
        return Err(Reject::Lacks(Lack::Actions { action, limit }));
    }
    Ok(Actions {
        list: list.finish(),
        arguments: &[],
        needs: &[],
        course: Course::Upwards,
        exit: chains::exit_upwards(context, chain),
    })
}

/// The list while it grows.
pub(super) struct Lowering<'p, 's, 'r, D> {
    pub(super) context: &'p Context<'p>,
    destinations: &'p D,
    list: List<'s, FlowAction>,
    arguments: List<'s, u8>,
    needs: List<'s, Need<'r>>,
    walk: Walk,
    /// Where each action of tc starts in the list.
    starts: [u16; crate::rule::check::ACTIONS_MAX],
    /// The headers that were asked for last.
    encap: Option<Encap<'r>>,
    copies: u16,
    /// Whether the next action gets packets that the counter before has not counted alone.
    fresh: bool,
    /// What stands in the cookie of frames that are accepted.
    note: FlowNote,
    /// tc's name of the action that is being lowered.
    pub(super) action: &'static str,
}

impl<'p, 's, 'r, D: Destinations> Lowering<'p, 's, 'r, D> {
    fn new(
        rule: &Rule<'r>,
        context: &'p Context<'p>,
        destinations: &'p D,
        space: ActionSpace<'s, 'r>,
    ) -> Result<Self, Reject> {
        let walk = Walk::new(rule.actions)?;
        let mut actions = rule.actions.iter().enumerate();
        let marks =
            actions.any(|(at, action)| walk.reaches(at) && matches!(action, Action::Mark(_)));
        Ok(Self {
            context,
            destinations,
            list: List::new(space.list, usize::from(context.device.actions_max)),
            arguments: List::new(space.arguments, usize::from(context.device.arguments_max)),
            needs: List::new(space.needs, usize::MAX),
            walk,
            starts: [0; crate::rule::check::ACTIONS_MAX],
            encap: None,
            copies: 0,
            fresh: true,
            note: if marks {
                FlowNote::MARK
            } else {
                FlowNote::COOKIE
            },
            action: "ok",
        })
    }

    fn all(&mut self, rule: &Rule<'r>) -> Result<(), Reject> {
        let opens = self.context.tunnel.is_some() && opens(rule, &self.walk);
        if opens {
            self.count(0)?;
            self.open(decap_flags::ECN)?;
        }
        for (at, action) in rule.actions.iter().enumerate() {
            if !self.walk.reaches(at) {
                continue;
            }
            self.action = action.name();
            if let Some(start) = self.starts.get_mut(at) {
                *start = self.list.len() as u16;
            }
            if !(opens && at == 0) {
                self.count(at)?;
            }
            self.one(at, action, rule.actions.len())?;
        }
        self.action = "ok";
        self.resolve_skips();
        // A meter's skip to the end lands on this entry where the mark must go along.
        if self.walk.accepts && (!self.ends() || self.marks()) {
            self.accept()?;
        }
        self.count_drops(rule)
    }

    /// Has policers count what they drop, where actions are counted: instead of that verdict is a skip to two entries behind all others, one
    /// that counts and one that drops. Where the device has no room for these, or has not what they take, the verdict stays, and is not
    /// counted.
    fn count_drops(&mut self, rule: &Rule<'r>) -> Result<(), Reject> {
        let device = self.context.device;
        let able = device.counters > 0
            && device.actions & FlowActionKind::DROP.bit() != 0
            && device.verdicts & (1 << FlowVerdict::SKIP.0) != 0;
        if !able || self.context.statistics != Statistics::Actions {
            return Ok(());
        }
        for (at, action) in rule.actions.iter().enumerate() {
            let Action::Police(police) = action else {
                continue;
            };
            let dropped = super::meters::drops(police);
            let room =
                self.list.has_room(2) && self.arguments.has_room(4) && self.needs.has_room(1);
            if !room || dropped == [false; 2] || !self.walk.reaches(at) {
                continue;
            }
            self.action = action.name();
            let entries = self.list.items().iter().skip(self.start(at));
            let meter = entries.take_while(|entry| entry.kind != FlowActionKind::METER);
            let meter = self.start(at) + meter.count();
            let skipped = self.list.len().saturating_sub(meter + 1) as u32;
            if let Some(entry) = self.list.item_mut(meter) {
                super::meters::divert(entry, dropped, skipped);
            }
            let at_argument = self.plain(FlowActionKind::COUNT, &[0])?;
            self.need(Need::Counter {
                at: at_argument,
                action: at as u8,
                counts: Counts::Dropped,
            })?;
            self.plain(FlowActionKind::DROP, &[])?;
        }
        Ok(())
    }

    fn finish(self, course: Course, past: Exit) -> Actions<'s, 'r> {
        let exit = if self.walk.accepts { past } else { Exit::Start };
        Actions {
            list: self.list.finish(),
            arguments: self.arguments.finish(),
            needs: self.needs.finish(),
            course,
            exit,
        }
    }

    /// Whether nothing gets past the last entry.
    fn ends(&self) -> bool {
        self.list
            .items()
            .last()
            .is_some_and(|last| last.kind.is_last())
    }

    /// Adds an entry whose first operand, or whichever the kind says, comes from the rule: `words` go to its arguments. Says where.
    pub(super) fn add(&mut self, entry: FlowAction, words: &[u32]) -> Result<u16, Reject> {
        let (action, kind) = (self.action, entry.kind);
        if self.context.device.actions & kind.bit() == 0 {
            return Err(Reject::Lacks(Lack::Action { action, kind }));
        }
        let argument = self.arguments.len() as u16;
        for word in words {
            if !self.arguments.extend(&word.to_le_bytes()) {
                let limit = self.arguments.limit();
                return Err(Reject::Lacks(Lack::Arguments { action, limit }));
            }
        }
        let mut entry = entry;
        if !words.is_empty() {
            entry.flags |= action_flags::ARGUMENT;
            entry.argument = argument;
        }
        if self.list.push(entry) {
            Ok(argument)
        } else {
            let limit = self.list.limit();
            Err(Reject::Lacks(Lack::Actions { action, limit }))
        }
    }

    /// Where an action of tc starts.
    fn start(&self, at: usize) -> usize {
        self.starts.get(at).copied().map_or(0, usize::from)
    }

    pub(super) fn need(&mut self, need: Need<'r>) -> Result<(), Reject> {
        let limit = self.needs.limit();
        if self.needs.push(need) {
            Ok(())
        } else {
            let action = self.action;
            Err(Reject::Lacks(Lack::Actions { action, limit }))
        }
    }

    /// The table of a chain.
    pub(super) fn table(&self, chain: Chain) -> Result<u32, Reject> {
        self.destinations
            .table(chain)
            .ok_or(Reject::NoTable { chain: chain.0 })
    }

    /// Puts a counter in front of an action that needs one.
    fn count(&mut self, at: usize) -> Result<(), Reject> {
        let wanted = match self.context.statistics {
            Statistics::Off => false,
            Statistics::Rule => self.list.is_empty(),
            Statistics::Actions => self.fresh || self.walk.lands(at),
        };
        self.fresh = false;
        if !wanted {
            return Ok(());
        }
        if self.context.device.counters == 0 {
            return Err(Reject::Lacks(Lack::Counters));
        }
        let place = self.plain(FlowActionKind::COUNT, &[0])?;
        self.need(Need::Counter {
            at: place,
            action: at as u8,
            counts: Counts::Taken,
        })
    }

    /// Adds an entry of a kind and nothing else.
    fn plain(&mut self, kind: FlowActionKind, words: &[u32]) -> Result<u16, Reject> {
        self.add(
            FlowAction {
                kind,
                ..FlowAction::ZERO
            },
            words,
        )
    }

    fn accept(&mut self) -> Result<(), Reject> {
        let entry = FlowAction {
            kind: FlowActionKind::ACCEPT,
            choice: [self.note.0, 0],
            ..FlowAction::ZERO
        };
        self.add(entry, &[]).map(|_| ())
    }

    /// Takes the frame out of its tunnel.
    fn open(&mut self, flags: u32) -> Result<(), Reject> {
        for (flag, name) in [
            (decap_flags::ECN, "join congestion marks"),
            (
                decap_flags::FORGET,
                "forget outer headers (tunnel_key unset)",
            ),
        ] {
            if flags & flag != 0 && u32::from(self.context.device.decap_flags) & flag == 0 {
                return Err(Reject::Lacks(Lack::DecapFlag { name }));
            }
        }
        let operands = [flags, 0, 0, 0];
        let entry = FlowAction {
            kind: FlowActionKind::DECAP,
            operands,
            ..FlowAction::ZERO
        };
        self.add(entry, &[]).map(|_| ())
    }

    fn one(&mut self, at: usize, action: &Action<'r>, actions: usize) -> Result<(), Reject> {
        match action {
            Action::Control(verdict) => self.control(*verdict),
            Action::Redirect(port, direction) => {
                self.send(FlowActionKind::REDIRECT, *port, *direction)
            }
            Action::Mirror(port, direction) => {
                self.copy()?;
                self.send(FlowActionKind::MIRROR, *port, *direction)
            }
            Action::VlanPush { tpid, id, priority } => self.push(*tpid, *id, *priority),
            Action::VlanPop => self.change(FlowActionKind::VLAN_POP),
            Action::VlanModify { tpid, id, priority } => self.modify(*tpid, *id, *priority),
            Action::Pedit(edits) => self.edits(edits),
            Action::Checksum(what) => self.checksums(*what),
            Action::Mark(mark) => self.plain(FlowActionKind::MARK, &[*mark]).map(|_| ()),
            Action::Priority(priority) => self
                .plain(FlowActionKind::PRIORITY, &[*priority])
                .map(|_| ()),
            Action::Sample {
                group,
                rate,
                truncate,
            } => self.sample(*group, *rate, *truncate),
            Action::Police(police) => {
                self.fresh = true;
                self.police(police, at, actions)
            }
            Action::TunnelSet(encap) => {
                self.encap = Some(*encap);
                Ok(())
            }
            Action::TunnelUnset => {
                self.encap = None;
                match self.context.tunnel {
                    Some(_) => self.open(decap_flags::FORGET),
                    None => Ok(()),
                }
            }
        }
    }

    fn control(&mut self, verdict: Verdict) -> Result<(), Reject> {
        match verdict {
            Verdict::Drop => self.plain(FlowActionKind::DROP, &[]).map(|_| ()),
            Verdict::Trap => self.plain(FlowActionKind::TRAP, &[]).map(|_| ()),
            Verdict::Goto(chain) => {
                let table = self.table(chain)?;
                self.plain(FlowActionKind::GOTO, &[table]).map(|_| ())
            }
            Verdict::Accept => self.accept(),
            _ => Err(Reject::Control {
                action: self.action,
            }),
        }
    }

    fn copy(&mut self) -> Result<(), Reject> {
        let limit = self.context.device.copies_max;
        if self.copies >= limit {
            return Err(Reject::Lacks(Lack::Copies { limit }));
        }
        self.copies += 1;
        Ok(())
    }

    fn send(
        &mut self,
        kind: FlowActionKind,
        port: Port,
        direction: Direction,
    ) -> Result<(), Reject> {
        let action = self.action;
        let into = match direction {
            Direction::Egress => FlowDirection::EGRESS,
            Direction::Ingress => FlowDirection::INGRESS,
        };
        let target = self.destinations.target(port);
        let target = target.ok_or(Reject::NoPort { what: action })?;
        if self.context.tunnel.is_some() && direction == Direction::Ingress {
            return Err(Reject::Tunnel(Obstacle::Ingress { action }));
        }
        let entry = FlowAction {
            kind,
            choice: [into.0, 0],
            ..FlowAction::ZERO
        };
        match target {
            Target::Port(port) if direction == Direction::Ingress && self.is_below(port) => {
                Err(Reject::Lost(Loss::Below { action }))
            }
            Target::Port(port) => self.add(entry, &[u32::from(port), NO_ENCAP]).map(|_| ()),
            Target::Upper(_) if direction == Direction::Ingress => {
                Err(Reject::Lost(Loss::UpperIngress { action }))
            }
            Target::Upper(upper) => self.send_to_upper(entry, &upper),
            Target::Tunnel(_) if direction == Direction::Ingress => {
                Err(Reject::Tunnel(Obstacle::EncapIngress { action }))
            }
            Target::Tunnel(_) if self.context.egress => Err(Reject::Lost(Loss::Egress {
                what: "tunnel_key set",
            })),
            Target::Tunnel(device) => {
                let encap = self
                    .encap
                    .ok_or(Reject::Tunnel(Obstacle::NoEncap { action }))?;
                tunnels::check_encap(&encap, &device, self.context.device)?;
                let at = self.add(entry, &[0, 0])?;
                self.need(Need::Encap { at, encap, device })
            }
        }
    }

    /// Whether the rule is of a VLAN device above a port. Its tables are looked at as the port's own, into which the device puts no frame
    /// that is in them already; in software the two are not the same.
    fn is_below(&self, port: u16) -> bool {
        self.context.upper.is_some_and(|upper| upper.port == port)
    }

    /// An action that can drop: what is behind it may be counted anew.
    fn change(&mut self, kind: FlowActionKind) -> Result<(), Reject> {
        self.fresh = true;
        self.plain(kind, &[]).map(|_| ())
    }

    fn push(&mut self, tpid: u16, id: u16, priority: u8) -> Result<(), Reject> {
        self.fresh = true;
        let tag = id | (u16::from(priority) << PRIORITY_SHIFT);
        let entry = FlowAction {
            kind: FlowActionKind::VLAN_PUSH,
            choice: tpid.to_be_bytes(),
            ..FlowAction::ZERO
        };
        self.add(entry, &[u32::from(tag)]).map(|_| ())
    }

    fn modify(&mut self, tpid: u16, id: u16, priority: Option<u8>) -> Result<(), Reject> {
        self.fresh = true;
        let tag = id | (u16::from(priority.unwrap_or(0)) << PRIORITY_SHIFT);
        let kept = match priority {
            Some(_) => DEI,
            None => DEI | PRIORITY_MASK,
        };
        let entry = FlowAction {
            kind: FlowActionKind::VLAN_MODIFY,
            choice: tpid.to_be_bytes(),
            operands: [0, u32::from(kept), 0, 0],
            ..FlowAction::ZERO
        };
        self.add(entry, &[u32::from(tag)]).map(|_| ())
    }

    fn checksums(&mut self, what: u8) -> Result<(), Reject> {
        let what = u32::from(what);
        let lacking = CHECKSUMS.iter().find(|(bit, _)| {
            what & bit != 0 && u32::from(self.context.device.checksums) & bit == 0
        });
        if let Some((_, name)) = lacking {
            return Err(Reject::Lacks(Lack::Checksum { name }));
        }
        self.fresh = true;
        let operands = [what, 0, 0, 0];
        let entry = FlowAction {
            kind: FlowActionKind::CSUM,
            operands,
            ..FlowAction::ZERO
        };
        self.add(entry, &[]).map(|_| ())
    }

    fn sample(&mut self, group: u32, rate: u32, truncate: Option<u32>) -> Result<(), Reject> {
        self.copy()?;
        let length = truncate.unwrap_or(0);
        let at = self.plain(FlowActionKind::SAMPLE, &[rate, length, 0])?;
        self.need(Need::Sampler {
            at: at + 8,
            group,
            rate,
            truncate,
        })
    }

    /// Turns skips to actions of tc, as [`meters`](super::meters) notes them, into numbers of entries.
    fn resolve_skips(&mut self) {
        let end = self.list.len();
        for at in 0..end {
            let Some(mut entry) = self.list.items().get(at).copied() else {
                return;
            };
            if entry.kind != FlowActionKind::METER {
                continue;
            }
            super::meters::resolve(&mut entry, |to| match to {
                Some(to) => self.start(to).saturating_sub(at + 1),
                None => end.saturating_sub(at + 1),
            });
            if let Some(place) = self.list.item_mut(at) {
                *place = entry;
            }
        }
    }

    /// Whether frames that go up carry their mark, which a meter's verdict cannot say.
    pub(super) fn marks(&self) -> bool {
        self.note == FlowNote::MARK
    }
}

/// Whether a rule of a tunnel device does anything with the frame within.
fn opens(rule: &Rule<'_>, walk: &Walk) -> bool {
    let mut actions = rule.actions.iter().enumerate();
    actions.any(|(at, action)| {
        walk.reaches(at)
            && !matches!(
                action,
                Action::Control(Verdict::Drop | Verdict::Goto(_)) | Action::Police(_)
            )
    })
}

const CHECKSUMS: [(u32, &str); 7] = [
    (flow_checksum::IPV4, "ip4h"),
    (flow_checksum::ICMP, "icmp"),
    (flow_checksum::IGMP, "igmp"),
    (flow_checksum::TCP, "tcp"),
    (flow_checksum::UDP, "udp"),
    (flow_checksum::UDP_LITE, "udplite"),
    (flow_checksum::SCTP, "sctp"),
];
