// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Commands that create and destroy queues.
//!
//! Queue ids are chosen by the driver: less than the number of queues of the kind in [`crate::caps::NicCaps`], per function.
//! Order of creation: completion queue, then the transmit or receive queue that uses it; the reverse for destruction.

use crate::wire;

wire! {
    /// Parameters of [`crate::command::Opcode::CQ_CREATE`].
    pub struct CqCreate: 5 {
        /// Id.
        0: id: u16,
        /// MSI-X vector that it raises, 1 up to the number of vectors less 1.
        2: vector: u16,
        /// Its slot in the vector, 0 or 1; see [`crate::doorbell::arm_index`]. One queue a slot.
        4: slot: u8,
        /// log2 of entries.
        5: log2: u8,
        /// Size of an entry in bytes: 16 for transmit, 32 for receive.
        6: entry: u8,
        /// Bus address, aligned to 4096.
        8: address: u64,
        /// Raise the vector at the latest so many microseconds after the first unseen entry; 0: at once.
        16: microseconds: u16,
        /// Raise the vector once so many entries are unseen; 0: the time alone decides.
        18: frames: u16,
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::CQ_MODERATE`].
    pub struct CqModerate: 5 {
        /// Id.
        0: id: u16,
        /// As in [`CqCreate`].
        2: microseconds: u16,
        /// As in [`CqCreate`].
        4: frames: u16,
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::TX_CREATE`]. The vport is in the submission.
    pub struct TxCreate: 5 {
        /// Id.
        0: id: u16,
        /// Completion queue with 16-byte entries.
        2: cq: u16,
        /// log2 of entries.
        4: log2: u8,
        /// Descriptor version, a bit of [`crate::caps::NicCaps::tx_versions`].
        5: version: u8,
        /// Bus address, aligned to 4096.
        8: address: u64,
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::RX_CREATE`]. The vport is in the submission.
    pub struct RxCreate: 5 {
        /// Id.
        0: id: u16,
        /// Completion queue with 32-byte entries.
        2: cq: u16,
        /// log2 of entries.
        4: log2: u8,
        /// Descriptor version, a bit of [`crate::caps::NicCaps::rx_versions`].
        5: version: u8,
        /// Length of every buffer in bytes.
        6: buffer_length: u16,
        /// Bus address, aligned to 4096.
        8: address: u64,
    }
}

wire! {
    /// Parameters of the destroy commands.
    pub struct QueueId: 5 {
        /// Id.
        0: id: u16,
    }
}
