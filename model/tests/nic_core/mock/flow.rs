// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A flow queue with its completion queue.

use super::{Device, Driver};
use oxnic_abi::command::{Opcode, Qualifier, Status};
use oxnic_abi::doorbell::DoorbellKind;
use oxnic_abi::flow::completion::FlowCompletion;
use oxnic_abi::flow::queue::{FlowQueueCreate, SLOT_BYTES};
use oxnic_abi::flow::request::{FlowRequest, REQUEST_BODY};
use oxnic_abi::queue::CqCreate;
use oxnic_abi::ring::completion_flags;
use oxnic_model::host::Function;

/// A flow queue with its completion queue.
pub struct FlowQueue {
    pub id: u16,
    pub cq: u16,
    pub log2: u8,
    pub ring: u64,
    pub completions: u64,
    pub producer: u16,
    pub head: u16,
    pub seen: u16,
}

impl FlowQueue {
    /// Makes both; the completion queue is in slot 1 of the vector.
    pub fn new(device: &mut Device, driver: &mut Driver, id: u16, vector: u16, log2: u8) -> Self {
        let completions = device.host.allocate(16 << log2);
        let ring = device.host.allocate(SLOT_BYTES << log2);
        let cq = 100 + id;
        let create = CqCreate {
            id: cq,
            vector,
            slot: 1,
            log2,
            entry: 16,
            address: completions,
            ..CqCreate::ZERO
        };
        driver.set_ok(device, Opcode::CQ_CREATE, 0, create.to_words());
        let create = FlowQueueCreate {
            id,
            cq,
            log2,
            address: ring,
        };
        driver.set_ok(device, Opcode::FLOW_QUEUE_CREATE, 0, create.to_words());
        Self {
            id,
            cq,
            log2,
            ring,
            completions,
            producer: 0,
            head: 0,
            seen: 0,
        }
    }

    /// The bytes of a request, with lengths and slots filled in.
    pub fn bytes(request: FlowRequest, key: &[u8], arguments: &[u8]) -> Vec<u8> {
        let start = (REQUEST_BODY + key.len()).next_multiple_of(4);
        let length = (start + arguments.len()).next_multiple_of(SLOT_BYTES);
        let request = FlowRequest {
            slots: (length / SLOT_BYTES) as u8,
            key_length: key.len() as u16,
            arguments_length: arguments.len() as u16,
            ..request
        };
        let words = request.to_words();
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(key);
        bytes.resize(start, 0);
        bytes.extend(arguments);
        bytes.resize(length, 0);
        bytes
    }

    /// Puts the slots of a request into the ring.
    pub fn put(&mut self, device: &mut Device, bytes: &[u8]) {
        for slot in bytes.chunks(SLOT_BYTES) {
            let entry = self.producer & ((1 << self.log2) - 1);
            let at = self.ring + u64::from(entry) * SLOT_BYTES as u64;
            device.host.write(at, slot);
            self.producer = self.producer.wrapping_add(1);
        }
    }

    /// Tells the device of all that was put.
    pub fn ring(&self, device: &mut Device) {
        let index = u32::from(self.producer);
        device.ring(Function::Pf, DoorbellKind::FLOW, self.id, index);
        device.settle();
    }

    /// The next result, if it is there.
    pub fn result(&mut self, device: &Device) -> Option<FlowCompletion> {
        let entry = self.seen & ((1 << self.log2) - 1);
        let words = device
            .host
            .words::<2>(self.completions + u64::from(entry) * 16);
        let result = FlowCompletion::from_words(&words);
        let pass = (self.seen >> self.log2) & 1 == 0;
        if (result.flags & completion_flags::GENERATION != 0) != pass {
            return None;
        }
        self.seen = self.seen.wrapping_add(1);
        assert_eq!(result.queue, self.id);
        assert!(result.head.wrapping_sub(self.head) <= self.producer.wrapping_sub(self.head));
        self.head = result.head;
        Some(result)
    }

    /// Puts a request as it is, and answers its result.
    pub fn raw(&mut self, device: &mut Device, bytes: &[u8]) -> (Status, Qualifier, u16) {
        self.put(device, bytes);
        self.ring(device);
        let result = self.result(device).expect("no result");
        assert_eq!(result.head, self.producer);
        (result.status, result.qualifier, result.offset)
    }

    /// Puts a request, and answers its result.
    pub fn run(
        &mut self,
        device: &mut Device,
        request: FlowRequest,
        key: &[u8],
        arguments: &[u8],
    ) -> (Status, Qualifier, u16) {
        self.raw(device, &Self::bytes(request, key, arguments))
    }
}
