// SPDX-License-Identifier: GPL-2.0-only

//! Reads keys out of the kernel's structures.

use super::super::masked::{Masked, Zero};
use super::{Control, Key, KeyId, Options, OptionsKind, Pair, PortRange, Vlan};
use core::marker::PhantomData;
use oxnic_bindings as bindings;

/// The keys of a rule, one after the other.
pub struct Keys<'a> {
    dissector: *const bindings::flow_dissector,
    value: *const u8,
    mask: *const u8,
    /// Those that are still to come, a bit each.
    left: u64,
    _rule: PhantomData<&'a bindings::flow_rule>,
}

impl Keys<'_> {
    /// # Safety
    ///
    /// The match is that of a rule as [`FlowRule`](crate::net::flow::FlowRule) has it.
    pub(in crate::net::flow) unsafe fn new(found: &bindings::flow_match) -> Self {
        let dissector = found.dissector;
        Self {
            dissector,
            value: found.key.cast_const().cast(),
            mask: found.mask.cast_const().cast(),
            // SAFETY: The dissector is valid where there is one.
            left: unsafe { dissector.as_ref() }.map_or(0, |dissector| dissector.used_keys),
            _rule: PhantomData,
        }
    }
}

impl<'a> Iterator for Keys<'a> {
    type Item = Key<'a>;

    fn next(&mut self) -> Option<Key<'a>> {
        let id = (self.left != 0).then(|| self.left.trailing_zeros())?;
        self.left &= self.left - 1;
        // SAFETY: The rule uses this key, and the readers take the structure that belongs to it.
        Some(unsafe { self.key(id) })
    }
}

impl<'a> Keys<'a> {
    /// Value and mask of a key.
    ///
    /// # Safety
    ///
    /// The key is in use, and `K` is its structure.
    unsafe fn pair<K>(&self, id: u32) -> (&'a K, &'a K) {
        // SAFETY: The dissector has an offset for each key.
        let offset = unsafe { (*self.dissector).offset[id as usize] }.into();
        // SAFETY: By the contract, and that of `new`.
        unsafe {
            (
                &*self.value.add(offset).cast::<K>(),
                &*self.mask.add(offset).cast::<K>(),
            )
        }
    }

