// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Flash in a file, which keeps the device's firmware from one run of the process to the next.

use crate::nic::firmware::flash::{Flash, FlashError};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Flash in a file.
pub struct FileFlash(File);

impl FileFlash {
    /// Opens the file, or makes it: a device as it was made.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Self(file))
    }
}

fn failed(error: io::Error) -> FlashError {
    log::error!("flash: {error}");
    FlashError
}

impl Flash for FileFlash {
    fn read(&mut self, at: u64, data: &mut [u8]) -> Result<(), FlashError> {
        data.fill(0xff);
        let mut read = 0;
        while let Some(rest) = data.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, at.saturating_add(read as u64)) {
                Ok(0) => break,
                Ok(length) => read += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    fn write(&mut self, at: u64, data: &[u8]) -> Result<(), FlashError> {
        self.0.write_all_at(data, at).map_err(failed)
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        self.0.sync_data().map_err(failed)
    }
}
