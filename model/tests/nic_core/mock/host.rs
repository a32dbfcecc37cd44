// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A host made of one array.

use oxnic_model::host::{DmaFault, Function, Host};
use std::ops::Range;

/// First bus address of the host's memory.
pub const BASE: u64 = 0x1_0000_0000;

/// A host made of one array.
pub struct FakeHost {
    pub memory: Vec<u8>,
    /// Where the device may write; everywhere if there is none.
    pub writable: Option<Vec<Range<u64>>>,
    pub interrupts: Vec<(Function, u16)>,
    pub wire: Vec<(u8, Vec<u8>)>,
    /// Frames sent, where they are not kept.
    pub sent: u64,
    pub keep_frames: bool,
    pub wire_full: bool,
    /// Its memory cannot be read by the device.
    pub faulty: bool,
    pub now: u64,
    next: u64,
}

impl FakeHost {
    pub fn new(bytes: usize) -> Self {
        Self {
            memory: vec![0; bytes],
            writable: None,
            interrupts: Vec::new(),
            wire: Vec::new(),
            sent: 0,
            keep_frames: true,
            wire_full: false,
            faulty: false,
            now: 1_000_000_000,
            next: BASE,
        }
    }

    /// Takes memory from the array, aligned to 4096.
    pub fn allocate(&mut self, bytes: usize) -> u64 {
        let at = self.next;
        self.next += (bytes as u64).next_multiple_of(4096);
        assert!(
            self.next <= BASE + self.memory.len() as u64,
            "the fake host is out of memory"
        );
        at
    }

    /// From now on the device may write here, and elsewhere only where it may already.
    pub fn allow(&mut self, addr: u64, length: u64) {
        self.writable
            .get_or_insert_default()
            .push(addr..addr + length);
    }

    fn range(&self, addr: u64, len: usize) -> Result<Range<usize>, DmaFault> {
        let start = addr
            .checked_sub(BASE)
            .and_then(|start| usize::try_from(start).ok());
        let range = start.and_then(|start| Some(start..start.checked_add(len)?));
        range
            .filter(|range| range.end <= self.memory.len())
            .ok_or(DmaFault { addr, len })
    }

    pub fn read(&self, addr: u64, len: usize) -> Vec<u8> {
        self.memory[self.range(addr, len).unwrap()].to_vec()
    }

    pub fn write(&mut self, addr: u64, data: &[u8]) {
        let range = self.range(addr, data.len()).unwrap();
        self.memory[range].copy_from_slice(data);
    }

    pub fn words<const N: usize>(&self, addr: u64) -> [u64; N] {
        let bytes = self.read(addr, N * 8);
        std::array::from_fn(|i| u64::from_le_bytes(bytes[i * 8..i * 8 + 8].try_into().unwrap()))
    }

    pub fn put_words(&mut self, addr: u64, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write(addr, &bytes);
    }

    pub fn take_interrupts(&mut self) -> Vec<(Function, u16)> {
        std::mem::take(&mut self.interrupts)
    }

    pub fn take_wire(&mut self) -> Vec<(u8, Vec<u8>)> {
        std::mem::take(&mut self.wire)
    }
}

impl Host for FakeHost {
    fn dma_read(&mut self, _: Function, addr: u64, data: &mut [u8]) -> Result<(), DmaFault> {
        let range = self.range(addr, data.len())?;
        if self.faulty {
            return Err(DmaFault {
                addr,
                len: data.len(),
            });
        }
        data.copy_from_slice(&self.memory[range]);
        Ok(())
    }

    fn dma_write(&mut self, function: Function, addr: u64, data: &[u8]) -> Result<(), DmaFault> {
        let range = self.range(addr, data.len())?;
        if let Some(writable) = &self.writable {
            let end = addr + data.len() as u64;
            let allowed = writable
                .iter()
                .any(|range| range.start <= addr && end <= range.end);
            assert!(
                allowed,
                "{function} wrote {} bytes at {addr:#x}",
                data.len()
            );
        }
        self.memory[range].copy_from_slice(data);
        Ok(())
    }

    fn interrupt(&mut self, function: Function, vector: u16) {
        self.interrupts.push((function, vector));
    }

    fn transmit(&mut self, port: u8, frame: &[u8]) -> bool {
        if self.wire_full {
            return false;
        }
        self.sent += 1;
        if self.keep_frames {
            self.wire.push((port, frame.to_vec()));
        }
        true
    }

    fn now(&self) -> u64 {
        self.now
    }
}