    /// Reads a key.
    ///
    /// # Safety
    ///
    /// It is in use.
    unsafe fn key(&self, id: u32) -> Key<'a> {
        // SAFETY: In each arm the structure is that of the key, as the comments of `enum flow_dissector_key_id` have it.
        unsafe {
            match id {
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_META => meta(self.pair(id)),
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_CONTROL => {
                    Key::Control(control(self.pair(id)))
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_BASIC => basic(self.pair(id)),
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ETH_ADDRS => eth(self.pair(id)),
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_VLAN => {
                    Key::Vlan(vlan(self.pair(id)))
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_CVLAN => {
                    Key::Cvlan(vlan(self.pair(id)))
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_NUM_OF_VLANS => {
                    tags(self.pair(id))
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV4_ADDRS => {
                    Key::Ipv4Addrs(ipv4(self.pair(id)))
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV6_ADDRS => {
                    Key::Ipv6Addrs(ipv6(self.pair(id)))
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_IP => {
                    let (tos, ttl) = ip(self.pair(id));
                    Key::Ip { tos, ttl }
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS => {
                    Key::Ports(ports(self.pair(id)))
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS_RANGE => {
                    ranges(self.pair(id))
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_TCP => tcp(self.pair(id)),
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ICMP => icmp(self.pair(id)),
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ARP => arp(self.pair(id)),
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_MPLS => mpls(self.pair(id)),
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_CONTROL => {
                    Key::EncControl(control(self.pair(id)))
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IPV4_ADDRS => {
                    Key::EncIpv4Addrs(ipv4(self.pair(id)))
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IPV6_ADDRS => {
                    Key::EncIpv6Addrs(ipv6(self.pair(id)))
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IP => {
                    let (tos, ttl) = ip(self.pair(id));
                    Key::EncIp { tos, ttl }
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_PORTS => {
                    Key::EncPorts(ports(self.pair(id)))
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_KEYID => {
                    key_id(self.pair(id))
                }
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_OPTS => {
                    options(self.pair(id))
                }
                other => Key::Other(KeyId(other)),
            }
        }
    }
}

/// A structure's value and mask.
type Both<'a, K> = (&'a K, &'a K);

fn masked<K, T: Zero>((value, mask): Both<'_, K>, part: impl Fn(&K) -> T) -> Masked<T> {
    Masked::new(part(value), part(mask))
}

fn meta<'a>(both: Both<'_, bindings::flow_dissector_key_meta>) -> Key<'a> {
    Key::Meta {
        interface: masked(both, |key| key.ingress_ifindex as u32),
        interface_type: masked(both, |key| key.ingress_iftype),
        l2_miss: masked(both, |key| key.l2_miss),
    }
}

fn control(both: Both<'_, bindings::flow_dissector_key_control>) -> Control {
    Control {
        transport_offset: masked(both, |key| key.thoff),
        family: masked(both, |key| key.addr_type),
        flags: masked(both, |key| key.flags),
    }
}

fn basic<'a>(both: Both<'_, bindings::flow_dissector_key_basic>) -> Key<'a> {
    Key::Basic {
        protocol: masked(both, |key| key.n_proto.to_ne_bytes()),
        ip_proto: masked(both, |key| [key.ip_proto]),
    }
}

fn eth<'a>(both: Both<'_, bindings::flow_dissector_key_eth_addrs>) -> Key<'a> {
    Key::EthAddrs(Pair {
        src: masked(both, |key| key.src),
        dst: masked(both, |key| key.dst),
    })
}

fn vlan(both: Both<'_, bindings::flow_dissector_key_vlan>) -> Vlan {
    // SAFETY: Both members of the union are plain numbers of the same size.
    let tci = |key: &bindings::flow_dissector_key_vlan| unsafe {
        let tci = &key.__bindgen_anon_1.__bindgen_anon_1;
        (
            tci.vlan_id(),
            tci.vlan_dei() as u8,
            tci.vlan_priority() as u8,
        )
    };
    Vlan {
        id: masked(both, |key| tci(key).0),
        drop_eligible: masked(both, |key| tci(key).1),
        priority: masked(both, |key| tci(key).2),
        tpid: masked(both, |key| key.vlan_tpid.to_ne_bytes()),
        eth_type: masked(both, |key| key.vlan_eth_type.to_ne_bytes()),
    }
}

fn tags<'a>(both: Both<'_, bindings::flow_dissector_key_num_of_vlans>) -> Key<'a> {
    Key::NumOfVlans(masked(both, |key| [key.num_of_vlans]))
}

fn mpls<'a>(both: Both<'_, bindings::flow_dissector_key_mpls>) -> Key<'a> {
    let entry = |lse: &bindings::flow_dissector_mpls_lse| {
        let label = lse.mpls_label() << 12 | lse.mpls_tc() << 9;
        (label | lse.mpls_bos() << 8 | lse.mpls_ttl()).to_be_bytes()
    };
    Key::Mpls {
        there: masked(both, |key| [key.used_lses]),
        entries: core::array::from_fn(|at| masked(both, |key| entry(&key.ls[at]))),
    }
}

fn ipv4(both: Both<'_, bindings::flow_dissector_key_ipv4_addrs>) -> Pair<[u8; 4]> {
    Pair {
        src: masked(both, |key| key.src.to_ne_bytes()),
        dst: masked(both, |key| key.dst.to_ne_bytes()),
    }
}

fn ipv6(both: Both<'_, bindings::flow_dissector_key_ipv6_addrs>) -> Pair<[u8; 16]> {
    Pair {
        src: masked(both, |key| address(&key.src)),
        dst: masked(both, |key| address(&key.dst)),
    }
}

/// The bytes of an IPv6 address.
pub(in crate::net::flow) fn address(address: &bindings::in6_addr) -> [u8; 16] {
    // SAFETY: All members of the union are plain numbers of the same size.
    unsafe { address.in6_u.u6_addr8 }
}

fn ip(both: Both<'_, bindings::flow_dissector_key_ip>) -> (Masked<[u8; 1]>, Masked<[u8; 1]>) {
    (masked(both, |key| [key.tos]), masked(both, |key| [key.ttl]))
}

/// Source and destination, in network order.
fn port_pair(ports: &bindings::flow_dissector_key_ports) -> (u16, u16) {
    // SAFETY: Both members of the union are plain numbers of the same size.
    let pair = unsafe { ports.__bindgen_anon_1.__bindgen_anon_1 };
    (pair.src, pair.dst)
}

fn ports(both: Both<'_, bindings::flow_dissector_key_ports>) -> Pair<[u8; 2]> {
    Pair {
        src: masked(both, |key| port_pair(key).0.to_ne_bytes()),
        dst: masked(both, |key| port_pair(key).1.to_ne_bytes()),
    }
}

fn ranges<'a>(both: Both<'_, bindings::flow_dissector_key_ports_range>) -> Key<'a> {
    type Range = bindings::flow_dissector_key_ports_range;
    // SAFETY: Both members of the union are plain numbers, and this one is the larger.
    let min = |key: &Range| port_pair(unsafe { &key.__bindgen_anon_1.__bindgen_anon_1.tp_min });
    // SAFETY: As above.
    let max = |key: &Range| port_pair(unsafe { &key.__bindgen_anon_1.__bindgen_anon_1.tp_max });
    Key::PortsRange {
        src: PortRange {
            min: masked(both, |key| u16::from_be(min(key).0)),
            max: masked(both, |key| u16::from_be(max(key).0)),
        },
        dst: PortRange {
            min: masked(both, |key| u16::from_be(min(key).1)),
            max: masked(both, |key| u16::from_be(max(key).1)),
        },
    }
}

fn tcp<'a>(both: Both<'_, bindings::flow_dissector_key_tcp>) -> Key<'a> {
    Key::Tcp(masked(both, |key| key.flags.to_ne_bytes()))
}

