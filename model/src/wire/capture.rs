// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Recording of a wire's frames, both directions, into a pcap file with nanoseconds.

use crate::host::MAX_FRAME;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, Endianness, TsResolution};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes that are gathered before they go to the disk even in the middle of a burst.
const BUFFER_SIZE: usize = 1 << 20;

/// Where the pcap writer writes to, and the capture takes from.
#[derive(Clone, Default)]
struct Buffer(Rc<RefCell<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A recording in progress.
pub struct Capture {
    path: PathBuf,
    writer: PcapWriter<Buffer>,
    buffer: Buffer,
    /// None after the disk has failed.
    file: Option<File>,
}

impl Capture {
    /// Starts a recording.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let header = PcapHeader {
            snaplen: MAX_FRAME as u32,
            datalink: DataLink::ETHERNET,
            ts_resolution: TsResolution::NanoSecond,
            endianness: Endianness::Little,
            ..PcapHeader::default()
        };
        let buffer = Buffer::default();
        let writer = PcapWriter::with_header(buffer.clone(), header).map_err(io::Error::other)?;
        let mut capture = Capture {
            path: path.to_path_buf(),
            writer,
            buffer,
            file: Some(File::create(path)?),
        };
        capture.flush();
        Ok(capture)
    }

    /// Records a frame with the present time.
    pub fn record(&mut self, frame: &[u8]) {
        if self.file.is_none() {
            return;
        }
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let packet = PcapPacket::new(time, frame.len() as u32, frame);
        if let Err(error) = self.writer.write_packet(&packet) {
            self.give_up(&error);
        }
        if self.buffer.0.borrow().len() > BUFFER_SIZE {
            self.flush();
        }
    }

    /// Hands what is gathered to the kernel, so that a reader sees whole packets.
    pub fn flush(&mut self) {
        let bytes = std::mem::take(&mut *self.buffer.0.borrow_mut());
        let result = match &mut self.file {
            Some(file) if !bytes.is_empty() => file.write_all(&bytes),
            _ => Ok(()),
        };
        if let Err(error) = result {
            self.give_up(&error);
        }
    }

    fn give_up(&mut self, error: &dyn std::error::Error) {
        log::error!("recording of {} ends: {error}", self.path.display());
        self.file = None;
    }
}
