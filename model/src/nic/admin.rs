// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The admin queue: fetching commands, answering them.
//!
//! An [`AdminQueue`] belongs to its function. What commands do is in [`super::command`]; here is what all have in common.

use super::Nic;
use super::chaos::Fault;
use super::command::{Answer, Failure};
use super::event::write_entry;
use super::firmware::directory::Version;
use super::ids::FunctionId;
use crate::host::{DmaFault, Host};
use oxnic_abi::command::{Completion, Opcode, Status, Submission};
use oxnic_abi::firmware::FirmwareComponent;
use oxnic_abi::regs::Reason;
use oxnic_abi::ring::completion_flags;
use std::collections::{HashSet, VecDeque};

/// Commands of a function that one poll carries out.
const POLL_COMMANDS: usize = 64;

/// Admin rings of a function.
#[derive(Clone, Debug)]
pub struct AdminQueue {
    submissions: u64,
    completions: u64,
    log2: u8,
    producer: u16,
    fetched: u16,
    /// Commands carried out.
    answered: u16,
    /// Completions written; the same number, but for chaos.
    completed: u16,
    waiting: VecDeque<[u64; 8]>,
    ids: HashSet<u16>,
    /// It is on the list of queues that have work.
    pub listed: bool,
}

impl AdminQueue {
    /// Empty rings of 2^`log2` entries.
    pub fn new(submissions: u64, completions: u64, log2: u8) -> Self {
        Self {
            submissions,
            completions,
            log2,
            producer: 0,
            fetched: 0,
            answered: 0,
            completed: 0,
            waiting: VecDeque::new(),
            ids: HashSet::new(),
            listed: false,
        }
    }

    /// Takes a doorbell. False if the index is out of range.
    pub fn ring(&mut self, index: u32) -> bool {
        let Ok(index) = u16::try_from(index) else {
            return false;
        };
        let ahead = index.wrapping_sub(self.answered);
        if ahead > 1 << self.log2 {
            return false;
        }
        if ahead > self.producer.wrapping_sub(self.answered) {
            self.producer = index;
        }
        true
    }

    /// Whether there are commands that have no answer.
    pub fn has_work(&self) -> bool {
        self.producer != self.answered
    }

    /// Reads all commands up to the producer index.
    ///
    /// # Errors
    /// Why the function has to stop.
    fn fetch(&mut self, host: &mut dyn Host, function: FunctionId) -> Result<(), (Reason, u16)> {
        while self.fetched != self.producer {
            let entry = self.fetched & ((1 << self.log2) - 1);
            let address = self
                .submissions
                .wrapping_add(u64::from(entry) * Submission::BYTES as u64);
            let mut bytes = [0; Submission::BYTES];
            host.dma_read(function.bus(), address, &mut bytes)
                .map_err(|_| (Reason::DMA, 0))?;
            let words = super::words::<8>(&bytes);
            let id = Submission::from_words(&words).id;
            if !self.ids.insert(id) {
                return Err((Reason::COMMAND_ID, id));
            }
            self.waiting.push_back(words);
            self.fetched = self.fetched.wrapping_add(1);
        }
        Ok(())
    }

    /// Writes the completion of a command.
    fn complete(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        mut completion: Completion,
    ) -> Result<(), DmaFault> {
        let entry = self.completed & ((1 << self.log2) - 1);
        if (self.completed >> self.log2) & 1 == 0 {
            completion.flags ^= completion_flags::GENERATION;
        }
        let address = self
            .completions
            .wrapping_add(u64::from(entry) * Completion::BYTES as u64);
        self.completed = self.completed.wrapping_add(1);
        write_entry(host, function, address, &completion.to_words())
    }
}

fn admin(nic: &mut Nic, function: FunctionId) -> Option<&mut AdminQueue> {
    nic.functions.get_mut(function.index())?.admin.as_mut()
}

/// Commands that the management firmware carries out by itself.
fn is_of_management(opcode: Opcode) -> bool {
    let firmware = Opcode::FIRMWARE_QUERY.0..=Opcode::FIRMWARE_READ.0;
    matches!(opcode, Opcode::CAP_LIST | Opcode::CAP_GET) || firmware.contains(&opcode.0)
}

