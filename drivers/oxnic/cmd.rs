// SPDX-License-Identifier: GPL-2.0-only

//! The commands of the interface, one function each, with typed parameters and answers. They sleep until they are answered.

pub(crate) mod caps;
pub(crate) mod clock;
pub(crate) mod eswitch;
pub(crate) mod port;
pub(crate) mod queue;
pub(crate) mod rss;
pub(crate) mod stats;
pub(crate) mod steering;
pub(crate) mod vf;
pub(crate) mod vport;

use crate::{
    command::{CommandError, Reply, Request},
    device::Device, //
};
use kernel::sync::Arc;
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
