// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The memory that firmware is kept in, and where in it things are.
//!
//! What is behind it is the board's: a file, or memory of the process. Power can go between any two bytes that are written.

use super::COMPONENTS;

/// Flash that cannot be read or written. Power is gone, as far as the device can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashError;

/// Memory that keeps what it has without power.
pub trait Flash: Send {
    /// Reads; what was never written is anything.
    ///
    /// # Errors
    /// `data` is then unspecified.
    fn read(&mut self, at: u64, data: &mut [u8]) -> Result<(), FlashError>;

    /// Writes. Until [`sync`](Flash::sync), power that is lost can leave any part of it undone.
    ///
    /// # Errors
    /// Any part of it may have been written.
    fn write(&mut self, at: u64, data: &[u8]) -> Result<(), FlashError>;

    /// Everything that was written so far stays.
    ///
    /// # Errors
    /// Any part of it may not stay.
    fn sync(&mut self) -> Result<(), FlashError>;
}

/// Length of a copy of the directory, in bytes.
pub const DIRECTORY_LENGTH: u64 = 4096;
/// Copies of the directory, at the start.
pub const DIRECTORIES: u64 = 2;
/// Length of a slot, and thus of the longest image, in bytes.
pub const SLOT_LENGTH: u64 = 1 << 20;

/// Length of all of it, in bytes.
pub const FLASH_LENGTH: u64 =
    DIRECTORIES * DIRECTORY_LENGTH + 2 * COMPONENTS.len() as u64 * SLOT_LENGTH;

/// Where a slot starts: the `place`-th component's, slot 1 or 2.
pub fn slot_at(place: usize, slot: u8) -> u64 {
    let number = 2 * place as u64 + u64::from(slot.saturating_sub(1));
    DIRECTORIES * DIRECTORY_LENGTH + number * SLOT_LENGTH
}

/// Flash that forgets everything with the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryFlash {
    bytes: Vec<u8>,
}

impl Flash for MemoryFlash {
    fn read(&mut self, at: u64, data: &mut [u8]) -> Result<(), FlashError> {
        data.fill(0xff);
        let at = usize::try_from(at).map_err(|_| FlashError)?;
        let there = self.bytes.get(at..).unwrap_or_default();
        for (to, from) in data.iter_mut().zip(there) {
            *to = *from;
        }
        Ok(())
    }

    fn write(&mut self, at: u64, data: &[u8]) -> Result<(), FlashError> {
        let at = usize::try_from(at).map_err(|_| FlashError)?;
        let end = at.checked_add(data.len()).ok_or(FlashError)?;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0xff);
        }
        let place = self.bytes.get_mut(at..end).ok_or(FlashError)?;
        place.copy_from_slice(data);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        Ok(())
    }
}
