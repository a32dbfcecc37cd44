// SPDX-License-Identifier: GPL-2.0-only

//! Rules for tests, in the kernel's structures, as flower and the core make them.

use super::action::{Base, Mangle, Tag};
use super::chain::{Chain, Position};
use super::classifier::Cookie;
use super::key::{Control, Key, Options, OptionsKind, Pair, PortRange, Vlan};
use super::masked::{Masked, Zero};
use super::police::{Police, Verdict};
use super::rule::FlowRule;
use crate::net::netdev::Device;
use core::ptr::NonNull;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// Bytes for values, and as many for masks.
const ROOM: usize = 1024;

/// A rule that a test puts together.
pub struct Fixture {
    rule: NonNull<bindings::flow_rule>,
    dissector: KBox<bindings::flow_dissector>,
    value: KVec<u64>,
    mask: KVec<u64>,
    /// Bytes of values that are in use.
    used: usize,
    /// Entries that are in use.
    entries: usize,
    tunnels: KVec<KVec<u64>>,
}

impl Fixture {
    /// An empty rule with room for so many entries.
    pub fn new(entries: u32) -> Result<Self> {
        // SAFETY: No requirements.
        let rule = NonNull::new(unsafe { bindings::flow_rule_alloc(entries) }).ok_or(ENOMEM)?;
        let mut this = Self {
            rule,
            dissector: KBox::new(bindings::flow_dissector::default(), GFP_KERNEL)?,
            value: KVec::from_elem(0, ROOM / 8, GFP_KERNEL)?,
            mask: KVec::from_elem(0, ROOM / 8, GFP_KERNEL)?,
            used: 0,
            entries: 0,
            tunnels: KVec::new(),
        };
        // SAFETY: The rule is ours, and what it points to is kept with it and does not move.
        let found = unsafe { &mut (*rule.as_ptr()).match_ };
        found.dissector = &mut *this.dissector;
        found.key = this.value.as_mut_ptr().cast();
        found.mask = this.mask.as_mut_ptr().cast();
        Ok(this)
    }

