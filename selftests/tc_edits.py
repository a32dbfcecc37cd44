#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Each action that changes, copies, limits or sends on, in the device and in software: the same frames must leave at the same places.

Each entry of a table is one rule or more of its own, told apart from the others by addresses of the frames. With skip_sw the CPU must
not see what rules take; with skip_hw it sees everything, and what leaves is what is wanted. Counters are compared as well.
"""

# sets: quick
# quick: vlan pedit_ip pedit_ports csum copies redirects chains police_packets matchall shared_block
# vm: PORTS=1 MEM=4G

import time
from collections import Counter
from dataclasses import dataclass

from lib import Failure, at_least, at_most, case, defer, equal, main, setup, sh
from lib.frames import arp, frame, icmp, ip4, ip6, other, other_type, sctp, tcp, udp
from lib.packet import QINQ, VLAN, checksum
from lib.stage import TRIAL, Stage, trial_mac

stage = None


@dataclass
class Edit:
    """Actions of a rule of a protocol (with further keys), and the packets to be sent through it.

    more: further rules, as (interface, text), where {mac}, {pref} and {chain} are the entry's own. hardware: flags of the rules in the
    trial in hardware. aside: places of the host's that only software comes by.
    """

    protocol: str
    actions: str
    packets: list
    more: tuple = ()
    hardware: str = "skip_sw"
    aside: tuple = ()

    def lines(self, number, flags):
        names = {"mac": trial_mac(number), "pref": number, "chain": 1000 + number, "flags": flags}
        first = "pref {pref} protocol " + self.protocol + " flower {flags} dst_mac {mac} " + self.actions
        return [f"filter add dev {dev} ingress {text.format(**names)}" for dev, text in (("R0", first), *self.more)]

    def frames(self, number):
        return [frame(packet, trial_mac(number), source(number), tags) for packet, tags in map(with_tags, self.packets)]


def source(number):
    return f"{TRIAL}:01:{number >> 8:02x}:{number & 255:02x}:00"


def with_tags(packet):
    """A packet, or a pair of it and its tags."""
    return packet if isinstance(packet[1], list) else (packet, [])


def number_of(data):
    """The entry that a frame is of, though one of its addresses may have been rewritten."""
    for at, tag in ((0, 0), (6, 1)):
        if data[at : at + 3] == bytes.fromhex(f"02ee{tag:02x}"):
            return data[at + 3] << 8 | data[at + 4]
    return None


@setup
def topology():
    global stage
    stage = Stage(3)


def tell(what, seen, wanted):
    """Where two trials differ, as text."""
    return [f"  {what}: only {name}: {f.hex()}" for name, some in (("hardware", seen - wanted), ("software", wanted - seen)) for f in list(some)[:3]]


def trial(entries, devs=("R0",)):
    """Both trials of a table, and everything in which they differ."""
    numbered = list(enumerate(entries, start=1))
    frames = [f for number, entry in numbered for f in entry.frames(number)]
    rules = lambda hard: [line for n, e in numbered for line in e.lines(n, e.hardware if hard else "skip_hw")]  # noqa: E731
    software = stage.run(rules(False), frames, devs)
    hardware = stage.run(rules(True), frames, devs, wanted=software.packets())
    errors = []
    for number, entry in numbered:
        mine = lambda seen, place, number=number: Counter({f: n for f, n in seen.frames[place].items() if number_of(f) == number})  # noqa: E731
        found = []
        for place in stage.places:
            if place != "cpu" and place not in entry.aside:
                found += tell(place, mine(hardware, place), mine(software, place))
        if (cpu := mine(hardware, "cpu")):
            found += [f"  the CPU has seen {sum(cpu.values())}: {next(iter(cpu)).hex()}"]
        if mine(software, "cpu") != Counter(entry.frames(number)):
            found += ["  the CPU has not seen what went through software"]
        for name in (name for name in hardware.counts if name[2] == number):
            if name not in hardware.in_hw or name in software.in_hw:
                found.append(f"  {name}: in_hw {name in hardware.in_hw}, with skip_hw {name in software.in_hw}")
            hard, soft = hardware.counts[name][0], software.counts[name][0]
            if hard[:3] != soft[:3] or entry.hardware == "skip_sw" and hard.hw_packets != hard.packets:
                found.append(f"  {name}: counts {hard}, and software {soft}")
        if found:
            errors += [f"{entry.protocol} {entry.actions}:", *found, *(f"  sent: {f.hex()}" for f in entry.frames(number))]
    if errors:
        raise Failure("\n".join(errors))


TO_WIRE = "action mirred egress redirect dev WIRE"
TEST = other_type()
ONE, TWO, AD = [(VLAN, 3 << 13 | 5)], [(QINQ, 1 << 13 | 6), (VLAN, 2 << 13 | 7)], [(QINQ, 9)]
V4 = [ip4(), ip4(tcp()), ip4(icmp()), ip4(udp(), options=b"\1\1\1\0"), ip4(udp(), fragment=0x2000), ip4(sctp()), ip4(other(253)), ip4(tcp(), tos=0xFF, ttl=255)]
V6 = [ip6(), ip6(tcp()), ip6(icmp(128)), ip6(udp(), options=True), ip6(udp(), fragment=1), ip6(sctp()), ip6(other(253)), ip6(tcp(), tos=0xFF, ttl=255)]
EVERY = [*V4[:4], *V6[:4], arp(), TEST, (ip4(), ONE), (ip6(tcp()), TWO), (TEST, AD)]


@case
def vlan():
    """Tags are pushed, popped and changed, one and two, with priority and type."""
    words = [
        "vlan push id 5", "vlan push protocol 802.1ad id 4094 priority 7", "vlan push id 1 priority 3 pipe action vlan push protocol 802.1ad id 2",
        "vlan push id 0", "vlan pop", "vlan pop pipe action vlan pop", "vlan modify id 8", "vlan modify id 8 priority 5",
        "vlan modify protocol 802.1ad id 9 priority 1", "vlan pop pipe action vlan push protocol 802.1Q id 77 priority 2",
        "vlan push id 3 pipe action vlan pop", "vlan modify id 4 pipe action vlan push id 5", "vlan pop pipe action vlan modify id 6",
    ]  # fmt: skip
    trial([Edit("all", f"action {word} pipe {TO_WIRE}", EVERY) for word in words])


def pedits(protocol, packets, munges, csum=""):
    return [Edit(protocol, f"action pedit ex {munge} pipe {csum} {TO_WIRE}", packets) for munge in munges]


def each(header, values):
    """Set and add of each field: pairs of name and values."""
    return [f"munge {header} {name} {verb} {value}" for name, (value, more) in values.items() for verb, value in (("set", value), ("add", more))]


@case
def pedit_eth():
    """Addresses and type of Ethernet, whole and in part."""
    munges = ["munge eth dst set 02:33:44:55:66:77", "munge eth src set 00:11:22:33:44:55", "munge eth type set 0x88b6", "munge eth type add 1"]
    trial(pedits("all", EVERY, [*munges, "munge eth src add 00:00:00:00:00:01", "munge eth type set 0x1234 retain 0xff"]))


@case
def pedit_ip():
    """Each field of IPv4, set and added to, with a mask, and several at once with their checksums."""
    munges = each("ip", {
        "src": ("10.1.2.3", "0.0.1.255"), "dst": ("10.255.0.1", "1.2.3.4"), "tos": ("0x2c", "3"), "ttl": ("1", "255"), "protocol": ("17", "1"),
    })  # fmt: skip
    munges += ["munge ip tos set 0xff retain 0xfc", "munge ip df set 0x40", "munge ip mf set 0x20"]
    munges += ["munge offset 8 u8 set 63", "munge offset 16 u32 set 0x0a000001", "munge offset 4 u16 set 0xbeef", "munge offset 5 u8 add 3"]
    entries = pedits("ip", V4, munges) + pedits("ip", V4, munges, "action csum ip4h and tcp and udp and icmp pipe")
    entries += pedits("ip", V4, ["munge ip src set 10.0.0.1 munge ip dst set 10.0.0.2 munge ip ttl add 255"], "action csum ip4h and tcp and udp pipe")
    trial([*entries, *pedits("802.1Q", [(ip4(), ONE), (ip4(tcp()), ONE)], ["munge ip ttl set 9"], "action csum ip4h pipe")])


@case
def pedit_ip6():
    """Each field of IPv6, set and added to."""
    munges = each("ip6", {
        "src": ("2001:db8:5::1", "::1:2"), "dst": ("fd00::1", "1::ffff"), "hoplimit": ("2", "255"), "nexthdr": ("17", "1"), "traffic_class": ("0x2c", "1"),
    })  # fmt: skip
    entries = pedits("ipv6", V6, munges) + pedits("ipv6", V6, munges, "action csum tcp and udp and icmp pipe")
    trial([*entries, *pedits("802.1ad", [(ip6(), AD), (ip6(tcp()), TWO)], ["munge ip6 hoplimit add 255"])])


@case
def pedit_ports():
    """Ports and flags of TCP, ports of UDP, over either IP."""
    entries = []
    for protocol, packets in (("ip", V4), ("ipv6", V6)):
        for header in ("tcp", "udp"):
            munges = each(header, {"sport": ("4444", "1"), "dport": ("65535", "256")})
            munges += [f"munge {header} dport set 0x1200 retain 0xff00"]
            entries += pedits(protocol, packets, munges) + pedits(protocol, packets, munges, f"action csum {header} pipe")
        entries += pedits(protocol, packets, ["munge tcp flags set 0x2", "munge tcp flags add 1"], "action csum tcp pipe")
    trial(entries)


def broken(packet, kind):
    """The same packet with a wrong checksum: what csum does is not to be what was there."""
    data, at = bytearray(packet[1]), {"ip": 10, "ip4 udp": 26, "ip4 tcp": 36, "ip6 udp": 46, "ip6 tcp": 56, "ip4 icmp": 22, "ip6 icmp": 42, "ip4 sctp": 28}[kind]
    data[at] ^= 0xA5
    if kind == "ip":
        equal(checksum(bytes(data[:20])) != 0, True, "a broken checksum")
    return packet[0], bytes(data)


@case
def csum():
    """Checksums of each kind are made right, those of others left alone, and what is broken is treated as software does."""
    wrong4 = [broken(ip4(), "ip"), broken(ip4(), "ip4 udp"), broken(ip4(tcp()), "ip4 tcp"), broken(ip4(icmp()), "ip4 icmp"), broken(ip4(sctp()), "ip4 sctp")]
    wrong6 = [broken(ip6(), "ip6 udp"), broken(ip6(tcp()), "ip6 tcp"), broken(ip6(icmp(128)), "ip6 icmp")]
    igmp = ip4(other(2, b"\x16\0\xff\xff\xe0\1\2\3" + bytes(40)), destination="224.1.2.3")
    none = [ip4(udp(zero_sum=True)), ip6(udp(zero_sum=True))]
    tagged = [(wrong4[1], ONE), (wrong6[1], TWO)]
    every = [*V4, *wrong4, *V6, *wrong6, igmp, *none, *tagged]
    kinds = ["ip4h", "tcp", "udp", "icmp", "igmp", "sctp", "udplite", "ip4h and udp", "ip4h and tcp and udp and icmp and sctp and igmp"]
    trial([Edit("all", f"action csum {kind} pipe {TO_WIRE}", every) for kind in kinds])


def mirror(dev, way="egress"):
    return f"action mirred {way} mirror dev {dev} pipe"


@case
def copies():
    """Copies to several places, each as the frame is at that point, up to 32 outputs."""
    twice = f"{mirror('R1')} action vlan push id 7 pipe {mirror('R2')} action pedit ex munge eth src set 02:00:00:00:00:09 pipe {TO_WIRE}"
    back = f"{mirror('WIRE')} action vlan push id 8 pipe {mirror('WIRE')} action vlan pop pipe {mirror('R1')} action drop"
    self = f"{mirror('R0')} {TO_WIRE}"
    trial([Edit("all", words, EVERY) for words in (twice, back, self)])


@case
def outputs():
    """As many outputs as tc has room for in a rule: 32 without edits, 16 with one before each."""
    places = ("R1", "R2", "WIRE")
    many = " ".join(mirror(places[n % 3]) for n in range(31))
    tags = " ".join(f"action vlan {'modify' if n else 'push'} id {n + 1} pipe {mirror(places[n % 3])}" for n in range(15))
    frames = [frame(packet, trial_mac(1), source(1), tags) for packet, tags in map(with_tags, EVERY)]
    for words, count in ((f"{many} {TO_WIRE}", 32), (f"{tags} action vlan modify id 16 pipe {TO_WIRE}", 16)):
        # One of them is more than a dump of filters has room for: what was sent is what shows that it is in the device.
        rule = f"filter add dev R0 ingress pref 1 protocol all flower {{}} dst_mac {trial_mac(1)} {words}"
        hardware, software = (stage.run([rule.format(flags)], frames, devs=()) for flags in ("skip_sw", "skip_hw"))
        for place in ("wire", "vf1", "vf2"):
            equal(tell(place, hardware.frames[place], software.frames[place]), [], f"{count} outputs: frames")
        equal(sum(sum(hardware.frames[place].values()) for place in ("wire", "vf1", "vf2")), count * len(EVERY), f"frames of {count} outputs")
        equal(sum(hardware.frames["cpu"].values()), 0, "frames that the CPU has seen")


@case
def redirects():
    """To VFs, to the wire, back to the sender, and into a port as if the frame had come in there."""
    into = "action mirred ingress redirect dev R1"
    entries = [Edit("all", f"action mirred egress redirect dev {dev}", EVERY) for dev in ("R1", "R2", "WIRE", "R0")]
    entries.append(Edit("all", into, EVERY))
    entries.append(Edit("all", f"action mirred ingress mirror dev R1 pipe {TO_WIRE}", EVERY))
    again = ("R1", "pref {pref} protocol all flower {flags} dst_mac {mac} action vlan push id 9 pipe action mirred egress redirect dev R2")
    entries.append(Edit("all", f"action vlan push id 3 pipe {into}", [TEST, ip4()], more=(again,), aside=("rep1",)))
    entries.append(Edit("all", "action drop", EVERY))
    trial(entries, devs=("R0", "R1"))


@case
def from_the_wire():
    """Rules of the wire's interface send what comes in there to VFs, and edit it."""
    rule = "pref {pref} protocol all flower {flags} dst_mac {mac} "
    entries = []
    for words in ("action mirred egress redirect dev R1", "action vlan pop pipe action mirred egress redirect dev R2", f"{mirror('R1')} action drop"):
        entries.append(Edit("all", "action drop", EVERY, more=(("WIRE", rule + words),)))
    numbered = list(enumerate(entries, start=1))
    frames = [f for number, entry in numbered for f in entry.frames(number)]
    lines = lambda flags: [line for number, entry in numbered for line in entry.lines(number, flags) if " dev WIRE ingress" in line]  # noqa: E731
    hardware, software = (stage.run(lines(flags), frames, ("WIRE",), "wire", wanted=len(frames)) for flags in ("skip_sw", "skip_hw"))
    errors = [error for place in ("vf1", "vf2", "wire") for error in tell(place, hardware.frames[place], software.frames[place])]
    equal(errors, [], "what leaves")
    equal(sum(hardware.frames["port"].values()), 0, "frames that the CPU has seen")
    equal(software.frames["port"], Counter(frames), "frames that the CPU has seen with skip_hw")
    equal([c[0][:3] for c in hardware.counts.values()], [c[0][:3] for c in software.counts.values()], "counters")


