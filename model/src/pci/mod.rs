// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! PCI Express as the guest sees it, without any I/O: configuration spaces, BAR decode, MSI-X, SR-IOV, resets, hot plug and
//! error reporting.
//!
//! ```text
//! guest ── QEMU ── VMD endpoint (vmd) ── root port (root_port) ──┬── PF  (physical)
//!                  the one PCI device     slot, AER, ARI, MSI    └── VFs (virtual_function), functions 1 to 128
//!                  that QEMU knows
//! ```
//!
//! [`hierarchy`] joins them; the machine talks to nothing else.

pub mod aer;
pub mod config;
pub mod hierarchy;
pub mod map;
pub mod msix;
pub mod pcie;
pub mod physical;
pub mod root_port;
pub mod virtual_function;
pub mod vmd;

#[cfg(test)]
mod tests;