    /// The rule.
    pub fn rule(&self) -> FlowRule<'_> {
        // SAFETY: It is as the kernel makes them: `put` and `entry` take the structures that belong to the numbers.
        unsafe { FlowRule::from_raw(self.rule.as_ptr()) }.unwrap()
    }

    /// Puts a key into use. The structure is the one that belongs to it.
    pub(super) fn put<K>(&mut self, id: u32, value: K, mask: K) -> &mut Self {
        let offset = self.used.next_multiple_of(8);
        self.used = offset + size_of::<K>();
        assert!(self.used <= ROOM);
        self.dissector.used_keys |= 1 << id;
        if let Some(place) = self.dissector.offset.get_mut(id as usize) {
            *place = offset as u16;
        }
        // SAFETY: There is room, aligned as any key needs.
        unsafe {
            self.value
                .as_mut_ptr()
                .byte_add(offset)
                .cast::<K>()
                .write(value);
            self.mask
                .as_mut_ptr()
                .byte_add(offset)
                .cast::<K>()
                .write(mask);
        }
        self
    }

    fn both<K>(&mut self, id: u32, part: impl Fn(Side) -> K) -> &mut Self {
        self.put(id, part(Side::Value), part(Side::Mask))
    }

    /// Puts a key into use.
    pub fn key(&mut self, key: &Key<'_>) -> &mut Self {
        use bindings as b;
        match *key {
            Key::Meta {
                interface,
                interface_type,
                l2_miss,
            } => self.both(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_META, |side| {
                b::flow_dissector_key_meta {
                    ingress_ifindex: side.of(interface) as i32,
                    ingress_iftype: side.of(interface_type),
                    l2_miss: side.of(l2_miss),
                }
            }),
            Key::Control(control) => {
                self.control(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_CONTROL, control)
            }
            Key::EncControl(control) => self.control(
                b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_CONTROL,
                control,
            ),
            Key::Basic { protocol, ip_proto } => {
                self.both(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_BASIC, |side| {
                    b::flow_dissector_key_basic {
                        n_proto: u16::from_ne_bytes(side.of(protocol)),
                        ip_proto: side.of(ip_proto)[0],
                        padding: 0,
                    }
                })
            }
            Key::EthAddrs(pair) => self.both(
                b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ETH_ADDRS,
                |side| b::flow_dissector_key_eth_addrs {
                    dst: side.of(pair.dst),
                    src: side.of(pair.src),
                },
            ),
            Key::Vlan(tag) => self.tag(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_VLAN, tag),
            Key::Cvlan(tag) => self.tag(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_CVLAN, tag),
            Key::NumOfVlans(count) => self.both(
                b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_NUM_OF_VLANS,
                |side| b::flow_dissector_key_num_of_vlans {
                    num_of_vlans: side.of(count)[0],
                },
            ),
            Key::Ipv4Addrs(pair) => {
                self.ipv4(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV4_ADDRS, pair)
            }
            Key::EncIpv4Addrs(pair) => self.ipv4(
                b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IPV4_ADDRS,
                pair,
            ),
            Key::Ipv6Addrs(pair) => {
                self.ipv6(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV6_ADDRS, pair)
            }
            Key::EncIpv6Addrs(pair) => self.ipv6(
                b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IPV6_ADDRS,
                pair,
            ),
            Key::Ip { tos, ttl } => {
                self.ip(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_IP, tos, ttl)
            }
            Key::EncIp { tos, ttl } => {
                self.ip(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IP, tos, ttl)
            }
            Key::Ports(pair) => self.ports(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS, pair),
            Key::EncPorts(pair) => {
                self.ports(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_PORTS, pair)
            }
            Key::PortsRange { src, dst } => self.ranges(src, dst),
            Key::Tcp(flags) => self.both(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_TCP, |side| {
                b::flow_dissector_key_tcp {
                    flags: u16::from_ne_bytes(side.of(flags)),
                }
            }),
            Key::Icmp { kind, code, id } => {
                self.both(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ICMP, |side| {
                    b::flow_dissector_key_icmp {
                        __bindgen_anon_1: b::flow_dissector_key_icmp__bindgen_ty_1 {
                            type_: side.of(kind)[0],
                            code: side.of(code)[0],
                        },
                        id: side.of(id),
                    }
                })
            }
            Key::Arp { operation, ip, mac } => {
                self.both(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ARP, |side| {
                    b::flow_dissector_key_arp {
                        sip: u32::from_ne_bytes(side.of(ip.src)),
                        tip: u32::from_ne_bytes(side.of(ip.dst)),
                        op: side.of(operation)[0],
                        sha: side.of(mac.src),
                        tha: side.of(mac.dst),
                    }
                })
            }
            Key::Mpls { there, entries } => {
                self.both(b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_MPLS, |side| {
                    b::flow_dissector_key_mpls {
                        ls: entries.map(|entry| {
                            let entry = u32::from_be_bytes(side.of(entry));
                            b::flow_dissector_mpls_lse {
                                _bitfield_align_1: [],
                                _bitfield_1: b::flow_dissector_mpls_lse::new_bitfield_1(
                                    entry & 0xff,
                                    entry >> 8 & 1,
                                    entry >> 9 & 7,
                                    entry >> 12,
                                ),
                            }
                        }),
                        used_lses: side.of(there)[0],
                    }
                })
            }
            Key::EncKeyId(id) => self.both(
                b::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_KEYID,
                |side| b::flow_dissector_key_keyid {
                    keyid: u32::from_ne_bytes(side.of(id)),
                },
            ),
            Key::EncOpts(options) => self.options(&options),
            Key::Other(id) => self.put(id.0, 0u64, u64::MAX),
        }
    }

    fn control(&mut self, id: u32, control: Control) -> &mut Self {
        self.both(id, |side| bindings::flow_dissector_key_control {
            thoff: side.of(control.transport_offset),
            addr_type: side.of(control.family),
            flags: side.of(control.flags),
        })
    }

    fn tag(&mut self, id: u32, tag: Vlan) -> &mut Self {
        self.both(id, |side| {
            let mut tci = bindings::flow_dissector_key_vlan__bindgen_ty_1__bindgen_ty_1::default();
            tci.set_vlan_id(side.of(tag.id));
            tci.set_vlan_dei(side.of(tag.drop_eligible).into());
            tci.set_vlan_priority(side.of(tag.priority).into());
            bindings::flow_dissector_key_vlan {
                __bindgen_anon_1: bindings::flow_dissector_key_vlan__bindgen_ty_1 {
                    __bindgen_anon_1: tci,
                },
                vlan_tpid: u16::from_ne_bytes(side.of(tag.tpid)),
                vlan_eth_type: u16::from_ne_bytes(side.of(tag.eth_type)),
                padding: 0,
            }
        })
    }

    fn ipv4(&mut self, id: u32, pair: Pair<[u8; 4]>) -> &mut Self {
        self.both(id, |side| bindings::flow_dissector_key_ipv4_addrs {
            src: u32::from_ne_bytes(side.of(pair.src)),
            dst: u32::from_ne_bytes(side.of(pair.dst)),
        })
    }

    fn ipv6(&mut self, id: u32, pair: Pair<[u8; 16]>) -> &mut Self {
        let address = |u6_addr8| bindings::in6_addr {
            in6_u: bindings::in6_addr__bindgen_ty_1 { u6_addr8 },
        };
        self.both(id, |side| bindings::flow_dissector_key_ipv6_addrs {
            src: address(side.of(pair.src)),
            dst: address(side.of(pair.dst)),
        })
    }

    fn ip(&mut self, id: u32, tos: Masked<[u8; 1]>, ttl: Masked<[u8; 1]>) -> &mut Self {
        self.both(id, |side| bindings::flow_dissector_key_ip {
            tos: side.of(tos)[0],
            ttl: side.of(ttl)[0],
        })
    }

    fn ports(&mut self, id: u32, pair: Pair<[u8; 2]>) -> &mut Self {
        self.both(id, |side| {
            port_pair(
                u16::from_ne_bytes(side.of(pair.src)),
                u16::from_ne_bytes(side.of(pair.dst)),
            )
        })
    }

    fn ranges(&mut self, src: PortRange, dst: PortRange) -> &mut Self {
        let id = bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS_RANGE;
        self.both(id, |side| {
            let both = bindings::flow_dissector_key_ports_range__bindgen_ty_1__bindgen_ty_1 {
                tp_min: port_pair(side.of(src.min).to_be(), side.of(dst.min).to_be()),
                tp_max: port_pair(side.of(src.max).to_be(), side.of(dst.max).to_be()),
            };
            bindings::flow_dissector_key_ports_range {
                __bindgen_anon_1: bindings::flow_dissector_key_ports_range__bindgen_ty_1 {
                    __bindgen_anon_1: both,
                },
            }
        })
    }

    fn options(&mut self, options: &Options<'_>) -> &mut Self {
        let kind = match options.kind {
            OptionsKind::Geneve => bindings::IP_TUNNEL_GENEVE_OPT_BIT,
            OptionsKind::Vxlan => bindings::IP_TUNNEL_VXLAN_OPT_BIT,
            OptionsKind::Other(kind) => kind,
        };
        let side = |bytes: &[u8], kind| {
            let mut side = bindings::flow_dissector_key_enc_opts {
                data: [0; 255],
                len: bytes.len() as u8,
                dst_opt_type: kind,
            };
            side.data[..bytes.len()].copy_from_slice(bytes);
            side
        };
        self.put(
            bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_OPTS,
            side(options.value, kind),
            side(options.mask, u32::MAX),
        )
    }

    /// The next entry, which `fill` completes. What it points to lives as long as this does.
    pub(super) fn entry(
        &mut self,
        id: u32,
        fill: impl FnOnce(&mut bindings::flow_action_entry),
    ) -> &mut Self {
        // SAFETY: The rule is ours, and has so many entries.
        unsafe {
            let actions = &raw mut (*self.rule.as_ptr()).action;
            assert!(self.entries < (*actions).num_entries as usize);
            let entries = (&raw mut (*actions).entries).cast::<bindings::flow_action_entry>();
            let entry = &mut *entries.add(self.entries);
            entry.id = id;
            entry.hw_stats = bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_ANY;
            fill(entry);
        }
        self.entries += 1;
        self
    }

    /// An entry without anything but its kind.
    pub fn plain(&mut self, id: u32) -> &mut Self {
        self.entry(id, |_| {})
    }

    /// Another chain.
    pub fn goto(&mut self, chain: u32) -> &mut Self {
        self.number(bindings::flow_action_id_FLOW_ACTION_GOTO, chain)
    }

    /// An entry that has a number of 32 bits, which is where all of these have it.
    pub fn number(&mut self, id: u32, number: u32) -> &mut Self {
        self.entry(id, |entry| {
            // SAFETY: All members of the union are plain data, and this one is a number of 32 bits.
            unsafe { *entry.__bindgen_anon_1.mark.as_mut() = number }
        })
    }

    /// A redirect or mirror.
    pub fn device(&mut self, id: u32, device: Option<&Device>) -> &mut Self {
        let raw = device.map_or(core::ptr::null_mut(), Device::as_raw);
        self.entry(id, |entry| {
            // SAFETY: All members of the union are plain data.
            unsafe { *entry.__bindgen_anon_1.dev.as_mut() = raw };
        })
    }

    /// A tag.
    pub fn vlan(&mut self, id: u32, tag: Tag) -> &mut Self {
        self.entry(id, |entry| {
            // SAFETY: All members of the union are plain data.
            let vlan = unsafe { entry.__bindgen_anon_1.vlan.as_mut() };
            vlan.vid = tag.id;
            vlan.proto = tag.tpid.to_be();
            vlan.prio = tag.priority.unwrap_or(0);
        })
    }

    /// An edit.
    pub fn mangle(&mut self, mangle: &Mangle) -> &mut Self {
        let id = if mangle.add {
            bindings::flow_action_id_FLOW_ACTION_ADD
        } else {
            bindings::flow_action_id_FLOW_ACTION_MANGLE
        };
        self.entry(id, |entry| {
            // SAFETY: All members of the union are plain data.
            let raw = unsafe { entry.__bindgen_anon_1.mangle.as_mut() };
            raw.htype = match mangle.base {
                Ok(Base::Network) => 0,
                Ok(Base::Ethernet) => 1,
                Ok(Base::Ipv4) => 2,
                Ok(Base::Ipv6) => 3,
                Ok(Base::Tcp) => 4,
                Ok(Base::Udp) => 5,
                Err(other) => other,
            };
            raw.offset = mangle.offset as u32;
            raw.mask = u32::from_ne_bytes(mangle.keep);
            raw.val = u32::from_ne_bytes(mangle.value);
        })
    }

    /// A policer. Its buckets are made of `bytes` and `packets`.
    pub fn police(&mut self, police: &Police, bytes: u32, packets: u64) -> &mut Self {
        let verdict = |verdict| {
            let (act_id, extval) = match verdict {
                Verdict::Accept => (bindings::flow_action_id_FLOW_ACTION_ACCEPT, 0),
                Verdict::Drop => (bindings::flow_action_id_FLOW_ACTION_DROP, 0),
                Verdict::Continue => (bindings::flow_action_id_FLOW_ACTION_CONTINUE, 0),
                Verdict::Goto(chain) => (bindings::flow_action_id_FLOW_ACTION_GOTO, chain),
                Verdict::Jump(action) => (bindings::flow_action_id_FLOW_ACTION_JUMP, action),
                Verdict::Other(id) => (id, 0),
                _ => (bindings::flow_action_id_FLOW_ACTION_PIPE, 0),
            };
            bindings::flow_action_police__bindgen_ty_1 { act_id, extval }
        };
        let id = bindings::flow_action_id_FLOW_ACTION_POLICE;
        self.entry(id, |entry| {
            // SAFETY: All members of the union are plain data.
            *unsafe { entry.__bindgen_anon_1.police.as_mut() } = bindings::flow_action_police {
                burst: bytes,
                rate_bytes_ps: police.rate,
                peakrate_bytes_ps: police.peak_rate,
                avrate: police.average_rate,
                overhead: police.overhead,
                burst_pkt: packets,
                rate_pkt_ps: police.packet_rate,
                mtu: police.mtu,
                exceed: verdict(police.exceed),
                notexceed: verdict(police.conform),
            };
        })
    }

    /// `tunnel_key set` for IPv4, with an id where there is one.
    pub fn encap(
        &mut self,
        (from, to): ([u8; 4], [u8; 4]),
        id: Option<u32>,
        port: u16,
        options: Option<(OptionsKind, &[u8])>,
    ) -> Result<&mut Self> {
        let length = options.map_or(0, |(_, bytes)| bytes.len());
        let bytes = size_of::<bindings::ip_tunnel_info>() + length;
        let mut memory = KVec::from_elem(0u64, bytes.div_ceil(8), GFP_KERNEL)?;
        let info = memory.as_mut_ptr().cast::<bindings::ip_tunnel_info>();
        // SAFETY: There is room for the structure and its options, and all of it is plain data.
        unsafe {
            let key = &mut (*info).key;
            key.u.ipv4.as_mut().src = u32::from_ne_bytes(from);
            key.u.ipv4.as_mut().dst = u32::from_ne_bytes(to);
            key.tp_dst = port.to_be();
            key.tun_id = u64::from(id.unwrap_or(0)).to_be();
            let mut flags = 1 << bindings::IP_TUNNEL_CSUM_BIT;
            if id.is_some() {
                flags |= 1 << bindings::IP_TUNNEL_KEY_BIT;
            }
            if let Some((kind, bytes)) = options {
                flags |= match kind {
                    OptionsKind::Geneve => 1 << bindings::IP_TUNNEL_GENEVE_OPT_BIT,
                    OptionsKind::Vxlan => 1 << bindings::IP_TUNNEL_VXLAN_OPT_BIT,
                    OptionsKind::Other(bit) => 1 << bit,
                };
                (*info).options_len = bytes.len() as u8;
                let to = bindings::ip_tunnel_info_opts(info).cast_mut().cast::<u8>();
                to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
            key.tun_flags[0] = flags;
            (*info).mode = bindings::IP_TUNNEL_INFO_TX as u8;
        }
        self.tunnels.push(memory, GFP_KERNEL)?;
        Ok(
            self.entry(bindings::flow_action_id_FLOW_ACTION_TUNNEL_ENCAP, |entry| {
                // SAFETY: All members of the union are plain data.
                unsafe { *entry.__bindgen_anon_1.tunnel.as_mut() = info };
            }),
        )
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // SAFETY: It was allocated by `new`.
        unsafe { bindings::kfree(self.rule.as_ptr().cast()) };
    }
}

