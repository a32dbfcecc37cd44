// SPDX-License-Identifier: GPL-2.0-only

//! The command about sensors.

use super::list;
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::{
    command::Opcode,
    sensor::{SensorEntry, SENSORS_MAX}, //
};

/// All sensors and what they measure.
pub(crate) fn read(device: &Arc<Device>) -> Result<KVec<SensorEntry>, CommandError> {
    list(device, Request::new(Opcode::SENSORS), SENSORS_MAX)
}
