// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The driver's half for tests: a host made of one array, and a driver that does the real bring-up against the NIC core.
//!
//! [`FakeHost`] owns memory, the clock and what went out; [`Device`] joins it with a core; [`Driver`] knows one function's
//! rings. The host can be told which memory the device may write, and panics when it writes elsewhere.

use oxnic_abi::command::{Completion, Opcode, Status, Submission};
use oxnic_abi::doorbell::{self, DoorbellKind};
use oxnic_abi::event::Event;
use oxnic_abi::queue::{CqCreate, RxCreate, TxCreate};
use oxnic_abi::regs::{control, device, status};
use oxnic_abi::ring::{
    RxCompletion, RxDescriptor, TxCompletion, TxContext, TxData, completion_flags, tx_flags,
};
use oxnic_abi::vport::{VportConfig, vport_fields, vport_flags};
use oxnic_model::host::{DmaFault, Function, Host, NicConfig, NicCore};
use oxnic_model::nic::Nic;
use std::collections::VecDeque;
use std::ops::Range;

/// First bus address of the host's memory.
pub const BASE: u64 = 0x1_0000_0000;

/// A host made of one array.
pub struct FakeHost {
    pub memory: Vec<u8>,
    /// Where the device may write; everywhere if there is none.
    pub writable: Option<Vec<Range<u64>>>,
    pub interrupts: Vec<(Function, u16)>,
    pub wire: Vec<(u8, Vec<u8>)>,
    /// Frames sent, where they are not kept.
    pub sent: u64,
    pub keep_frames: bool,
    pub wire_full: bool,
    pub now: u64,
    next: u64,
}

impl FakeHost {
    pub fn new(bytes: usize) -> Self {
        Self {
            memory: vec![0; bytes],
            writable: None,
            interrupts: Vec::new(),
            wire: Vec::new(),
            sent: 0,
            keep_frames: true,
            wire_full: false,
            now: 1_000_000_000,
            next: BASE,
        }
    }

    /// Takes memory from the array, aligned to 4096.
    pub fn allocate(&mut self, bytes: usize) -> u64 {
        let at = self.next;
        self.next += (bytes as u64).next_multiple_of(4096);
        assert!(
            self.next <= BASE + self.memory.len() as u64,
            "the fake host is out of memory"
        );
        at
    }

    /// From now on the device may write here, and elsewhere only where it may already.
    pub fn allow(&mut self, addr: u64, length: u64) {
        self.writable
            .get_or_insert_default()
            .push(addr..addr + length);
    }

    fn range(&self, addr: u64, len: usize) -> Result<Range<usize>, DmaFault> {
        let start = addr
            .checked_sub(BASE)
            .and_then(|start| usize::try_from(start).ok());
        let range = start.and_then(|start| Some(start..start.checked_add(len)?));
        range
            .filter(|range| range.end <= self.memory.len())
            .ok_or(DmaFault { addr, len })
    }

    pub fn read(&self, addr: u64, len: usize) -> Vec<u8> {
        self.memory[self.range(addr, len).unwrap()].to_vec()
    }

    pub fn write(&mut self, addr: u64, data: &[u8]) {
        let range = self.range(addr, data.len()).unwrap();
        self.memory[range].copy_from_slice(data);
    }

    pub fn words<const N: usize>(&self, addr: u64) -> [u64; N] {
        let bytes = self.read(addr, N * 8);
        std::array::from_fn(|i| u64::from_le_bytes(bytes[i * 8..i * 8 + 8].try_into().unwrap()))
    }

    pub fn put_words(&mut self, addr: u64, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write(addr, &bytes);
    }

    pub fn take_interrupts(&mut self) -> Vec<(Function, u16)> {
        std::mem::take(&mut self.interrupts)
    }

    pub fn take_wire(&mut self) -> Vec<(u8, Vec<u8>)> {
        std::mem::take(&mut self.wire)
    }
}

impl Host for FakeHost {
    fn dma_read(&mut self, _: Function, addr: u64, data: &mut [u8]) -> Result<(), DmaFault> {
        let range = self.range(addr, data.len())?;
        data.copy_from_slice(&self.memory[range]);
        Ok(())
    }