/// Values or masks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Value,
    Mask,
}

impl Side {
    fn of<T: Zero>(self, masked: Masked<T>) -> T {
        match self {
            Self::Value => masked.value,
            Self::Mask => masked.mask,
        }
    }
}

/// Ports in network order.
fn port_pair(src: u16, dst: u16) -> bindings::flow_dissector_key_ports {
    bindings::flow_dissector_key_ports {
        __bindgen_anon_1: bindings::flow_dissector_key_ports__bindgen_ty_1 {
            __bindgen_anon_1: bindings::flow_dissector_key_ports__bindgen_ty_1__bindgen_ty_1 {
                src,
                dst,
            },
        },
    }
}

/// A device that is none: all of it is zero.
pub fn device() -> Result<KBox<Device>> {
    let memory = KBox::<Device>::new_uninit(GFP_KERNEL)?;
    let raw = KBox::into_raw(memory).cast::<Device>();
    // SAFETY: All zero is a device for the few things that tests ask of it.
    unsafe {
        raw.write_bytes(0, 1);
        Ok(KBox::from_raw(raw))
    }
}

/// A chain of nftables, with rules that are nothing but in their order.
pub struct ChainFixture {
    chain: KBox<bindings::nft_base_chain>,
    rules: KVec<KBox<bindings::nft_rule>>,
}

