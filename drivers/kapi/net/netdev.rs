// SPDX-License-Identifier: GPL-2.0-only

//! Network devices: [`Device`] for any, [`Unregistered`] while a driver sets one up, [`Registration`] for a registered one.
//!
//! The registration owns the driver's data that the operations see: the data is there before the first operation can be
//! called, and is dropped after the last has returned. It lies in the device's private area, so that an operation reaches it
//! without following a pointer. The state of each transmit queue lies behind that queue's own lock, see [`super::queue`].
//!
//! Locks: the core calls most operations with RTNL and the device's instance lock held ("ops locked"). The types [`Locked`]
//! and [`Rtnl`] stand for these locks: functions that need one take it as their receiver or argument.

mod callbacks;
mod device;
#[cfg(CONFIG_KUNIT)]
pub(super) mod fixture;
mod operations;
mod registration;

use kernel::sync::aref::ARef;

pub use device::{AddressList, Device, Locked, Rtnl};
pub use operations::{Operations, SkBuffRef, Transmit};
pub(super) use registration::{data, private_slots};
pub use registration::{data_of, tx_slots, Registration, Unregistered};

/// Length of an Ethernet address in bytes.
pub const ADDRESS_LENGTH: usize = 6;
/// An Ethernet address in transmission order.
pub type Address = [u8; ADDRESS_LENGTH];
/// The reference that keeps a device from being freed, as what lives in queues needs it.
pub type DeviceRef = ARef<Device>;