    fn dma_write(&mut self, function: Function, addr: u64, data: &[u8]) -> Result<(), DmaFault> {
        let range = self.range(addr, data.len())?;
        if let Some(writable) = &self.writable {
            let end = addr + data.len() as u64;
            let allowed = writable
                .iter()
                .any(|range| range.start <= addr && end <= range.end);
            assert!(
                allowed,
                "{function} wrote {} bytes at {addr:#x}",
                data.len()
            );
        }
        self.memory[range].copy_from_slice(data);
        Ok(())
    }

    fn interrupt(&mut self, function: Function, vector: u16) {
        self.interrupts.push((function, vector));
    }

    fn transmit(&mut self, port: u8, frame: &[u8]) -> bool {
        if self.wire_full {
            return false;
        }
        self.sent += 1;
        if self.keep_frames {
            self.wire.push((port, frame.to_vec()));
        }
        true
    }

    fn now(&self) -> u64 {
        self.now
    }
}

/// A core and its host.
pub struct Device {
    pub nic: Nic,
    pub host: FakeHost,
}

impl Device {
    pub fn new(ports: u8, vfs: u16) -> Self {
        Self::with_memory(ports, vfs, 64 << 20)
    }

    pub fn with_memory(ports: u8, vfs: u16, bytes: usize) -> Self {
        let config = NicConfig {
            ports,
            max_vfs: vfs,
            mac: [0x02, 0, 0, 0x12, 0x34, 0x10],
        };
        let mut device = Self {
            nic: Nic::new(config),
            host: FakeHost::new(bytes),
        };
        device.nic.set_bus_master(Function::Pf, true);
        for port in 0..ports {
            device.carrier(port, true);
        }
        device
    }

    pub fn carrier(&mut self, port: u8, up: bool) {
        self.nic.wire_carrier(&mut self.host, port, up);
    }

    /// Polls until nothing is due.
    pub fn settle(&mut self) -> Option<u64> {
        for _ in 0..100_000 {
            match self.nic.poll(&mut self.host) {
                Some(at) if at <= self.host.now => {}
                other => return other,
            }
        }
        panic!("the device always has more to do");
    }

    /// Lets time pass, with polls at each deadline.
    pub fn advance(&mut self, nanoseconds: u64) {
        let end = self.host.now + nanoseconds;
        while let Some(at) = self.settle().filter(|at| *at <= end) {
            self.host.now = at.max(self.host.now);
        }
        self.host.now = end;
        self.settle();
    }

    pub fn read(&mut self, function: Function, offset: u32) -> u32 {
        let mut word = [0; 4];
        self.nic
            .register_read(&mut self.host, function, u64::from(offset), &mut word);
        u32::from_le_bytes(word)
    }

    pub fn write(&mut self, function: Function, offset: u32, value: u32) {
        let offset = u64::from(offset);
        self.nic
            .register_write(&mut self.host, function, offset, &value.to_le_bytes());
    }

    pub fn write64(&mut self, function: Function, offset: u32, value: u64) {
        self.write(function, offset, value as u32);
        self.write(function, offset + 4, (value >> 32) as u32);
    }

    pub fn ring(&mut self, function: Function, kind: DoorbellKind, queue: u16, index: u32) {
        let value = doorbell::encode(kind, u32::from(queue), index);
        self.nic
            .doorbell_write(&mut self.host, function, 0, &value.to_le_bytes());
    }

    pub fn receive(&mut self, port: u8, frame: &[u8]) {
        self.nic.wire_receive(&mut self.host, port, frame);
        self.settle();
    }

    pub fn control(&mut self, request: serde_json::Value) -> serde_json::Value {
        self.nic.control(&mut self.host, &request).unwrap().unwrap()
    }

    pub fn reset(&mut self, function: Function) {
        self.write(function, device::CONTROL, control::RESET);
    }
}

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
        device.write(f, device::DRIVER_ABI_MAX, 1 << 16 | 7);
        device.write64(f, device::ADMIN_SQ, self.sq);
        device.write64(f, device::ADMIN_CQ, self.cq);
        device.write64(f, device::EVENT_RING, self.events);
        let depth = u32::from(self.log2) | u32::from(self.event_log2) << 8;
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
        let pass = self.completed >> self.log2 & 1 == 0;
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
        let pass = self.event_index >> self.event_log2 & 1 == 0;
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
}

/// A transmit queue with its completion queue.
pub struct Tx {
    pub function: Function,
    pub id: u16,
    pub log2: u8,
    pub ring: u64,
    pub completions: u64,
    pub producer: u16,
    pub head: u16,
    pub seen: u16,
    pub errors: u64,
    buffers: u64,
    free: u64,
}

