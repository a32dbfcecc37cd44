// SPDX-License-Identifier: GPL-2.0-only

//! A steering rule, which keeps what the user has put, to be shown again, and tells in plain values what it matches and what it
//! does.

use crate::net::netdev::Address;
use kernel::{bindings as raw, prelude::*};

/// Ethernet types.
const ETH_P_IP: [u8; 2] = 0x0800u16.to_be_bytes();
const ETH_P_IPV6: [u8; 2] = 0x86ddu16.to_be_bytes();

/// A value of a header field, in network order, and which of its bits count. The value has no other bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Masked<T> {
    /// Value.
    pub value: T,
    /// A bit counts where this has a 1.
    pub mask: T,
}

impl<const N: usize> Masked<[u8; N]> {
    /// `None` where no bit counts.
    fn new(mut value: [u8; N], mask: [u8; N]) -> Option<Self> {
        for (value, mask) in value.iter_mut().zip(&mask) {
            *value &= mask;
        }
        (mask != [0; N]).then_some(Self { value, mask })
    }

    /// At an offset of the bytes of a flow specification and its mask.
    fn at(spec: &Spec, offset: usize) -> Option<Self> {
        let mut this = Self {
            value: [0; N],
            mask: [0; N],
        };
        this.value
            .copy_from_slice(spec.value.get(offset..offset + N)?);
        this.mask
            .copy_from_slice(spec.mask.get(offset..offset + N)?);
        Self::new(this.value, this.mask)
    }

    /// Whether every bit counts.
    pub fn is_exact(&self) -> bool {
        self.mask == [0xff; N]
    }
}

impl Masked<[u8; 4]> {
    /// An IPv4 address where IPv6 addresses can be, too.
    fn widen(self) -> Masked<[u8; 16]> {
        let mut wide = Masked {
            value: [0; 16],
            mask: [0; 16],
        };
        wide.value[..4].copy_from_slice(&self.value);
        wide.mask[..4].copy_from_slice(&self.mask);
        wide
    }
}

/// What a rule matches: frames that have all of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Match {
    /// Destination address of the frame.
    pub destination_mac: Option<Masked<Address>>,
    /// Source address of the frame.
    pub source_mac: Option<Masked<Address>>,
    /// VLAN tag.
    pub vlan: Option<Masked<[u8; 2]>>,
    /// Ethernet type behind tags.
    pub ether_type: Option<Masked<[u8; 2]>>,
    /// IP protocol, or next header.
    pub protocol: Option<u8>,
    /// Source address; IPv4 in the first 4 bytes.
    pub source: Option<Masked<[u8; 16]>>,
    /// Destination address, likewise.
    pub destination: Option<Masked<[u8; 16]>>,
    /// Source port.
    pub source_port: Option<Masked<[u8; 2]>>,
    /// Destination port.
    pub destination_port: Option<Masked<[u8; 2]>>,
    /// Type of service, or traffic class.
    pub tos: Option<Masked<[u8; 1]>>,
}

/// What a rule does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Drops the frame.
    Drop,
    /// To a queue.
    Queue(u32),
    /// To the queue that this hashing context gives, counted on by so many.
    Context {
        /// Context.
        context: u32,
        /// Added to what its table gives.
        add: u32,
    },
}

/// Where a rule is to go in the order of rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Location {
    /// Here.
    At(u32),
    /// Anywhere.
    Any,
    /// At the first free place.
    First,
    /// At the last free place.
    Last,
}

/// A rule as a user has put it.
#[derive(Clone, Copy)]
pub struct Rule {
    pub(super) flow: raw::ethtool_rx_flow_spec,
    pub(super) context: u32,
}

/// The bytes of a flow specification.
struct Spec {
    value: [u8; 52],
    mask: [u8; 52],
}

/// The fields of TCP, UDP and SCTP specifications: size of an address, protocol.
fn ports(spec: &Spec, address: usize, protocol: u8, out: &mut Match) {
    out.protocol = Some(protocol);
    out.source_port = Masked::at(spec, 2 * address);
    out.destination_port = Masked::at(spec, 2 * address + 2);
    out.tos = Masked::at(spec, 2 * address + 4);
}

