// SPDX-License-Identifier: GPL-2.0-only

//! What a rule matches.

use super::super::refusal::Refusal;
use super::Ports;
use oxnic_kapi::net::flow::{
    key::{family, flag, Control, Options, OptionsKind, Pair, PortRange, Vlan},
    masked::{Masked, Zero},
    Key as KernelKey, //
};
use oxnic_offload::packet::tunnel::flag as tunnel_flag;
use oxnic_offload::rule::{
    field::{family as number, ip_flag},
    Field,
    Key,
    OptionsMatch,
    Range, //
};

/// The type of Ethernet interfaces.
const ARPHRD_ETHER: u16 = 1;

/// Reads the keys of a rule.
pub(super) fn read<'a>(
    keys: impl Iterator<Item = KernelKey<'a>>,
    ports: &dyn Ports,
) -> Result<Key<'a>, Refusal> {
    let mut to = Key::default();
    for key in keys {
        match key {
            KernelKey::Other(id) => return Err(Refusal::Key(id)),
            KernelKey::Meta {
                interface,
                interface_type,
                l2_miss,
            } => {
                // All interfaces of ours are Ethernet.
                if interface_type != Masked::new(ARPHRD_ETHER, u16::MAX) {
                    unused(interface_type, "type of the interface")?;
                }
                unused(l2_miss, "l2_miss")?;
                ingress(&mut to, interface, ports)?;
            }
            KernelKey::Control(control) => {
                read_control(&mut to, control, Field::Family)?;
                let flags = &[
                    (flag::FRAGMENT, ip_flag::FRAGMENT),
                    (flag::FIRST_FRAGMENT, ip_flag::FIRST),
                ];
                read_flags(&mut to, control.flags, Field::IpFlags, flags)?;
            }
            KernelKey::EncControl(control) => {
                read_control(&mut to, control, Field::EncFamily)?;
                let flags = &[
                    (flag::TUNNEL_CSUM, tunnel_flag::CSUM),
                    (flag::TUNNEL_DONT_FRAGMENT, tunnel_flag::DF),
                    (flag::TUNNEL_OAM, tunnel_flag::OAM),
                    (flag::TUNNEL_CRIT_OPT, tunnel_flag::CRIT),
                ];
                read_flags(&mut to, control.flags, Field::EncFlags, flags)?;
            }
            KernelKey::PortsRange { src, dst } => {
                to.src_range = range(src, "src_port range")?;
                to.dst_range = range(dst, "dst_port range")?;
            }
            KernelKey::Vlan(tag) => read_tag(&mut to, tag, TAG)?,
            KernelKey::Cvlan(tag) => read_tag(&mut to, tag, SECOND_TAG)?,
            KernelKey::EncOpts(options) => to.options = read_options(options)?,
            KernelKey::Icmp { kind, code, id } => {
                unused(id, "ICMP id")?;
                set(&mut to, Field::IcmpType, kind)?;
                set(&mut to, Field::IcmpCode, code)?;
            }
            plain => read_plain(&mut to, plain)?,
        }
    }
    if to.uses(Field::Family) && !ADDRESSES.iter().any(|field| to.uses(*field)) {
        // Software looks for addresses only where a bit of them counts, and without them finds no family: it matches nothing.
        return Err(Refusal::Part("an address with an empty mask"));
    }
    Ok(to)
}

const ADDRESSES: [Field; 4] = [
    Field::Ipv4Src,
    Field::Ipv4Dst,
    Field::Ipv6Src,
    Field::Ipv6Dst,
];

