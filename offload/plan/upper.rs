// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! VLAN devices above ports.
//!
//! A rule on one is about frames of the port below that have its tags, and sees them without. They have lost the tags in the device, on
//! the way to the rule's table ([`Context::upper`](super::Context::upper)). Software does the same by itself with a frame that comes up, so
//! it has to come up as it came: no rule hands up anything else, and tables end in REWIND, that of the first chain too. Otherwise all
//! is as with ports on a kernel that cannot go on in chains.
//!
//! What is sent to one gets its tags and leaves by the port below. Nothing is sent from one into the port below as if it had come in there.

use oxnic_abi::flow::action::{FlowAction, FlowActionKind, NO_ENCAP};

use super::actions::Lowering;
use super::context::Destinations;
use crate::reject::Reject;

/// Most tags of a VLAN device: it may be above another one.
pub const TAGS_MAX: usize = 2;

/// A VLAN device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpperDevice {
    /// The eswitch port below.
    pub port: u16,
    tags: [(u16, u16); TAGS_MAX],
    count: u8,
}

impl UpperDevice {
    /// A device whose packets have these tags, each its type and PCP, DEI and VID, the outermost first. None for more than
    /// [`TAGS_MAX`], or without any.
    pub fn new(port: u16, tags: &[(u16, u16)]) -> Option<Self> {
        let mut all = [(0, 0); TAGS_MAX];
        all.get_mut(..tags.len())?.copy_from_slice(tags);
        (!tags.is_empty()).then_some(Self {
            port,
            tags: all,
            count: tags.len() as u8,
        })
    }

    /// Its tags, the outermost first.
    pub fn tags(&self) -> &[(u16, u16)] {
        self.tags.get(..self.count.into()).unwrap_or(&[])
    }
}

impl<D: Destinations> Lowering<'_, '_, '_, D> {
    /// Sends the frame, or a copy of it, to a VLAN device. The frame stays as it is.
    pub(super) fn send_to_upper(
        &mut self,
        entry: FlowAction,
        upper: &UpperDevice,
    ) -> Result<(), Reject> {
        for (tpid, tci) in upper.tags().iter().rev() {
            let push = FlowAction {
                kind: FlowActionKind::VLAN_PUSH,
                choice: tpid.to_be_bytes(),
                ..FlowAction::ZERO
            };
            self.add(push, &[u32::from(*tci)])?;
        }
        self.add(entry, &[u32::from(upper.port), NO_ENCAP])?;
        if entry.kind.is_last() {
            return Ok(());
        }
        let pop = FlowAction {
            kind: FlowActionKind::VLAN_POP,
            ..FlowAction::ZERO
        };
        let mut tags = upper.tags().iter();
        tags.try_for_each(|_| self.add(pop, &[]).map(|_| ()))
    }
}