impl Rule {
    fn location_raw(&self) -> u32 {
        self.flow.location
    }

    /// Where the user wants it.
    pub fn location(&self) -> Location {
        match self.location_raw() {
            raw::RX_CLS_LOC_ANY => Location::Any,
            raw::RX_CLS_LOC_FIRST => Location::First,
            raw::RX_CLS_LOC_LAST => Location::Last,
            at => Location::At(at),
        }
    }

    /// The same at another place.
    pub fn at(mut self, location: u32) -> Self {
        self.flow.location = location;
        self
    }

    /// What it does; or why that cannot be.
    pub fn action(&self) -> Result<Action, &'static str> {
        let cookie = self.flow.ring_cookie;
        if cookie == raw::RX_CLS_FLOW_DISC as u64 {
            return Ok(Action::Drop);
        }
        if cookie == raw::RX_CLS_FLOW_WAKE as u64 {
            return Err("frames cannot wake the machine");
        }
        let queue =
            u32::try_from(cookie).map_err(|_| "frames cannot be steered to a VF's queues")?;
        if self.flow.flow_type & raw::FLOW_RSS != 0 {
            return Ok(Action::Context {
                context: self.context,
                add: queue,
            });
        }
        Ok(Action::Queue(queue))
    }

    /// What it matches; or what of it cannot be matched.
    pub fn matches(&self) -> Result<Match, &'static str> {
        // SAFETY: All members of the unions are bytes.
        let spec = unsafe {
            Spec {
                value: self.flow.h_u.hdata,
                mask: self.flow.m_u.hdata,
            }
        };
        let mut out = Match::default();
        let kind = self.flow.flow_type & !(raw::FLOW_EXT | raw::FLOW_MAC_EXT | raw::FLOW_RSS);
        const TCP: u8 = raw::IPPROTO_TCP as u8;
        const UDP: u8 = raw::IPPROTO_UDP as u8;
        const SCTP: u8 = raw::IPPROTO_SCTP as u8;
        match kind {
            raw::ETHER_FLOW => {
                out.destination_mac = Masked::at(&spec, 0);
                out.source_mac = Masked::at(&spec, 6);
                out.ether_type = Masked::at(&spec, 12);
            }
            raw::TCP_V4_FLOW => ports(&spec, 4, TCP, &mut out),
            raw::UDP_V4_FLOW => ports(&spec, 4, UDP, &mut out),
            raw::SCTP_V4_FLOW => ports(&spec, 4, SCTP, &mut out),
            raw::TCP_V6_FLOW => ports(&spec, 16, TCP, &mut out),
            raw::UDP_V6_FLOW => ports(&spec, 16, UDP, &mut out),
            raw::SCTP_V6_FLOW => ports(&spec, 16, SCTP, &mut out),
            raw::IPV4_USER_FLOW => Self::user(&spec, 4, 14, &mut out)?,
            raw::IPV6_USER_FLOW => Self::user(&spec, 16, 37, &mut out)?,
            raw::AH_V4_FLOW | raw::AH_V6_FLOW | raw::ESP_V4_FLOW | raw::ESP_V6_FLOW => {
                return Err("AH and ESP cannot be matched");
            }
            _ => return Err("flows of this type cannot be matched"),
        }
        match kind {
            raw::ETHER_FLOW => {}
            raw::TCP_V4_FLOW | raw::UDP_V4_FLOW | raw::SCTP_V4_FLOW | raw::IPV4_USER_FLOW => {
                out.ether_type = Masked::new(ETH_P_IP, [0xff; 2]);
                out.source = Masked::<[u8; 4]>::at(&spec, 0).map(Masked::widen);
                out.destination = Masked::<[u8; 4]>::at(&spec, 4).map(Masked::widen);
            }
            _ => {
                out.ether_type = Masked::new(ETH_P_IPV6, [0xff; 2]);
                out.source = Masked::at(&spec, 0);
                out.destination = Masked::at(&spec, 16);
            }
        }
        self.extended(&mut out)?;
        Ok(out)
    }

    /// The fields of `ip4` and `ip6` specifications behind the addresses: four bytes of the next header, type of service, and
    /// at `protocol` the protocol.
    fn user(
        spec: &Spec,
        address: usize,
        protocol: usize,
        out: &mut Match,
    ) -> Result<(), &'static str> {
        out.source_port = Masked::at(spec, 2 * address);
        out.destination_port = Masked::at(spec, 2 * address + 2);
        out.tos = Masked::at(spec, 2 * address + 4);
        out.protocol = match Masked::<[u8; 1]>::at(spec, protocol) {
            None => None,
            Some(exact) if exact.is_exact() => Some(exact.value[0]),
            Some(_) => return Err("the IP protocol can only be matched as a whole"),
        };
        let with_ports = [raw::IPPROTO_TCP, raw::IPPROTO_UDP, raw::IPPROTO_SCTP];
        let has_ports = out
            .protocol
            .is_some_and(|protocol| with_ports.contains(&protocol.into()));
        if !has_ports && (out.source_port.is_some() || out.destination_port.is_some()) {
            return Err("bytes behind the IP header can only be matched where they are ports");
        }
        Ok(())
    }

    fn extended(&self, out: &mut Match) -> Result<(), &'static str> {
        let (value, mask) = (&self.flow.h_ext, &self.flow.m_ext);
        if self.flow.flow_type & raw::FLOW_EXT != 0 {
            if mask.vlan_etype != 0 {
                return Err("the type of a VLAN tag cannot be matched");
            }
            if mask.data != [0; 2] {
                return Err("user-defined bytes cannot be matched");
            }
            // The fields are big-endian in memory.
            out.vlan = Masked::new(value.vlan_tci.to_ne_bytes(), mask.vlan_tci.to_ne_bytes());
        }
        if self.flow.flow_type & raw::FLOW_MAC_EXT != 0 {
            if out.destination_mac.is_some() {
                return Err("the destination address is given twice");
            }
            out.destination_mac = Masked::new(value.h_dest, mask.h_dest);
        }
        Ok(())
    }
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_ethtool_steering)]
mod tests {
    use super::*;

