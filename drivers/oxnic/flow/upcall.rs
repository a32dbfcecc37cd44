// SPDX-License-Identifier: GPL-2.0-only

//! Frames that come up from the flow engine: what the cookie in a completion means, and what is done with the frame.
//!
//! A rule's cookie, and that of a table, is where tc goes on: 0 with the first chain, as with any frame; [`PAST`] nowhere; else the
//! number of a chain, which has fewer bits. So nothing has to be looked up, and no frame can come up with a cookie that is not
//! understood any more. The cookie of a copy is the number of its sampler.

use kernel::sync::rcu;
use oxnic_abi::ring::completion_flags;
use oxnic_kapi::net::flow::{Onwards, Sampler, MISSES_CONTINUE};
use oxnic_kapi::rcu_table::RcuTable;
use oxnic_offload::plan::{Exit, Software};
use oxnic_offload::rule::Chain;

/// tc does not look at the frame. No number of a chain.
const PAST: u32 = 1 << 31;

/// Flags of frames that the flow engine has something to say of.
pub(crate) const SPOKEN_OF: u16 = completion_flags::FLOW_RULE
    | completion_flags::FLOW_MISS
    | completion_flags::FLOW_MARK
    | completion_flags::FLOW_SAMPLE;

/// What this kernel can do with frames that come up.
pub(crate) const SOFTWARE: Software = Software {
    restores_chain: MISSES_CONTINUE,
    skips_tc: true,
};

/// The cookie by which frames get there.
pub(crate) fn cookie(exit: Exit) -> u32 {
    match exit {
        Exit::Start => 0,
        Exit::Chain(Chain(chain)) => chain & !PAST,
        Exit::Past => PAST,
    }
}

/// What is to be done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upcall {
    /// It comes in as any frame does.
    Start,
    /// tc goes on in a chain.
    Chain(u32),
    /// tc is done with it.
    Past {
        /// Its mark.
        mark: u32,
    },
    /// It is a copy, of the sampler with that number.
    Sample(u32),
}

impl Upcall {
    /// By what a completion says.
    pub(crate) fn new(flags: u16, cookie: u32) -> Self {
        if flags & completion_flags::FLOW_SAMPLE != 0 {
            Self::Sample(cookie)
        } else if flags & completion_flags::FLOW_MARK != 0 {
            Self::Past { mark: cookie }
        } else {
            match cookie {
                0 => Self::Start,
                PAST => Self::Past { mark: 0 },
                chain => Self::Chain(chain),
            }
        }
    }

    /// Gives `receive` where a frame goes on. A copy whose sampler has gone meanwhile goes nowhere.
    #[cold]
    pub(crate) fn follow(
        self,
        samplers: &RcuTable<Sampler>,
        receive: impl FnOnce(Option<Onwards<'_>>),
    ) {
        let guard = rcu::read_lock();
        receive(match self {
            Self::Start => None,
            Self::Chain(chain) => Some(Onwards::Chain(chain)),
            Self::Past { mark } => Some(Onwards::Past { mark }),
            Self::Sample(number) => match samplers.get(number, &guard) {
                Some(sampler) => Some(Onwards::Sample(sampler)),
                None => return,
            },
        })
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_upcall)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_where_its_rule_or_table_leads() {
        for (exit, upcall) in [
            (Exit::Start, Upcall::Start),
            (Exit::Past, Upcall::Past { mark: 0 }),
            (Exit::Chain(Chain(1)), Upcall::Chain(1)),
            (Exit::Chain(Chain(0x0fff_ffff)), Upcall::Chain(0x0fff_ffff)),
        ] {
            for flags in [completion_flags::FLOW_RULE, completion_flags::FLOW_MISS] {
                assert_eq!(Upcall::new(flags, cookie(exit)), upcall);
            }
        }
    }

    #[test]
    fn a_mark_comes_with_what_was_accepted_also_if_it_is_zero() {
        for mark in [0, 7, PAST] {
            let upcall = Upcall::new(completion_flags::FLOW_MARK, mark);
            assert_eq!(upcall, Upcall::Past { mark });
        }
    }

    #[test]
    fn a_copy_is_its_samplers() {
        let upcall = Upcall::new(completion_flags::FLOW_SAMPLE, 5);
        assert_eq!(upcall, Upcall::Sample(5));
    }
}