const TX_BUFFERS: usize = 4 << 20;

impl Tx {
    /// Makes both with the same id; the completion queue is in slot 0 of the vector.
    pub fn new(
        device: &mut Device,
        driver: &mut Driver,
        vport: u16,
        id: u16,
        vector: u16,
        log2: u8,
    ) -> Self {
        let completions = device.host.allocate(16 << log2);
        let ring = device.host.allocate(16 << log2);
        let create = CqCreate {
            id: 2 * id,
            vector,
            slot: 0,
            log2,
            entry: 16,
            address: completions,
            ..CqCreate::ZERO
        };
        driver.set_ok(device, Opcode::CQ_CREATE, 0, create.to_words());
        let create = TxCreate {
            id,
            cq: 2 * id,
            log2,
            address: ring,
            ..TxCreate::ZERO
        };
        driver.set_ok(device, Opcode::TX_CREATE, vport, create.to_words());
        let buffers = device.host.allocate(TX_BUFFERS);
        Self {
            function: driver.function,
            id,
            log2,
            ring,
            completions,
            producer: 0,
            head: 0,
            seen: 0,
            errors: 0,
            buffers,
            free: 0,
        }
    }

    /// Puts a descriptor into the ring.
    pub fn put(&mut self, device: &mut Device, words: [u64; 2]) {
        let entry = self.producer & ((1 << self.log2) - 1);
        device
            .host
            .put_words(self.ring + u64::from(entry) * 16, &words);
        self.producer = self.producer.wrapping_add(1);
    }

    /// Copies bytes into the queue's memory.
    pub fn copy(&mut self, device: &mut Device, bytes: &[u8]) -> u64 {
        if self.free + bytes.len() as u64 > TX_BUFFERS as u64 {
            self.free = 0;
        }
        let at = self.buffers + self.free;
        self.free += bytes.len() as u64;
        device.host.write(at, bytes);
        at
    }

    /// Queues a packet cut into pieces of the given lengths; the rest is the last piece.
    pub fn queue(
        &mut self,
        device: &mut Device,
        frame: &[u8],
        cuts: &[usize],
        context: Option<TxContext>,
        first: TxData,
    ) {
        if let Some(context) = context {
            let flags = context.flags | tx_flags::CONTEXT;
            self.put(device, TxContext { flags, ..context }.to_words());
        }
        let mut rest = frame;
        let mut template = first;
        let mut lengths: Vec<usize> = cuts.to_vec();
        lengths.push(usize::MAX);
        for cut in lengths {
            let (piece, after) = rest.split_at(cut.min(rest.len()).min(65535));
            rest = after;
            if piece.is_empty() {
                continue;
            }
            let address = self.copy(device, piece);
            let end = if rest.is_empty() {
                tx_flags::END | tx_flags::REPORT
            } else {
                0
            };
            let data = TxData {
                address,
                length: piece.len() as u16,
                flags: template.flags | end,
                ..template
            };
            self.put(device, data.to_words());
            template = TxData::ZERO;
        }
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(65535));
            rest = after;
            let address = self.copy(device, piece);
            let end = if rest.is_empty() {
                tx_flags::END | tx_flags::REPORT
            } else {
                0
            };
            let data = TxData {
                address,
                length: piece.len() as u16,
                flags: end,
                ..TxData::ZERO
            };
            self.put(device, data.to_words());
        }
    }

    pub fn ring(&mut self, device: &mut Device) {
        device.ring(
            self.function,
            DoorbellKind::TX,
            self.id,
            u32::from(self.producer),
        );
        device.settle();
        self.reap(device);
    }

    /// Sends a frame as it is.
    pub fn send(&mut self, device: &mut Device, frame: &[u8]) {
        self.queue(device, frame, &[], None, TxData::ZERO);
        self.ring(device);
    }

    /// Whether there is an entry that was not consumed.
    pub fn pending(&self, device: &Device) -> bool {
        let entry = self.seen & ((1 << self.log2) - 1);
        let words = device
            .host
            .words::<2>(self.completions + u64::from(entry) * 16);
        let flags = TxCompletion::from_words(&words).flags;
        (flags & completion_flags::GENERATION != 0) == (self.seen >> self.log2 & 1 == 0)
    }

    /// Consumes completions.
    pub fn reap(&mut self, device: &mut Device) -> usize {
        let before = self.seen;
        loop {
            let entry = self.seen & ((1 << self.log2) - 1);
            let words = device
                .host
                .words::<2>(self.completions + u64::from(entry) * 16);
            let completion = TxCompletion::from_words(&words);
            let pass = self.seen >> self.log2 & 1 == 0;
            if (completion.flags & completion_flags::GENERATION != 0) != pass {
                return usize::from(self.seen.wrapping_sub(before));
            }
            assert_eq!(completion.queue, self.id);
            let ahead = completion.head.wrapping_sub(self.head);
            assert!(ahead <= self.producer.wrapping_sub(self.head));
            self.head = completion.head;
            self.errors += u64::from(completion.errors);
            self.seen = self.seen.wrapping_add(1);
        }
    }
}