    fn rule(flow_type: u32) -> Rule {
        Rule {
            flow: raw::ethtool_rx_flow_spec {
                flow_type,
                ..pin_init::zeroed()
            },
            context: 0,
        }
    }

    #[test]
    fn tcp_over_ipv4_is_taken_apart() {
        let mut rule = rule(raw::TCP_V4_FLOW);
        let (value, mask) = (&mut rule.flow.h_u, &mut rule.flow.m_u);
        value.tcp_ip4_spec.ip4src = u32::from_ne_bytes([10, 0, 0, 1]);
        mask.tcp_ip4_spec.ip4src = u32::from_ne_bytes([255, 255, 255, 0]);
        value.tcp_ip4_spec.pdst = 80u16.to_be();
        mask.tcp_ip4_spec.pdst = 0xffff;
        let found = rule.matches().unwrap();
        assert_eq!(found.ether_type, Masked::new([8, 0], [0xff; 2]));
        assert_eq!(found.protocol, Some(6));
        let source = found.source.unwrap();
        assert_eq!(source.value[..5], [10, 0, 0, 0, 0]);
        assert_eq!(source.mask[..5], [255, 255, 255, 0, 0]);
        assert_eq!(found.destination_port, Masked::new([0, 80], [0xff; 2]));
        assert!(found.source_port.is_none() && found.destination.is_none() && found.tos.is_none());
    }

