#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Rules of tc at a port's egress in the device: they are for what its rules send there, while the host's own frames meet them in software."""

# sets: quick
# quick: dropped each_frame_once refusals
# vm: PORTS=1 MEM=4G

import errno
import json

from lib import Capture, Injector, VfEnd, case, equal, fails, main, setup, sh, until
from lib.case import defer
from lib.eswitch import offloading_wire, switchdev, vfs_with_hooks
from lib.packet import datagram, raw_frame
from lib.tc import clsact, counted, filter_add, filter_del, in_hw, packets, the_filter

BODY = b"on its way out"

wire = None


@setup
def topology():
    global wire
    wire = offloading_wire()


def pair():
    """Two VFs and their representors with hooks; all that the first one sends goes to the second, in the device."""
    links, vfs = vfs_with_hooks()
    filter_add(links[0], ("pref 1 protocol all", f"action mirred egress redirect dev {links[1].name}"))
    return links, vfs


def to_port(vfs, port, payload=BODY):
    """A datagram from the first VF to the second."""
    return datagram((vfs[0].link.mac, vfs[1].link.mac), (vfs[0].address4, vfs[1].address4), (9, port), payload)


def of_port(port):
    return lambda parsed: parsed.ports == (9, port)


def arrived(capture, count, seconds=10.0):
    """Ports of the test's datagrams that come, in any order: those of different flows come by different queues."""
    ours = lambda parsed: parsed.ports and parsed.ports[0] == 9  # noqa: E731
    return sorted(parsed.ports[1] for parsed in capture.frames(ours, count, seconds) + capture.frames(ours, None, 0.5))


def host_sends(link, *frames):
    """Frames of the host, of which it hears when they are dropped on the way out."""
    injector = Injector(link)
    for frame in frames:
        try:
            injector.send(frame)
        except OSError as error:
            equal(error.errno, errno.ENOBUFS, "error of a frame that is dropped")


@case
def dropped():
    """A rule at egress drops what it matches of what the device sends there, and counts it; the host's CPU sees nothing of all that."""
    links, vfs = pair()
    filter_add(links[1], ("pref 1 protocol ip", "ip_proto udp dst_port 1000 action drop"), side="egress")
    equal(in_hw(links[1], 1, side="egress"), True, "in_hw")
    at_vf, at_cpu = Capture(vfs[1].link), Capture(links[0])
    injector = Injector(vfs[0].link)
    for port in (1000, 2000):
        injector.send(*[to_port(vfs, port)] * 5)
    equal(arrived(at_vf, 5), [2000] * 5, "ports at the VF")
    equal(arrived(at_cpu, None, 0.1), [], "ports at the host's CPU")
    counted(links[1], 1, 5, side="egress")
    equal(packets(links[1], 1, side="egress"), 5, "packets of the rule at egress")
    filter_del(links[1], "pref 1", side="egress")
    injector.send(to_port(vfs, 1000))
    at_vf.expect("a datagram to port 1000 without the rule", of_port(1000))


@case
def without_offload():
    """The same with skip_hw: the device does not know the rule and the frame gets through; the host's own are dropped (the control)."""
    links, vfs = pair()
    filter_add(links[1], ("pref 1 protocol ip", "ip_proto udp dst_port 1000 action drop"), side="egress", flags="skip_hw")
    equal(in_hw(links[1], 1, side="egress"), False, "in_hw")
    at_vf = Capture(vfs[1].link)
    Injector(vfs[0].link).send(to_port(vfs, 1000))
    at_vf.expect("the datagram that the device has sent", of_port(1000))
    at_vf = Capture(vfs[1].link)
    host_sends(links[1], to_port(vfs, 1000))
    until(lambda: the_filter(links[1], 1, "egress")["options"]["actions"][0]["stats"]["packets"] == 1, "the host's own was dropped")
    at_vf.expect_none("the host's own", of_port(1000), 0.5)


@case
def each_frame_once():
    """What the device sends is counted by the device, what the host sends by software, each once; the rule says the sum."""
    links, vfs = pair()
    filter_add(links[1], ("pref 1 protocol ip", "ip_proto udp dst_port 1000 action drop"), side="egress", flags="")
    Injector(vfs[0].link).send(*[to_port(vfs, 1000)] * 3)
    # What the tests send on an interface passes its qdiscs and hooks.
    host_sends(links[1], *[to_port(vfs, 1000)] * 2)
    counted(links[1], 1, 3, side="egress")
    shown = the_filter(links[1], 1, "egress")["options"]["actions"][0]["stats"]
    equal((shown["packets"], shown["hw_packets"]), (5, 3), "packets in all, and in the device")


