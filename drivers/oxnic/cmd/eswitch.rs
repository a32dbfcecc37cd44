// SPDX-License-Identifier: GPL-2.0-only

//! Commands about the embedded switch.

use super::{list, run};
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::{alloc::KVec, sync::Arc};
use oxnic_abi::{
    command::Opcode,
    eswitch::{EswitchConfig, EswitchMode},
    vport::PortEntry, //
};

/// Changes how the eswitch forwards.
pub(crate) fn set_mode(device: &Arc<Device>, mode: EswitchMode) -> Result<(), CommandError> {
    let config = EswitchConfig { mode };
    run(
        device,
        Request::new(Opcode::ESWITCH_SET).parameters(&config),
    )
}

/// The ports of the eswitch. Those of VFs are among them as long as the VFs are enabled.
pub(crate) fn ports(device: &Arc<Device>) -> Result<KVec<PortEntry>, CommandError> {
    // A wire port and a vport of the PF for each port, and one port for each VF.
    let most = 2 * usize::from(device.port_count()) + usize::from(device.eswitch.representors());
    list(device, Request::new(Opcode::ESWITCH_PORTS), most)
}
