// SPDX-License-Identifier: GPL-2.0-only

//! Commands about the embedded switch.

use super::run;
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::sync::Arc;
use oxnic_abi::{
    command::Opcode,
    eswitch::{EswitchConfig, EswitchMode}, //
};

/// Changes how the eswitch forwards.
pub(crate) fn set_mode(device: &Arc<Device>, mode: EswitchMode) -> Result<(), CommandError> {
    let config = EswitchConfig { mode };
    run(
        device,
        Request::new(Opcode::ESWITCH_SET).parameters(&config),
    )
}
