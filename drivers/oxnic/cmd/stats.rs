// SPDX-License-Identifier: GPL-2.0-only

//! Commands about statistics of the function itself; those of VFs are in [`super::vf`].

use super::{ask, run};
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::sync::Arc;
use oxnic_abi::{
    command::Opcode,
    stats::{PortStats, StatsDma, VportStats}, //
};

/// Counters of a vport.
pub(crate) fn vport(device: &Arc<Device>, vport: u16) -> Result<VportStats, CommandError> {
    ask(device, Request::new(Opcode::VPORT_STATS).vport(vport))
}

/// Counters of the wire port below a vport.
pub(crate) fn port(device: &Arc<Device>, vport: u16) -> Result<PortStats, CommandError> {
    ask(device, Request::new(Opcode::PORT_STATS).vport(vport))
}

/// Lets the device keep the vport's counters up to date in memory, or stop that.
pub(crate) fn dma(device: &Arc<Device>, vport: u16, dma: &StatsDma) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::STATS_DMA).vport(vport).parameters(dma),
    )
}
