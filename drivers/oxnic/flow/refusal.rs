// SPDX-License-Identifier: GPL-2.0-only

//! Why a rule is not taken over: what `oxnic_offload` says of it, and what cannot even be said to `oxnic_offload`.

use super::template::NoTemplate;
use crate::command::{Cause, CommandError};
use core::fmt;
use kernel::prelude::*;
use oxnic_abi::command::{Qualifier, Status};
use oxnic_kapi::{
    extack::{refuse, Extack},
    net::flow::{action::ActionId, key::KeyId}, //
};
use oxnic_offload::{
    reject::{errno, Obstacle, Reject},
    rule::Field, //
};

/// A reason. Prints as a line for extack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The rule cannot be meant, or not be done.
    Rule(Reject),
    /// No memory to look at it.
    Memory,
    /// A key that the engine does not know.
    Key(KeyId),
    /// A part of a key that the engine does not know.
    Part(&'static str),
    /// Bits of flags that the engine does not know.
    Flags {
        /// `ip_flags` or `enc_flags`.
        field: &'static str,
        /// The bits.
        flags: u32,
    },
    /// Something has to be matched as a whole.
    Mask(&'static str),
    /// The interface is no port of this eswitch.
    Interface(&'static str),
    /// An action that the engine does not know.
    Action(ActionId),
    /// A part of an action that the engine does not know.
    Feature {
        /// The action.
        action: &'static str,
        /// What of it.
        feature: &'static str,
    },
    /// Something of a tunnel device that the engine does not know.
    Tunnel(&'static str),
    /// Something of a VLAN device that the engine does not know.
    Vlan(&'static str),
    /// The packets of a tunnel do not pass a wire port.
    Underlay,
    /// What an action does afterwards.
    Verdict(&'static str),
    /// The device has no flow engine.
    NoEngine,
    /// The device's flow engine has too few of something, or says so.
    Limit(&'static str),
    /// The device does not take its rules back.
    Lost,
    /// An action was changed that rules have.
    Bound,
    /// The rule was refused for another interface of its block.
    Shared,
    /// No object of a kind is left.
    Full {
        /// Which objects.
        what: &'static str,
        /// How many there can be.
        limit: u32,
        /// `ENOSPC`, or why it could not be found out.
        error: Error,
    },
    /// The user has switched offload off for the interface.
    Off,
    /// The eswitch forwards by addresses.
    Legacy,
    /// The user does not want tunnels.
    EncapMode(&'static str),
    /// A rule is in software only that may be before it, and nothing in the device stands in for that.
    Behind,
    /// The block had rules before it was bound, of which nobody has told.
    Older,
    /// The interface is bound to another block.
    Occupied {
        /// It is one of tc, else a chain of nftables.
        by_tc: bool,
    },
    /// The chain is on an interface of another device as well.
    Foreign,
    /// There is no number for the rule.
    Crowded,
    /// Key and arguments are longer than a request of the device can be.
    Long,
    /// The device says no.
    Device {
        /// The kind of error.
        status: Status,
        /// Why.
        qualifier: Qualifier,
    },
    /// The device does not answer.
    Unreached(Error),
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        Self::Rule(reject)
    }
}

impl From<kernel::alloc::AllocError> for Refusal {
    fn from(_: kernel::alloc::AllocError) -> Self {
        Self::Memory
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        match error.cause {
            Cause::Refused {
                status, qualifier, ..
            } => Self::Device { status, qualifier },
            _ => Self::Unreached(error.into()),
        }
    }
}

impl From<NoTemplate> for Refusal {
    fn from(reason: NoTemplate) -> Self {
        match reason {
            NoTemplate::Full(limit) => Self::Full {
                what: "templates",
                limit,
                error: ENOSPC,
            },
            NoTemplate::Memory => Self::Memory,
            NoTemplate::Device(error) => error.into(),
        }
    }
}

impl<T> From<kernel::alloc::kvec::PushError<T>> for Refusal {
    fn from(_: kernel::alloc::kvec::PushError<T>) -> Self {
        Self::Memory
    }
}

impl Refusal {
    /// What the request returns: never `EAGAIN`, for which tc would make it again at once and without end, with RTNL held, which a
    /// reset waits for.
    pub(crate) fn error(&self) -> Error {
        match self {
            Self::Lost | Self::Unreached(EAGAIN) => EBUSY,
            Self::Rule(reject) => match reject.errno() {
                errno::ENOENT => ENOENT,
                errno::EEXIST => EEXIST,
                errno::EINVAL => EINVAL,
                errno::ENOSPC => ENOSPC,
                errno::ERANGE => ERANGE,
                _ => EOPNOTSUPP,
            },
            Self::Memory => ENOMEM,
            Self::Full { error, .. } | Self::Unreached(error) => *error,
            Self::Device { status, .. } => match *status {
                Status::ENOSPC => ENOSPC,
                Status::EOPNOTSUPP => EOPNOTSUPP,
                _ => EIO,
            },
            // Whoever comes first has the interface; software would not keep the order of both.
            Self::Occupied { .. } => EBUSY,
            Self::Crowded => ENOSPC,
            _ => EOPNOTSUPP,
        }
    }

    /// Whether the rule takes no packet where it is, in software neither, so that nothing has to stand in for it.
    pub(crate) fn takes_nothing(&self) -> bool {
        match self {
            Self::Rule(Reject::Tunnel(obstacle)) => matches!(
                obstacle,
                Obstacle::NoTunnel { .. }
                    | Obstacle::NotExternal { .. }
                    | Obstacle::NeverHere { .. }
                    | Obstacle::NoSuchOptions
            ),
            Self::Rule(Reject::NoPort { what }) => *what == Field::IngressPort.name(),
            _ => false,
        }
    }

    /// The error for nftables. When a transaction fails it brings rules back that were in the device before, and takes any error but
    /// that there is no memory for a fault of the kernel, with a warning. What the device refuses of such a rule is missing, and no error; what
    /// can happen to it else looks like that, and the log says what it was.
    pub(crate) fn error_in_chain(&self) -> Error {
        match self {
            Self::Lost
            | Self::Full { .. }
            | Self::Crowded
            | Self::Device { .. }
            | Self::Unreached(_) => ENOMEM,
            _ => self.error(),
        }
    }

    /// Tells the user, and gives the error to return.
    pub(crate) fn tell(&self, extack: Option<&mut Extack>) -> Error {
        refuse(extack, self.error(), format_args!("{self}"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(reject) => write!(f, "{reject}"),
            Self::Memory | Self::Full { error: ENOMEM, .. } | Self::Unreached(ENOMEM) => {
                f.write_str("no memory for the rule")
            }
            Self::Key(id) => write!(f, "match on {} (key {}) is not possible", id.name(), id.0),
            Self::Part(what) => write!(f, "match on {what} is not possible"),
            Self::Flags { field, flags } => write!(f, "{field}: flags {flags:#x} are not possible"),
            Self::Mask(what) => write!(f, "{what}: no mask is possible"),
            Self::Interface(what) => {
                write!(f, "{what}: the interface is no port of this eswitch")
            }
            Self::Action(id) => write!(f, "action {} ({}) is not possible", id.name(), id.0),
            Self::Feature { action, feature } => {
                write!(f, "action {action}: {feature} is not possible")
            }
            Self::Tunnel(what) => write!(f, "tunnel device: {what} is not possible"),
            Self::Vlan(what) => write!(f, "VLAN device: {what} is not possible"),
            Self::Underlay => {
                f.write_str("tunnel device: its packets do not pass a wire port of this eswitch")
            }
            Self::NoEngine => f.write_str("the device has no flow engine"),
            Self::Limit(what) => write!(f, "the device's flow engine cannot be used: {what}"),
            Self::Lost => f.write_str("the device was reset, and does not take its rules back yet"),
            Self::Long => f.write_str("the rule is longer than a request of the device can be"),
            Self::Bound => {
                f.write_str("rules in the device have the action as it was: lay them anew")
            }
            Self::Occupied { by_tc: true } => {
                f.write_str("filters of tc are on the interface: remove its qdisc first")
            }
            Self::Occupied { by_tc: false } => {
                f.write_str("a chain of nftables with offload is on the interface: remove it first")
            }
            Self::Off => f.write_str("hw-tc-offload is off for this interface"),
            Self::Legacy => f.write_str("the eswitch is in legacy mode"),
            Self::EncapMode(what) => write!(f, "encap-mode is none: {what} is not possible"),
            Self::Behind => f.write_str(
                "rules that software has could have no place in the device: lay the block's anew",
            ),
            Self::Older => {
                f.write_str("the block had rules before the driver took part: make its qdisc anew")
            }
            Self::Foreign => f.write_str("the chain is on an interface of another device"),
            Self::Crowded => f.write_str("no place between the rules of the chain"),
            Self::Shared => f.write_str("refused for another interface of this block"),
            Self::Full { what, limit, .. } => write!(f, "no more {what}: there can be {limit}"),
            Self::Device {
                status,
                qualifier: Qualifier::NONE,
            } => write!(f, "device refuses the rule: {}", status.text()),
            Self::Device { qualifier, .. } => {
                write!(f, "device refuses the rule: {}", qualifier.text())
            }
            Self::Unreached(_) => f.write_str("the device does not answer, or is being reset"),
            Self::Verdict(action) => write!(
                f,
                "action {action}: what it does afterwards is not possible"
            ),
        }
    }
}

/// For the kernel's macros, which have a trait of their own.
impl kernel::fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_refusal)]
mod tests {
    use super::*;
    use kernel::str::CString;

    #[test]
    fn a_want_of_memory_is_called_that() -> Result {
        let says = |refusal: Refusal, words: &[u8]| {
            let text = CString::try_from_fmt(kernel::prelude::fmt!("{refusal}"))?;
            Ok::<_, Error>(text.to_bytes().windows(words.len()).any(|at| at == words))
        };
        let full = |error| Refusal::Full {
            what: "meters",
            limit: 7,
            error,
        };
        assert!(says(full(ENOSPC), b"there can be 7")?);
        assert!(says(full(ENOMEM), b"no memory")?);
        assert!(says(Refusal::Unreached(EAGAIN), b"does not answer")?);
        assert!(says(Refusal::Unreached(ENOMEM), b"no memory")?);
        Ok(())
    }
}
