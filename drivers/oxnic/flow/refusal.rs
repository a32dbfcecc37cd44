// SPDX-License-Identifier: GPL-2.0-only

//! Why a rule is not taken over: what `oxnic_offload` says of it, and what cannot even be said to `oxnic_offload`.

use core::fmt;
use kernel::prelude::*;
use oxnic_kapi::{
    extack::{refuse, Extack},
    net::flow::{action::ActionId, key::KeyId}, //
};
use oxnic_offload::reject::{errno, Reject};

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
    /// What an action does afterwards.
    Verdict(&'static str),
    /// The rule can be meant, and the driver cannot make objects of the device of it.
    NoPlan,
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

impl Refusal {
    /// What the request returns.
    pub(crate) fn error(&self) -> Error {
        match self {
            Self::Rule(reject) => match reject.errno() {
                errno::ENOENT => ENOENT,
                errno::EEXIST => EEXIST,
                errno::EINVAL => EINVAL,
                errno::ENOSPC => ENOSPC,
                errno::ERANGE => ERANGE,
                _ => EOPNOTSUPP,
            },
            Self::Memory => ENOMEM,
            _ => EOPNOTSUPP,
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
            Self::Memory => f.write_str("no memory for the rule"),
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
            Self::NoPlan => f.write_str("this driver cannot put rules into the device yet"),
            Self::Verdict(action) => write!(
                f,
                "action {action}: what it does afterwards is not possible"
            ),
        }
    }
}
