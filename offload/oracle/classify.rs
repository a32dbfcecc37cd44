// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A packet through chains and priorities (`__tcf_classify`).
//!
//! - A priority whose `protocol` is neither all nor the frame's outermost type is passed over. A frame with a tag therefore never
//!   gets to rules of `protocol ip`, whatever their keys.
//! - In each priority at most one rule acts. If it says continue, the next priority is looked at, not the next rule.
//! - The packet is dissected anew in each priority, so that later rules see what earlier ones made of it.
//! - A goto or reclassify too many (the seventeenth) drops the packet.

use super::execute::{execute, Ended};
use super::packet::Packet;
use super::sink::{Sink, World};
use super::table::Table;
use crate::packet::{dissect, ethernet};
use crate::rule::{Chain, Port, Seen, Values, Verdict};

/// How often a packet can be sent to a chain, or back to the start.
pub const RESTARTS_MAX: usize = 16;

/// How a packet arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// At which port.
    pub port: Port,
    /// In which chain it starts: zero, or where hardware left off.
    pub chain: Chain,
}

/// What became of a packet. Its bytes, as changed so far, are in the [`Packet`] for all but [`Fate::Consumed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A rule let it go on, to whatever the interface does with it.
    Accept,
    /// No rule decided. It goes on as well; software continues in this chain, which was the last one to be looked at.
    Miss(Chain),
    /// It is dropped.
    Drop,
    /// It goes to the CPU (from a device; in software it is dropped).
    Trap,
    /// It was redirected.
    Consumed,
}

/// Takes a packet through the rules.
pub fn classify<'r>(
    table: &Table<'_, 'r>,
    arrival: Arrival,
    packet: &mut Packet<'_, 'r>,
    world: &mut impl World,
    sink: &mut impl Sink,
) -> Fate {
    let mut chain = arrival.chain;
    let mut after = None;
    let mut restarts = 0;
    while let Some((priority, protocol)) = table.next_priority(chain, after) {
        after = Some(priority);
        if protocol != ethernet::ALL && protocol != packet.frame().filter_protocol() {
            continue;
        }
        let dissection = dissect(&packet.frame());
        let tunnel = packet.tunnel;
        let values = Values::new(&Seen {
            port: arrival.port,
            packet: &dissection,
            tunnel: &tunnel,
        });
        let Some(rule) = table.lookup(chain, priority, &values) else {
            continue;
        };
        chain = match execute(&rule, packet, arrival.port, world, sink) {
            Ended::Consumed => return Fate::Consumed,
            Ended::With(Verdict::Drop) => return Fate::Drop,
            Ended::With(Verdict::Trap) => return Fate::Trap,
            Ended::With(Verdict::Accept | Verdict::Pipe | Verdict::Jump(_)) => return Fate::Accept,
            Ended::With(Verdict::Continue) => continue,
            Ended::With(Verdict::Reclassify) => Chain(0),
            Ended::With(Verdict::Goto(to)) => to,
        };
        if restarts >= RESTARTS_MAX {
            return Fate::Drop;
        }
        restarts += 1;
        after = None;
    }
    Fate::Miss(chain)
}
