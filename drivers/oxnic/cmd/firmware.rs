// SPDX-License-Identifier: GPL-2.0-only

//! Commands about firmware.

use super::{ask, run};
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::sync::Arc;
use oxnic_abi::{
    command::Opcode,
    firmware::{
        FirmwareActivate,
        FirmwareActivation,
        FirmwareBegin,
        FirmwareComponent,
        FirmwareId,
        FirmwareInfo,
        FirmwareSet,
        FirmwareWrite, //
    },
};

/// What runs, what is stored, and how it went.
pub(crate) fn query(
    device: &Arc<Device>,
    component: FirmwareComponent,
) -> Result<FirmwareInfo, CommandError> {
    let id = FirmwareId { component };
    ask(device, Request::new(Opcode::FIRMWARE_QUERY).parameters(&id))
}

/// An image of so many bytes comes.
pub(crate) fn begin(
    device: &Arc<Device>,
    component: FirmwareComponent,
    length: u32,
) -> Result<(), CommandError> {
    let begin = FirmwareBegin { component, length };
    run(
        device,
        Request::new(Opcode::FIRMWARE_BEGIN).parameters(&begin),
    )
}

/// A block of it: the first `length` bytes of `words`, the rest of which is zero.
pub(crate) fn write(
    device: &Arc<Device>,
    component: FirmwareComponent,
    offset: u32,
    length: u32,
    words: &[u64],
) -> Result<(), CommandError> {
    let write = FirmwareWrite {
        component,
        offset,
        length,
    };
    let request = Request::new(Opcode::FIRMWARE_WRITE).parameters(&write);
    run(device, request.input(words))
}

/// All of it is there.
pub(crate) fn verify(
    device: &Arc<Device>,
    component: FirmwareComponent,
) -> Result<(), CommandError> {
    let id = FirmwareId { component };
    run(
        device,
        Request::new(Opcode::FIRMWARE_VERIFY).parameters(&id),
    )
}

/// What was verified of these components is started next.
pub(crate) fn commit(device: &Arc<Device>, components: u32) -> Result<(), CommandError> {
    let set = FirmwareSet { components };
    run(
        device,
        Request::new(Opcode::FIRMWARE_COMMIT).parameters(&set),
    )
}

/// Updates of these components are forgotten.
pub(crate) fn abort(device: &Arc<Device>, components: u32) -> Result<(), CommandError> {
    let set = FirmwareSet { components };
    run(
        device,
        Request::new(Opcode::FIRMWARE_ABORT).parameters(&set),
    )
}

/// When what was committed is started.
pub(crate) fn activate(device: &Arc<Device>, how: FirmwareActivation) -> Result<(), CommandError> {
    let activate = FirmwareActivate { how };
    run(
        device,
        Request::new(Opcode::FIRMWARE_ACTIVATE).parameters(&activate),
    )
}
