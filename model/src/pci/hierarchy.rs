// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The whole PCI Express hierarchy: VMD endpoint, root port, PF and VFs.
//!
//! No I/O happens here. Accesses come in; what they cause is left in two lists which the machine empties after each:
//! [`Effect`]s for the NIC core, and interrupt [`Message`]s for the bus.

use super::aer::Severity;
use super::config::{CONFIG_SIZE, Layout};
use super::map::{Map, Place};
use super::msix::{Message, Raised};
use super::physical::{MSIX_CONTROL, Physical, VF_OFFSET};
use super::root_port::{LinkChange, RootPort};
use super::virtual_function::{VirtualFunction, vf_layout};
use super::vmd::Vmd;
use crate::host::{Function, MAX_VFS};
use serde::Serialize;
use std::sync::Arc;

/// Something that the NIC core must be told, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Bus mastering of a function was switched.
    BusMaster(Function, bool),
    /// VFs 0..n exist now; before, there were none, or n is 0.
    VfsEnabled(u16),
    /// A function is back in its state after power-on.
    Reset(Function),
}

/// Window of the VMD endpoint through which a memory access comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// VMD's BAR2.
    Memory32,
    /// VMD's BAR4.
    Memory64,
}

/// What the PCI layer has refused or held back.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counters {
    /// Interrupts sent.
    pub interrupts: u64,
    /// Interrupts that had to wait for an unmask.
    pub interrupts_pending: u64,
    /// Interrupts dropped: MSI-X off, no such vector or function, or no bus mastering on the way up.
    pub interrupts_dropped: u64,
    /// Memory reads that no BAR claimed.
    pub unclaimed_reads: u64,
    /// Memory writes that no BAR claimed.
    pub unclaimed_writes: u64,
    /// Function level resets.
    pub function_resets: u64,
    /// Times the link below the root port went down.
    pub link_downs: u64,
}

/// What the hierarchy is built from.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// MSI-X vectors of the PF.
    pub vectors: u16,
    /// SR-IOV TotalVFs.
    pub total_vfs: u16,
    /// Device serial number.
    pub serial: u64,
}

/// The hierarchy.
#[derive(Debug)]
pub struct Hierarchy {
    identity: Identity,
    vmd: Vmd,
    port: RootPort,
    pf: Physical,
    vfs: Vec<VirtualFunction>,
    vf_layout: Arc<Layout>,
    map: Map,
    effects: Vec<Effect>,
    messages: Vec<Message>,
    counters: Counters,
}

