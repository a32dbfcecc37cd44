// SPDX-License-Identifier: GPL-2.0-only

//! The actions of a rule.
//!
//! The kernel cuts tc's actions into entries: pedit has one for each of its edits, all others have one. Entries of one action have
//! the same [`Entry::cookie`].

use super::entry::Entry;
use super::police::Police;
use super::tunnel::Tunnel;
use crate::net::netdev::Device;
use core::slice;
use kernel::{fmt, prelude::fmt};
use oxnic_bindings as bindings;

/// The entries of a rule, or of a shared action.
///
/// # Invariants
///
/// They are as those of a [`FlowRule`](super::FlowRule).
#[derive(Clone, Copy)]
pub struct Actions<'a>(&'a [bindings::flow_action_entry]);

impl<'a> Actions<'a> {
    /// # Safety
    ///
    /// The actions are as the type's invariants say for `'a`.
    pub(super) unsafe fn new(raw: *const bindings::flow_action) -> Self {
        // SAFETY: The array has so many entries as is said before it. The pointer is to the whole structure, not to its field of
        // no size.
        let entries = unsafe {
            slice::from_raw_parts(
                (&raw const (*raw).entries).cast::<bindings::flow_action_entry>(),
                (*raw).num_entries as usize,
            )
        };
        // INVARIANT: By the contract.
        Self(entries)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        self.0.iter().map(Entry::new)
    }
}

/// What a [`Mangle`] counts its offset from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The network header, whatever it is.
    Network,
    /// The destination address of the frame.
    Ethernet,
    /// The IPv4 header.
    Ipv4,
    /// The IPv6 header.
    Ipv6,
    /// The TCP header.
    Tcp,
    /// The UDP header.
    Udp,
}

/// A change of four bytes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mangle {
    /// What the offset counts from; another number is none that we know.
    pub base: Result<Base, u32>,
    /// How far from there, in bytes; can be negative.
    pub offset: i32,
    /// The bits that stay as they are, in the order of the bytes in the packet.
    pub keep: [u8; 4],
    /// What the others become, or what is added, in the order of the bytes in the packet.
    pub value: [u8; 4],
    /// The value is added, as a number of the CPU's order.
    pub add: bool,
    /// More is added to the offset, which is read from the packet.
    pub moving: bool,
}

/// A tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its type.
    pub tpid: u16,
    /// Its id.
    pub id: u16,
    /// Its priority; none where it stays as it was.
    pub priority: Option<u8>,
}

/// What an entry does. An interface is none where it is gone.
#[derive(Clone, Copy)]
pub enum Action<'a> {
    /// The packet goes on, and no other action is done.
    Accept,
    /// It is dropped.
    Drop,
    /// It goes to the CPU.
    Trap,
    /// It goes on in another chain.
    Goto(u32),
    /// It leaves through an interface.
    Redirect(Option<&'a Device>),
    /// It comes in at an interface.
    RedirectIngress(Option<&'a Device>),
    /// A copy leaves through an interface.
    Mirror(Option<&'a Device>),
    /// A copy comes in at an interface.
    MirrorIngress(Option<&'a Device>),
    /// A new outermost tag.
    VlanPush(Tag),
    /// Without its outermost tag.
    VlanPop,
    /// With another outermost tag.
    VlanMangle(Tag),
    /// An edit; one of those that one pedit makes.
    Mangle(Mangle),
    /// Checksums are mended: bits of `TCA_CSUM_UPDATE_FLAG_*`.
    Csum(u32),
    /// The packet's mark.
    Mark(u32),
    /// The packet's priority.
    Priority(u32),
    /// One packet of so many is copied to listeners.
    Sample {
        /// Number of their group.
        group: u32,
        /// One of so many.
        rate: u32,
        /// Of at most so many bytes.
        truncate: Option<u32>,
    },
    /// A policer.
    Police(Police),
    /// To be put into a tunnel.
    TunnelEncap(Tunnel<'a>),
    /// Not in a tunnel any more.
    TunnelDecap,
    /// Something else.
    Other(ActionId),
}

/// Names of all kinds of entries, by their number.
const NAMES: [&str; COUNT] = [
    "ok",
    "drop",
    "trap",
    "goto chain",
    "mirred egress redirect",
    "mirred egress mirror",
    "mirred ingress redirect",
    "mirred ingress mirror",
    "vlan push",
    "vlan pop",
    "vlan modify",
    "tunnel_key set",
    "tunnel_key unset",
    "pedit set",
    "pedit add",
    "csum",
    "skbedit mark",
    "skbedit ptype",
    "skbedit priority",
    "skbedit queue_mapping",
    "wake",
    "queue",
    "sample",
    "police",
    "ct",
    "ct metadata",
    "mpls push",
    "mpls pop",
    "mpls modify",
    "gate",
    "pppoe push",
    "jump",
    "pipe",
    "vlan push_eth",
    "vlan pop_eth",
    "continue",
];
const COUNT: usize = bindings::flow_action_id_NUM_FLOW_ACTIONS as usize;

/// Number of a kind of entry. Prints with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionId(pub u32);

impl ActionId {
    /// Its name as tc has it, or `unknown`.
    pub fn name(self) -> &'static str {
        NAMES.get(self.0 as usize).copied().unwrap_or("unknown")
    }
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!("{} (action {})", self.name(), self.0))
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_flow_actions)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_the_kernel() {
        assert_eq!(ActionId(0).name(), "ok");
        assert_eq!(
            ActionId(bindings::flow_action_id_FLOW_ACTION_CT).name(),
            "ct"
        );
        assert_eq!(
            ActionId(bindings::flow_action_id_FLOW_ACTION_POLICE).name(),
            "police"
        );
        assert_eq!(
            ActionId(bindings::flow_action_id_FLOW_ACTION_CONTINUE).name(),
            "continue"
        );
        assert_eq!(ActionId(COUNT as u32).name(), "unknown");
    }
}
