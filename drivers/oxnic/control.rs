// SPDX-License-Identifier: GPL-2.0-only

//! Vector 0 of a function: answers to commands, which are taken at once, and events, which a task takes.
//!
//! An interrupt that is lost stops neither. [`Device::serve_control`] is what its handler does; who waits for an answer does it,
//! too, and so does the task that watches over the function. It takes the locks of the two queues by itself.

use crate::{
    device::Device,
    eventq::Notice,
    health::{Fault, Kind},
    port::QueueKind, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use oxnic_abi::{
    command::Opcode,
    event::{Event, EventKind, QueueError}, //
};
use oxnic_kapi::irq::{Handler, Irq};

/// The handler of vector 0.
pub(crate) struct ControlVector(Arc<Device>);

impl Handler for ControlVector {
    fn handle(&self) {
        self.0.serve_control();
    }
}

impl Device {
    /// Installs the handler of vector 0.
    pub(crate) fn request_irq(self: &Arc<Self>) -> Result {
        let name = self.binding().device().name();
        let irq = Irq::request(
            &self.vector_set()?,
            0,
            fmt!("oxnic-control@{}", name),
            ControlVector(self.clone()),
        )?;
        *self.irq.lock() = Some(irq);
        Ok(())
    }

    /// Removes the handler of vector 0, and with it its reference to the device.
    pub(crate) fn free_irq(&self) {
        let irq = self.irq.lock().take();
        drop(irq);
    }

    /// Takes answers, and has events taken, as far as there are any. May be called in any context.
    pub(crate) fn serve_control(self: &Arc<Self>) {
        if let Err(breach) = self.commands.collect() {
            self.request_reset(Fault::with(Kind::StrayAnswer, breach.id));
        }
        if self.events.is_pending() {
            self.event_task.schedule(self);
        }
    }

    /// The task that takes events.
    pub(crate) fn run_events(this: &Arc<Self>) {
        let mut lost = false;
        let more = this
            .events
            .consume(this.doorbells(), |notice| match notice {
                Notice::Lost => lost = true,
                Notice::Event(event) => this.handle_event(&event),
            });
        if lost {
            dev_warn!(this.binding(), "events were lost, asking for everything\n");
            this.for_each_port(|port| port.vport_changed());
            this.vfs.lock().forget_all();
        }
        if more {
            this.event_task.schedule(this);
        }
    }

    fn handle_event(self: &Arc<Self>, event: &Event) {
        let queue = |kind| {
            self.for_each_port(|port| {
                port.queue_error(kind, event.object, QueueError(event.detail))
            })
        };
        match event.kind {
            EventKind::LINK => {
                if let Some(port) = self.port(event.object) {
                    port.link_changed(event.detail == 1, event.payload[0] as u32);
                }
            }
            EventKind::VPORT_CHANGED => {
                if let Some(port) = self.port(event.object) {
                    port.vport_changed();
                }
            }
            EventKind::TX_ERROR => queue(QueueKind::Transmit),
            EventKind::RX_ERROR => queue(QueueKind::Receive),
            EventKind::CQ_ERROR => queue(QueueKind::Completion),
            EventKind::FLOW_ERROR => {
                let fault = Fault::of_flow(Kind::StoppedFlow, event.object, event.detail);
                self.request_reset(fault);
            }
            EventKind::VF_STATE => self.vfs.lock().set_active(event.object, event.detail == 1),
            EventKind::VF_DENIED => {
                dev_dbg!(
                    self.binding(),
                    "VF {} may not '{}'\n",
                    event.object,
                    Opcode(event.detail).text()
                );
            }
            EventKind::RESET_REQUESTED => self.request_reset(Fault::new(Kind::Requested)),
            // The task that watches over the function looks at the health block within a second.
            EventKind::HEALTH => {}
            EventKind::FIRMWARE => self.firmware_event(event),
            _ => {}
        }
    }
}
