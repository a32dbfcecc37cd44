// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The Oxnic device interface, version 1: one definition for the driver and for devices.
//!
//! `Documentation/device.rst` is the specification in prose; what is here is normative for numbers and layouts. All values
//! are little-endian and naturally aligned, except bytes of packets (addresses, ports in rules), which keep network order.
//! The crate has neither code that could fail nor dependencies, and builds in the kernel and in user space.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod caps;
pub mod clock;
pub mod command;
pub mod doorbell;
pub mod dump;
pub mod eswitch;
pub mod event;
pub mod firmware;
pub mod flow;
pub mod pci;
pub mod port;
pub mod queue;
pub mod rate;
pub mod regs;
pub mod ring;
pub mod rss;
pub mod sections;
pub mod select;
pub mod sensor;
pub mod stats;
pub mod steering;
pub mod vf;
pub mod vport;
pub mod wire;

#[cfg(test)]
mod tests;
