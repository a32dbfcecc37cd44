// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Making firmware of the reference device: builds, signed images, and packages of them.
//!
//! This is the vendor's side, used by the tool `oxnic-firmware` and by tests; the device's is [`crate::nic::firmware`].

pub mod image;
pub mod keys;
pub mod package;
