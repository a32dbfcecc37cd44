// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Results of requests.

use crate::command::{Qualifier, Status};
use crate::wire;

wire! {
    /// Result of one request, in the completion ring. Results of a flow queue come in the order of its requests.
    pub struct FlowCompletion: 2 {
        /// Rule or counter of the request.
        0: object: u32,
        /// With an error: why.
        4: qualifier: Qualifier,
        /// With an error about a field: its byte offset in the request.
        6: offset: u16,
        /// Free-running consumer index of the flow queue behind the request, in slots.
        8: head: u16,
        /// Success or the kind of error.
        10: status: Status,
        /// Flow queue.
        12: queue: u16,
        /// [`crate::ring::completion_flags::GENERATION`].
        14: flags: u16,
    }
}
