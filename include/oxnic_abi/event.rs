// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Events: what the device tells of its own accord.
//!
//! 64-byte entries in the event ring, with a generation bit as in [`crate::ring`]; vector 0 is raised. The driver frees
//! entries by the doorbell [`crate::doorbell::DoorbellKind::EVENT`]. Events are hints: the state can always be queried. When
//! the ring is full, events are dropped; the next entry written is an OVERRUN, after which the driver queries everything.

use crate::{open_enum, wire};

wire! {
    /// An event.
    ///
    /// ```text
    ///  63              48 47              32 31              16 15               0
    /// +---------------------------------------------------------------------------+
    /// |                                 sequence                                  | 0
    /// +---------------------------------------------------------------------------+
    /// |                              payload (48 bytes)                           | 8
    /// +------------------+------------------+------------------+-----------------+
    /// |      flags       |      detail      |      object      |      kind       | 56
    /// +------------------+------------------+------------------+-----------------+
    /// ```
    pub struct Event: 8 {
        /// Starts at 1 after the handshake and grows by 1 for each event, dropped ones included.
        0: sequence: u64,
        /// See the kind.
        8: payload: [u64; 6],
        /// What happened.
        56: kind: EventKind,
        /// To which object; see the kind.
        58: object: u16,
        /// See the kind.
        60: detail: u16,
        /// [`crate::ring::completion_flags::GENERATION`].
        62: flags: u16,
    }
}

open_enum! {
    /// Kinds of event. A driver ignores those that it does not know.
    pub enum EventKind: u16 {
        /// Link of vport `object` changed; `detail` 1: up. `payload[0]`: speed in Mbit/s.
        LINK = 1: "link",
        /// Events were dropped; `payload[0]`: how many.
        OVERRUN = 2: "overrun",
        /// Once a second while nothing else happens, if the driver asked for it. Reserved.
        KEEP_ALIVE = 3: "keep-alive",
        /// A transmit queue stopped at a descriptor it cannot take (`object`: its id, `detail`: [`QueueError`]). It must be
        /// destroyed and made anew.
        TX_ERROR = 4: "transmit queue error",
        /// A receive queue stopped (`object`: its id, `detail`: [`QueueError`]).
        RX_ERROR = 5: "receive queue error",
        /// Completion queue stopped (`object`: its id, `detail`: [`QueueError`]).
        CQ_ERROR = 6: "completion queue error",
        /// To a PF: a driver of VF `object` made its handshake (`detail` 1) or reset it (`detail` 0).
        VF_STATE = 7: "VF state",
        /// To a PF: VF `object` tried opcode `detail` without privilege.
        VF_DENIED = 8: "VF denied",
        /// Settings of vport `object` were changed by the PF: query it.
        VPORT_CHANGED = 9: "vport changed",
        /// The device asks for a reset of this function, see [`crate::regs::status::RESET_REQUESTED`].
        RESET_REQUESTED = 10: "reset requested",
        /// Health changed, see the health block. `detail`: severity.
        HEALTH = 11: "health",
        /// Reserved: the list of eswitch ports changed.
        PORTS_CHANGED = 12: "ports changed",
        /// Reserved: a long operation has finished.
        OPERATION = 13: "operation done",
        /// A flow queue stopped (`object`: its id, `detail`: [`QueueError`]). To a PF.
        FLOW_ERROR = 14: "flow queue error",
        /// A trial of firmware has ended: `object` is the component, `detail` a [`crate::firmware::FirmwareNews`]. To a PF.
        FIRMWARE = 15: "firmware",
    }
}

open_enum! {
    /// Why a queue stopped.
    pub enum QueueError: u16 {
        /// DMA fault.
        DMA = 1: "DMA fault",
        /// A descriptor breaks the rules: reserved bits, flags, lengths, or no END within the allowed number.
        DESCRIPTOR = 2: "bad descriptor",
        /// The producer index is ahead of the consumer by more than the ring holds.
        INDEX = 3: "bad producer index",
        /// The completion ring is full.
        COMPLETION_FULL = 4: "completion ring full",
    }
}
