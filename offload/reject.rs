// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Every reason to refuse a rule: the only place where texts for users are.
//!
//! The text (`Display`) is one line for extack: which field or action, and why. The kernel cuts it behind 79 bytes
//! (`NETLINK_MAX_FMTMSG_LEN`). The number is what the request returns.

use core::fmt;

pub mod lack;
pub mod loss;
pub mod obstacle;

pub use lack::Lack;
pub use loss::Loss;
pub use obstacle::Obstacle;

use crate::plan::order::Ranges;
use crate::rule::edit::Header;
use crate::rule::field::Needs;
use crate::rule::key::Range;
use crate::rule::{Cookie, Field};

/// Error numbers of Linux.
pub mod errno {
    /// No such thing.
    pub const ENOENT: i32 = 2;
    /// It is there already.
    pub const EEXIST: i32 = 17;
    /// It makes no sense.
    pub const EINVAL: i32 = 22;
    /// There is no room.
    pub const ENOSPC: i32 = 28;
    /// A number is out of range.
    pub const ERANGE: i32 = 34;
    /// It is not supported.
    pub const EOPNOTSUPP: i32 = 95;
}

/// A part of a VLAN tag that an action sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagPart {
    /// Its type.
    Protocol,
    /// Its id.
    Id,
    /// Its priority.
    Priority,
}

/// A reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// A value or mask does not have the field's width.
    Width {
        /// The field.
        field: Field,
    },
    /// A field means something only together with another one, which the rule does not match exactly.
    Prerequisite {
        /// The field.
        field: Field,
        /// What is missing.
        needs: Needs,
    },
    /// IPv4 and IPv6 addresses in one rule.
    MixedFamilies {
        /// A field of one family.
        field: Field,
    },
    /// A range of ports whose lowest is not below its highest.
    EmptyRange {
        /// The field.
        field: Field,
        /// The range.
        range: Range,
    },
    /// Geneve options that are empty, cut, too long, or not as long as their mask.
    GeneveOptions,
    /// Bits of a VXLAN group that do not exist.
    Group,
    /// A matchall rule with a key.
    MatchallKey,
    /// Too many actions.
    TooManyActions {
        /// How many there can be.
        limit: usize,
    },
    /// A verdict that tc does not hand to drivers.
    Control {
        /// Its name.
        action: &'static str,
    },
    /// A VLAN action with a value that does not fit.
    Tag {
        /// The action's name.
        action: &'static str,
        /// What does not fit.
        part: TagPart,
    },
    /// An edit that pedit does not make: not at a multiple of four bytes, or a value outside of its bits.
    EditShape {
        /// The header.
        header: Header,
        /// The offset.
        offset: u32,
    },
    /// An edit behind the fields that a header has for certain.
    EditPlace {
        /// The header.
        header: Header,
        /// The offset.
        offset: u32,
    },
    /// Checksums that do not exist.
    Checksum,
    /// A sample of one packet in zero.
    SampleRate,
    /// A policer whose rate is zero.
    PoliceRate,
    /// A verdict that a policer cannot have.
    PoliceVerdict {
        /// `conform` or `exceed`.
        which: &'static str,
    },
    /// A rule of the same priority has the same key.
    SameKey {
        /// That rule.
        other: Cookie,
    },
    /// A rule of the same name is there.
    SameCookie,
    /// There is no rule of that name.
    NoSuchRule,
    /// The new version of a rule does not look at the same bits, or is elsewhere.
    OtherMask,
    /// The priority has another protocol, or another classifier.
    OtherClassifier {
        /// The priority.
        priority: u32,
    },
    /// No room for a rule.
    Full {
        /// How many rules there can be.
        limit: usize,
    },
    /// Something that the device lacks.
    Lacks(Lack),
    /// Something that would be lost, or done twice, where packets go on in software.
    Lost(Loss),
    /// Something about tunnels.
    Tunnel(Obstacle),
    /// A jump to an action that is not behind.
    Jump {
        /// The number of that action.
        to: usize,
    },
    /// A chain for which there is no table.
    NoTable {
        /// The chain.
        chain: u32,
    },
    /// An interface that is not on this device.
    NoPort {
        /// The field or action that names it.
        what: &'static str,
    },
    /// A priority that tc does not have.
    Priority {
        /// The priority.
        priority: u32,
    },
    /// No number for another mask in a priority.
    OrderFull {
        /// The priority.
        priority: u32,
    },
    /// A rule that came as its block was bound, or has the mask of one that did, beside others of its priority.
    Unordered {
        /// The priority.
        priority: u32,
    },
    /// A match of nftables whose meaning does not come along.
    Unclear {
        /// The field.
        field: Field,
    },
    /// A port range that a younger, overlapping one has followed.
    RangeOrder {
        /// The rule's ranges.
        own: Ranges,
        /// The younger ones.
        other: Ranges,
    },
}

