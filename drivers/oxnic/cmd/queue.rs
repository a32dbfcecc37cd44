// SPDX-License-Identifier: GPL-2.0-only

//! Commands about queues.

use super::run;
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::sync::Arc;
use oxnic_abi::{
    command::Opcode,
    queue::{CqCreate, CqModerate, QueueId, RxCreate, TxCreate}, //
};

/// Creates a completion queue.
pub(crate) fn cq_create(device: &Arc<Device>, queue: &CqCreate) -> Result<(), CommandError> {
    run(device, Request::new(Opcode::CQ_CREATE).parameters(queue))
}

/// Destroys a completion queue that no other queue uses.
pub(crate) fn cq_destroy(device: &Arc<Device>, id: u16) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::CQ_DESTROY).parameters(&QueueId { id }),
    )
}

/// Changes the interrupt moderation of a completion queue.
pub(crate) fn cq_moderate(
    device: &Arc<Device>,
    moderation: &CqModerate,
) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::CQ_MODERATE).parameters(moderation),
    )
}

/// Creates a transmit queue of a vport.
pub(crate) fn tx_create(
    device: &Arc<Device>,
    vport: u16,
    queue: &TxCreate,
) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::TX_CREATE)
            .vport(vport)
            .parameters(queue),
    )
}

/// Destroys a transmit queue; its DMA has ended afterwards.
pub(crate) fn tx_destroy(device: &Arc<Device>, id: u16) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::TX_DESTROY).parameters(&QueueId { id }),
    )
}

/// Creates a receive queue of a vport.
pub(crate) fn rx_create(
    device: &Arc<Device>,
    vport: u16,
    queue: &RxCreate,
) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::RX_CREATE)
            .vport(vport)
            .parameters(queue),
    )
}

/// Destroys a receive queue; its DMA has ended afterwards.
pub(crate) fn rx_destroy(device: &Arc<Device>, id: u16) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::RX_DESTROY).parameters(&QueueId { id }),
    )
}