/// Keys whose parts are fields as they are.
fn read_plain(to: &mut Key<'_>, key: KernelKey<'_>) -> Result<(), Refusal> {
    match key {
        KernelKey::Basic { protocol, ip_proto } => {
            set(to, Field::EthType, protocol)?;
            set(to, Field::IpProto, ip_proto)
        }
        KernelKey::EthAddrs(pair) => set_pair(to, Field::EthSrc, Field::EthDst, pair),
        KernelKey::NumOfVlans(count) => set(to, Field::NumOfVlans, count),
        KernelKey::Ipv4Addrs(pair) => set_pair(to, Field::Ipv4Src, Field::Ipv4Dst, pair),
        KernelKey::Ipv6Addrs(pair) => set_pair(to, Field::Ipv6Src, Field::Ipv6Dst, pair),
        KernelKey::Ip { tos, ttl } => {
            set(to, Field::IpTos, tos)?;
            set(to, Field::IpTtl, ttl)
        }
        KernelKey::Ports(pair) => set_pair(to, Field::SrcPort, Field::DstPort, pair),
        KernelKey::Tcp(flags) => set(to, Field::TcpFlags, flags),
        KernelKey::Arp { operation, ip, mac } => {
            set(to, Field::ArpOperation, operation)?;
            set_pair(to, Field::ArpSenderIp, Field::ArpTargetIp, ip)?;
            set_pair(to, Field::ArpSenderMac, Field::ArpTargetMac, mac)
        }
        KernelKey::Mpls { there, entries } => {
            set(to, Field::MplsEntries, there)?;
            let mut both = MPLS.into_iter().zip(entries);
            both.try_for_each(|(field, entry)| set(to, field, entry))
        }
        KernelKey::EncIpv4Addrs(pair) => set_pair(to, Field::EncIpv4Src, Field::EncIpv4Dst, pair),
        KernelKey::EncIpv6Addrs(pair) => set_pair(to, Field::EncIpv6Src, Field::EncIpv6Dst, pair),
        KernelKey::EncIp { tos, ttl } => {
            set(to, Field::EncTos, tos)?;
            set(to, Field::EncTtl, ttl)
        }
        KernelKey::EncPorts(pair) => set_pair(to, Field::EncSrcPort, Field::EncDstPort, pair),
        KernelKey::EncKeyId(id) => set(to, Field::EncKeyId, id),
        _ => Err(Refusal::Part("a key of another kind")),
    }
}

fn set<const N: usize>(
    to: &mut Key<'_>,
    field: Field,
    masked: Masked<[u8; N]>,
) -> Result<(), Refusal> {
    if masked.is_used() {
        to.set(field, &masked.value, &masked.mask)?;
    }
    Ok(())
}

fn set_pair<const N: usize>(
    to: &mut Key<'_>,
    source: Field,
    destination: Field,
    pair: Pair<[u8; N]>,
) -> Result<(), Refusal> {
    set(to, source, pair.src)?;
    set(to, destination, pair.dst)
}

fn unused<T: Zero>(masked: Masked<T>, what: &'static str) -> Result<(), Refusal> {
    if masked.is_used() {
        return Err(Refusal::Part(what));
    }
    Ok(())
}

fn ingress(to: &mut Key<'_>, interface: Masked<u32>, ports: &dyn Ports) -> Result<(), Refusal> {
    match interface.mask {
        0 => Ok(()),
        u32::MAX => {
            let port = ports
                .port_by_index(interface.value)
                .ok_or(Refusal::Interface("indev"))?;
            Ok(to.exact(Field::IngressPort, &port.0.to_be_bytes())?)
        }
        _ => Err(Refusal::Mask("indev")),
    }
}

/// The address family, which a rule has also where the mask of its address is empty.
fn read_control(to: &mut Key<'_>, control: Control, field: Field) -> Result<(), Refusal> {
    unused(
        control.transport_offset,
        "where the transport header starts",
    )?;
    let family = match (control.family.mask, control.family.value) {
        (0, _) => return Ok(()),
        (u16::MAX, family::IPV4) => number::V4,
        (u16::MAX, family::IPV6) => number::V6,
        (u16::MAX, _) => return Err(Refusal::Part("another address family")),
        _ => return Err(Refusal::Mask(field.name())),
    };
    Ok(to.exact(field, &[family])?)
}

