// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Forwarding where VFs have representors: what no rule takes, and the links that follow from it.
//!
//! A representor is a vport of the PF that stands for a VF: what one of the two sends, the other receives. Functions of
//! [`Nic`], which owns all that is touched; the mode is the PF's to set.

use super::Nic;
use super::frame::{BROADCAST, Frame, is_group};
use super::ids::{FunctionId, VportId, pf_number, wire_number};
use super::receive::Arrival;
use super::vport::Vport;
use crate::host::Host;
use oxnic_abi::eswitch::EswitchMode;
use oxnic_abi::vf::VfLink;
use oxnic_abi::vport::vport_flags;

/// Where a frame goes that no rule takes.
enum Miss {
    /// To a vport, whatever the address.
    Vport(VportId),
    /// To the vport of a VF, if it takes it.
    Represented(VportId),
    /// Out.
    Wire(u8),
}

/// Whether a vport receives an address.
fn takes(vport: &Vport, address: &[u8; 6]) -> bool {
    let named = match (*address == BROADCAST, is_group(address)) {
        (true, _) => vport.has(vport_flags::BROADCAST),
        (_, true) => vport.has(vport_flags::ALL_MULTICAST) || vport.owns(address),
        _ => vport.owns(address),
    };
    named || vport.has(vport_flags::PROMISCUOUS)
}

impl Nic {
    /// Whether VFs have representors.
    pub(super) fn is_switchdev(&self) -> bool {
        self.mode != EswitchMode::LEGACY
    }

    /// Whether nothing passes between ports of the eswitch.
    pub(super) fn is_inactive(&self) -> bool {
        self.mode == EswitchMode::SWITCHDEV_INACTIVE
    }

    /// The vport that represents a VF below the limit.
    pub(super) fn representor_id(&self, vf: u16) -> VportId {
        VportId(u16::from(self.config.ports) + self.config.max_vfs + vf)
    }

    /// All representors, whether the mode has them or not.
    pub(super) fn representors(&self) -> impl Iterator<Item = VportId> + use<> {
        let first = self.representor_id(0).0;
        (first..first + self.config.max_vfs).map(VportId)
    }

    /// Address that the device makes for a representor: that of its VF with one bit more.
    pub(super) fn representor_mac(&self, vf: u16) -> [u8; 6] {
        let [a, b, c, d, high, low] = self.made_mac(vf);
        [a, b, c, d, high | 0x80, low]
    }

    /// A VF is on another wire port now, and its representor with it.
    pub(super) fn follow_port(&mut self, vf: u16, port: u8) {
        let id = self.representor_id(vf);
        if let Some(vport) = self.vports.get_mut(id.index()) {
            vport.port = port;
            vport.eswitch_port = pf_number(port);
        }
    }

    /// Whether some queue is a representor's.
    pub(super) fn representors_have_queues(&self) -> bool {
        let receives = |id: VportId| !self.vport(id).rx_queues.is_empty();
        let sends = |id: VportId| self.vport(id).represents.is_some();
        let mut tx = self.state(FunctionId::PF).tx.iter().flatten();
        self.representors().any(receives) || tx.any(|queue| sends(queue.vport))
    }

    /// Changes the mode. Functions, their queues and their settings stay as they are; what representors were set to goes when
    /// they do.
    pub(super) fn set_mode(&mut self, host: &mut dyn Host, mode: EswitchMode) {
        if self.mode != mode {
            log::info!("eswitch: {}", mode.text());
        }
        self.mode = mode;
        if mode == EswitchMode::LEGACY {
            for id in self.representors() {
                self.forget_vport(id);
            }
        }
        self.forget_vebs();
        self.update_links(host);
    }

    /// Whether the link of a VF is up that follows its other end, and whether that of a representor is.
    pub(super) fn other_end_up(&self, vport: &Vport) -> bool {
        let enabled = |id: VportId| self.vport(id).has(vport_flags::ENABLED);
        match (vport.represents, vport.function.vf_index()) {
            (Some(vf), _) => {
                let forced_down = self.vf(vf).is_none_or(|vf| vf.link == VfLink::DISABLE);
                self.is_switchdev()
                    && self.vf_active(vf)
                    && enabled(self.vf_vport_id(vf))
                    && !forced_down
            }
            (None, Some(vf)) => enabled(self.representor_id(vf)),
            (None, None) => false,
        }
    }

    /// Brings a frame from the wire to the PF's vport on it. True if it was taken.
    pub(super) fn miss_from_wire(
        &mut self,
        host: &mut dyn Host,
        port: u8,
        frame: &mut Frame,
    ) -> bool {
        if self.is_inactive() || !self.state(FunctionId::PF).registers.accepted() {
            return false;
        }
        let id = VportId(u16::from(port));
        let group = is_group(&frame.destination());
        let mut arrival = Arrival::new(frame, wire_number(port), group, Some(self.now));
        self.hand_past_address(host, id, frame, &mut arrival)
    }

    /// Brings a frame that a vport sent to where it belongs; the eswitch is active.
    pub(super) fn miss_from_vport(&mut self, host: &mut dyn Host, id: VportId, frame: &mut Frame) {
        let Some(vport) = self.vports.get(id.index()) else {
            return;
        };
        let source_port = vport.eswitch_port;
        let target = match (vport.represents, vport.function.vf_index()) {
            (Some(vf), _) => Miss::Represented(self.vf_vport_id(vf)),
            (None, Some(vf)) => Miss::Vport(self.representor_id(vf)),
            (None, None) => Miss::Wire(vport.port),
        };
        let address = frame.destination();
        let mut arrival = match target {
            Miss::Wire(port) => return self.depart(host, port, frame.bytes()),
            _ => Arrival::new(frame, source_port, is_group(&address), None),
        };
        match target {
            Miss::Represented(vf)
                if !self
                    .vports
                    .get(vf.index())
                    .is_some_and(|v| takes(v, &address)) =>
            {
                self.count(vf, |stats| stats.rx_filtered += 1);
            }
            Miss::Represented(to) | Miss::Vport(to) => {
                self.hand_past_address(host, to, frame, &mut arrival);
            }
            Miss::Wire(_) => {}
        }
    }

    /// Hands a frame to a vport whose VLAN filter lets it pass. False if it does not.
    pub(super) fn hand_past_address(
        &mut self,
        host: &mut dyn Host,
        id: VportId,
        frame: &mut Frame,
        arrival: &mut Arrival,
    ) -> bool {
        let tag = frame.tag();
        let passes = self.vports.get_mut(id.index()).is_some_and(|vport| {
            let passes = vport.passes_vlan(tag);
            vport.stats.rx_vlan += u64::from(!passes);
            passes
        });
        if passes {
            self.deliver(host, id, frame, arrival);
        }
        passes
    }
}
