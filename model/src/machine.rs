// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! One device, all joined: client, PCI hierarchy, NIC core, wires and control channel, run by one thread.
//!
//! [`Board`] is what the NIC core sees of the world, [`Device`] is what the client sees of the device, and [`Machine`]
//! waits for whatever comes next. One turn of its loop handles all messages that the client has queued, then the wires,
//! then lets the NIC core run, then sends interrupts and frames in as few system calls as it can.

use crate::board::Board;
use crate::chaos::{Chaos, ChaosHost, Operation};
use crate::control::Control;
use crate::host::{Function, Host, MAX_PORTS, NicCore};
use crate::pci::hierarchy::{Effect, Window};
use crate::pci::map::{Bar, Place};
use crate::pci::vmd::{CONFIG_WINDOW_SIZE, MEMORY32_SIZE, MEMORY64_SIZE, VMD_CONFIG_SIZE};
use crate::vfio::connection::ConnectionError;
use crate::vfio::memory::GuestMemory;
use crate::vfio::session::{Backend, Session};
use crate::wire::frames::Frames;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::unix::net::UnixListener;

const REGION_CONFIG_WINDOW: u32 = 0;
const REGION_MEMORY32: u32 = 2;
const REGION_MEMORY64: u32 = 4;
const REGION_CONFIG: u32 = 7;

/// The device, without its client.
pub struct Device {
    /// What the core may use.
    pub board: Board,
    /// The NIC behind the BARs.
    pub core: Box<dyn NicCore>,
    /// What goes wrong on purpose.
    pub chaos: Chaos,
}

impl Device {
    /// Calls the core with its host, through the chaos if there is any.
    pub fn with_core<R>(&mut self, call: impl FnOnce(&mut dyn NicCore, &mut dyn Host) -> R) -> R {
        if self.chaos.is_active() {
            let mut host = ChaosHost {
                inner: &mut self.board,
                chaos: &mut self.chaos,
            };
            call(&mut *self.core, &mut host)
        } else {
            call(&mut *self.core, &mut self.board)
        }
    }

    /// Tells the core what a configuration access, a reset or a removal has done to its functions.
    pub fn settle(&mut self) {
        while self.board.hierarchy.has_effects() {
            for effect in self.board.hierarchy.take_effects() {
                log::debug!("{effect:?}");
                match effect {
                    Effect::BusMaster(function, on) => self.core.set_bus_master(function, on),
                    Effect::Reset(function) => {
                        self.with_core(|core, host| core.function_reset(host, function));
                    }
                    Effect::VfsEnabled(count) => {
                        self.with_core(|core, host| core.set_vfs_enabled(host, count));
                        for vf in 0..count {
                            self.refresh_vectors(vf);
                        }
                    }
                }
            }
        }
    }

    /// Everything as after power-on, with the device in its slot and no memory mapped.
    pub fn power_cycle(&mut self) {
        self.board.memory.clear();
        self.board.hierarchy.insert();
        self.board.hierarchy.reset();
        self.settle();
        self.with_core(|core, host| core.power_on(host));
        self.board.hierarchy.take_messages();
    }

    fn refresh_vectors(&mut self, vf: u16) {
        let vectors = self.core.vectors(Function::Vf(vf));
        self.board.hierarchy.set_vf_vectors(vf, vectors);
    }

    fn read_config(&mut self, offset: u64, data: &mut [u8]) {
        if let Some(vf) = self.board.hierarchy.asks_for_vectors(offset, data.len()) {
            self.refresh_vectors(vf);
        }
        self.board.hierarchy.read_config(offset, data);
    }

    fn read_memory(&mut self, window: Window, offset: u64, data: &mut [u8]) {
        let Some(place) = self.board.hierarchy.decode_read(window, offset, data.len()) else {
            return data.fill(0xFF);
        };
        let Place {
            function,
            bar,
            offset,
        } = place;
        if bar != Bar::Msix && self.chaos.strikes(Operation::MmioRead, Some(function)) {
            return data.fill(0xFF);
        }
        match bar {
            Bar::Registers => {
                self.with_core(|core, host| core.register_read(host, function, offset, data));
            }
            Bar::Doorbells => data.fill(0),
            Bar::Msix => self.board.hierarchy.read_msix(function, offset, data),
        }
    }