/// Flags: pairs of the kernel's bit and ours.
fn read_flags(
    to: &mut Key<'_>,
    flags: Masked<u32>,
    field: Field,
    known: &[(u32, u8)],
) -> Result<(), Refusal> {
    let all = known.iter().fold(0, |all, (kernel, _)| all | kernel);
    if flags.mask & !all != 0 {
        return Err(Refusal::Flags {
            field: field.name(),
            flags: flags.mask & !all,
        });
    }
    let ours = |bits: u32| {
        known
            .iter()
            .filter(|(kernel, _)| bits & kernel != 0)
            .fold(0, |ours, (_, our)| ours | our)
    };
    let masked = Masked::new([ours(flags.value)], [ours(flags.mask)]);
    set(to, field, masked)
}

/// The fields of a tag.
struct Tag {
    id: Field,
    priority: Field,
    tpid: Field,
    eth_type: Field,
    drop_eligible: &'static str,
}

const MPLS: [Field; 7] = [
    Field::Mpls1,
    Field::Mpls2,
    Field::Mpls3,
    Field::Mpls4,
    Field::Mpls5,
    Field::Mpls6,
    Field::Mpls7,
];
const TAG: Tag = Tag {
    id: Field::VlanId,
    priority: Field::VlanPriority,
    tpid: Field::VlanTpid,
    eth_type: Field::VlanEthType,
    drop_eligible: "VLAN DEI",
};
const SECOND_TAG: Tag = Tag {
    id: Field::CvlanId,
    priority: Field::CvlanPriority,
    tpid: Field::CvlanTpid,
    eth_type: Field::CvlanEthType,
    drop_eligible: "inner VLAN DEI",
};

fn read_tag(to: &mut Key<'_>, tag: Vlan, fields: Tag) -> Result<(), Refusal> {
    unused(tag.drop_eligible, fields.drop_eligible)?;
    let id = Masked::new(tag.id.value.to_be_bytes(), tag.id.mask.to_be_bytes());
    let priority = Masked::new([tag.priority.value], [tag.priority.mask]);
    set(to, fields.id, id)?;
    set(to, fields.priority, priority)?;
    set(to, fields.tpid, tag.tpid)?;
    set(to, fields.eth_type, tag.eth_type)
}

fn range(range: PortRange, what: &'static str) -> Result<Option<Range>, Refusal> {
    match (range.min.mask, range.max.mask) {
        (0, 0) => Ok(None),
        (u16::MAX, u16::MAX) => Ok(Some(Range {
            min: range.min.value,
            max: range.max.value,
        })),
        _ => Err(Refusal::Mask(what)),
    }
}

fn read_options(options: Options<'_>) -> Result<OptionsMatch<'_>, Refusal> {
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).ok();
    match options.kind {
        OptionsKind::Geneve => Ok(OptionsMatch::Geneve {
            value: options.value,
            mask: options.mask,
        }),
        OptionsKind::Vxlan => match (number(options.value), number(options.mask)) {
            (Some(value), Some(mask)) => Ok(OptionsMatch::Group { value, mask }),
            _ => Err(Refusal::Part("vxlan_opts of another length")),
        },
        OptionsKind::Other(_) => Err(Refusal::Part("enc_opts of another kind")),
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_read_key)]
mod tests {
    use super::*;
    use kernel::prelude::*;
    use oxnic_kapi::net::{
        flow::{fixture::Fixture, key::KeyId},
        netdev::Device as NetDevice, //
    };
    use oxnic_offload::rule::Port;

    /// Interface 9 is port 3.
    struct One;

    impl Ports for One {
        fn port(&self, _netdev: &NetDevice) -> Option<Port> {
            None
        }

        fn port_by_index(&self, index: u32) -> Option<Port> {
            (index == 9).then_some(Port(3))
        }
    }

