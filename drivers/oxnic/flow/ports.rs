// SPDX-License-Identifier: GPL-2.0-only

//! The numbers that the eswitch has for what interfaces stand for: a representor for its VF, the PF's interface for its wire port.

use super::read::Ports;
use crate::{
    cmd,
    command::CommandError,
    device::Device,
    netdev::{Kind, NetPort}, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex}, //
};
use oxnic_abi::vport::{EswitchPortKind, PortEntry};
use oxnic_kapi::net::netdev::{data_of, Device as NetDevice, DeviceRef};
use oxnic_offload::rule::Port;

/// What the device has said of its ports. They keep their numbers; those of VFs come with the VFs.
#[pin_data]
pub(crate) struct PortNumbers {
    #[pin]
    known: Mutex<KVec<PortEntry>>,
}

impl PortNumbers {
    /// Nothing is known yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self { known <- new_mutex!(KVec::new()) })
    }

    /// The number of a port; asks the device once where it is not known.
    pub(super) fn find(
        &self,
        device: &Arc<Device>,
        kind: EswitchPortKind,
        index: u16,
    ) -> Result<Option<u16>, CommandError> {
        let mut known = self.known.lock();
        let look = |entries: &[PortEntry]| {
            entries
                .iter()
                .find(|entry| entry.kind == kind && entry.index == index)
                .map(|entry| entry.eswitch_port)
        };
        if let Some(number) = look(&known) {
            return Ok(Some(number));
        }
        *known = cmd::eswitch::ports(device)?;
        Ok(look(&known))
    }

    /// The device was reset and may number its ports anew.
    pub(crate) fn forget(&self) {
        self.known.lock().clear();
    }
}

/// Finds ports for rules on an interface.
pub(crate) struct Finder<'a> {
    /// The function of the eswitch.
    pub(crate) device: &'a Arc<Device>,
    /// The interface that the rule is on.
    pub(crate) netdev: &'a DeviceRef,
}

/// The number of what an interface of this eswitch stands for.
pub(super) fn number(device: &Arc<Device>, port: &NetPort) -> Option<Port> {
    if !Arc::ptr_eq(&port.device, device) {
        return None;
    }
    let (kind, index) = match port.kind {
        Kind::Own => (EswitchPortKind::WIRE, port.share.vport),
        Kind::Representor(vf) => (EswitchPortKind::VF, vf),
    };
    let found = device.port_numbers.find(device, kind, index);
    let number = found
        .inspect_err(|error| dev_err!(device.binding(), "eswitch ports: {}\n", error))
        .ok()
        .flatten()?;
    Some(Port(number.into()))
}

impl Ports for Finder<'_> {
    fn port(&self, netdev: &NetDevice) -> Option<Port> {
        number(self.device, data_of::<NetPort>(netdev)?)
    }

    fn port_by_index(&self, index: u32) -> Option<Port> {
        self.port(&*self.netdev.neighbour(index)?)
    }
}
