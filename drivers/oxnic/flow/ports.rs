// SPDX-License-Identifier: GPL-2.0-only

//! The numbers that the eswitch has for what interfaces stand for: a representor for its VF, the PF's interface for its wire port.

use super::{
    read::Ports,
    refusal::Refusal,
    tunnel::Tunnel,
    upper::Upper, //
};
use crate::{
    cmd,
    command::CommandError,
    device::Device,
    netdev::{Kind, NetPort}, //
};
use core::cell::{Cell, Ref, RefCell};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
        Mutex, //
    },
};
use oxnic_abi::vport::{EswitchPortKind, PortEntry};
use oxnic_kapi::net::{
    netdev::{data_of, Device as NetDevice, DeviceRef},
    underlay::TunnelDevice, //
};
use oxnic_offload::{plan::UpperDevice, rule::Port};

/// What the device has said of its ports. They keep their numbers; those of VFs come with the VFs.
#[pin_data]
pub(crate) struct PortNumbers {
    #[pin]
    known: Mutex<KVec<PortEntry>>,
    /// The device was reset since.
    stale: Atomic<bool>,
}

impl PortNumbers {
    /// Nothing is known yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            known <- new_mutex!(KVec::new()),
            stale: Atomic::new(false),
        })
    }

    /// The number of a port; asks the device once where it is not known. While the device is being reset, it is what it was before: what
    /// the device gets back names ports by the same numbers.
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
        let number = look(&known);
        if number.is_some() && !self.stale.load(Relaxed) {
            return Ok(number);
        }
        match cmd::eswitch::ports(device) {
            Ok(now) => {
                self.stale.store(false, Relaxed);
                *known = now;
                Ok(look(&known))
            }
            Err(_) if number.is_some() => Ok(number),
            Err(error) => Err(error),
        }
    }

    /// The device was reset, and is asked again.
    pub(crate) fn forget(&self) {
        let _known = self.known.lock();
        self.stale.store(true, Relaxed);
    }
}

/// Finds ports for rules on an interface.
pub(crate) struct Finder<'a> {
    /// The function of the eswitch.
    pub(crate) device: &'a Arc<Device>,
    /// The interface that the rule is on.
    pub(crate) netdev: &'a DeviceRef,
    /// Tunnel devices that the rule names, by the numbers of their ports less [`TUNNELS`].
    pub(crate) tunnels: RefCell<KVec<Tunnel>>,
    /// VLAN devices that the rule names, by the numbers of their ports less [`UPPERS`].
    pub(crate) uppers: RefCell<KVec<UpperDevice>>,
    /// Why one of them is none that can be named.
    pub(crate) why: Cell<Option<Refusal>>,
}

/// Ports from here on are tunnel devices that a rule names.
pub(crate) const TUNNELS: u32 = 1 << 31;
/// Ports from here up to those are VLAN devices that a rule names.
pub(crate) const UPPERS: u32 = 1 << 30;

impl<'a> Finder<'a> {
    /// For rules on an interface.
    pub(crate) fn new(device: &'a Arc<Device>, netdev: &'a DeviceRef) -> Self {
        Self {
            device,
            netdev,
            tunnels: RefCell::new(KVec::new()),
            uppers: RefCell::new(KVec::new()),
            why: Cell::new(None),
        }
    }

    fn tunnel(&self, netdev: &NetDevice) -> Result<Port, Refusal> {
        // Nobody looks at them while the rule is read.
        let tunnels = self.tunnels.try_borrow_mut();
        let mut tunnels = tunnels.map_err(|_| Refusal::Lost)?;
        let number = tunnels.len() as u32;
        tunnels.push(Tunnel::read(netdev, number)?, GFP_KERNEL)?;
        Ok(Port(TUNNELS + number))
    }

    fn upper(&self, netdev: &NetDevice) -> Result<Option<Port>, Refusal> {
        let Some(upper) = Upper::read(self.device, netdev)? else {
            return Ok(None);
        };
        if upper.maps {
            return Err(Refusal::Vlan("egress-qos-map"));
        }
        // Nobody looks at them while the rule is read.
        let uppers = self.uppers.try_borrow_mut();
        let mut uppers = uppers.map_err(|_| Refusal::Lost)?;
        let number = uppers.len() as u32;
        uppers.push(upper.device, GFP_KERNEL)?;
        Ok(Some(Port(UPPERS + number)))
    }
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
        if let Some(port) = data_of::<NetPort>(netdev) {
            return number(self.device, port);
        }
        let found = match TunnelDevice::is(netdev) {
            true => self.tunnel(netdev).map(Some),
            false => self.upper(netdev),
        };
        let found = found.map_err(|refusal| self.why.set(Some(refusal)));
        found.ok().flatten()
    }

    fn port_by_index(&self, index: u32) -> Option<Port> {
        self.port(&*self.netdev.neighbour(index)?)
    }
}

/// Finds ports for actions that are by themselves.
pub(crate) struct Own<'a> {
    device: &'a Arc<Device>,
    /// VLAN devices that an action names, as of [`Finder`].
    uppers: RefCell<KVec<UpperDevice>>,
}

impl<'a> Own<'a> {
    /// For actions of the function of an eswitch.
    pub(crate) fn new(device: &'a Arc<Device>) -> Self {
        let uppers = RefCell::new(KVec::new());
        Self { device, uppers }
    }

    /// The VLAN devices that were named. Nobody is named while this is in use.
    pub(crate) fn uppers(&self) -> Ref<'_, KVec<UpperDevice>> {
        self.uppers.borrow()
    }
}

impl Ports for Own<'_> {
    fn port(&self, netdev: &NetDevice) -> Option<Port> {
        if let Some(port) = data_of::<NetPort>(netdev) {
            return number(self.device, port);
        }
        let upper = Upper::read(self.device, netdev).ok().flatten();
        let upper = upper.filter(|upper| !upper.maps)?;
        let mut uppers = self.uppers.try_borrow_mut().ok()?;
        let number = uppers.len() as u32;
        uppers.push(upper.device, GFP_KERNEL).ok()?;
        Some(Port(UPPERS + number))
    }

    fn port_by_index(&self, _index: u32) -> Option<Port> {
        // Keys have numbers, actions have not.
        None
    }
}
