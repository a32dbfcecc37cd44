// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The input is descriptors, doorbells and frames, on a vport with one queue of each kind.

use crate::host::{Bench, MEMORY_START};
use arbitrary::{Arbitrary, Unstructured};
use oxnic_abi::command::{Opcode, Submission};
use oxnic_abi::doorbell::DoorbellKind;
use oxnic_abi::queue::{CqCreate, RxCreate, TxCreate};
use oxnic_abi::ring::tx_flags;
use oxnic_abi::vport::{VportConfig, vport_fields, vport_flags};
use oxnic_model::host::{Function, NicCore};

const TX_RING: u64 = MEMORY_START + 0x1_0000;
const RX_RING: u64 = MEMORY_START + 0x1_1000;
const CQ_TX: u64 = MEMORY_START + 0x1_2000;
const CQ_RX: u64 = MEMORY_START + 0x1_4000;
const BUFFERS: u64 = MEMORY_START + 0x2_0000;
const LOG2: u8 = 6;
const MASK: u64 = (1 << LOG2) - 1;

#[derive(Arbitrary, Debug)]
enum Step {
    /// A descriptor as it is.
    Raw {
        words: [u64; 2],
    },
    /// A data descriptor whose address is memory.
    Data {
        at: u16,
        length: u16,
        flags: u8,
        csum: u16,
    },
    /// A context descriptor.
    Context {
        mss: u16,
        l3: u8,
        l4: u8,
        header: u16,
        flags: u16,
    },
    /// A receive buffer.
    Buffer {
        at: u16,
        id: u8,
    },
    /// Bytes of memory that descriptors point to.
    Memory {
        at: u16,
        data: Vec<u8>,
    },
    RingTx,
    RingRx,
    Arm {
        index: u16,
    },
    Doorbell {
        value: u64,
    },
    Frame {
        port: bool,
        data: Vec<u8>,
    },
    Wait(u16),
}

/// The driver of the queues.
pub struct Driver {
    /// Core and host.
    pub bench: Bench,
    tx: u64,
    rx: u64,
}

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut driver = Driver::new();
    while let Ok(step) = Step::arbitrary(&mut input) {
        driver.perform(step);
        if input.is_empty() {
            break;
        }
    }
    driver.ring(DoorbellKind::TX, driver.tx);
    driver.bench.wait(1_000_000_000);
}

impl Driver {
    /// Queues that work, on a vport that takes every frame.
    pub fn new() -> Self {
        let mut bench = Bench::new();
        create_queues(&mut bench);
        Driver {
            bench,
            tx: 0,
            rx: 0,
        }
    }

    /// Sends a frame.
    pub fn send(&mut self, frame: &[u8]) {
        self.bench.host.put(BUFFERS, frame);
        let flags = u64::from(tx_flags::END | tx_flags::REPORT);
        self.descriptor([BUFFERS, frame.len() as u64 | (flags << 16)]);
        self.ring(DoorbellKind::TX, self.tx);
    }

    /// Gives the device a buffer.
    pub fn offer_buffer(&mut self) {
        self.perform(Step::Buffer { at: 0x1000, id: 0 });
        self.ring(DoorbellKind::RX, self.rx);
    }

    /// A frame arrives on wire port 0.
    pub fn arrive(&mut self, frame: &[u8]) {
        let data = frame.to_vec();
        self.perform(Step::Frame { port: false, data });
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Raw { words } => self.descriptor(words),
            Step::Data {
                at,
                length,
                flags,
                csum,
            } => {
                let address = BUFFERS + u64::from(at);
                let flags = u64::from(flags & !1);
                let word = u64::from(length) | (flags << 16) | (u64::from(csum) << 48);
                self.descriptor([address, word]);
            }
            Step::Context {
                mss,
                l3,
                l4,
                header,
                flags,
            } => {
                let first = (u64::from(mss) << 32) | (u64::from(l3) << 48) | (u64::from(l4) << 56);
                let second = u64::from(header) | (u64::from(flags | 1) << 16);
                self.descriptor([first, second]);
            }
            Step::Buffer { at, id } => {
                let place = RX_RING + (self.rx & MASK) * 16;
                self.rx += 1;
                let words = [BUFFERS + u64::from(at), u64::from(id)];
                self.put(place, words);
            }
            Step::Memory { at, data } => self.bench.host.put(BUFFERS + u64::from(at), &data),
            Step::RingTx => self.ring(DoorbellKind::TX, self.tx),
            Step::RingRx => self.ring(DoorbellKind::RX, self.rx),
            Step::Arm { index } => {
                self.bench
                    .doorbell(Function::Pf, DoorbellKind::ARM, 1, u32::from(index));
                self.bench.run();
            }
            Step::Doorbell { value } => {
                let bytes = value.to_le_bytes();
                let Bench { nic, host, .. } = &mut self.bench;
                nic.doorbell_write(host, Function::Pf, 0, &bytes);
                self.bench.run();
            }
            Step::Frame { port, data } => {
                let Bench { nic, host, .. } = &mut self.bench;
                nic.wire_receive(host, u8::from(port), &data);
                self.bench.run();
            }
            Step::Wait(time) => self.bench.wait(u64::from(time)),
        }
    }

    fn descriptor(&mut self, words: [u64; 2]) {
        let place = TX_RING + (self.tx & MASK) * 16;
        self.tx += 1;
        self.put(place, words);
    }

    fn put(&mut self, place: u64, words: [u64; 2]) {
        for (index, word) in words.iter().enumerate() {
            self.bench
                .host
                .put(place + 8 * index as u64, &word.to_le_bytes());
        }
    }

    fn ring(&mut self, kind: DoorbellKind, index: u64) {
        self.bench
            .doorbell(Function::Pf, kind, 0, index as u32 & 0xFFFF);
        self.bench.run();
    }
}

fn create_queues(bench: &mut Bench) {
    let cq = |id, entry, address| CqCreate {
        id,
        vector: 1,
        slot: id as u8,
        log2: LOG2,
        entry,
        address,
        ..CqCreate::ZERO
    };
    create(bench, Opcode::CQ_CREATE, &cq(0, 16, CQ_TX).to_words());
    create(bench, Opcode::CQ_CREATE, &cq(1, 32, CQ_RX).to_words());
    let tx = TxCreate {
        id: 0,
        cq: 0,
        log2: LOG2,
        address: TX_RING,
        ..TxCreate::ZERO
    };
    create(bench, Opcode::TX_CREATE, &tx.to_words());
    let rx = RxCreate {
        id: 0,
        cq: 1,
        log2: LOG2,
        buffer_length: 2048,
        address: RX_RING,
        ..RxCreate::ZERO
    };
    create(bench, Opcode::RX_CREATE, &rx.to_words());
    let flags = vport_flags::ENABLED | vport_flags::PROMISCUOUS | vport_flags::BROADCAST;
    let vport = VportConfig {
        fields: vport_fields::FLAGS,
        flags,
        flags_mask: flags,
        ..VportConfig::ZERO
    };
    create(bench, Opcode::VPORT_SET, &vport.to_words());
}

impl Default for Driver {
    fn default() -> Self {
        Self::new()
    }
}

fn create(bench: &mut Bench, opcode: Opcode, parameters: &[u64; 5]) {
    let submission = Submission {
        opcode,
        id: (opcode.0 << 8) | (parameters[0] as u16 & 0xFF),
        parameters: *parameters,
        ..Submission::ZERO
    };
    let bytes: Vec<u8> = submission
        .to_words()
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    bench.submit(Function::Pf, &bytes);
}
