// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Templates: what the rules of one shape have in common. A match template says which bits are compared, an action template what
//! is done; the rules bring the values.

use super::field::FlowField;
use crate::{open_enum, wire};

wire! {
    /// Parameters of [`crate::command::Opcode::MATCH_TEMPLATE_SET`] and [`crate::command::Opcode::ACTION_TEMPLATE_SET`].
    pub struct TemplateSet: 5 {
        /// Id.
        0: id: u32,
        /// Entries of the list in the buffer.
        4: count: u16,
        /// Bytes of masks of options behind the list; zero in an action template.
        6: options: u16,
    }
}

wire! {
    /// An entry of the list of a match template.
    pub struct FlowCondition: 4 {
        /// Field.
        0: field: FlowField,
        /// How it is compared.
        2: kind: ConditionKind,
        /// With OPTIONS: where the mask starts, in bytes from the end of the list. Else zero.
        4: offset: u16,
        /// With OPTIONS: how many bytes of options are compared, a multiple of 4. Else zero.
        6: length: u16,
        /// With RANGE: the lowest value that matches. Else zero.
        8: minimum: u16,
        /// With RANGE: the highest value that matches. Else zero.
        10: maximum: u16,
        /// With MASK: the bits that count, in network order, as wide as the field; the rest zero. Else zero.
        16: mask: [u8; 16],
    }
}

open_enum! {
    /// How a condition compares.
    pub enum ConditionKind: u8 {
        /// Bits under a mask are those of the rule's key.
        MASK = 1: "mask",
        /// The field is within a range, both ends included. Takes no room in the key.
        RANGE = 2: "range",
        /// Bytes of tunnel options under a mask are those of the rule's key.
        OPTIONS = 3: "options",
    }
}
