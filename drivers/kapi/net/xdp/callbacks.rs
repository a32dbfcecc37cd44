// SPDX-License-Identifier: GPL-2.0-only

//! The functions that the core calls for XDP, which hand on to [`Operations`].

use super::{Frames, Program};
use crate::extack::Extack;
use crate::net::netdev::{data, private_slots, Device, Operations, Rtnl};
use core::ffi::c_int;
use core::ptr::NonNull;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// # Safety
///
/// The core calls this with RTNL and the instance lock held for a registered device; `bpf` is valid.
pub(in crate::net) unsafe extern "C" fn bpf_callback<T: Operations>(
    dev: *mut bindings::net_device,
    bpf: *mut bindings::netdev_bpf,
) -> c_int {
    // SAFETY: By the contract of this function.
    let (data, rtnl, bpf) = unsafe { (data::<T>(dev), Rtnl::from_raw(dev), &mut *bpf) };
    if bpf.command != bindings::bpf_netdev_command_XDP_SETUP_PROG {
        return EINVAL.to_errno();
    }
    // SAFETY: With this command these members hold, and are valid while this runs.
    let (program, extack) = unsafe {
        let setup = bpf.__bindgen_anon_1.__bindgen_anon_1.as_ref();
        (setup.prog, Extack::from_raw(setup.extack))
    };
    // SAFETY: As above. The driver has a reference of its own from here on.
    match data.set_xdp_program(rtnl, unsafe { Program::from_raw(program) }, extack) {
        Ok(()) => {
            if !program.is_null() {
                // SAFETY: The core's reference was handed over, and is not needed.
                unsafe { bindings::bpf_prog_put(program) };
            }
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// The core calls this with bottom halves disabled for a registered device, with `count` frames that it hands over.
pub(in crate::net) unsafe extern "C" fn transmit_callback<T: Operations>(
    dev: *mut bindings::net_device,
    count: c_int,
    frames: *mut *mut bindings::xdp_frame,
    flags: u32,
) -> c_int {
    if flags & !bindings::XDP_XMIT_FLAGS_MASK != 0 || count < 0 {
        return EINVAL.to_errno();
    }
    // SAFETY: The device is registered, so its private area is initialised.
    let (device, slots) = unsafe { (Device::from_raw(dev), private_slots::<T>(dev)) };
    // SAFETY: Bottom halves are disabled.
    let cpu = unsafe { bindings::smp_processor_id() };
    let index = (cpu % u32::from(device.tx_queues().max(1))) as u16;
    // SAFETY: The core hands over so many frames, none of which is null; a pointer has the layout of a `NonNull`.
    let frames = Frames(unsafe {
        core::slice::from_raw_parts(
            frames.cast::<NonNull<bindings::xdp_frame>>(),
            count as usize,
        )
    });
    // SAFETY: Bottom halves are disabled.
    let sent = unsafe { slots.with(device, index, |queue| T::transmit_frames(queue, frames)) };
    match sent {
        Some(sent) => sent as c_int,
        None => ENETDOWN.to_errno(),
    }
}
