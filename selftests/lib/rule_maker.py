# SPDX-License-Identifier: GPL-2.0-only
"""Random rules of tc and random frames, of few values, so that frames meet many rules; the same ones for the same seed."""

import os
from dataclasses import dataclass

from .dice import Dice
from .frames import arp, frame, icmp, ip4, ip6, other, other_type, sctp, tcp, udp
from .packet import QINQ, VLAN

RULES, FRAMES = 40, 160
CHAINS = (0, 1, 2)
# Whether software can go on in the chain where the device stopped (NET_TC_SKB_EXT).
CONTINUES = os.environ.get("KERNEL") == "debug"


@dataclass(frozen=True)
class Way:
    """Where rules are, and what they may have."""

    # As tc says it.
    place: str = "dev R0 ingress"
    # Rules are in the device and in software, as far as they can; else in the device alone.
    mixed: bool = False
    # What brings frames there, with flags.
    before: tuple = ()
    origins: tuple = ("vf0",)
    # Who can be sent frames.
    targets: tuple = ("WIRE", "WIRE", "R1", "R2")
    # Rules may have frames come in at another interface.
    ingress: bool = False
    # Interfaces where frames come in that are no targets.
    indevs: tuple = ()
    # The device counts bytes as software does.
    counts_bytes: bool = True
    # Rules ask for more than others do, or come behind others, so that few frames meet them.
    rare: bool = False
    # Software goes on where rules in the device alone have no more to say.
    chained: bool = CONTINUES

    @property
    def egress(self):
        return self.place.endswith("egress")

    @property
    def hosts(self):
        """Places on the host that see what comes from the origins; what is in the device, they do not."""
        return tuple({"vf0": "cpu", "vf1": "rep1", "wire": "port"}[origin] for origin in self.origins)

    @property
    def share(self):
        """One of so many frames has to meet a rule; where rules in the device alone are in later chains, too, fewer do."""
        return 6 if self.rare else 4 if self.chained and not self.mixed else 2

    @property
    def flags(self):
        return "" if self.mixed else "skip_sw"