impl Reject {
    /// The error number, positive, of [`errno`].
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Width { .. }
            | Self::Prerequisite { .. }
            | Self::MixedFamilies { .. }
            | Self::EmptyRange { .. }
            | Self::Group
            | Self::MatchallKey
            | Self::Tag { .. }
            | Self::EditShape { .. }
            | Self::Checksum
            | Self::SampleRate
            | Self::PoliceRate
            | Self::OtherMask
            | Self::OtherClassifier { .. }
            | Self::Priority { .. } => errno::EINVAL,
            Self::GeneveOptions | Self::TooManyActions { .. } => errno::ERANGE,
            Self::Control { .. }
            | Self::EditPlace { .. }
            | Self::PoliceVerdict { .. }
            | Self::Jump { .. }
            | Self::NoPort { .. }
            | Self::Unclear { .. }
            | Self::Unordered { .. }
            | Self::RangeOrder { .. } => errno::EOPNOTSUPP,
            Self::SameKey { .. } | Self::SameCookie => errno::EEXIST,
            Self::NoSuchRule => errno::ENOENT,
            Self::Full { .. } | Self::NoTable { .. } | Self::OrderFull { .. } => errno::ENOSPC,
            Self::Lacks(lack) => lack.errno(),
            Self::Lost(loss) => loss.errno(),
            Self::Tunnel(obstacle) => obstacle.errno(),
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Width { field } => write!(
                f,
                "{}: value or mask has more than {} bits",
                field.name(),
                field.description().bits
            ),
            Self::Prerequisite { field, needs } => {
                write!(f, "{} needs {}", field.name(), needs.text())
            }
            Self::MixedFamilies { field } => write!(
                f,
                "{}: a rule cannot match IPv4 and IPv6 addresses at once",
                field.name()
            ),
            Self::EmptyRange { field, range } => {
                write!(
                    f,
                    "{} range {}-{}: the first port must be below the last",
                    field.name(),
                    range.min,
                    range.max
                )
            }
            Self::GeneveOptions => write!(
                f,
                "geneve_opts: 4 to 252 bytes in whole options, with a mask of the same length"
            ),
            Self::Group => write!(
                f,
                "vxlan_opts: only group id, policy applied and don't learn exist"
            ),
            Self::MatchallKey => write!(f, "matchall has no keys"),
            Self::TooManyActions { limit } => write!(f, "more than {limit} actions"),
            Self::Control { action } => write!(f, "action {action} alone cannot be offloaded"),
            Self::Tag { action, part } => write!(
                f,
                "action {action}: {}",
                match part {
                    TagPart::Protocol => "protocol must be 802.1Q or 802.1ad",
                    TagPart::Id => "id must be below 4096",
                    TagPart::Priority => "priority must be below 8",
                }
            ),
            Self::EditShape { header, offset } => {
                write!(f, "pedit {} at {offset}: not at a multiple of four, or a value where bits are kept", header.name())
            }
            Self::EditPlace { header, offset } => {
                write!(
                    f,
                    "pedit {} at {offset}: outside of the fields of that header",
                    header.name()
                )
            }
            Self::Checksum => write!(f, "action csum: unknown checksum"),
            Self::SampleRate => write!(f, "action sample: rate must not be zero"),
            Self::PoliceRate => write!(f, "action police: rate must not be zero"),
            Self::PoliceVerdict { which } => {
                write!(f, "action police: this {which} verdict cannot be offloaded")
            }
            Self::SameKey { other } => write!(
                f,
                "a rule of this priority has the same key (cookie {:#x})",
                other.0
            ),
            Self::SameCookie => write!(f, "a rule with this cookie exists"),
            Self::NoSuchRule => write!(f, "no rule with this cookie"),
            Self::OtherMask => write!(
                f,
                "the new rule must have the chain, priority and mask of the old one"
            ),
            Self::OtherClassifier { priority } => {
                write!(f, "priority {priority} has another protocol or classifier")
            }
            Self::Full { limit } => write!(f, "the table has no room: {limit} rules"),
            Self::Lacks(lack) => lack.fmt(f),
            Self::Lost(loss) => loss.fmt(f),
            Self::Tunnel(obstacle) => obstacle.fmt(f),
            Self::Jump { to } => {
                write!(
                    f,
                    "action police: jump to action {to}, which is not behind it"
                )
            }
            Self::NoTable { chain } => {
                write!(
                    f,
                    "action goto chain {chain}: the device has no table for it"
                )
            }
            Self::NoPort { what } => write!(f, "{what}: the interface is not on this device"),
            Self::Unclear { field } => write!(
                f,
                "{}: what nftables means by it does not come along",
                field.name()
            ),
            Self::Priority { priority } => write!(f, "prio {priority}: more than 65535"),
            Self::OrderFull { priority } => {
                write!(f, "prio {priority}: too many masks, use another prio")
            }
            Self::Unordered { priority } => write!(
                f,
                "prio {priority}: order of rules from before unknown, lay this prio's anew"
            ),
            Self::RangeOrder { own, other } => write_ranges(f, own, other),
        }
    }
}

fn write_ranges(f: &mut fmt::Formatter<'_>, own: &Ranges, other: &Ranges) -> fmt::Result {
    let both = [
        ("src_port", own.src, other.src),
        ("dst_port", own.dst, other.dst),
    ];
    for (name, own, other) in both {
        if let (Some(own), Some(other)) = (own, other) {
            return write!(
                f,
                "{name} range {}-{}: {}-{} came between, use another prio",
                own.min, own.max, other.min, other.max
            );
        }
    }
    Ok(())
}

impl Needs {
    /// What must be matched.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Tag => "a VLAN protocol, or num_of_vlans of at least 1",
            Self::SecondTag => "a VLAN vlan_ethtype, or num_of_vlans of at least 2",
            Self::Ip => "eth_type ip or ipv6",
            Self::Ports => "ip_proto tcp, udp or sctp",
            Self::Tcp => "ip_proto tcp",
            Self::Icmp => "ip_proto icmp with ip, or icmpv6 with ipv6",
            Self::Arp => "eth_type arp or rarp",
            Self::Mpls => "eth_type mpls_uc or mpls_mc",
        }
    }
}

impl Header {
    /// Its name, as tc's pedit has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ethernet => "eth",
            Self::Network => "network",
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ip6",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}
