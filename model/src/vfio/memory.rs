// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Guest memory: the DMA mappings that the client has made, and bounds-checked copies from and to them.
//!
//! The guest and this process share the pages, so every byte may change at any time; nothing here hands out a reference
//! to them, only copies.
//!
//! A mapping whose file may shrink would turn a copy into SIGBUS. So a file is mapped only if it is long enough *and* sealed
//! against shrinking, which QEMU's memory-backend-memfd is by default; any other is read and written by system call,
//! slower but with an error for an end. The file of this module is the only one with `unsafe` in it.
#![allow(unsafe_code)]

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};

/// Below this many bytes a copy goes word by word, in order.
const WORD_COPY: usize = 256;

/// A part of a file in this process's address space.
struct Mapping {
    start: *mut u8,
    len: usize,
    writable: bool,
}

impl Mapping {
    fn new(file: &OwnedFd, offset: u64, len: usize, writable: bool) -> Result<Self, Errno> {
        let protection = if writable {
            ProtFlags::READ | ProtFlags::WRITE
        } else {
            ProtFlags::READ
        };
        // SAFETY: A new mapping at an address of the kernel's choice touches no memory that exists.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                protection,
                MapFlags::SHARED,
                file,
                offset,
            )?
        };
        Ok(Mapping {
            start: start.cast(),
            len,
            writable,
        })
    }

    /// Copies out, aligned words whole and in ascending order.
    fn read(&self, offset: usize, data: &mut [u8]) -> Result<(), Errno> {
        if offset > self.len || data.len() > self.len - offset {
            return Err(Errno::FAULT);
        }
        if data.len() > WORD_COPY {
            // SAFETY: The source lies inside the mapping, which lives as long as self; its file cannot shrink; the destination
            // is a slice, so the two do not overlap. The bytes may change meanwhile, and any bytes are a valid result.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    self.start.add(offset),
                    data.as_mut_ptr(),
                    data.len(),
                );
            }
            fence(Ordering::Acquire);
            return Ok(());
        }
        let mut at = 0;
        while at < data.len() {
            // SAFETY: offset + at < len, checked above, so the pointer stays inside the mapping.
            let source = unsafe { self.start.add(offset + at) };
            match data[at..].first_chunk_mut::<8>() {
                Some(word) if source.addr() % 8 == 0 => {
                    // SAFETY: Aligned, and 8 bytes at it are inside the mapping. All accesses of this process are atomic.
                    let value = unsafe { AtomicU64::from_ptr(source.cast()) };
                    *word = value.load(Ordering::Acquire).to_ne_bytes();
                    at += 8;
                }
                _ => {
                    // SAFETY: One byte inside the mapping.
                    data[at] = unsafe { AtomicU8::from_ptr(source) }.load(Ordering::Acquire);
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// Copies in, the last aligned word whole and after all else.
    fn write(&self, offset: usize, data: &[u8]) -> Result<(), Errno> {
        if !self.writable || offset > self.len || data.len() > self.len - offset {
            return Err(Errno::FAULT);
        }
        // SAFETY: offset <= len, so the pointer is inside the mapping or at its end.
        let target = unsafe { self.start.add(offset) };
        let head = target.align_offset(8).min(data.len());
        let words = (data.len() - head) / 8;
        let (first, rest) = data.split_at(head);
        let (middle, tail) = rest.split_at(words * 8);
        self.write_bytes(offset, first);
        self.write_bytes(offset + head + words * 8, tail);
        let Some((bulk, last)) = middle.split_last_chunk::<8>() else {
            return Ok(());
        };
        // SAFETY: head <= data.len(), checked against the mapping above.
        let words = unsafe { target.add(head) };
        if bulk.len() > WORD_COPY {
            // SAFETY: The destination lies inside the mapping, which lives as long as self and is writable; its file cannot
            // shrink; the source is a slice of this process, so the two do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(bulk.as_ptr(), words, bulk.len()) };
        } else {
            for (index, word) in bulk.chunks_exact(8).enumerate() {
                let mut value = [0; 8];
                value.copy_from_slice(word);
                // SAFETY: Aligned by align_offset, and inside the mapping, as this word is inside data.
                let place = unsafe { AtomicU64::from_ptr(words.add(index * 8).cast()) };
                place.store(u64::from_ne_bytes(value), Ordering::Relaxed);
            }
        }
        // SAFETY: As for the words before it; this is the last one inside data.
        let place = unsafe { AtomicU64::from_ptr(words.add(bulk.len()).cast()) };
        place.store(u64::from_ne_bytes(*last), Ordering::Release);
        Ok(())
    }

    /// The few bytes before the first and after the last aligned word. The caller has checked the bounds.
    fn write_bytes(&self, offset: usize, data: &[u8]) {
        for (index, byte) in data.iter().enumerate() {
            // SAFETY: Inside the mapping, as the caller has checked for all of data.
            let place = unsafe { AtomicU8::from_ptr(self.start.add(offset + index)) };
            place.store(*byte, Ordering::Release);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: This is the mapping that `new` made; nobody else has a pointer into it.
        if let Err(error) = unsafe { munmap(self.start.cast(), self.len) } {
            log::warn!("cannot unmap guest memory: {error}");
        }
    }
}

/// How the bytes of a region are reached.
enum Backing {
    Mapped(Mapping),
    /// A file that might shrink: by system call.
    File {
        file: OwnedFd,
        offset: u64,
        writable: bool,
    },
    /// The client passed no descriptor. Such memory (firmware, mostly) is nothing that a driver gives to a NIC.
    None,
}

impl Backing {
    fn read(&self, at: u64, data: &mut [u8]) -> Result<(), Errno> {
        match self {
            Backing::Mapped(mapping) => mapping.read(at as usize, data),
            Backing::File { file, offset, .. } => {
                let mut done = 0;
                while done < data.len() {
                    let got =
                        rustix::io::pread(file, &mut data[done..], offset + at + done as u64)?;
                    if got == 0 {
                        return Err(Errno::FAULT);
                    }
                    done += got;
                }
                Ok(())
            }
            Backing::None => Err(Errno::FAULT),
        }
    }

    fn write(&self, at: u64, data: &[u8]) -> Result<(), Errno> {
        match self {
            Backing::Mapped(mapping) => mapping.write(at as usize, data),
            Backing::File {
                file,
                offset,
                writable: true,
            } => {
                let mut done = 0;
                while done < data.len() {
                    let got = rustix::io::pwrite(file, &data[done..], offset + at + done as u64)?;
                    if got == 0 {
                        return Err(Errno::FAULT);
                    }
                    done += got;
                }
                Ok(())
            }
            Backing::File { .. } | Backing::None => Err(Errno::FAULT),
        }
    }

    fn is_writable(&self) -> bool {
        match self {
            Backing::Mapped(mapping) => mapping.writable,
            Backing::File { writable, .. } => *writable,
            Backing::None => false,
        }
    }

    fn is_readable(&self) -> bool {
        !matches!(self, Backing::None)
    }
}

struct Region {
    start: u64,
    len: u64,
    backing: Backing,
}

impl Region {
    /// Offset of `addr` in the region, and how many bytes there are from there on.
    fn offset(&self, addr: u64) -> Option<(u64, u64)> {
        let offset = addr.checked_sub(self.start)?;
        (offset < self.len).then(|| (offset, self.len - offset))
    }
}

/// What a DMA_MAP request asks for.
#[derive(Debug)]
pub struct MapRequest {
    /// First bus address.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
    /// Whether the device may write.
    pub writable: bool,
    /// The file with the memory, and where in it.
    pub file: Option<(OwnedFd, u64)>,
}

/// All memory that the device can reach.
#[derive(Default)]
pub struct GuestMemory {
    /// Sorted by start; no two overlap.
    regions: Vec<Region>,
    /// Index of the region that was last used.
    recent: Cell<usize>,
}

impl GuestMemory {
    /// Nothing mapped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of mappings.
    pub fn len(&self) -> usize {
        self.regions.len()
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// Maps memory.
    ///
    /// # Errors
    /// `INVAL`: empty, wraps around, or lies beyond the end of its file. `EXIST`: overlaps another mapping. `NOSPC`:
    /// too many mappings. What mapping itself fails with.
    pub fn map(&mut self, request: MapRequest) -> Result<(), Errno> {
        let MapRequest {
            start,
            len,
            writable,
            file,
        } = request;
        let end = start.checked_add(len).ok_or(Errno::INVAL)?;
        if len == 0 {
            return Err(Errno::INVAL);
        }
        if self.regions.len() >= super::protocol::MAX_DMA_MAPS {
            return Err(Errno::NOSPC);
        }
        let place = self.regions.partition_point(|region| region.start < start);
        let after_previous = place == 0 || {
            let previous = &self.regions[place - 1];
            previous.start + previous.len <= start
        };
        let before_next = self.regions.get(place).is_none_or(|next| end <= next.start);
        if !after_previous || !before_next {
            return Err(Errno::EXIST);
        }
        let backing = match file {
            Some((file, offset)) => back(file, offset, len, writable)?,
            None => Backing::None,
        };
        self.regions.insert(
            place,
            Region {
                start,
                len,
                backing,
            },
        );
        Ok(())
    }

    /// Removes all mappings that lie in a range.
    ///
    /// # Errors
    /// `INVAL` if the range cuts a mapping in two; nothing is removed then.
    pub fn unmap(&mut self, start: u64, len: u64) -> Result<(), Errno> {
        let end = start.checked_add(len).ok_or(Errno::INVAL)?;
        let inside = |region: &Region| start <= region.start && region.start + region.len <= end;
        let touches = |region: &Region| region.start < end && start < region.start + region.len;
        if self
            .regions
            .iter()
            .any(|region| touches(region) && !inside(region))
        {
            return Err(Errno::INVAL);
        }
        self.regions.retain(|region| !inside(region));
        Ok(())
    }

    /// Removes all mappings.
    pub fn clear(&mut self) {
        self.regions.clear();
    }

    /// Reads `data.len()` bytes at bus address `addr`.
    ///
    /// # Errors
    /// `FAULT` if any byte cannot be read.
    pub fn read(&self, addr: u64, data: &mut [u8]) -> Result<(), Errno> {
        if let Some((region, offset, rest)) = self.find(addr) {
            if data.len() as u64 <= rest {
                return region.backing.read(offset, data);
            }
        }
        self.check(addr, data.len(), Backing::is_readable)?;
        let mut done = 0;
        while done < data.len() {
            let (region, offset, rest) = self.find(addr + done as u64).ok_or(Errno::FAULT)?;
            let count = (data.len() - done).min(rest as usize);
            region.backing.read(offset, &mut data[done..done + count])?;
            done += count;
        }
        Ok(())
    }

    /// Writes `data` at bus address `addr`.
    ///
    /// # Errors
    /// `FAULT` if any byte cannot be written; none is, then, unless a file was cut off under us.
    pub fn write(&self, addr: u64, data: &[u8]) -> Result<(), Errno> {
        if let Some((region, offset, rest)) = self.find(addr) {
            if data.len() as u64 <= rest {
                return region.backing.write(offset, data);
            }
        }
        self.check(addr, data.len(), Backing::is_writable)?;
        let mut done = 0;
        while done < data.len() {
            let (region, offset, rest) = self.find(addr + done as u64).ok_or(Errno::FAULT)?;
            let count = (data.len() - done).min(rest as usize);
            region.backing.write(offset, &data[done..done + count])?;
            done += count;
        }
        Ok(())
    }

    /// The region with `addr` in it, the offset there, and the bytes that follow.
    fn find(&self, addr: u64) -> Option<(&Region, u64, u64)> {
        if let Some(region) = self.regions.get(self.recent.get()) {
            if let Some((offset, rest)) = region.offset(addr) {
                return Some((region, offset, rest));
            }
        }
        let index = self
            .regions
            .partition_point(|region| region.start <= addr)
            .checked_sub(1)?;
        let (offset, rest) = self.regions[index].offset(addr)?;
        self.recent.set(index);
        Some((&self.regions[index], offset, rest))
    }

    /// Whether a range that crosses mappings is there in full.
    fn check(&self, addr: u64, len: usize, allows: fn(&Backing) -> bool) -> Result<(), Errno> {
        let end = addr.checked_add(len as u64).ok_or(Errno::FAULT)?;
        let mut at = addr;
        while at < end {
            let (region, _, rest) = self.find(at).ok_or(Errno::FAULT)?;
            if !allows(&region.backing) {
                return Err(Errno::FAULT);
            }
            at += rest.min(end - at);
        }
        Ok(())
    }
}

/// Chooses how to reach `len` bytes at `offset` of `file`.
fn back(file: OwnedFd, offset: u64, len: u64, writable: bool) -> Result<Backing, Errno> {
    let end = offset.checked_add(len).ok_or(Errno::INVAL)?;
    let size = fstat(&file)?.st_size;
    if u64::try_from(size).map_err(|_| Errno::INVAL)? < end {
        log::warn!("refused a DMA mapping: it ends at {end:#x} of a file of {size:#x} bytes");
        return Err(Errno::INVAL);
    }
    let sealed = fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
    if sealed {
        let len = usize::try_from(len).map_err(|_| Errno::INVAL)?;
        return Ok(Backing::Mapped(Mapping::new(&file, offset, len, writable)?));
    }
    log::warn!(
        "guest memory that may shrink: DMA goes by system call, slowly (use memory-backend-memfd)"
    );
    Ok(Backing::File {
        file,
        offset,
        writable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};

    const PAGE: u64 = 4096;

    fn file(size: u64, sealed: bool) -> OwnedFd {
        let file = memfd_create("guest", MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&file, size).unwrap();
        if sealed {
            fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW).unwrap();
        }
        file
    }

    fn request(start: u64, len: u64, file: OwnedFd, offset: u64) -> MapRequest {
        MapRequest {
            start,
            len,
            writable: true,
            file: Some((file, offset)),
        }
    }

    #[test]
    fn a_mapping_beyond_its_file_is_refused() {
        let mut memory = GuestMemory::new();
        assert_eq!(
            memory.map(request(0, PAGE + 1, file(PAGE, true), 0)),
            Err(Errno::INVAL)
        );
        assert_eq!(
            memory.map(request(0, PAGE, file(PAGE, true), PAGE)),
            Err(Errno::INVAL)
        );
        assert_eq!(
            memory.map(request(0, u64::MAX, file(PAGE, true), PAGE)),
            Err(Errno::INVAL)
        );
        assert_eq!(memory.map(request(0, PAGE, file(PAGE, true), 0)), Ok(()));
    }

    #[test]
    fn a_file_that_shrinks_gives_a_fault_and_no_signal() {
        let mut memory = GuestMemory::new();
        let shrinking = file(2 * PAGE, false);
        let handle = shrinking.try_clone().unwrap();
        memory.map(request(0, 2 * PAGE, shrinking, 0)).unwrap();
        memory.write(PAGE, &[7; 16]).unwrap();
        ftruncate(&handle, PAGE).unwrap();
        assert_eq!(memory.read(PAGE, &mut [0; 16]), Err(Errno::FAULT));
        assert_eq!(memory.read(0, &mut [0; 16]), Ok(()));
    }

    #[test]
    fn overlap_is_refused_and_unmap_cuts_nothing() {
        let mut memory = GuestMemory::new();
        memory
            .map(request(PAGE, 2 * PAGE, file(2 * PAGE, true), 0))
            .unwrap();
        for (start, len) in [(0, PAGE + 1), (2 * PAGE, PAGE), (0, 8 * PAGE)] {
            assert_eq!(
                memory.map(request(start, len, file(8 * PAGE, true), 0)),
                Err(Errno::EXIST)
            );
        }
        assert_eq!(memory.unmap(0, 2 * PAGE), Err(Errno::INVAL));
        assert_eq!(memory.unmap(0, 3 * PAGE), Ok(()));
        assert!(memory.is_empty());
    }

    #[test]
    fn read_only_memory_and_memory_without_a_file_fault() {
        let mut memory = GuestMemory::new();
        let mut read_only = request(0, PAGE, file(PAGE, true), 0);
        read_only.writable = false;
        memory.map(read_only).unwrap();
        let mut nothing = request(PAGE, PAGE, file(PAGE, true), 0);
        nothing.file = None;
        memory.map(nothing).unwrap();
        assert_eq!(memory.write(0, &[1]), Err(Errno::FAULT));
        assert_eq!(memory.read(0, &mut [0]), Ok(()));
        assert_eq!(memory.read(PAGE, &mut [0]), Err(Errno::FAULT));
        assert_eq!(memory.read(PAGE - 4, &mut [0; 8]), Err(Errno::FAULT));
        assert_eq!(memory.read(u64::MAX, &mut [0; 8]), Err(Errno::FAULT));
    }

    #[test]
    fn a_copy_may_cross_neighbouring_mappings() {
        let mut memory = GuestMemory::new();
        let shared = file(4 * PAGE, true);
        memory
            .map(request(0, PAGE, shared.try_clone().unwrap(), 3 * PAGE))
            .unwrap();
        memory.map(request(PAGE, PAGE, shared, 0)).unwrap();
        let data: Vec<u8> = (0..=255).cycle().take(1000).collect();
        memory.write(PAGE - 500, &data).unwrap();
        let mut back = vec![0; 1000];
        memory.read(PAGE - 500, &mut back).unwrap();
        assert_eq!(back, data);
        assert_eq!(memory.write(2 * PAGE - 500, &data), Err(Errno::FAULT));
    }

    proptest! {
        /// Mapped or by system call, memory is an array: what is written is read, and nothing else changes.
        #[test]
        fn behaves_like_an_array(
            sealed in any::<bool>(),
            writes in prop::collection::vec((0usize..9000, prop::collection::vec(any::<u8>(), 0..700)), 0..40),
        ) {
            let mut memory = GuestMemory::new();
            memory.map(request(0x1000, 2 * PAGE, file(2 * PAGE, sealed), 0)).unwrap();
            let mut expected = vec![0; 2 * PAGE as usize];
            for (at, data) in writes {
                let inside = at + data.len() <= expected.len();
                let result = memory.write(0x1000 + at as u64, &data);
                if inside {
                    expected[at..at + data.len()].copy_from_slice(&data);
                }
                prop_assert!(result.is_ok() == inside || data.is_empty());
                let mut back = vec![0; data.len()];
                if memory.read(0x1000 + at as u64, &mut back).is_ok() {
                    prop_assert_eq!(back, data);
                }
            }
            let mut all = vec![0; expected.len()];
            memory.read(0x1000, &mut all).unwrap();
            prop_assert_eq!(all, expected);
        }
    }
}
