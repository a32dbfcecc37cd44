// SPDX-License-Identifier: GPL-2.0-only

//! Commands about wire ports.

use super::{ask, fetch, run};
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::sync::Arc;
use oxnic_abi::{
    command::Opcode,
    port::{ModuleRead, PortConfig, PortIdentify, PortInfo}, //
};

/// State of the wire port below a vport.
pub(crate) fn query(device: &Arc<Device>, vport: u16) -> Result<PortInfo, CommandError> {
    ask(device, Request::new(Opcode::PORT_QUERY).vport(vport))
}

/// Changes the settings of the wire port that the mask names.
pub(crate) fn set(
    device: &Arc<Device>,
    vport: u16,
    config: &PortConfig,
) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::PORT_SET)
            .vport(vport)
            .parameters(config),
    )
}

/// Lets the port's light blink, or stop.
pub(crate) fn identify(device: &Arc<Device>, vport: u16, on: bool) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::PORT_IDENTIFY)
            .vport(vport)
            .parameters(&PortIdentify { on: on.into() }),
    )
}

/// Fills a buffer, as long as the request says, from the memory of what is plugged into the port.
pub(crate) fn module(
    device: &Arc<Device>,
    vport: u16,
    read: &ModuleRead,
    out: &mut [u8],
) -> Result<(), CommandError> {
    let request = Request::new(Opcode::PORT_MODULE);
    fetch(device, request.vport(vport).parameters(read), out)
}
