// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Tables.

use crate::{open_enum, wire};

/// Names no table.
pub const NO_TABLE: u32 = 0xffff_ffff;

wire! {
    /// Parameters of [`crate::command::Opcode::TABLE_SET`].
    pub struct TableSet: 5 {
        /// Id.
        0: id: u32,
        /// See [`super::flow_set`].
        4: flags: u16,
        /// What its rules look at. Not changed afterwards.
        6: view: TableView,
        /// What becomes of a frame that no rule takes.
        7: miss: TableMiss,
        /// With TABLE: the table that is looked at next. Else zero.
        8: miss_table: u32,
        /// Goes along with a frame that misses into DEFAULT, if it is not zero.
        12: cookie: u32,
    }
}

open_enum! {
    /// What rules of a table look at.
    pub enum TableView: u8 {
        /// The frame as it is.
        PACKET = 0: "packet",
        /// The frame in a tunnel; of a frame that is in none, nothing: it misses.
        TUNNEL = 1: "tunnel",
    }
}

open_enum! {
    /// What becomes of a frame that no rule of a table takes.
    pub enum TableMiss: u8 {
        /// What would be without rules.
        DEFAULT = 0: "default",
        /// Another table is looked at.
        TABLE = 1: "table",
        /// The frame is dropped.
        DROP = 2: "drop",
        /// As action REWIND.
        REWIND = 3: "rewind",
    }
}
