// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Registers in BAR 0.
//!
//! BAR 0 begins with a list of blocks. Each block starts with a 64-bit header ([`BlockHeader`]) that says what it is, how
//! long it is and where the next one starts, so that a driver finds what it knows and steps over what it does not.
//! Registers are read and written as aligned 32-bit words; 64-bit registers are two words, low first, and take effect only
//! when [`control::DRIVER_OK`] is written. No register has a side effect on reading, and none is read on a hot path.
//! A function that is gone reads as all ones; no read-only register below ever holds all ones.

crate::wire! {
    /// First 8 bytes of every block.
    ///
    /// ```text
    ///  63        48 47        32 31        16 15         0
    /// +------------+------------+------------+------------+
    /// |    next    |   length   |  version   |    kind    |
    /// +------------+------------+------------+------------+
    /// ```
    pub struct BlockHeader: 1 {
        /// What the block is.
        0: kind: BlockKind,
        /// Version of the block's layout; a later version only appends registers.
        2: version: u16,
        /// Length in bytes, header included.
        4: length: u16,
        /// Offset of the next block in BAR 0; 0 ends the list. Always greater than this block's own offset.
        6: next: u16,
    }
}

crate::open_enum! {
    /// Kinds of register block.
    pub enum BlockKind: u16 {
        /// The device block, always first, at offset 0.
        DEVICE = 1: "device",
        /// Self-test: scratch register, DMA test and interrupt test.
        SELF_TEST = 2: "self-test",
        /// Health buffer: what went wrong last.
        HEALTH = 3: "health",
        /// Reserved for firmware slots.
        FIRMWARE = 4: "firmware",
        /// Reserved for RDMA.
        RDMA = 5: "rdma",
        /// The clock. There with [`crate::caps::features::TIMESTAMP`].
        CLOCK = 6: "clock",
    }
}

/// Value of [`device::MAGIC`]: the letters "OXNC", first letter in the lowest byte.
pub const MAGIC: u32 = u32::from_le_bytes(*b"OXNC");
/// Interface version of this crate: major in the upper half, minor in the lower. A minor version only adds.
pub const ABI_VERSION: u32 = 1 << 16;
/// Length in bytes of version 1 of the device block.
pub const DEVICE_BLOCK_LENGTH: u16 = 0x80;
/// Length in bytes of version 1 of the self-test block.
pub const SELF_TEST_BLOCK_LENGTH: u16 = 0x30;
/// Length in bytes of version 1 of the health block, which ends behind [`health::LAST_RESET`].
pub const HEALTH_BLOCK_LENGTH: u16 = 0x28;
/// Length in bytes of version 2 of the health block.
pub const HEALTH_BLOCK_LENGTH_2: u16 = 0x50;
/// Length in bytes of version 1 of the clock block.
pub const CLOCK_BLOCK_LENGTH: u16 = 0x10;

/// Offsets in the device block. R: read-only; W: written by the driver, reads back what was written.
pub mod device {
    /// R. [`super::MAGIC`].
    pub const MAGIC: u32 = 0x08;
    /// R. Interface version of the device, see [`super::ABI_VERSION`].
    pub const ABI_VERSION: u32 = 0x0c;
    /// R. Bits 7:0: 1 for a PF, 2 for a VF. Bits 31:16: VF index from 0 (0 for a PF). For messages only.
    pub const FUNCTION: u32 = 0x10;
    /// R. Implementation: vendor-chosen model number. The reference device says 1.
    pub const MODEL: u32 = 0x14;
    /// R. Starts at 1 and grows by 1 whenever the function was reset for whatever reason; skips 0 and all ones.
    pub const GENERATION: u32 = 0x18;
    /// R. See [`super::status`].
    pub const STATUS: u32 = 0x1c;
    /// R. Why the function was rejected or halted, see [`super::Reason`]; bits 31:16 hold a detail (queue, opcode…).
    pub const REASON: u32 = 0x20;
    /// R. Grows by 1 each 100 ms while the function is alive; skips all ones.
    pub const HEARTBEAT: u32 = 0x24;
    /// R. The longest that a reset takes, in milliseconds.
    pub const RESET_TIMEOUT: u32 = 0x28;
    /// R. The longest that a command takes, in milliseconds, where its description names no other limit.
    pub const COMMAND_TIMEOUT: u32 = 0x2c;
    /// W. See [`super::control`]. Writing starts an action; reads as 0.
    pub const CONTROL: u32 = 0x30;
    /// W. Oldest interface version the driver can work with.
    pub const DRIVER_ABI_MIN: u32 = 0x34;
    /// W. Newest interface version the driver knows.
    pub const DRIVER_ABI_MAX: u32 = 0x38;
    /// R. Deepest admin queue, as log2 of entries. Bits 7:0 admin, bits 15:8 event queue.
    pub const DEPTH_MAX: u32 = 0x3c;
    /// W. 64 bits of driver capabilities, see [`super::driver_caps`].
    pub const DRIVER_CAPS: u32 = 0x40;
    /// W. Bus address (64 bits) of the admin submission ring, 64-byte entries, aligned to 4096.
    pub const ADMIN_SQ: u32 = 0x48;
    /// W. Bus address (64 bits) of the admin completion ring, 32-byte entries, as many as the submission ring, aligned to 4096.
    pub const ADMIN_CQ: u32 = 0x50;
    /// W. Bus address (64 bits) of the event ring, 64-byte entries, aligned to 4096.
    pub const EVENT_RING: u32 = 0x58;
    /// W. log2 of entries: bits 7:0 admin rings (4 to the published limit), bits 15:8 event ring (4 to the published limit).
    pub const DEPTH: u32 = 0x60;
    /// R. Number of 4096-byte doorbell pages in BAR 2.
    pub const DOORBELL_PAGES: u32 = 0x64;
    /// R. Number of MSI-X vectors that the function may use now (the table size that configuration space shows).
    pub const VECTORS: u32 = 0x68;
    /// R. Bits 7:0: number of wire ports below this PF. 0 for a VF.
    pub const PORTS: u32 = 0x6c;
    /// R. Interface version agreed on; 0 before DRIVER_OK was accepted.
    pub const AGREED_ABI: u32 = 0x70;
}

