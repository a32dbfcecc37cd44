// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Chaos on purpose: operations that fail, and answers that lie, to try a driver's handling and its distrust.
//!
//! The device owns one [`Chaos`]. Its grammar is parsed here and nowhere else:
//!
//! ```text
//! spec     = item *("," item)
//! item     = "nic.off" | "nic.seed=" number | "nic.status=" number | "nic." fault "=" schedule
//! schedule = K        the K-th time from now, once (from 1)
//!          | K "+"    the K-th time and always after it
//!          | "*" K    each K-th time
//! ```
//!
//! `nic.status` is the status of what fails from then on, EIO (5) at first. Faults are those of [`Fault::ALL`]. A specification replaces the one before; "off" and an empty one end all faults.

use oxnic_abi::command::{Completion, Qualifier, Status};
use oxnic_abi::flow::completion::FlowCompletion;
use oxnic_abi::ring::{RxCompletion, TxCompletion, completion_flags};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A command fails with EIO, injected.
    FailCommand,
    /// Making an object fails with ENOSPC, injected.
    FailAllocation,
    /// Reading a packet's memory faults.
    FailDma,
    /// A command gets no answer.
    CommandSilent,
    /// A command is answered twice.
    CommandTwice,
    /// A command's answer names another id.
    CommandId,
    /// A command's answer has a status that nobody knows.
    CommandStatus,
    /// A command's answer has the wrong generation bit.
    CommandGeneration,
    /// A transmit completion is not written.
    TxSilent,
    /// A transmit completion is written twice.
    TxTwice,
    /// A transmit completion names a random index.
    TxHead,
    /// A transmit completion names a random queue.
    TxQueue,
    /// A transmit completion has the wrong generation bit.
    TxGeneration,
    /// A request about a rule is refused with EIO, injected.
    FailRequest,
    /// A request that changes a rule is refused with EIO, injected.
    FailUpdate,
    /// A flow queue rests for a while, so that the result of a request is late.
    FlowLate,
    /// A result of a flow queue is not written.
    FlowSilent,
    /// A result of a flow queue is written twice.
    FlowTwice,
    /// A result of a flow queue names a random index.
    FlowHead,
    /// A result of a flow queue names a random queue.
    FlowQueue,
    /// A result of a flow queue names a random rule.
    FlowObject,
    /// A result of a flow queue has a status that nobody knows.
    FlowStatus,
    /// A result of a flow queue has the wrong generation bit.
    FlowGeneration,
    /// A transmit completion has a time stamp, random, and none where one was asked for.
    TxStamp,
    /// A receive completion is not written.
    RxSilent,
    /// A receive completion is written twice.
    RxTwice,
    /// A receive completion names a random buffer.
    RxBuffer,
    /// A receive completion has a random length.
    RxLength,
    /// A receive completion names a random queue.
    RxQueue,
    /// A receive completion lacks END, or has it too early.
    RxEnd,
    /// A receive completion has random flags and kind.
    RxFlags,
    /// A receive completion has the wrong generation bit.
    RxGeneration,
    /// An event is random.
    EventRandom,
    /// An interrupt is not raised.
    InterruptLost,
    /// A register reads as all ones.
    RegisterOnes,
    /// The clock's capability says that not all frames can be stamped.
    ClockFilters,
    /// A block of firmware cannot be written to flash, and the update is over.
    FirmwareWrite,
    /// A bit of a block of firmware flips on its way to flash.
    FirmwareCorrupt,
}

impl Fault {
    /// Every fault and its name in a specification.
    pub const ALL: [(Fault, &'static str); 38] = [
        (Fault::FailCommand, "fail-command"),
        (Fault::FailAllocation, "fail-allocation"),
        (Fault::FailDma, "fail-dma"),
        (Fault::CommandSilent, "command-silent"),
        (Fault::CommandTwice, "command-twice"),
        (Fault::CommandId, "command-id"),
        (Fault::CommandStatus, "command-status"),
        (Fault::CommandGeneration, "command-generation"),
        (Fault::TxSilent, "tx-silent"),
        (Fault::TxTwice, "tx-twice"),
        (Fault::TxHead, "tx-head"),
        (Fault::TxQueue, "tx-queue"),
        (Fault::TxGeneration, "tx-generation"),
        (Fault::TxStamp, "tx-stamp"),
        (Fault::RxSilent, "rx-silent"),
        (Fault::RxTwice, "rx-twice"),
        (Fault::RxBuffer, "rx-buffer"),
        (Fault::RxLength, "rx-length"),
        (Fault::RxQueue, "rx-queue"),
        (Fault::RxEnd, "rx-end"),
        (Fault::RxFlags, "rx-flags"),
        (Fault::RxGeneration, "rx-generation"),
        (Fault::FailRequest, "fail-request"),
        (Fault::FailUpdate, "fail-update"),
        (Fault::FlowLate, "flow-late"),
        (Fault::FlowSilent, "flow-silent"),
        (Fault::FlowTwice, "flow-twice"),
        (Fault::FlowHead, "flow-head"),
        (Fault::FlowQueue, "flow-queue"),
        (Fault::FlowObject, "flow-object"),
        (Fault::FlowStatus, "flow-status"),
        (Fault::FlowGeneration, "flow-generation"),
        (Fault::EventRandom, "event-random"),
        (Fault::InterruptLost, "interrupt-lost"),
        (Fault::RegisterOnes, "register-ones"),
        (Fault::ClockFilters, "clock-filters"),
        (Fault::FirmwareWrite, "firmware-write"),
        (Fault::FirmwareCorrupt, "firmware-corrupt"),
    ];
}

/// When a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schedule {
    Once(u64),
    From(u64),
    Each(u64),
}