@case
def chains():
    """goto chain, with edits before and behind, where software has the rules as well."""
    behind = "chain {chain} pref {pref} protocol all flower {flags} dst_mac {mac} "
    to = "action goto chain {chain}"
    entries = [
        Edit("all", to, EVERY, more=(("R0", behind + TO_WIRE),), hardware=""),
        Edit("all", f"action vlan push id 4 pipe {to}", EVERY, more=(("R0", behind.replace("all", "802.1Q") + TO_WIRE),), hardware=""),
        Edit("all", to, EVERY, more=(("R0", behind + "action vlan pop pipe action mirred egress redirect dev R1"),), hardware=""),
        Edit("ip", to, V4, more=(("R0", behind.replace("all", "ip") + "action drop"),), hardware=""),
    ]
    trial(entries)


@case
def police_mtu():
    """What is longer than a policer's MTU exceeds it: dropped or let through, as told."""
    sizes = [other_type(body=bytes(length)) for length in (60, 85, 86, 87, 100, 300)]
    drop = "action police mtu 100 conform-exceed drop/pipe"
    let = "action police mtu 100 conform-exceed pipe/drop"
    trial([Edit("all", f"{words} {TO_WIRE}", sizes) for words in (drop, let)])


def through(lines, frames, devs=("R0",), pause=0.0):
    """How many frames came to the wire, the counters, and how long the sending took."""
    start = time.monotonic()
    seen = stage.run(lines, frames, devs, pause=pause, wanted=len(frames))
    return sum(seen.frames["wire"].values()), seen, time.monotonic() - start


