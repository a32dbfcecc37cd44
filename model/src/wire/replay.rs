// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A far end that plays a recording: frames of a pcap file, at the distances in time at which they were recorded.

use super::frames::Frames;
use pcap_file::pcap::PcapReader;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

/// Most frames that are handed over at once.
const BATCH: usize = 256;

/// A frame and its time after the first one, in ns.
struct Entry {
    after: u64,
    frame: Vec<u8>,
}

/// A recording, and how far it has been played.
pub struct Replay {
    entries: Vec<Entry>,
    next: usize,
    started: u64,
    rounds: u64,
}

impl Replay {
    /// Reads a recording.
    ///
    /// # Errors
    /// If the file cannot be read or is no pcap file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let fail = |error: &dyn std::fmt::Display| {
            io::Error::other(format!("{}: {error}", path.display()))
        };
        let file = File::open(path).map_err(|error| fail(&error))?;
        let mut reader = PcapReader::new(BufReader::new(file)).map_err(|error| fail(&error))?;
        let mut entries = Vec::new();
        let mut first = None;
        while let Some(packet) = reader.next_packet() {
            let packet = packet.map_err(|error| fail(&error))?;
            let first = *first.get_or_insert(packet.timestamp);
            let after = packet.timestamp.saturating_sub(first).as_nanos();
            entries.push(Entry {
                after: u64::try_from(after).unwrap_or(u64::MAX),
                frame: packet.data.into_owned(),
            });
        }
        Ok(Replay {
            entries,
            next: 0,
            started: 0,
            rounds: 0,
        })
    }

    /// Plays the recording `times` times over, from `now` on.
    pub fn start(&mut self, now: u64, times: u64) {
        self.next = 0;
        self.started = now;
        self.rounds = if self.entries.is_empty() { 0 } else { times };
    }

    /// Hands over the frames that are due, as many as go into a batch.
    pub fn receive(&mut self, now: u64, frames: &mut Frames) {
        while self.rounds > 0 && frames.len() < BATCH {
            let entry = &self.entries[self.next];
            if self.started.saturating_add(entry.after) > now {
                return;
            }
            frames.push(&entry.frame);
            self.next += 1;
            if self.next == self.entries.len() {
                self.next = 0;
                self.started = now;
                self.rounds -= 1;
            }
        }
    }

    /// When the next frame is due, in ns.
    pub fn deadline(&self) -> Option<u64> {
        let entry = self.entries.get(self.next).filter(|_| self.rounds > 0)?;
        Some(self.started.saturating_add(entry.after))
    }
}
