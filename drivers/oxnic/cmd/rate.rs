// SPDX-License-Identifier: GPL-2.0-only

//! Commands of a PF about rates.

use super::run;
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::sync::Arc;
use oxnic_abi::{
    command::Opcode,
    rate::{RateConfig, RateId, RateKind}, //
};

/// Sets what the mask names of a leaf or node; makes a node that is not there.
pub(crate) fn set(device: &Arc<Device>, config: &RateConfig) -> Result<(), CommandError> {
    let words = config.to_words();
    run(device, Request::new(Opcode::RATE_SET).input(&words))
}

/// A node goes.
pub(crate) fn destroy_node(device: &Arc<Device>, number: u16) -> Result<(), CommandError> {
    destroy(
        device,
        RateId {
            kind: RateKind::NODE,
            number,
        },
    )
}

/// All nodes go, and no VF has any rate.
pub(crate) fn destroy_all(device: &Arc<Device>) -> Result<(), CommandError> {
    destroy(
        device,
        RateId {
            kind: RateKind::EVERY,
            number: 0,
        },
    )
}

fn destroy(device: &Arc<Device>, id: RateId) -> Result<(), CommandError> {
    run(device, Request::new(Opcode::RATE_DESTROY).parameters(&id))
}
