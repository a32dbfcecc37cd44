// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Oxnic reference device: a SmartNIC with SR-IOV, as a user-space process behind stock QEMU.
//!
//! The pieces, from the inside out:
//! - the NIC core behind the BARs, which knows neither sockets nor PCI;
//! - [`host`], the seam between the NIC core and the world.

#![deny(unsafe_code)]

pub mod host;
pub mod pci;
pub mod vfio;
pub mod wire;
