// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The physical function's configuration space, with SR-IOV, and its MSI-X.

use super::aer;
use super::config::{ConfigSpace, Layout};
use super::msix::{MSIX_BAR_SIZE, Message, Msix, PENDING_OFFSET};
use super::pcie::{
    self, COMMAND, COMMAND_MASTER, COMMAND_MEMORY, COMMAND_WRITABLE, DEVICE_CONTROL,
    DEVICE_CONTROL_FLR, Kind, PM_CONTROL,
};
use crate::host::MAX_VFS;
use oxnic_abi::pci::{
    CLASS, PF_DEVICE_ID, PF_DOORBELLS_SIZE, PF_REGISTERS_SIZE, VENDOR_ID, VF_DEVICE_ID,
    VF_DOORBELLS_SIZE, VF_REGISTERS_SIZE,
};
use std::sync::Arc;

/// Class code and revision 1.
pub(super) const CLASS_AND_REVISION: u32 = (CLASS << 8) | 1;
/// Where a function's MSI-X capability lies.
pub(super) const MSIX: usize = 0x70;
/// Message control word of MSI-X.
pub(super) const MSIX_CONTROL: usize = MSIX + 2;
const CAPABILITY_MSIX: u8 = 0x11;
const CAPABILITY_ARI: u16 = 0x000E;
const CAPABILITY_SRIOV: u16 = 0x0010;
const CAPABILITY_SERIAL: u16 = 0x0003;
const ARI: usize = 0x150;
const SRIOV: usize = 0x160;
const SRIOV_CONTROL: usize = SRIOV + 0x08;
const SRIOV_NUM_VFS: usize = SRIOV + 0x10;
const SRIOV_PAGE_SIZES: u32 = 0x553; // 4 KiB, 8 KiB, 64 KiB, 256 KiB, 1 MiB, 4 MiB: all that the standard requires
const SRIOV_PAGE_SIZE: usize = SRIOV + 0x20;
const SRIOV_BARS: usize = SRIOV + 0x24;
const SRIOV_ENABLE: u16 = 1 << 0;
const SRIOV_MEMORY: u16 = 1 << 3;
const SRIOV_CONTROL_WRITABLE: u32 = 0x19; // enable, memory space enable, ARI capable hierarchy
const SERIAL: usize = 0x1A0;

// All BARs of a VF have one size, so that one stride serves them all.
const _: () = assert!(VF_REGISTERS_SIZE == VF_DOORBELLS_SIZE && VF_REGISTERS_SIZE == MSIX_BAR_SIZE);

/// A function number's distance from the PF of the first VF, and from each VF to the next.
pub(super) const VF_OFFSET: u16 = 1;

/// What a configuration write has started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// Function level reset.
    pub reset: bool,
    /// VF enable went to this value.
    pub vfs: Option<bool>,
}

/// The physical function.
#[derive(Debug)]
pub struct Physical {
    config: ConfigSpace,
    /// MSI-X state.
    pub msix: Msix,
    total_vfs: u16,
}

/// Adds MSI-X with table and pending bits in BAR4.
pub(super) fn add_msix(layout: &mut Layout, vectors: u16) {
    layout
        .capability(CAPABILITY_MSIX, MSIX)
        .u16(MSIX_CONTROL, vectors - 1)
        .writable(MSIX_CONTROL, 0xC000)
        .u32(MSIX + 4, 4)
        .u32(MSIX + 8, PENDING_OFFSET as u32 | 4);
}

/// Adds ARI at `offset`. There is no function after PF and VFs to point to.
pub(super) fn add_ari(layout: &mut Layout, offset: usize) {
    layout.extended(CAPABILITY_ARI, 1, offset);
}

impl Physical {
    /// As after power-on. `serial` becomes the device serial number.
    pub fn new(vectors: u16, total_vfs: u16, serial: u64) -> Self {
        let total_vfs = total_vfs.min(MAX_VFS);
        let msix = Msix::new(vectors);
        let mut layout = Layout::new();
        layout
            .u16(0x00, VENDOR_ID)
            .u16(0x02, PF_DEVICE_ID)
            .writable(COMMAND, COMMAND_WRITABLE)
            .u32(0x08, CLASS_AND_REVISION)
            .writable(0x0C, 0xFF) // cache line size
            .bar64(0x10, PF_REGISTERS_SIZE)
            .bar64(0x18, PF_DOORBELLS_SIZE)
            .bar64(0x20, MSIX_BAR_SIZE)
            .u16(0x2C, VENDOR_ID)
            .u16(0x2E, PF_DEVICE_ID)
            .writable(0x3C, 0xFF); // interrupt line: a scratch byte
        pcie::add_power_management(&mut layout);
        add_msix(&mut layout, msix.vectors());
        pcie::add_pcie(&mut layout, Kind::Endpoint { physical: true });
        aer::add_aer(&mut layout, false);
        add_ari(&mut layout, ARI);
        if total_vfs > 0 {
            add_sriov(&mut layout, total_vfs);
        }
        layout
            .extended(CAPABILITY_SERIAL, 1, SERIAL)
            .put(SERIAL + 4, serial.to_le_bytes());
        Physical {
            config: ConfigSpace::new(&Arc::new(layout)),
            msix,
            total_vfs,
        }
    }

    /// Configuration read.
    pub fn read(&self, offset: usize, data: &mut [u8]) {
        self.config.read(offset, data);
    }

