// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! vfio-user, the server's side: how QEMU reaches a device in another process.
//!
//! - [`protocol`]: the messages as bytes;
//! - [`connection`]: the socket: message boundaries, file descriptors, batching of what is sent;
//! - [`session`]: what each request does to a [`session::Backend`];
//! - [`memory`]: guest memory, mapped from the descriptors that QEMU passes; the one file with `unsafe` in it.

pub mod connection;
pub mod memory;
pub mod protocol;
pub mod session;
