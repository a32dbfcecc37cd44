// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Frames between the switch and the flow engine: which it sees, and where what comes of them goes.
//!
//! Functions of [`Nic`], which owns all that is touched. Only frames that come in at a port, from the wire or from a VF, get to
//! tables; what the PF sends has been through its own software.

use super::Nic;
use super::flow::run::World;
use super::flow::{Engine, Outcome, Sent, To, Up};
use super::frame::{Frame, is_group};
use super::ids::{EswitchPort, VportId};
use super::limits;
use super::receive::Arrival;
use crate::host::Host;
use oxnic_abi::eswitch::EswitchMode;
use oxnic_abi::vport::vport_flags;

impl Nic {
    /// Takes a frame that came in at a port through the tables of rules. False if none sees it.
    pub(super) fn through_tables(
        &mut self,
        host: &mut dyn Host,
        port: u16,
        at: Option<u64>,
        frame: &Frame,
    ) -> bool {
        if self.mode != EswitchMode::SWITCHDEV || !self.flow.has_table(port) {
            return false;
        }
        let mut outcome = std::mem::take(&mut self.scratch.outcome);
        // The engine asks about ports, which are the rest of the device.
        let mut flow = std::mem::replace(&mut self.flow, Engine::stand_in());
        let world = World {
            now: self.now,
            uptime: self.uptime(),
            is_up: &|port| self.takes_frames(port),
        };
        let seen = flow.run(&world, port, frame.bytes(), &mut outcome);
        self.flow = flow;
        self.pass_on(host, &outcome, at);
        outcome.clear();
        self.scratch.outcome = outcome;
        seen
    }

    /// Whether rules can put frames into a port.
    fn takes_frames(&self, port: u16) -> bool {
        match self.eswitch_port(port.into()) {
            Some(EswitchPort::Wire(port)) => self.port(port).link(),
            Some(EswitchPort::Vport(id)) => {
                let vport = self.vport(id);
                let vf = vport.function.vf_index();
                vf.is_some_and(|vf| self.vf_active(vf))
                    && vport.has(vport_flags::ENABLED)
                    && self.vport_link(id).0
            }
            None => false,
        }
    }

    /// Sends what came of a frame, which came in at some time of the host if it came from the wire.
    fn pass_on(&mut self, host: &mut dyn Host, outcome: &Outcome, at: Option<u64>) {
        let mut frame = std::mem::take(&mut self.scratch.sent);
        for Sent { to, source, bytes } in &outcome.sent {
            frame.copy_from(bytes);
            match *to {
                To::Out(port) => self.leave(host, port, *source, at, &mut frame),
                To::Up(port, up) => self.go_up(host, port, *source, up, at, &mut frame),
            }
        }
        self.scratch.sent = frame;
    }

    /// Lets a frame out of a port.
    fn leave(
        &mut self,
        host: &mut dyn Host,
        port: u16,
        source: u16,
        at: Option<u64>,
        frame: &mut Frame,
    ) {
        match self.eswitch_port(port.into()) {
            Some(EswitchPort::Wire(port)) => {
                if frame.len() - 4 * frame.tags() > usize::from(limits::FRAME_MAX) {
                    self.port_mut(port).stats.tx_dropped += 1;
                    return;
                }
                self.depart(host, port, frame.bytes());
            }
            Some(EswitchPort::Vport(id)) => {
                let group = is_group(&frame.destination());
                let mut arrival = Arrival::new(frame, source, group, at);
                self.hand_past_address(host, id, frame, &mut arrival);
            }
            None => {}
        }
    }

    /// Brings a frame to the vport that represents a port, with what is said of it.
    fn go_up(
        &mut self,
        host: &mut dyn Host,
        port: u16,
        source: u16,
        up: Up,
        at: Option<u64>,
        frame: &mut Frame,
    ) {
        // A copy is not the frame, and what goes out has come in elsewhere.
        let own = source == port && !matches!(up, Up::Sample(..));
        let mut came_in = None;
        let id = match self.eswitch_port(port.into()) {
            Some(EswitchPort::Wire(port)) => {
                came_in = own.then_some(port);
                VportId(port.into())
            }
            Some(EswitchPort::Vport(id)) => match self.vport(id).function.vf_index() {
                Some(vf) => self.representor_id(vf),
                None => id,
            },
            None => return,
        };
        let group = is_group(&frame.destination());
        let mut arrival = Arrival::new(frame, port, group, at).with_note(up);
        let passes = self.hand_past_address(host, id, frame, &mut arrival);
        if let Some(wire) = came_in.filter(|_| !passes) {
            self.port_mut(wire).stats.rx_filtered += 1;
        }
    }
}
