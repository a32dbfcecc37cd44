// SPDX-License-Identifier: GPL-2.0-only

//! The reporters `tx` and `rx` of a port, and `flow` of a PF. A fault of a queue that its interface cannot mend by polling is mended by
//! a reset of the function.

use super::fault::{Fault, Kind, Part};
use crate::device::Device;
use core::marker::PhantomData;
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::{
    devlink::{Abilities, Message, Reporter},
    extack::Extack,
};

/// One way of packets.
pub(super) trait Way: Send + Sync + 'static {
    const NAME: &'static CStr;
    const PART: Part;
    /// The fault that polling mends.
    const LATE: Kind;
}

/// Packets that are sent.
pub(super) struct Transmit;

impl Way for Transmit {
    const NAME: &'static CStr = c"tx";
    const PART: Part = Part::Transmit;
    const LATE: Kind = Kind::LateTransmit;
}

/// Packets that are received.
pub(super) struct Receive;

impl Way for Receive {
    const NAME: &'static CStr = c"rx";
    const PART: Part = Part::Receive;
    const LATE: Kind = Kind::LateReceive;
}

/// `tx` or `rx`.
pub(super) struct Queues<W> {
    device: Arc<Device>,
    vport: u16,
    _way: PhantomData<W>,
}

impl<W: Way> Queues<W> {
    pub(super) fn new(device: &Arc<Device>, vport: u16) -> Self {
        Self {
            device: device.clone(),
            vport,
            _way: PhantomData,
        }
    }

    fn tell(&self, message: &mut Message<'_>, vport: u16, memory: bool) -> Result {
        match self.device.port(vport) {
            Some(port) => port.tell_queues(W::PART, memory, message),
            None => Ok(()),
        }
    }
}

impl<W: Way> Reporter for Queues<W> {
    const NAME: &'static CStr = W::NAME;
    const ABILITIES: Abilities = Abilities::ALL;
    type Error = Fault;

    fn diagnose(&self, message: &mut Message<'_>) -> Result {
        self.tell(message, self.vport, false)
    }

    fn recover(&self, error: Option<&Fault>, extack: Option<&mut Extack>) -> Result {
        match error {
            Some(fault) if fault.kind == W::LATE => {
                self.device.poll_late(fault.vport);
                Ok(())
            }
            Some(_) => self.device.revive(error, extack),
            // A user does not say which.
            None => {
                self.device.revive(None, extack)?;
                self.device.for_each_port(|port| port.poll_late());
                Ok(())
            }
        }
    }

    fn dump(
        &self,
        message: &mut Message<'_>,
        error: Option<&Fault>,
        _extack: Option<&mut Extack>,
    ) -> Result {
        self.tell(message, error.map_or(self.vport, |fault| fault.vport), true)
    }

    fn test(&self, extack: Option<&mut Extack>) -> Result {
        self.device.test_part(W::PART, self.vport, extack)
    }
}

/// `flow`.
pub(super) struct Flow(pub(super) Arc<Device>);

impl Reporter for Flow {
    const NAME: &'static CStr = c"flow";
    const ABILITIES: Abilities = Abilities::ALL;
    type Error = Fault;

    fn diagnose(&self, message: &mut Message<'_>) -> Result {
        self.0.tell_flow_queues(false, message)
    }

    fn recover(&self, error: Option<&Fault>, extack: Option<&mut Extack>) -> Result {
        self.0.revive(error, extack)
    }

    fn dump(
        &self,
        message: &mut Message<'_>,
        _error: Option<&Fault>,
        _extack: Option<&mut Extack>,
    ) -> Result {
        self.0.tell_flow_queues(true, message)
    }

    fn test(&self, extack: Option<&mut Extack>) -> Result {
        self.0.test_part(Part::Flow, 0, extack)
    }
}
