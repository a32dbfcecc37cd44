// SPDX-License-Identifier: GPL-2.0-only

//! PCI drivers with all callbacks that a network driver needs, and what they may ask of the PCI core.

mod binding;
mod device;
mod driver;
mod id;
pub mod sriov;

pub use self::{
    binding::Binding,
    device::{is_unplugged, Enabled, CONFIG_SIZE},
    driver::{Channel, Core, Driver, Recovery, Registration},
    id::{DeviceId, IdTable},
};
