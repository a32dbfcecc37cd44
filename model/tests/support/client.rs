// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A vfio-user client in the place of QEMU, which also does what the guest does first: bus numbers, windows, BARs.

use oxnic_model::host::Function;
use oxnic_model::vfio::protocol::{DMA_WRITE, HEADER_SIZE, Header, u64_at};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::collections::VecDeque;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Region of the configuration space of the buses below VMD.
pub const CONFIG_WINDOW: u32 = 0;
/// Region of the 64-bit memory window.
pub const MEMORY64: u32 = 4;
/// Region of VMD's own configuration space.
pub const CONFIG: u32 = 7;
/// Where BAR4 of VMD is.
pub const WINDOW: u64 = 0x38_0000_0000;
/// Where in the window the PF's BARs start, 64 KiB each.
pub const PF_BARS: u64 = 0x10_0000;
/// Where in the window the VFs' BARs start, 2 MiB each.
pub const VF_BARS: u64 = 0x20_0000;
/// The guest's memory, from bus address 0.
pub const MEMORY_SIZE: u64 = 1 << 20;

const SRIOV: u64 = 0x160;

pub struct Client {
    socket: UnixStream,
    next_id: u16,
    /// Interrupts that have arrived: address and data.
    pub interrupts: VecDeque<(u64, u32)>,
}

/// A failed request's errno.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure(pub u32);

impl Client {
    /// Connects and greets.
    pub fn connect(path: &Path) -> Self {
        let mut client = Self::connect_rude(path);
        let mut body = vec![0; 4];
        body.extend_from_slice(b"{\"capabilities\":{\"max_msg_fds\":16}}\0");
        let reply = client.request(1, &body).unwrap();
        assert!(reply.ends_with(b"}\0"));
        client
    }

    /// Connects, as soon as the device listens, and says nothing.
    pub fn connect_rude(path: &Path) -> Self {
        let mut tries = 0;
        let socket = loop {
            match UnixStream::connect(path) {
                Ok(socket) => break socket,
                Err(error) if tries == 200 => panic!("{}: {error}", path.display()),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
            tries += 1;
        };
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Client {
            socket,
            next_id: 0,
            interrupts: VecDeque::new(),
        }
    }

    /// Sends a request and returns the body of its reply.
    pub fn request(&mut self, command: u16, body: &[u8]) -> Result<Vec<u8>, Failure> {
        self.send(command, 0, body);
        self.reply()
    }

    /// Sends a message as it is.
    pub fn send(&mut self, command: u16, flags: u32, body: &[u8]) {
        let bytes = self.message(command, flags, body);
        self.socket.write_all(&bytes).unwrap();
    }

    /// Sends bytes.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        // A device that has had enough closes the socket.
        let _ = self.socket.write_all(bytes);
    }

