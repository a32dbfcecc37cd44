// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! How a refusal of the engine is told: status, qualifier, offset.

use crate::nic::command::{Failure, in_buffer, parameter};
use crate::nic::flow::{Place, Refused, Why};
use oxnic_abi::command::{Qualifier, Status};
use oxnic_abi::flow::action::FlowAction;
use oxnic_abi::flow::template::FlowCondition;

/// Kind of error, and why.
pub fn reason(why: Why) -> (Status, Qualifier) {
    match why {
        Why::Exists => (Status::EEXIST, Qualifier::CONFLICT),
        Why::Busy => (Status::EBUSY, Qualifier::REFERENCED),
        Why::Missing => (Status::ENOENT, Qualifier::OBJECT),
        Why::Invalid => (Status::EINVAL, Qualifier::FIELD),
        Why::Limit => (Status::EINVAL, Qualifier::LIMIT),
        Why::Conflict => (Status::EINVAL, Qualifier::CONFLICT),
        Why::Full => (Status::ENOSPC, Qualifier::LIMIT),
        Why::Unsupported => (Status::EOPNOTSUPP, Qualifier::UNSUPPORTED),
    }
}

/// A command's failure. `list` is how many bytes stand in the buffer before masks of options.
pub fn failure(refused: Refused, list: usize) -> Failure {
    let (status, qualifier) = reason(refused.why);
    let offset = match refused.place {
        Place::Object | Place::Key(_) | Place::Argument(_) => parameter(0),
        Place::Field(byte) => parameter(usize::from(byte)),
        Place::Condition(index, byte) => {
            in_buffer(usize::from(index) * FlowCondition::BYTES + usize::from(byte))
        }
        Place::Action(index, byte) => {
            in_buffer(usize::from(index) * FlowAction::BYTES + usize::from(byte))
        }
        Place::OptionMask(byte) => in_buffer(list + usize::from(byte)),
        Place::Header(byte) => in_buffer(usize::from(byte)),
    };
    Failure::new(status, qualifier, offset)
}