    fn write_memory(&mut self, window: Window, offset: u64, data: &[u8]) {
        let Some(place) = self
            .board
            .hierarchy
            .decode_write(window, offset, data.len())
        else {
            return log::debug!("write to nowhere: {window:?} {offset:#x}");
        };
        let Place {
            function,
            bar,
            offset,
        } = place;
        let operation = match bar {
            Bar::Registers => Operation::MmioWrite,
            Bar::Doorbells => Operation::Doorbell,
            Bar::Msix => return self.board.hierarchy.write_msix(function, offset, data),
        };
        if self.chaos.strikes(operation, Some(function)) {
            return;
        }
        self.with_core(|core, host| match bar {
            Bar::Doorbells => core.doorbell_write(host, function, offset, data),
            _ => core.register_write(host, function, offset, data),
        });
    }
}

impl Backend for Device {
    fn region_sizes(&self) -> [u64; 9] {
        let mut sizes = [0; 9];
        sizes[REGION_CONFIG_WINDOW as usize] = CONFIG_WINDOW_SIZE;
        sizes[REGION_MEMORY32 as usize] = MEMORY32_SIZE;
        sizes[REGION_MEMORY64 as usize] = MEMORY64_SIZE;
        sizes[REGION_CONFIG as usize] = VMD_CONFIG_SIZE;
        sizes
    }

    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) {
        match region {
            REGION_CONFIG_WINDOW => self.read_config(offset, data),
            REGION_MEMORY32 => self.read_memory(Window::Memory32, offset, data),
            REGION_MEMORY64 => self.read_memory(Window::Memory64, offset, data),
            REGION_CONFIG => self.board.hierarchy.vmd().read(offset, data),
            _ => data.fill(0xFF),
        }
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) {
        match region {
            REGION_CONFIG_WINDOW => {
                self.board.hierarchy.write_config(offset, data);
                self.settle();
            }
            REGION_MEMORY32 => self.write_memory(Window::Memory32, offset, data),
            REGION_MEMORY64 => self.write_memory(Window::Memory64, offset, data),
            REGION_CONFIG => self.board.hierarchy.write_vmd(offset, data),
            _ => {}
        }
    }

    fn reset(&mut self) {
        log::info!("the client resets the device");
        self.board.hierarchy.reset();
        self.settle();
    }

    fn memory(&mut self) -> &mut GuestMemory {
        &mut self.board.memory
    }
}

/// Who has something for the device.
struct Ready {
    client: bool,
    wires: [bool; MAX_PORTS as usize],
    control: bool,
}

/// A device, its client and the loop that serves both.
pub struct Machine {
    device: Device,
    listener: UnixListener,
    session: Option<Session>,
    control: Option<Control>,
    frames: Frames,
    once: bool,
}

impl Machine {
    /// Joins the parts. With `once`, [`run`](Self::run) returns when the first client has gone.
    pub fn new(
        device: Device,
        listener: UnixListener,
        control: Option<Control>,
        once: bool,
    ) -> Self {
        Machine {
            device,
            listener,
            session: None,
            control,
            frames: Frames::default(),
            once,
        }
    }

    /// Serves for ever, or one client.
    ///
    /// # Errors
    /// If waiting fails, which it does not.
    pub fn run(&mut self) -> io::Result<()> {
        let mut deadline = Some(0);
        loop {
            let ready = self.wait(deadline)?;
            if ready.client && !self.serve_client() && self.once {
                return Ok(());
            }
            self.serve_wires(&ready);
            if ready.control {
                self.serve_control();
            }
            deadline = self.device.with_core(|core, host| core.poll(host));
            self.send();
        }
    }

