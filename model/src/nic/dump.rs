// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Core dumps: what the device knows of a function, kept when it halts and made when its driver asks; and the lines that the
//! device notes about a function for that.
//!
//! Functions of [`Nic`], which owns all that is read. [`Record`] belongs to its function and outlives resets of it.

use super::Nic;
use super::ids::{FunctionId, VportId};
use super::registers;
use crate::host::Host;
use oxnic_abi::dump::{
    DUMP_MAGIC, DUMP_MAX, DUMP_PIECE_MAX, DumpHeader, DumpLine, DumpObject, DumpQueue,
    DumpQueueKind, DumpRegister, DumpTrigger, DumpVector, LINE_LENGTH, SectionHeader, SectionKind,
    dump_queue_flags, dump_vector_flags,
};
use oxnic_abi::flow::info::FlowObject;
use oxnic_abi::regs::{DumpAction, DumpResult};
use std::collections::VecDeque;

/// Lines that are kept of a function.
const LINES: usize = 32;

/// What is kept of a function for its operator and its driver.
#[derive(Clone, Debug, Default)]
pub struct Record {
    lines: VecDeque<DumpLine>,
    dump: Vec<u64>,
}

impl Record {
    fn note(&mut self, time: u64, text: &str) {
        let mut line = DumpLine {
            time,
            ..DumpLine::ZERO
        };
        for (place, byte) in line.text.iter_mut().zip(text.bytes()) {
            *place = if byte.is_ascii_graphic() { byte } else { b' ' };
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// Sections of a dump as they are put together.
#[derive(Default)]
struct Sections {
    count: u16,
    words: Vec<u64>,
}

impl Sections {
    fn add<const N: usize>(&mut self, kind: SectionKind, entries: impl Iterator<Item = [u64; N]>) {
        let words: Vec<u64> = entries.flatten().collect();
        let header = SectionHeader {
            kind,
            entry: (N * 8) as u16,
            count: (words.len() / N) as u32,
        };
        self.count += 1;
        self.words.extend(header.to_words());
        self.words.extend(words);
    }
}

fn there<T>(list: &[Option<T>]) -> impl Iterator<Item = (u16, &T)> {
    (0..)
        .zip(list)
        .filter_map(|(id, item)| Some((id, item.as_ref()?)))
}

fn stopped(stopped: bool) -> u8 {
    if stopped {
        dump_queue_flags::STOPPED
    } else {
        0
    }
}

impl Nic {
    /// Milliseconds since the device started.
    fn milliseconds(&self) -> u64 {
        self.now.saturating_sub(self.started.unwrap_or(self.now)) / 1_000_000
    }

    /// Notes a line about a function, cut to what a line holds.
    pub(super) fn note_line(&mut self, function: FunctionId, text: &str) {
        debug_assert!(text.len() <= LINE_LENGTH as usize, "{text}");
        let now = self.milliseconds();
        self.state_mut(function).record.note(now, text);
    }

    /// Makes a dump of a function as it is now, in place of the one that is held.
    pub(super) fn make_dump(&mut self, function: FunctionId, trigger: DumpTrigger) {
        let view = self.view(function);
        let state = self.state(function);
        let registers = &state.registers;
        let mut sections = Sections::default();
        let words = (0..registers::END).step_by(4).filter_map(|offset| {
            let value = registers.read(&view, offset);
            (value != 0).then(|| DumpRegister { offset, value }.to_words())
        });
        sections.add(SectionKind::REGISTERS, words);
        sections.add(SectionKind::QUEUES, self.dump_queues(function).into_iter());
        let vectors = (0..).zip(&state.vectors);
        let used = vectors.filter(|(_, vector)| vector.slots.iter().any(Option::is_some));
        let vectors = used.map(|(number, vector)| {
            let flags = if vector.armed {
                dump_vector_flags::ARMED
            } else {
                0
            };
            DumpVector {
                vector: number,
                flags,
            }
            .to_words()
        });
        sections.add(SectionKind::VECTORS, vectors);
        if function.is_pf() {
            let objects = FlowObject::ALL.iter().filter_map(|kind| {
                let used = self.flow.usage(*kind)?.used.into();
                Some(DumpObject { kind: *kind, used }.to_words())
            });
            sections.add(SectionKind::OBJECTS, objects);
        }
        let lines = state.record.lines.iter().map(DumpLine::to_words);
        sections.add(SectionKind::LOG, lines);
        let number = match registers.dump.number.wrapping_add(1) {
            0 | u32::MAX => 1,
            next => next,
        };
        let length = (DumpHeader::WORDS + sections.words.len()) * 8;
        let header = DumpHeader {
            magic: DUMP_MAGIC,
            length: length as u32,
            time: self.milliseconds(),
            number,
            generation: registers.generation,
            status: registers.status,
            reason: registers.reason,
            heartbeat: registers.heartbeat(&view),
            sections: sections.count,
            trigger,
        };
        debug_assert!(length <= DUMP_MAX as usize);
        let state = self.state_mut(function);
        state.record.dump = header
            .to_words()
            .into_iter()
            .chain(sections.words)
            .collect();
        state.registers.dump.number = number;
        state.registers.dump.size = length as u32;
    }

    fn dump_queues(&self, function: FunctionId) -> Vec<[u64; DumpQueue::WORDS]> {
        let state = self.state(function);
        let number = |id: VportId| self.vport(id).number;
        let completion = there(&state.cqs).map(|(id, cq)| DumpQueue {
            kind: DumpQueueKind::COMPLETION,
            id,
            target: cq.vector,
            producer: cq.producer(),
            ..DumpQueue::ZERO
        });
        let transmit = there(&state.tx).map(|(id, tx)| DumpQueue {
            kind: DumpQueueKind::TRANSMIT,
            flags: stopped(tx.stopped),
            id,
            target: tx.cq,
            vport: number(tx.vport),
            producer: tx.ring.producer(),
            consumer: tx.ring.consumer(),
            done: tx.stats.frames,
            failed: tx.stats.drops,
        });
        let receive = there(&state.rx).map(|(id, rx)| DumpQueue {
            kind: DumpQueueKind::RECEIVE,
            flags: stopped(rx.stopped),
            id,
            target: rx.cq,
            vport: number(rx.vport),
            producer: rx.ring.producer(),
            consumer: rx.ring.consumer(),
            done: rx.stats.frames,
            failed: rx.stats.drops,
        });
        let own = if function.is_pf() {
            &self.flow_queues[..]
        } else {
            &[]
        };
        let flow = there(own).map(|(id, queue)| DumpQueue {
            kind: DumpQueueKind::FLOW,
            flags: stopped(queue.stopped),
            id,
            target: queue.cq,
            vport: 0,
            producer: queue.ring.producer(),
            consumer: queue.ring.consumer(),
            done: queue.done,
            failed: queue.refused,
        });
        let all = completion.chain(transmit).chain(receive).chain(flow);
        all.map(|queue| queue.to_words()).collect()
    }

    /// Does what the driver asks of its dump.
    pub(super) fn dump_action(&mut self, host: &mut dyn Host, function: FunctionId, action: u32) {
        let result = match DumpAction(action) {
            DumpAction::MAKE => {
                self.make_dump(function, DumpTrigger::REQUEST);
                DumpResult::DONE
            }
            DumpAction::READ => self.read_dump(host, function),
            DumpAction::DROP => {
                let state = self.state_mut(function);
                state.record.dump = Vec::new();
                state.registers.dump.size = 0;
                DumpResult::DONE
            }
            _ => DumpResult::BAD,
        };
        self.state_mut(function).registers.dump.result = result;
    }

    fn read_dump(&self, host: &mut dyn Host, function: FunctionId) -> DumpResult {
        let state = self.state(function);
        let (request, dump) = (&state.registers.dump, &state.record.dump);
        let good = (8..=DUMP_PIECE_MAX).contains(&request.length)
            && [
                request.address,
                request.length.into(),
                request.offset.into(),
            ]
            .iter()
            .all(|value| value % 8 == 0);
        if !good {
            return DumpResult::BAD;
        }
        if dump.is_empty() {
            return DumpResult::MISSING;
        }
        let words = dump.iter().copied().skip((request.offset / 8) as usize);
        let bytes: Vec<u8> = words
            .chain(std::iter::repeat(0))
            .take((request.length / 8) as usize)
            .flat_map(u64::to_le_bytes)
            .collect();
        let written = state.bus_master
            && host
                .dma_write(function.bus(), request.address, &bytes)
                .is_ok();
        if written {
            DumpResult::DONE
        } else {
            DumpResult::DMA
        }
    }
}