    #[test]
    fn udp_over_ipv6_is_taken_apart() {
        let mut rule = rule(raw::UDP_V6_FLOW);
        let (value, mask) = (&mut rule.flow.h_u, &mut rule.flow.m_u);
        value.udp_ip6_spec.ip6dst = [u32::from_ne_bytes([0x20, 1, 0xd, 0xb8]), 0, 0, 1u32.to_be()];
        mask.udp_ip6_spec.ip6dst = [u32::MAX; 4];
        value.udp_ip6_spec.psrc = 53u16.to_be();
        mask.udp_ip6_spec.psrc = 0xffff;
        value.udp_ip6_spec.tclass = 0xb8;
        mask.udp_ip6_spec.tclass = 0xfc;
        let found = rule.matches().unwrap();
        let destination = found.destination.unwrap();
        assert!(destination.is_exact());
        assert_eq!(
            (
                destination.value[0],
                destination.value[3],
                destination.value[15]
            ),
            (0x20, 0xb8, 1)
        );
        assert_eq!(found.source_port, Masked::new([0, 53], [0xff; 2]));
        assert_eq!(found.tos, Masked::new([0xb8], [0xfc]));
        assert_eq!(found.protocol, Some(17));
    }

    #[test]
    fn the_protocol_of_user_flows_is_where_c_has_it() {
        let mut four = rule(raw::IPV4_USER_FLOW);
        four.flow.h_u.usr_ip4_spec.proto = 47;
        four.flow.m_u.usr_ip4_spec.proto = 0xff;
        assert_eq!(four.matches().unwrap().protocol, Some(47));
        let mut six = rule(raw::IPV6_USER_FLOW);
        six.flow.h_u.usr_ip6_spec.l4_proto = 58;
        six.flow.m_u.usr_ip6_spec.l4_proto = 0xff;
        assert_eq!(six.matches().unwrap().protocol, Some(58));
        six.flow.m_u.usr_ip6_spec.l4_proto = 0x0f;
        assert!(six.matches().is_err());
    }

    #[test]
    fn bytes_that_are_no_ports_are_refused() {
        let mut rule = rule(raw::IPV4_USER_FLOW);
        rule.flow.m_u.usr_ip4_spec.l4_4_bytes = u32::MAX;
        assert!(rule.matches().is_err());
        rule.flow.h_u.usr_ip4_spec.proto = 132;
        rule.flow.m_u.usr_ip4_spec.proto = 0xff;
        assert!(rule.matches().is_ok());
    }

    #[test]
    fn extensions_add_tag_and_address() {
        let mut rule = rule(raw::UDP_V4_FLOW | raw::FLOW_EXT | raw::FLOW_MAC_EXT);
        rule.flow.h_ext.vlan_tci = 0xffffu16;
        rule.flow.m_ext.vlan_tci = 0x0fffu16.to_be();
        rule.flow.h_ext.h_dest = [2, 0, 0, 0, 0, 1];
        rule.flow.m_ext.h_dest = [0xff; 6];
        let found = rule.matches().unwrap();
        assert_eq!(found.vlan, Masked::new([0x0f, 0xff], [0x0f, 0xff]));
        assert_eq!(
            found.destination_mac,
            Masked::new([2, 0, 0, 0, 0, 1], [0xff; 6])
        );
        rule.flow.m_ext.data[0] = 1;
        assert!(rule.matches().is_err());
    }

    #[test]
    fn actions_are_told_apart() {
        let mut rule = rule(raw::TCP_V4_FLOW);
        rule.flow.ring_cookie = 3;
        assert_eq!(rule.action(), Ok(Action::Queue(3)));
        rule.flow.ring_cookie = u64::MAX;
        assert_eq!(rule.action(), Ok(Action::Drop));
        rule.flow.ring_cookie = u64::MAX - 1;
        assert!(rule.action().is_err());
        rule.flow.ring_cookie = 1 << 32 | 3;
        assert!(rule.action().is_err());
        rule.flow.flow_type |= raw::FLOW_RSS;
        rule.flow.ring_cookie = 1;
        rule.context = 5;
        assert_eq!(rule.action(), Ok(Action::Context { context: 5, add: 1 }));
    }

    #[test]
    fn special_places_are_told_from_numbers() {
        let rule = rule(raw::TCP_V4_FLOW);
        assert_eq!(rule.location(), super::Location::At(0));
        assert_eq!(
            rule.at(raw::RX_CLS_LOC_LAST).location(),
            super::Location::Last
        );
        assert_eq!(
            rule.at(raw::RX_CLS_LOC_ANY).location(),
            super::Location::Any
        );
    }
}