/// A frame as it was received.
#[derive(Clone, Debug)]
pub struct Received {
    pub bytes: Vec<u8>,
    pub last: RxCompletion,
    pub buffers: usize,
}

impl Received {
    pub fn has(&self, flag: u16) -> bool {
        self.last.flags & flag != 0
    }
}

/// A receive queue with its completion queue.
pub struct Rx {
    pub function: Function,
    pub id: u16,
    pub log2: u8,
    pub ring: u64,
    pub completions: u64,
    pub buffers: u64,
    pub length: u16,
    pub producer: u16,
    pub seen: u16,
    pub repost: bool,
    parts: Vec<u8>,
    count: usize,
    outstanding: VecDeque<u16>,
}

impl Rx {
    /// Makes both; the completion queue is in slot 1 of the vector. All buffers are posted.
    pub fn new(
        device: &mut Device,
        driver: &mut Driver,
        vport: u16,
        id: u16,
        vector: u16,
        log2: u8,
        length: u16,
    ) -> Self {
        let completions = device.host.allocate(32 << log2);
        let ring = device.host.allocate(16 << log2);
        let create = CqCreate {
            id: 2 * id + 1,
            vector,
            slot: 1,
            log2,
            entry: 32,
            address: completions,
            ..CqCreate::ZERO
        };
        driver.set_ok(device, Opcode::CQ_CREATE, 0, create.to_words());
        let create = RxCreate {
            id,
            cq: 2 * id + 1,
            log2,
            buffer_length: length,
            address: ring,
            ..RxCreate::ZERO
        };
        driver.set_ok(device, Opcode::RX_CREATE, vport, create.to_words());
        let buffers = device.host.allocate(usize::from(length) << log2);
        let mut rx = Self {
            function: driver.function,
            id,
            log2,
            ring,
            completions,
            buffers,
            length,
            producer: 0,
            seen: 0,
            repost: true,
            parts: Vec::new(),
            count: 0,
            outstanding: VecDeque::new(),
        };
        for buffer in 0..1 << log2 {
            rx.post(device, buffer);
        }
        rx.ring(device);
        rx
    }

    pub fn buffer(&self, buffer: u16) -> u64 {
        self.buffers + u64::from(buffer) * u64::from(self.length)
    }

    pub fn post(&mut self, device: &mut Device, buffer: u16) {
        let descriptor = RxDescriptor {
            address: self.buffer(buffer),
            buffer,
        };
        let entry = self.producer & ((1 << self.log2) - 1);
        device
            .host
            .put_words(self.ring + u64::from(entry) * 16, &descriptor.to_words());
        self.producer = self.producer.wrapping_add(1);
        self.outstanding.push_back(buffer);
    }

    pub fn ring(&mut self, device: &mut Device) {
        device.ring(
            self.function,
            DoorbellKind::RX,
            self.id,
            u32::from(self.producer),
        );
    }

    /// The frames that are there; gives their buffers back.
    pub fn take(&mut self, device: &mut Device) -> Vec<Received> {
        let mut frames = Vec::new();
        loop {
            let entry = self.seen & ((1 << self.log2) - 1);
            let words = device
                .host
                .words::<4>(self.completions + u64::from(entry) * 32);
            let completion = RxCompletion::from_words(&words);
            let pass = self.seen >> self.log2 & 1 == 0;
            if (completion.flags & completion_flags::GENERATION != 0) != pass {
                break;
            }
            self.seen = self.seen.wrapping_add(1);
            assert_eq!(completion.queue, self.id);
            assert_eq!(Some(completion.buffer), self.outstanding.pop_front());
            assert!(completion.length <= self.length);
            let at = self.buffer(completion.buffer);
            self.parts
                .extend(device.host.read(at, usize::from(completion.length)));
            self.count += 1;
            if self.repost {
                self.post(device, completion.buffer);
            }
            if completion.flags & completion_flags::END != 0 {
                let bytes = std::mem::take(&mut self.parts);
                let buffers = std::mem::take(&mut self.count);
                frames.push(Received {
                    bytes,
                    last: completion,
                    buffers,
                });
            } else {
                assert_eq!(
                    completion.length, self.length,
                    "only the last buffer is not full"
                );
                assert_eq!(completion.flags & !completion_flags::GENERATION, 0);
            }
        }
        if self.repost {
            self.ring(device);
        }
        frames
    }

