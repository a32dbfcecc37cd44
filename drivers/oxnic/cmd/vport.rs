// SPDX-License-Identifier: GPL-2.0-only

//! Commands about vports.

use super::{ask, run};
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::sync::Arc;
use oxnic_abi::{
    command::Opcode,
    vport::{VportConfig, VportInfo}, //
};

/// Settings and state of a vport.
pub(crate) fn query(device: &Arc<Device>, vport: u16) -> Result<VportInfo, CommandError> {
    ask(device, Request::new(Opcode::VPORT_QUERY).vport(vport))
}

/// Changes the settings of a vport that the mask names.
pub(crate) fn set(
    device: &Arc<Device>,
    vport: u16,
    config: &VportConfig,
) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::VPORT_SET)
            .vport(vport)
            .parameters(config),
    )
}

/// Replaces the list of further addresses; each word is a [`oxnic_abi::vport::MacEntry`].
pub(crate) fn mac_list(
    device: &Arc<Device>,
    vport: u16,
    entries: &[u64],
) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::MAC_LIST).vport(vport).input(entries),
    )
}

/// Replaces the set of VLANs: bit n of the 4096 is VLAN n.
pub(crate) fn vlan_set(
    device: &Arc<Device>,
    vport: u16,
    bits: &[u64; 64],
) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::VLAN_SET).vport(vport).input(bits),
    )
}
