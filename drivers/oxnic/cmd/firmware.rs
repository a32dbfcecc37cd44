// SPDX-License-Identifier: GPL-2.0-only

//! Commands about firmware.

use super::{ask, fetch, run};
use crate::{
    command::{push_bytes, Cause, CommandError, Request},
    device::Device, //
};
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::{
    command::Opcode,
    firmware::{
        FirmwareActivate,
        FirmwareActivation,
        FirmwareBegin,
        FirmwareCheck,
        FirmwareComponent,
        FirmwareId,
        FirmwareInfo,
        FirmwareRead,
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

/// A block of it, which is no longer than the device takes. It is sent in `words`, whose room is used again for the next one.
pub(crate) fn write(
    device: &Arc<Device>,
    component: FirmwareComponent,
    offset: u32,
    bytes: &[u8],
    words: &mut KVec<u64>,
) -> Result<(), CommandError> {
    let opcode = Opcode::FIRMWARE_WRITE;
    let write = FirmwareWrite {
        component,
        offset,
        length: bytes.len() as u32,
    };
    words.clear();
    push_bytes(words, bytes).map_err(|_| CommandError {
        opcode,
        cause: Cause::Memory,
    })?;
    run(device, Request::new(opcode).parameters(&write).input(words))
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

/// Whether what is stored of a component is what was committed.
pub(crate) fn check(
    device: &Arc<Device>,
    component: FirmwareComponent,
) -> Result<FirmwareCheck, CommandError> {
    let id = FirmwareId { component };
    ask(device, Request::new(Opcode::FIRMWARE_CHECK).parameters(&id))
}

/// Fills a buffer, which is no longer than a block, from flash.
pub(crate) fn read(device: &Arc<Device>, offset: u32, out: &mut [u8]) -> Result<(), CommandError> {
    let read = FirmwareRead {
        offset,
        length: out.len() as u32,
    };
    fetch(
        device,
        Request::new(Opcode::FIRMWARE_READ).parameters(&read),
        out,
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
