// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! pedit: one entry of the device for four bytes. Where in the header, what is done and which bits are kept is the template's, the value is
//! the rule's.

use oxnic_abi::flow::action::{action_flags, FlowAction, FlowActionKind, FlowEdit, FlowHeader};

use super::actions::Lowering;
use super::context::Destinations;
use crate::reject::{Lack, Reject};
use crate::rule::{Edit, Header, Operation};

/// The device interface's number for a header.
pub(super) const fn header(header: Header) -> FlowHeader {
    match header {
        Header::Ethernet => FlowHeader::ETHERNET,
        Header::Network => FlowHeader::NETWORK,
        Header::Ipv4 => FlowHeader::IPV4,
        Header::Ipv6 => FlowHeader::IPV6,
        Header::Tcp => FlowHeader::TCP,
        Header::Udp => FlowHeader::UDP,
    }
}

impl<D: Destinations> Lowering<'_, '_, '_, D> {
    /// The edits of one pedit action. Where one cannot be made in a packet, those behind it are not made either.
    pub(super) fn edits(&mut self, edits: &[Edit]) -> Result<(), Reject> {
        let mut flags = 0;
        for edit in edits {
            self.check_edit(edit)?;
            let operation = match edit.operation {
                Operation::Set => FlowEdit::SET,
                Operation::Add => FlowEdit::ADD,
            };
            let entry = FlowAction {
                kind: FlowActionKind::EDIT,
                flags,
                choice: [header(edit.header).0, operation.0],
                operands: [edit.offset, u32::from_le_bytes(edit.keep), 0, 0],
                ..FlowAction::ZERO
            };
            self.add(entry, &[u32::from_le_bytes(edit.value)])?;
            flags = action_flags::CONTINUED;
        }
        Ok(())
    }

    fn check_edit(&self, edit: &Edit) -> Result<(), Reject> {
        let device = self.context.device;
        let table = match edit.operation {
            Operation::Set => &device.edit_set,
            Operation::Add => &device.edit_add,
        };
        let bytes = table.get(usize::from(header(edit.header).0));
        let bytes = bytes.copied().unwrap_or(0);
        let has = |byte: u32| bytes.checked_shr(byte).unwrap_or(0) & 1 != 0;
        let changed = edit.keep.iter().zip(edit.offset..);
        let mut lacking = changed.filter(|(keep, byte)| **keep != 0xff && !has(*byte));
        match lacking.next() {
            None => Ok(()),
            Some((_, byte)) => Err(Reject::Lacks(Lack::Edit {
                header: edit.header,
                byte,
                operation: edit.operation,
            })),
        }
    }
}
