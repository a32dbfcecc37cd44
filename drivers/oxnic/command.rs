// SPDX-License-Identifier: GPL-2.0-only

//! A command to the device, its answer, and how it can fail. The typed commands are in [`crate::cmd`].

use kernel::{
    alloc::AllocError,
    error::Error,
    fmt,
    prelude::*, //
};
use oxnic_abi::{
    command::{Opcode, Qualifier, Status, OFFSET_BUFFER},
    wire::Wire, //
};

/// A command. Values are in CPU order.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) opcode: Opcode,
    pub(crate) vport: u16,
    pub(crate) function: u16,
    pub(crate) parameters: [u64; 5],
    /// What the device reads from the buffer.
    pub(crate) input: &'a [u64],
    /// Bytes of answer that are wanted from the buffer, a multiple of 8.
    pub(crate) answer: usize,
}

impl<'a> Request<'a> {
    /// A command without parameters.
    pub(crate) const fn new(opcode: Opcode) -> Self {
        Self {
            opcode,
            vport: 0,
            function: 0,
            parameters: [0; 5],
            input: &[],
            answer: 0,
        }
    }

    /// About this vport of the function.
    pub(crate) const fn vport(mut self, vport: u16) -> Self {
        self.vport = vport;
        self
    }

    /// About this VF, from 0.
    pub(crate) const fn vf(mut self, vf: u16) -> Self {
        self.function = vf + 1;
        self
    }

    /// With these parameters.
    pub(crate) fn parameters(mut self, parameters: &impl Wire<5>) -> Self {
        self.parameters = parameters.to_words();
        self
    }

    /// With this in the buffer.
    pub(crate) const fn input(mut self, words: &'a [u64]) -> Self {
        self.input = words;
        self
    }

    /// Wants an answer of so many words.
    pub(crate) const fn answer(mut self, words: usize) -> Self {
        self.answer = words * 8;
        self
    }
}

/// The answer to a command that succeeded.
pub(crate) struct Reply {
    /// The two words of the completion.
    pub(crate) result: [u64; 2],
    /// What the buffer holds, as far as it was wanted and given.
    pub(crate) data: KVec<u64>,
}

impl Reply {
    /// The answer as a structure; what an older device does not know is zero.
    pub(crate) fn decode<const N: usize, T: Wire<N>>(&self) -> T {
        let mut words = [0; N];
        for (to, from) in words.iter_mut().zip(&self.data) {
            *to = *from;
        }
        T::from_words(&words)
    }
}

/// Why a command did not succeed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    /// The device said no.
    Refused {
        status: Status,
        qualifier: Qualifier,
        offset: u16,
    },
    /// No answer in time; the device is about to be reset.
    TimedOut,
    /// The device is being reset: nothing is accepted for a while.
    Unavailable,
    /// The device could not be brought back, and nothing is accepted until somebody resets it.
    GivenUp,
    /// The device is not there any more.
    Gone,
    /// No memory for the buffer.
    Memory,
    /// The answer makes no sense.
    Malformed,
}

/// A command that failed, and why. Prints as a line for a log or for extack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandError {
    pub(crate) opcode: Opcode,
    pub(crate) cause: Cause,
}

impl CommandError {
    /// Whether the device has said no. Else it could not be asked.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.cause, Cause::Refused { .. })
    }

    /// Whether the device may have done what it was told, or do it until it is reset.
    pub(crate) fn may_be_done(&self) -> bool {
        !matches!(self.cause, Cause::Refused { .. } | Cause::Memory)
    }
}

/// Appends bytes as the words that the device reads from a buffer, with zeros up to a whole one.
///
/// # Errors
///
/// There is no memory. Some of the bytes may have been appended.
pub(crate) fn push_bytes(words: &mut KVec<u64>, bytes: &[u8]) -> Result<(), AllocError> {
    words.reserve(bytes.len().div_ceil(8), GFP_KERNEL)?;
    for chunk in bytes.chunks(8) {
        let mut whole = [0; 8];
        whole[..chunk.len()].copy_from_slice(chunk);
        words.push(u64::from_le_bytes(whole), GFP_KERNEL)?;
    }
    Ok(())
}

