// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Requests in flow queues.

use crate::{open_enum, wire};

/// Where in a request key and arguments start, in bytes.
pub const REQUEST_BODY: usize = 40;
/// Bytes of key and arguments that stand in the first slot.
pub const REQUEST_INLINE: usize = 24;

wire! {
    /// The start of a request. From byte [`REQUEST_BODY`] on, and through the slots behind, stand the key, zeros up to a multiple of
    /// 4 bytes, the arguments, and zeros.
    pub struct FlowRequest: 5 {
        /// What to do.
        0: op: FlowOp,
        /// Slots that the request takes, this one included.
        1: slots: u8,
        /// Rule.
        4: rule: u32,
        /// ADD: table.
        8: table: u32,
        /// ADD: order in the table; lower comes first. The upper 16 bits are the priority class.
        12: priority: u32,
        /// ADD: match template.
        16: match_template: u32,
        /// ADD, UPDATE: action template.
        20: action_template: u32,
        /// ADD, UPDATE: goes along with frames that ACCEPT and TRAP send up. COUNTER: the counter's generation from now on.
        24: cookie: u32,
        /// ADD: bytes of key; what the match template needs.
        28: key_length: u16,
        /// ADD, UPDATE: bytes of arguments; what the action template needs.
        30: arguments_length: u16,
        /// COUNTER, COUNTER_WRITE: counter.
        32: counter: u32,
    }
}

open_enum! {
    /// What a request does. Fields that the description of [`FlowRequest`] does not give to it are zero.
    pub enum FlowOp: u8 {
        /// A rule is put into a table.
        ADD = 1: "add rule",
        /// A rule gets other actions and arguments, and another cookie.
        UPDATE = 2: "update rule",
        /// A rule is taken out.
        DELETE = 3: "delete rule",
        /// A counter starts from zero.
        COUNTER = 4: "reset counter",
        /// A counter's record is written into the host's memory now.
        COUNTER_WRITE = 5: "write counter",
    }
}
