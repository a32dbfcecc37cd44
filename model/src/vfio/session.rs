// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What each request of the client does.

use super::connection::{Connection, ConnectionError, Received};
use super::memory::{GuestMemory, MapRequest};
use super::protocol::{
    self, Command, DMA_WRITE, HEADER_SIZE, Header, MAX_DATA, MAX_DMA_MAPS, MAX_FDS, MULTI_ENTRY,
    RegionAccess, u16_at, u32_at, u64_at,
};
use rustix::io::Errno;
use serde::Serialize;
use serde_json::json;
use std::os::unix::net::UnixStream;

const REGIONS: u32 = 9;
const IRQS: u32 = 5;
const DEVICE_RESETTABLE: u32 = 1 << 0;
const DEVICE_PCI: u32 = 1 << 1;
const REGION_READ_WRITE: u32 = 3;
const MAP_WRITE: u32 = 1 << 1;
const UNMAP_ALL: u32 = 1 << 1;
/// After so many messages it is others' turn.
const BATCH: usize = 4096;

/// The device, as a vfio-user server sees it.
pub trait Backend {
    /// Sizes in bytes of the nine regions of a PCI device: BAR0 to BAR5, ROM, configuration space, VGA.
    fn region_sizes(&self) -> [u64; REGIONS as usize];
    /// Reads from a region, inside its size.
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]);
    /// Writes to a region, inside its size.
    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]);
    /// Resets the device.
    fn reset(&mut self);
    /// The memory that the client maps.
    fn memory(&mut self) -> &mut GuestMemory;
}

/// What a session has seen.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counters {
    /// Reads of regions.
    pub reads: u64,
    /// Writes to regions, each one of a coalesced message counted.
    pub writes: u64,
    /// Messages with several writes.
    pub coalesced: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Interrupt messages sent.
    pub interrupts: u64,
}

/// A client and its requests.
pub struct Session {
    connection: Connection,
    greeted: bool,
    next_id: u16,
    counters: Counters,
}

impl Session {
    /// Serves a connected client.
    ///
    /// # Errors
    /// If the socket cannot be made non-blocking.
    pub fn new(socket: UnixStream) -> std::io::Result<Self> {
        Ok(Session {
            connection: Connection::new(socket)?,
            greeted: false,
            next_id: 0,
            counters: Counters::default(),
        })
    }

