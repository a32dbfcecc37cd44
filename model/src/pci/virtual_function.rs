// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A virtual function's configuration space and its MSI-X.
//!
//! A VF has no BARs of its own (they are in the PF's SR-IOV capability) and no id: both read as the standard says.

use super::config::{ConfigSpace, Layout};
use super::msix::{Message, Msix};
use super::pcie::{self, COMMAND, COMMAND_MASTER, Kind};
use super::physical::{CLASS_AND_REVISION, MSIX_CONTROL, add_ari, add_msix, writes_flr};
use oxnic_abi::pci::{VENDOR_ID, VF_DEVICE_ID};
use std::sync::Arc;

const ARI: usize = 0x100;
const MSIX_TABLE_SIZE: u16 = 0x07FF;

/// The layout that all VFs share.
pub fn vf_layout() -> Arc<Layout> {
    let mut layout = Layout::new();
    layout
        .u32(0x00, u32::MAX)
        .writable(COMMAND, u32::from(COMMAND_MASTER))
        .u32(0x08, CLASS_AND_REVISION)
        .u16(0x2C, VENDOR_ID)
        .u16(0x2E, VF_DEVICE_ID);
    add_msix(&mut layout, 1);
    pcie::add_pcie(&mut layout, Kind::Endpoint { physical: false });
    add_ari(&mut layout, ARI);
    Arc::new(layout)
}

/// A virtual function.
#[derive(Debug)]
pub struct VirtualFunction {
    config: ConfigSpace,
    /// MSI-X state.
    pub msix: Msix,
}

impl VirtualFunction {
    /// As after VF enable.
    pub fn new(layout: &Arc<Layout>, vectors: u16) -> Self {
        let mut function = VirtualFunction {
            config: ConfigSpace::new(layout),
            msix: Msix::new(vectors),
        };
        function.show_vectors();
        function
    }

    /// Configuration read.
    pub fn read(&self, offset: usize, data: &mut [u8]) {
        self.config.read(offset, data);
    }

    /// Configuration write; returns whether it started a function level reset.
    pub fn write(&mut self, offset: usize, data: &[u8], messages: &mut Vec<Message>) -> bool {
        self.config.write(offset, data);
        if writes_flr(offset, data) {
            self.reset();
            return true;
        }
        let master = self.masters();
        self.msix
            .set_control(self.config.u16(MSIX_CONTROL), master, messages);
        false
    }

    /// FLR.
    pub fn reset(&mut self) {
        self.config.reset();
        self.msix = Msix::new(self.msix.vectors());
        self.show_vectors();
    }

    /// The PF gave the function another number of vectors. Only sensible while no driver uses it: the table starts anew.
    pub fn set_vectors(&mut self, vectors: u16) {
        if vectors != self.msix.vectors() {
            self.msix = Msix::new(vectors);
            self.show_vectors();
        }
    }

    /// Bus mastering, as software has set it.
    pub fn masters(&self) -> bool {
        self.config.u16(COMMAND) & COMMAND_MASTER != 0
    }

    fn show_vectors(&mut self) {
        let control = self.config.u16(MSIX_CONTROL) & !MSIX_TABLE_SIZE;
        self.config
            .set_u16(MSIX_CONTROL, control | (self.msix.vectors() - 1));
    }
}
