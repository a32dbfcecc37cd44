// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a device lacks: one reason for each thing that a capability can leave out or limit.

use core::fmt;

use oxnic_abi::flow::action::{FlowActionKind, FlowVerdict};
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::meter::MeterUnit;
use oxnic_abi::flow::tunnel::TunnelKind;

use super::errno;
use crate::rule::edit::{Header, Operation, PLACES};

/// Something that the device lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A field.
    Field {
        /// The field.
        field: FlowField,
    },
    /// A mask that is not all bits.
    Mask {
        /// The field.
        field: FlowField,
    },
    /// A range.
    Range {
        /// The field.
        field: FlowField,
    },
    /// Room for conditions.
    Conditions {
        /// The field that there was no room for.
        field: FlowField,
        /// How many there can be.
        limit: usize,
    },
    /// Room in the key.
    KeyLength {
        /// The field that there was no room for.
        field: FlowField,
        /// How many bytes there can be.
        limit: usize,
    },
    /// Room for options.
    Options {
        /// How many bytes are asked for.
        length: usize,
        /// How many there can be.
        limit: usize,
    },
    /// An action.
    Action {
        /// tc's name of it.
        action: &'static str,
        /// What it takes.
        kind: FlowActionKind,
    },
    /// A verdict of a policer.
    Verdict {
        /// `conform` or `exceed`.
        which: &'static str,
        /// What it takes.
        verdict: FlowVerdict,
    },
    /// A policer's rate.
    Meter {
        /// What the rate is of.
        unit: MeterUnit,
    },
    /// An edit of a byte.
    Edit {
        /// The header.
        header: Header,
        /// The byte.
        byte: u32,
        /// What is done.
        operation: Operation,
    },
    /// A checksum.
    Checksum {
        /// Whose.
        name: &'static str,
    },
    /// Room for actions.
    Actions {
        /// The action that there was no room for.
        action: &'static str,
        /// How many of the device's actions there can be.
        limit: usize,
    },
    /// Room for arguments.
    Arguments {
        /// The action that there was no room for.
        action: &'static str,
        /// How many bytes there can be.
        limit: usize,
    },
    /// Copies.
    Copies {
        /// How many there can be.
        limit: u16,
    },
    /// Counters.
    Counters,
    /// Tunnels to be opened.
    Decap {
        /// Kind of tunnel.
        kind: TunnelKind,
        /// Whether over IPv6.
        v6: bool,
    },
    /// Something that opening a tunnel has to do.
    DecapFlag {
        /// What.
        name: &'static str,
    },
    /// Tunnels to be sent into.
    Encap {
        /// Kind of tunnel.
        kind: TunnelKind,
        /// Whether over IPv6.
        v6: bool,
    },
    /// Room for outer headers.
    EncapLength {
        /// How many bytes they may take.
        length: usize,
        /// How many there can be.
        limit: u16,
    },
    /// Something that outer headers have to have.
    EncapFlag {
        /// What.
        name: &'static str,
    },
}

impl Lack {
    /// The error number, positive.
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Conditions { .. }
            | Self::KeyLength { .. }
            | Self::Options { .. }
            | Self::Actions { .. }
            | Self::Arguments { .. }
            | Self::Copies { .. }
            | Self::EncapLength { .. } => errno::ERANGE,
            _ => errno::EOPNOTSUPP,
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { field } => write!(f, "{} cannot be matched by this device", field.text()),
            Self::Mask { field } => {
                write!(
                    f,
                    "{}: this device matches all of its bits or none",
                    field.text()
                )
            }
            Self::Range { field } => write!(
                f,
                "{}: ranges cannot be matched by this device",
                field.text()
            ),
            Self::Conditions { field, limit } => write!(
                f,
                "{}: this device matches at most {limit} fields at once",
                field.text()
            ),
            Self::KeyLength { field, limit } => write!(
                f,
                "{}: this device matches at most {limit} bytes at once",
                field.text()
            ),
            Self::Options { length, limit } => write!(
                f,
                "enc_opts: {length} bytes of options, this device matches {limit}"
            ),
            Self::Action { action, kind } if *action == kind.text() => {
                write!(f, "action {action} cannot be done by this device")
            }
            Self::Action { action, kind } => write!(
                f,
                "action {action} cannot be done by this device ({})",
                kind.text()
            ),
            Self::Verdict { which, verdict } => write!(
                f,
                "action police: {which} {} cannot be done by this device",
                verdict.text()
            ),
            Self::Meter { unit } => write!(
                f,
                "action police: this device has no limits of {}",
                unit.text()
            ),
            Self::Edit {
                header,
                byte,
                operation,
            } => write_edit(f, *header, *byte, *operation),
            Self::Checksum { name } => {
                write!(f, "action csum {name} cannot be done by this device")
            }
            Self::Actions { action, limit } => write!(
                f,
                "action {action}: this device does at most {limit} steps in a rule"
            ),
            Self::Arguments { action, limit } => write!(
                f,
                "action {action}: this device keeps at most {limit} bytes of values"
            ),
            Self::Copies { limit } => write!(
                f,
                "mirred mirror, sample: this device makes at most {limit} copies in a rule"
            ),
            Self::Counters => write!(
                f,
                "hw_stats: this device has no counters, use hw_stats disabled"
            ),
            Self::Decap { kind, v6 } => write!(
                f,
                "{} over {} cannot be opened by this device",
                kind.text(),
                version(*v6)
            ),
            Self::DecapFlag { name } => write!(f, "tunnel: this device does not {name}"),
            Self::Encap { kind, v6 } => write!(
                f,
                "action tunnel_key set: this device does not send {} over {}",
                kind.text(),
                version(*v6)
            ),
            Self::EncapLength { length, limit } => write!(
                f,
                "action tunnel_key set: {length} bytes of headers, this device puts at most {limit}"
            ),
            Self::EncapFlag { name } => {
                write!(f, "action tunnel_key set: this device has no {name}")
            }
        }
    }
}

const fn version(v6: bool) -> &'static str {
    if v6 {
        "IPv6"
    } else {
        "IPv4"
    }
}

fn write_edit(
    f: &mut fmt::Formatter<'_>,
    header: Header,
    byte: u32,
    operation: Operation,
) -> fmt::Result {
    let verb = match operation {
        Operation::Set => "set",
        Operation::Add => "add",
    };
    let place = PLACES.iter().find(|place| {
        place.header == header && place.start <= byte && byte - place.start < place.bytes
    });
    match place {
        Some(place) => write!(
            f,
            "pedit {} {verb}: this device cannot do that to byte {byte}",
            place.name
        ),
        None => write!(
            f,
            "pedit {} {verb}: this device cannot do that to byte {byte}",
            header.name()
        ),
    }
}
