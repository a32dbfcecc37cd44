// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A batch of frames in one buffer.

use std::ops::Range;

/// Frames, in order.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// Room; never shrinks, so that it need not be cleared for each read.
    buffer: Vec<u8>,
    /// End of what is in use in `buffer`.
    filled: usize,
    frames: Vec<Range<usize>>,
    bytes: usize,
}

impl Frames {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.filled = 0;
        self.frames.clear();
        self.bytes = 0;
    }

    /// Appends a copy of a frame.
    pub fn push(&mut self, frame: &[u8]) {
        let start = self.filled;
        self.append(frame);
        self.frames.push(start..self.filled);
        self.bytes += frame.len();
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes in all frames.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The frames.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.frames.iter().map(|range| &self.buffer[range.clone()])
    }

    /// Throws away frames longer than `limit` and returns how many.
    pub fn retain_up_to(&mut self, limit: usize) -> usize {
        let before = self.frames.len();
        self.frames.retain(|range| range.len() <= limit);
        self.bytes = self.frames.iter().map(Range::len).sum();
        before - self.frames.len()
    }

    /// Appends bytes of a stream that [`split`](Self::split) takes apart.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        let end = self.filled + bytes.len();
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.filled = end;
    }

    /// At least `count` bytes of room after what is in use, for a read; [`fill`](Self::fill) then says how many it was.
    pub(super) fn room(&mut self, count: usize) -> &mut [u8] {
        if self.buffer.len() < self.filled + count {
            self.buffer.resize(self.filled + count, 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// `count` bytes of the room are in use.
    pub(super) fn fill(&mut self, count: usize) {
        self.filled += count;
        debug_assert!(self.filled <= self.buffer.len());
    }

    /// The stream from `start` on.
    pub(super) fn tail(&self, start: usize) -> &[u8] {
        &self.buffer[start..self.filled]
    }

    /// Takes a stream of frames, each after its length in 4 bytes, big-endian, apart. Returns where the last whole frame
    /// ends.
    ///
    /// # Errors
    /// A length above `limit`, which no peer sends.
    pub(super) fn split(&mut self, limit: usize) -> Result<usize, usize> {
        let mut at = 0;
        while let Some(header) = self.buffer[at..self.filled].first_chunk::<4>() {
            let len = u32::from_be_bytes(*header) as usize;
            if len > limit {
                return Err(len);
            }
            let start = at + 4;
            if self.filled - start < len {
                break;
            }
            if len > 0 {
                self.frames.push(start..start + len);
                self.bytes += len;
            }
            at = start + len;
        }
        Ok(at)
    }
}
