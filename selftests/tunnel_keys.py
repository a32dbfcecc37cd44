#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Each key of flower about outer headers, with frames in tunnels that it takes and frames that it does not: in the device as in software.

Each entry of a table is a rule of a tunnel device, told apart from the others by the destination address within the tunnel. What it takes gets to
VF 1, out of its tunnel. The kernel takes no skip_sw on tunnel devices: the witnesses are in_hw and the device's counter, which has all that the rule
has counted; and the same rules with skip_hw, which must have the same outcome.
"""

# sets: quick
# quick: identifiers flags
# vm: PORTS=1 MEM=4G

import ipaddress
import struct
from collections import Counter
from dataclasses import dataclass, field

from lib import Failure, case, defer, flower, ip, main, setup, sh
from lib.frames import frame, ip4
from lib.link import Link
from lib.namespace import sysctl
from lib.outer import CRIT, GENEVE, OAM, VXLAN, Outer
from lib.packet import mac
from lib.stage import Stage, trial_mac

ID = 0x123456
OTHER_PORT = 5000
# Tunnel device to (how it is made, kind, port).
DEVICES = {
    "vx": (f"vxlan dstport {VXLAN} udp6zerocsumrx", "vxlan", None),
    "vx5000": (f"vxlan dstport {OTHER_PORT}", "vxlan", OTHER_PORT),
    "gnv": (f"geneve dstport {GENEVE} udp6zerocsumrx", "geneve", None),
    "gnv5001": (f"geneve dstport {OTHER_PORT + 1}", "geneve", OTHER_PORT + 1),
    "gre4": ("gretap", "gretap", None),
    "gre6": ("ip6gretap", "gretap", None),
}
# Far ends of a subnet of the wire, by version and last number.
NET = {4: "192.0.2.{}", 6: "2001:db8::{:x}"}
NEAR = 1
OPTION = bytes.fromhex("010280010a0b0c0d")
CRITICAL = bytes.fromhex("010380010a0b0c0d")
stage = None


@dataclass
class Key:
    """A rule of a tunnel device, over a version of IP: words of tc, or what netlink says ({attribute: (value, mask)}); a frame is what differs of its
    outer headers, where `far` is the last number of who sends it."""

    device: str
    version: int
    words: str | dict
    yes: list = field(default_factory=list)
    no: list = field(default_factory=list)
    # No frame of the device can match it, and it is in software only.
    never: bool = False

    def frames(self, number):
        """(those that match, those that do not), as pairs of what is sent and what is within."""
        return [[self._frame(number, place, **what) for place, what in enumerate(some)] for some in (self.yes, self.no)]

    def _frame(self, number, place, far=2, **what):
        inner = frame(ip4(identification=place), trial_mac(number))
        _, kind, port = DEVICES[self.device]
        ends = (NET[self.version].format(far), NET[self.version].format(NEAR))
        return Outer(kind, (stage.wire.far.mac, stage.wire.near.mac), ends, **{"id": ID, "to": port, **what}).around(inner), inner

    def lay(self, number, flags):
        """A line for tc, if that has words for it; else the rule is laid."""
        near = NET[self.version].format(NEAR)
        if isinstance(self.words, str):
            rest = f"dst_mac {trial_mac(number)} enc_dst_ip {near} {self.words} action tunnel_key unset action mirred egress redirect dev R1"
            return [stage.rule((f"pref {number} protocol all", rest), flags, self.device)]
        own = flower.ENC_IPV4_DST if self.version == 4 else flower.ENC_IPV6_DST
        packed = ipaddress.ip_address(near).packed
        keys = {flower.ETH_DST: mac(trial_mac(number)), flower.ETH_DST_MASK: b"\xff" * 6, own: packed, own + 1: b"\xff" * len(packed)}
        for kind, (value, mask) in self.words.items():
            keys |= {kind: value, kind + 1: mask}
        flower.add(Link(self.device), number, 0x0800, flags, keys, stage.reps[1])
        return []


@setup
def topology():
    global stage
    for module in ("vxlan", "geneve", "ip_gre", "ip6_gre", "act_tunnel_key"):
        sh(["modprobe", module])
    stage = Stage(2)
    near = stage.wire.near
    sysctl(f"net.ipv6.conf.{near.name}.disable_ipv6", 0)
    near.address(f"{NET[4].format(NEAR)}/24", f"{NET[6].format(NEAR)}/64")
    for version in NET:
        for far in (2, 3, 5, 7, 34, 66):
            address = NET[version].format(far)
            ip(f"neigh replace {address} lladdr {stage.wire.far.mac} dev {near.name} nud permanent")
            defer(ip, f"neigh del {address} dev {near.name}", check=False)
    for name, (how, _, _) in DEVICES.items():
        stage.add_hooked(name, f"type {how} external")


def check_one(key, number, hardware, software):
    """What is wrong with an entry."""
    yes, no = (Counter(inner for _, inner in frames) for frames in key.frames(number))
    errors, total = [], sum(yes.values())
    for name, seen in (("hardware", hardware), ("software", software)):
        at = Counter({f: n for f, n in seen.frames["vf1"].items() if f in yes + no})
        if at != yes:
            errors.append(f"{name}: VF 1 has {sum((at & yes).values())} of {total} that match, and {sum((at - yes).values())} that do not")
        count, in_hw = seen.of_pref(number)[0][-1], seen.of_pref(number)[1]
        wanted = (total, total if name == "hardware" else 0, name == "hardware" and not key.never)
        if (count.packets, count.hw_packets, in_hw) != wanted:
            errors.append(f"{name}: {(count.packets, count.hw_packets, in_hw)} are packets, those of the device, and in_hw, and not {wanted}")
    return [f"{key.device} {key.version} {key.words}: {error}" for error in errors]


def trial(keys):
    numbered = list(enumerate(keys, start=1))
    frames = [sent for number, key in numbered for some in key.frames(number) for sent, _ in some]
    devices = tuple({key.device: None for key in keys})
    results = []
    for flags in ("", "skip_hw"):
        try:
            lines = [line for number, key in numbered for line in key.lay(number, flags)]
            results.append(stage.run(lines, frames, devices, origin="wire", wanted=sum(len(key.yes) for key in keys)))
        finally:
            stage.clear()
    errors = [error for number, key in numbered for error in check_one(key, number, *results)]
    if errors:
        raise Failure("\n".join(errors))


def each(*devices):
    """(device, version) of all tunnels that these devices are for."""
    return [(name, version) for name in devices for version in (4, 6) if not name.startswith("gre") or name.endswith(str(version))]


UDP_TUNNELS = each("vx", "gnv")
ALL = each(*DEVICES)


@case
def identifiers():
    """enc_key_id, of each tunnel."""
    trial([Key(*where, f"enc_key_id {ID}", yes=[{}], no=[{"id": ID ^ 1}, {"id": ID ^ 0x800000}]) for where in ALL])


@case
def source_addresses():
    """enc_src_ip: whole, and prefixes."""
    keys = []
    for where in ALL:
        far = NET[where[1]]
        most = 32 if where[1] == 4 else 128
        keys += [
            Key(*where, f"enc_src_ip {far.format(2)}", yes=[{}], no=[{"far": 3}]),
            Key(*where, f"enc_src_ip {far.format(2)}/{most - 1}", yes=[{}, {"far": 3}], no=[{"far": 5}]),
            Key(*where, f"enc_src_ip {far.format(0)}/{most - 5}", yes=[{}, {"far": 7}], no=[{"far": 34}, {"far": 66}]),
        ]
    trial(keys)


def masked(version, number, mask):
    """An address whose last byte is looked at by a mask, and its first two as a whole."""
    kind, size = (flower.ENC_IPV4_SRC, 4) if version == 4 else (flower.ENC_IPV6_SRC, 16)
    packed = ipaddress.ip_address(NET[version].format(0)).packed
    return {kind: (packed[:2] + bytes(size - 3) + bytes([number]), b"\xff\xff" + bytes(size - 3) + bytes([mask]))}


@case
def source_address_masks():
    """Outer addresses with masks that are no prefixes, which only netlink can say."""
    keys = []
    for where in ALL:
        keys += [
            Key(*where, masked(where[1], 2, 0x1F), yes=[{}, {"far": 34}, {"far": 66}], no=[{"far": 3}]),
            Key(*where, masked(where[1], 1, 0x01), yes=[{"far": 3}, {"far": 5}, {"far": 7}], no=[{}, {"far": 34}]),
            Key(*where, masked(where[1], 0x42, 0x62), yes=[{"far": 66}], no=[{}, {"far": 34}]),
        ]
    trial(keys)


def number(value, mask=0xFFFF):
    return struct.pack(">H", value), struct.pack(">H", mask)


@case
def ports():
    """UDP ports: the destination's, which is the device's own, and the source's, whole and with masks, which only netlink can say."""
    keys = []
    for where in each("vx", "vx5000", "gnv", "gnv5001"):
        _, kind, port = DEVICES[where[0]]
        port = port or {"vxlan": VXLAN, "geneve": GENEVE}[kind]
        keys += [
            Key(*where, f"enc_dst_port {port}", yes=[{}]),
            Key(*where, f"enc_dst_port {port + 7}", no=[{}], never=True),
            Key(*where, {flower.ENC_SRC_PORT: number(4660)}, yes=[{"port": 4660}], no=[{"port": 4661}, {}]),
            Key(*where, {flower.ENC_SRC_PORT: number(0x8000, 0xF000)}, yes=[{"port": 0x8FFF}], no=[{"port": 0x9000}, {"port": 0x7FFF}]),
            Key(*where, {flower.ENC_SRC_PORT: number(1, 1), flower.ENC_DST_PORT: number(port)}, yes=[{"port": 1001}], no=[{"port": 1000}]),
        ]
    trial(keys)


