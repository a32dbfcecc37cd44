// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The NIC core: the device behind the BARs, free of I/O.
//!
//! [`Nic`] owns everything: functions with their queues, vports, VF settings, wire ports and their bridges, timers and
//! scratch buffers. One file per noun; files with verbs in them (`transmit`, `send`, `receive`, `bridge`, `lifecycle`…) add functions
//! to [`Nic`]. Nothing a driver writes makes it panic, and every list that a driver can grow is bounded.

mod admin;
mod bridge;
pub mod chaos;
pub mod checksum;
pub mod clock;
mod command;
mod control;
mod counter_memory;
mod cq;
mod cut;
mod doorbell;
mod dump;
mod eswitch;
mod event;
pub mod firmware;
pub mod flow;
mod flow_queue;
mod forward;
pub mod frame;
mod function;
mod ids;
mod interrupt;
mod lifecycle;
pub mod limits;
mod module;
pub mod packet;
mod port;
pub mod ptp;
pub mod rate;
mod receive;
mod registers;
mod requests;
mod ring;
pub mod rss;
mod rules;
mod rx;
pub mod segment;
mod send;
mod sensors;
mod shape;
mod statistics;
pub mod steering;
mod timers;
mod transmit;
mod trial;
mod tx;
pub mod veb;
mod vport;

use crate::host::{Function, Host, NicConfig, NicCore};
use chaos::Chaos;
use clock::Clock;
use counter_memory::CounterMemory;
use firmware::Firmware;
use firmware::flash::{Flash, MemoryFlash};
use flow::Engine;
use flow_queue::FlowQueue;
use frame::Frame;
use function::FunctionState;
use ids::{EswitchPort, FunctionId, VportId, pf_number, vf_number, wire_number};
use limits::Shares;
use oxnic_abi::doorbell::PAGE_SIZE;
use oxnic_abi::eswitch::EswitchMode;
use oxnic_abi::regs::status;
use oxnic_abi::sensor::SensorEntry;
use port::WirePort;
use rate::Shaper;
use registers::{Action, View};
use serde_json::Value;
use std::collections::VecDeque;
use timers::Timers;
use tx::TxPacket;
use veb::Veb;
use vport::{PF_PRIVILEGES, VfSettings, Vport};

/// Doorbell pages of the PF.
const PF_PAGES: u32 = (oxnic_abi::pci::PF_DOORBELLS_SIZE / PAGE_SIZE as u64) as u32;
/// Doorbell pages of a VF.
const VF_PAGES: u32 = (oxnic_abi::pci::VF_DOORBELLS_SIZE / PAGE_SIZE as u64) as u32;

/// Buffers that are used over and over.
#[derive(Default)]
struct Scratch {
    frame: Frame,
    /// What rules send.
    sent: Frame,
    outcome: flow::Outcome,
    packet: TxPacket,
    descriptors: Vec<[u64; 2]>,
    receivers: Vec<VportId>,
    filled: Vec<(u16, u16)>,
    slots: Vec<u8>,
}

/// The device behind the BARs.
pub struct Nic {
    config: NicConfig,
    functions: Vec<FunctionState>,
    vports: Vec<Vport>,
    vfs: Vec<VfSettings>,
    ports: Vec<WirePort>,
    vebs: Vec<Veb>,
    /// How frames are forwarded.
    mode: EswitchMode,
    /// Rules of the eswitch, and what they name.
    flow: Engine,
    /// Flow queues, by id.
    flow_queues: Vec<Option<FlowQueue>>,
    /// The most flow queues that there were at once since the last reset of the PF.
    flow_queues_most: u32,
    /// Where counters of rules go in the host's memory.
    counter_memory: CounterMemory,
    /// Links have to be looked at, since a function halted.
    links_stale: bool,
    timers: Timers,
    /// Shares out what VFs send.
    shaper: Shaper,
    /// The device has no capability RATE, as an operator wants it.
    without_rates: bool,
    clock: Clock,
    firmware: Firmware,
    /// The version of the pipeline's firmware that does not work, as the operator wants it.
    defective: Option<firmware::directory::Version>,
    sensors: Vec<SensorEntry>,
    tx_ready: VecDeque<(FunctionId, u16)>,
    admin_ready: VecDeque<FunctionId>,
    flow_ready: VecDeque<u16>,
    vectors_ready: Vec<(FunctionId, u16)>,
    scratch: Scratch,
    chaos: Chaos,
    /// The host's clock, as of the call that is being served.
    now: u64,
    started: Option<u64>,
}

