// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Wire ports: what is at the far end of the NIC's cables.
//!
//! A [`Wire`] is one cable: something at its far end ([`stream`], loopback, [`replay`]), a plug that the control channel can
//! pull, and optionally a recording ([`capture`]). It never blocks and never pushes back: what the far end does
//! not take in time is dropped and counted, as on a real wire.

pub mod capture;
pub mod frames;
pub mod replay;
pub mod spec;
pub mod stream;

use crate::host::MAX_FRAME;
use capture::Capture;
use frames::Frames;
use replay::Replay;
use rustix::event::PollFd;
use serde::Serialize;
use spec::WireSpec;
use std::io;
use stream::Stream;

/// Most bytes that wait in a loopback.
const LOOPBACK_SIZE: usize = 4 << 20;

/// What has passed a wire, seen from the NIC.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counters {
    /// Frames that arrived.
    pub rx_frames: u64,
    /// Bytes in them.
    pub rx_bytes: u64,
    /// Frames longer than a wire carries, thrown away.
    pub rx_oversize: u64,
    /// Frames that arrived while the cable was unplugged.
    pub rx_unplugged: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Bytes in them.
    pub tx_bytes: u64,
    /// Frames dropped because the far end does not keep up.
    pub tx_full: u64,
    /// Frames dropped for want of a carrier.
    pub tx_no_carrier: u64,
}

enum FarEnd {
    Nothing,
    Stream(Stream),
    Loopback(Frames),
    Replay(Replay),
}

/// One wire port's cable.
pub struct Wire {
    far_end: FarEnd,
    plugged: bool,
    capture: Option<Capture>,
    counters: Counters,
}

impl Wire {
    /// Makes a wire; with a `capture`, all its frames are recorded.
    ///
    /// # Errors
    /// If the socket cannot be made, or the recording cannot be read.
    pub fn new(spec: &WireSpec, capture: Option<Capture>) -> io::Result<Self> {
        let far_end = match spec {
            WireSpec::Listen(path) => FarEnd::Stream(Stream::listen(path)?),
            WireSpec::Connect(path) => FarEnd::Stream(Stream::connect(path)),
            WireSpec::Loopback => FarEnd::Loopback(Frames::default()),
            WireSpec::Replay(path) => FarEnd::Replay(Replay::open(path)?),
        };
        Ok(Wire {
            far_end,
            plugged: true,
            capture,
            counters: Counters::default(),
        })
    }

    /// A port with no cable.
    pub fn unconnected() -> Self {
        Wire {
            far_end: FarEnd::Nothing,
            plugged: true,
            capture: None,
            counters: Counters::default(),
        }
    }

    /// Counters since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether there is a carrier: plugged, and somebody at the far end.
    pub fn has_carrier(&self) -> bool {
        self.plugged
            && match &self.far_end {
                FarEnd::Stream(stream) => stream.is_connected(),
                FarEnd::Loopback(_) | FarEnd::Replay(_) => true,
                FarEnd::Nothing => false,
            }
    }

    /// Plugs the cable in, or pulls it.
    pub fn set_plugged(&mut self, plugged: bool) {
        self.plugged = plugged;
    }

    /// Starts the recording at the far end, `times` times over.
    ///
    /// # Errors
    /// If there is no recording.
    pub fn start_replay(&mut self, now: u64, times: u64) -> Result<(), String> {
        match &mut self.far_end {
            FarEnd::Replay(replay) => {
                replay.start(now, times);
                Ok(())
            }
            _ => Err("this port has no recording to replay".to_string()),
        }
    }

    /// Sends a frame; false if it was dropped.
    pub fn transmit(&mut self, frame: &[u8]) -> bool {
        if !self.has_carrier() {
            self.counters.tx_no_carrier += 1;
            return false;
        }
        let sent = match &mut self.far_end {
            FarEnd::Stream(stream) => stream.send(frame),
            FarEnd::Loopback(frames) if frames.bytes() + frame.len() > LOOPBACK_SIZE => false,
            FarEnd::Loopback(frames) => {
                frames.push(frame);
                true
            }
            FarEnd::Replay(_) => true,
            FarEnd::Nothing => false,
        };
        if !sent {
            self.counters.tx_full += 1;
            return false;
        }
        self.counters.tx_frames += 1;
        self.counters.tx_bytes += frame.len() as u64;
        if let Some(capture) = &mut self.capture {
            capture.record(frame);
        }
        true
    }

    /// Fills `frames` with what has arrived, and makes or breaks connections. What is left is there next time.
    pub fn receive(&mut self, now: u64, frames: &mut Frames) {
        frames.clear();
        match &mut self.far_end {
            FarEnd::Stream(stream) => stream.receive(now, frames),
            FarEnd::Loopback(queue) => std::mem::swap(queue, frames),
            FarEnd::Replay(replay) => replay.receive(now, frames),
            FarEnd::Nothing => {}
        }
        if !self.plugged {
            self.counters.rx_unplugged += frames.len() as u64;
            frames.clear();
        }
        self.counters.rx_oversize += frames.retain_up_to(MAX_FRAME) as u64;
        self.counters.rx_frames += frames.len() as u64;
        self.counters.rx_bytes += frames.bytes() as u64;
        if let Some(capture) = &mut self.capture {
            for frame in frames.iter() {
                capture.record(frame);
            }
        }
    }

    /// Hands to the far end what waits for it, and to the disk what was recorded.
    pub fn flush(&mut self) {
        if let FarEnd::Stream(stream) = &mut self.far_end {
            stream.flush();
        }
        if let Some(capture) = &mut self.capture {
            capture.flush();
        }
    }

    /// What to wait for before [`receive`](Self::receive) or [`flush`](Self::flush) have something to do.
    pub fn poll_fd(&self) -> Option<PollFd<'_>> {
        match &self.far_end {
            FarEnd::Stream(stream) => stream.poll_fd(),
            FarEnd::Nothing | FarEnd::Loopback(_) | FarEnd::Replay(_) => None,
        }
    }

    /// When to call [`receive`](Self::receive) even if nothing happens, in ns.
    pub fn deadline(&self) -> Option<u64> {
        match &self.far_end {
            FarEnd::Stream(stream) => stream.deadline(),
            FarEnd::Loopback(frames) => (!frames.is_empty()).then_some(0),
            FarEnd::Replay(replay) => replay.deadline(),
            FarEnd::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests;
