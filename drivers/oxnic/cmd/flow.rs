// SPDX-License-Identifier: GPL-2.0-only

//! Commands about the flow engine and its objects.

use crate::{
    command::{Cause, CommandError, Request},
    device::Device,
    health::{Fault, Kind}, //
};
use kernel::sync::Arc;
use oxnic_abi::{
    command::{Opcode, Status},
    flow::{
        counter::CounterMemory,
        encap::EncapSet,
        info::{FlowInfo, FlowInfoGet, FlowObject},
        meter::MeterSet,
        port::PortTable,
        queue::FlowQueueCreate,
        table::TableSet,
        template::TemplateSet,
        tunnel::TunnelPort,
        FlowId, //
    },
    queue::QueueId,
};

/// Runs a command whose answer says nothing. Where the device answers what the interface does not have, nobody knows whether there is
/// such an object: it is reset.
fn run(device: &Arc<Device>, request: Request<'_>) -> Result<(), CommandError> {
    let opcode = request.opcode.0;
    device.command(&request).map(|_| ()).map_err(|error| {
        if !matches!(error.cause, Cause::Refused { status, .. } if !Status::ALL.contains(&status)) {
            return error;
        }
        device.request_reset(Fault::with(Kind::StrayAnswer, opcode));
        CommandError {
            cause: Cause::Malformed,
            ..error
        }
    })
}

/// Makes or changes a table.
pub(crate) fn table_set(device: &Arc<Device>, table: &TableSet) -> Result<(), CommandError> {
    run(device, Request::new(Opcode::TABLE_SET).parameters(table))
}

/// Destroys a table that nothing names any more.
pub(crate) fn table_destroy(device: &Arc<Device>, id: u32) -> Result<(), CommandError> {
    destroy(device, Opcode::TABLE_DESTROY, id)
}

/// Binds a side of an eswitch port to a table, or to none.
pub(crate) fn port_table(device: &Arc<Device>, bound: &PortTable) -> Result<(), CommandError> {
    run(device, Request::new(Opcode::PORT_TABLE).parameters(bound))
}

/// Makes a match template of a list of conditions with masks of options behind it.
pub(crate) fn match_template_set(
    device: &Arc<Device>,
    template: &TemplateSet,
    list: &[u64],
) -> Result<(), CommandError> {
    let request = Request::new(Opcode::MATCH_TEMPLATE_SET).parameters(template);
    run(device, request.input(list))
}

/// Destroys a match template that no rule names any more.
pub(crate) fn match_template_destroy(device: &Arc<Device>, id: u32) -> Result<(), CommandError> {
    destroy(device, Opcode::MATCH_TEMPLATE_DESTROY, id)
}

/// Makes an action template of a list of actions.
pub(crate) fn action_template_set(
    device: &Arc<Device>,
    template: &TemplateSet,
    list: &[u64],
) -> Result<(), CommandError> {
    let request = Request::new(Opcode::ACTION_TEMPLATE_SET).parameters(template);
    run(device, request.input(list))
}

/// Destroys an action template that no rule names any more.
pub(crate) fn action_template_destroy(device: &Arc<Device>, id: u32) -> Result<(), CommandError> {
    destroy(device, Opcode::ACTION_TEMPLATE_DESTROY, id)
}

/// Gives counters memory, a page each 128 of them, or takes it away. The answer is the device's time in milliseconds.
pub(crate) fn counter_memory(
    device: &Arc<Device>,
    memory: &CounterMemory,
    pages: &[u64],
) -> Result<u64, CommandError> {
    let request = Request::new(Opcode::COUNTER_MEMORY).parameters(memory);
    let reply = device.command(&request.input(pages))?;
    Ok(reply.result[0])
}

/// How many objects of a kind there can be and are.
pub(crate) fn info(device: &Arc<Device>, kind: FlowObject) -> Result<FlowInfo, CommandError> {
    let request = Request::new(Opcode::FLOW_INFO).parameters(&FlowInfoGet { kind });
    let reply = device.command(&request)?;
    Ok(FlowInfo::from_words(&reply.result))
}

/// Makes or changes a meter.
pub(crate) fn meter_set(device: &Arc<Device>, meter: &MeterSet) -> Result<(), CommandError> {
    run(device, Request::new(Opcode::METER_SET).parameters(meter))
}

/// Destroys a meter that no rule names any more.
pub(crate) fn meter_destroy(device: &Arc<Device>, id: u32) -> Result<(), CommandError> {
    destroy(device, Opcode::METER_DESTROY, id)
}

/// Makes or changes headers of a tunnel.
pub(crate) fn encap_set(
    device: &Arc<Device>,
    encap: &EncapSet,
    headers: &[u64],
) -> Result<(), CommandError> {
    let request = Request::new(Opcode::ENCAP_SET).parameters(encap);
    run(device, request.input(headers))
}

/// Destroys headers that no rule names any more.
pub(crate) fn encap_destroy(device: &Arc<Device>, id: u32) -> Result<(), CommandError> {
    destroy(device, Opcode::ENCAP_DESTROY, id)
}

/// Says which ports carry tunnels.
pub(crate) fn tunnel_port(device: &Arc<Device>, port: &TunnelPort) -> Result<(), CommandError> {
    run(device, Request::new(Opcode::TUNNEL_PORT).parameters(port))
}

/// Creates a flow queue on a completion queue of its own.
pub(crate) fn queue_create(
    device: &Arc<Device>,
    queue: &FlowQueueCreate,
) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::FLOW_QUEUE_CREATE).parameters(queue),
    )
}

/// Destroys a flow queue; its DMA has ended afterwards, and its rules stay.
pub(crate) fn queue_destroy(device: &Arc<Device>, id: u16) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::FLOW_QUEUE_DESTROY).parameters(&QueueId { id }),
    )
}

fn destroy(device: &Arc<Device>, opcode: Opcode, id: u32) -> Result<(), CommandError> {
    run(device, Request::new(opcode).parameters(&FlowId { id }))
}
