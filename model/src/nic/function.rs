// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What a function owns: registers, control rings, queues and vectors.
//!
//! The device keeps one for the PF and one for each VF that there may be, whether it exists at present or not.

use super::admin::AdminQueue;
use super::cq::{Cq, Vector};
use super::dump::Record;
use super::event::EventRing;
use super::ids::FunctionId;
use super::limits::Shares;
use super::registers::Registers;
use super::rx::RxQueue;
use super::tx::TxQueue;

/// A function.
pub struct FunctionState {
    /// Which.
    pub id: FunctionId,
    /// How much it may have.
    pub shares: Shares,
    /// It is on the bus.
    pub exists: bool,
    /// It may master the bus.
    pub bus_master: bool,
    /// It may master the bus again, and was not told yet what it has missed.
    pub returned: bool,
    /// Registers.
    pub registers: Registers,
    /// What is kept for dumps.
    pub record: Record,
    /// It comes up no more: it halts at each handshake, until its operator mends it.
    pub broken: bool,
    /// Admin queue, after the handshake.
    pub admin: Option<AdminQueue>,
    /// Event ring, after the handshake.
    pub events: Option<EventRing>,
    /// Of a PF: events that VFs cause wait for room.
    pub others_wait: bool,
    /// Of a VF: what the PF's driver knows of it, that it has a driver or has none.
    pub active_told: bool,
    /// Vectors, the first of which is for commands and events.
    pub vectors: Vec<Vector>,
    /// Completion rings.
    pub cqs: Vec<Option<Cq>>,
    /// Transmit queues.
    pub tx: Vec<Option<TxQueue>>,
    /// Receive queues.
    pub rx: Vec<Option<RxQueue>>,
    /// Vector 0 is to be raised.
    pub raise: bool,
    /// Vector 0 is to be raised once since the function halted.
    pub raise_halted: bool,
    /// Doorbells that named nothing.
    pub stray_doorbells: u64,
    /// Writes to registers that were no aligned words.
    pub stray_writes: u64,
    /// Commands that were refused.
    pub refused_commands: u64,
}

impl FunctionState {
    /// A function as after power-on.
    pub fn new(id: FunctionId, shares: Shares, vectors: u16) -> Self {
        Self {
            id,
            shares,
            exists: id.is_pf(),
            bus_master: false,
            returned: false,
            registers: Registers::default(),
            record: Record::default(),
            broken: false,
            admin: None,
            events: None,
            others_wait: false,
            active_told: false,
            vectors: vec![Vector::default(); usize::from(vectors)],
            cqs: none(shares.completion_queues()),
            tx: none(shares.queues),
            rx: none(shares.queues),
            raise: false,
            raise_halted: false,
            stray_doorbells: 0,
            stray_writes: 0,
            refused_commands: 0,
        }
    }

    /// Number of vectors.
    pub fn vector_count(&self) -> u16 {
        self.vectors.len() as u16
    }

    /// Whether a driver works it and DMA may pass.
    pub fn works(&self) -> bool {
        self.exists && self.bus_master && self.registers.accepted() && !self.registers.hung
    }

    /// All objects go.
    pub fn clear(&mut self) {
        self.admin = None;
        self.events = None;
        self.others_wait = false;
        self.vectors.fill(Vector::default());
        self.cqs.fill(None);
        self.tx.fill(None);
        self.rx.fill(None);
        self.raise = false;
        self.raise_halted = false;
    }
}

fn none<T: Clone>(count: u16) -> Vec<Option<T>> {
    vec![None; usize::from(count)]
}