impl Schedule {
    fn parse(text: &str) -> Option<Self> {
        let (make, number): (fn(u64) -> Self, _) =
            match (text.strip_prefix('*'), text.strip_suffix('+')) {
                (Some(number), _) => (Self::Each, number),
                (_, Some(number)) => (Self::From, number),
                _ => (Self::Once, text),
            };
        number.parse().ok().filter(|number| *number > 0).map(make)
    }

    fn is_due(self, count: u64) -> bool {
        match self {
            Self::Once(at) => count == at,
            Self::From(at) => count >= at,
            Self::Each(each) => count % each == 0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Item {
    fault: Fault,
    schedule: Schedule,
    count: u64,
}

/// The faults that are set.
#[derive(Clone, Debug)]
pub struct Chaos {
    items: Vec<Item>,
    status: Status,
    random: u64,
    hits: u64,
}

impl Default for Chaos {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            status: Status::EIO,
            random: 0x9e37_79b9_7f4a_7c15,
            hits: 0,
        }
    }
}

impl Chaos {
    /// Takes a specification in place of what was set before; all of it or, if something in it is wrong, nothing.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    pub fn set(&mut self, spec: &str) -> Result<(), String> {
        let mut new = Self {
            items: Vec::new(),
            ..self.clone()
        };
        for item in spec
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            new.set_item(item)?;
        }
        *self = new;
        Ok(())
    }

    fn set_item(&mut self, item: &str) -> Result<(), String> {
        let name = item.strip_prefix("nic.").unwrap_or(item);
        if name == "off" {
            self.items.clear();
            self.status = Status::EIO;
            return Ok(());
        }
        let (name, value) = name
            .split_once('=')
            .ok_or_else(|| format!("'{item}': a value is missing"))?;
        if name == "seed" {
            let seed: u64 = value.parse().map_err(|_| format!("'{item}': no number"))?;
            self.random = seed | 1;
            return Ok(());
        }
        if name == "status" {
            let number = value.parse().ok().filter(|number| *number != 0);
            self.status =
                Status(number.ok_or_else(|| format!("'{item}': no status of a failure"))?);
            return Ok(());
        }
        let (fault, _) = Fault::ALL
            .into_iter()
            .find(|(_, known)| *known == name)
            .ok_or_else(|| format!("'{name}': no such fault"))?;
        let schedule = Schedule::parse(value)
            .ok_or_else(|| format!("'{item}': the value is K, K+ or *K, with K from 1"))?;
        self.items.retain(|item| item.fault != fault);
        self.items.push(Item {
            fault,
            schedule,
            count: 0,
        });
        Ok(())
    }

    /// The status of what is made to fail.
    pub fn status(&self) -> Status {
        self.status
    }

    /// How often something was made to go wrong.
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// Whether the operation that is about to happen is to go wrong.
    pub fn hit(&mut self, fault: Fault) -> bool {
        let Some(item) = self.items.iter_mut().find(|item| item.fault == fault) else {
            return false;
        };
        item.count += 1;
        let due = item.schedule.is_due(item.count);
        self.hits += u64::from(due);
        due
    }

    /// A random number (xorshift).
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// The completions to write instead of one.
    pub fn command_entries(&mut self, mut completion: Completion) -> Vec<Completion> {
        if self.items.is_empty() {
            return vec![completion];
        }
        if self.hit(Fault::CommandId) {
            completion.id ^= 1 << (self.random() % 16);
        }
        if self.hit(Fault::CommandStatus) {
            completion.status = Status(self.random() as u16 | 0x8000);
            completion.qualifier = Qualifier(self.random() as u16);
            completion.offset = self.random() as u16;
        }
        if self.hit(Fault::CommandGeneration) {
            completion.flags ^= completion_flags::GENERATION;
        }
        let times = self.times(Fault::CommandSilent, Fault::CommandTwice);
        vec![completion; times]
    }

    fn times(&mut self, silent: Fault, twice: Fault) -> usize {
        match (self.hit(silent), self.hit(twice)) {
            (true, _) => 0,
            (_, true) => 2,
            _ => 1,
        }
    }

    /// Changes a transmit completion; tells how often to write it.
    pub fn transmit_entries(&mut self, words: &mut [u64; TxCompletion::WORDS]) -> usize {
        if self.items.is_empty() {
            return 1;
        }
        let mut entry = TxCompletion::from_words(words);
        if self.hit(Fault::TxHead) {
            entry.head = self.random() as u16;
        }
        if self.hit(Fault::TxQueue) {
            entry.queue = self.random() as u16;
        }
        if self.hit(Fault::TxGeneration) {
            entry.flags ^= completion_flags::GENERATION;
        }
        if self.hit(Fault::TxStamp) {
            entry.flags ^= completion_flags::TIMESTAMP;
            entry.timestamp = self.random();
        }
        *words = entry.to_words();
        self.times(Fault::TxSilent, Fault::TxTwice)
    }

    /// Changes a result of a flow queue; tells how often to write it.
    pub fn flow_entries(&mut self, words: &mut [u64; FlowCompletion::WORDS]) -> usize {
        if self.items.is_empty() {
            return 1;
        }
        let mut entry = FlowCompletion::from_words(words);
        if self.hit(Fault::FlowHead) {
            entry.head = self.random() as u16;
        }
        if self.hit(Fault::FlowQueue) {
            entry.queue = self.random() as u16;
        }
        if self.hit(Fault::FlowObject) {
            entry.object = self.random() as u32;
        }
        if self.hit(Fault::FlowStatus) {
            entry.status = Status(self.random() as u16 | 0x8000);
        }
        if self.hit(Fault::FlowGeneration) {
            entry.flags ^= completion_flags::GENERATION;
        }
        *words = entry.to_words();
        self.times(Fault::FlowSilent, Fault::FlowTwice)
    }

    /// Changes a receive completion; tells how often to write it.
    pub fn receive_entries(&mut self, words: &mut [u64; RxCompletion::WORDS]) -> usize {
        if self.items.is_empty() {
            return 1;
        }
        let mut entry = RxCompletion::from_words(words);
        if self.hit(Fault::RxBuffer) {
            entry.buffer = self.random() as u16;
        }
        if self.hit(Fault::RxLength) {
            entry.length = self.random() as u16;
        }
        if self.hit(Fault::RxQueue) {
            entry.queue = self.random() as u16;
        }
        if self.hit(Fault::RxEnd) {
            entry.flags ^= completion_flags::END;
        }
        if self.hit(Fault::RxFlags) {
            entry.flags = self.random() as u16 & !completion_flags::GENERATION;
            entry.kind = self.random() as u16;
        }
        if self.hit(Fault::RxGeneration) {
            entry.flags ^= completion_flags::GENERATION;
        }
        *words = entry.to_words();
        self.times(Fault::RxSilent, Fault::RxTwice)
    }

    /// A random value in place of one that is right, where that is due.
    pub fn distort(&mut self, fault: Fault, value: u16) -> u16 {
        if self.hit(fault) {
            self.random() as u16
        } else {
            value
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(spec: &str) -> Vec<bool> {
        let mut chaos = Chaos::default();
        chaos.set(spec).unwrap();
        (0..6).map(|_| chaos.hit(Fault::FailCommand)).collect()
    }

    #[test]
    fn schedules_are_once_from_and_each() {
        assert_eq!(
            pattern("nic.fail-command=2"),
            [false, true, false, false, false, false]
        );
        assert_eq!(
            pattern("nic.fail-command=4+"),
            [false, false, false, true, true, true]
        );
        assert_eq!(
            pattern("nic.fail-command=*3"),
            [false, false, true, false, false, true]
        );
        assert_eq!(pattern("nic.fail-command=1,nic.off"), [false; 6]);
    }

    #[test]
    fn a_wrong_specification_changes_nothing() {
        let mut chaos = Chaos::default();
        chaos.set("nic.tx-head=1").unwrap();
        for wrong in [
            "nic.off,nic.nonsense=1",
            "nic.tx-head",
            "nic.tx-head=0",
            "nic.seed=x",
            "nic.status=0",
        ] {
            assert!(chaos.set(wrong).is_err(), "{wrong}");
        }
        assert!(chaos.hit(Fault::TxHead));
    }

    #[test]
    fn what_fails_has_the_status_that_was_set_until_all_ends() {
        let mut chaos = Chaos::default();
        assert_eq!(chaos.status(), Status::EIO);
        chaos.set("nic.status=28,nic.fail-request=1").unwrap();
        assert_eq!(chaos.status(), Status::ENOSPC);
        chaos.set("nic.off").unwrap();
        assert_eq!(chaos.status(), Status::EIO);
    }

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        for (index, (fault, name)) in Fault::ALL.iter().enumerate() {
            let mut chaos = Chaos::default();
            chaos.set(&format!("nic.{name}=1")).unwrap();
            let hits: Vec<_> = Fault::ALL
                .iter()
                .map(|(other, _)| chaos.hit(*other))
                .collect();
            assert!(hits[index], "{fault:?}");
            assert_eq!(hits.iter().filter(|hit| **hit).count(), 1);
        }
    }
}
