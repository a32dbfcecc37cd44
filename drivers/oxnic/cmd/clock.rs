// SPDX-License-Identifier: GPL-2.0-only

//! Commands about the device's clock.

use super::{ask, run};
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::sync::Arc;
use oxnic_abi::{
    clock::{ClockConfig, ClockInfo},
    command::Opcode, //
};

/// Sets what the mask names.
pub(crate) fn set(device: &Arc<Device>, config: &ClockConfig) -> Result<(), CommandError> {
    run(device, Request::new(Opcode::CLOCK_SET).parameters(config))
}

/// Time, rate, and whether anybody has set it.
pub(crate) fn query(device: &Arc<Device>) -> Result<ClockInfo, CommandError> {
    ask(device, Request::new(Opcode::CLOCK_QUERY))
}