    /// The socket, to wait for.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Counters of this session.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Reads and handles what the client has sent; returns the number of messages. Replies leave at once when the input
    /// is used up, so that a reader waits for no more than what it has itself put before its read.
    ///
    /// # Errors
    /// The connection is over.
    pub fn serve(&mut self, backend: &mut dyn Backend) -> Result<usize, ConnectionError> {
        let mut messages = 0;
        loop {
            let more = self.connection.fill()?;
            while let Some(received) = self.connection.take_message()? {
                messages += 1;
                self.handle(received, backend);
            }
            self.connection.flush()?;
            if !more || messages >= BATCH {
                return Ok(messages);
            }
        }
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// The connection is over.
    pub fn flush(&mut self) -> Result<(), ConnectionError> {
        self.connection.flush()
    }

    /// Queues an interrupt: a write of `data` to bus address `address`, for which no reply is wanted.
    pub fn interrupt(&mut self, address: u64, data: u32) {
        let data = data.to_le_bytes();
        self.next_id = self.next_id.wrapping_add(1);
        self.connection.send(
            Header::posted(self.next_id, DMA_WRITE, 16 + data.len()),
            &[
                &address.to_le_bytes(),
                &(data.len() as u64).to_le_bytes(),
                &data,
            ],
        );
        self.counters.interrupts += 1;
    }

    fn handle(&mut self, received: Received, backend: &mut dyn Backend) {
        let header = received.header;
        if header.is_reply() {
            return; // of an interrupt that QEMU could not deliver; it is no use to repeat it
        }
        let command = Command::from(header.command);
        let result = if !self.greeted && command != Command::Version {
            Err(Errno::INVAL)
        } else {
            self.execute(command, received, backend)
        };
        match result {
            Ok(body) if header.wants_reply() => {
                self.connection.send(header.reply(body.len()), &[&body]);
            }
            Ok(_) => {}
            Err(error) => {
                self.counters.failures += 1;
                log::warn!("vfio-user request {command:?} failed: {error}");
                if header.wants_reply() {
                    let errno = error.raw_os_error();
                    self.connection.send(header.failure(errno), &[]);
                }
            }
        }
    }

    /// Does what a request asks for and returns the body of the reply.
    fn execute(
        &mut self,
        command: Command,
        received: Received,
        backend: &mut dyn Backend,
    ) -> Result<Vec<u8>, Errno> {
        let body = &received.body;
        match command {
            Command::RegionRead => self.region_read(body, backend),
            Command::RegionWrite => self.region_write(body, backend),
            Command::RegionWriteMulti => self.region_write_multi(body, backend),
            Command::Version => self.version(body),
            Command::DmaMap => dma_map(received, backend.memory()),
            Command::DmaUnmap => dma_unmap(body, backend.memory()),
            Command::DeviceGetInfo => {
                Ok(words(&[16, DEVICE_RESETTABLE | DEVICE_PCI, REGIONS, IRQS]))
            }
            Command::DeviceGetRegionInfo => region_info(body, backend),
            Command::DeviceGetRegionIoFds => {
                let index = u32_at(body, 8).ok_or(Errno::INVAL)?;
                Ok(words(&[16, 0, index, 0])) // none
            }
            Command::DeviceGetIrqInfo => {
                let index = u32_at(body, 8).filter(|index| *index < IRQS);
                Ok(words(&[16, 0, index.ok_or(Errno::INVAL)?, 0])) // none: all interrupts are messages
            }
            Command::DeviceSetIrqs => {
                let count = u32_at(body, 16).ok_or(Errno::INVAL)?;
                if count == 0 {
                    Ok(Vec::new())
                } else {
                    Err(Errno::INVAL)
                }
            }
            Command::DeviceReset => {
                backend.reset();
                Ok(Vec::new())
            }
            Command::Unknown(_) => Err(Errno::OPNOTSUPP),
        }
    }

    fn version(&mut self, body: &[u8]) -> Result<Vec<u8>, Errno> {
        let major = u16_at(body, 0).ok_or(Errno::INVAL)?;
        let minor = u16_at(body, 2).ok_or(Errno::INVAL)?;
        let text = String::from_utf8_lossy(&body[4..]);
        log::info!(
            "client speaks vfio-user {major}.{minor} {}",
            text.trim_end_matches('\0')
        );
        if major != 0 {
            return Err(Errno::OPNOTSUPP);
        }
        self.greeted = true;
        let offer = json!({"capabilities": {
            "max_msg_fds": MAX_FDS,
            "max_data_xfer_size": MAX_DATA,
            "max_dma_maps": MAX_DMA_MAPS,
            "pgsizes": 4096,
            "write_multiple": true,
        }});
        let mut reply = vec![0; 4];
        reply.extend_from_slice(offer.to_string().as_bytes());
        reply.push(0);
        Ok(reply)
    }

    fn region_read(&mut self, body: &[u8], backend: &mut dyn Backend) -> Result<Vec<u8>, Errno> {
        let access = checked(body, backend)?;
        self.counters.reads += 1;
        let mut reply = body[..RegionAccess::SIZE].to_vec();
        reply.resize(RegionAccess::SIZE + access.count as usize, 0);
        backend.region_read(
            access.region,
            access.offset,
            &mut reply[RegionAccess::SIZE..],
        );
        Ok(reply)
    }

    fn region_write(&mut self, body: &[u8], backend: &mut dyn Backend) -> Result<Vec<u8>, Errno> {
        self.write_one(body, backend)?;
        Ok(body[..RegionAccess::SIZE].to_vec())
    }

    fn region_write_multi(
        &mut self,
        body: &[u8],
        backend: &mut dyn Backend,
    ) -> Result<Vec<u8>, Errno> {
        let count = u64_at(body, 0).ok_or(Errno::INVAL)?;
        self.counters.coalesced += 1;
        let entries = body[8..].chunks_exact(MULTI_ENTRY);
        if entries.len() as u64 != count {
            return Err(Errno::INVAL);
        }
        for entry in entries {
            self.write_one(entry, backend)?;
        }
        Ok(body[..8].to_vec())
    }

    fn write_one(&mut self, body: &[u8], backend: &mut dyn Backend) -> Result<(), Errno> {
        let access = checked(body, backend)?;
        let data = body[RegionAccess::SIZE..]
            .get(..access.count as usize)
            .ok_or(Errno::INVAL)?;
        self.counters.writes += 1;
        backend.region_write(access.region, access.offset, data);
        Ok(())
    }
}

/// The access that `body` starts with, if it lies inside its region.
fn checked(body: &[u8], backend: &dyn Backend) -> Result<RegionAccess, Errno> {
    let access = RegionAccess::parse(body).ok_or(Errno::INVAL)?;
    let size = *backend
        .region_sizes()
        .get(access.region as usize)
        .ok_or(Errno::INVAL)?;
    let end = access
        .offset
        .checked_add(u64::from(access.count))
        .ok_or(Errno::INVAL)?;
    if end > size || access.count as usize > MAX_DATA {
        return Err(Errno::INVAL);
    }
    Ok(access)
}

fn region_info(body: &[u8], backend: &dyn Backend) -> Result<Vec<u8>, Errno> {
    let index = u32_at(body, 8).ok_or(Errno::INVAL)?;
    let size = *backend
        .region_sizes()
        .get(index as usize)
        .ok_or(Errno::INVAL)?;
    let flags = if size > 0 { REGION_READ_WRITE } else { 0 };
    let mut reply = words(&[32, flags, index, 0]);
    reply.extend_from_slice(&size.to_le_bytes());
    reply.extend_from_slice(&0u64.to_le_bytes());
    Ok(reply)
}

/// `argsz u32 | flags u32 | offset u64 | address u64 | size u64`, and the file's descriptor.
fn dma_map(received: Received, memory: &mut GuestMemory) -> Result<Vec<u8>, Errno> {
    let body = &received.body;
    let flags = u32_at(body, 4).ok_or(Errno::INVAL)?;
    let offset = u64_at(body, 8).ok_or(Errno::INVAL)?;
    let start = u64_at(body, 16).ok_or(Errno::INVAL)?;
    let len = u64_at(body, 24).ok_or(Errno::INVAL)?;
    let mut fds = received.fds.into_iter();
    let request = MapRequest {
        start,
        len,
        writable: flags & MAP_WRITE != 0,
        file: fds.next().map(|file| (file, offset)),
    };
    log::debug!("map {request:x?}");
    memory.map(request)?;
    Ok(Vec::new())
}

/// `argsz u32 | flags u32 | address u64 | size u64`; the reply repeats it.
fn dma_unmap(body: &[u8], memory: &mut GuestMemory) -> Result<Vec<u8>, Errno> {
    let flags = u32_at(body, 4).ok_or(Errno::INVAL)?;
    let start = u64_at(body, 8).ok_or(Errno::INVAL)?;
    let len = u64_at(body, 16).ok_or(Errno::INVAL)?;
    log::debug!("unmap {start:#x}, {len:#x} bytes, flags {flags:#x}");
    match flags {
        0 => memory.unmap(start, len)?,
        UNMAP_ALL => memory.clear(),
        _ => return Err(Errno::OPNOTSUPP),
    }
    Ok(body[..24].to_vec())
}

fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

const _: () = assert!(protocol::MAX_MESSAGE >= HEADER_SIZE + RegionAccess::SIZE + MAX_DATA);