@case
def police_bytes():
    """A rate of bytes so low that only the burst passes: exactly what fits, in the device as in software; two rules share one policer."""
    body = other_type(body=bytes(186))
    one, two = frame(body, trial_mac(1), source(1)), frame(body, trial_mac(2), source(2))
    for flags in ("skip_sw", "skip_hw"):
        words = f"police rate 8kbit burst 3000 conform-exceed drop/pipe {TO_WIRE}"
        rule = f"filter add dev R0 ingress pref 1 protocol all flower {flags} dst_mac {trial_mac(1)} action {words}"
        came, seen, took = through([rule], [one] * 40)
        # 3000 bytes of 186 each; 1000 more each second.
        at_least(came, 15, f"frames of the burst ({flags})")
        at_most(came, 17 + took * 6, f"frames of the burst ({flags})")
        equal(seen.of_pref(1)[0][0][:2], (40, 40 - came), "packets of the policer, and those that it has dropped")
    for flags in ("", "skip_hw"):
        # Without skip_sw, which would ask for a policer that is in the device by itself.
        sh(f"tc actions add action police rate 8kbit burst 3000 conform-exceed drop/pipe index 77 {flags}")
        defer(sh, "tc actions del action police index 77", check=False)
        rule = f"filter add dev R0 ingress pref {{0}} protocol all flower {flags} dst_mac {{1}} action police index 77 {TO_WIRE}"
        came, seen, took = through([rule.format(n, trial_mac(n)) for n in (1, 2)], [one, two] * 20)
        at_least(came, 15, f"frames of two rules ({flags})")
        at_most(came, 17 + took * 6, f"frames of two rules ({flags})")
        equal(len(seen.in_hw), 0 if flags else 2, f"rules in hardware ({flags})")
        # Each of the rules shows what the policer has seen of both.
        equal({seen.of_pref(n)[0][0][:2] for n in (1, 2)}, {(40, 40 - came)}, f"packets of the policer, and those that it has dropped ({flags})")
        equal(sum(seen.frames["cpu"].values()), 40 if flags else 0, f"frames that the CPU has seen ({flags})")
        sh("tc actions del action police index 77")


