// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The vfio-user socket: bytes and descriptors in, whole messages out.
//!
//! Nothing here ever waits. Output that the socket does not take stays in a queue; as QEMU may be waiting for us in
//! the meantime, input goes on being read.

use super::protocol::{HEADER_SIZE, Header, MAX_FDS, MAX_MESSAGE};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};
use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use thiserror::Error;

/// Read at once, in bytes.
const READ_SIZE: usize = 64 << 10;
/// Sent at once, in bytes. A socket takes a piece of this size whole or not at all, which matters: QEMU gives up on a
/// connection from which it reads half a header.
const SEND_SIZE: usize = 16 << 10;
/// Bytes that are already sent are thrown away when they are so many, even if others still wait.
const COMPACT_SIZE: usize = 1 << 20;
/// More output than this means that the client has stopped reading.
const MAX_OUTPUT: usize = 64 << 20;

/// Why a connection ends.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The client has closed its end.
    #[error("the client has disconnected")]
    Closed,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(#[from] Errno),
    /// Not vfio-user.
    #[error("message of impossible size {0}")]
    Size(u32),
    /// The client does not read.
    #[error("the client does not read what it is sent")]
    Stuck,
}

/// A message from the client.
#[derive(Debug)]
pub struct Received {
    /// Its header.
    pub header: Header,
    /// What follows the header.
    pub body: Vec<u8>,
    /// Descriptors that came with it.
    pub fds: Vec<OwnedFd>,
}

/// Descriptors, and the position in the stream up to which the read went that brought them.
struct Passed {
    end: u64,
    fds: Vec<OwnedFd>,
}

/// A connected client.
pub struct Connection {
    socket: UnixStream,
    /// Room for input; what is in use lies at its start.
    input: Vec<u8>,
    /// End in `input` of what has been read.
    filled: usize,
    /// Start in `input` of what is not taken yet.
    taken: usize,
    /// Position in the stream of the start of `input`.
    position: u64,
    passed: VecDeque<Passed>,
    output: Vec<u8>,
    /// Sizes of the messages in `output`.
    sizes: VecDeque<usize>,
    /// Start in `output` of what is not sent yet.
    sent: usize,
    blocked: bool,
}

