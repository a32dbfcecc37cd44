#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Random rules over random frames: what the device does is what software does, byte for byte, with the same counters.

OXNIC_FLOW_SEED is the seed of the first round (else the clock's); a failure says its own, and with OXNIC_FLOW_ROUNDS=1 a seed makes
just that round again. OXNIC_FLOW_SECONDS (20) is how long each case goes on; by `selftests/run --env`.
"""

# sets: quick
# vm: PORTS=1 MEM=4G

import os
import re
import time
from dataclasses import dataclass

from lib import Capture, Failure, at_most, case, defer, ip, main, note, setup, sh
from lib.dice import Dice
from lib.frames import arp, frame, icmp, ip4, ip6, other, other_type, sctp, tcp, udp
from lib.link import Link
from lib.packet import QINQ, VLAN
from lib.stage import Stage

SECONDS = float(os.environ.get("OXNIC_FLOW_SECONDS", "20"))
ROUNDS = int(os.environ.get("OXNIC_FLOW_ROUNDS", "1000000"))
SEED = int(os.environ.get("OXNIC_FLOW_SEED", "0")) or time.time_ns() % 1_000_000_000
RULES, FRAMES = 40, 160
CHAINS = (0, 1, 2)
ALL_CHAINS = [f" chain {chain}" for chain in CHAINS[1:]]
LAST, BLOCK = 60000, 22
# Whether software can go on in the chain where the device stopped (NET_TC_SKB_EXT).
CONTINUES = os.environ.get("KERNEL") == "debug"

stage = None


@setup
def topology():
    global stage
    stage = Stage(3)
    # What no rule has brought to an end gets here, by a rule of software's that is the last in each chain.
    ip("link add up0 type dummy")
    defer(ip, "link del up0")
    ip("link set up0 up")
    stage.names["UP"] = "up0"
    stage.places["up"] = Capture(Link("up0"), outgoing=True)


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
    # Interfaces where frames come in that are no targets.
    indevs: tuple = ()
    # Software goes on where rules in the device alone have no more to say.
    chained: bool = CONTINUES

    @property
    def egress(self):
        return self.place.endswith("egress")

    @property
    def flags(self):
        return "" if self.mixed else "skip_sw"


ALONE, MIXED = Way(), Way(mixed=True, chained=True)
# Frames of two interfaces, and rules that say of which.
SHARED = Way(f"block {BLOCK}", origins=("vf0", "vf1"), targets=("WIRE", "WIRE", "R2"), indevs=("R0", "R1"))
# What no rule takes leaves, in the device and in software: a later chain needs no help of either.
EGRESS = Way("dev R1 egress", before=("filter add dev R0 ingress pref 1 protocol all matchall {} action mirred egress redirect dev R1",), targets=("WIRE", "WIRE", "R2"), chained=True)


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
        last = [f"action mirred egress redirect dev {self.place()}"] * 4 + ["action drop"]
        if self.way in (ALONE, MIXED):
            last.append("action mirred ingress redirect dev R1")
        if self.way.mixed:
            last += ["action ok", f"action skbedit ptype host pipe action mirred egress redirect dev {self.place()}"]
        if self.way.chained:
            last += [f"action goto chain {later}" for later in CHAINS if later > chain] * 2
        return " ".join([*edits, self.pick(last)])

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


def lay(way, lines, refused=None):
    """All that tc takes; numbers of lines that it does not."""
    up = [f"filter add {way.place} chain {chain} pref {LAST} protocol all matchall skip_hw action mirred egress redirect dev UP" for chain in CHAINS]
    flags = "skip_hw" if refused is None else "skip_sw"
    others = [line.format(flags) for line in way.before] + ([] if way.egress else up)
    result = stage.batch([*lines, *others], check=False)
    wrong = [int(number) - 1 for number in re.findall(r"Command failed -:(\d+)", result.text)]
    if refused is None and wrong or any(number >= len(lines) for number in wrong):
        raise Failure(f"software refuses {[lines[n] for n in wrong if n < len(lines)]}: {result.text[:500]}")
    return wrong, result.text


def rounds(way, part=1.0):
    end, done, refused, laid, hits = time.monotonic() + SECONDS * part, 0, 0, 0, 0
    seed = SEED
    while done < ROUNDS and (not done or time.monotonic() < end):
        try:
            counts = one(seed, way)
        except Failure as error:
            raise Failure(f"OXNIC_FLOW_SEED={seed} OXNIC_FLOW_ROUNDS=1: {error}") from None
        laid, refused, hits, done, seed = laid + counts[0], refused + counts[1], hits + counts[2], done + 1, seed + 1
    note(f"{done} rounds from seed {SEED}: {laid} rules, {refused} refused by the device, {hits} packets counted")
    # Else the trial would say little.
    at_most(refused, laid // 3, "refused rules")
    # Where rules in the device alone are in later chains, too, fewer are met.
    at_most(done * FRAMES / (4 if way.chained and not way.mixed else 2), hits, "packets counted")


def difference(way, hardware, software, lines):
    found = []
    host = ("cpu", "rep1")[: len(way.origins)]
    for place in stage.places:
        if place not in host:
            ours, theirs = hardware.frames[place], software.frames[place]
            found += [f"{place}: only the device: {f.hex()}" for f in list(ours - theirs)[:3]]
            found += [f"{place}: only software: {f.hex()}" for f in list(theirs - ours)[:3]]
    # What the host's CPU has seen is what software had to do; in hardware alone, what goes on upwards as it came.
    came = sum(sum(hardware.frames[place].values()) for place in host)
    if not way.mixed and came != sum(software.frames["up"].values()):
        found.append(f"the CPU has seen {came}, and {sum(software.frames['up'].values())} were not brought to an end")
    for name, counts in software.counts.items():
        ours = hardware.counts.get(name)
        # In a later chain a second tag that an edit has pushed counts in software.
        upto = 2 if name[1] == 0 else 1
        line = next((line for line in lines if f" handle {name[3]} " in line), "")
        # Where there is a policer, each action shows what gets to it.
        actions = None if " police " in line else 1
        theirs = [count[:upto] for count in counts[:actions]]
        if ours is None or [count[:upto] for count in ours[:actions]] != theirs:
            found.append(f"counts {ours and ours[:actions]}, and software {counts[:actions]}: {line}")
    return found


def deletion(line):
    """The command that deletes the rule that a line adds."""
    return re.sub(r"^filter add (.*? handle \d+ protocol \S+ flower) .*$", r"filter del \1", line)


def replacement(maker, line):
    """The command that gives the rule that a line adds other actions, in its place."""
    head = line.split(" action ", 1)[0]
    chain, protocol = (re.search(rf" {word} (\S+)", head).group(1) for word in ("chain", "protocol"))
    return f"{head.replace('filter add', 'filter replace', 1)} {maker.actions(protocol, int(chain))}"


def one(seed, way):
    """A round: all rules, and then what is left when some have been deleted and others replaced."""
    maker = Maker(seed, way)
    flags = way.flags
    lines, frames = maker.rules(), maker.frames()
    fate = [maker.pick([None, deletion, deletion, replacement]) for _ in lines]
    hardware, software = [], []
    try:
        wrong, _ = lay(way, lines, refused=[])
        fate = [do for number, do in enumerate(fate) if number not in wrong]
        lines = [line for number, line in enumerate(lines) if number not in wrong]
        changes = [deletion(line) if do is deletion else replacement(maker, line) for do, line in zip(fate, lines, strict=True) if do]
        in_software = lambda some: [line.replace(f" flower {flags} ", " flower skip_hw ") for line in some]  # noqa: E731
        for seen in (hardware, software):
            if seen is software:
                lay(way, in_software(lines))
                changes = in_software(changes)
            seen.append(stage.watch(frames, (way.place,), way.origins))
            stage.batch(changes)
            seen.append(stage.watch(frames, (way.place,), way.origins))
            stage.clear(ALL_CHAINS)
    finally:
        stage.clear(ALL_CHAINS)
    for number in range(2):
        found = difference(way, hardware[number], software[number], lines)
        if found:
            note("\n".join([*lines, "then:", *(changes if number else []), *(f.hex() for f in frames)]))
            raise Failure("\n".join(["after changes:" if number else "at first:", *found[:20]]))
    return len(lines), len(wrong), sum(counts[0][0] for name, counts in software[0].counts.items() if name[2] != LAST)


@case
def device_alone():
    """Rules with skip_sw, against the same with skip_hw; with chains, where the kernel can go on in them."""
    rounds(ALONE)


@case
def device_and_software():
    """Rules without either, with chains, and some that only software can do, against the same with skip_hw."""
    rounds(MIXED)


@case
def shared_block():
    """Rules of a block that two representors share."""
    hooks = [f"dev {link.name}" for link in stage.reps[:2]]
    before = list(stage.hooked)
    stage.hooked[:] = [way for way in before if way.removesuffix(" ingress") not in hooks] + [SHARED.place]
    defer(stage.hooked.__setitem__, slice(None), before)
    for hook in hooks:
        sh(f"tc qdisc del {hook} clsact")
        defer(sh, f"tc qdisc add {hook} clsact")
        sh(f"tc qdisc add {hook} ingress_block {BLOCK} clsact")
        defer(sh, f"tc qdisc del {hook} clsact")
    rounds(SHARED, 0.5)


@case
def at_egress():
    """Rules for what the device sends out of a representor, with chains, which need no help of software there."""
    stage.hooked.append(EGRESS.place.replace("R1", stage.names["R1"]))
    defer(stage.hooked.pop)
    rounds(EGRESS, 0.5)


main()