fn icmp<'a>(both: Both<'_, bindings::flow_dissector_key_icmp>) -> Key<'a> {
    Key::Icmp {
        kind: masked(both, |key| [key.__bindgen_anon_1.type_]),
        code: masked(both, |key| [key.__bindgen_anon_1.code]),
        id: masked(both, |key| key.id),
    }
}

fn arp<'a>(both: Both<'_, bindings::flow_dissector_key_arp>) -> Key<'a> {
    Key::Arp {
        operation: masked(both, |key| [key.op]),
        // The numbers are declared without a byte order, and are in network order all the same.
        ip: Pair {
            src: masked(both, |key| key.sip.to_ne_bytes()),
            dst: masked(both, |key| key.tip.to_ne_bytes()),
        },
        mac: Pair {
            src: masked(both, |key| key.sha),
            dst: masked(both, |key| key.tha),
        },
    }
}

fn key_id<'a>(both: Both<'_, bindings::flow_dissector_key_keyid>) -> Key<'a> {
    Key::EncKeyId(masked(both, |key| key.keyid.to_ne_bytes()))
}

fn options<'a>((value, mask): Both<'a, bindings::flow_dissector_key_enc_opts>) -> Key<'a> {
    // The core has seen to it that both lengths are the same; the array is longer than any.
    let length = usize::from(value.len.min(mask.len)).min(value.data.len());
    Key::EncOpts(Options {
        kind: OptionsKind::from_raw(value.dst_opt_type),
        value: &value.data[..length],
        mask: &mask.data[..length],
    })
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_flow_keys)]
mod tests {
    use super::super::super::fixture::Fixture;
    use super::super::{family, flag};
    use super::*;
    use kernel::prelude::*;

