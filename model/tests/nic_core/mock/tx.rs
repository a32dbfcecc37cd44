// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A transmit queue with its completion queue.

use super::{Device, Driver};
use oxnic_abi::command::Opcode;
use oxnic_abi::doorbell::DoorbellKind;
use oxnic_abi::queue::{CqCreate, TxCreate};
use oxnic_abi::ring::{TxCompletion, TxContext, TxData, completion_flags, tx_flags};
use oxnic_model::host::Function;

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
    /// `head` and `timestamp` of completions of packets that asked for a stamp.
    pub stamps: Vec<(u16, u64)>,
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
            stamps: Vec::new(),
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
        (flags & completion_flags::GENERATION != 0) == ((self.seen >> self.log2) & 1 == 0)
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
            let pass = (self.seen >> self.log2) & 1 == 0;
            if (completion.flags & completion_flags::GENERATION != 0) != pass {
                return usize::from(self.seen.wrapping_sub(before));
            }
            assert_eq!(completion.queue, self.id);
            let ahead = completion.head.wrapping_sub(self.head);
            assert!(ahead <= self.producer.wrapping_sub(self.head));
            self.head = completion.head;
            self.errors += u64::from(completion.errors);
            if completion.flags & completion_flags::TIMESTAMP != 0 {
                self.stamps.push((completion.head, completion.timestamp));
            } else {
                assert_eq!(completion.timestamp, 0);
            }
            self.seen = self.seen.wrapping_add(1);
        }
    }
}
