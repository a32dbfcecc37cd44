// SPDX-License-Identifier: GPL-2.0-only

//! What of a frame is hashed.

use kernel::bindings as raw;

/// What is done to the addresses and ports before they are hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Transform {
    /// Nothing.
    #[default]
    None,
    /// `symmetric-xor`.
    SymmetricXor,
    /// `symmetric-or-xor`.
    SymmetricOrXor,
}

impl Transform {
    pub(super) const fn as_raw(self) -> u8 {
        (match self {
            Self::None => 0,
            Self::SymmetricXor => raw::RXH_XFRM_SYM_XOR,
            Self::SymmetricOrXor => raw::RXH_XFRM_SYM_OR_XOR,
        }) as u8
    }

    pub(super) fn from_raw(raw: u8) -> Option<Self> {
        [Self::None, Self::SymmetricXor, Self::SymmetricOrXor]
            .into_iter()
            .find(|this| this.as_raw() == raw)
    }

    /// The set of some transformations, for [`super::Operations::TRANSFORMS`].
    pub const fn set(transforms: &[Self]) -> u8 {
        let (mut set, mut index) = (0, 0);
        while index < transforms.len() {
            set |= transforms[index].as_raw();
            index += 1;
        }
        set
    }
}

/// Kinds of frame that can be hashed differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// IPv4, none of those below.
    Ipv4,
    /// IPv6, none of those below.
    Ipv6,
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over IPv4.
    Udp4,
    /// UDP over IPv6.
    Udp6,
    /// SCTP over IPv4.
    Sctp4,
    /// SCTP over IPv6.
    Sctp6,
}

impl Flow {
    pub(super) fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            raw::IPV4_FLOW => Self::Ipv4,
            raw::IPV6_FLOW => Self::Ipv6,
            raw::TCP_V4_FLOW => Self::Tcp4,
            raw::TCP_V6_FLOW => Self::Tcp6,
            raw::UDP_V4_FLOW => Self::Udp4,
            raw::UDP_V6_FLOW => Self::Udp6,
            raw::SCTP_V4_FLOW => Self::Sctp4,
            raw::SCTP_V6_FLOW => Self::Sctp6,
            _ => return None,
        })
    }
}

/// Fields of a frame that are hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fields {
    /// Source address of IP.
    pub source: bool,
    /// Destination address of IP.
    pub destination: bool,
    /// Source port.
    pub source_port: bool,
    /// Destination port.
    pub destination_port: bool,
}

impl Fields {
    pub(super) fn as_raw(self) -> u32 {
        let bit = |on: bool, bit: u32| if on { bit } else { 0 };
        bit(self.source, raw::RXH_IP_SRC)
            | bit(self.destination, raw::RXH_IP_DST)
            | bit(self.source_port, raw::RXH_L4_B_0_1)
            | bit(self.destination_port, raw::RXH_L4_B_2_3)
    }

    /// Also gives the text for a field that is none of ours, and is asked for.
    pub(super) fn from_raw(raw: u32) -> Result<Self, &'static str> {
        let others = [
            (raw::RXH_L2DA, "the Ethernet address cannot be hashed"),
            (raw::RXH_VLAN, "the VLAN cannot be hashed"),
            (raw::RXH_L3_PROTO, "the IP protocol cannot be hashed"),
            (raw::RXH_GTP_TEID, "the GTP tunnel id cannot be hashed"),
            (raw::RXH_IP6_FL, "the flow label cannot be hashed"),
            (raw::RXH_DISCARD, "frames cannot be discarded by hashing"),
        ];
        if let Some((_, text)) = others.iter().find(|(bit, _)| raw & bit != 0) {
            return Err(text);
        }
        let this = Self {
            source: raw & raw::RXH_IP_SRC != 0,
            destination: raw & raw::RXH_IP_DST != 0,
            source_port: raw & raw::RXH_L4_B_0_1 != 0,
            destination_port: raw & raw::RXH_L4_B_2_3 != 0,
        };
        if this.as_raw() == raw {
            Ok(this)
        } else {
            Err("a field that is not known cannot be hashed")
        }
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_ethtool_rss)]
mod tests {
    use super::*;

    #[test]
    fn fields_survive_the_way_to_c_and_back() {
        for bits in 0..16 {
            let fields = Fields {
                source: bits & 1 != 0,
                destination: bits & 2 != 0,
                source_port: bits & 4 != 0,
                destination_port: bits & 8 != 0,
            };
            assert_eq!(Fields::from_raw(fields.as_raw()), Ok(fields));
        }
    }

    #[test]
    fn a_field_that_cannot_be_hashed_is_named() {
        assert_eq!(
            Fields::from_raw(raw::RXH_VLAN | raw::RXH_IP_SRC),
            Err("the VLAN cannot be hashed")
        );
        assert_eq!(
            Fields::from_raw(raw::RXH_IP6_FL),
            Err("the flow label cannot be hashed")
        );
        assert!(Fields::from_raw(1 << 20).is_err());
    }

    #[test]
    fn no_change_is_no_transformation() {
        assert_eq!(Transform::from_raw(0), Some(Transform::None));
        assert_eq!(
            Transform::from_raw(raw::RXH_XFRM_SYM_OR_XOR as u8),
            Some(Transform::SymmetricOrXor)
        );
        assert_eq!(Transform::from_raw(3), None);
        assert_eq!(Transform::from_raw(raw::RXH_XFRM_NO_CHANGE as u8), None);
    }
}