@case
def tos_and_ttl():
    """enc_tos and enc_ttl: whole, and with masks."""
    keys = []
    for where in ALL:
        keys += [
            Key(*where, "enc_tos 0x28", yes=[{"tos": 0x28}], no=[{}, {"tos": 0x2C}]),
            Key(*where, "enc_tos 0x28/0xe8", yes=[{"tos": 0x28}, {"tos": 0x3C}], no=[{"tos": 0x20}, {"tos": 0x68}]),
            Key(*where, "enc_tos 0/0x80", yes=[{}, {"tos": 0x7C}], no=[{"tos": 0x80}]),
            Key(*where, "enc_ttl 9", yes=[{"ttl": 9}], no=[{}, {"ttl": 8}]),
            Key(*where, "enc_ttl 0x40/0xf0", yes=[{}, {"ttl": 0x4F}], no=[{"ttl": 0x50}, {"ttl": 0x3F}]),
            Key(*where, "enc_tos 0xb8 enc_ttl 255", yes=[{"tos": 0xB8, "ttl": 255}], no=[{"tos": 0xB8}, {"ttl": 255}]),
        ]
    trial(keys)


@case
def flags():
    """enc_flags: a checksum, no fragments, and Geneve's marks."""
    keys = []
    for where in UDP_TUNNELS:
        keys += [
            Key(*where, "enc_flags tuncsum", yes=[{}], no=[{"summed": False}]),
            Key(*where, "enc_flags notuncsum", yes=[{"summed": False}], no=[{}]),
        ]
    for where in ALL:
        # IPv6 has no such bit.
        cut, whole = {"df": False}, {"df": True}
        keys += [
            Key(*where, "enc_flags tundf", yes=[whole], no=[cut]) if where[1] == 4 else Key(*where, "enc_flags tundf", no=[{}]),
            Key(*where, "enc_flags notundf", yes=[cut], no=[whole]) if where[1] == 4 else Key(*where, "enc_flags notundf", yes=[{}]),
        ]
    for version in (4, 6):
        oam, crit = {"marks": OAM, "options": OPTION}, {"marks": CRIT, "options": CRITICAL}
        keys += [
            Key("gnv", version, "enc_flags tunoam", yes=[oam], no=[{}, crit]),
            Key("gnv", version, "enc_flags notunoam", yes=[{}, crit], no=[oam]),
            Key("gnv", version, "enc_flags tuncrit", yes=[crit], no=[{}, oam]),
            Key("gnv", version, "enc_flags tunoam/notuncrit/tuncsum", yes=[oam], no=[{**oam, "summed": False}, {**oam, "marks": OAM | CRIT}, {}]),
        ]
    trial(keys)


@case
def several():
    """Keys of the frame and of its tunnel at once."""
    trial([
        Key(*where, f"enc_key_id {ID} enc_src_ip {NET[where[1]].format(2)} enc_tos 4 enc_ttl 64", yes=[{"tos": 4}], no=[{"tos": 4, "far": 3}, {"tos": 4, "id": 1}, {}])
        for where in ALL
    ])


main()