/// `N` little-endian words; what is missing is zero.
fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = chunk
            .iter()
            .rev()
            .fold(0, |word, byte| (word << 8) | u64::from(*byte));
    }
    words
}

/// The offset of an access to registers, if it is one that they answer: an aligned 32-bit or 64-bit word.
fn aligned(offset: u64, length: usize) -> Option<u32> {
    let aligned = matches!(length, 4 | 8) && offset % length as u64 == 0;
    u32::try_from(offset).ok().filter(|_| aligned)
}

impl Nic {
    /// A device as after power-on, whose firmware is as it was made. Ports and VFs beyond what the interface allows are left out.
    pub fn new(config: NicConfig) -> Self {
        Self::with_flash(config, Box::new(MemoryFlash::default()))
    }

    /// A device as after power-on, with the firmware that is in flash.
    pub fn with_flash(config: NicConfig, flash: Box<dyn Flash>) -> Self {
        let ports = config.ports.clamp(1, crate::host::MAX_PORTS);
        let vfs = config.max_vfs.min(crate::host::MAX_VFS);
        let config = NicConfig {
            ports,
            max_vfs: vfs,
            ..config
        };
        let pf = FunctionState::new(
            FunctionId::PF,
            Shares::pf(ports, vfs),
            limits::pf_vectors(vfs),
        );
        let vf = |index| {
            let vectors = limits::VF_VECTORS_DEFAULT;
            let mut state = FunctionState::new(FunctionId::vf(index), Shares::vf(), vectors);
            state.registers.status = status::RESET_DONE;
            state
        };
        let mut nic = Self {
            functions: std::iter::once(pf).chain((0..vfs).map(vf)).collect(),
            vports: Vec::new(),
            vfs: vec![VfSettings::default(); usize::from(vfs)],
            ports: Vec::new(),
            vebs: (0..ports).map(|_| Veb::default()).collect(),
            mode: EswitchMode::LEGACY,
            flow: Engine::default(),
            flow_queues: vec![None; usize::from(flow::limits::capability().queues)],
            flow_queues_most: 0,
            counter_memory: CounterMemory::default(),
            links_stale: false,
            timers: Timers::default(),
            shaper: Shaper::new(vfs),
            without_rates: false,
            clock: Clock::default(),
            firmware: Firmware::new(flash),
            defective: None,
            sensors: sensors::sensors(),
            tx_ready: VecDeque::new(),
            admin_ready: VecDeque::new(),
            flow_ready: VecDeque::new(),
            vectors_ready: Vec::new(),
            scratch: Scratch::default(),
            chaos: Chaos::default(),
            now: 0,
            started: None,
            config,
        };
        for port in 0..ports {
            let mac = nic.port_mac(port);
            nic.ports.push(WirePort::new(mac));
            let id = VportId(u16::from(port));
            let number = u16::from(port);
            let eswitch_port = pf_number(port);
            nic.vports.push(Vport::new(
                id,
                FunctionId::PF,
                number,
                eswitch_port,
                port,
                mac,
            ));
        }
        for vf in 0..vfs {
            let id = nic.vf_vport_id(vf);
            let mac = nic.made_mac(vf);
            nic.vports
                .push(Vport::new(id, FunctionId::vf(vf), 0, vf_number(vf), 0, mac));
        }
        for vf in 0..vfs {
            let id = nic.representor_id(vf);
            let number = u16::from(ports) + vf;
            let mac = nic.representor_mac(vf);
            let vport = Vport::new(id, FunctionId::PF, number, pf_number(0), 0, mac);
            nic.vports.push(Vport {
                represents: Some(vf),
                ..vport
            });
        }
        nic.follow_firmware();
        nic
    }

    /// Burnt-in address of a wire port.
    fn port_mac(&self, port: u8) -> [u8; 6] {
        let mut mac = self.config.mac;
        mac[0] &= !1;
        let [.., low] = &mut mac;
        *low = low.wrapping_add(port);
        mac
    }

    /// Address that the device makes for a VF: locally administered, and different for devices whose own differ in the
    /// lower half.
    fn made_mac(&self, vf: u16) -> [u8; 6] {
        let [first, _, _, a, b, c] = self.config.mac;
        let [high, low] = vf.wrapping_add(1).to_be_bytes();
        [first & !1 | 2, b, c, a, high, low]
    }

    /// Identifies the eswitch.
    fn switch_id(&self) -> [u8; 8] {
        let [a, b, c, d, e, f] = self.config.mac;
        [a, b, c, 0xff, 0xfe, d, e, f]
    }