    /// Waits for something to do, at most until `deadline` or a wire's, and says what it is.
    fn wait(&self, deadline: Option<u64>) -> io::Result<Ready> {
        let board = &self.device.board;
        let deadline = board
            .wires
            .iter()
            .filter_map(|wire| wire.deadline())
            .chain(deadline)
            .min();
        let timeout = deadline.map(|deadline| {
            let rest = deadline.saturating_sub(board.now());
            Timespec {
                tv_sec: (rest / 1_000_000_000) as i64,
                tv_nsec: (rest % 1_000_000_000) as i64,
            }
        });
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(8);
        fds.push(match &self.session {
            None => PollFd::new(&self.listener, PollFlags::IN),
            Some(session) if session.connection().is_blocked() => {
                PollFd::new(session.connection(), PollFlags::IN | PollFlags::OUT)
            }
            Some(session) => PollFd::new(session.connection(), PollFlags::IN),
        });
        let mut places = [None; MAX_PORTS as usize];
        for (wire, place) in board.wires.iter().zip(&mut places) {
            if let Some(fd) = wire.poll_fd() {
                *place = Some(fds.len());
                fds.push(fd);
            }
        }
        let control = fds.len();
        if let Some(control) = &self.control {
            fds.extend(control.poll_fds());
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let has_event = |fd: &PollFd<'_>| !fd.revents().is_empty();
        Ok(Ready {
            client: has_event(&fds[0]),
            wires: places.map(|place| place.is_some_and(|place| has_event(&fds[place]))),
            control: fds[control..].iter().any(has_event),
        })
    }

    /// Takes a client or serves the one there is; false when it has gone.
    fn serve_client(&mut self) -> bool {
        let Some(session) = &mut self.session else {
            if let Ok((socket, _)) = self.listener.accept() {
                log::info!("a client has connected");
                self.session = Session::new(socket).ok();
            }
            return true;
        };
        match session.serve(&mut self.device) {
            Ok(_) => true,
            Err(error) => {
                self.drop_client(&error);
                false
            }
        }
    }

    /// Hands to the core what has arrived on the wires, and which carriers have come or gone.
    fn serve_wires(&mut self, ready: &Ready) {
        for port in 0..self.device.board.wires.len() {
            let board = &mut self.device.board;
            let now = board.now();
            let wire = &mut board.wires[port];
            let is_due = wire.deadline().is_some_and(|deadline| deadline <= now);
            let has_frames = ready.wires[port] || is_due;
            if has_frames {
                wire.receive(now, &mut self.frames);
            }
            let carrier = wire.has_carrier();
            let changed = std::mem::replace(&mut board.carriers[port], carrier) != carrier;
            let port = port as u8;
            if changed {
                self.device
                    .with_core(|core, host| core.wire_carrier(host, port, carrier));
            }
            if !has_frames {
                continue;
            }
            for frame in self.frames.iter() {
                if !self.device.chaos.strikes(Operation::Receive, None) {
                    self.device
                        .with_core(|core, host| core.wire_receive(host, port, frame));
                }
            }
        }
    }

    fn serve_control(&mut self) {
        let Some(mut control) = self.control.take() else {
            return;
        };
        let session = self.session.as_ref().map(Session::counters);
        control.serve(|request| self.device.command(request, session));
        self.control = Some(control);
    }

    /// Sends what the turn has brought: interrupts to the client, frames to the wires.
    fn send(&mut self) {
        let messages = self.device.board.hierarchy.take_messages();
        if let Some(session) = &mut self.session {
            for message in messages {
                session.interrupt(message.address, message.data);
            }
            if let Err(error) = session.flush() {
                self.drop_client(&error);
            }
        }
        for wire in &mut self.device.board.wires {
            wire.flush();
        }
    }

    fn drop_client(&mut self, error: &ConnectionError) {
        match error {
            ConnectionError::Closed => log::info!("{error}"),
            _ => log::error!("the client is dropped: {error}"),
        }
        self.session = None;
        self.device.power_cycle();
    }
}
