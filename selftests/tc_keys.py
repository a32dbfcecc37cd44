#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Each key of flower, with frames that it takes and frames that it does not: in the device as in software, and no CPU in between.

Each entry of a table is a rule of its own, told apart from the others by the destination address (or by mask and value of that address).
What it takes goes to the wire. Three witnesses: in_hw, the device's counter, and a representor that has not seen it; and the same
rules with skip_hw, which must have the same outcome and count while the representor sees everything.
"""

# sets: quick
# vm: PORTS=1 MEM=4G

import ipaddress
from collections import Counter
from dataclasses import dataclass, field

from lib import Failure, case, equal, flower, main, setup
from lib.frames import ICMPV6, RARP, arp, frame, icmp, ip4, ip6, other, other_type, sctp, tcp, udp
from lib.packet import IPV4, IPV6, QINQ, VLAN, mac
from lib.stage import Stage, trial_mac

stage = None


@dataclass
class Key:
    """protocol and words of a rule; `{mac}` in them stands for its frames' destination, which is else matched as a whole.

    A frame is a packet, or a pair of it and further arguments of `frame`; `last` is the last byte of the destination.
    """

    protocol: str
    words: str
    yes: list = field(default_factory=list)
    no: list = field(default_factory=list)

    def rule(self, number):
        if "{mac}" in self.words:
            words = self.words.format(mac=trial_mac(number)[:-3])
        else:
            words = f"dst_mac {trial_mac(number)} {self.words}"
        return f"pref {number} protocol {self.protocol}", f"{words} action mirred egress redirect dev WIRE"

    def frames(self, number):
        """(those that match, those that do not), as bytes."""
        return [[build(number, f) for f in some] for some in (self.yes, self.no)]


def build(number, what):
    packet, more = what if isinstance(what[1], dict) else (what, {})
    more = dict(more)
    return frame(packet, trial_mac(number, more.pop("last", 0)), **more)


def tagged(packet, *tags):
    """A packet behind tags (TPID, id, priority)."""
    return packet, {"tags": [(tpid, priority << 13 | vid) for tpid, vid, priority in tags]}


@setup
def topology():
    global stage
    stage = Stage(2)


def check_one(key, number, hardware, software):
    """What is wrong with an entry."""
    yes, no = (Counter(frames) for frames in key.frames(number))
    every = yes + no
    errors = []
    for name, seen, cpu in (("hardware", hardware, no), ("software", software, every)):
        at = {place: Counter({f: n for f, n in seen.frames[place].items() if f in every}) for place in ("wire", "cpu")}
        for place, wanted in (("wire", yes), ("cpu", cpu)):
            for what, frames in (("missing", wanted - at[place]), ("too many", at[place] - wanted)):
                errors += [f"{name}: {place}: {what}: {f.hex()}" for f in list(frames)[:2]]
    (packets, _, octets, of_device), in_hw = hardware.of_pref(number)[0][0], hardware.of_pref(number)[1]
    (soft_packets, _, soft_octets, of_none), in_sw = software.of_pref(number)[0][0], not software.of_pref(number)[1]
    total = sum(yes.values())
    if not in_hw or not in_sw:
        errors.append(f"in_hw {in_hw}, with skip_hw {not in_sw}")
    if (packets, of_device, soft_packets, of_none) != (total, total, total, 0):
        errors.append(f"counts {packets} ({of_device} of the device), in software {soft_packets} ({of_none}), and not {total}")
    if octets != soft_octets:
        errors.append(f"counts {octets} bytes, in software {soft_octets}")
    return [f"{key.protocol} {key.words}: {error}" for error in errors]


def trial(keys):
    numbered = list(enumerate(keys, start=1))
    frames = [f for number, key in numbered for some in key.frames(number) for f in some]
    wanted = sum(len(key.yes) for key in keys)
    rules = lambda flags: [stage.rule(key.rule(number), flags) for number, key in numbered]  # noqa: E731
    hardware, software = (stage.run(rules(flags), frames, wanted=wanted) for flags in ("skip_sw", "skip_hw"))
    errors = [error for number, key in numbered for error in check_one(key, number, hardware, software)]
    if errors:
        raise Failure("\n".join(errors))


TEST = other_type()
IP_UDP, IP6_UDP = ip4(), ip6()

ETHERNET = [
    Key("all", "indev R0", yes=[TEST, IP_UDP]),
    Key("all", "indev R1", no=[TEST, IP_UDP]),
    Key("all", "", yes=[TEST, IP_UDP, tagged(IP6_UDP, (VLAN, 3, 0))]),
    Key("all", "dst_mac {mac}:10/ff:ff:ff:ff:ff:f0", yes=[(TEST, {"last": 0x1F})], no=[(TEST, {"last": 0x20})]),
    Key("all", "dst_mac {mac}:05/ff:ff:ff:ff:ff:85", yes=[(TEST, {"last": 0x7F})], no=[(TEST, {"last": 0x85}), (TEST, {"last": 0x04})]),
    Key("all", "src_mac 02:00:00:00:00:aa", yes=[(TEST, {"source": "02:00:00:00:00:aa"})], no=[(TEST, {"source": "02:00:00:00:00:ab"})]),
    Key(
        "all",
        "src_mac 02:01:00:00:00:00/ff:ff:00:00:00:00",
        yes=[(TEST, {"source": "02:01:77:00:00:aa"})],
        no=[(TEST, {"source": "02:02:00:00:00:00"})],
    ),
    Key(
        "all",
        "src_mac 00:00:00:00:10:01/00:00:00:00:f0:01",
        yes=[(TEST, {"source": "02:00:00:00:1f:ff"})],
        no=[(TEST, {"source": "02:00:00:00:1f:fe"}), (TEST, {"source": "02:00:00:00:2f:01"})],
    ),
    Key("ip", "", yes=[IP_UDP], no=[IP6_UDP, TEST, tagged(IP_UDP, (VLAN, 3, 0))]),
    Key("ipv6", "", yes=[IP6_UDP], no=[IP_UDP]),
    Key("arp", "", yes=[arp()], no=[arp(kind=RARP), IP_UDP]),
    Key("0x88b5", "", yes=[TEST], no=[IP_UDP, other_type(0x88B6)]),
]

VLANS = [
    Key("802.1Q", "", yes=[tagged(IP_UDP, (VLAN, 5, 0)), tagged(TEST, (VLAN, 0, 7))], no=[IP_UDP, tagged(IP_UDP, (QINQ, 5, 0))]),
    Key("802.1ad", "", yes=[tagged(IP_UDP, (QINQ, 5, 0))], no=[tagged(IP_UDP, (VLAN, 5, 0)), TEST]),
    Key("802.1Q", "vlan_id 5", yes=[tagged(IP_UDP, (VLAN, 5, 0)), tagged(TEST, (VLAN, 5, 7))], no=[tagged(IP_UDP, (VLAN, 6, 0)), IP_UDP]),
    Key("802.1Q", "vlan_id 0", yes=[tagged(IP_UDP, (VLAN, 0, 3))], no=[tagged(IP_UDP, (VLAN, 1, 0))]),
    Key("802.1Q", "vlan_id 4095", yes=[tagged(IP_UDP, (VLAN, 4095, 0))], no=[tagged(IP_UDP, (VLAN, 4094, 0))]),
    Key("802.1ad", "vlan_id 5", yes=[tagged(IP_UDP, (QINQ, 5, 0))], no=[tagged(IP_UDP, (VLAN, 5, 0)), tagged(IP_UDP, (QINQ, 6, 0))]),
    Key("802.1Q", "vlan_prio 3", yes=[tagged(IP_UDP, (VLAN, 5, 3)), tagged(TEST, (VLAN, 9, 3))], no=[tagged(IP_UDP, (VLAN, 3, 2))]),
    Key("802.1Q", "vlan_id 7 vlan_prio 0", yes=[tagged(IP_UDP, (VLAN, 7, 0))], no=[tagged(IP_UDP, (VLAN, 7, 1)), tagged(IP_UDP, (VLAN, 8, 0))]),
    Key("802.1Q", "vlan_ethtype ip", yes=[tagged(IP_UDP, (VLAN, 5, 0))], no=[tagged(IP6_UDP, (VLAN, 5, 0)), IP_UDP]),
    Key("802.1Q", "vlan_ethtype ipv6 dst_ip 2001:db8:a::2", yes=[tagged(IP6_UDP, (VLAN, 5, 0))], no=[tagged(ip6(destination="::5"), (VLAN, 5, 0)), IP6_UDP]),
    Key(
        "802.1Q",
        "vlan_ethtype ip ip_proto udp dst_port 2222",
        yes=[tagged(IP_UDP, (VLAN, 1, 0))],
        no=[tagged(ip4(udp(destination=1)), (VLAN, 1, 0)), tagged(IP_UDP, (VLAN, 1, 0), (VLAN, 2, 0))],
    ),
    Key("802.1ad", "vlan_ethtype 802.1q", yes=[tagged(IP_UDP, (QINQ, 1, 0), (VLAN, 2, 0))], no=[tagged(IP_UDP, (QINQ, 1, 0))]),
    Key(
        "802.1ad",
        "vlan_id 1 vlan_ethtype 802.1q cvlan_id 2",
        yes=[tagged(IP_UDP, (QINQ, 1, 0), (VLAN, 2, 5))],
        no=[tagged(IP_UDP, (QINQ, 1, 0), (VLAN, 3, 0)), tagged(IP_UDP, (QINQ, 2, 0), (VLAN, 2, 0))],
    ),
    Key(
        "802.1Q",
        "vlan_ethtype 802.1q cvlan_prio 6",
        yes=[tagged(TEST, (VLAN, 1, 0), (VLAN, 2, 6))],
        no=[tagged(TEST, (VLAN, 1, 6), (VLAN, 2, 5)), tagged(TEST, (VLAN, 1, 6))],
    ),
    Key(
        "802.1ad",
        "vlan_ethtype 802.1q cvlan_ethtype ip",
        yes=[tagged(IP_UDP, (QINQ, 1, 0), (VLAN, 2, 0))],
        no=[tagged(IP6_UDP, (QINQ, 1, 0), (VLAN, 2, 0)), tagged(IP_UDP, (QINQ, 1, 0))],
    ),
    Key(
        "802.1ad",
        "vlan_id 1 vlan_prio 2 vlan_ethtype 802.1q cvlan_id 3 cvlan_prio 4 cvlan_ethtype ipv6 ip_proto tcp dst_port 80",
        yes=[tagged(ip6(tcp(destination=80)), (QINQ, 1, 2), (VLAN, 3, 4))],
        no=[tagged(ip6(tcp(destination=81)), (QINQ, 1, 2), (VLAN, 3, 4)), tagged(ip6(tcp(destination=80)), (QINQ, 1, 2), (VLAN, 3, 5))],
    ),
    Key("all", "num_of_vlans 1", yes=[tagged(IP_UDP, (VLAN, 1, 0)), tagged(TEST, (QINQ, 1, 0))], no=[IP_UDP, tagged(IP_UDP, (QINQ, 1, 0), (VLAN, 2, 0))]),
    Key("all", "num_of_vlans 2", yes=[tagged(IP_UDP, (QINQ, 1, 0), (VLAN, 2, 0))], no=[tagged(IP_UDP, (VLAN, 1, 0)), IP_UDP]),
    Key("all", "num_of_vlans 1 vlan_id 9", yes=[tagged(IP_UDP, (VLAN, 9, 0)), tagged(TEST, (QINQ, 9, 0))], no=[tagged(IP_UDP, (VLAN, 8, 0))]),
]

NETWORK = [
    Key("ip", "dst_ip 198.51.100.2", yes=[IP_UDP], no=[ip4(destination="198.51.100.3"), IP6_UDP]),
    Key("ip", "src_ip 198.51.100.1", yes=[IP_UDP], no=[ip4(source="198.51.100.9")]),
    Key("ip", "dst_ip 10.16.0.0/12", yes=[ip4(destination="10.31.255.1")], no=[ip4(destination="10.32.0.1")]),
    Key("ip", "src_ip 10.0.0.0/8 dst_ip 10.0.0.0/31", yes=[ip4(source="10.9.8.7", destination="10.0.0.1")], no=[ip4(source="10.9.8.7", destination="10.0.0.2")]),
    Key("ipv6", "dst_ip 2001:db8:a::2", yes=[IP6_UDP], no=[ip6(destination="2001:db8:a::3"), ip6(destination="2001:db9:a::2")]),
    Key("ipv6", "src_ip 2001:db8:a::1", yes=[IP6_UDP], no=[ip6(source="2001:db8:a::1:1")]),
    Key("ipv6", "dst_ip fd00:8000::/17", yes=[ip6(destination="fd00:8001::1")], no=[ip6(destination="fd00:7fff::1")]),
    Key("ipv6", "src_ip 2001:db8:a::/127 dst_ip 2001:db8:a::/120", yes=[IP6_UDP], no=[ip6(source="2001:db8:a::2"), ip6(destination="2001:db8:a::100")]),
    Key("ip", "ip_proto udp", yes=[IP_UDP, ip4(options=b"\1\1\1\0")], no=[ip4(tcp()), ip4(icmp())]),
    Key("ip", "ip_proto fd", yes=[ip4(other(253))], no=[ip4(other(254))]),
    Key("ipv6", "ip_proto tcp", yes=[ip6(tcp()), ip6(tcp(), options=True)], no=[IP6_UDP]),
    Key("ipv6", "ip_proto icmpv6", yes=[ip6(icmp(128))], no=[IP6_UDP]),
    Key("ip", "ip_tos 0x28", yes=[ip4(tos=0x28)], no=[ip4(tos=0x29), IP_UDP]),
    Key("ip", "ip_tos 0x28/0xfc", yes=[ip4(tos=0x2B)], no=[ip4(tos=0x2C)]),
    Key("ip", "ip_tos 0x1/0x1", yes=[ip4(tos=0xFF)], no=[ip4(tos=0xFE)]),
    Key("ipv6", "ip_tos 0xb8", yes=[ip6(tos=0xB8, label=0xFFFFF)], no=[ip6(tos=0xB9)]),
    Key("ipv6", "ip_tos 0xb0/0xf0", yes=[ip6(tos=0xBF)], no=[ip6(tos=0xA0)]),
    Key("ip", "ip_ttl 1", yes=[ip4(ttl=1)], no=[ip4(ttl=2), IP_UDP]),
    Key("ip", "ip_ttl 0x40/0xf0", yes=[ip4(ttl=0x4F)], no=[ip4(ttl=0x50)]),
    Key("ipv6", "ip_ttl 255", yes=[ip6(ttl=255)], no=[IP6_UDP]),
    Key("ipv6", "ip_ttl 0/0x80", yes=[ip6(ttl=1)], no=[ip6(ttl=128)]),
    Key("ip", "ip_flags frag", yes=[ip4(fragment=0x2000), ip4(fragment=0x2005), ip4(fragment=0x0005)], no=[IP_UDP, ip4(fragment=0x4000)]),
    Key("ip", "ip_flags nofrag", yes=[IP_UDP, ip4(fragment=0x4000)], no=[ip4(fragment=0x2000), ip4(fragment=0x0005)]),
    Key("ip", "ip_flags frag/firstfrag", yes=[ip4(fragment=0x2000)], no=[ip4(fragment=0x2005), ip4(fragment=5), IP_UDP]),
    Key("ip", "ip_flags frag/nofirstfrag", yes=[ip4(fragment=0x2005), ip4(fragment=5)], no=[ip4(fragment=0x2000), IP_UDP]),
    Key("ip", "ip_proto udp ip_flags frag", yes=[ip4(fragment=0x2000)], no=[ip4(tcp(), fragment=0x2000)]),
    Key("ipv6", "ip_flags frag", yes=[ip6(fragment=1), ip6(fragment=0x41), ip6(fragment=0x40)], no=[IP6_UDP]),
    Key("ipv6", "ip_flags nofrag", yes=[IP6_UDP, ip6(options=True)], no=[ip6(fragment=1)]),
    Key("ipv6", "ip_flags frag/firstfrag", yes=[ip6(fragment=1)], no=[ip6(fragment=0x41), IP6_UDP]),
    Key("ipv6", "ip_flags frag/nofirstfrag", yes=[ip6(fragment=0x41)], no=[ip6(fragment=1), IP6_UDP]),
]


def ports(name, make):
    """Ports of a transport, over either IP."""
    keys = []
    for ip, packet in (("ip", ip4), ("ipv6", ip6)):
        of = lambda source=1111, destination=2222, packet=packet: packet(make(source, destination))  # noqa: E731
        foreign = packet((tcp if make is udp else udp)())
        keys += [
            Key(ip, f"ip_proto {name} dst_port 2222", yes=[of()], no=[of(destination=2223), of(2222, 1111), foreign]),
            Key(ip, f"ip_proto {name} src_port 1111", yes=[of()], no=[of(1110), foreign]),
            Key(ip, f"ip_proto {name} src_port 65535 dst_port 1", yes=[of(65535, 1)], no=[of(65535, 2), of(65534, 1)]),
            Key(ip, f"ip_proto {name} dst_port 0x800/0xff00", yes=[of(destination=0x8FF)], no=[of(destination=0x900)]),
            Key(ip, f"ip_proto {name} src_port 1/1", yes=[of(4097)], no=[of(4096)]),
            Key(ip, f"ip_proto {name} dst_port 100-200", yes=[of(1, 100), of(1, 200), of(1, 151)], no=[of(1, 99), of(1, 201), foreign]),
            Key(ip, f"ip_proto {name} src_port 5000-5001", yes=[of(5000), of(5001)], no=[of(4999), of(5002)]),
            Key(
                ip,
                f"ip_proto {name} src_port 1-1023 dst_port 60000-65535",
                yes=[of(1, 65535), of(1023, 60000)],
                no=[of(0, 65535), of(1024, 60000), of(5, 59999)],
            ),
        ]
    return keys


TCP_FLAGS = [
    Key("ip", "ip_proto tcp tcp_flags 0x2", yes=[ip4(tcp(flags=2))], no=[ip4(tcp(flags=0x12)), ip4(tcp(flags=0))]),
    Key("ip", "ip_proto tcp tcp_flags 0x2/0x12", yes=[ip4(tcp(flags=2)), ip4(tcp(flags=0xFEF))], no=[ip4(tcp(flags=0x12)), ip4(tcp(flags=0x10))]),
    Key("ip", "ip_proto tcp tcp_flags 0x100/0xf00", yes=[ip4(tcp(flags=0x118))], no=[ip4(tcp(flags=0x318)), ip4(tcp())]),
    Key("ipv6", "ip_proto tcp tcp_flags 0x4/0x4", yes=[ip6(tcp(flags=0x14))], no=[ip6(tcp(flags=0x13))]),
    Key("ipv6", "ip_proto tcp dst_port 2222 tcp_flags 0/0x7", yes=[ip6(tcp())], no=[ip6(tcp(flags=1)), ip6(tcp(destination=1))]),
]

ICMP = [
    Key("ip", "ip_proto icmp type 8", yes=[ip4(icmp()), ip4(icmp(8, 9))], no=[ip4(icmp(0)), IP_UDP]),
    Key("ip", "ip_proto icmp code 3", yes=[ip4(icmp(3, 3))], no=[ip4(icmp(3, 4))]),
    Key("ip", "ip_proto icmp type 3 code 1", yes=[ip4(icmp(3, 1))], no=[ip4(icmp(3, 2)), ip4(icmp(11, 1))]),
    Key("ip", "ip_proto icmp type 8/248 code 0/1", yes=[ip4(icmp(11, 2))], no=[ip4(icmp(16, 2)), ip4(icmp(11, 1))]),
    Key("ipv6", "ip_proto icmpv6 type 128", yes=[ip6(icmp(128))], no=[ip6(icmp(129)), IP6_UDP]),
    Key("ipv6", "ip_proto icmpv6 type 1 code 4", yes=[ip6(icmp(1, 4))], no=[ip6(icmp(1, 3)), ip6(icmp(2, 4))]),
    Key("ipv6", "ip_proto icmpv6 type 128/128", yes=[ip6(icmp(0x81))], no=[ip6(icmp(0x7F)), ip6(other(ICMPV6 - 1))]),
]

def mpls(*entries, kind=0x8847):
    """A label stack of (label, class, TTL) in front of an IPv4 packet."""
    words = [label << 12 | tc << 9 | (number == len(entries) - 1) << 8 | ttl for number, (label, tc, ttl) in enumerate(entries)]
    return kind, b"".join(word.to_bytes(4, "big") for word in words) + ip4()[1]


MPLS = [
    Key("mpls_uc", "mpls_label 5", yes=[mpls((5, 0, 64)), mpls((5, 7, 1), (6, 0, 1))], no=[mpls((6, 0, 64)), mpls((5, 0, 64), kind=0x8848), IP_UDP]),
    Key("mpls_uc", "mpls_tc 3", yes=[mpls((9, 3, 64))], no=[mpls((9, 4, 64))]),
    Key("mpls_uc", "mpls_bos 0", yes=[mpls((9, 3, 64), (10, 0, 1))], no=[mpls((9, 3, 64))]),
    Key("mpls_uc", "mpls_ttl 17", yes=[mpls((9, 3, 17))], no=[mpls((9, 3, 16))]),
    Key("mpls_uc", "mpls lse depth 2 label 7 lse depth 1 label 6", yes=[mpls((6, 0, 1), (7, 0, 2))], no=[mpls((6, 0, 1)), mpls((6, 0, 1), (8, 0, 2))]),
]

TARGET = "02:00:00:00:0c:0c"
ARP_KEYS = [
    Key("arp", "arp_op request", yes=[arp(1)], no=[arp(2), arp(1, kind=RARP)]),
    Key("arp", "arp_op reply", yes=[arp(2)], no=[arp(1)]),
    Key("arp", "arp_op 0/1", yes=[arp(2)], no=[arp(1)]),
    Key("arp", "arp_sip 198.51.100.1", yes=[arp()], no=[arp(sender_ip="198.51.100.3")]),
    Key("arp", "arp_sip 198.51.96.0/20", yes=[arp()], no=[arp(sender_ip="198.51.112.1")]),
    Key("arp", "arp_tip 198.51.100.2", yes=[arp()], no=[arp(target_ip="198.51.100.1")]),
    Key("arp", "arp_tip 128.0.0.0/1", yes=[arp()], no=[arp(target_ip="127.0.0.1")]),
    Key("arp", "arp_sha 02:00:00:00:0a:0a", yes=[arp()], no=[arp(sender=TARGET)]),
    Key("arp", "arp_sha 00:00:00:00:0a:00/00:00:00:00:ff:00", yes=[arp()], no=[arp(sender=TARGET)]),
    Key("arp", f"arp_tha {TARGET}", yes=[arp(target=TARGET)], no=[arp()]),
    Key("arp", "arp_tha 02:00:00:00:00:00/02:00:00:00:00:01", yes=[arp(target=TARGET)], no=[arp(target="02:00:00:00:00:01"), arp()]),
    Key("arp", "arp_op reply arp_sip 198.51.100.1 arp_tip 198.51.100.2 arp_sha 02:00:00:00:0a:0a", yes=[arp(2)], no=[arp(1), arp(2, target_ip="1.1.1.1")]),
    Key("rarp", "arp_op reply", yes=[arp(2, kind=RARP)], no=[arp(2), arp(3, kind=RARP)]),
    Key("rarp", "arp_sha 02:00:00:00:0a:0a", yes=[arp(1, kind=RARP)], no=[arp(1, sender=TARGET, kind=RARP), arp(3, kind=RARP)]),
]


@case
def ethernet():
    """indev, addresses with any mask, types."""
    trial(ETHERNET)


@case
def vlan():
    """First and second tag: id, priority, type, type behind; how many."""
    trial(VLANS)


@case
def network():
    """IPv4 and IPv6: addresses, protocol, TOS, TTL, fragments."""
    trial(NETWORK)


def by_netlink(number, flags, address, value, mask):
    """A rule whose source or destination has any mask, for which tc has no words."""
    kind = 6 if ":" in value else 4
    first = {(4, "src"): flower.IPV4_SRC, (4, "dst"): flower.IPV4_DST, (6, "src"): flower.IPV6_SRC, (6, "dst"): flower.IPV6_DST}[kind, address]
    packed = [ipaddress.ip_address(text).packed for text in (value, mask)]
    keys = {flower.ETH_DST: mac(trial_mac(number)), flower.ETH_DST_MASK: b"\xff" * 6, first: packed[0], first + 1: packed[1]}
    flower.add(stage.reps[0], number, IPV4 if kind == 4 else IPV6, flags, keys, stage.wire.near)


# (which address, value, mask, addresses that match, addresses that do not)
MASKS = [
    ("dst", "10.0.0.5", "255.0.0.255", ["10.9.9.5", "10.0.0.5"], ["10.0.0.6", "11.0.0.5"]),
    ("src", "0.0.0.1", "0.0.0.1", ["198.51.100.1", "1.1.1.255"], ["198.51.100.2"]),
    ("dst", "128.64.32.16", "170.85.170.85", ["213.234.117.186"], ["213.234.117.187", "85.234.117.186"]),
    ("dst", "::5", "::ff", ["2001:db8::5", "fd00::1:0:5"], ["2001:db8::6"]),
    ("src", "2000::", "f000::1", ["2001:db8::2", "2fff::"], ["2001:db8::1", "3000::2"]),
    ("src", "0:0:0:8000::8000", "0:0:0:8000::8000", ["::ffff:0:0:0:8000"], ["::8000", "0:0:0:8000::"]),
]


@case
def any_mask():
    """Addresses with masks that are no prefixes, which only netlink can say."""
    def packet(which, address):
        return (ip6 if ":" in address else ip4)(**{"source" if which == "src" else "destination": address})

    some = [[[frame(packet(which, a), trial_mac(n)) for a in addresses] for addresses in (yes, no)] for n, (which, _, _, yes, no) in enumerate(MASKS, start=1)]
    frames = [f for yes, no in some for f in (*yes, *no)]
    for flags, cpu in (("skip_sw", [f for _, no in some for f in no]), ("skip_hw", frames)):
        for number, (which, value, mask, _, _) in enumerate(MASKS, start=1):
            by_netlink(number, flags, which, value, mask)
        seen = stage.run([], frames, wanted=sum(len(yes) for yes, _ in some))
        equal(seen.frames["wire"], Counter(f for yes, _ in some for f in yes), f"what comes to the wire ({flags})")
        equal(seen.frames["cpu"], Counter(cpu), f"what the CPU has seen ({flags})")
        equal([seen.of_pref(n)[0][0][0] for n in range(1, 7)], [len(yes) for yes, _ in some], f"packets ({flags})")
        equal(len(seen.in_hw), 6 if flags == "skip_sw" else 0, f"rules in hardware ({flags})")


@case
def transport_ports():
    """Ports of UDP, TCP and SCTP: exact, with masks, ranges."""
    trial([key for name, make in (("udp", udp), ("tcp", tcp), ("sctp", sctp)) for key in ports(name, make)])


@case
def tcp_flags():
    """Flags of TCP."""
    trial(TCP_FLAGS)


@case
def icmp_type():
    """Type and code of ICMP and ICMPv6."""
    trial(ICMP)


@case
def mpls_labels():
    """Entries of a stack of labels."""
    trial(MPLS)


@case
def arp_fields():
    """ARP and RARP: operation and addresses."""
    trial(ARP_KEYS)


main()
