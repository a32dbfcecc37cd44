// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A receive queue with its completion queue and buffers.

use super::{Device, Driver};
use oxnic_abi::command::Opcode;
use oxnic_abi::doorbell::DoorbellKind;
use oxnic_abi::queue::{CqCreate, RxCreate};
use oxnic_abi::ring::{RxCompletion, RxDescriptor, completion_flags};
use oxnic_model::host::Function;
use std::collections::VecDeque;

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
            let pass = (self.seen >> self.log2) & 1 == 0;
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
        (flags & completion_flags::GENERATION != 0) == ((self.seen >> self.log2) & 1 == 0)
    }

    /// The one frame that is there.
    pub fn one(&mut self, device: &mut Device) -> Received {
        let mut frames = self.take(device);
        assert_eq!(frames.len(), 1);
        frames.remove(0)
    }
}
