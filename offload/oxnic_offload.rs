// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What tc asked for, and what packets then do: the part of the offload engine that needs no kernel.
//!
//! Four parts:
//!
//! - [`packet`]: a frame into header positions and values, as the kernel's flow dissector does it for `cls_flower`.
//! - [`rule`]: keys and actions as tc says them, and [`reject`]: every reason to refuse one.
//! - [`plan`]: rules into objects of the device, in the terms of `oxnic_abi`.
//! - [`oracle`]: a naive interpreter of rules over packets. It defines what "exactly as asked" means: a device, a plan or a
//!   fast table is right if it does the same.
//!
//! Where the kernel does something that one would not expect, the module's documentation says so and names the kernel's
//! function. `Documentation/offload.rst` gathers these.
//!
//! The crate needs neither the standard library nor an allocator: what it keeps is in arrays of fixed size or in slices of
//! its caller.
//!
//! # Panics
//!
//! Nothing here panics on any input. Bytes of packets are read through [`packet::bytes`], which answers `None` beyond the end,
//! and sums that input can make large wrap or saturate by name.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod oracle;
pub mod packet;
pub mod plan;
pub mod reject;
pub mod rule;
