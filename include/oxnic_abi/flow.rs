// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The flow engine: tables of rules that say what becomes of frames, and the objects that rules name.
//!
//! A PF with capability [`crate::caps::CapabilityId::FLOW`] and feature [`crate::caps::features::FLOW`] makes the objects by commands
//! of the admin queue, and rules by requests in flow queues. Ids of objects and rules are chosen by the driver, from 0 up to the
//! limit of their kind in [`capability::FlowCaps`].
//!
//! Bytes that are compared with those of packets, or written into packets, are in network order, and stand in byte arrays.

pub mod action;
pub mod capability;
pub mod completion;
pub mod counter;
pub mod encap;
pub mod field;
pub mod info;
pub mod meter;
pub mod port;
pub mod queue;
pub mod request;
pub mod table;
pub mod template;
pub mod tunnel;

use crate::wire;

wire! {
    /// Parameters of the commands that destroy an object of the flow engine, or ask about one.
    pub struct FlowId: 5 {
        /// Id.
        0: id: u32,
    }
}

/// Flags of the commands that make and change objects: `TABLE_SET`, `ENCAP_SET`, `METER_SET`.
pub mod flow_set {
    /// The object is made, and must not be there. Without: it is changed, and must be there.
    pub const CREATE: u16 = 1 << 0;
}