@case
def tagged_on_the_way_out():
    """A rule at the wire port's egress tags what a VF's rule sends there; a copy to the other VF stays without, and what misses too."""
    links, vfs = pair()
    clsact(wire.near)
    filter_del(links[0], "pref 1")
    both = f"action mirred egress mirror dev {links[1].name} action mirred egress redirect dev {wire.near.name}"
    filter_add(links[0], ("pref 1 protocol all", both))
    filter_add(wire.near, ("pref 1 protocol ip", "ip_proto udp dst_port 1000 action vlan push id 7 priority 3"), side="egress")
    at_wire, at_wire_too, at_vf = Capture(wire.far), Capture(wire.far), Capture(vfs[1].link)
    Injector(vfs[0].link).send(to_port(vfs, 1000), to_port(vfs, 2000))
    found = at_wire.expect("the datagram to port 1000", of_port(1000))[0]
    equal(found.tags, [(0x8100, 3 << 13 | 7)], "its tags on the wire")
    equal(at_wire_too.expect("the datagram to port 2000", of_port(2000))[0].tags, [], "tags of what misses")
    equal(at_vf.expect("the copy", of_port(1000))[0].tags, [], "tags of the copy")


@case
def chains_at_egress():
    """goto chain at egress with skip_sw, on any kernel: what misses in the second chain leaves, and nothing of it goes up."""
    links, vfs = pair()
    filter_add(links[1], ("pref 1 protocol ip", "ip_proto udp action goto chain 5"), side="egress")
    filter_add(links[1], ("pref 1 protocol ip chain 5", "ip_proto udp dst_port 1000 action drop"), side="egress")
    filter_add(links[1], ("pref 2 protocol ip", "ip_proto udp dst_port 2000 action drop"), side="egress")
    at_vf, at_cpu = Capture(vfs[1].link), Capture(links[0])
    Injector(vfs[0].link).send(to_port(vfs, 1000), to_port(vfs, 2000), to_port(vfs, 3000))
    equal(arrived(at_vf, 2), [2000, 3000], "ports at the VF")
    equal(arrived(at_cpu, None, 0.1), [], "ports at the host's CPU")
    counted(links[1], 1, 3, side="egress")
    counted(links[1], 1, 1, side="egress", chain=5)
    equal(packets(links[1], 2, side="egress"), 0, "packets of the rule behind the goto")


@case
def trapped():
    """What is trapped at egress comes up at that port's representor instead of leaving by it."""
    links, vfs = pair()
    filter_add(links[1], ("pref 1 protocol ip", "ip_proto udp dst_port 1000 action trap"), side="egress")
    at_vf, at_cpu = Capture(vfs[1].link), Capture(links[1])
    Injector(vfs[0].link).send(to_port(vfs, 1000))
    at_cpu.expect("the datagram at the representor", of_port(1000))
    at_vf.expect_none("the datagram at the VF", of_port(1000), 0.5)
    counted(links[1], 1, 1, side="egress")


@case
def one_block_at_both_sides():
    """A block that is bound to ingress of one interface and egress of another has its rules in the device for each; they count together."""
    links = switchdev(3)
    vfs = [VfEnd(0), VfEnd(1), VfEnd(2)]
    for link in (*links, *(vf.link for vf in vfs)):
        link.wait_carrier()
    for link, words in zip(links, ("ingress_block 9 clsact", "egress_block 9 clsact", "clsact"), strict=True):
        sh(f"tc qdisc add dev {link.name} {words}")
        defer(sh, f"tc qdisc del dev {link.name} clsact", check=False)
    sh("tc filter add block 9 pref 1 protocol ip flower skip_sw ip_proto udp dst_port 1000 action drop")
    filter_add(links[2], ("pref 1 protocol all", f"action mirred egress redirect dev {links[1].name}"))
    at_cpu, at_vf = Capture(links[0]), Capture(vfs[1].link)
    for vf in (vfs[0], vfs[2]):
        Injector(vf.link).send(to_port([vf, vfs[1]], 1000), to_port([vf, vfs[1]], 2000))
    equal(arrived(at_cpu, 1), [2000], "ports at the host's CPU, from the first VF")
    equal(arrived(at_vf, 1), [2000], "ports at the second VF, from the third")
    shown = lambda: json.loads(sh("tc -s -j filter show block 9").out)  # noqa: E731
    packets_of = lambda: [e["options"]["actions"][0]["stats"]["packets"] for e in shown() if "actions" in e.get("options", {})]  # noqa: E731
    until(lambda: packets_of() == [2], "the rule has counted one frame at each side")


@case
def refusals():
    """At egress the device does not know where a frame came in: indev is refused with the reason, or left to software."""
    links, vfs = pair()
    words = ("pref 1 protocol ip", f"indev {links[0].name} action drop")
    fails(filter_add(links[1], words, side="egress", check=False), "indev", "egress")
    filter_add(links[1], words, side="egress", flags="")
    equal(in_hw(links[1], 1, side="egress"), False, "in_hw of a rule that only software can do")
    at_vf = Capture(vfs[1].link)
    Injector(vfs[0].link).send(raw_frame(vfs[1].link.mac, vfs[0].link.mac, BODY), to_port(vfs, 1000))
    at_vf.expect("what the device sends past a rule of software", of_port(1000))


main()
