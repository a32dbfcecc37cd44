// SPDX-License-Identifier: GPL-2.0-only

//! Requests of the flow queue, as words.

use super::{counters::Counter, queue::SLOT_WORDS};
use kernel::{alloc::AllocError, prelude::*};
use oxnic_abi::flow::request::{FlowOp, FlowRequest, REQUEST_BODY};

/// Bytes of a slot.
const SLOT: usize = SLOT_WORDS * 8;

/// A rule is put into a table. Lengths and slots are set here.
pub(crate) fn add(
    header: &FlowRequest,
    key: &[u8],
    arguments: &[u8],
) -> Result<KVec<u64>, AllocError> {
    let start = key.len().next_multiple_of(4);
    let slots = (REQUEST_BODY + start + arguments.len()).div_ceil(SLOT);
    let header = FlowRequest {
        op: FlowOp::ADD,
        // Too many are refused by who knows what the device takes.
        slots: slots.try_into().unwrap_or(u8::MAX),
        key_length: key.len() as u16,
        arguments_length: arguments.len() as u16,
        ..*header
    };
    let mut bytes = KVec::from_elem(0u8, slots * SLOT, GFP_KERNEL)?;
    for (to, word) in bytes.chunks_exact_mut(8).zip(header.to_words()) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    let body = &mut bytes[REQUEST_BODY..];
    body[..key.len()].copy_from_slice(key);
    body[start..start + arguments.len()].copy_from_slice(arguments);
    words(&bytes)
}

/// A rule is taken out.
pub(crate) fn delete(rule: u32) -> [u64; SLOT_WORDS] {
    short(&FlowRequest {
        op: FlowOp::DELETE,
        slots: 1,
        rule,
        ..FlowRequest::ZERO
    })
}

/// The rule that a request has put into a table is taken out.
pub(crate) fn delete_added(request: &[u64]) -> [u64; SLOT_WORDS] {
    let header = request.first_chunk().map(FlowRequest::from_words);
    delete(header.map_or(u32::MAX, |header| header.rule))
}

/// A counter starts from zero, with its generation.
pub(crate) fn reset_counter(counter: Counter) -> [u64; SLOT_WORDS] {
    short(&FlowRequest {
        op: FlowOp::COUNTER,
        slots: 1,
        counter: counter.id,
        cookie: counter.generation,
        ..FlowRequest::ZERO
    })
}

fn short(header: &FlowRequest) -> [u64; SLOT_WORDS] {
    let mut words = [0; SLOT_WORDS];
    for (to, word) in words.iter_mut().zip(header.to_words()) {
        *to = word;
    }
    words
}

/// Bytes as words, with zeros up to a whole one.
pub(crate) fn words(bytes: &[u8]) -> Result<KVec<u64>, AllocError> {
    let mut words = KVec::with_capacity(bytes.len().div_ceil(8), GFP_KERNEL)?;
    for chunk in bytes.chunks(8) {
        let mut whole = [0; 8];
        whole[..chunk.len()].copy_from_slice(chunk);
        words
            .push(u64::from_le_bytes(whole), GFP_KERNEL)
            .map_err(|_| AllocError)?;
    }
    Ok(words)
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_request)]
mod tests {
    use super::*;

    #[test]
    fn arguments_start_at_a_word_of_four_bytes_behind_the_key() -> Result {
        let request = add(&FlowRequest::ZERO, &[1, 2, 3, 4, 5], &[6, 7, 8, 9])?;
        assert_eq!(request.len(), SLOT_WORDS);
        assert_eq!(request[5], u64::from_le_bytes([1, 2, 3, 4, 5, 0, 0, 0]));
        assert_eq!(request[6], u64::from_le_bytes([6, 7, 8, 9, 0, 0, 0, 0]));
        let header = FlowRequest::from_words(request[..5].first_chunk().ok_or(EINVAL)?);
        assert_eq!(header.op, FlowOp::ADD);
        assert_eq!((header.key_length, header.arguments_length), (5, 4));
        Ok(())
    }

    #[test]
    fn what_fits_one_slot_takes_one_and_a_byte_more_takes_two() -> Result {
        assert_eq!(add(&FlowRequest::ZERO, &[9; 24], &[])?.len(), SLOT_WORDS);
        let request = add(&FlowRequest::ZERO, &[9; 25], &[])?;
        assert_eq!(request.len(), 2 * SLOT_WORDS);
        assert_eq!(request[8], 9);
        Ok(())
    }
}
