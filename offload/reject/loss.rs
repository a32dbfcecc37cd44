// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What would be lost or done twice where a packet that the device does not bring to an end goes on in software.

use core::fmt;

use super::errno;

/// Why a rule's packets could not go on in software as they must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A `goto chain` in hardware only: software does not know it.
    Unknown {
        /// The chain.
        chain: u32,
    },
    /// Something before a `goto chain` that cannot be taken back, and that software would do again.
    Again {
        /// The action's name.
        action: &'static str,
        /// The chain.
        chain: u32,
    },
    /// The device cannot take back what it has done before a `goto chain`.
    Rewind {
        /// The action's name, or `hw_stats`.
        what: &'static str,
        /// The chain.
        chain: u32,
    },
    /// Back to the first chain, where software would start.
    Back,
    /// A note beside the packet that no one takes along.
    Note {
        /// The action that makes it.
        action: &'static str,
        /// The action behind which it is lost.
        at: &'static str,
    },
    /// Something that cannot be had at a port's egress, where software does not see what the device sends.
    Egress {
        /// What.
        what: &'static str,
    },
    /// Something that a rule of a VLAN device cannot have.
    Upper {
        /// What.
        what: &'static str,
    },
    /// The port below as destination of a rule of a VLAN device, into the host.
    Below {
        /// The action's name.
        action: &'static str,
    },
    /// A VLAN device as destination, into the host.
    UpperIngress {
        /// The action's name.
        action: &'static str,
    },
    /// A rule in hardware only that accepts some packets and traps others: the driver is told the same of both.
    Mixed,
    /// Accepted by a rule in hardware only: software would go on with the rules behind.
    Accepted,
    /// `continue`, and software would police a packet again that nothing behind takes.
    Continue,
    /// `continue` of a rule beside which there can be others in its priority.
    ContinueFlower,
    /// `continue` behind a change of the packet, or in a chain that is not the first.
    ContinueAfter {
        /// What is in the way.
        what: &'static str,
    },
}

impl Loss {
    /// The error number, positive.
    pub const fn errno(&self) -> i32 {
        errno::EOPNOTSUPP
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { chain } => write!(
                f,
                "goto chain {chain}: not with skip_sw, this kernel has no NET_TC_SKB_EXT"
            ),
            Self::Again { action, chain } => write!(
                f,
                "{action} before goto chain {chain}: software would repeat it"
            ),
            Self::Rewind { what, chain } => write!(
                f,
                "{what} with goto chain {chain}: this device cannot take it back"
            ),
            Self::Back => write!(
                f,
                "goto chain 0: software cannot go on behind it (no NET_TC_SKB_EXT)"
            ),
            Self::Note { action, at } => {
                write!(f, "{action} before {at}: it would be lost there")
            }
            Self::Egress { what } => write!(
                f,
                "{what}: not at egress, software does not see what the device sends"
            ),
            Self::Upper { what } => write!(f, "{what}: not in a rule of a VLAN device"),
            Self::Below { action } => {
                write!(
                    f,
                    "action {action}: not into the port below the VLAN device"
                )
            }
            Self::UpperIngress { action } => write!(f, "action {action}: not into a VLAN device"),
            Self::Mixed => write!(
                f,
                "action trap with skip_sw: not in one rule with ok, which comes up alike"
            ),
            Self::Accepted => write!(
                f,
                "action ok with skip_sw: software would go on with the rules behind"
            ),
            Self::Continue => write!(
                f,
                "police continue without skip_sw: software would police packets again"
            ),
            Self::ContinueFlower => write!(
                f,
                "police continue: only with matchall, which is alone in its prio"
            ),
            Self::ContinueAfter { what } => write!(
                f,
                "police continue: not with {what}, software could not go on there"
            ),
        }
    }
}
