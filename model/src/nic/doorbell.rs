// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Doorbells: what each tells, and what a wrong one leads to.
//!
//! Functions of [`Nic`], which owns all that is touched. A doorbell only notes what there is to do; a poll does it.

use super::Nic;
use super::ids::FunctionId;
use crate::host::Host;
use oxnic_abi::doorbell::{self, DoorbellKind};
use oxnic_abi::event::QueueError;
use oxnic_abi::regs::Reason;

impl Nic {
    /// A doorbell that names nothing: counted, for the operator.
    pub(super) fn stray(&mut self, function: FunctionId) {
        self.state_mut(function).stray_doorbells += 1;
    }

    pub(super) fn doorbell(&mut self, host: &mut dyn Host, function: FunctionId, value: u64) {
        if !self.state(function).registers.accepted() {
            self.stray(function);
            return;
        }
        let (kind, queue, index) = doorbell::decode(value);
        match kind {
            DoorbellKind::ADMIN => {
                let admin = self.state_mut(function).admin.as_mut();
                match admin.map(|admin| admin.ring(index)) {
                    Some(true) => self.list_admin(function),
                    _ => self.halt(function, Reason::DOORBELL, u16::from(kind.0)),
                }
            }
            DoorbellKind::EVENT => self.event_doorbell(host, function, index),
            DoorbellKind::TX => self.tx_doorbell(host, function, queue, index),
            DoorbellKind::RX => self.rx_doorbell(host, function, queue, index),
            DoorbellKind::FLOW => self.flow_doorbell(host, function, queue, index),
            DoorbellKind::ARM => self.arm(function, queue, index),
            _ => self.stray(function),
        }
    }

    fn event_doorbell(&mut self, host: &mut dyn Host, function: FunctionId, index: u32) {
        let state = self.state_mut(function);
        let (Ok(index), Some(events)) = (u16::try_from(index), state.events.as_mut()) else {
            self.halt(function, Reason::DOORBELL, u16::from(DoorbellKind::EVENT.0));
            return;
        };
        if events.free(index) {
            self.tell_missed(host, function);
            if function.is_pf() {
                self.tell_waiting(host);
            }
        } else {
            self.halt(function, Reason::DOORBELL, u16::from(DoorbellKind::EVENT.0));
        }
    }

    fn tx_doorbell(&mut self, host: &mut dyn Host, function: FunctionId, queue: u32, index: u32) {
        let queues = &mut self.state_mut(function).tx;
        let Some(tx) = queues.get_mut(queue as usize).and_then(Option::as_mut) else {
            return self.stray(function);
        };
        if tx.stopped {
            return;
        }
        if u16::try_from(index).is_ok_and(|index| tx.ring.ring(index)) {
            self.list_tx(function, queue as u16);
        } else {
            self.stop_tx(host, function, queue as u16, QueueError::INDEX);
        }
    }

    fn rx_doorbell(&mut self, host: &mut dyn Host, function: FunctionId, queue: u32, index: u32) {
        let queues = &mut self.state_mut(function).rx;
        let Some(rx) = queues.get_mut(queue as usize).and_then(Option::as_mut) else {
            return self.stray(function);
        };
        if !rx.stopped && !u16::try_from(index).is_ok_and(|index| rx.ring.ring(index)) {
            let vport = rx.vport;
            self.stop_rx(host, vport, queue as u16, QueueError::INDEX);
        }
    }
}
