// SPDX-License-Identifier: GPL-2.0-only

//! The commands of the interface, one function each, with typed parameters and answers. They sleep until they are answered.

pub(crate) mod caps;
pub(crate) mod clock;
pub(crate) mod eswitch;
pub(crate) mod firmware;
pub(crate) mod flow;
pub(crate) mod port;
pub(crate) mod queue;
pub(crate) mod rate;
pub(crate) mod rss;
#[cfg(CONFIG_HWMON)]
pub(crate) mod sensor;
pub(crate) mod stats;
pub(crate) mod steering;
pub(crate) mod vf;
pub(crate) mod vport;

use crate::{
    command::{Cause, CommandError, Reply, Request},
    device::Device, //
};
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::wire::Wire;

/// Runs a command whose answer says nothing.
fn run(device: &Arc<Device>, request: Request<'_>) -> Result<(), CommandError> {
    device.command(&request).map(|_| ())
}

/// Runs a command whose answer is a structure.
fn ask<const N: usize, T: Wire<N>>(
    device: &Arc<Device>,
    request: Request<'_>,
) -> Result<T, CommandError> {
    device
        .command(&request.answer(N))
        .map(|reply: Reply| reply.decode())
}

/// Runs a command whose answer is bytes, as many as there is room for.
fn fetch(device: &Arc<Device>, request: Request<'_>, out: &mut [u8]) -> Result<(), CommandError> {
    let opcode = request.opcode;
    let reply = device.command(&request.answer(out.len().div_ceil(8)))?;
    if reply.data.len() * 8 < out.len() {
        let cause = Cause::Malformed;
        return Err(CommandError { opcode, cause });
    }
    for (to, from) in out.chunks_mut(8).zip(&reply.data) {
        to.copy_from_slice(&from.to_le_bytes()[..to.len()]);
    }
    Ok(())
}

/// Runs a command whose answer is a list of at most so many structures. The device says how large each is, and may know more of it
/// than we do.
fn list<const N: usize, T: Wire<N>>(
    device: &Arc<Device>,
    request: Request<'_>,
    most: usize,
) -> Result<KVec<T>, CommandError> {
    let failed = |cause| CommandError {
        opcode: request.opcode,
        cause,
    };
    // Room for entries that are larger by half.
    let reply = device.command(&request.answer(most * (N + N.div_ceil(2))))?;
    let [count, size] = reply.result;
    let words = usize::try_from(size / 8).unwrap_or(0);
    if words < N || size % 8 != 0 {
        return Err(failed(Cause::Malformed));
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(most);
    let mut entries = KVec::with_capacity(count, GFP_KERNEL).map_err(|_| failed(Cause::Memory))?;
    for entry in reply.data.chunks_exact(words).take(count) {
        let known = entry.first_chunk().map(T::from_words);
        let entry = known.ok_or(failed(Cause::Malformed))?;
        entries
            .push(entry, GFP_KERNEL)
            .map_err(|_| failed(Cause::Memory))?;
    }
    Ok(entries)
}