    fn only<'a>(fixture: &'a Fixture) -> Key<'a> {
        let mut keys = fixture.rule().keys();
        let key = keys.next().unwrap();
        assert!(keys.next().is_none());
        key
    }

    #[test]
    fn every_key_in_use_comes_once_and_unknown_ones_by_number() -> Result {
        let mut fixture = Fixture::new(0)?;
        for id in 0..bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_MAX {
            fixture.put(id, 0u64, 0u64);
        }
        // One that the kernel does not have yet.
        fixture.put(40, 0u64, 0u64);
        let mut seen = 0;
        let mut others = 0u64;
        for key in fixture.rule().keys() {
            seen += 1;
            if let Key::Other(id) = key {
                others |= 1 << id.0;
            }
        }
        assert_eq!(
            seen,
            bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_MAX + 1
        );
        let unknown = |id: u32| others & 1 << id != 0;
        assert!(unknown(
            bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_CT
        ));
        assert!(unknown(
            bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_PPPOE
        ));
        assert!(unknown(
            bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_CFM
        ));
        assert!(unknown(40));
        assert_eq!(others.count_ones(), 11);
        Ok(())
    }

    #[test]
    fn a_rule_without_a_dissector_has_no_keys() -> Result {
        let found = bindings::flow_match::default();
        // SAFETY: There is no dissector.
        assert!(unsafe { Keys::new(&found) }.next().is_none());
        Ok(())
    }

    #[test]
    fn a_tag_is_taken_apart_as_the_kernel_puts_it_together() -> Result {
        let mut fixture = Fixture::new(0)?;
        let mut tci = bindings::flow_dissector_key_vlan__bindgen_ty_1__bindgen_ty_1::default();
        tci.set_vlan_id(0x123);
        tci.set_vlan_priority(5);
        let tag = |tci, tpid: u16, eth_type: u16| bindings::flow_dissector_key_vlan {
            __bindgen_anon_1: bindings::flow_dissector_key_vlan__bindgen_ty_1 {
                __bindgen_anon_1: tci,
            },
            vlan_tpid: tpid.to_be(),
            vlan_eth_type: eth_type.to_be(),
            padding: 0,
        };
        let mut mask = bindings::flow_dissector_key_vlan__bindgen_ty_1__bindgen_ty_1::default();
        mask.set_vlan_id(0xfff);
        let id = bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_VLAN;
        fixture.put(id, tag(tci, 0x8100, 0x0800), tag(mask, 0xffff, 0));
        let Key::Vlan(vlan) = only(&fixture) else {
            return Err(EINVAL);
        };
        assert_eq!(vlan.id, Masked::new(0x123, 0xfff));
        assert_eq!(vlan.priority, Masked::new(5, 0));
        assert_eq!(vlan.tpid, Masked::new([0x81, 0], [0xff, 0xff]));
        assert_eq!(vlan.eth_type.mask, [0, 0]);
        assert!(!vlan.drop_eligible.is_used());
        Ok(())
    }

    #[test]
    fn ranges_are_numbers_and_ports_are_bytes() -> Result {
        let mut fixture = Fixture::new(0)?;
        let port = |src: u16, dst: u16| bindings::flow_dissector_key_ports {
            __bindgen_anon_1: bindings::flow_dissector_key_ports__bindgen_ty_1 {
                __bindgen_anon_1: bindings::flow_dissector_key_ports__bindgen_ty_1__bindgen_ty_1 {
                    src: src.to_be(),
                    dst: dst.to_be(),
                },
            },
        };
        let range = |tp_min, tp_max| bindings::flow_dissector_key_ports_range {
            __bindgen_anon_1: bindings::flow_dissector_key_ports_range__bindgen_ty_1 {
                __bindgen_anon_1:
                    bindings::flow_dissector_key_ports_range__bindgen_ty_1__bindgen_ty_1 {
                        tp_min,
                        tp_max,
                    },
            },
        };
        fixture
            .put(
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS,
                port(0x1234, 80),
                port(0xff00, 0),
            )
            .put(
                bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS_RANGE,
                range(port(0, 1000), port(0, 2000)),
                range(port(0, 0xffff), port(0, 0xffff)),
            );
        for key in fixture.rule().keys() {
            match key {
                Key::Ports(pair) => {
                    assert_eq!(pair.src, Masked::new([0x12, 0x34], [0xff, 0]));
                    assert!(!pair.dst.is_used());
                }
                Key::PortsRange { src, dst } => {
                    assert!(!src.min.is_used() && !src.max.is_used());
                    assert_eq!(dst.min, Masked::new(1000, 0xffff));
                    assert_eq!(dst.max, Masked::new(2000, 0xffff));
                }
                _ => return Err(EINVAL),
            }
        }
        Ok(())
    }

    #[test]
    fn options_have_the_length_of_both_sides() -> Result {
        let mut fixture = Fixture::new(0)?;
        let options = |fill: u8, len: u8, kind: u32| bindings::flow_dissector_key_enc_opts {
            data: [fill; 255],
            len,
            dst_opt_type: kind,
        };
        let kind = bindings::IP_TUNNEL_GENEVE_OPT_BIT;
        fixture.put(
            bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_OPTS,
            options(7, 255, kind),
            options(0xff, 8, kind),
        );
        let Key::EncOpts(options) = only(&fixture) else {
            return Err(EINVAL);
        };
        assert_eq!(options.kind, OptionsKind::Geneve);
        assert_eq!(options.value, &[7; 8]);
        assert_eq!(options.mask, &[0xff; 8]);
        Ok(())
    }

    #[test]
    fn what_a_test_puts_in_comes_out() -> Result {
        let word = |value: u8| Masked::new([value; 4], [0xf0; 4]);
        let keys = [
            Key::Meta {
                interface: Masked::new(9, u32::MAX),
                interface_type: Masked::default(),
                l2_miss: Masked::new(1, 0xff),
            },
            Key::Control(Control {
                transport_offset: Masked::default(),
                family: Masked::new(family::IPV6, u16::MAX),
                flags: Masked::new(flag::FRAGMENT, flag::FRAGMENT | flag::FIRST_FRAGMENT),
            }),
            Key::Basic {
                protocol: Masked::new([8, 0], [0xff, 0xff]),
                ip_proto: Masked::new([6], [0xff]),
            },
            Key::Ipv4Addrs(Pair {
                src: word(1),
                dst: word(2),
            }),
            Key::Ipv6Addrs(Pair {
                src: Masked::new([3; 16], [0xff; 16]),
                dst: Masked::default(),
            }),
            Key::Icmp {
                kind: Masked::new([8], [0xff]),
                code: Masked::default(),
                id: Masked::default(),
            },
            Key::EthAddrs(Pair {
                src: Masked::new([4; 6], [0xff; 6]),
                dst: Masked::new([5; 6], [1, 0, 0, 0, 0, 0]),
            }),
            Key::Arp {
                operation: Masked::new([2], [0xff]),
                ip: Pair {
                    src: word(6),
                    dst: word(7),
                },
                mac: Pair {
                    src: Masked::new([8; 6], [0xff; 6]),
                    dst: Masked::new([9; 6], [0xff; 6]),
                },
            },
            Key::EncKeyId(Masked::new([0, 0, 1, 0], [0xff; 4])),
            Key::Tcp(Masked::new([0, 2], [0x0f, 0xff])),
            Key::Ip {
                tos: Masked::new([4], [0xfc]),
                ttl: Masked::new([64], [0xff]),
            },
            Key::NumOfVlans(Masked::new([2], [0xff])),
            Key::Mpls {
                there: Masked::new([0b11], [0b11]),
                entries: [
                    Masked::new([0x12, 0x34, 0x5a, 0x40], [0xff; 4]),
                    Masked::new([0, 0, 1, 0], [0, 0, 1, 0]),
                    Masked::default(),
                    Masked::default(),
                    Masked::default(),
                    Masked::default(),
                    Masked::default(),
                ],
            },
        ];
        let mut fixture = Fixture::new(0)?;
        for key in &keys {
            fixture.key(key);
        }
        let mut left = keys.len();
        for key in fixture.rule().keys() {
            assert!(keys.contains(&key));
            left -= 1;
        }
        assert_eq!(left, 0);
        Ok(())
    }
}
