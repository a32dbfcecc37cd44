// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The actions of a rule, one after the other (`tcf_action_exec`).

use super::packet::Packet;
use super::sink::{Count, Sink, World};
use super::{csum, pedit, tags};
use crate::packet::tunnel::flag;
use crate::packet::{ethernet, Tunnel};
use crate::rule::{Action, Direction, Encap, Police, Port, Rule, Verdict};

/// After so many jumps within a rule, the packet is let go.
const JUMPS_MAX: usize = 31;

/// How a rule ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a verdict.
    With(Verdict),
    /// The packet went somewhere else.
    Consumed,
}

/// Runs the actions of a rule over a packet that came in at `port`.
pub fn execute<'r>(
    rule: &Rule<'r>,
    packet: &mut Packet<'_, 'r>,
    port: Port,
    world: &mut impl World,
    sink: &mut impl Sink,
) -> Ended {
    let mut next = 0;
    let mut jumps = 0;
    while let Some(action) = rule.actions.get(next) {
        let mut count = Count {
            bytes: packet.accounted(),
            ..Count::default()
        };
        let ended = act(action, packet, port, world, sink, &mut count);
        sink.counted(rule.cookie, next, count);
        match ended {
            Ended::With(Verdict::Pipe) => next += 1,
            Ended::With(Verdict::Jump(to)) => {
                jumps += 1;
                next = usize::try_from(to).unwrap_or(usize::MAX);
                if next == 0 || next > rule.actions.len() || jumps > JUMPS_MAX {
                    return Ended::With(Verdict::Accept);
                }
            }
            _ => return ended,
        }
    }
    Ended::With(Verdict::Accept)
}

fn act<'r>(
    action: &Action<'r>,
    packet: &mut Packet<'_, 'r>,
    port: Port,
    world: &mut impl World,
    sink: &mut impl Sink,
    count: &mut Count,
) -> Ended {
    let done = match action {
        Action::Control(verdict) => {
            count.drop = *verdict == Verdict::Drop;
            return Ended::With(*verdict);
        }
        Action::Police(limits) => return Ended::With(police(limits, packet, world, count)),
        Action::Redirect(to, direction) => {
            if can_send(port, *to, *direction, world) {
                sink.sent(*to, *direction, &packet.output());
                return Ended::Consumed;
            }
            count.overlimit = true;
            return Ended::With(Verdict::Drop);
        }
        Action::Mirror(to, direction) => {
            if can_send(port, *to, *direction, world) {
                sink.sent(*to, *direction, &packet.output());
            } else {
                count.overlimit = true;
            }
            true
        }
        Action::VlanPush { tpid, id, priority } => tags::push(packet, *tpid, *id, *priority),
        Action::VlanPop => tags::pop(packet),
        Action::VlanModify { tpid, id, priority } => tags::modify(packet, *tpid, *id, *priority),
        Action::Pedit(edits) => {
            count.overlimit = !pedit::apply(packet, edits);
            true
        }
        Action::Checksum(what) => csum::correct(packet, *what),
        Action::Mark(mark) => {
            packet.mark = *mark;
            true
        }
        Action::Priority(priority) => {
            packet.priority = *priority;
            true
        }
        Action::Sample {
            group,
            rate,
            truncate,
        } => {
            if world.is_sampled(*rate) {
                sink.sampled(*group, *rate, *truncate, &packet.output());
            }
            true
        }
        Action::TunnelSet(encap) => {
            packet.tunnel = note(encap);
            packet.encap = Some(*encap);
            true
        }
        Action::TunnelUnset => {
            packet.tunnel = Tunnel::default();
            packet.encap = None;
            true
        }
    };
    count.drop = !done;
    Ended::With(if done { Verdict::Pipe } else { Verdict::Drop })
}

/// A packet is not put back into the host at the port where it came in (`tcf_mirred_to_dev`).
fn can_send(from: Port, to: Port, direction: Direction, world: &mut impl World) -> bool {
    world.is_up(to) && !(from == to && direction == Direction::Ingress)
}

/// What a policer says. A conforming packet that it drops counts as dropped only where there is a rate.
fn police(
    limits: &Police,
    packet: &Packet<'_, '_>,
    world: &mut impl World,
    count: &mut Count,
) -> Verdict {
    let now = world.now();
    let length = packet.accounted().saturating_add(ethernet::HEADER as u32);
    let conforms = world
        .bucket(limits)
        .take(limits, packet.accounted(), length, now);
    count.overlimit = !conforms;
    let verdict = if conforms {
        limits.conform
    } else {
        limits.exceed
    };
    let counts = !conforms || limits.rate != crate::rule::police::Rate::None;
    count.drop = counts && verdict == Verdict::Drop;
    verdict
}

/// What the `enc_` keys of later chains see of headers that a packet is told to get: the dissector does not tell them from those
/// that it came with (`skb_flow_dissect_tunnel_info`).
fn note<'r>(encap: &Encap<'r>) -> Tunnel<'r> {
    Tunnel {
        address: encap.address,
        src_port: 0,
        dst_port: encap.dst_port,
        key_id: encap.key_id,
        tos: encap.tos,
        ttl: encap.ttl,
        flags: if encap.csum { flag::CSUM } else { 0 }
            | if encap.dont_fragment { flag::DF } else { 0 },
        options: encap.options,
    }
}