    /// Configuration write; appends interrupts that it sets free to `messages`.
    pub fn write(&mut self, offset: usize, data: &[u8], messages: &mut Vec<Message>) -> Started {
        let control = self.config.u16(SRIOV_CONTROL);
        let num_vfs = self.config.u16(SRIOV_NUM_VFS);
        let page_size = self.config.u32(SRIOV_PAGE_SIZE);
        self.config.write(offset, data);
        if self.total_vfs > 0 {
            self.settle_sriov(control, num_vfs, page_size);
        }
        if writes_flr(offset, data) {
            self.reset();
            return Started {
                reset: true,
                vfs: (control & SRIOV_ENABLE != 0).then_some(false),
            };
        }
        self.update_msix(messages);
        let enabled = self.config.u16(SRIOV_CONTROL) & SRIOV_ENABLE;
        Started {
            reset: false,
            vfs: (enabled != control & SRIOV_ENABLE).then_some(enabled != 0),
        }
    }

    /// FLR or bus reset: all but the sticky registers.
    pub fn reset(&mut self) {
        self.config.reset();
        self.msix = Msix::new(self.msix.vectors());
    }

    /// Bus mastering, as software has set it.
    pub fn masters(&self) -> bool {
        self.config.u16(COMMAND) & COMMAND_MASTER != 0 && pcie::is_d0(self.config.u16(PM_CONTROL))
    }

    /// Bus addresses of BAR0, BAR2 and BAR4, if the function decodes them.
    pub fn bars(&self) -> Option<[u64; 3]> {
        let on = self.config.u16(COMMAND) & COMMAND_MEMORY != 0
            && pcie::is_d0(self.config.u16(PM_CONTROL));
        on.then(|| [0x10, 0x18, 0x20].map(|offset| self.config.bar64(offset)))
    }

    /// Bus addresses of the first VF's BAR0, BAR2 and BAR4, if the VFs decode them.
    pub fn vf_bars(&self) -> Option<[u64; 3]> {
        let wanted = SRIOV_ENABLE | SRIOV_MEMORY;
        (self.config.u16(SRIOV_CONTROL) & wanted == wanted).then(|| {
            [0, 8, 16]
                .map(|offset| self.config.bar64(SRIOV_BARS + offset) & !(self.vf_stride() - 1))
        })
    }

    /// Distance between the same BAR of two neighbouring VFs: its size, but at least a system page.
    pub fn vf_stride(&self) -> u64 {
        let page_size = self.config.u32(SRIOV_PAGE_SIZE);
        VF_REGISTERS_SIZE.max(4096 << page_size.trailing_zeros().min(10))
    }

    /// Number of VFs that VF enable makes.
    pub fn num_vfs(&self) -> u16 {
        self.config.u16(SRIOV_NUM_VFS)
    }

    /// Meets an error; returns the message to send upstream, if any.
    pub fn detect_error(&mut self, severity: aer::Severity) -> Option<aer::Severity> {
        aer::detect(&mut self.config, severity)
    }

    /// What a write to the SR-IOV capability may not do: change the number of VFs or the page size while VFs exist,
    /// exceed the total, or choose a page size that is none.
    fn settle_sriov(&mut self, control: u16, num_vfs: u16, page_size: u32) {
        if control & SRIOV_ENABLE != 0 {
            self.config.set_u16(SRIOV_NUM_VFS, num_vfs);
            self.config.set_u32(SRIOV_PAGE_SIZE, page_size);
            return;
        }
        if self.config.u16(SRIOV_NUM_VFS) > self.total_vfs {
            self.config.set_u16(SRIOV_NUM_VFS, num_vfs);
        }
        let chosen = self.config.u32(SRIOV_PAGE_SIZE);
        if chosen.count_ones() != 1 || chosen & SRIOV_PAGE_SIZES == 0 {
            self.config.set_u32(SRIOV_PAGE_SIZE, page_size);
        }
        // A BAR's lowest writable bit tells its size, which grows with the page.
        let mask = !(self.vf_stride() as u32 - 1);
        for offset in [0, 8, 16] {
            let low = self.config.u32(SRIOV_BARS + offset);
            self.config.set_u32(SRIOV_BARS + offset, low & (mask | 0xF));
        }
    }

    fn update_msix(&mut self, messages: &mut Vec<Message>) {
        let master = self.masters();
        self.msix
            .set_control(self.config.u16(MSIX_CONTROL), master, messages);
    }
}

fn add_sriov(layout: &mut Layout, total_vfs: u16) {
    layout
        .extended(CAPABILITY_SRIOV, 1, SRIOV)
        .u32(SRIOV + 0x04, 1 << 1) // keeps working when ARI is switched on
        .writable(SRIOV_CONTROL, SRIOV_CONTROL_WRITABLE)
        .u16(SRIOV + 0x0C, total_vfs) // initial
        .u16(SRIOV + 0x0E, total_vfs)
        .writable(SRIOV_NUM_VFS, 0xFFFF)
        .u16(SRIOV + 0x14, VF_OFFSET)
        .u16(SRIOV + 0x16, 1) // stride
        .u16(SRIOV + 0x1A, VF_DEVICE_ID)
        .u32(SRIOV + 0x1C, SRIOV_PAGE_SIZES)
        .u32(SRIOV_PAGE_SIZE, 1)
        .writable(SRIOV_PAGE_SIZE, u32::MAX)
        .bar64(SRIOV_BARS, VF_REGISTERS_SIZE)
        .bar64(SRIOV_BARS + 8, VF_DOORBELLS_SIZE)
        .bar64(SRIOV_BARS + 16, MSIX_BAR_SIZE);
}

/// Whether a write sets the "initiate FLR" bit of device control, which itself always reads 0.
pub(super) fn writes_flr(offset: usize, data: &[u8]) -> bool {
    let upper = (DEVICE_CONTROL_FLR >> 8) as u8;
    (DEVICE_CONTROL + 1)
        .checked_sub(offset)
        .and_then(|at| data.get(at))
        .is_some_and(|byte| byte & upper != 0)
}
