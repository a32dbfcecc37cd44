// SPDX-License-Identifier: GPL-2.0-only

//! VLAN devices above ports of the eswitch.

use super::{
    ports,
    refusal::Refusal,
    tunnel::TAGS, //
};
use crate::{device::Device, netdev::NetPort};
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::net::{
    netdev::{data_of, Device as NetDevice, DeviceRef},
    underlay::Vlan, //
};
use oxnic_offload::plan::UpperDevice;

/// A VLAN device, maybe above another one.
pub(crate) struct Upper {
    pub(crate) netdev: DeviceRef,
    /// The interface of the port.
    pub(crate) below: DeviceRef,
    pub(crate) device: UpperDevice,
    /// Packets that have another priority than 0 can get another tag.
    pub(crate) maps: bool,
}

impl Upper {
    /// Reads what an interface is; none where it is no VLAN device above a port of this eswitch.
    ///
    /// # Errors
    ///
    /// It is one that the engine does not know.
    pub(crate) fn read(device: &Arc<Device>, netdev: &NetDevice) -> Result<Option<Self>, Refusal> {
        let mut tags = [(0, 0); TAGS];
        let mut count = 0;
        let mut maps = false;
        let mut reorders = true;
        let mut below: DeviceRef = netdev.into();
        while let Some(vlan) = Vlan::of(&below) {
            count += 1;
            if count <= TAGS {
                // What is below is further out.
                tags.rotate_right(1);
                tags[0] = (vlan.tpid, vlan.tci);
            }
            maps |= vlan.maps;
            reorders &= vlan.reorders;
            below = vlan.below;
        }
        let port = data_of::<NetPort>(&below).and_then(|port| ports::number(device, port));
        let (Some(port), true) = (port, count > 0) else {
            return Ok(None);
        };
        let tags = tags.get(..count).ok_or(Refusal::Vlan("a third tag"))?;
        if !reorders {
            return Err(Refusal::Vlan("reorder_hdr off"));
        }
        let known = UpperDevice::new(port.0 as u16, tags);
        Ok(Some(Self {
            netdev: netdev.into(),
            below,
            device: known.ok_or(Refusal::Vlan("a third tag"))?,
            maps,
        }))
    }

    /// Whether what an interface receives gets to it without its tag now, and is not dropped.
    pub(crate) fn receives(netdev: &NetDevice) -> bool {
        let mut at: DeviceRef = netdev.into();
        while let Some(vlan) = Vlan::of(&at) {
            if !at.is_running() || !vlan.reorders {
                return false;
            }
            at = vlan.below;
        }
        true
    }

    /// Whether packets of the one are packets of the other, too: one is above the other.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let mut both = self.device.tags().iter().zip(other.device.tags());
        // Their priorities are not looked at.
        let same = |(one, other): (&(u16, u16), &(u16, u16))| {
            one.0 == other.0 && (one.1 ^ other.1) & 0xfff == 0
        };
        self.device.port == other.device.port && both.all(same)
    }
}
