// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Flow queues: rings of requests about rules.

use crate::wire;

/// Size of a slot of a flow queue in bytes.
pub const SLOT_BYTES: usize = 64;

wire! {
    /// Parameters of [`crate::command::Opcode::FLOW_QUEUE_CREATE`].
    pub struct FlowQueueCreate: 5 {
        /// Id.
        0: id: u16,
        /// Completion queue with 16-byte entries, at least as many as there are slots. Nothing else uses it.
        2: cq: u16,
        /// log2 of slots.
        4: log2: u8,
        /// Bus address, aligned to 4096.
        8: address: u64,
    }
}
