// SPDX-License-Identifier: GPL-2.0-only

//! Received packets that rules in the device have had already: where they go on.

use super::sample::Sampler;
use crate::net::napi::Context;
use core::ptr::NonNull;
use oxnic_bindings as bindings;

/// Where a packet goes on that does not simply come in.
#[derive(Clone, Copy)]
pub enum Onwards<'a> {
    /// In a chain of tc. Needs [`MISSES_CONTINUE`](super::MISSES_CONTINUE) and a [`ChainRestore`]: else it is dropped.
    Chain(u32),
    /// Past tc, and all else that looks at packets before protocols do.
    Past {
        /// The packet's mark.
        mark: u32,
    },
    /// It is a copy for listeners.
    Sample(&'a Sampler),
}

impl Onwards<'_> {
    /// # Safety
    ///
    /// The packet is valid, its protocol and queue are known, and it is given up.
    pub(in crate::net) unsafe fn receive(
        self,
        context: Context<'_>,
        skb: NonNull<bindings::sk_buff>,
    ) {
        let (napi, skb) = (context.as_raw(), skb.as_ptr());
        // SAFETY: By the contract; we are polling the instance.
        unsafe {
            match self {
                Self::Chain(chain) => bindings::oxnic_rx_in_chain(napi, skb, chain),
                Self::Past { mark } => bindings::oxnic_rx_past(skb, mark),
                Self::Sample(sampler) => sampler.receive(napi, skb),
            }
        }
    }
}

/// While there is one, tc looks at where packets are to go on. Does nothing where they cannot.
pub struct ChainRestore(());

impl ChainRestore {
    /// From now on. Sleeps.
    pub fn new() -> Self {
        // SAFETY: No requirements; counted.
        unsafe { bindings::oxnic_restore_chains(true) };
        Self(())
    }
}

impl Default for ChainRestore {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ChainRestore {
    fn drop(&mut self) {
        // SAFETY: It was enabled once by this.
        unsafe { bindings::oxnic_restore_chains(false) };
    }
}