    /// Waits for the device to close the connection; false if it sends something first or does not.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.socket.read(&mut [0; 1]), Ok(0) | Err(_))
    }

    /// Maps the guest's memory and returns its file.
    pub fn map_memory(&mut self) -> OwnedFd {
        let file = memfd_create("guest", MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&file, MEMORY_SIZE).unwrap();
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW).unwrap();
        let mut body = Vec::new();
        body.extend_from_slice(&32u32.to_le_bytes());
        body.extend_from_slice(&3u32.to_le_bytes());
        for word in [0, 0, MEMORY_SIZE] {
            body.extend_from_slice(&word.to_le_bytes());
        }
        let bytes = self.message(2, 0, &body);
        let files = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&files)));
        sendmsg(
            &self.socket,
            &[IoSlice::new(&bytes)],
            &mut ancillary,
            SendFlags::empty(),
        )
        .unwrap();
        self.reply().unwrap();
        file
    }

    /// Reads a region.
    pub fn read(&mut self, region: u32, offset: u64, count: usize) -> Result<Vec<u8>, Failure> {
        let reply = self.request(9, &access(region, offset, count))?;
        assert_eq!(reply.len(), 16 + count);
        Ok(reply[16..].to_vec())
    }

    /// Writes a region and does not wait.
    pub fn post(&mut self, region: u32, offset: u64, data: &[u8]) {
        let mut body = access(region, offset, data.len());
        body.extend_from_slice(data);
        self.send(10, 0x10, &body);
    }

    /// Reads 32 bits of configuration space.
    pub fn config32(&mut self, bus: u64, devfn: u64, register: u64) -> u32 {
        let offset = (bus << 20) | (devfn << 12) | register;
        let bytes = self.read(CONFIG_WINDOW, offset, 4).unwrap();
        u32::from_le_bytes(bytes.try_into().unwrap())
    }

    /// Writes configuration space.
    pub fn set_config(&mut self, bus: u64, devfn: u64, register: u64, data: &[u8]) {
        self.post(CONFIG_WINDOW, (bus << 20) | (devfn << 12) | register, data);
    }

    /// Reads a 64-bit register in BAR0.
    pub fn register(&mut self, function: Function, register: u64) -> u64 {
        let bytes = self.read(MEMORY64, bar(function, 0) + register, 8).unwrap();
        u64::from_le_bytes(bytes.try_into().unwrap())
    }

    /// Writes a 64-bit register in BAR0.
    pub fn set_register(&mut self, function: Function, register: u64, value: u64) {
        self.post(MEMORY64, bar(function, 0) + register, &value.to_le_bytes());
    }

    /// What firmware, kernel and driver do until the PF can be used, with vector 0 unmasked.
    pub fn boot(&mut self) {
        self.post(CONFIG, 0x20, &WINDOW.to_le_bytes());
        self.post(CONFIG, 0x04, &[0x06, 0x00]);
        self.set_config(0, 0, 0x18, &[0, 1, 1]);
        self.set_config(0, 0, 0x24, &[0, 0, 0xF0, 0x03]);
        self.set_config(0, 0, 0x28, &((WINDOW >> 32) as u32).to_le_bytes());
        self.set_config(0, 0, 0x2C, &((WINDOW >> 32) as u32).to_le_bytes());
        self.set_config(0, 0, 0xA8, &[0x20, 0]);
        self.set_config(0, 0, 0x04, &[0x06, 0x00]);
        for index in 0..3 {
            let base = WINDOW + PF_BARS + (index << 16);
            self.set_config(1, 0, 0x10 + 8 * index, &base.to_le_bytes());
            let base = WINDOW + VF_BARS + (index << 21);
            self.set_config(1, 0, SRIOV + 0x24 + 8 * index, &base.to_le_bytes());
        }
        self.enable(Function::Pf);
    }

    /// Makes VFs.
    pub fn enable_vfs(&mut self, count: u16) {
        self.set_config(1, 0, SRIOV + 0x10, &count.to_le_bytes());
        self.set_config(1, 0, SRIOV + 0x08, &[0x19, 0]);
    }

    /// Memory, bus mastering and vector 0 of a function; its message says which function it is.
    pub fn enable(&mut self, function: Function) {
        let devfn = devfn(function);
        self.set_config(1, devfn, 0x04, &[0x06, 0x00]);
        self.set_config(1, devfn, 0x72, &[0, 0x80]);
        let (address, data) = message(function);
        self.post(MEMORY64, bar(function, 2), &address.to_le_bytes());
        self.post(
            MEMORY64,
            bar(function, 2) + 8,
            &u64::from(data).to_le_bytes(),
        );
    }

    fn message(&mut self, command: u16, flags: u32, body: &[u8]) -> Vec<u8> {
        self.next_id = self.next_id.wrapping_add(1);
        let mut bytes = Vec::new();
        Header {
            flags,
            ..Header::posted(self.next_id, command, body.len())
        }
        .put(&mut bytes);
        bytes.extend_from_slice(body);
        bytes
    }

    /// The next reply; interrupts on the way are put aside.
    fn reply(&mut self) -> Result<Vec<u8>, Failure> {
        loop {
            let (header, body) = self.receive();
            if header.is_reply() {
                assert_eq!(header.id, self.next_id);
                return if header.error == 0 {
                    Ok(body)
                } else {
                    Err(Failure(header.error))
                };
            }
        }
    }

    /// Waits for an interrupt.
    pub fn interrupt(&mut self) -> (u64, u32) {
        while self.interrupts.is_empty() {
            assert!(!self.receive().0.is_reply());
        }
        self.interrupts.pop_front().unwrap()
    }

    fn receive(&mut self) -> (Header, Vec<u8>) {
        let mut bytes = [0; HEADER_SIZE];
        self.socket.read_exact(&mut bytes).unwrap();
        let header = Header::parse(&bytes).unwrap();
        let mut body = vec![0; header.size as usize - HEADER_SIZE];
        self.socket.read_exact(&mut body).unwrap();
        if !header.is_reply() {
            assert_eq!(header.command, DMA_WRITE);
            assert!(!header.wants_reply());
            assert_eq!(u64_at(&body, 8), Some(4));
            let data = u32::from_le_bytes(body[16..20].try_into().unwrap());
            self.interrupts.push_back((u64_at(&body, 0).unwrap(), data));
        }
        (header, body)
    }
}

/// The message that [`Client::enable`] gives to vector 0 of a function.
pub fn message(function: Function) -> (u64, u32) {
    (0xFEE0_0000, 0x4000 + devfn(function) as u32)
}

/// Offset in the window of the `index`-th BAR (0, 1, 2 for BAR0, BAR2, BAR4).
pub fn bar(function: Function, index: u64) -> u64 {
    match function {
        Function::Pf => PF_BARS + (index << 16),
        Function::Vf(vf) => VF_BARS + (index << 21) + (u64::from(vf) << 14),
    }
}

fn devfn(function: Function) -> u64 {
    match function {
        Function::Pf => 0,
        Function::Vf(vf) => u64::from(vf) + 1,
    }
}

/// Target of a region access, as bytes.
pub fn access(region: u32, offset: u64, count: usize) -> Vec<u8> {
    let mut body = offset.to_le_bytes().to_vec();
    body.extend_from_slice(&region.to_le_bytes());
    body.extend_from_slice(&(count as u32).to_le_bytes());
    body
}
