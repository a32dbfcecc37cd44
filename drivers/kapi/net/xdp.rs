// SPDX-License-Identifier: GPL-2.0-only

//! XDP: BPF programs that see a received packet before the stack does.
//!
//! A packet is a [`Buff`] while a [`program`] decides about it. It leaves by a named exit: back to its ring, up the stack, to
//! where the program redirects it, or as a [`Frame`], which can be queued for transmission and outlives the poll. Whatever is
//! dropped on the way gives its memory back to the page pool that it came from.
//!
//! Programs run in NAPI polls, with bottom halves disabled, which also is the RCU read side that keeps them.

mod buff;
pub(super) mod callbacks;
mod frame;
mod program;

pub use buff::{Buff, RxInfo};
pub use frame::{Batch, Frame, Frames};
pub use program::{Program, ProgramRef, ProgramSlot, Verdict};

use super::napi::Context;
use oxnic_bindings as bindings;

/// Room before a packet that programs can count on, in bytes.
pub const HEADROOM: u32 = bindings::XDP_PACKET_HEADROOM;

/// Bits that say what a device can do with XDP (`NETDEV_XDP_ACT_*`).
pub mod features {
    use oxnic_bindings as bindings;

    /// Programs can abort, drop, pass and transmit.
    pub const BASIC: u32 = bindings::netdev_xdp_act_NETDEV_XDP_ACT_BASIC;
    /// They can redirect.
    pub const REDIRECT: u32 = bindings::netdev_xdp_act_NETDEV_XDP_ACT_REDIRECT;
    /// It can be the target of a redirection.
    pub const TRANSMIT: u32 = bindings::netdev_xdp_act_NETDEV_XDP_ACT_NDO_XMIT;
    /// Programs see packets of several buffers.
    pub const RECEIVE_FRAGMENTS: u32 = bindings::netdev_xdp_act_NETDEV_XDP_ACT_RX_SG;
    /// Redirected packets may have several buffers.
    pub const TRANSMIT_FRAGMENTS: u32 = bindings::netdev_xdp_act_NETDEV_XDP_ACT_NDO_XMIT_SG;
}

/// Packets that were redirected since the last call go on their way; to be called before the poll returns.
pub fn flush(_context: Context<'_>) {
    // SAFETY: We are in a NAPI poll.
    unsafe { bindings::xdp_do_flush() };
}
