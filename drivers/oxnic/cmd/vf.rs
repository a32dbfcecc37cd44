// SPDX-License-Identifier: GPL-2.0-only

//! Commands of a PF about its VFs.

use super::{ask, run};
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::sync::Arc;
use oxnic_abi::{
    command::Opcode,
    stats::{StatsDma, VportStats},
    vf::{VfConfig, VfInfo, VfRange}, //
};

/// Prepares VFs, all in one command.
pub(crate) fn enable(device: &Arc<Device>, range: &VfRange) -> Result<(), CommandError> {
    run(device, Request::new(Opcode::VF_ENABLE).parameters(range))
}

/// Returns VFs to their defaults.
pub(crate) fn disable(device: &Arc<Device>, range: &VfRange) -> Result<(), CommandError> {
    run(device, Request::new(Opcode::VF_DISABLE).parameters(range))
}

/// Changes the settings of a VF that the mask names.
pub(crate) fn set(device: &Arc<Device>, vf: u16, config: &VfConfig) -> Result<(), CommandError> {
    let words = config.to_words();
    run(device, Request::new(Opcode::VF_SET).vf(vf).input(&words))
}

/// Settings of a VF.
pub(crate) fn query(device: &Arc<Device>, vf: u16) -> Result<VfInfo, CommandError> {
    ask(device, Request::new(Opcode::VF_QUERY).vf(vf))
}

/// Counters of a VF.
pub(crate) fn stats(device: &Arc<Device>, vf: u16) -> Result<VportStats, CommandError> {
    ask(device, Request::new(Opcode::VF_STATS).vf(vf))
}

/// Lets the device keep a VF's counters up to date in memory of ours, or stop that.
pub(crate) fn stats_dma(device: &Arc<Device>, vf: u16, dma: &StatsDma) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::STATS_DMA).vf(vf).parameters(dma),
    )
}
