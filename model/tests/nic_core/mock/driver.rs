// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A function's driver: handshake, commands, events.

use super::Device;
use oxnic_abi::command::{Completion, Opcode, Status, Submission};
use oxnic_abi::doorbell::DoorbellKind;
use oxnic_abi::event::Event;
use oxnic_abi::regs::{control, device, status};
use oxnic_abi::ring::completion_flags;
use oxnic_abi::stats::{PortStats, VportStats};
use oxnic_abi::vf::VfConfig;
use oxnic_abi::vport::{VportConfig, VportInfo, vport_fields, vport_flags};
use oxnic_model::host::Function;

/// A function's driver.
pub struct Driver {
    pub function: Function,
    pub sq: u64,
    pub cq: u64,
    pub events: u64,
    pub log2: u8,
    pub event_log2: u8,
    pub submitted: u16,
    pub completed: u16,
    pub event_index: u16,
    pub buffer: u64,
    pub id: u16,
}

pub const BUFFER: usize = 65536;

impl Driver {
    /// Resets the function and does the handshake.
    pub fn new(device: &mut Device, function: Function) -> Self {
        Self::with_depth(device, function, 5, 6)
    }

    pub fn with_depth(device: &mut Device, function: Function, log2: u8, event_log2: u8) -> Self {
        device.reset(function);
        let sq = device.host.allocate(64 << log2);
        let cq = device.host.allocate(32 << log2);
        let events = device.host.allocate(64 << event_log2);
        let buffer = device.host.allocate(BUFFER);
        let driver = Self {
            function,
            sq,
            cq,
            events,
            log2,
            event_log2,
            submitted: 0,
            completed: 0,
            event_index: 0,
            buffer,
            id: 0x100,
        };
        driver.handshake(device);
        assert_ne!(
            device.read(function, device::STATUS) & status::ACCEPTED,
            0,
            "not accepted"
        );
        driver
    }

    pub fn handshake(&self, device: &mut Device) {
        self.handshake_without_ok(device);
        device.write(self.function, device::CONTROL, control::DRIVER_OK);
    }

    /// Fills in the registers of the handshake.
    pub fn handshake_without_ok(&self, device: &mut Device) {
        let f = self.function;
        device.host.write(self.cq, &vec![0; 32 << self.log2]);
        device
            .host
            .write(self.events, &vec![0; 64 << self.event_log2]);
        device.write(f, device::DRIVER_ABI_MIN, 1 << 16);
        device.write(f, device::DRIVER_ABI_MAX, (1 << 16) | 7);
        device.write64(f, device::ADMIN_SQ, self.sq);
        device.write64(f, device::ADMIN_CQ, self.cq);
        device.write64(f, device::EVENT_RING, self.events);
        let depth = u32::from(self.log2) | (u32::from(self.event_log2) << 8);
        device.write(f, device::DEPTH, depth);
    }

    /// Puts a submission into the ring as it is.
    pub fn submit(&mut self, device: &mut Device, words: &[u64; 8]) {
        let entry = self.submitted & ((1 << self.log2) - 1);
        device
            .host
            .put_words(self.sq + u64::from(entry) * 64, words);
        self.submitted = self.submitted.wrapping_add(1);
        device.ring(
            self.function,
            DoorbellKind::ADMIN,
            0,
            u32::from(self.submitted),
        );
    }

    /// The next completion, if it is there.
    pub fn completion(&mut self, device: &mut Device) -> Option<Completion> {
        let entry = self.completed & ((1 << self.log2) - 1);
        let words = device.host.words::<4>(self.cq + u64::from(entry) * 32);
        let completion = Completion::from_words(&words);
        let pass = (self.completed >> self.log2) & 1 == 0;
        if (completion.flags & completion_flags::GENERATION != 0) != pass {
            return None;
        }
        self.completed = self.completed.wrapping_add(1);
        Some(completion)
    }

    pub fn submission(&mut self, opcode: Opcode) -> Submission {
        self.id = self.id.wrapping_add(1);
        Submission {
            opcode,
            id: self.id,
            ..Submission::ZERO
        }
    }

    /// Runs a command as it is given.
    pub fn raw(&mut self, device: &mut Device, words: &[u64; 8]) -> Completion {
        self.submit(device, words);
        device.settle();
        let completion = self.completion(device).expect("no completion");
        assert_eq!(completion.id, Submission::from_words(words).id);
        completion
    }