@case
def police_packets():
    """A rate of packets: the burst passes, and what the rate has added since."""
    one = frame(TEST, trial_mac(1), source(1))
    for flags in ("skip_sw", "skip_hw"):
        words = f"police pkts_rate 20 pkts_burst 10 conform-exceed drop/pipe {TO_WIRE}"
        rule = f"filter add dev R0 ingress pref 1 protocol all flower {flags} dst_mac {trial_mac(1)} action {words}"
        came, seen, took = through([rule], [one] * 60, pause=1.0)
        at_least(came, 10, f"frames of the burst ({flags})")
        at_most(came, 11 + (took - 1) * 20, f"frames of the burst ({flags})")
        equal(seen.of_pref(1)[0][0][:2], (60, 60 - came), "packets of the policer, and those that it has dropped")


@case
def matchall():
    """matchall drops, redirects, copies, edits and polices all frames."""
    frames = [frame(packet, trial_mac(1), source(1), tags) for packet, tags in map(with_tags, EVERY)]
    for words in ("action drop", "action mirred egress redirect dev R1", f"{mirror('R2')} {TO_WIRE}", f"action vlan push id 6 pipe {TO_WIRE}",
                  f"action police mtu 90 conform-exceed drop/pipe {TO_WIRE}"):  # fmt: skip
        hardware, software = (stage.run([f"filter add dev R0 ingress pref 1 protocol all matchall {flags} {words}"], frames, wanted=len(frames)) for flags in ("skip_sw", "skip_hw"))
        for place in ("wire", "vf1", "vf2"):
            equal(tell(place, hardware.frames[place], software.frames[place]), [], f"{words}: frames")
        equal(sum(hardware.frames["cpu"].values()), 0, f"{words}: frames that the CPU has seen")
        equal(sum(software.frames["cpu"].values()), len(frames), f"{words}: frames that the CPU has seen with skip_hw")
        (hard, in_hw), soft = hardware.of_pref(1), software.of_pref(1)[0]
        equal((in_hw, hard[0].hw_packets), (True, len(EVERY)), f"{words}: in_hw and packets of the device")
        equal(hard[0][1:3], soft[0][1:3], f"{words}: drops and bytes")


