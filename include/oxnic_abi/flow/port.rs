// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which tables ports of the eswitch are bound to.

use crate::{open_enum, wire};

wire! {
    /// Parameters of [`crate::command::Opcode::PORT_TABLE`].
    pub struct PortTable: 5 {
        /// Eswitch port, see [`crate::vport::PortEntry`].
        0: port: u16,
        /// Which of its two tables.
        2: direction: FlowDirection,
        /// Table of view PACKET, or [`super::table::NO_TABLE`].
        4: table: u32,
    }
}

open_enum! {
    /// Which way a frame passes a port, as the owner of the eswitch sees it.
    pub enum FlowDirection: u8 {
        /// Out of the eswitch, to what is behind the port.
        EGRESS = 0: "egress",
        /// Into the eswitch, from what is behind the port.
        INGRESS = 1: "ingress",
    }
}
