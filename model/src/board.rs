// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What surrounds the NIC core on its board: guest memory, the PCI hierarchy and the wires; the machine's [`Host`].

use crate::host::{DmaFault, Function, Host};
use crate::pci::hierarchy::Hierarchy;
use crate::vfio::memory::GuestMemory;
use crate::wire::Wire;
use serde::Serialize;
use std::time::Instant;

/// After so many faults only each power of two is logged.
const LOGGED_FAULTS: u64 = 16;

/// DMA accesses and what became of them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counters {
    /// Reads of guest memory.
    pub dma_reads: u64,
    /// Bytes read.
    pub dma_read_bytes: u64,
    /// Writes to guest memory.
    pub dma_writes: u64,
    /// Bytes written.
    pub dma_write_bytes: u64,
    /// Accesses to addresses that are not mapped, or not for that.
    pub dma_unmapped: u64,
    /// Accesses by functions without bus mastering.
    pub dma_not_master: u64,
}

/// All but the NIC core.
pub struct Board {
    /// The PCI hierarchy.
    pub hierarchy: Hierarchy,
    /// Guest memory.
    pub memory: GuestMemory,
    /// The wires, by port.
    pub wires: Vec<Wire>,
    /// The carrier that the NIC core knows of, by port.
    pub carriers: Vec<bool>,
    counters: Counters,
    start: Instant,
}

impl Board {
    /// A board with nothing mapped and no carriers known.
    pub fn new(hierarchy: Hierarchy, wires: Vec<Wire>) -> Self {
        Board {
            hierarchy,
            memory: GuestMemory::new(),
            carriers: vec![false; wires.len()],
            wires,
            counters: Counters::default(),
            start: Instant::now(),
        }
    }

    /// DMA counters since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Lets a DMA access through, or counts and logs why not.
    fn admit(&mut self, function: Function, addr: u64, len: usize) -> Result<(), DmaFault> {
        if self.hierarchy.masters(function) {
            return Ok(());
        }
        self.counters.dma_not_master += 1;
        log_fault(
            self.counters.dma_not_master,
            function,
            addr,
            len,
            "no bus mastering",
        );
        Err(DmaFault { addr, len })
    }

    fn unmapped(&mut self, function: Function, addr: u64, len: usize, kind: &str) -> DmaFault {
        self.counters.dma_unmapped += 1;
        log_fault(self.counters.dma_unmapped, function, addr, len, kind);
        DmaFault { addr, len }
    }
}

fn log_fault(count: u64, function: Function, addr: u64, len: usize, reason: &str) {
    if count <= LOGGED_FAULTS || count.is_power_of_two() {
        log::warn!("DMA fault {count}: {function}, {len} bytes at {addr:#x}: {reason}");
    }
}

impl Host for Board {
    fn dma_read(&mut self, function: Function, addr: u64, data: &mut [u8]) -> Result<(), DmaFault> {
        self.admit(function, addr, data.len())?;
        self.counters.dma_reads += 1;
        self.counters.dma_read_bytes += data.len() as u64;
        match self.memory.read(addr, data) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.unmapped(function, addr, data.len(), "not readable")),
        }
    }

    fn dma_write(&mut self, function: Function, addr: u64, data: &[u8]) -> Result<(), DmaFault> {
        self.admit(function, addr, data.len())?;
        self.counters.dma_writes += 1;
        self.counters.dma_write_bytes += data.len() as u64;
        match self.memory.write(addr, data) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.unmapped(function, addr, data.len(), "not writable")),
        }
    }

    fn interrupt(&mut self, function: Function, vector: u16) {
        self.hierarchy.raise(function, vector);
    }

    fn transmit(&mut self, port: u8, frame: &[u8]) -> bool {
        match self.wires.get_mut(usize::from(port)) {
            Some(wire) => wire.transmit(frame),
            None => false,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