@case
def matchall_continue():
    """What a policer lets through goes on at the next priority (continue), if it is not to be counted on the way."""
    frames = [frame(other_type(body=bytes(length)), trial_mac(1), source(1)) for length in (60, 86, 87, 300)]
    police = "filter add dev R0 ingress pref 1 protocol all matchall {} action police mtu 100 conform-exceed drop/continue hw_stats disabled"
    behind = f"filter add dev R0 ingress pref 2 protocol all flower {{}} dst_mac {trial_mac(1)} {TO_WIRE}"
    hardware, software = (stage.run([police.format(flags), behind.format(flags)], frames) for flags in ("skip_sw", "skip_hw"))
    equal(hardware.frames["wire"], Counter(frames[:2]), "what comes to the wire")
    equal(hardware.frames["wire"], software.frames["wire"], "what comes to the wire in software")
    equal(sum(hardware.frames["cpu"].values()), 0, "frames that the CPU has seen")
    equal([hardware.of_pref(2)[0][0][:3]], [software.of_pref(2)[0][0][:3]], "what the rule behind counts")


@case
def notes():
    """mark and priority beside a frame that goes on in the device change nothing of it."""
    trial([Edit("all", f"action skbedit {words} pipe {TO_WIRE}", EVERY) for words in ("mark 7", "priority 3", "mark 0x80000000 pipe action skbedit priority 1:2")])


