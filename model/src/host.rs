// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The seam between the NIC core and the world around it.
//!
//! [`NicCore`] is the device behind the BARs: registers, queues, switch, counters. [`Host`] is all that it may ask of
//! the world: guest memory, interrupts, the wire and the time. The machine implements [`Host`] over PCI, vfio-user and
//! sockets; tests and fuzzers implement it over a few arrays. Neither side knows the other's inside, and neither does
//! I/O on the other's behalf beyond these calls.
//!
//! Everything runs on one thread per device, so nothing here takes a lock.

use oxnic_abi::pci;
use serde_json::Value;
use std::fmt;

/// A PCI function of the device. This is the requester's identity: it comes from the bus, never from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// The physical function.
    Pf,
    /// Virtual function, counted from 0.
    Vf(u16),
}

impl fmt::Display for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Function::Pf => formatter.write_str("pf"),
            Function::Vf(index) => write!(formatter, "vf{index}"),
        }
    }
}

/// A DMA access that did not happen: address not mapped (wholly), or the function may not master the bus.
///
/// Nothing was read or written. The machine has already counted and logged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaFault {
    /// Bus address of the access.
    pub addr: u64,
    /// Its length in bytes.
    pub len: usize,
}

impl fmt::Display for DmaFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "DMA fault at {:#x}, {} bytes",
            self.addr, self.len
        )
    }
}

impl std::error::Error for DmaFault {}

/// What the NIC core may ask of the world.
pub trait Host {
    /// Reads `data.len()` bytes of guest memory at bus address `addr` on behalf of `function`; all or nothing.
    ///
    /// Order: aligned 8-byte words are read whole, lowest address first, so a word that says "the rest is valid" must
    /// lie at or before the rest, or be read by a call of its own before it.
    ///
    /// # Errors
    /// [`DmaFault`] if any byte is unmapped or `function` has no bus mastering; `data` is then unspecified.
    fn dma_read(&mut self, function: Function, addr: u64, data: &mut [u8]) -> Result<(), DmaFault>;

    /// Writes `data` to guest memory at bus address `addr` on behalf of `function`; all or nothing.
    ///
    /// Order: whatever an earlier call wrote is visible before what this one writes, and the last aligned 8-byte word of
    /// this write becomes visible whole and after all its other bytes. A phase or generation bit therefore belongs in
    /// the last 8 bytes of a completion.
    ///
    /// # Errors
    /// [`DmaFault`] if any byte is unmapped or `function` has no bus mastering.
    fn dma_write(&mut self, function: Function, addr: u64, data: &[u8]) -> Result<(), DmaFault>;

    /// Orders all earlier [`dma_write`](Host::dma_write)s before all later [`dma_read`](Host::dma_read)s, which nothing
    /// else does: needed between "I publish that I will sleep" and "I look once more whether there is work".
    fn fence(&mut self) {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }

    /// Raises MSI-X vector `vector` of `function`. Masking, pending bits and enables are the PCI layer's work; a vector
    /// that does not exist is counted and dropped.
    fn interrupt(&mut self, function: Function, vector: u16);

    /// Puts a frame (without FCS) on wire port `port`. Never blocks. Returns false if the wire dropped it, because there
    /// is no carrier or the wire's queue is full; the machine counts that too.
    fn transmit(&mut self, port: u8, frame: &[u8]) -> bool;

    /// Monotonic time in nanoseconds.
    fn now(&self) -> u64;
}

/// What a NIC core is built from; the same for its whole life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicConfig {
    /// Number of wire ports, 1 to 4.
    pub ports: u8,
    /// SR-IOV TotalVFs, 0 to 128.
    pub max_vfs: u16,
    /// Permanent MAC address of the PF's first port.
    pub mac: [u8; 6],
}

/// The device behind the BARs, as the machine sees it.
///
/// No call may panic, whatever the guest wrote; no call blocks. Offsets and lengths passed in lie inside the BAR.
pub trait NicCore {
    /// Read of BAR0 of function `f`, `data.len()` bytes at `offset`. Any length or alignment can come; what the
    /// interface does not define reads as the interface says (the machine adds nothing).
    fn register_read(&mut self, host: &mut dyn Host, f: Function, offset: u64, data: &mut [u8]);

    /// Write to BAR0 of function `f`.
    fn register_write(&mut self, host: &mut dyn Host, f: Function, offset: u64, data: &[u8]);

    /// Write to BAR2 of function `f`. Should only note what there is to do: [`poll`](NicCore::poll) follows, after all
    /// writes that are already queued. BAR2 reads as zeros and never reaches the core.
    fn doorbell_write(&mut self, host: &mut dyn Host, f: Function, offset: u64, data: &[u8]);

    /// Back to the state after power-on: FLR, VF disable, bus reset, removal. After it returns, `f` does no DMA and
    /// raises no interrupt until it is set up anew. For the PF this includes the shared parts, and comes after
    /// `set_vfs_enabled(0)`.
    fn function_reset(&mut self, host: &mut dyn Host, f: Function);

    /// Power has come, after it was away. All functions have been reset before.
    fn power_on(&mut self, host: &mut dyn Host);

    /// Bus mastering of `f` was switched. While off, the machine lets no DMA through and no interrupt out.
    fn set_bus_master(&mut self, f: Function, on: bool);

    /// VFs 0..`count` exist from now on and all others do not. The machine calls this on VF enable and disable only, so
    /// one of the old and the new count is 0; VFs that vanish lose all state.
    fn set_vfs_enabled(&mut self, host: &mut dyn Host, count: u16);

    /// Number of MSI-X vectors of `f`, 1 to [`MAX_VECTORS`]. The PF's never changes; a VF's may, by the PF's command, and
    /// its config space shows the present value.
    fn vectors(&self, f: Function) -> u16;

    /// A frame (without FCS) arrived on wire port `port`.
    fn wire_receive(&mut self, host: &mut dyn Host, port: u8, frame: &[u8]);

    /// The carrier of wire port `port` came or went. Initially there is none.
    fn wire_carrier(&mut self, host: &mut dyn Host, port: u8, up: bool);

    /// Runs what is due, in bounded time; returns the time (in ns, as [`Host::now`]) of the next deadline, if any; a
    /// deadline in the past means "call me again, after looking for events". Called after each batch of events and at
    /// that deadline.
    fn poll(&mut self, host: &mut dyn Host) -> Option<u64>;

    /// A command from the control channel that the machine does not know itself, and for `stats` the core's part of the
    /// answer. None: the core does not know it either. Known to the machine: remove, insert, aer, link, replay, chaos
    /// (of which keys that start with `nic.` are passed on as `{"cmd":"chaos","spec":...}`).
    fn control(&mut self, host: &mut dyn Host, request: &Value) -> Option<Result<Value, String>>;
}

/// Most MSI-X vectors that a function can have: its table fills BAR4 up to the pending bits.
pub const MAX_VECTORS: u16 = pci::MSIX_VECTORS_MAX;
/// Most VFs of a device.
pub const MAX_VFS: u16 = pci::VFS_MAX;
/// Most wire ports of a device.
pub const MAX_PORTS: u8 = pci::PORTS_MAX;
/// Longest frame that a wire carries, in bytes, without FCS.
pub const MAX_FRAME: usize = 16 << 10;
