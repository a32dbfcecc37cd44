// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The directory of flash: which slot holds what, which one is started, and what must not come back.
//!
//! It is there twice. A change is written over the older copy, with the next number and a checksum, so that power that is lost
//! meanwhile leaves the newer one. All that a change needs in the slots is written for good before it.

use super::COMPONENTS;
use super::flash::{DIRECTORIES, DIRECTORY_LENGTH, Flash, FlashError};
use oxnic_abi::firmware::{FirmwareFault, VERSION_MAX};
use sha2::{Digest, Sha256};

/// First bytes of a copy.
const MAGIC: [u8; 8] = *b"OXNICDIR";
/// Bytes of a checksum, and of a hash.
const HASH: usize = 32;

/// A version, with zeros behind it.
pub type Version = [u8; VERSION_MAX];

/// What a slot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Length of the image in bytes; 0: nothing that can be started.
    pub length: u32,
    /// SHA-256 of the image.
    pub hash: [u8; HASH],
    /// Its security number.
    pub security: u32,
    /// Its version.
    pub version: Version,
    /// It can take over while packets flow.
    pub live: bool,
}

/// What is known of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Slot of the build that has proven itself last; 0: as the device was made.
    pub good: u8,
    /// Slot that was committed and has not proven itself; 0: none.
    pub pending: u8,
    /// How often it was started.
    pub trials: u8,
    /// Why the last one that was tried was given up.
    pub fault: FirmwareFaultCode,
    /// Least security number that is accepted.
    pub security: u32,
    /// Version that `fault` is about.
    pub failed: Version,
    /// Slots 1 and 2.
    pub slots: [Stored; 2],
}

/// A [`FirmwareFault`] with a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmwareFaultCode(pub FirmwareFault);

impl Default for FirmwareFaultCode {
    fn default() -> Self {
        Self(FirmwareFault::NONE)
    }
}

impl Entry {
    /// What a slot that can be written holds.
    pub fn slot(&self, slot: u8) -> Option<&Stored> {
        self.slots.get(usize::from(slot.checked_sub(1)?))
    }

    /// The slot that is started next.
    pub fn next(&self) -> u8 {
        if self.pending == 0 {
            self.good
        } else {
            self.pending
        }
    }
}

/// The directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Grows with each change; 0: nothing was ever written.
    number: u64,
    /// By place in [`COMPONENTS`].
    pub entries: [Entry; COMPONENTS.len()],
}

/// Reads fields one after the other.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn stored(&mut self) -> Option<Stored> {
        Some(Stored {
            length: self.number()?,
            hash: self.take()?,
            security: self.number()?,
            version: self.take()?,
            live: self.byte()? != 0,
        })
    }

    fn entry(&mut self) -> Option<Entry> {
        let entry = Entry {
            good: self.byte()?,
            pending: self.byte()?,
            trials: self.byte()?,
            fault: FirmwareFaultCode(FirmwareFault(self.byte()?)),
            security: self.number()?,
            failed: self.take()?,
            slots: [self.stored()?, self.stored()?],
        };
        (entry.good <= 2 && entry.pending <= 2).then_some(entry)
    }
}

impl Directory {
    /// As the bytes of a copy.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.number.to_le_bytes());
        for entry in &self.entries {
            bytes.extend([entry.good, entry.pending, entry.trials, entry.fault.0.0]);
            bytes.extend(entry.security.to_le_bytes());
            bytes.extend(entry.failed);
            for slot in &entry.slots {
                bytes.extend(slot.length.to_le_bytes());
                bytes.extend(slot.hash);
                bytes.extend(slot.security.to_le_bytes());
                bytes.extend(slot.version);
                bytes.push(slot.live.into());
            }
        }
        let checksum = Sha256::digest(&bytes);
        bytes.extend(checksum);
        bytes
    }

    /// From the bytes of a copy, if it is whole.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let length = Self::default().to_bytes().len();
        let (bytes, checksum) = bytes.get(..length)?.split_at_checked(length - HASH)?;
        if Sha256::digest(bytes).as_slice() != checksum {
            return None;
        }
        let mut reader = Reader(bytes);
        if reader.take::<8>()? != MAGIC {
            return None;
        }
        let mut directory = Self {
            number: reader.take().map(u64::from_le_bytes)?,
            ..Self::default()
        };
        for entry in &mut directory.entries {
            *entry = reader.entry()?;
        }
        Some(directory)
    }

    /// The newer of the copies that are whole; empty where none is.
    ///
    /// # Errors
    /// Flash cannot be read.
    pub fn load(flash: &mut dyn Flash) -> Result<Self, FlashError> {
        let mut newest = Self::default();
        for copy in 0..DIRECTORIES {
            let mut bytes = vec![0; DIRECTORY_LENGTH as usize];
            flash.read(copy * DIRECTORY_LENGTH, &mut bytes)?;
            if let Some(found) = Self::from_bytes(&bytes) {
                if found.number > newest.number {
                    newest = found;
                }
            }
        }
        Ok(newest)
    }

    /// Puts a change in force, for good: what was written before it stays as well.
    ///
    /// # Errors
    /// Flash cannot be written. Either of the two may be there later.
    pub fn store(&mut self, changed: Self, flash: &mut dyn Flash) -> Result<(), FlashError> {
        let next = Self {
            number: self.number.saturating_add(1),
            ..changed
        };
        flash.sync()?;
        flash.write(
            next.number % DIRECTORIES * DIRECTORY_LENGTH,
            &next.to_bytes(),
        )?;
        flash.sync()?;
        *self = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nic::firmware::flash::MemoryFlash;

    #[test]
    fn a_copy_fits_and_reads_back() {
        let mut flash = MemoryFlash::default();
        let mut directory = Directory::default();
        assert!(directory.to_bytes().len() as u64 <= DIRECTORY_LENGTH);
        for security in 1..6 {
            let mut changed = directory.clone();
            changed.entries[1].security = security;
            changed.entries[2].slots[1].version = [b'x'; VERSION_MAX];
            directory.store(changed, &mut flash).unwrap();
            assert_eq!(Directory::load(&mut flash), Ok(directory.clone()));
        }
    }

    #[test]
    fn a_damaged_copy_leaves_the_one_before() {
        let mut flash = MemoryFlash::default();
        let mut directory = Directory::default();
        let mut versions = vec![];
        for security in 1..4 {
            let mut changed = directory.clone();
            changed.entries[0].security = security;
            directory.store(changed, &mut flash).unwrap();
            versions.push(directory.clone());
        }
        // The third is in copy 1.
        flash.write(DIRECTORY_LENGTH + 20, &[0x55]).unwrap();
        assert_eq!(Directory::load(&mut flash).as_ref(), Ok(&versions[1]));
        flash.write(20, &[0x55]).unwrap();
        assert_eq!(Directory::load(&mut flash), Ok(Directory::default()));
    }
}
