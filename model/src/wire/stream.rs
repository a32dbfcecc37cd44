// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A wire over a UNIX stream socket in QEMU's framing (`-netdev stream`): each frame after its length in 4 bytes, big-endian.
//!
//! There is a carrier while a peer is connected. A peer that goes away may come back: a listener waits for the next one,
//! a connector tries again ten times a second.

use super::frames::Frames;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{SendFlags, send, sockopt};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Longest frame that QEMU's framing carries, in bytes. One that claims to be longer means that the stream is out of step.
const MAX_STREAM_FRAME: usize = 68 << 10;
/// Read at once, in bytes.
const READ_SIZE: usize = 256 << 10;
/// Most bytes that wait for the peer.
const QUEUE_SIZE: usize = 4 << 20;
/// Send buffer that is asked of the kernel, in bytes.
const SOCKET_BUFFER: usize = 1 << 20;
const RETRY_NS: u64 = 100_000_000;

enum Origin {
    Listener(UnixListener),
    Peer { path: PathBuf, retry: u64 },
}

/// The socket of a wire.
pub struct Stream {
    origin: Origin,
    peer: Option<UnixStream>,
    /// Start of a frame whose rest has not arrived.
    partial: Vec<u8>,
    queue: Vec<u8>,
    sent: usize,
    blocked: bool,
}

/// Binds a UNIX socket, in the place of one that an earlier process has left behind.
///
/// # Errors
/// If that fails, or something other than a socket is there.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Stream {
    /// A wire that a peer connects to.
    ///
    /// # Errors
    /// If the socket cannot be bound.
    pub fn listen(path: &Path) -> io::Result<Self> {
        Ok(Self::new(Origin::Listener(bind(path)?)))
    }

    /// A wire to a peer's socket.
    pub fn connect(path: &Path) -> Self {
        Self::new(Origin::Peer {
            path: path.to_path_buf(),
            retry: 0,
        })
    }

    fn new(origin: Origin) -> Self {
        Stream {
            origin,
            peer: None,
            partial: Vec::new(),
            queue: Vec::new(),
            sent: 0,
            blocked: false,
        }
    }

    /// Whether a peer is connected.
    pub fn is_connected(&self) -> bool {
        self.peer.is_some()
    }

    /// Queues a frame for the peer; false if there is no room.
    pub fn send(&mut self, frame: &[u8]) -> bool {
        if self.queue.len() - self.sent + frame.len() > QUEUE_SIZE {
            return false;
        }
        self.queue
            .extend_from_slice(&(frame.len() as u32).to_be_bytes());
        self.queue.extend_from_slice(frame);
        true
    }

    /// Hands the queue to the socket, as far as that takes it.
    pub fn flush(&mut self) {
        let Some(peer) = &self.peer else { return };
        self.blocked = false;
        while self.sent < self.queue.len() {
            match send(peer, &self.queue[self.sent..], SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.blocked = true;
                    break;
                }
                Err(error) => return self.disconnect(&error.to_string()),
            }
        }
        if self.sent == self.queue.len() {
            self.queue.clear();
            self.sent = 0;
        } else if self.sent > QUEUE_SIZE / 2 {
            self.queue.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Accepts or seeks a peer, then reads what it has sent.
    pub fn receive(&mut self, now: u64, frames: &mut Frames) {
        if self.peer.is_none() {
            self.find_peer(now);
        }
        let Some(peer) = &mut self.peer else { return };
        frames.append(&self.partial);
        self.partial.clear();
        let result = peer.read(frames.room(READ_SIZE));
        frames.fill(*result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => self.disconnect("the peer has closed it"),
            Ok(_) => {}
            Err(error) if is_transient(&error) => {}
            Err(error) => self.disconnect(&error.to_string()),
        }
        match frames.split(MAX_STREAM_FRAME) {
            Ok(end) => self.partial.extend_from_slice(frames.tail(end)),
            Err(len) => self.disconnect(&format!("a frame claims to be {len} bytes long")),
        }
        if self.peer.is_none() {
            self.partial.clear();
        }
    }

    /// What to wait for.
    pub fn poll_fd(&self) -> Option<PollFd<'_>> {
        match (&self.peer, &self.origin) {
            (Some(peer), _) if self.blocked => {
                Some(PollFd::new(peer, PollFlags::IN | PollFlags::OUT))
            }
            (Some(peer), _) => Some(PollFd::new(peer, PollFlags::IN)),
            (None, Origin::Listener(listener)) => Some(PollFd::new(listener, PollFlags::IN)),
            (None, Origin::Peer { .. }) => None,
        }
    }

    /// When to try to connect again, in ns.
    pub fn deadline(&self) -> Option<u64> {
        match &self.origin {
            Origin::Peer { retry, .. } if self.peer.is_none() => Some(*retry),
            _ => None,
        }
    }

    fn find_peer(&mut self, now: u64) {
        let found = match &mut self.origin {
            Origin::Listener(listener) => listener.accept().map(|(peer, _)| peer),
            Origin::Peer { retry, .. } if now < *retry => return,
            Origin::Peer { path, retry } => {
                *retry = now + RETRY_NS;
                UnixStream::connect(&*path)
            }
        };
        let Ok(peer) = found else { return };
        if let Err(error) = peer.set_nonblocking(true) {
            return log::warn!("cannot use a wire's socket: {error}");
        }
        // A smaller buffer than wished for is no failure.
        let _ = sockopt::set_socket_send_buffer_size(&peer, SOCKET_BUFFER);
        log::info!("wire connected");
        self.peer = Some(peer);
    }

    fn disconnect(&mut self, reason: &str) {
        log::info!("wire disconnected: {reason}");
        self.peer = None;
        self.queue.clear();
        self.sent = 0;
        self.blocked = false;
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
