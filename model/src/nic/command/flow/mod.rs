// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands of the flow engine, by object. What a command says is decoded and its reserved bytes are checked here; what it asks for
//! is checked by [`crate::nic::flow::Engine`], which owns the objects.

mod counter;
mod encap;
mod info;
mod meter;
mod queue;
mod refusal;
mod table;
mod template;
mod tunnel;

pub use refusal::reason;

use super::{
    Answer, Failure, Outcome, ensure, in_buffer, parameter, parameters, reserved, short_buffer,
};
use crate::host::Host;
use crate::nic::Nic;
use oxnic_abi::command::{Opcode, Qualifier, Status, Submission};
use oxnic_abi::flow::FlowId;

/// Commands that leave something behind, for which the mode must have a flow engine.
const MAKERS: [Opcode; 9] = [
    Opcode::TABLE_SET,
    Opcode::PORT_TABLE,
    Opcode::MATCH_TEMPLATE_SET,
    Opcode::ACTION_TEMPLATE_SET,
    Opcode::ENCAP_SET,
    Opcode::METER_SET,
    Opcode::TUNNEL_PORT,
    Opcode::COUNTER_MEMORY,
    Opcode::FLOW_QUEUE_CREATE,
];

/// The structures at the start of a buffer, with reserved bytes zero.
macro_rules! list {
    ($t:ty, $words:expr, $count:expr) => {{
        let chunks = $words.chunks_exact(<$t>::WORDS).take(usize::from($count));
        chunks
            .enumerate()
            .map(|(index, chunk)| {
                let mut words = [0; <$t>::WORDS];
                words.copy_from_slice(chunk);
                match <$t>::reserved_bits(&words) {
                    Some(offset) => Err($crate::nic::command::reserved(
                        $crate::nic::command::in_buffer(index * <$t>::BYTES + offset),
                    )),
                    None => Ok(<$t>::from_words(&words)),
                }
            })
            .collect::<Result<Vec<$t>, $crate::nic::command::Failure>>()
    }};
}
use list;

/// What stands in a buffer behind a list of `list` bytes: `length` bytes; zeros follow.
fn behind(words: &[u64], list: usize, length: usize) -> Result<Vec<u8>, Failure> {
    let rest = words.get(list / 8..).unwrap_or_default();
    let mut bytes: Vec<u8> = rest.iter().flat_map(|word| word.to_le_bytes()).collect();
    ensure(bytes.len() >= length, short_buffer())?;
    let stray = bytes.iter().skip(length).position(|byte| *byte != 0);
    if let Some(stray) = stray {
        return Err(reserved(in_buffer(list + length + stray)));
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Flags of commands that make and change objects.
fn check_flags(flags: u16, known: u16, offset: usize) -> Result<(), Failure> {
    ensure(flags & !known == 0, reserved(parameter(offset)))
}

impl Nic {
    /// Carries a command of the flow engine out; only a PF gets here.
    pub(super) fn dispatch_flow(
        &mut self,
        host: &mut dyn Host,
        submission: &Submission,
    ) -> Outcome {
        let opcode = submission.opcode;
        let busy = Failure::new(Status::EBUSY, Qualifier::STATE, 0);
        ensure(self.is_switchdev() || !MAKERS.contains(&opcode), busy)?;
        match opcode {
            Opcode::TABLE_SET => self.table_set(submission),
            Opcode::TABLE_DESTROY => {
                self.destroy_flow(submission, |flow, id| flow.destroy_table(id))
            }
            Opcode::PORT_TABLE => self.port_table(submission),
            Opcode::MATCH_TEMPLATE_SET => self.match_template_set(host, submission),
            Opcode::MATCH_TEMPLATE_DESTROY => {
                self.destroy_flow(submission, |flow, id| flow.destroy_match_template(id))
            }
            Opcode::ACTION_TEMPLATE_SET => self.action_template_set(host, submission),
            Opcode::ACTION_TEMPLATE_DESTROY => {
                self.destroy_flow(submission, |flow, id| flow.destroy_action_template(id))
            }
            Opcode::ENCAP_SET => self.encap_set(host, submission),
            Opcode::ENCAP_DESTROY => {
                self.destroy_flow(submission, |flow, id| flow.destroy_encap(id))
            }
            Opcode::METER_SET => self.meter_set(submission),
            Opcode::METER_DESTROY => {
                self.destroy_flow(submission, |flow, id| flow.destroy_meter(id))
            }
            Opcode::METER_QUERY => self.meter_query(submission),
            Opcode::TUNNEL_PORT => self.tunnel_port(submission),
            Opcode::COUNTER_MEMORY => self.counter_memory_set(host, submission),
            Opcode::FLOW_QUEUE_CREATE => self.flow_queue_create(host, submission),
            Opcode::FLOW_QUEUE_DESTROY => self.flow_queue_destroy(submission),
            Opcode::FLOW_INFO => self.flow_info(submission),
            Opcode::FLOW_STATS => self.flow_stats(),
            _ => Err(Failure::new(Status::EOPNOTSUPP, Qualifier::OPCODE, 0)),
        }
    }

    /// Takes an object out.
    fn destroy_flow(
        &mut self,
        submission: &Submission,
        destroy: impl FnOnce(
            &mut crate::nic::flow::Engine,
            u32,
        ) -> Result<(), crate::nic::flow::Refused>,
    ) -> Outcome {
        let FlowId { id } = parameters!(FlowId, submission)?;
        destroy(&mut self.flow, id).map_err(|refused| refusal::failure(refused, 0))?;
        Ok(Answer::default())
    }

    /// Whether anything of the flow engine is there, which only switchdev mode has.
    pub(in crate::nic) fn flow_in_use(&self) -> bool {
        !self.flow.is_empty()
            || self.flow_queues.iter().any(Option::is_some)
            || self.counter_memory.is_used()
    }
}
