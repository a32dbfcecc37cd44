// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The only function that QEMU sees: a volume management device endpoint, whose three windows hold a PCI Express
//! hierarchy of our own.
//!
//! QEMU hides the SR-IOV capability of a vfio-user device, so PF and VFs sit behind this endpoint, and the guest's own
//! `vmd` driver enumerates them. Device 8086:28c0 is one whose interrupt remapping the guest may switch off, so that each
//! function below raises ordinary MSI-X interrupts.
//!
//! ```text
//! BAR0  configuration space of the buses below, 1 MiB a bus
//! BAR2  32-bit memory window
//! BAR4  64-bit memory window; the first 8 KiB belong to VMD
//! ```

use super::config::{ConfigSpace, Layout};
use super::pcie::{COMMAND, COMMAND_MASTER, COMMAND_MEMORY};
use std::sync::Arc;

/// Size of BAR0: configuration space of four buses. Two are in use; the guest reserves one for a bridge to be plugged.
pub const CONFIG_WINDOW_SIZE: u64 = 4 << 20;
/// Size of BAR2.
pub const MEMORY32_SIZE: u64 = 32 << 20;
/// Size of BAR4: room for the BARs of 128 VFs, and as much again for the alignment of windows.
pub const MEMORY64_SIZE: u64 = 64 << 20;
/// Size of the endpoint's own configuration space, in bytes.
pub const VMD_CONFIG_SIZE: u64 = 256;

const BAR2: usize = 0x18;
const BAR4: usize = 0x20;

/// The endpoint.
#[derive(Debug)]
pub struct Vmd {
    config: ConfigSpace,
}

impl Default for Vmd {
    fn default() -> Self {
        Self::new()
    }
}

impl Vmd {
    /// As after power-on.
    pub fn new() -> Self {
        let mut layout = Layout::new();
        layout
            .u32(0x00, 0x28C0_8086)
            .writable(COMMAND, u32::from(COMMAND_MEMORY | COMMAND_MASTER | 0x0400))
            .u32(0x08, 0x0104_0000)
            .bar64(0x10, CONFIG_WINDOW_SIZE)
            .writable(BAR2, !(MEMORY32_SIZE as u32 - 1))
            .bar64(BAR4, MEMORY64_SIZE)
            // 0x40 (bus restrictions) and 0x70 (shadow registers) stay 0; 0x44 holds the interrupt remapping bypass.
            .writable(0x44, 0xFFFF);
        Vmd {
            config: ConfigSpace::new(&Arc::new(layout)),
        }
    }

    /// Configuration read; beyond the 256 bytes all reads as ones.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        if offset.saturating_add(data.len() as u64) <= VMD_CONFIG_SIZE {
            self.config.read(offset as usize, data);
        } else {
            data.fill(0xFF);
        }
    }

    /// Configuration write.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        if offset.saturating_add(data.len() as u64) <= VMD_CONFIG_SIZE {
            self.config.write(offset as usize, data);
        }
    }

    /// Whether anything behind the endpoint may master the bus.
    pub fn masters(&self) -> bool {
        self.config.u16(COMMAND) & COMMAND_MASTER != 0
    }

    /// Bus address of BAR2.
    pub fn memory32(&self) -> u64 {
        u64::from(self.config.u32(BAR2) & !0xF)
    }

    /// Bus address of BAR4.
    pub fn memory64(&self) -> u64 {
        self.config.bar64(BAR4)
    }
}
