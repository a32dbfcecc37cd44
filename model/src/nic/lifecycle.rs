// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! How functions come to work and cease to: handshake, reset, halt, VF defaults; and links, which follow from all of it.
//!
//! Functions of [`Nic`], which owns all that is touched.

use super::Nic;
use super::admin::AdminQueue;
use super::chaos::Fault;
use super::clock::Clock;
use super::dump::Record;
use super::event::{EventRing, Notice};
use super::ids::{FunctionId, VportId};
use super::rate::settings::{Name, Settings};
use super::statistics::Stream;
use super::timers::Timer;
use super::vport::VfSettings;
use crate::host::{DmaFault, Host};
use oxnic_abi::command::{Completion, Submission};
use oxnic_abi::dump::DumpTrigger;
use oxnic_abi::eswitch::EswitchMode;
use oxnic_abi::event::{Event, EventKind};
use oxnic_abi::regs::Reason;
use oxnic_abi::stats::VportStats;
use oxnic_abi::vf::VfLink;

impl Nic {
    /// Takes the handshake.
    pub(super) fn driver_ok(&mut self, host: &mut dyn Host, function: FunctionId) {
        let registers = &self.state(function).registers;
        if registers.halted() {
            return;
        }
        if registers.accepted() {
            self.halt(function, Reason::STATE, 0);
            return;
        }
        if !self.state(function).exists || !self.is_enabled(function) {
            return;
        }
        if self.state(function).broken {
            self.halt(function, Reason::INTERNAL, 0);
            return;
        }
        let registers = &mut self.state_mut(function).registers;
        registers.begin_handshake();
        let agreement = registers.check_handshake().and_then(|agreement| {
            self.try_rings(host, function, agreement.admin_log2, agreement.event_log2)
                .map_err(|ring| (Reason::DMA, ring))?;
            Ok(agreement)
        });
        let state = self.state_mut(function);
        let agreement = match agreement {
            Ok(agreement) => agreement,
            Err((reason, detail)) => {
                log::warn!("{}: handshake rejected: {}", function.bus(), reason.text());
                state.registers.reject(reason, detail);
                self.note_line(function, "handshake rejected");
                return;
            }
        };
        let driver = state.registers.handshake;
        state.admin = Some(AdminQueue::new(
            driver.admin_sq,
            driver.admin_cq,
            agreement.admin_log2,
        ));
        state.events = Some(EventRing::new(driver.event_ring, agreement.event_log2));
        state.registers.accept(agreement);
        log::info!("{}: handshake accepted", function.bus());
        self.note_line(function, "handshake accepted");
        for id in self.vports_of(function) {
            let link = self.vport_link(id);
            self.vport_mut(id).link_told = link;
        }
        self.forget_vebs();
        if function.is_pf() {
            for state in &mut self.functions {
                state.active_told = state.registers.agreed != 0;
            }
            self.watch_firmware(host);
        } else {
            self.tell_active(host, function);
        }
    }

    /// Whether the control rings' memory can be used: reads the last words of each and, where the device will write, writes
    /// them back. Fails with the number of the ring.
    fn try_rings(
        &self,
        host: &mut dyn Host,
        function: FunctionId,
        admin_log2: u8,
        event_log2: u8,
    ) -> Result<(), u16> {
        let driver = &self.state(function).registers.handshake;
        let rings = [
            (driver.admin_sq, Submission::BYTES << admin_log2, false),
            (driver.admin_cq, Completion::BYTES << admin_log2, true),
            (driver.event_ring, Event::BYTES << event_log2, true),
        ];
        for (number, (address, length, written)) in (0u16..).zip(rings) {
            let try_word = |host: &mut dyn Host, at: u64| -> Result<(), DmaFault> {
                let mut word = [0; 8];
                host.dma_read(function.bus(), at, &mut word)?;
                if written {
                    host.dma_write(function.bus(), at, &word)
                } else {
                    Ok(())
                }
            };
            let last = address.checked_add(length as u64 - 8).ok_or(number)?;
            try_word(host, address).map_err(|_| number)?;
            try_word(host, last).map_err(|_| number)?;
        }
        Ok(())
    }