    /// A function; ids of others are never made.
    fn state(&self, function: FunctionId) -> &FunctionState {
        &self.functions[function.index()]
    }

    fn state_mut(&mut self, function: FunctionId) -> &mut FunctionState {
        &mut self.functions[function.index()]
    }

    /// A vport; ids of others are never made.
    fn vport(&self, id: VportId) -> &Vport {
        &self.vports[id.index()]
    }

    fn vport_mut(&mut self, id: VportId) -> &mut Vport {
        &mut self.vports[id.index()]
    }

    /// A wire port; vports are on no others.
    fn port(&self, port: u8) -> &WirePort {
        &self.ports[usize::from(port)]
    }

    fn port_mut(&mut self, port: u8) -> &mut WirePort {
        &mut self.ports[usize::from(port)]
    }

    fn vf(&self, index: u16) -> Option<&VfSettings> {
        self.vfs.get(usize::from(index))
    }

    /// The vport of a VF below the limit.
    fn vf_vport_id(&self, index: u16) -> VportId {
        VportId(u16::from(self.config.ports) + index)
    }

    fn vf_vport(&self, index: u16) -> Option<&Vport> {
        self.vports.get(self.vf_vport_id(index).index())
    }

    /// The vport that a function knows by a number. A PF has its representors only while the mode does.
    fn vport_of(&self, function: FunctionId, number: u16) -> Option<VportId> {
        match function.vf_index() {
            None => match number.checked_sub(self.config.ports.into()) {
                None => Some(VportId(number)),
                Some(vf) => (self.is_switchdev() && vf < self.config.max_vfs)
                    .then(|| self.representor_id(vf)),
            },
            Some(vf) => (number == 0).then(|| self.vf_vport_id(vf)),
        }
    }

    /// What has a number in the eswitch.
    fn eswitch_port(&self, number: u32) -> Option<EswitchPort> {
        let number = u16::try_from(number).ok()?;
        let wire = (0..self.config.ports).find(|port| wire_number(*port) == number);
        let vport = || {
            self.vports
                .iter()
                .find(|vport| vport.eswitch_port == number)
        };
        wire.map(EswitchPort::Wire)
            .or_else(|| vport().map(|vport| EswitchPort::Vport(vport.id)))
    }

    /// What a function may do.
    fn privileges(&self, function: FunctionId) -> u64 {
        match function.vf_index() {
            None => PF_PRIVILEGES,
            Some(vf) => self.vf(vf).map_or(0, VfSettings::privileges),
        }
    }

    /// The tag that the PF laid on the vport's function.
    fn transparent_tag(&self, id: VportId) -> Option<frame::Tag> {
        self.vf(self.vports.get(id.index())?.function.vf_index()?)?
            .tag
    }

    /// The function, if the device has it.
    fn known(&self, function: Function) -> Option<FunctionId> {
        let id = FunctionId::from(function);
        (id.index() < self.functions.len()).then_some(id)
    }

    fn view(&self, function: FunctionId) -> View {
        let state = self.state(function);
        View {
            function: match function.vf_index() {
                None => 1,
                Some(vf) => 2 | (u32::from(vf) << 16),
            },
            doorbell_pages: if function.is_pf() { PF_PAGES } else { VF_PAGES },
            vectors: state.vector_count(),
            ports: if function.is_pf() {
                self.config.ports
            } else {
                0
            },
            now: self.now,
            started: self.started.unwrap_or(self.now),
            clock: self.clock.time(self.now),
        }
    }

    /// Takes the time for the call that begins.
    fn begin(&mut self, host: &dyn Host) {
        self.now = host.now();
        if self.started.is_none() {
            self.started = Some(self.now);
            self.clock = Clock::new(self.now);
        }
    }

    fn act(&mut self, host: &mut dyn Host, function: FunctionId, action: Action) {
        match action {
            Action::None => {}
            Action::Reset(reason) => {
                self.reset(host, function);
                self.state_mut(function).registers.health.last_reset = reason;
            }
            Action::DriverOk => self.driver_ok(host, function),
            Action::Interrupt(_) | Action::DmaTest(_)
                if !self.state(function).registers.ready() => {}
            Action::Interrupt(vector) => {
                let count = u32::from(self.state(function).vector_count());
                if vector < count {
                    host.interrupt(function.bus(), vector as u16);
                }
            }
            Action::DmaTest(kind) => self.dma_test(host, function, kind),
            Action::Dump(action) => self.dump_action(host, function, action),
        }
    }
}