/// Bits of [`device::STATUS`].
pub mod status {
    /// The function takes the handshake or works. Clear during a reset.
    pub const READY: u32 = 1 << 0;
    /// The last reset has finished: no DMA is under way, all objects are gone.
    pub const RESET_DONE: u32 = 1 << 1;
    /// DRIVER_OK was accepted; the admin queue works.
    pub const ACCEPTED: u32 = 1 << 2;
    /// DRIVER_OK was rejected, [`super::device::REASON`] says why. A new DRIVER_OK may be tried.
    pub const REJECTED: u32 = 1 << 3;
    /// The function stopped after an error that it cannot answer otherwise; only a reset helps.
    pub const HALTED: u32 = 1 << 4;
    /// The device asks the driver for a reset of this function.
    pub const RESET_REQUESTED: u32 = 1 << 5;
}

/// Bits of [`device::CONTROL`].
pub mod control {
    /// Reset this function. Bits 15:8 say why, see [`super::ResetReason`].
    pub const RESET: u32 = 1 << 0;
    /// The registers of the handshake are filled in: take them.
    pub const DRIVER_OK: u32 = 1 << 1;
    /// Shift of the reason of a reset.
    pub const REASON_SHIFT: u32 = 8;
}

/// Bits of [`device::DRIVER_CAPS`].
pub mod driver_caps {
    /// The driver answers RESET_REQUESTED by a reset of its own accord.
    pub const RESET_ON_REQUEST: u64 = 1 << 0;
    /// Every bit that this version defines. Others are ignored by the device.
    pub const ALL: u64 = RESET_ON_REQUEST;
}

crate::open_enum! {
    /// Why a driver resets its function; the device keeps the last one for its operator.
    pub enum ResetReason: u8 {
        /// Not said.
        UNKNOWN = 0: "not said",
        /// The driver takes over the function.
        PROBE = 1: "probe",
        /// The driver lets go of the function.
        REMOVE = 2: "remove",
        /// A transmit queue made no progress.
        TX_TIMEOUT = 3: "transmit time-out",
        /// A command got no answer in time.
        COMMAND_TIMEOUT = 4: "command time-out",
        /// The device broke the rules of this interface.
        PROTOCOL = 5: "protocol error",
        /// The device asked for it.
        REQUESTED = 6: "asked by the device",
        /// A user asked for it.
        USER = 7: "asked by the user",
        /// PCI error recovery.
        PCI_ERROR = 8: "PCI error",
        /// The machine shuts down or starts another kernel.
        SHUTDOWN = 9: "shutdown",
        /// The heartbeat stood still, or the function was found halted.
        HEALTH = 10: "health",
    }
}

