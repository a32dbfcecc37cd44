// SPDX-License-Identifier: GPL-2.0-only

//! Requests of the flow queue, as words.

use super::{counters::Counter, queue::SLOT_WORDS};
use kernel::{alloc::AllocError, prelude::*};
use oxnic_abi::flow::request::{FlowOp, FlowRequest, REQUEST_BODY};

/// Bytes of a slot.
const SLOT: usize = SLOT_WORDS * 8;

/// A rule is put into a table. Lengths and slots are set here.
///
/// # Errors
///
/// There is no memory.
pub(crate) fn add(
    header: &FlowRequest,
    key: &[u8],
    arguments: &[u8],
) -> Result<KVec<u64>, AllocError> {
    build(FlowOp::ADD, header, key, arguments)
}

fn build(
    op: FlowOp,
    header: &FlowRequest,
    key: &[u8],
    arguments: &[u8],
) -> Result<KVec<u64>, AllocError> {
    let start = key.len().next_multiple_of(4);
    let slots = (REQUEST_BODY + start + arguments.len()).div_ceil(SLOT);
    let header = FlowRequest {
        op,
        // Too many are refused by who knows what the device takes.
        slots: slots.try_into().unwrap_or(u8::MAX),
        key_length: key.len() as u16,
        arguments_length: arguments.len() as u16,
        ..*header
    };
    let mut request = KVec::from_elem(0, slots * SLOT_WORDS, GFP_KERNEL)?;
    request[..FlowRequest::WORDS].copy_from_slice(&header.to_words());
    put(&mut request, REQUEST_BODY, key);
    put(&mut request, REQUEST_BODY + start, arguments);
    Ok(request)
}

/// Puts bytes into words that are zero there.
fn put(words: &mut [u64], at: usize, bytes: &[u8]) {
    for (at, byte) in (at..).zip(bytes) {
        words[at / 8] |= u64::from(*byte) << (at % 8 * 8);
    }
}

/// Another id and another place for the rule that a request puts into a table.
pub(crate) fn renumber(request: &mut [u64], rule: u32, priority: u32) {
    if let Some(words) = request.first_chunk_mut() {
        let header = FlowRequest {
            rule,
            priority,
            ..FlowRequest::from_words(words)
        };
        *words = header.to_words();
    }
}

/// The bytes of a request from one on.
fn bytes(words: &[u64], at: usize, length: usize) -> Result<KVec<u8>, AllocError> {
    let mut bytes = KVec::with_capacity(length, GFP_KERNEL)?;
    for at in at..at + length {
        let word = words.get(at / 8).copied().unwrap_or(0);
        bytes.push((word >> (at % 8 * 8)) as u8, GFP_KERNEL)?;
    }
    Ok(bytes)
}

/// The request that puts a rule into a table, with other actions.
///
/// # Errors
///
/// There is no memory.
pub(crate) fn with_actions(
    request: &[u64],
    template: u32,
    cookie: u32,
    arguments: &[u8],
) -> Result<KVec<u64>, AllocError> {
    let header = header(request);
    let key = bytes(request, REQUEST_BODY, header.key_length.into())?;
    let header = FlowRequest {
        action_template: template,
        cookie,
        ..header
    };
    add(&header, &key, arguments)
}

/// A rule gets the actions that a request puts it into a table with.
///
/// # Errors
///
/// There is no memory.
pub(crate) fn update(request: &[u64]) -> Result<KVec<u64>, AllocError> {
    let header = header(request);
    let start = usize::from(header.key_length).next_multiple_of(4);
    let length = header.arguments_length.into();
    let arguments = bytes(request, REQUEST_BODY + start, length)?;
    let header = FlowRequest {
        rule: header.rule,
        action_template: header.action_template,
        cookie: header.cookie,
        ..FlowRequest::ZERO
    };
    build(FlowOp::UPDATE, &header, &[], &arguments)
}

fn header(request: &[u64]) -> FlowRequest {
    let words = request.first_chunk();
    words.map_or(FlowRequest::ZERO, FlowRequest::from_words)
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

/// The template and the cookie of what a rule does that a request puts into a table.
pub(crate) fn actions_of(request: &[u64]) -> (u32, u32) {
    let header = header(request);
    (header.action_template, header.cookie)
}

/// The rule that a request puts into a table.
pub(crate) fn rule_of(request: &[u64]) -> u32 {
    let header = request.first_chunk().map(FlowRequest::from_words);
    header.map_or(u32::MAX, |header| header.rule)
}

/// A counter starts from zero, with its generation.
pub(crate) fn reset_counter(counter: &Counter) -> [u64; SLOT_WORDS] {
    short(&FlowRequest {
        op: FlowOp::COUNTER,
        slots: 1,
        counter: counter.id,
        cookie: counter.generation,
        ..FlowRequest::ZERO
    })
}

/// A counter's record is written now.
pub(crate) fn write_counter(counter: &Counter) -> [u64; SLOT_WORDS] {
    short(&FlowRequest {
        op: FlowOp::COUNTER_WRITE,
        slots: 1,
        counter: counter.id,
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
    fn a_rule_with_another_number_is_otherwise_as_it_was() -> Result {
        let header = FlowRequest {
            rule: 7,
            priority: 8,
            table: 9,
            ..FlowRequest::ZERO
        };
        let mut request = add(&header, &[1, 2, 3], &[4, 5, 6, 7])?;
        let wanted = FlowRequest {
            rule: 70,
            priority: 80,
            ..header
        };
        let wanted = add(&wanted, &[1, 2, 3], &[4, 5, 6, 7])?;
        assert_eq!(rule_of(&request), 7);
        renumber(&mut request, 70, 80);
        assert_eq!(rule_of(&request), 70);
        assert_eq!(*request, *wanted);
        Ok(())
    }

    #[test]
    fn a_rule_that_is_changed_keeps_its_key_and_is_updated_without() -> Result {
        let header = FlowRequest {
            rule: 7,
            priority: 8,
            table: 9,
            match_template: 3,
            action_template: 4,
            cookie: 5,
            ..FlowRequest::ZERO
        };
        let key = [1; 30];
        let request = add(&header, &key, &[4, 5, 6, 7])?;
        let changed = FlowRequest {
            action_template: 40,
            cookie: 50,
            ..header
        };
        let arguments = [9; 12];
        let wanted = add(&changed, &key, &arguments)?;
        let request = with_actions(&request, 40, 50, &arguments)?;
        assert_eq!(*request, *wanted);
        assert_eq!(actions_of(&request), (40, 50));
        let update = update(&request)?;
        let header = FlowRequest::from_words(update.first_chunk().ok_or(EINVAL)?);
        let wanted = FlowRequest {
            op: FlowOp::UPDATE,
            slots: 1,
            rule: 7,
            action_template: 40,
            cookie: 50,
            arguments_length: 12,
            ..FlowRequest::ZERO
        };
        assert_eq!(header, wanted);
        assert_eq!((update[5], update[6]), (0x0909_0909_0909_0909, 0x0909_0909));
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