impl NicCore for Nic {
    fn register_read(&mut self, host: &mut dyn Host, f: Function, offset: u64, data: &mut [u8]) {
        self.begin(host);
        data.fill(0);
        let Some(function) = self.known(f) else {
            return;
        };
        if self.chaos.hit(chaos::Fault::RegisterOnes) {
            data.fill(0xff);
            return;
        }
        let Some(offset) = aligned(offset, data.len()) else {
            return;
        };
        let view = self.view(function);
        let registers = &self.state(function).registers;
        for (at, word) in (offset..).step_by(4).zip(data.chunks_exact_mut(4)) {
            word.copy_from_slice(&registers.read(&view, at).to_le_bytes());
        }
    }

    fn register_write(&mut self, host: &mut dyn Host, f: Function, offset: u64, data: &[u8]) {
        self.begin(host);
        let Some(function) = self.known(f) else {
            return;
        };
        let Some(offset) = aligned(offset, data.len()) else {
            self.state_mut(function).stray_writes += 1;
            log::debug!(
                "{f}: a write of {} bytes at {offset:#x} was ignored",
                data.len()
            );
            return;
        };
        for (at, chunk) in (offset..).step_by(4).zip(data.chunks_exact(4)) {
            let value = words::<1>(&[chunk, &[0; 4]].concat())[0] as u32;
            let action = self.state_mut(function).registers.write(at, value);
            self.act(host, function, action);
        }
    }

    fn doorbell_write(&mut self, host: &mut dyn Host, f: Function, offset: u64, data: &[u8]) {
        self.begin(host);
        let Some(function) = self.known(f) else {
            return;
        };
        if offset % 8 != 0 || data.len() != 8 {
            return self.stray(function);
        }
        self.doorbell(host, function, words::<1>(data)[0]);
    }

    fn function_reset(&mut self, host: &mut dyn Host, f: Function) {
        self.begin(host);
        let Some(function) = self.known(f) else {
            return;
        };
        self.reset(host, function);
        if function.is_pf() {
            self.disable_vfs(host);
            self.clear_rates();
            self.set_mode(host, EswitchMode::LEGACY);
        }
    }

    fn power_on(&mut self, host: &mut dyn Host) {
        self.begin(host);
        self.forget_past();
        self.start_firmware(host);
    }

    fn set_bus_master(&mut self, f: Function, on: bool) {
        if let Some(function) = self.known(f) {
            self.state_mut(function).bus_master = on;
            if on {
                self.state_mut(function).returned = true;
                self.list_function(function);
            }
        }
    }

    fn set_vfs_enabled(&mut self, host: &mut dyn Host, count: u16) {
        self.begin(host);
        for index in 0..self.config.max_vfs {
            let function = FunctionId::vf(index);
            let exists = index < count;
            if self.state(function).exists != exists {
                self.reset(host, function);
                let state = self.state_mut(function);
                state.exists = exists;
                state.bus_master = false;
            }
        }
        self.update_links(host);
    }

    fn vectors(&self, f: Function) -> u16 {
        self.known(f)
            .map_or(1, |function| self.state(function).vector_count())
    }

    fn wire_receive(&mut self, host: &mut dyn Host, port: u8, frame: &[u8]) {
        self.begin(host);
        self.arrive(host, port, frame);
    }

    fn wire_carrier(&mut self, host: &mut dyn Host, port: u8, up: bool) {
        self.begin(host);
        let Some(wire) = self.ports.get_mut(usize::from(port)) else {
            return;
        };
        let link = wire.link();
        wire.carrier = up;
        wire.link_downs += u32::from(link && !wire.link());
        self.update_links(host);
    }

    fn poll(&mut self, host: &mut dyn Host) -> Option<u64> {
        self.begin(host);
        if std::mem::take(&mut self.links_stale) {
            self.update_links(host);
        }
        self.tell_returned(host);
        self.run_timers(host);
        self.run_admin(host);
        self.run_flow(host);
        self.run_tx(host);
        self.run_vectors(host);
        let idle = self.tx_ready.is_empty() && self.admin_ready.is_empty();
        if idle && self.flow_ready.is_empty() {
            self.timers.next()
        } else {
            Some(self.now)
        }
    }

    fn control(&mut self, host: &mut dyn Host, request: &Value) -> Option<Result<Value, String>> {
        self.begin(host);
        self.operate(host, request)
    }
}
