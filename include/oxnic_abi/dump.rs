// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The core dump of a function: what the device knew of it when it halted, or when the driver asked.
//!
//! A dump is [`DumpHeader`] and then [`DumpHeader::sections`] sections, each a [`SectionHeader`] with its entries behind it,
//! filled up to a whole word. A reader steps over kinds that it does not know, and over what entries hold beyond what it knows.
//! Dumps are made and read by way of the health block, see [`crate::regs::health`], so that no ring has to work for it.

use crate::flow::info::FlowObject;
use crate::{open_enum, wire};

/// Value of [`DumpHeader::magic`]: the letters "OXND", first letter in the lowest byte.
pub const DUMP_MAGIC: u32 = u32::from_le_bytes(*b"OXND");
/// The longest dump in bytes.
pub const DUMP_MAX: u32 = 1 << 20;
/// The longest piece of a dump that can be read at once, in bytes.
pub const DUMP_PIECE_MAX: u32 = 65536;
/// Length in bytes of the text of a [`DumpLine`].
pub const LINE_LENGTH: u32 = 56;

wire! {
    /// What a dump begins with.
    pub struct DumpHeader: 6 {
        /// [`DUMP_MAGIC`].
        0: magic: u32,
        /// Length of the whole in bytes, a multiple of 8, at most [`DUMP_MAX`].
        4: length: u32,
        /// When it was made: milliseconds since the device started.
        8: time: u64,
        /// Counts the dumps of the function, from 1.
        16: number: u32,
        /// [`crate::regs::device::GENERATION`] then.
        20: generation: u32,
        /// [`crate::regs::device::STATUS`] then.
        24: status: u32,
        /// [`crate::regs::device::REASON`] then.
        28: reason: u32,
        /// [`crate::regs::device::HEARTBEAT`] then.
        32: heartbeat: u32,
        /// Sections that follow.
        36: sections: u16,
        /// Why it was made.
        38: trigger: DumpTrigger,
    }
}

open_enum! {
    /// Why a dump was made.
    pub enum DumpTrigger: u16 {
        /// The driver asked for it.
        REQUEST = 1: "asked by the driver",
        /// The function halted.
        HALT = 2: "halt",
    }
}

wire! {
    /// What a section begins with.
    pub struct SectionHeader: 1 {
        /// What its entries are.
        0: kind: SectionKind,
        /// Length of an entry in bytes, a multiple of 8, not 0.
        2: entry: u16,
        /// Number of entries.
        4: count: u32,
    }
}

open_enum! {
    /// What the entries of a section are.
    pub enum SectionKind: u16 {
        /// [`DumpRegister`].
        REGISTERS = 1: "registers",
        /// [`DumpQueue`].
        QUEUES = 2: "queues",
        /// [`DumpVector`].
        VECTORS = 3: "vectors",
        /// [`DumpObject`].
        OBJECTS = 4: "objects",
        /// [`DumpLine`].
        LOG = 5: "log",
    }
}

wire! {
    /// A register that is not zero.
    pub struct DumpRegister: 1 {
        /// Offset in BAR 0.
        0: offset: u32,
        /// What it held.
        4: value: u32,
    }
}

open_enum! {
    /// Kinds of queue in a dump.
    pub enum DumpQueueKind: u8 {
        /// Completion queue.
        COMPLETION = 1: "completion",
        /// Transmit queue.
        TRANSMIT = 2: "transmit",
        /// Receive queue.
        RECEIVE = 3: "receive",
        /// Flow queue.
        FLOW = 4: "flow",
    }
}

wire! {
    /// A queue of the function.
    pub struct DumpQueue: 4 {
        /// Which kind.
        0: kind: DumpQueueKind,
        /// See [`dump_queue_flags`].
        1: flags: u8,
        /// Its id among those of its kind.
        2: id: u16,
        /// The completion queue that it writes to; of a completion queue its vector.
        4: target: u16,
        /// Number of the vport; 0 of those that belong to none.
        6: vport: u16,
        /// Index that the driver, or for a completion queue the device, fills next.
        8: producer: u16,
        /// Index that the device takes next; 0 of a completion queue, which the device does not follow.
        10: consumer: u16,
        /// Frames or requests since it was created.
        16: done: u64,
        /// Of these, dropped or refused.
        24: failed: u64,
    }
}

/// Bits of [`DumpQueue::flags`].
pub mod dump_queue_flags {
    /// It stopped after an error.
    pub const STOPPED: u8 = 1 << 0;
}

wire! {
    /// A vector that queues use.
    pub struct DumpVector: 1 {
        /// Its number.
        0: vector: u16,
        /// See [`dump_vector_flags`].
        2: flags: u16,
    }
}

/// Bits of [`DumpVector::flags`].
pub mod dump_vector_flags {
    /// It will be raised when something comes.
    pub const ARMED: u16 = 1 << 0;
}

wire! {
    /// Objects of the flow engine, of one kind. Only in dumps of a PF.
    pub struct DumpObject: 2 {
        /// Which kind.
        0: kind: FlowObject,
        /// How many there are.
        8: used: u64,
    }
}

wire! {
    /// A line of what the device noted about the function, the oldest first.
    pub struct DumpLine: 8 {
        /// When: milliseconds since the device started.
        0: time: u64,
        /// ASCII, filled up with zeros.
        8: text: [u8; 56],
    }
}
