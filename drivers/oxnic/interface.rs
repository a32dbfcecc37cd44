// SPDX-License-Identifier: GPL-2.0-only

//! An interface as the control side sees it: holds the registration of the network device, and passes on what happens.
//!
//! `registration` is a mutex that is taken before RTNL and the instance lock, never with them held.

use crate::health::{Fault, Kind, Part};
use crate::netdev::NetPort;
use crate::port::{Look, Port, QueueKind};
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};
use oxnic_abi::event::QueueError;
use oxnic_kapi::devlink::Message;
use oxnic_kapi::net::netdev::{Registration, Rtnl};

/// The interface of a vport.
#[pin_data]
pub(crate) struct Interface {
    vport: u16,
    #[pin]
    registration: Mutex<Option<Registration<NetPort>>>,
}

impl Interface {
    /// Takes over a registered device.
    pub(crate) fn create(vport: u16, registration: Registration<NetPort>) -> Result<Arc<dyn Port>> {
        let this = Arc::pin_init(
            pin_init!(Self { vport, registration <- new_mutex!(Some(registration)) }),
            GFP_KERNEL,
        )?;
        Ok(this)
    }

    /// Works on the interface with RTNL held, unless it has been unregistered.
    fn with<R>(&self, f: impl FnOnce(&NetPort, &Rtnl) -> R) -> Option<R> {
        let registration = self.registration.lock();
        let registration = registration.as_ref()?;
        Some(
            registration
                .device()
                .with_rtnl(|rtnl| f(registration.data(), rtnl)),
        )
    }
}

impl Port for Interface {
    fn vport(&self) -> u16 {
        self.vport
    }

    fn link_changed(&self, up: bool, speed: u32) {
        self.with(|port, rtnl| port.link_changed(rtnl, up, speed));
    }

    fn vport_changed(&self) {
        self.with(|port, rtnl| port.refresh(rtnl));
    }

    fn queue_error(&self, kind: QueueKind, id: u16, error: QueueError) {
        let queue = match kind {
            QueueKind::Transmit | QueueKind::Receive => id,
            QueueKind::Completion => id / 2,
        };
        let registration = self.registration.lock();
        let Some(registration) = registration.as_ref() else {
            return;
        };
        let port = registration.data();
        if port.has_queue(queue) {
            let name = registration.device().name();
            dev_err!(
                port.device.binding(),
                "{}: {:?} queue {} stopped: {}\n",
                name,
                kind,
                id,
                error.text()
            );
            let index = queue.saturating_sub(port.share.first_queue);
            let kind = match kind {
                QueueKind::Transmit => Kind::StoppedTransmit,
                QueueKind::Receive => Kind::StoppedReceive,
                QueueKind::Completion if id % 2 == 0 => Kind::StoppedTransmit,
                QueueKind::Completion => Kind::StoppedReceive,
            };
            let fault = Fault::of_queue(kind, port.share.vport, index, error.0);
            port.device.request_reset(fault);
        }
    }

    fn look(&self) -> Look {
        match self.registration.try_lock() {
            Some(registration) => registration
                .as_ref()
                .map_or_else(Look::default, |registration| registration.data().look()),
            None => Look::default(),
        }
    }

    fn poll_late(&self) {
        if let Some(registration) = self.registration.lock().as_ref() {
            registration.data().poll_late();
        }
    }

    fn tell_queues(&self, part: Part, memory: bool, message: &mut Message<'_>) -> Result {
        let registration = self.registration.lock();
        let Some(registration) = registration.as_ref() else {
            return Ok(());
        };
        message.text(c"netdev", fmt!("{}", registration.device().name()))?;
        registration.data().tell_queues(part, memory, message)
    }

    fn prepare_reset(&self) {
        self.with(|port, rtnl| port.prepare_reset(rtnl));
    }

    fn release_memory(&self) {
        self.with(|port, _| port.release_memory());
    }

    fn complete_reset(&self) -> Result {
        self.with(|port, rtnl| port.complete_reset(rtnl))
            .unwrap_or(Ok(()))
    }

    fn firmware_changed(&self) {
        self.with(|port, _| port.learn());
    }

    fn take(&self) -> Option<Registration<NetPort>> {
        self.registration.lock().take()
    }

    fn unregister(&self) {
        // Not under the mutex: unregistering takes RTNL and waits.
        let registration = self.take();
        drop(registration);
    }
}