    /// Whether there is an entry that was not consumed.
    pub fn pending(&self, device: &Device) -> bool {
        let entry = self.seen & ((1 << self.log2) - 1);
        let words = device
            .host
            .words::<4>(self.completions + u64::from(entry) * 32);
        let flags = RxCompletion::from_words(&words).flags;
        (flags & completion_flags::GENERATION != 0) == (self.seen >> self.log2 & 1 == 0)
    }

    /// The one frame that is there.
    pub fn one(&mut self, device: &mut Device) -> Received {
        let mut frames = self.take(device);
        assert_eq!(frames.len(), 1);
        frames.remove(0)
    }
}

/// A function that works: driver, one transmit and one receive queue, enabled vport.
pub struct Port {
    pub driver: Driver,
    pub tx: Tx,
    pub rx: Rx,
    pub mac: [u8; 6],
}

impl Port {
    pub fn new(device: &mut Device, function: Function) -> Self {
        let mut driver = Driver::new(device, function);
        let tx = Tx::new(device, &mut driver, 0, 0, 1, 8);
        let rx = Rx::new(device, &mut driver, 0, 0, 1, 8, 2048);
        driver.enable(device, 0);
        let mac = driver.info(device, 0).mac;
        Self {
            driver,
            tx,
            rx,
            mac,
        }
    }

    /// Enables VFs on the bus and in the PF, and brings each up.
    pub fn vfs(device: &mut Device, pf: &mut Driver, count: u16) -> Vec<Self> {
        pf.enable_vfs(device, count);
        (0..count)
            .map(|vf| Self::new(device, Function::Vf(vf)))
            .collect()
    }
}

impl Driver {
    pub fn enable_vfs(&mut self, device: &mut Device, count: u16) {
        let range = oxnic_abi::vf::VfRange { first: 0, count };
        self.set_ok(device, Opcode::VF_ENABLE, 0, range.to_words());
        device.nic.set_vfs_enabled(&mut device.host, count);
        for vf in 0..count {
            device.nic.set_bus_master(Function::Vf(vf), true);
        }
    }

    pub fn info(&mut self, device: &mut Device, vport: u16) -> oxnic_abi::vport::VportInfo {
        let submission = Submission {
            vport,
            ..self.submission(Opcode::VPORT_QUERY)
        };
        let words = self.query(device, submission).unwrap();
        oxnic_abi::vport::VportInfo::from_words(&words)
    }

    pub fn stats(&mut self, device: &mut Device, vport: u16) -> oxnic_abi::stats::VportStats {
        let submission = Submission {
            vport,
            ..self.submission(Opcode::VPORT_STATS)
        };
        let words = self.query(device, submission).unwrap();
        oxnic_abi::stats::VportStats::from_words(&words)
    }

    pub fn port_stats(&mut self, device: &mut Device) -> oxnic_abi::stats::PortStats {
        let submission = self.submission(Opcode::PORT_STATS);
        oxnic_abi::stats::PortStats::from_words(&self.query(device, submission).unwrap())
    }

    pub fn vf_set(&mut self, device: &mut Device, vf: u16, config: oxnic_abi::vf::VfConfig) {
        self.request_ok(device, Opcode::VF_SET, 0, vf + 1, &config.to_words());
    }
}

/// An Ethernet frame with a payload that can be told from others.
pub fn frame(destination: [u8; 6], source: [u8; 6], length: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = destination
        .into_iter()
        .chain(source)
        .chain([0x12, 0x34])
        .collect();
    frame.extend((frame.len()..length.max(14)).map(|i| (i * 7 + length) as u8));
    frame
}

/// The same with a tag behind the addresses.
pub fn tagged(frame: &[u8], tpid: u16, tci: u16) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    out.extend(tpid.to_be_bytes());
    out.extend(tci.to_be_bytes());
    out.extend(&frame[12..]);
    out
}