class Maker(Dice):
    """Makes rules and frames out of few values, so that frames meet many rules."""

    def __init__(self, seed, way):
        super().__init__(seed)
        self.way = way
        # A priority has one protocol.
        self.protocols = {pref: self.pick(["all", "all", "ip", "ip", "ip", "ipv6", "ipv6", "802.1Q", "arp"]) for pref in range(1, 9)}
        self.keys = set()

    # Keys.

    def ethernet(self):
        words = []
        for name, kind in (("dst_mac", 0), ("src_mac", 1)):
            if self.chance(35):
                mask = self.pick(["", "/ff:ff:ff:ff:ff:00", "/00:00:00:00:00:03", "/ff:ff:ff:00:01:01"])
                words.append(f"{name} {self.mac(kind)}{mask}")
        return words

    def ports(self):
        words = [f"ip_proto {(protocol := self.pick(['tcp', 'udp', 'sctp']))}"]
        for name in ("src_port", "dst_port"):
            low = self.number()
            value = self.pick([str(low), f"{low}/0x1", f"{low}/0x102", f"{low}-{low + 1 + self.number()}"])
            if self.chance(45):
                words.append(f"{name} {value}")
        if protocol == "tcp" and self.chance(40):
            words.append(f"tcp_flags {self.pick(['0x2', '0x10/0x10', '0/0x4', '0x12/0x12'])}")
        return words

    def network(self, version):
        words = []
        for name, part in (("src_ip", 1), ("dst_ip", 2)):
            if self.chance(40):
                length = self.pick([32, 32, 31, 24, 16]) + (96 if version == 6 else 0)
                words.append(f"{name} {self.address(version, part)}/{length}")
        if self.chance(20):
            words.append(f"ip_tos {self.pick(['0', '4', '4/0x4', '0/0x3'])}")
        if self.chance(20):
            words.append(f"ip_ttl {self.pick(['1', '64', '0x40/0xc0'])}")
        if self.chance(15):
            words.append(f"ip_flags {self.pick(['frag', 'nofrag', 'frag/firstfrag', 'frag/nofirstfrag'])}")
        if self.chance(50):
            icmp_name = "icmp" if version == 4 else "icmpv6"
            words += self.pick([self.ports, self.ports, lambda: [f"ip_proto {icmp_name} type {self.number()}"], lambda: ["ip_proto udp"]])()
        return words

    def address(self, version, part):
        last = self.number()
        return f"10.{part}.{self.number()}.{last}" if version == 4 else f"fd00::{part}:{self.number():x}:{last:x}"

    def key(self, protocol):
        words = self.ethernet()
        if self.way.indevs and self.chance(35):
            words.append(f"indev {self.pick(self.way.indevs)}")
        if protocol == "all" and self.chance(25):
            words.append(f"num_of_vlans {self.pick([1, 2])}")
        if protocol == "802.1Q":
            words += [w for w in (f"vlan_id {self.number()}", f"vlan_prio {self.number()}") if self.chance(50)]
            behind = self.pick(["", "ip", "ipv6", "802.1q"])
            if behind:
                words.append(f"vlan_ethtype {behind}")
            if behind == "802.1q":
                words.append(f"cvlan_id {self.number()}")
            elif behind:
                words += self.network(4 if behind == "ip" else 6)
        if protocol == "arp":
            words += [w for w in (f"arp_sip 10.1.{self.number()}.0/24", f"arp_op {self.pick(['request', 'reply'])}") if self.chance(50)]
        if protocol in ("ip", "ipv6"):
            words += self.network(4 if protocol == "ip" else 6)
        return " ".join(words)

    # Actions.

    def place(self):
        return self.pick(self.way.targets)

    def edit(self, protocol):
        version = {"ip": "ip", "ipv6": "ip6"}.get(protocol)
        some = [
            f"vlan push id {self.number()} priority {self.number()}",
            f"vlan push protocol 802.1ad id {self.number()}",
            "vlan pop",
            f"vlan modify id {self.number()} priority {self.number()}",
            f"pedit ex munge eth dst set 02:ee:05:00:00:0{self.number()}",
            f"mirred egress mirror dev {self.place()}",
            f"police mtu {self.pick([100, 130])} conform-exceed {self.pick(['drop/pipe', 'pipe/drop'])}",
        ]
        if version:
            hops = "ttl" if version == "ip" else "hoplimit"
            some += [
                f"pedit ex munge {version} dst set {self.address(4 if version == 'ip' else 6, 2)}",
                f"pedit ex munge {version} {hops} add 255",
                f"pedit ex munge {version} src set {self.address(4 if version == 'ip' else 6, 1)} munge {version} {hops} set 9",
                f"pedit ex munge {self.pick(['tcp', 'udp'])} {self.pick(['sport', 'dport'])} {self.pick(['set', 'add'])} {self.number()}",
                f"csum {self.pick(['ip4h', 'tcp', 'udp', 'ip4h and tcp and udp', 'icmp', 'sctp'])}",
            ]
        return f"action {self.pick(some)} pipe"

    def actions(self, protocol, chain):
        edits = [self.edit(protocol) for _ in range(self.pick([0, 0, 1, 1, 2, 4]))]
        # A policer says by itself what comes then.
        edits = [edit.removesuffix(" pipe") if "conform-exceed" in edit else edit for edit in edits]
        return " ".join([*edits, self.pick(self.endings(chain))])

    def endings(self, chain):
        """What a rule can do last."""
        last = [f"action mirred egress redirect dev {self.place()}"] * 4 + ["action drop"]
        if self.way.ingress:
            last.append("action mirred ingress redirect dev R1")
        if self.way.mixed:
            last += ["action ok", f"action skbedit ptype host pipe action mirred egress redirect dev {self.place()}"]
        if self.way.chained:
            last += [f"action goto chain {later}" for later in CHAINS if later > chain] * 2
        return last

    def rules(self):
        """Lines of tc."""
        lines = []
        for _ in range(RULES):
            chain = self.pick(CHAINS) if self.way.chained and self.chance(50 if self.way.mixed else 25) else 0
            pref = self.random.randint(1, 8)
            protocol = self.protocols[pref]
            key, actions = self.key(protocol), self.actions(protocol, chain)
            if (chain, pref, key) not in self.keys:
                self.keys.add((chain, pref, key))
                handle = len(lines) + 1
                where = f"{self.way.place} chain {chain} pref {pref} handle {handle} protocol {protocol}"
                lines.append(f"filter add {where} flower {self.way.flags} {key} {actions}")
        return lines

    # Frames.

    def transport(self, version):
        ports, body = (self.number(5), self.number(5)), bytes(self.pick([40, 70, 90]))
        return self.pick([
            lambda: udp(*ports, body), lambda: udp(*ports, body), lambda: tcp(*ports, self.pick([2, 0x12, 0x10, 4]), body), lambda: sctp(*ports, body),
            lambda: icmp(self.number(), 0, body), lambda: other(253, body),
        ])()  # fmt: skip

    def packet(self):
        kind = self.pick([4, 4, 4, 6, 6, 6, "arp", "other"])
        if kind == "arp":
            return arp(self.pick([1, 2]), sender_ip=self.address(4, 1))
        if kind == "other":
            return other_type(body=bytes(self.pick([60, 90])))
        more = {"source": self.address(kind, 1), "destination": self.address(kind, 2), "tos": self.pick([0, 0, 4, 7]), "ttl": self.pick([64, 1, 65])}
        if self.chance(15):
            more["fragment"] = self.pick([0x2000, 0x2005, 0x5]) if kind == 4 else self.pick([1, 0x41, 0x40])
        if self.chance(10):
            more["options"] = b"\1\1\1\0" if kind == 4 else True
        return (ip4 if kind == 4 else ip6)(self.transport(kind), **more)

    def frames(self):
        some = []
        for _ in range(FRAMES):
            tags = [(self.pick([VLAN, VLAN, QINQ]), self.number() << 13 | self.number()) for _ in range(self.pick([0, 0, 0, 1, 1, 2]))]
            some.append(frame(self.packet(), self.mac(0), self.mac(1), tags))
        return some