crate::open_enum! {
    /// Why a function was rejected or halted.
    pub enum Reason: u16 {
        /// No reason: all is well.
        NONE = 0: "none",
        /// No common interface version.
        VERSION = 1: "no common interface version",
        /// A ring address is not aligned.
        ALIGNMENT = 2: "ring address not aligned",
        /// A ring depth is out of range.
        DEPTH = 3: "ring depth out of range",
        /// A ring is not readable or writable by DMA.
        DMA = 4: "DMA fault on a control ring",
        /// A doorbell named an index that is out of range.
        DOORBELL = 5: "doorbell index out of range",
        /// The event ring was not consumed in time; a warning in the health block, never a reason to halt.
        EVENT_OVERRUN = 6: "event ring overrun",
        /// Halted by the device's operator.
        OPERATOR = 7: "halted by the operator",
        /// An internal error of the device.
        INTERNAL = 8: "internal error",
        /// A command id was used twice at the same time.
        COMMAND_ID = 9: "command id in use",
        /// DRIVER_OK in a state that does not allow it.
        STATE = 10: "not allowed in this state",
    }
}

/// Offsets in the self-test block, relative to its start.
pub mod self_test {
    /// W. Keeps what was written, inverted on reading.
    pub const SCRATCH: u32 = 0x08;
    /// W. Raises the MSI-X vector written.
    pub const INTERRUPT: u32 = 0x0c;
    /// W. Bus address (64 bits) of a buffer for the DMA test.
    pub const DMA_ADDRESS: u32 = 0x10;
    /// W. Its length in bytes, up to 4096; a multiple of 8.
    pub const DMA_LENGTH: u32 = 0x18;
    /// W. Runs a test: 1 fills the buffer with the byte 0x5a, 2 inverts each byte.
    pub const DMA_CONTROL: u32 = 0x1c;
    /// R. 0: idle, 1: the last test passed, 2: DMA fault, 3: bad request.
    pub const DMA_RESULT: u32 = 0x20;
}

/// Offsets in the health block, relative to its start.
pub mod health {
    /// R. 0: healthy, 1: warning, 2: error, 3: fatal.
    pub const SEVERITY: u32 = 0x08;
    /// R. What happened, see [`super::Reason`].
    pub const SYNDROME: u32 = 0x0c;
    /// R. When: milliseconds since the device started, 64 bits.
    pub const TIME: u32 = 0x10;
    /// R. Number of errors since the device started.
    pub const COUNT: u32 = 0x18;
    /// R. The reason of the last reset by the driver, see [`super::ResetReason`].
    pub const LAST_RESET: u32 = 0x1c;
    /// W. From version 2 on, as all that follow. The driver knows of so many errors: where that is COUNT, SEVERITY returns to 0.
    pub const ACKNOWLEDGE: u32 = 0x20;
    /// W. Bus address (64 bits) of a buffer for a piece of the dump, a multiple of 8.
    pub const DUMP_ADDRESS: u32 = 0x28;
    /// W. Length of the piece in bytes, 8 to [`crate::dump::DUMP_PIECE_MAX`], a multiple of 8.
    pub const DUMP_LENGTH: u32 = 0x30;
    /// W. Where the piece begins in the dump, in bytes; a multiple of 8.
    pub const DUMP_OFFSET: u32 = 0x34;
    /// W. Starts an action, see [`super::DumpAction`]. Reads as 0.
    pub const DUMP_CONTROL: u32 = 0x38;
    /// R. How the last action ended, see [`super::DumpResult`].
    pub const DUMP_RESULT: u32 = 0x3c;
    /// R. Length in bytes of the dump that is held; 0: none.
    pub const DUMP_SIZE: u32 = 0x40;
    /// R. Number of the dump that is held, or was last.
    pub const DUMP_NUMBER: u32 = 0x44;
}

crate::open_enum! {
    /// What is done with the dump of the function.
    pub enum DumpAction: u32 {
        /// A dump of the function as it is takes the place of the one that is held.
        MAKE = 1: "make",
        /// A piece of the dump that is held is written to the buffer; a piece that ends beyond it is filled up with zeros.
        READ = 2: "read",
        /// The dump that is held is forgotten.
        DROP = 3: "drop",
    }
}

crate::open_enum! {
    /// How an action with the dump ended.
    pub enum DumpResult: u32 {
        /// None yet since the last reset, or still under way.
        NONE = 0: "none",
        /// It was done.
        DONE = 1: "done",
        /// The buffer could not be written.
        DMA = 2: "DMA fault",
        /// Address, length, offset or action is not allowed.
        BAD = 3: "bad request",
        /// No dump is held.
        MISSING = 4: "no dump",
    }
}

/// Offsets in the clock block, relative to its start.
pub mod clock {
    /// R. Time in nanoseconds, 64 bits. One aligned 64-bit read shows one instant. Who can read 32 bits only reads the high
    /// word, the low word, and the high word again, until both high words are the same.
    pub const TIME: u32 = 0x08;
}