impl ChainFixture {
    /// With so many rules.
    pub fn new(rules: usize) -> Result<Self> {
        let mut this = Self {
            chain: KBox::new(bindings::nft_base_chain::default(), GFP_KERNEL)?,
            rules: KVec::new(),
        };
        for _ in 0..rules {
            let rule = KBox::new(bindings::nft_rule::default(), GFP_KERNEL)?;
            this.rules.push(rule, GFP_KERNEL)?;
        }
        let head = &raw mut this.chain.chain.rules;
        let entries = this.rules.iter_mut().map(|rule| &raw mut rule.list);
        let mut last = head;
        for entry in core::iter::Iterator::chain(entries, core::iter::once(head)) {
            // SAFETY: All of them are ours, in boxes that do not move.
            unsafe {
                (*last).next = entry;
                (*entry).prev = last;
            }
            last = entry;
        }
        Ok(this)
    }

    /// The name of a rule.
    pub fn cookie(&self, number: usize) -> Cookie {
        Cookie((&raw const *self.rules[number]).expose_provenance())
    }

    /// Where the rule of a name stands.
    pub fn position(&self, rule: Cookie) -> Position<'_> {
        let block = NonNull::from(&self.chain.flow_block);
        // SAFETY: The block is the chain's, and the rule one of its rules, which do not change while the position lives.
        unsafe { Chain::of_block(block).unwrap().position(rule) }
    }
}
