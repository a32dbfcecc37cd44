// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What the fuzz targets do with their input, so that it can also be run as a test.
//!
//! - [`messages`]: the input is what a vfio-user client sends;
//! - [`device`]: the input is a list of accesses and events on a device that a guest has enumerated;
//! - [`commands`]: the input is admin commands and their buffers, after an accepted handshake;
//! - [`descriptors`]: the input is descriptors, doorbells and frames on queues that work;
//! - [`flow`]: the input is frames that rules of the flow engine take, in tunnels and out of them;
//! - [`images`]: the input is an image of firmware, and what happens to the device once it was offered.
//!
//! What is looked for is a panic (also by overflow), an access outside the memory that there is, and firmware that nobody has signed.

pub mod commands;
pub mod descriptors;
pub mod device;
pub mod flow;
pub mod host;
pub mod images;
pub mod messages;

/// A target: its name and what it does with its input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 6] = [
    ("messages", messages::run),
    ("device", device::run),
    ("commands", commands::run),
    ("descriptors", descriptors::run),
    ("flow", flow::run),
    ("images", images::run),
];