    /// Runs the DMA test of the self-test block: 1 fills, 2 inverts.
    pub(super) fn dma_test(&mut self, host: &mut dyn Host, function: FunctionId, kind: u32) {
        const PASSED: u32 = 1;
        const FAULT: u32 = 2;
        const BAD_REQUEST: u32 = 3;
        const PATTERN: u8 = 0x5a;
        let state = self.state(function);
        let (buffer, masters) = (state.registers.dma_buffer(), state.bus_master);
        let result = match (buffer, kind) {
            (Some((address, length)), 1 | 2) => {
                let mut bytes = vec![PATTERN; length];
                let mut run = || -> Result<(), DmaFault> {
                    if kind == 2 {
                        host.dma_read(function.bus(), address, &mut bytes)?;
                        bytes.iter_mut().for_each(|byte| *byte = !*byte);
                    }
                    host.dma_write(function.bus(), address, &bytes)
                };
                match masters && run().is_ok() {
                    true => PASSED,
                    false => FAULT,
                }
            }
            _ => BAD_REQUEST,
        };
        self.state_mut(function).registers.dma_result = result;
    }

    /// The vports of a function, representors among them.
    pub(super) fn vports_of(&self, function: FunctionId) -> Vec<VportId> {
        match function.vf_index() {
            None => {
                let wires = (0..u16::from(self.config.ports)).map(VportId);
                wires.chain(self.representors()).collect()
            }
            Some(vf) => vec![self.vf_vport_id(vf)],
        }
    }

    /// Whether a driver works a VF.
    pub(super) fn vf_active(&self, vf: u16) -> bool {
        let state = self.functions.get(FunctionId::vf(vf).index());
        state.is_some_and(|state| state.exists && state.registers.accepted())
    }

    /// Puts whatever of a function has work on its list.
    pub(super) fn list_function(&mut self, function: FunctionId) {
        self.list_admin(function);
        for id in self.vports_of(function) {
            self.list_vport(id);
        }
        for vector in 0..self.state(function).vector_count() {
            self.list_vector(function, vector);
        }
        if function.is_pf() {
            self.list_flows();
        }
    }

    /// Everything that a function set up is gone; nothing of it is on any list.
    fn drop_objects(&mut self, function: FunctionId) {
        self.state_mut(function).clear();
        for vector in 0..self.state(function).vector_count() {
            self.timers.cancel(Timer::Vector(function, vector));
        }
        for id in self.vports_of(function) {
            self.forget_vport(id);
        }
        if function.is_pf() {
            self.drop_flow();
            for vf in 0..self.config.max_vfs {
                self.stop_stats(self.vf_vport_id(vf), Stream::Pf);
            }
        }
        self.tx_ready.retain(|(owner, _)| *owner != function);
        if let Some(vf) = function.vf_index() {
            self.shaper.forget(vf);
        }
        self.admin_ready.retain(|owner| *owner != function);
        self.vectors_ready.retain(|(owner, _)| *owner != function);
        self.forget_vebs();
    }

    /// Nothing of the flow engine is left.
    fn drop_flow(&mut self) {
        self.flow.clear();
        self.flow_queues.fill(None);
        self.flow_queues_most = 0;
        self.flow_ready.clear();
        self.stop_counters();
    }

    /// Forgets what was set up of a vport.
    pub(super) fn forget_vport(&mut self, id: VportId) {
        self.stop_stats(id, Stream::Own);
        self.vport_mut(id).reset();
    }

    /// Whether a function may take a handshake: a VF, if its PF enabled it; the PF, once its firmware is ready.
    fn is_enabled(&self, function: FunctionId) -> bool {
        match function.vf_index() {
            Some(vf) => self.vf(vf).is_some_and(|vf| vf.prepared),
            None => self.is_firmware_ready(),
        }
    }

    /// Resets one function.
    pub(super) fn reset(&mut self, host: &mut dyn Host, function: FunctionId) {
        let registers = &self.state(function).registers;
        let halted = registers.halted();
        self.drop_objects(function);
        let enabled = self.is_enabled(function);
        self.state_mut(function).registers.reset(enabled);
        log::info!("{}: reset", function.bus());
        if function.is_pf() {
            self.reset_firmware(halted);
        }
        self.note_line(function, "reset");
        match function.vf_index() {
            None => {
                self.ports.iter_mut().for_each(super::port::WirePort::reset);
                // Functions that go on working must not be let onto the wire past what their representors stand for.
                if !self.vfs.iter().any(|vf| vf.prepared) {
                    self.mode = EswitchMode::LEGACY;
                    self.clear_rates();
                }
            }
            Some(_) => self.tell_active(host, function),
        }
        self.update_links(host);
    }

