// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Transmit rings: reading descriptors and putting packets together.
//!
//! A [`TxQueue`] belongs to its function. What a packet's descriptors say is checked here; what becomes of the packet is
//! decided in [`super::transmit`].

use super::cut::Cut;
use super::frame::{CTAG, STAG, Tag};
use super::ids::VportId;
use super::limits;
use super::ring::Ring;
use oxnic_abi::event::QueueError;
use oxnic_abi::queue::TxCreate;
use oxnic_abi::ring::{TxContext, TxData, tx_flags};
use oxnic_abi::stats::QueueStats;

/// Bytes of a descriptor.
pub const DESCRIPTOR: usize = TxData::BYTES;

/// A transmit queue.
#[derive(Clone, Debug)]
pub struct TxQueue {
    /// Vport that it sends from.
    pub vport: VportId,
    /// Completion ring.
    pub cq: u16,
    /// Its descriptors.
    pub ring: Ring<DESCRIPTOR>,
    /// It stopped after an error.
    pub stopped: bool,
    /// It is on the list of queues that have work.
    pub listed: bool,
    /// The packet at the consumer index, where some of its segments were sent.
    pub cut: Option<Box<Cut>>,
    /// Packets refused since the last completion.
    pub errors: u16,
    /// Since it was created.
    pub stats: QueueStats,
}

impl TxQueue {
    /// From a command that was checked.
    pub fn new(create: &TxCreate, vport: VportId) -> Self {
        Self {
            vport,
            cq: create.cq,
            ring: Ring::new(create.log2, create.address),
            stopped: false,
            listed: false,
            cut: None,
            errors: 0,
            stats: QueueStats::ZERO,
        }
    }
}

/// A stretch of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bus address.
    pub address: u64,
    /// Bytes.
    pub length: u16,
}

/// The descriptors of one packet, as they were checked.
#[derive(Clone, Debug)]
pub struct TxPacket {
    /// Context descriptor; all zero where there is none.
    pub context: TxContext,
    /// First data descriptor.
    pub first: TxData,
    /// Where the packet is.
    pub pieces: Vec<Piece>,
    /// Length in bytes.
    pub length: usize,
    /// A completion is asked for.
    pub report: bool,
    /// Descriptors that it takes.
    pub descriptors: u16,
}

impl Default for TxPacket {
    fn default() -> Self {
        Self {
            context: TxContext::ZERO,
            first: TxData::ZERO,
            pieces: Vec::new(),
            length: 0,
            report: false,
            descriptors: 0,
        }
    }
}

impl TxPacket {
    /// Takes a packet's descriptors from the front of `descriptors`. False if its end is not there yet.
    ///
    /// # Errors
    /// They break the rules.
    pub fn take(&mut self, descriptors: &[[u64; 2]]) -> Result<bool, QueueError> {
        self.pieces.clear();
        self.length = 0;
        self.context = TxContext::ZERO;
        let mut rest = descriptors.iter();
        match descriptors.first() {
            Some(words) if TxContext::from_words(words).flags & tx_flags::CONTEXT != 0 => {
                self.context = context(words)?;
                rest.next();
            }
            _ => {}
        }
        for words in rest {
            let data = data(words, self.pieces.is_empty())?;
            if self.pieces.is_empty() {
                self.first = data;
            }
            if self.pieces.len() == usize::from(limits::TX_FRAGMENTS) {
                return Err(QueueError::DESCRIPTOR);
            }
            self.pieces.push(Piece {
                address: data.address,
                length: data.length,
            });
            self.length += usize::from(data.length);
            if data.flags & tx_flags::END != 0 {
                self.report = data.flags & tx_flags::REPORT != 0;
                let context = u16::from(self.context.flags != 0);
                self.descriptors = self.pieces.len() as u16 + context;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether it is to be told when it leaves.
    pub fn is_stamped(&self) -> bool {
        self.first.flags & tx_flags::TIMESTAMP != 0
    }

    /// Where `length` bytes of it are, from byte `from` on.
    pub fn stretch(&self, from: usize, length: usize) -> impl Iterator<Item = Piece> + '_ {
        let (mut skip, mut left) = (from, length);
        self.pieces.iter().filter_map(move |piece| {
            let skipped = skip.min(piece.length.into());
            skip -= skipped;
            let taken = left.min(usize::from(piece.length) - skipped);
            left -= taken;
            (taken != 0).then(|| Piece {
                address: piece.address.wrapping_add(skipped as u64),
                length: taken as u16,
            })
        })
    }

    /// The tag that is to be put into each of its frames.
    pub fn tag(&self) -> Option<Tag> {
        let has = |flag| self.first.flags & flag != 0;
        has(tx_flags::VLAN).then(|| Tag {
            tpid: if has(tx_flags::VLAN_STAG) { STAG } else { CTAG },
            tci: self.first.vlan,
        })
    }

    /// Whether it is to be cut into segments.
    pub fn is_segmented(&self) -> bool {
        self.context.flags & (tx_flags::TSO | tx_flags::USO) != 0
    }
}

fn context(words: &[u64; 2]) -> Result<TxContext, QueueError> {
    let context = TxContext::from_words(words);
    let has = |flag| context.flags & flag != 0;
    let segmented = has(tx_flags::TSO) || has(tx_flags::USO);
    let wrong = TxContext::reserved_bits(words).is_some()
        || context.flags & !tx_flags::CONTEXT_ALL != 0
        || has(tx_flags::TSO) && has(tx_flags::USO)
        || has(tx_flags::FIXED_ID) && !has(tx_flags::TSO)
        || segmented && !(1..=limits::MSS_MAX).contains(&context.mss);
    if wrong {
        Err(QueueError::DESCRIPTOR)
    } else {
        Ok(context)
    }
}

fn data(words: &[u64; 2], first: bool) -> Result<TxData, QueueError> {
    let data = TxData::from_words(words);
    let has = |flag| data.flags & flag != 0;
    let only_first = tx_flags::VLAN | tx_flags::CSUM | tx_flags::VLAN_STAG | tx_flags::TIMESTAMP;
    let wrong = data.flags & !tx_flags::DATA_ALL != 0
        || data.length == 0
        || has(tx_flags::REPORT) && !has(tx_flags::END)
        || has(tx_flags::VLAN_STAG) && !has(tx_flags::VLAN)
        || !first && has(only_first);
    if wrong {
        Err(QueueError::DESCRIPTOR)
    } else {
        Ok(data)
    }
}