    /// Runs a command with a request in the buffer.
    pub fn run(
        &mut self,
        device: &mut Device,
        mut submission: Submission,
        request: &[u64],
    ) -> Completion {
        if !request.is_empty() {
            device.host.put_words(self.buffer, request);
            submission.buffer = self.buffer;
            submission.buffer_length = request.len() as u32 * 8;
        }
        self.raw(device, &submission.to_words())
    }

    /// Runs a command that answers `N` words.
    pub fn query<const N: usize>(
        &mut self,
        device: &mut Device,
        mut submission: Submission,
    ) -> Result<[u64; N], Completion> {
        submission.buffer = self.buffer;
        submission.buffer_length = N as u32 * 8;
        let completion = self.raw(device, &submission.to_words());
        if completion.status != Status::OK {
            return Err(completion);
        }
        assert_eq!(usize::from(completion.length), N);
        Ok(device.host.words::<N>(self.buffer))
    }

    /// Runs a command with parameters.
    pub fn set(
        &mut self,
        device: &mut Device,
        opcode: Opcode,
        vport: u16,
        parameters: [u64; 5],
    ) -> Completion {
        let submission = Submission {
            vport,
            parameters,
            ..self.submission(opcode)
        };
        self.run(device, submission, &[])
    }

    /// Runs a command with parameters that succeeds.
    pub fn set_ok(
        &mut self,
        device: &mut Device,
        opcode: Opcode,
        vport: u16,
        parameters: [u64; 5],
    ) {
        let completion = self.set(device, opcode, vport, parameters);
        assert_eq!(
            completion.status,
            Status::OK,
            "{}: {completion:?}",
            opcode.text()
        );
    }

    /// Runs a command with a request that succeeds.
    pub fn request_ok(
        &mut self,
        device: &mut Device,
        opcode: Opcode,
        vport: u16,
        function: u16,
        request: &[u64],
    ) {
        let submission = Submission {
            vport,
            function,
            ..self.submission(opcode)
        };
        let completion = self.run(device, submission, request);
        assert_eq!(
            completion.status,
            Status::OK,
            "{}: {completion:?}",
            opcode.text()
        );
    }

    /// The next event, if it is there; frees its entry.
    pub fn event(&mut self, device: &mut Device) -> Option<Event> {
        let event = self.peek_event(device)?;
        self.event_index = self.event_index.wrapping_add(1);
        let index = u32::from(self.event_index);
        device.ring(self.function, DoorbellKind::EVENT, 0, index);
        Some(event)
    }

    pub fn peek_event(&self, device: &mut Device) -> Option<Event> {
        let entry = self.event_index & ((1 << self.event_log2) - 1);
        let words = device.host.words::<8>(self.events + u64::from(entry) * 64);
        let event = Event::from_words(&words);
        let pass = (self.event_index >> self.event_log2) & 1 == 0;
        ((event.flags & completion_flags::GENERATION != 0) == pass).then_some(event)
    }

    /// All events that are there.
    pub fn events(&mut self, device: &mut Device) -> Vec<Event> {
        std::iter::from_fn(|| self.event(device)).collect()
    }

    /// Sets and clears flags of a vport.
    pub fn flags(&mut self, device: &mut Device, vport: u16, flags: u32, mask: u32) {
        let config = VportConfig {
            fields: vport_fields::FLAGS,
            flags,
            flags_mask: mask,
            ..VportConfig::ZERO
        };
        self.set_ok(device, Opcode::VPORT_SET, vport, config.to_words());
    }

    /// Enables a vport, with broadcast.
    pub fn enable(&mut self, device: &mut Device, vport: u16) {
        let flags = vport_flags::ENABLED | vport_flags::BROADCAST;
        self.flags(device, vport, flags, flags);
    }

    pub fn info(&mut self, device: &mut Device, vport: u16) -> VportInfo {
        let submission = Submission {
            vport,
            ..self.submission(Opcode::VPORT_QUERY)
        };
        let words = self.query(device, submission).unwrap();
        VportInfo::from_words(&words)
    }

    pub fn stats(&mut self, device: &mut Device, vport: u16) -> VportStats {
        let submission = Submission {
            vport,
            ..self.submission(Opcode::VPORT_STATS)
        };
        let words = self.query(device, submission).unwrap();
        VportStats::from_words(&words)
    }

    pub fn port_stats(&mut self, device: &mut Device) -> PortStats {
        let submission = self.submission(Opcode::PORT_STATS);
        PortStats::from_words(&self.query(device, submission).unwrap())
    }

    pub fn vf_set(&mut self, device: &mut Device, vf: u16, config: VfConfig) {
        self.request_ok(device, Opcode::VF_SET, 0, vf + 1, &config.to_words());
    }
}
