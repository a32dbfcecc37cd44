// SPDX-License-Identifier: GPL-2.0-only

//! Safe abstractions over the kernel interfaces that the driver needs and the kernel crate lacks.
//!
//! The only crate of the module with unsafe code. It knows nothing of the device interface. Most things here exist only
//! while a device is bound, and hold a [`pci::Binding`] that proves it.

pub(crate) mod callback;
pub mod devlink;
pub mod dma;
pub mod extack;
#[cfg(CONFIG_HWMON)]
pub mod hwmon;
pub mod irq;
pub mod mmio;
pub mod net;
pub mod pci;
pub mod ptp;
pub(crate) mod raw;
pub mod rcu_table;
pub mod sync;
pub mod time;
pub mod work;
