// SPDX-License-Identifier: GPL-2.0-only

//! Commands about capabilities.

use super::ask;
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::sync::Arc;
use oxnic_abi::{
    caps::{CapGet, CapabilityId, NicCaps, SteeringCaps},
    clock::ClockCaps,
    command::Opcode,
    eswitch::EswitchCaps,
    firmware::FirmwareCaps,
    flow::capability::FlowCaps,
    rate::RateCaps, //
};

fn get(id: CapabilityId) -> Request<'static> {
    Request::new(Opcode::CAP_GET).parameters(&CapGet { id })
}

/// What the function offers as a network interface.
pub(crate) fn nic(device: &Arc<Device>) -> Result<NicCaps, CommandError> {
    ask(device, get(CapabilityId::NIC))
}

/// What the function offers for steering; an error where there is none.
pub(crate) fn steering(device: &Arc<Device>) -> Result<SteeringCaps, CommandError> {
    ask(device, get(CapabilityId::STEERING))
}

/// What can be done to the clock; an error where there is none.
pub(crate) fn clock(device: &Arc<Device>) -> Result<ClockCaps, CommandError> {
    ask(device, get(CapabilityId::CLOCK))
}

/// What the eswitch can do; an error where there is none.
pub(crate) fn eswitch(device: &Arc<Device>) -> Result<EswitchCaps, CommandError> {
    ask(device, get(CapabilityId::ESWITCH))
}

/// What can be done about firmware; an error where nothing can.
pub(crate) fn firmware(device: &Arc<Device>) -> Result<FirmwareCaps, CommandError> {
    ask(device, get(CapabilityId::FIRMWARE))
}

/// What the flow engine can do; an error where there is none.
pub(crate) fn flow(device: &Arc<Device>) -> Result<FlowCaps, CommandError> {
    ask(device, get(CapabilityId::FLOW))
}

/// How rates can be set; an error where they cannot.
pub(crate) fn rates(device: &Arc<Device>) -> Result<RateCaps, CommandError> {
    ask(device, get(CapabilityId::RATE))
}