/// Whether the device was told of something that it is told again after a reset. `false`: it is being reset.
///
/// # Errors
///
/// It has refused, has not answered this very command, or does not come back.
pub(crate) fn told(result: Result<(), CommandError>) -> Result<bool, CommandError> {
    match result {
        Ok(()) => Ok(true),
        Err(CommandError {
            cause: Cause::Unavailable,
            ..
        }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How often the device is told to destroy something that it refuses to.
const INSISTENCE: u32 = 3;

/// Has something done that a sane device does not refuse, again if it does.
///
/// # Errors
///
/// The last one.
pub(crate) fn insist<E>(
    mut what: impl FnMut() -> Result<(), E>,
    is_refusal: impl Fn(&E) -> bool,
) -> Result<(), E> {
    for _ in 1..INSISTENCE {
        match what() {
            Err(error) if is_refusal(&error) => {}
            result => return result,
        }
    }
    what()
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        match error.cause {
            Cause::Refused { status, .. } => match status {
                Status::EPERM => EPERM,
                Status::ENOENT => ENOENT,
                Status::EAGAIN => EAGAIN,
                Status::EFAULT => EFAULT,
                Status::EBUSY => EBUSY,
                Status::EEXIST => EEXIST,
                Status::EINVAL => EINVAL,
                Status::ENOSPC => ENOSPC,
                Status::EOPNOTSUPP => EOPNOTSUPP,
                _ => EIO,
            },
            Cause::TimedOut => ETIMEDOUT,
            Cause::Unavailable => EAGAIN,
            Cause::GivenUp => EIO,
            Cause::Gone => ENODEV,
            Cause::Memory => ENOMEM,
            Cause::Malformed => EPROTO,
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.opcode.text();
        match self.cause {
            Cause::Refused {
                status,
                qualifier: Qualifier::NONE,
                ..
            } => f.write_fmt(fmt!("device refuses '{}': {}", name, status.text())),
            Cause::Refused {
                qualifier,
                offset: 0,
                ..
            } => f.write_fmt(fmt!("device refuses '{}': {}", name, qualifier.text())),
            Cause::Refused {
                qualifier, offset, ..
            } if offset < OFFSET_BUFFER => f.write_fmt(fmt!(
                "device refuses '{}': {} (byte {})",
                name,
                qualifier.text(),
                offset
            )),
            Cause::Refused {
                qualifier, offset, ..
            } => f.write_fmt(fmt!(
                "device refuses '{}': {} (byte {} of the buffer)",
                name,
                qualifier.text(),
                offset - OFFSET_BUFFER
            )),
            Cause::TimedOut => f.write_fmt(fmt!("no answer to '{}' in time", name)),
            Cause::Unavailable => {
                f.write_fmt(fmt!("'{}' not possible: the device is being reset", name))
            }
            Cause::GivenUp => f.write_fmt(fmt!(
                "'{}' not possible: the device was given up, a reset through sysfs may help",
                name
            )),
            Cause::Gone => f.write_fmt(fmt!("'{}' not possible: the device is gone", name)),
            Cause::Memory => f.write_fmt(fmt!("no memory for '{}'", name)),
            Cause::Malformed => f.write_fmt(fmt!("the answer to '{}' makes no sense", name)),
        }
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_command)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_or_never_sent_is_not_done() {
        let may_be_done = |cause| {
            let opcode = Opcode::COUNTER_MEMORY;
            CommandError { opcode, cause }.may_be_done()
        };
        let refused = Cause::Refused {
            status: Status::EINVAL,
            qualifier: Qualifier::NONE,
            offset: 0,
        };
        assert!(!may_be_done(refused) && !may_be_done(Cause::Memory));
        assert!(may_be_done(Cause::TimedOut) && may_be_done(Cause::Malformed));
        assert!(may_be_done(Cause::Unavailable) && may_be_done(Cause::Gone));
    }
}
