// SPDX-License-Identifier: GPL-2.0-only

//! The C interfaces that the kernel crate has no bindings for, as bindgen makes them from `bindings_helper.h`.
//!
//! A crate of its own, so that it is compiled only when the headers or the helpers change. Only `oxnic_kapi` uses it.

#![allow(
    clippy::all,
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

    type __kernel_size_t = usize;
    type __kernel_ssize_t = isize;
    type __kernel_ptrdiff_t = isize;

    // SAFETY: `__BindgenBitfieldUnit<Storage>` is a newtype around `Storage`.
    unsafe impl<Storage> Zeroable for __BindgenBitfieldUnit<Storage> where Storage: Zeroable {}

    include!(env!("OXNIC_BINDINGS"));
}

pub use raw::*;