impl Connection {
    /// Takes over a connected socket.
    ///
    /// # Errors
    /// If the socket cannot be made non-blocking.
    pub fn new(socket: UnixStream) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Connection {
            socket,
            input: Vec::new(),
            filled: 0,
            taken: 0,
            position: 0,
            passed: VecDeque::new(),
            output: Vec::new(),
            sizes: VecDeque::new(),
            sent: 0,
            blocked: false,
        })
    }

    /// Whether output waits for the socket.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Reads what has arrived. Returns whether there may be more.
    ///
    /// # Errors
    /// The connection is over.
    pub fn fill(&mut self) -> Result<bool, ConnectionError> {
        self.input.copy_within(self.taken..self.filled, 0);
        self.position += self.taken as u64;
        self.filled -= self.taken;
        self.taken = 0;
        if self.input.len() < self.filled + READ_SIZE {
            self.input.resize(self.filled + READ_SIZE, 0);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let result = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut self.input[self.filled..])],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        );
        let count = match result {
            Ok(received) => received.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if count == 0 {
            return Err(ConnectionError::Closed);
        }
        self.filled += count;
        let mut fds = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        // A read ends early where descriptors were passed, or because there is no more.
        let more = !fds.is_empty() || self.filled == self.input.len();
        if !fds.is_empty() {
            let end = self.position + self.filled as u64;
            self.passed.push_back(Passed { end, fds });
        }
        Ok(more)
    }

    /// The next whole message.
    ///
    /// # Errors
    /// The stream is no vfio-user.
    pub fn take_message(&mut self) -> Result<Option<Received>, ConnectionError> {
        let unread = &self.input[self.taken..self.filled];
        let Some(header) = Header::parse(unread) else {
            return Ok(None);
        };
        let size = header.size as usize;
        if !(HEADER_SIZE..=MAX_MESSAGE).contains(&size) {
            return Err(ConnectionError::Size(header.size));
        }
        if unread.len() < size {
            return Ok(None);
        }
        let body = unread[HEADER_SIZE..size].to_vec();
        self.taken += size;
        let fds = self.take_fds(self.position + self.taken as u64);
        Ok(Some(Received { header, body, fds }))
    }

    /// Appends a message to the output.
    pub fn send(&mut self, header: Header, body: &[&[u8]]) {
        header.put(&mut self.output);
        for part in body {
            self.output.extend_from_slice(part);
        }
        self.sizes.push_back(header.size as usize);
    }

    /// Hands the output to the socket, as far as that takes it.
    ///
    /// # Errors
    /// The connection is over.
    pub fn flush(&mut self) -> Result<(), ConnectionError> {
        self.blocked = false;
        while let Some(first) = self.sizes.front() {
            let mut count = *first;
            for size in self.sizes.iter().skip(1) {
                if count + size > SEND_SIZE {
                    break;
                }
                count += size;
            }
            let bytes = &self.output[self.sent..self.sent + count];
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => self.drop_sent(sent),
                Err(Errno::AGAIN) => {
                    self.blocked = true;
                    break;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.output.len() - self.sent > MAX_OUTPUT {
            return Err(ConnectionError::Stuck);
        }
        if self.sizes.is_empty() || self.sent > COMPACT_SIZE {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    fn drop_sent(&mut self, mut count: usize) {
        self.sent += count;
        while let Some(first) = self.sizes.front_mut() {
            if *first > count {
                *first -= count;
                break;
            }
            count -= *first;
            self.sizes.pop_front();
        }
    }

    /// The descriptors of the message that ends at `end`. The kernel ends a read after the piece that descriptors came with,
    /// and a message starts in one piece, so they belong to the last message that starts in that read.
    fn take_fds(&mut self, end: u64) -> Vec<OwnedFd> {
        let mut fds = Vec::new();
        while self.passed.front().is_some_and(|passed| passed.end <= end) {
            if let Some(passed) = self.passed.pop_front() {
                fds.extend(passed.fds);
            }
        }
        fds
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, sendmsg};
    use std::io::{IoSlice, Read, Write};

    fn message(id: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Header::posted(id, 2, body.len()).put(&mut bytes);
        bytes.extend_from_slice(body);
        bytes
    }

    fn pair() -> (UnixStream, Connection) {
        let (client, server) = UnixStream::pair().unwrap();
        (client, Connection::new(server).unwrap())
    }

    #[test]
    fn descriptors_go_to_the_message_they_came_with() {
        let (client, mut connection) = pair();
        let file = memfd_create("file", MemfdFlags::empty()).unwrap();
        let with = |bytes: &[u8]| {
            let files = [file.as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&files)));
            sendmsg(
                &client,
                &[IoSlice::new(bytes)],
                &mut ancillary,
                SendFlags::empty(),
            )
            .unwrap();
        };
        (&client).write_all(&message(1, b"none")).unwrap();
        with(&message(2, b"one"));
        (&client).write_all(&message(3, b"")).unwrap();
        with(&message(4, b"two"));
        (&client).write_all(&message(5, b"none")).unwrap();
        for _ in 0..5 {
            connection.fill().unwrap();
        }
        let mut counts = Vec::new();
        while let Some(received) = connection.take_message().unwrap() {
            counts.push((received.header.id, received.fds.len()));
        }
        assert_eq!(counts, [(1, 0), (2, 1), (3, 0), (4, 1), (5, 0)]);
    }

    #[test]
    fn a_message_in_pieces_is_put_together() {
        let (mut client, mut connection) = pair();
        let bytes = message(7, &[9; 100]);
        for piece in bytes.chunks(11) {
            assert!(connection.take_message().unwrap().is_none());
            client.write_all(piece).unwrap();
            connection.fill().unwrap();
        }
        assert_eq!(connection.take_message().unwrap().unwrap().body, [9; 100]);
        drop(client);
        assert!(matches!(connection.fill(), Err(ConnectionError::Closed)));
    }

    #[test]
    fn impossible_sizes_end_the_connection() {
        for size in [0u32, 15, MAX_MESSAGE as u32 + 1, u32::MAX] {
            let (mut client, mut connection) = pair();
            let mut bytes = message(1, b"");
            bytes[4..8].copy_from_slice(&size.to_le_bytes());
            client.write_all(&bytes).unwrap();
            connection.fill().unwrap();
            assert!(matches!(
                connection.take_message(),
                Err(ConnectionError::Size(wrong)) if wrong == size
            ));
        }
    }

    #[test]
    fn output_waits_for_a_slow_reader_and_arrives_in_order() {
        let (mut client, mut connection) = pair();
        let count = 20_000u16;
        for id in 0..count {
            connection.send(Header::posted(id, 12, 20), &[&[1; 16], &[2; 4]]);
        }
        connection.flush().unwrap();
        assert!(connection.is_blocked());
        let mut bytes = vec![0; 36];
        for id in 0..count {
            if connection.is_blocked() && id % 100 == 0 {
                connection.flush().unwrap();
            }
            client.read_exact(&mut bytes).unwrap();
            assert_eq!(Header::parse(&bytes).unwrap().id, id);
        }
        connection.flush().unwrap();
        assert!(!connection.is_blocked());
    }
}
