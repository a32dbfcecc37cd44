// SPDX-License-Identifier: GPL-2.0-only

//! What a reset of the function, and its news, mean for an interface.

use super::{show_link, NetPort};
use crate::health::{Fault, Kind, Part};
use crate::port::Look;
use crate::queue::tx::Progress;
use kernel::prelude::*;
use oxnic_abi::vport::{vport_fields, vport_flags, VportConfig, VportInfo};
use oxnic_kapi::devlink::Message;
use oxnic_kapi::net::netdev::Rtnl;
use oxnic_kapi::time;

impl NetPort {
    /// Between the two halves of a reset: the queues are stopped, their memory stays.
    pub(crate) fn prepare_reset(&self, netdev: &Rtnl) {
        let mut state = self.state.lock();
        if state.resetting {
            return;
        }
        state.resetting = true;
        let _ = state.defunct.reserve(1, GFP_KERNEL);
        netdev.detach();
        netdev.disable_tx();
        if let Some(queues) = &mut state.queues {
            if let Ok(slots) = self.slots(netdev) {
                queues.stop(netdev, slots);
            }
        }
    }

    /// The device cannot use memory any more: what was kept for it goes.
    pub(crate) fn release_memory(&self) {
        self.state.lock().defunct.clear();
    }

    /// The function was reset: everything is set again.
    pub(crate) fn complete_reset(&self, netdev: &Rtnl) -> Result {
        if !self.start_again(netdev)? {
            // VFs use the wire of an interface that is closed, too.
            let (speed, fec) = {
                let state = self.state.lock();
                (state.speed, state.fec)
            };
            self.apply_wire(speed, fec)?;
            return self.restore_address(netdev);
        }
        // What the PF has set meanwhile, nobody was there to be told.
        if let Ok(info) = self.query() {
            self.adopt(netdev, &info);
        }
        Ok(())
    }

    /// A reset has brought the permanent address back; an interface that is closed has its own all the same, unless the PF has set it.
    /// Otherwise the next news of the vport would be taken for a change of the address.
    fn restore_address(&self, netdev: &Rtnl) -> Result {
        let info = self.query()?;
        let address = netdev.address();
        if info.mac == address {
            return Ok(());
        }
        if info.mac_fixed != 0 {
            self.adopt(netdev, &info);
            return Ok(());
        }
        self.configure(&VportConfig {
            fields: vport_fields::MAC,
            mac: address,
            ..VportConfig::ZERO
        })
    }

    /// Starts the queues of an open interface, and attaches it. True: it is open.
    fn start_again(&self, netdev: &Rtnl) -> Result<bool> {
        let mut state = self.state.lock();
        let state = &mut *state;
        // The device has forgotten all rings.
        state.defunct.clear();
        // Its firmware may be another one.
        state.steering.learn(self);
        let mut open = false;
        if let Some(mut queues) = state.queues.take() {
            let result = queues
                .rewind(netdev)
                .and_then(|()| self.bring_up(netdev, state, &mut queues, netdev.mtu()));
            state.queues = Some(queues);
            result?;
            open = true;
        }
        state.resetting = false;
        netdev.restart_watchdog();
        netdev.attach();
        Ok(open)
    }

    /// Asks what the device can do that may have changed while the interface works.
    pub(crate) fn learn(&self) {
        let mut state = self.state.lock();
        if !state.resetting {
            state.steering.learn(self);
        }
    }

    /// Looks at the queues, see [`crate::port::Port::look`]. Nothing is found while something else is done.
    pub(crate) fn look(&self) -> Look {
        let mut look = Look::default();
        let Some(mut state) = self.state.try_lock() else {
            return look;
        };
        if !state.is_live() {
            return look;
        }
        let of = |kind, index| Some(Fault::of_queue(kind, self.share.vport, index, 0));
        if let Some(queues) = &mut state.queues {
            queues.look(time::now_ms(), |index, found| {
                match found.transmit {
                    Progress::Fine => {}
                    Progress::Late => {
                        look.late_transmit = look.late_transmit.or(of(Kind::LateTransmit, index));
                    }
                    Progress::Stalled => {
                        look.stalled = look.stalled.or(of(Kind::NoCompletion, index));
                    }
                }
                if found.receive {
                    look.late_receive = look.late_receive.or(of(Kind::LateReceive, index));
                }
            });
        }
        look
    }

    /// Polls the queues that were found late.
    pub(crate) fn poll_late(&self) {
        let mut state = self.state.lock();
        if !state.is_live() {
            return;
        }
        if let Some(queues) = &mut state.queues {
            queues.poll_late();
        }
    }

    /// Says how the queues stand, one way.
    pub(crate) fn tell_queues(
        &self,
        part: Part,
        memory: bool,
        message: &mut Message<'_>,
    ) -> Result {
        let state = self.state.lock();
        message.flag(c"open", state.queues.is_some());
        message.flag(c"working", state.is_live());
        match &state.queues {
            Some(queues) => message.list(c"queues", |message| queues.tell(part, memory, message)),
            None => Ok(()),
        }
    }

    /// Shows a change of the link.
    pub(crate) fn link_changed(&self, netdev: &Rtnl, up: bool, speed: u32) {
        let state = self.state.lock();
        if state.is_live() {
            show_link(netdev, &self.device, up, speed);
        }
    }

    /// Takes over what the PF has set of this vport, and asks for what it may allow now. Not during a reset: the device may have forgotten
    /// what the user has set, and does not know it again yet.
    pub(crate) fn refresh(&self, netdev: &Rtnl) {
        if self.state.lock().resetting {
            return;
        }
        let Ok(info) = self.query() else { return };
        self.adopt(netdev, &info);
        self.ask_again();
    }

    /// Shows the address and the link of the vport.
    fn adopt(&self, netdev: &Rtnl, info: &VportInfo) {
        if info.mac != netdev.address() && info.mac != [0; 6] {
            netdev.change_address(&info.mac);
        }
        self.link_changed(netdev, info.link == 1, info.speed);
    }

    /// Asks for all frames that are wanted: some were refused, or taken away, while the PF did not trust this vport. A failure is logged.
    fn ask_again(&self) {
        let state = self.state.lock();
        if !state.is_live() {
            return;
        }
        let modes =
            vport_flags::PROMISCUOUS | vport_flags::ALL_MULTICAST | vport_flags::VLAN_FILTER;
        let _ = state
            .filter
            .apply(self)
            .and_then(|()| self.set_flags(&state, modes, 0));
    }

    /// Whether the interface has this queue id of the function.
    pub(crate) fn has_queue(&self, queue: u16) -> bool {
        let share = self.share;
        (share.first_queue..share.first_queue + share.pairs).contains(&queue)
    }
}