    /// Tells the PF whether a VF has a driver, where it was told otherwise. One that has halted has one until it is reset.
    fn tell_active(&mut self, host: &mut dyn Host, function: FunctionId) {
        let state = self.state(function);
        let active = state.registers.agreed != 0;
        let Some(vf) = function.vf_index() else {
            return;
        };
        if state.active_told == active || self.must_wait() {
            return;
        }
        self.state_mut(function).active_told = active;
        let notice = Notice::new(EventKind::VF_STATE, vf, u16::from(active));
        self.tell(host, FunctionId::PF, notice);
    }

    /// Whether events for the PF that VFs cause have to wait, until [`Self::tell_waiting`].
    pub(super) fn must_wait(&mut self) -> bool {
        let pf = self.state_mut(FunctionId::PF);
        let wait = pf.events.as_ref().is_some_and(EventRing::is_half_full);
        pf.others_wait |= wait;
        wait
    }

    /// There may be room for events that had to wait: tells what is so now.
    pub(super) fn tell_waiting(&mut self, host: &mut dyn Host) {
        if !std::mem::take(&mut self.state_mut(FunctionId::PF).others_wait) {
            return;
        }
        self.update_links(host);
        for vf in 0..self.config.max_vfs {
            self.tell_active(host, FunctionId::vf(vf));
        }
    }

    /// Power was gone, and with it the time, what was noted of functions, their dumps, and what sensors had seen.
    pub(super) fn forget_past(&mut self) {
        self.clock = Clock::new(self.now);
        for state in &mut self.functions {
            state.record = Record::default();
            state.registers.dump.size = 0;
        }
        for sensor in &mut self.sensors {
            sensor.highest = sensor.value;
        }
    }

    /// All VFs are not enabled any more.
    pub(super) fn disable_vfs(&mut self, host: &mut dyn Host) {
        for vf in 0..self.config.max_vfs {
            self.default_vf(host, vf, false);
        }
    }

    /// Stops a function until it is reset.
    pub(super) fn halt(&mut self, function: FunctionId, reason: Reason, detail: u16) {
        if self.state(function).registers.halted() {
            return;
        }
        log::warn!("{}: halted: {} ({detail})", function.bus(), reason.text());
        self.note_line(function, &format!("halted: {}", reason.text()));
        let view = self.view(function);
        self.state_mut(function)
            .registers
            .halt(&view, reason, detail);
        // Of what is there, before it goes.
        self.make_dump(function, DumpTrigger::HALT);
        self.drop_objects(function);
        if function.is_pf() {
            // What is on trial proves nothing any more, however long the reset takes to come.
            self.timers.cancel(Timer::Firmware);
        }
        let state = self.state_mut(function);
        state.raise_halted = true;
        self.links_stale = true;
    }

    /// Resets a VF, returns its settings to the defaults and lets it work or not. One that leaves loses its counters.
    pub(super) fn default_vf(&mut self, host: &mut dyn Host, index: u16, prepared: bool) {
        let Some(vf) = self.vfs.get_mut(usize::from(index)) else {
            return;
        };
        if !vf.prepared && !prepared {
            return;
        }
        *vf = VfSettings {
            prepared,
            ..VfSettings::default()
        };
        let vectors = vf.vectors;
        let leaf = Name::Leaf(index);
        if self.shaper.plan().get(leaf) != Some(&Settings::default()) {
            let mut plan = self.shaper.plan().clone();
            plan.put(leaf, Settings::default());
            self.set_rates(plan);
        }
        let mac = self.made_mac(index);
        let id = self.vf_vport_id(index);
        let vport = self.vport_mut(id);
        vport.permanent_mac = mac;
        vport.port = 0;
        self.follow_port(index, 0);
        self.stop_stats(id, Stream::Pf);
        self.reset(host, FunctionId::vf(index));
        self.set_vectors(index, vectors);
        if !prepared {
            self.vport_mut(id).stats = VportStats::ZERO;
        }
    }

