// SPDX-License-Identifier: GPL-2.0-only

//! The kernel's C interface: what the kernel crate's bindings have, and what bindgen makes of `bindings_helper.h` besides.
//!
//! The pass leaves out the headers that the kernel crate's own pass has read, so that a type has one identity: a `*mut pci_dev`
//! of the kernel crate is ours too. A type that is only declared there and defined in a header of ours is the exception; such
//! a pointer needs a cast.
//!
//! A crate of its own, so that it is compiled only when the headers or the helpers change. Only `oxnic_kapi` uses it.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ptr_cast_constness,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    rustdoc::all,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

mod raw {
    use kernel::ffi;
    use pin_init::{MaybeZeroable, Zeroable};

    pub use kernel::bindings::*;

    type __kernel_size_t = usize;
    type __kernel_ssize_t = isize;
    type __kernel_ptrdiff_t = isize;

    // SAFETY: `__BindgenBitfieldUnit<Storage>` is a newtype around `Storage`.
    unsafe impl<Storage> Zeroable for __BindgenBitfieldUnit<Storage> where Storage: Zeroable {}

    include!(env!("OXNIC_BINDINGS"));
}

pub use raw::*;
