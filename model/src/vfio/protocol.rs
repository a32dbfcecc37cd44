// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! vfio-user messages as bytes. All fields are little-endian (the protocol says host order; the host is x86).
//!
//! ```text
//! header, 16 bytes:  id u16 | command u16 | size u32 (with header) | flags u32 | error u32
//! flags:  0-3 type (0 request, 1 reply) | 4 no reply wanted | 5 error
//! ```

/// Size of the header in bytes.
pub const HEADER_SIZE: usize = 16;
/// Most data in one message, in bytes; offered to the client.
pub const MAX_DATA: usize = 1 << 20;
/// Largest message that is read at all.
pub const MAX_MESSAGE: usize = MAX_DATA + 4096;
/// Most file descriptors with one message; offered to the client.
pub const MAX_FDS: usize = 8;
/// Most DMA mappings; offered to the client.
pub const MAX_DMA_MAPS: usize = 65535;

const FLAG_TYPE: u32 = 0xF;
const FLAG_REPLY: u32 = 1;
const FLAG_NO_REPLY: u32 = 1 << 4;
const FLAG_ERROR: u32 = 1 << 5;

/// Commands that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Version,
    DmaMap,
    DmaUnmap,
    DeviceGetInfo,
    DeviceGetRegionInfo,
    DeviceGetRegionIoFds,
    DeviceGetIrqInfo,
    DeviceSetIrqs,
    RegionRead,
    RegionWrite,
    DeviceReset,
    RegionWriteMulti,
    Unknown(u16),
}

/// Server to client: write to guest memory, used for interrupts.
pub const DMA_WRITE: u16 = 12;

impl From<u16> for Command {
    fn from(number: u16) -> Self {
        match number {
            1 => Command::Version,
            2 => Command::DmaMap,
            3 => Command::DmaUnmap,
            4 => Command::DeviceGetInfo,
            5 => Command::DeviceGetRegionInfo,
            6 => Command::DeviceGetRegionIoFds,
            7 => Command::DeviceGetIrqInfo,
            8 => Command::DeviceSetIrqs,
            9 => Command::RegionRead,
            10 => Command::RegionWrite,
            13 => Command::DeviceReset,
            15 => Command::RegionWriteMulti,
            number => Command::Unknown(number),
        }
    }
}

/// Header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Chosen by the sender of the request, repeated in the reply.
    pub id: u16,
    /// Number of the command.
    pub command: u16,
    /// Size of the message in bytes, with header.
    pub size: u32,
    /// See the picture above.
    pub flags: u32,
    /// An errno, in a reply that says error.
    pub error: u32,
}

impl Header {
    /// Reads a header from the start of `bytes`, if that is long enough.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Header {
            id: u16_at(bytes, 0)?,
            command: u16_at(bytes, 2)?,
            size: u32_at(bytes, 4)?,
            flags: u32_at(bytes, 8)?,
            error: u32_at(bytes, 12)?,
        })
    }

    /// Whether this is a reply to something that the server sent.
    pub fn is_reply(&self) -> bool {
        self.flags & FLAG_TYPE == FLAG_REPLY
    }

    /// Whether the sender waits for a reply.
    pub fn wants_reply(&self) -> bool {
        self.flags & FLAG_NO_REPLY == 0
    }

    /// The header of the reply to this request, for `body` bytes of reply.
    pub fn reply(&self, body: usize) -> Self {
        Header {
            size: (HEADER_SIZE + body) as u32,
            flags: FLAG_REPLY,
            error: 0,
            ..*self
        }
    }

    /// The header that says that this request failed with `errno`.
    pub fn failure(&self, errno: i32) -> Self {
        Header {
            size: HEADER_SIZE as u32,
            flags: FLAG_REPLY | FLAG_ERROR,
            error: errno as u32,
            ..*self
        }
    }

    /// The header of a request that wants no reply.
    pub fn posted(id: u16, command: u16, body: usize) -> Self {
        Header {
            id,
            command,
            size: (HEADER_SIZE + body) as u32,
            flags: FLAG_NO_REPLY,
            error: 0,
        }
    }

    /// Appends the header's bytes.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.command.to_le_bytes());
        for word in [self.size, self.flags, self.error] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
}

/// Target of a region access: `offset u64 | region u32 | count u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionAccess {
    /// Offset in the region, in bytes.
    pub offset: u64,
    /// Index of the region.
    pub region: u32,
    /// Bytes to read or write.
    pub count: u32,
}

impl RegionAccess {
    /// Size in a message, in bytes.
    pub const SIZE: usize = 16;

    /// Reads it from the start of `bytes`.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Some(RegionAccess {
            offset: u64_at(bytes, 0)?,
            region: u32_at(bytes, 8)?,
            count: u32_at(bytes, 12)?,
        })
    }
}

/// Size of one write in a REGION_WRITE_MULTI message: a [`RegionAccess`] and 8 bytes of data.
pub const MULTI_ENTRY: usize = RegionAccess::SIZE + 8;

/// The 16-bit value at `at`.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The 32-bit value at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The 64-bit value at `at`.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