    fn control(family: Masked<u16>, flags: Masked<u32>) -> Control {
        Control {
            transport_offset: Masked::default(),
            family,
            flags,
        }
    }

    fn refused(keys: &[KernelKey<'_>]) -> Refusal {
        read(keys.iter().copied(), &One).unwrap_err()
    }

    #[test]
    fn what_flower_always_has_matches_everything() -> Result {
        let mut fixture = Fixture::new(0)?;
        fixture
            .key(&KernelKey::Control(control(
                Masked::default(),
                Masked::default(),
            )))
            .key(&KernelKey::Basic {
                protocol: Masked::new([8, 0], [0, 0]),
                ip_proto: Masked::default(),
            });
        let key = read(fixture.rule().keys(), &One).map_err(|refusal| refusal.error())?;
        assert!(key.equals(&Key::default()));
        Ok(())
    }

    #[test]
    fn a_part_of_a_label_stack_asks_for_its_entry() -> Result {
        let mut entries = [Masked::default(); 7];
        entries[1] = Masked::new([0, 0, 0x10, 0], [0xff, 0xff, 0xf0, 0]);
        let mut fixture = Fixture::new(0)?;
        fixture.key(&KernelKey::Mpls {
            there: Masked::new([0b10], [0b10]),
            entries,
        });
        let key = read(fixture.rule().keys(), &One).map_err(|refusal| refusal.error())?;
        assert_eq!(key.value(Field::MplsEntries), &[0b10]);
        assert_eq!(key.mask(Field::MplsEntries), &[0b10]);
        assert_eq!(key.value(Field::Mpls2), &[0, 0, 0x10, 0]);
        assert_eq!(key.mask(Field::Mpls2), &[0xff, 0xff, 0xf0, 0]);
        assert_eq!(key.mask(Field::Mpls1), &[0; 4]);
        Ok(())
    }

    #[test]
    fn an_address_with_an_empty_mask_matches_nothing_and_is_refused() {
        let family = KernelKey::Control(control(
            Masked::new(family::IPV4, u16::MAX),
            Masked::default(),
        ));
        assert_eq!(
            refused(&[family]),
            Refusal::Part("an address with an empty mask")
        );
        let destination = KernelKey::Ipv4Addrs(Pair {
            src: Masked::default(),
            dst: Masked::new([10, 0, 0, 0], [255, 0, 0, 0]),
        });
        let key = read([family, destination].into_iter(), &One).unwrap();
        assert_eq!(key.exactly(Field::Family), Some(4));
        assert!(!key.uses(Field::Ipv4Src));
    }

    #[test]
    fn what_the_engine_does_not_know_is_refused_by_name() {
        let other = KernelKey::Other(KeyId(26));
        assert_eq!(refused(&[other]), Refusal::Key(KeyId(26)));
        let l2_miss = KernelKey::Meta {
            interface: Masked::default(),
            interface_type: Masked::default(),
            l2_miss: Masked::new(0, 0xff),
        };
        assert_eq!(refused(&[l2_miss]), Refusal::Part("l2_miss"));
        let flags = control(Masked::default(), Masked::new(0, 1 << 9 | flag::FRAGMENT));
        assert_eq!(
            refused(&[KernelKey::Control(flags)]),
            Refusal::Flags {
                field: "ip_flags",
                flags: 1 << 9
            }
        );
    }

    #[test]
    fn an_interface_must_be_a_port_and_be_named_as_a_whole() {
        let meta = |value, mask| KernelKey::Meta {
            interface: Masked::new(value, mask),
            interface_type: Masked::default(),
            l2_miss: Masked::default(),
        };
        let key = read([meta(9, u32::MAX)].into_iter(), &One).unwrap();
        assert_eq!(key.value(Field::IngressPort), &[0, 0, 0, 3]);
        assert_eq!(refused(&[meta(8, u32::MAX)]), Refusal::Interface("indev"));
        assert_eq!(refused(&[meta(9, 1)]), Refusal::Mask("indev"));
    }

    #[test]
    fn all_interfaces_are_ethernet() {
        let meta = |value, mask| KernelKey::Meta {
            interface: Masked::default(),
            interface_type: Masked::new(value, mask),
            l2_miss: Masked::default(),
        };
        let key = read([meta(ARPHRD_ETHER, u16::MAX)].into_iter(), &One).unwrap();
        assert!(key.equals(&Key::default()));
        let loopback = meta(772, u16::MAX);
        assert!(matches!(refused(&[loopback]), Refusal::Part(_)));
    }

    #[test]
    fn a_tag_is_a_field_for_each_of_its_parts() {
        let tag = Vlan {
            id: Masked::new(0x123, 0xfff),
            drop_eligible: Masked::default(),
            priority: Masked::new(5, 7),
            tpid: Masked::new([0x81, 0], [0xff, 0xff]),
            eth_type: Masked::default(),
        };
        let key = read([KernelKey::Cvlan(tag)].into_iter(), &One).unwrap();
        assert_eq!(key.exactly(Field::CvlanId), Some(0x123));
        assert_eq!(key.exactly(Field::CvlanPriority), Some(5));
        assert_eq!(key.exactly(Field::CvlanTpid), Some(0x8100));
        assert!(!key.uses(Field::CvlanEthType) && !key.uses(Field::VlanId));
        let dei = Vlan {
            drop_eligible: Masked::new(0, 1),
            ..tag
        };
        assert_eq!(refused(&[KernelKey::Vlan(dei)]), Refusal::Part("VLAN DEI"));
    }

    #[test]
    fn flags_of_tunnels_have_other_bits_than_the_kernel() {
        let flags = Masked::new(flag::TUNNEL_OAM, flag::TUNNEL_OAM | flag::TUNNEL_CSUM);
        let keys = [KernelKey::EncControl(control(Masked::default(), flags))];
        let key = read(keys.into_iter(), &One).unwrap();
        assert_eq!(key.value(Field::EncFlags), &[tunnel_flag::OAM]);
        assert_eq!(
            key.mask(Field::EncFlags),
            &[tunnel_flag::OAM | tunnel_flag::CSUM]
        );
    }

    #[test]
    fn a_range_needs_both_ends() {
        let port = |value| Masked::new(value, u16::MAX);
        let none = PortRange {
            min: Masked::default(),
            max: Masked::default(),
        };
        let some = PortRange {
            min: port(5),
            max: port(9),
        };
        let range = |src, dst| KernelKey::PortsRange { src, dst };
        let key = read([range(none, some)].into_iter(), &One).unwrap();
        assert_eq!(key.dst_range, Some(Range { min: 5, max: 9 }));
        assert_eq!(key.src_range, None);
        let half = PortRange {
            max: Masked::default(),
            ..some
        };
        assert_eq!(
            refused(&[range(half, none)]),
            Refusal::Mask("src_port range")
        );
    }

    #[test]
    fn the_group_of_vxlan_is_a_number_of_the_cpu() {
        let options = |value, kind| {
            KernelKey::EncOpts(Options {
                kind,
                value,
                mask: &[0xff, 0xff, 0, 0],
            })
        };
        let group = 0x1234u32.to_ne_bytes();
        let key = read([options(&group, OptionsKind::Vxlan)].into_iter(), &One).unwrap();
        assert_eq!(
            key.options,
            OptionsMatch::Group {
                value: 0x1234,
                mask: u32::from_ne_bytes([0xff, 0xff, 0, 0])
            }
        );
        assert!(matches!(
            refused(&[options(&group, OptionsKind::Other(14))]),
            Refusal::Part(_)
        ));
        assert!(matches!(
            refused(&[options(&[1, 2], OptionsKind::Vxlan)]),
            Refusal::Part(_)
        ));
    }
}
