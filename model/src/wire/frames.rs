// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A batch of frames in one buffer.

use std::ops::Range;

/// Frames, in order.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    frames: Vec<Range<usize>>,
    bytes: usize,
}

impl Frames {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.frames.clear();
        self.bytes = 0;
    }

    /// Appends a copy of a frame.
    pub fn push(&mut self, frame: &[u8]) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(frame);
        self.frames.push(start..self.buffer.len());
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

    /// The buffer, to be filled with a stream that [`split`](Self::split) takes apart.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Takes a stream of frames, each after its length in 4 bytes, big-endian, apart. Returns where the last whole frame
    /// ends.
    ///
    /// # Errors
    /// A length above `limit`, which no peer sends.
    pub(super) fn split(&mut self, limit: usize) -> Result<usize, usize> {
        let mut at = 0;
        while let Some(header) = self.buffer[at..].first_chunk::<4>() {
            let len = u32::from_be_bytes(*header) as usize;
            if len > limit {
                return Err(len);
            }
            let start = at + 4;
            if self.buffer.len() - start < len {
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
