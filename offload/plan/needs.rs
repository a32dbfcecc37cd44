// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Objects that a rule names by its arguments. The plan leaves their ids zero and says where they go, so that a rule can be
//! planned before anything is taken, and nothing has to be given back where it is refused.

use super::tunnels::TunnelDevice;
use crate::packet::bytes;
use crate::rule::{Encap, Police};

/// What of an action a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counts {
    /// Packets that get to it; it stands for all actions behind it, too, that any packet gets to, up to that of the next such counter.
    Taken,
    /// Of a policer's packets, those that it drops.
    Dropped,
}

/// Something that the driver must have before the rule is put into the device. Ids go into the arguments as little-endian words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need<'r> {
    /// A counter. Its id goes to `at`.
    Counter {
        /// Offset in the arguments.
        at: u16,
        /// The action of the rule, in tc's numbers.
        action: u8,
        /// What of it is counted.
        counts: Counts,
    },
    /// A meter, shared by all policers with that index. Its id goes to `at`.
    Meter {
        /// Offset in the arguments.
        at: u16,
        /// The policer.
        police: Police,
    },
    /// Outer headers. The eswitch port that the route leads to goes to `at`, the id of the encap to the four bytes behind.
    Encap {
        /// Offset in the arguments.
        at: u16,
        /// What the rule asks for.
        encap: Encap<'r>,
        /// The tunnel device.
        device: TunnelDevice,
    },
    /// A name for copies: with it they come up again. It goes to `at`. The word before is how long copies are at most, which has its
    /// value already; where listeners are to know how long the packet was, a driver puts 0 there, for any, and cuts copies itself.
    Sampler {
        /// Offset in the arguments.
        at: u16,
        /// The listeners' group.
        group: u32,
        /// One of so many.
        rate: u32,
        /// How many bytes of it at most.
        truncate: Option<u32>,
    },
}

impl Need<'_> {
    /// What lists of needs are made of before anything is needed.
    pub const BLANK: Self = Self::Counter {
        at: 0,
        action: 0,
        counts: Counts::Taken,
    };

    /// Where in the arguments its first word is.
    pub const fn at(&self) -> u16 {
        match self {
            Self::Counter { at, .. }
            | Self::Meter { at, .. }
            | Self::Encap { at, .. }
            | Self::Sampler { at, .. } => *at,
        }
    }

    /// Writes what was found into a rule's arguments: the id, and for an encap the port and the id. `false` where the arguments are
    /// not the ones that belong to it.
    pub fn fill(&self, arguments: &mut [u8], words: &[u32]) -> bool {
        words.iter().enumerate().all(|(number, word)| {
            bytes::put(
                arguments,
                usize::from(self.at()) + number * 4,
                &word.to_le_bytes(),
            )
        })
    }
}
