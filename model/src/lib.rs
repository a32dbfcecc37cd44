// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Oxnic reference device: a SmartNIC with SR-IOV, as a user-space process behind stock QEMU.
//!
//! The pieces, from the inside out:
//! - the NIC core behind the BARs, which knows neither sockets nor PCI;
//! - [`host`], the seam between the NIC core and the world;
//! - [`pci`], the PCI Express hierarchy as the guest sees it, and [`wire`], what is at the far end of the cables;
//! - [`vfio`], how QEMU reaches the device, and guest memory;
//! - [`flash`], where firmware is kept, and [`firmware`], which makes it;
//! - [`board`], [`machine`] and [`command`], which join them, [`control`] and [`cli`], which let people in, and
//!   [`chaos`], which lets things go wrong.

#![deny(unsafe_code)]

pub mod board;
pub mod chaos;
pub mod cli;
pub mod command;
pub mod control;
pub mod firmware;
pub mod flash;
pub mod host;
pub mod machine;
pub mod nic;
pub mod pci;
pub mod vfio;
pub mod wire;