    /// Gives a VF so many vectors; no driver works it.
    pub(super) fn set_vectors(&mut self, index: u16, vectors: u16) {
        if let Some(vf) = self.vfs.get_mut(usize::from(index)) {
            vf.vectors = vectors;
        }
        let state = self.state_mut(FunctionId::vf(index));
        state.vectors.clear();
        state
            .vectors
            .resize_with(usize::from(vectors), Default::default);
    }

    /// Bridges are made anew before the next frame.
    pub(super) fn forget_vebs(&mut self) {
        self.vebs.iter_mut().for_each(super::veb::Veb::forget);
    }

    /// Whether a vport's link is up, and the speed behind it.
    pub(super) fn vport_link(&self, id: VportId) -> (bool, u32) {
        let Some(vport) = self.vports.get(id.index()) else {
            return (false, 0);
        };
        let Some(wire) = self.ports.get(usize::from(vport.port)) else {
            return (false, 0);
        };
        let vf = vport.function.vf_index().and_then(|vf| self.vf(vf));
        let represented = vport.represents.is_some() || vf.is_some() && self.is_switchdev();
        let up = match vf.map_or(VfLink::AUTO, |vf| vf.link) {
            VfLink::ENABLE => true,
            VfLink::DISABLE => false,
            _ if represented => self.other_end_up(vport),
            _ => wire.link(),
        };
        (up, if up { wire.speed() } else { 0 })
    }

    /// Tells the functions whose link changed.
    pub(super) fn update_links(&mut self, host: &mut dyn Host) {
        for index in 0..self.vports.len() as u16 {
            let id = VportId(index);
            let link = self.vport_link(id);
            let vport = self.vport_mut(id);
            if vport.link_told == link {
                continue;
            }
            let (function, number) = (vport.function, vport.number);
            if vport.represents.is_some() && self.must_wait() {
                continue;
            }
            self.vport_mut(id).link_told = link;
            let (up, speed) = link;
            let notice = Notice::new(EventKind::LINK, number, u16::from(up));
            self.tell(
                host,
                function,
                Notice {
                    value: u64::from(speed),
                    ..notice
                },
            );
        }
    }

    /// Tells a function's driver an event, if there is one.
    pub(super) fn tell(&mut self, host: &mut dyn Host, function: FunctionId, mut notice: Notice) {
        notice.kind.0 = self.chaos.distort(Fault::EventRandom, notice.kind.0);
        notice.object = self.chaos.distort(Fault::EventRandom, notice.object);
        let state = self.state_mut(function);
        let (works, masters) = (state.works(), state.bus_master);
        let Some(events) = state.events.as_mut() else {
            return;
        };
        if !works {
            if !masters && events.miss() {
                self.note(host, function, 1, Reason::EVENT_OVERRUN);
            }
            return;
        }
        match events.tell(host, function, notice) {
            Ok(told) => {
                state.raise |= told.written;
                if told.overrun {
                    self.note(host, function, 1, Reason::EVENT_OVERRUN);
                }
            }
            Err(_) => self.halt(function, Reason::DMA, 2),
        }
    }

    /// Tells functions that may master the bus again what they have missed.
    pub(super) fn tell_returned(&mut self, host: &mut dyn Host) {
        for index in 0..self.functions.len() {
            let state = &mut self.functions[index];
            if std::mem::take(&mut state.returned) {
                let function = state.id;
                self.tell_missed(host, function);
            }
        }
    }

    /// Says how many events a function has missed, if there were any, and once it can be told.
    pub(super) fn tell_missed(&mut self, host: &mut dyn Host, function: FunctionId) {
        let state = self.state_mut(function);
        let works = state.works();
        let Some(events) = state.events.as_mut().filter(|_| works) else {
            return;
        };
        match events.tell_overrun(host, function) {
            Ok(told) => state.raise |= told,
            Err(_) => self.halt(function, Reason::DMA, 2),
        }
    }

    /// Remembers an error in the health block, and tells the driver where things have become worse.
    pub(super) fn note(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        severity: u32,
        reason: Reason,
    ) {
        let view = self.view(function);
        self.note_line(function, &format!("severity {severity}: {}", reason.text()));
        if self
            .state_mut(function)
            .registers
            .note_error(&view, severity, reason)
        {
            self.tell(
                host,
                function,
                Notice::new(EventKind::HEALTH, 0, severity as u16),
            );
        }
    }
}
