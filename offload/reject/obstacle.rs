// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What stands in the way of rules about tunnels.

use core::fmt;

use super::errno;
use crate::rule::Field;

/// Why a rule about a tunnel cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A key of outer headers on an interface that is no tunnel device.
    NoTunnel {
        /// The field.
        field: Field,
    },
    /// A key of outer headers on a tunnel device that leaves no note of them.
    NotExternal {
        /// The field.
        field: Field,
    },
    /// The device never receives such frames.
    NeverHere {
        /// The field that the rule and the device do not agree on.
        field: Field,
    },
    /// Options of another kind of tunnel.
    NoSuchOptions,
    /// The host's address is not known.
    NoDestination,
    /// A gretap device without a key, or with the key 0.
    Keyless,
    /// Bits of TOS that change when the tunnel is opened.
    CongestionMark,
    /// A frame out of a tunnel that would go up at another port.
    Ingress {
        /// The action's name.
        action: &'static str,
    },
    /// Accepted or trapped frames of a rule in hardware only.
    Upwards {
        /// The action's name.
        action: &'static str,
    },
    /// A tunnel device as destination, and no `tunnel_key set` before.
    NoEncap {
        /// The action's name.
        action: &'static str,
    },
    /// A tunnel device as destination, into the host.
    EncapIngress {
        /// The action's name.
        action: &'static str,
    },
    /// `tunnel_key set` for a device of its own identifier.
    EncapNotExternal,
    /// `tunnel_key set` without addresses.
    EncapAddress,
    /// A gretap device, and no TTL said.
    EncapTtl,
    /// A gretap device, and the TOS by which it takes over that of the packet.
    EncapTos,
    /// An identifier of more than 24 bits.
    EncapId,
    /// Options of another kind of tunnel to be sent.
    EncapOptions,
}

impl Obstacle {
    /// The error number, positive.
    pub const fn errno(&self) -> i32 {
        match self {
            Self::NoSuchOptions | Self::EncapId | Self::EncapOptions | Self::EncapAddress => {
                errno::EINVAL
            }
            _ => errno::EOPNOTSUPP,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTunnel { field } => write!(
                f,
                "{}: only rules of a tunnel device can match outer headers",
                field.name()
            ),
            Self::NotExternal { field } => write!(
                f,
                "{}: matches nothing on a tunnel device that is not external",
                field.name()
            ),
            Self::NeverHere { field } => write!(
                f,
                "{}: this tunnel device never receives such packets",
                field.name()
            ),
            Self::NoSuchOptions => {
                write!(f, "enc_opts: this tunnel device has no such options")
            }
            Self::NoDestination => write!(
                f,
                "enc_dst_ip: needed in full, or a local address of the tunnel device"
            ),
            Self::Keyless => write!(
                f,
                "enc_key_id: a gretap device needs a key other than 0, or must be external"
            ),
            Self::CongestionMark => write!(
                f,
                "ip_tos: on a tunnel device only with a mask of at most 0xfc (no ECN)"
            ),
            Self::Ingress { action } => write!(f, "action {action}: not out of a tunnel"),
            Self::Upwards { action } => write!(
                f,
                "action {action}: not with skip_sw, tunnelled packets go up as they came"
            ),
            Self::NoEncap { action } => write!(
                f,
                "{action}: into a tunnel device only behind tunnel_key set"
            ),
            Self::EncapIngress { action } => {
                write!(f, "action {action}: not into a tunnel device")
            }
            Self::EncapNotExternal => {
                write!(
                    f,
                    "action tunnel_key set: the tunnel device must be external"
                )
            }
            Self::EncapAddress => {
                write!(f, "action tunnel_key set: src_ip and dst_ip are needed")
            }
            Self::EncapTtl => write!(f, "action tunnel_key set: a gretap device needs a ttl"),
            Self::EncapTos => write!(
                f,
                "action tunnel_key set: tos 1 of a gretap device is the packet's own"
            ),
            Self::EncapId => write!(f, "action tunnel_key set: id has more than 24 bits"),
            Self::EncapOptions => write!(
                f,
                "action tunnel_key set: the tunnel device has no such options"
            ),
        }
    }
}
