// SPDX-License-Identifier: GPL-2.0-only

//! Safe abstractions over the kernel interfaces that the driver needs and the kernel crate lacks.
//!
//! The only crate of the module with unsafe code. It knows nothing of the device interface.

