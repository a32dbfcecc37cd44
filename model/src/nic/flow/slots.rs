// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Records of one width in bytes, one behind the other: keys of a group, arguments of an action template.

/// The records.
#[derive(Debug)]
pub struct Slots {
    width: usize,
    count: u32,
    bytes: Vec<u8>,
    free: Vec<u32>,
}

impl Slots {
    /// None, of so many bytes each.
    pub fn new(width: usize) -> Self {
        Self {
            width,
            count: 0,
            bytes: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Bytes of a record.
    pub fn width(&self) -> usize {
        self.width
    }

    /// A record.
    pub fn get(&self, slot: u32) -> &[u8] {
        let at = slot as usize * self.width;
        self.bytes.get(at..at + self.width).unwrap_or_default()
    }

    /// Adds a record, which has the width.
    pub fn add(&mut self, record: &[u8]) -> u32 {
        debug_assert_eq!(record.len(), self.width);
        match self.free.pop() {
            Some(slot) => {
                let at = slot as usize * self.width;
                if let Some(place) = self.bytes.get_mut(at..at + self.width) {
                    place.copy_from_slice(record);
                }
                slot
            }
            None => {
                self.bytes.extend_from_slice(record);
                self.count += 1;
                self.count - 1
            }
        }
    }

    /// Takes a record out.
    pub fn remove(&mut self, slot: u32) {
        self.free.push(slot);
        if self.free.len() == self.count as usize {
            *self = Self::new(self.width);
        }
    }
}