impl Nic {
    /// Puts an admin queue on the list of those that have work.
    pub(super) fn list_admin(&mut self, function: FunctionId) {
        match admin(self, function) {
            Some(queue) if !queue.listed && queue.has_work() => queue.listed = true,
            _ => return,
        }
        self.admin_ready.push_back(function);
    }

    /// Carries out commands of each function that has some, within bounds.
    pub(super) fn run_admin(&mut self, host: &mut dyn Host) {
        for _ in 0..self.admin_ready.len() {
            let Some(function) = self.admin_ready.pop_front() else {
                return;
            };
            let works = self
                .functions
                .get(function.index())
                .is_some_and(|f| f.works());
            if let Some(queue) = admin(self, function) {
                queue.listed = false;
            }
            if !works {
                continue;
            }
            if let Err((reason, detail)) = self.run_commands(host, function) {
                self.halt(function, reason, detail);
            }
            self.list_admin(function);
        }
    }

    fn run_commands(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
    ) -> Result<(), (Reason, u16)> {
        if let Some(queue) = admin(self, function) {
            queue.fetch(host, function)?;
        }
        for _ in 0..POLL_COMMANDS {
            let Some(words) = admin(self, function).and_then(|queue| queue.waiting.pop_front())
            else {
                break;
            };
            let submission = Submission::from_words(&words);
            let outcome = self.outcome(host, function, &submission, &words);
            self.answer(host, function, &submission, outcome)
                .map_err(|_| (Reason::DMA, 1))?;
        }
        Ok(())
    }

    /// Whether the pipeline's firmware is a build that does not work.
    fn is_defective(&self) -> bool {
        self.defective.is_some() && self.defective == self.pipeline_version()
    }

    /// The version of the pipeline's firmware that runs.
    pub(super) fn pipeline_version(&self) -> Option<Version> {
        let info = self.firmware.info(FirmwareComponent::PIPELINE).ok()?;
        Some(info.running_version)
    }

    fn outcome(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
        words: &[u64; 8],
    ) -> Result<Answer, Failure> {
        if self.chaos.hit(Fault::FailCommand) {
            return Err(Failure::injected(self.chaos.status()));
        }
        if self.is_defective() && !is_of_management(submission.opcode) {
            return Err(Failure::injected(Status::EIO));
        }
        let answer = self.execute(host, function, submission, words)?;
        if !answer.words.is_empty() && submission.buffer_length != 0 {
            let bytes: Vec<u8> = answer
                .words
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect();
            let length = bytes.len().min(submission.buffer_length as usize);
            let bytes = bytes.get(..length).unwrap_or_default();
            host.dma_write(function.bus(), submission.buffer, bytes)
                .map_err(|_| Failure::dma())?;
        }
        Ok(answer)
    }

    fn answer(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
        outcome: Result<Answer, Failure>,
    ) -> Result<(), DmaFault> {
        let completion = match outcome {
            Ok(answer) => Completion {
                id: submission.id,
                status: Status::OK,
                length: answer.words.len() as u16,
                result: answer.result,
                ..Completion::ZERO
            },
            Err(failure) => {
                log::info!(
                    "{}: command {:#06x} ({}) refused: {}, {} at {}",
                    function.bus(),
                    submission.opcode.0,
                    submission.opcode.text(),
                    failure.status.text(),
                    failure.qualifier.text(),
                    failure.offset
                );
                Completion {
                    id: submission.id,
                    status: failure.status,
                    offset: failure.offset,
                    qualifier: failure.qualifier,
                    ..Completion::ZERO
                }
            }
        };
        let Some(state) = self.functions.get_mut(function.index()) else {
            return Ok(());
        };
        state.refused_commands += u64::from(completion.status != Status::OK);
        let Some(queue) = state.admin.as_mut() else {
            return Ok(());
        };
        queue.ids.remove(&submission.id);
        queue.answered = queue.answered.wrapping_add(1);
        for completion in self.chaos.command_entries(completion) {
            queue.complete(host, function, completion)?;
        }
        state.raise = true;
        Ok(())
    }
}
