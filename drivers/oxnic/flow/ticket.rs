// SPDX-License-Identifier: GPL-2.0-only

//! Requests that are on their way, and what their results have to name.

use oxnic_abi::{
    command::Status,
    flow::{
        completion::FlowCompletion,
        request::{FlowOp, FlowRequest}, //
    },
};

/// A request that was put into the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// The queue.
    pub(super) queue: u16,
    pub(super) number: u32,
    /// Requests from before a reset get no result.
    pub(super) epoch: u32,
    /// What its result names: where its slots end, and its rule or counter.
    pub(super) head: u16,
    pub(super) object: u32,
}

impl Ticket {
    /// The number of the queue that the request is in.
    pub(crate) fn queue(&self) -> u16 {
        self.queue
    }

    /// Whether that is a result of this request, and one that the interface knows.
    pub(super) fn is_answered_by(&self, result: &FlowCompletion) -> bool {
        // One that this version of the interface does not have says neither that it was done nor that it was not.
        Status::ALL.contains(&result.status)
            && (result.queue, result.head, result.object) == (self.queue, self.head, self.object)
    }
}

/// The rule or counter that a request is about.
pub(super) fn object(request: &[u64]) -> u32 {
    match request.first_chunk().map(FlowRequest::from_words) {
        Some(FlowRequest {
            op: FlowOp::COUNTER | FlowOp::COUNTER_WRITE,
            counter,
            ..
        }) => counter,
        Some(header) => header.rule,
        None => u32::MAX,
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_ticket)]
mod tests {
    use super::*;

    #[test]
    fn a_result_names_its_request_or_is_none() {
        let ticket = Ticket {
            queue: 1,
            number: 9,
            epoch: 0,
            head: 12,
            object: 7,
        };
        let right = FlowCompletion {
            object: 7,
            head: 12,
            queue: 1,
            ..FlowCompletion::ZERO
        };
        assert!(ticket.is_answered_by(&right));
        let status = Status::ENOSPC;
        assert!(ticket.is_answered_by(&FlowCompletion { status, ..right }));
        for wrong in [
            FlowCompletion { object: 8, ..right },
            FlowCompletion { head: 13, ..right },
            FlowCompletion { queue: 0, ..right },
            FlowCompletion {
                status: Status(0x8001),
                ..right
            },
        ] {
            assert!(!ticket.is_answered_by(&wrong));
        }
    }

    #[test]
    fn a_request_is_about_its_rule_or_its_counter() {
        let header = FlowRequest {
            op: FlowOp::DELETE,
            rule: 3,
            counter: 4,
            ..FlowRequest::ZERO
        };
        assert_eq!(object(&header.to_words()), 3);
        let op = FlowOp::COUNTER;
        assert_eq!(object(&FlowRequest { op, ..header }.to_words()), 4);
        let op = FlowOp::COUNTER_WRITE;
        assert_eq!(object(&FlowRequest { op, ..header }.to_words()), 4);
    }
}