@case
def trap():
    """trap hands frames to the host from the device; software has nothing like it, and drops them."""
    frames = [frame(packet, trial_mac(1), source(1), tags) for packet, tags in map(with_tags, EVERY)]
    rules = [f"filter add dev R0 ingress pref {pref} protocol all flower {{}} dst_mac {trial_mac(1)} {action}" for pref, action in ((1, "action trap"), (2, TO_WIRE))]
    hardware, software = (stage.run([rule.format(flags) for rule in rules], frames) for flags in ("skip_sw", "skip_hw"))
    for name, seen in (("device", hardware), ("software", software)):
        equal(seen.frames["cpu"], Counter(frames), f"frames that the CPU has seen ({name})")
        equal(sum(seen.frames["wire"].values()), 0, f"frames on the wire ({name})")
        equal([seen.of_pref(pref)[0][0][0] for pref in (1, 2)], [len(frames), 0], f"counters ({name})")


@case
def shared_block():
    """Rules of a block count and take for each interface that has it, also one that comes later, and no longer when it goes."""
    links = [stage.names[name] for name in ("R0", "R1")]
    for name in links:
        sh(f"tc qdisc del dev {name} clsact")
        defer(sh, f"tc qdisc add dev {name} clsact")
    sh(f"tc qdisc add dev {links[0]} ingress_block 9 clsact")
    defer(sh, f"tc qdisc del dev {links[0]} clsact", check=False)
    rule = f"filter add block 9 pref {{}} protocol all flower skip_sw {{}} dst_mac {trial_mac(1)} {{}}"
    stage.batch([rule.format(1, "indev R1", "action vlan push id 5 pipe " + TO_WIRE), rule.format(2, "", TO_WIRE)])
    one = frame(TEST, trial_mac(1), source(1))
    push = frame(TEST, trial_mac(1), source(1), [(VLAN, 5)])

    def send_all():
        stage.seen = stage.nothing()
        for origin, count in (("vf0", 3), ("vf1", 2)):
            stage.send([one] * count, origin)
        stage.collect()
        return stage.seen.frames

    equal(send_all()["wire"], Counter({one: 3}), "with one interface")
    sh(f"tc qdisc add dev {links[1]} ingress_block 9 clsact")
    defer(sh, f"tc qdisc del dev {links[1]} clsact", check=False)
    seen = send_all()
    equal(seen["wire"], Counter({one: 3, push: 2}), "with two interfaces")
    equal((sum(seen["cpu"].values()), sum(seen["rep1"].values())), (0, 0), "frames that the CPU has seen")
    sh(f"tc qdisc del dev {links[0]} clsact")
    seen = send_all()
    equal((seen["wire"], seen["cpu"]), (Counter({push: 2}), Counter({one: 3})), "after the first has left")


main()