impl Hierarchy {
    /// As after power-on, with the device in its slot.
    pub fn new(identity: Identity) -> Self {
        let port = RootPort::new();
        let pf = Physical::new(identity.vectors, identity.total_vfs, identity.serial);
        Hierarchy {
            identity,
            vmd: Vmd::new(),
            map: Map::new(&port, &pf, 0),
            port,
            pf,
            vfs: Vec::new(),
            vf_layout: vf_layout(),
            effects: Vec::new(),
            messages: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Reset of the whole machine: all as after power-on, but for whether the device is in its slot.
    pub fn reset(&mut self) {
        let present = self.port.is_present();
        self.lose_functions(true);
        self.vmd = Vmd::new();
        self.port = RootPort::new();
        if !present {
            self.port.set_present(false, &mut self.messages);
        }
        self.messages.clear();
        self.remap();
    }

    /// Takes the effects since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether there are effects to take.
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// Takes the interrupts since the last call.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// Whether there are interrupts to take.
    pub fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Counters since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Number of VFs that exist.
    pub fn vf_count(&self) -> u16 {
        self.vfs.len() as u16
    }

    /// The VMD endpoint's own configuration space.
    pub fn vmd(&self) -> &Vmd {
        &self.vmd
    }

    /// Write to the VMD endpoint's own configuration space.
    pub fn write_vmd(&mut self, offset: u64, data: &[u8]) {
        self.vmd.write(offset, data);
    }

    /// Reads the configuration space below at `offset` of VMD's BAR0; all ones where no function answers.
    pub fn read_config(&self, offset: u64, data: &mut [u8]) {
        let register = (offset as usize) % CONFIG_SIZE;
        if register + data.len() > CONFIG_SIZE {
            return data.fill(0xFF);
        }
        match self.target(offset) {
            Some(Target::Port) => self.port.read(register, data),
            Some(Target::Function(Function::Pf)) => self.pf.read(register, data),
            Some(Target::Function(Function::Vf(vf))) => {
                self.vfs[usize::from(vf)].read(register, data)
            }
            None => data.fill(0xFF),
        }
    }

    /// Writes the configuration space below.
    pub fn write_config(&mut self, offset: u64, data: &[u8]) {
        let register = (offset as usize) % CONFIG_SIZE;
        if register + data.len() > CONFIG_SIZE {
            return;
        }
        match self.target(offset) {
            Some(Target::Port) => self.write_port(register, data),
            Some(Target::Function(Function::Pf)) => self.write_pf(register, data),
            Some(Target::Function(Function::Vf(vf))) => self.write_vf(vf, register, data),
            None => return,
        }
        self.remap();
    }

    /// If an access to the configuration space shows the size of a VF's MSI-X table: which VF's.
    pub fn asks_for_vectors(&self, offset: u64, len: usize) -> Option<u16> {
        let register = (offset as usize) % CONFIG_SIZE;
        if register >= MSIX_CONTROL + 2 || register + len <= MSIX_CONTROL {
            return None;
        }
        match self.target(offset) {
            Some(Target::Function(Function::Vf(vf))) => Some(vf),
            _ => None,
        }
    }

    /// The NIC core gave VF `vf` so many MSI-X vectors.
    pub fn set_vf_vectors(&mut self, vf: u16, vectors: u16) {
        if let Some(function) = self.vfs.get_mut(usize::from(vf)) {
            function.set_vectors(vectors);
        }
    }

    /// Where a memory read goes; None means that it reads as ones.
    pub fn decode_read(&mut self, window: Window, offset: u64, len: usize) -> Option<Place> {
        let place = self.decode(window, offset, len);
        self.counters.unclaimed_reads += u64::from(place.is_none());
        place
    }

    /// Where a memory write goes; None means nowhere.
    pub fn decode_write(&mut self, window: Window, offset: u64, len: usize) -> Option<Place> {
        let place = self.decode(window, offset, len);
        self.counters.unclaimed_writes += u64::from(place.is_none());
        place
    }

    /// Reads from a function's MSI-X BAR.
    pub fn read_msix(&self, function: Function, offset: u64, data: &mut [u8]) {
        match function {
            Function::Pf => self.pf.msix.read(offset, data),
            Function::Vf(vf) => match self.vfs.get(usize::from(vf)) {
                Some(function) => function.msix.read(offset, data),
                None => data.fill(0xFF),
            },
        }
    }

    /// Writes to a function's MSI-X BAR.
    pub fn write_msix(&mut self, function: Function, offset: u64, data: &[u8]) {
        let before = self.messages.len();
        match function {
            Function::Pf => self.pf.msix.write(offset, data, &mut self.messages),
            Function::Vf(vf) => {
                if let Some(function) = self.vfs.get_mut(usize::from(vf)) {
                    function.msix.write(offset, data, &mut self.messages);
                }
            }
        }
        self.check_messages(before);
    }

    /// Raises a function's MSI-X vector.
    pub fn raise(&mut self, function: Function, vector: u16) {
        let raised = match function {
            Function::Pf => self.pf.msix.raise(vector),
            Function::Vf(vf) => self
                .vfs
                .get_mut(usize::from(vf))
                .map_or(Raised::Dropped, |function| function.msix.raise(vector)),
        };
        match raised {
            Raised::Message(message) if self.upstream() => {
                self.counters.interrupts += 1;
                self.messages.push(message);
            }
            Raised::Pending => self.counters.interrupts_pending += 1,
            Raised::Message(_) | Raised::Dropped => self.counters.interrupts_dropped += 1,
        }
    }

    /// Whether `function` may read and write memory.
    pub fn masters(&self, function: Function) -> bool {
        self.upstream()
            && match function {
                Function::Pf => self.pf.masters(),
                Function::Vf(vf) => self
                    .vfs
                    .get(usize::from(vf))
                    .is_some_and(VirtualFunction::masters),
            }
    }

    /// Surprise removal.
    pub fn remove(&mut self) {
        if self.port.set_present(false, &mut self.messages) == LinkChange::Down {
            self.counters.link_downs += 1;
        }
        self.lose_functions(true);
        self.remap();
    }

    /// The device is put into its slot.
    pub fn insert(&mut self) {
        self.port.set_present(true, &mut self.messages);
        self.remap();
    }

    /// Whether the device is in its slot.
    pub fn is_present(&self) -> bool {
        self.port.is_present()
    }

    /// The PF meets an error of the link; it is recorded, and reported as software has configured it.
    pub fn inject_error(&mut self, severity: Severity) {
        if !self.port.has_link() {
            return;
        }
        if let Some(severity) = self.pf.detect_error(severity) {
            self.port.receive_error(severity, 0, &mut self.messages);
        }
    }

    fn upstream(&self) -> bool {
        self.port.masters() && self.vmd.masters()
    }

    fn decode(&self, window: Window, offset: u64, len: usize) -> Option<Place> {
        let base = match window {
            Window::Memory32 => self.vmd.memory32(),
            Window::Memory64 => self.vmd.memory64(),
        };
        self.map.decode(base.checked_add(offset)?, len)
    }

    fn target(&self, offset: u64) -> Option<Target> {
        let bus = u8::try_from(offset >> 20).ok()?;
        let devfn = (offset >> 12) as u8;
        if bus == 0 {
            return (devfn == 0).then_some(Target::Port);
        }
        if self.port.secondary_bus() != Some(bus) || !self.port.has_link() {
            return None;
        }
        if devfn == 0 {
            return Some(Target::Function(Function::Pf));
        }
        let vf = u16::from(devfn) - VF_OFFSET;
        let reachable = devfn < 8 || self.port.forwards_ari();
        (reachable && vf < self.vf_count()).then_some(Target::Function(Function::Vf(vf)))
    }

    fn write_port(&mut self, register: usize, data: &[u8]) {
        if self.port.write(register, data, &mut self.messages) == LinkChange::Down {
            self.counters.link_downs += 1;
            self.lose_functions(false);
        }
    }

    fn write_pf(&mut self, register: usize, data: &[u8]) {
        let before = self.messages.len();
        let mastered = self.pf.masters();
        let started = self.pf.write(register, data, &mut self.messages);
        let masters = self.pf.masters();
        if masters != mastered {
            self.effects.push(Effect::BusMaster(Function::Pf, masters));
        }
        match started.vfs {
            Some(true) => {
                let layout = &self.vf_layout;
                let count = self.pf.num_vfs().min(MAX_VFS);
                self.vfs = (0..count)
                    .map(|_| VirtualFunction::new(layout, 1))
                    .collect();
                self.effects.push(Effect::VfsEnabled(count));
            }
            Some(false) => self.lose_vfs(),
            None => {}
        }
        if started.reset {
            self.counters.function_resets += 1;
            self.effects.push(Effect::Reset(Function::Pf));
        }
        self.check_messages(before);
    }

    fn write_vf(&mut self, vf: u16, register: usize, data: &[u8]) {
        let before = self.messages.len();
        let function = &mut self.vfs[usize::from(vf)];
        let mastered = function.masters();
        let reset = function.write(register, data, &mut self.messages);
        let masters = function.masters();
        if masters != mastered {
            self.effects
                .push(Effect::BusMaster(Function::Vf(vf), masters));
        }
        if reset {
            self.counters.function_resets += 1;
            self.effects.push(Effect::Reset(Function::Vf(vf)));
        }
        self.check_messages(before);
    }

    /// PF and VFs lose their state: by bus reset, or with `power`, all of it.
    fn lose_functions(&mut self, power: bool) {
        if self.pf.masters() {
            self.effects.push(Effect::BusMaster(Function::Pf, false));
        }
        if power {
            let Identity {
                vectors,
                total_vfs,
                serial,
            } = self.identity;
            self.pf = Physical::new(vectors, total_vfs, serial);
        } else {
            self.pf.reset();
        }
        self.lose_vfs();
        self.effects.push(Effect::Reset(Function::Pf));
    }

    fn lose_vfs(&mut self) {
        if !self.vfs.is_empty() {
            self.vfs.clear();
            self.effects.push(Effect::VfsEnabled(0));
        }
    }

    /// Counts the messages that functions have set free since there were `before`, or drops them if nothing below the root port
    /// may master the bus.
    fn check_messages(&mut self, before: usize) {
        let free = (self.messages.len() - before) as u64;
        if self.upstream() {
            self.counters.interrupts += free;
        } else {
            self.counters.interrupts_dropped += free;
            self.messages.truncate(before);
        }
    }

    fn remap(&mut self) {
        self.map = Map::new(&self.port, &self.pf, self.vfs.len());
    }
}

enum Target {
    Port,
    Function(Function),
}
