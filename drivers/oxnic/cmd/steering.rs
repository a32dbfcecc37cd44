// SPDX-License-Identifier: GPL-2.0-only

//! Commands about steering rules.

use super::run;
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::sync::Arc;
use oxnic_abi::{
    command::Opcode,
    steering::{SteeringId, SteeringRule}, //
};

/// Adds a rule, or replaces the one at its location.
pub(crate) fn set(
    device: &Arc<Device>,
    vport: u16,
    rule: &SteeringRule,
) -> Result<(), CommandError> {
    let words = rule.to_words();
    run(
        device,
        Request::new(Opcode::STEERING_SET)
            .vport(vport)
            .input(&words),
    )
}

/// Removes the rule at a location.
pub(crate) fn clear(device: &Arc<Device>, vport: u16, location: u32) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::STEERING_CLEAR)
            .vport(vport)
            .parameters(&SteeringId { location }),
    )
}
