#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Rules of tc flower in the device: what they take never reaches the host's CPU, is counted, and goes where it is told."""

# sets: quick
# quick: vf_to_vf without_rules begins_at_zero to_the_wire order order_of_masks order_of_a_block_that_is_joined refusals reset leaving
# vm: PORTS=1 MEM=4G

import re
import time

from lib import PF, Capture, Injector, VfEnd, at_least, at_most, case, defer, equal, fails, ip, main, ping, setup, sh, tcp, true, until
from lib.eswitch import offloading_wire, set_mode, switchdev, vfs_with_hooks
from lib.pace import fewer
from lib.packet import TEST_TYPE, datagram, raw_frame
from lib.tc import FRESH, clsact, counted, filter_add, filter_del, filters, in_hw, packets, show, the_filter

wire = None


@setup
def topology():
    global wire
    wire = offloading_wire()


def mine(vf):
    """Frames from or to a VF."""
    return lambda parsed: vf.link.mac in (parsed.source, parsed.destination)


def connect(links, pref=1):
    """All that a VF sends goes to the other one."""
    for one, other in (links, links[::-1]):
        filter_add(one, (f"pref {pref} protocol all", f"action mirred egress redirect dev {other.name}"))


@case
def vf_to_vf():
    """Two VFs talk through rules: ping, IPv6, TCP; counters move, and the host's CPU sees nothing of it."""
    links, vfs = vfs_with_hooks()
    connect(links)
    equal([in_hw(link, 1) for link in links], [True, True], "in_hw")
    captures = [Capture(link) for link in links]
    ping(vfs[1].address4, ns=vfs[0].ns, count=10)
    ping(vfs[0].address6, ns=vfs[1].ns)
    tcp(vfs[1].address4, server_ns=vfs[1].ns, client_ns=vfs[0].ns, size="16M")
    tcp(vfs[1].address6, server_ns=vfs[1].ns, client_ns=vfs[0].ns, size="4M", reverse=True)
    for capture, vf in zip(captures, vfs, strict=True):
        capture.expect_none("a frame of the VFs", mine(vf), 0.5)
    for link in links:
        counted(link, 1, fewer(1000))


@case
def without_rules():
    """The same without offload, and without a rule: the CPU sees the frames (what shows that the other cases can fail)."""
    links, vfs = vfs_with_hooks()
    capture = Capture(links[0])
    body = b"a miss"
    filter_add(links[0], ("pref 1 protocol ip", f"dst_ip 203.0.113.9 action mirred egress redirect dev {links[1].name}"))
    Injector(vfs[0].link).send(raw_frame(vfs[1].link.mac, vfs[0].link.mac, body))
    capture.expect("a frame that no rule takes", lambda p: p.kind == TEST_TYPE and p.payload.startswith(body))
    equal(packets(links[0], 1), 0, "packets of a rule that does not match")
    filter_del(links[0], "pref 1")
    for one, other in (links, links[::-1]):
        filter_add(one, ("pref 2 protocol all", f"action mirred egress redirect dev {other.name}"), flags="skip_hw")
        equal(in_hw(one, 2), False, "in_hw of a rule with skip_hw")
    capture = Capture(links[0])
    ping(vfs[1].address4, ns=vfs[0].ns)
    at_least(len(capture.frames(mine(vfs[0]), 3)), 3, "frames that the CPU has forwarded")


@case
def deleted():
    """A rule that is deleted does nothing any more; laid again it starts to count anew."""
    links, vfs = vfs_with_hooks()
    connect(links)
    ping(vfs[1].address4, ns=vfs[0].ns)
    counted(links[0], 1, 3)
    filter_del(links[0], "pref 1")
    equal(filters(links[0]), [], "filters after the deletion")
    equal(ping(vfs[1].address4, ns=vfs[0].ns, check=False, seconds=1), 0, "answers without the rule")
    filter_add(links[0], ("pref 1 protocol all", f"action mirred egress redirect dev {links[1].name}"))
    true(packets(links[0], 1) < 3, "the counter of a new rule starts anew")
    ping(vfs[1].address4, ns=vfs[0].ns)


@case
def begins_at_zero():
    """The first rule of new hooks has not seen what the first one of the hooks before has, also where it is asked at once."""
    links, vfs = vfs_with_hooks(1)
    link = links[0].name
    rule = f"filter add dev {link} ingress pref 1 protocol 0x88b5 flower skip_sw action drop"
    for _ in range(5):
        sh(f"tc {rule}")
        Injector(vfs[0].link).send(*[raw_frame("02:02:02:02:02:02", vfs[0].link.mac, b"gone")] * 5)
        counted(links[0], 1, 5)
        # With the last hooks of all, the driver's side of the rules goes, and comes anew.
        lines = [f"qdisc {do} dev {link} clsact" for do in ("del", "add")]
        shown = sh("tc -s -b -", data="\n".join([*lines, rule, f"filter show dev {link} ingress", ""])).out
        equal(re.findall(r"Sent (\d+) bytes (\d+) pkt", shown), [("0", "0")], "what a rule has seen that has just come")
        filter_del(links[0], "pref 1")


@case
def to_the_wire():
    """A VF reaches the far end of the wire through rules, and the far end the VF by its address."""
    links = switchdev(1)
    vf = VfEnd(0)
    links[0].wait_carrier()
    clsact(links[0], wire.near)
    filter_add(links[0], ("pref 1 protocol all", f"action mirred egress redirect dev {wire.near.name}"))
    for pref, address in ((1, vf.link.mac), (2, "ff:ff:ff:ff:ff:ff"), (3, "33:33:00:00:00:00/ff:ff:00:00:00:00")):
        filter_add(wire.near, (f"pref {pref} protocol all", f"dst_mac {address} action mirred egress redirect dev {links[0].name}"))
    captures = [Capture(links[0]), Capture(wire.near)]
    ping(wire.far4, ns=vf.ns, count=10)
    ping(wire.far6, ns=vf.ns)
    tcp(wire.far4, server_ns=wire.ns, client_ns=vf.ns, size="16M")
    tcp(wire.far4, server_ns=wire.ns, client_ns=vf.ns, size="4M", reverse=True)
    for capture in captures:
        capture.expect_none("a frame of the VF", mine(vf), 0.5)
    counted(links[0], 1, fewer(1000))
    counted(wire.near, 1, fewer(1000))


def frames_to(vfs, ports=(7, 7), payload=b"x" * 40, **options):
    """A datagram from the first VF to the second."""
    macs = (vfs[0].link.mac, vfs[1].link.mac)
    return datagram(macs, (vfs[0].address4, vfs[1].address4), ports, payload, **options)


@case
def order():
    """The rule with the lower pref wins where two match, whichever was laid first."""
    links, vfs = vfs_with_hooks()
    filter_add(links[0], ("pref 20 protocol ip", f"ip_proto udp action mirred egress redirect dev {links[1].name}"))
    filter_add(links[0], ("pref 10 protocol ip", "ip_proto udp dst_port 1000 action drop"))
    filter_add(links[0], ("pref 30 protocol ip", "ip_proto udp dst_port 2000 action drop"))
    capture = Capture(vfs[1].link)
    injector = Injector(vfs[0].link)
    for port in (1000, 2000, 3000):
        injector.send(*[frames_to(vfs, (9, port))] * 5)
    udp = lambda port: lambda p: p.ports and p.ports[1] == port  # noqa: E731
    for port in (2000, 3000):
        capture.expect(f"datagrams to port {port}", udp(port), 5)
    capture.expect_none("a datagram to port 1000", udp(1000), 0.5)
    counted(links[0], 10, 5)
    counted(links[0], 20, 10)
    equal(packets(links[0], 30), 0, "packets of the rule that is never reached")


@case
def order_of_masks():
    """A rule that software had keeps the place of its mask when one that the device can do replaces it, also with a key that is empty."""
    links, vfs = vfs_with_hooks()
    two = lambda: [rule["options"] for rule in sorted(filters(links[0]), key=lambda rule: rule["options"]["handle"])]  # noqa: E731
    for key in ("", f"dst_mac {vfs[1].link.mac}"):
        where = ("pref 5 handle 1 protocol all", f"{key} action skbedit ptype host pipe action drop")
        filter_add(links[0], where, flags="")
        filter_add(links[0], ("pref 5 handle 2 protocol all", f"src_mac {vfs[0].link.mac} action mirred egress redirect dev {links[1].name}"), flags="")
        sh(f"tc filter replace dev {links[0].name} ingress pref 5 handle 1 protocol all flower {key} action drop")
        equal([rule.get("in_hw") for rule in two()], [True, True], f"in_hw, key {key!r}")
        Injector(vfs[0].link).send(*[frames_to(vfs)] * 5)
        counts = lambda: [rule["actions"][0]["stats"].get("hw_packets", 0) for rule in two()]  # noqa: E731
        until(lambda: sum(counts()) >= 5, "five packets counted")
        equal(counts(), [5, 0], f"packets of the rules, key {key!r}")
        filter_del(links[0], "pref 5")


@case
def order_of_a_block_that_is_joined():
    """Of rules that a block had before, one mask is the device's; the others are software's until they are laid anew, as nobody says which was first."""
    links, vfs = vfs_with_hooks()
    ip("link add joined0 type dummy")
    defer(ip, "link del joined0", check=False)
    sh("tc qdisc add dev joined0 ingress_block 7 clsact".split())
    where = "filter add block 7 pref 1 handle {} protocol all flower {}"
    dropped = where.format(1, f"dst_mac {vfs[1].link.mac} action drop")
    sh(f"tc {dropped}")
    sh("tc " + where.format(2, f"src_mac {vfs[0].link.mac} action mirred egress redirect dev {links[1].name}"))
    sh(f"tc qdisc del dev {links[0].name} clsact")
    sh(f"tc qdisc add dev {links[0].name} ingress_block 7 clsact")

    def of_rule(handle):
        return next(entry["options"] for entry in show("block 7") if entry["options"]["handle"] == handle)

    def counts():
        return [of_rule(handle)["actions"][0]["stats"] for handle in (1, 2)]

    equal([of_rule(handle).get("in_hw", False) for handle in (1, 2)], [False, True], "in_hw of the rules")
    capture, injector = Capture(vfs[1].link), Injector(vfs[0].link)
    injector.send(*[frames_to(vfs)] * 5)
    until(lambda: counts()[0]["packets"] == 5, "the rule that came first drops in software")
    capture.expect_none("a frame that the first rule drops", mine(vfs[0]), 0.5)
    other = raw_frame("02:ee:00:00:00:01", vfs[0].link.mac, b"to somebody else")
    injector.send(*[other] * 5)
    capture.expect("frames of the second rule", mine(vfs[0]), 5)
    until(lambda: counts()[1].get("hw_packets", 0) == 5, "the second rule works in the device")
    sh("tc filter del block 7 pref 1 handle 1 protocol all flower".split())
    sh(f"tc {dropped}")
    equal([of_rule(handle).get("in_hw", False) for handle in (1, 2)], [True, True], "in_hw of the rules after the first was laid anew")
    injector.send(*[frames_to(vfs)] * 5)
    capture.expect("frames that the older rule takes now", mine(vfs[0]), 5)


@case
def bytes_as_software_counts():
    """Bytes of a rule in the device are those that the same rule in software would count."""
    links, vfs = vfs_with_hooks()
    filter_add(links[0], ("pref 1 protocol ip", "ip_proto udp dst_port 1000 action drop"))
    filter_add(links[0], ("pref 2 protocol ip", "ip_proto udp dst_port 2000 action drop"), flags="skip_hw")
    for port in (1000, 2000):
        Injector(vfs[0].link).send(*[frames_to(vfs, (9, port), bytes(length)) for length in (10, 100, 1000)])
    counted(links[0], 1, 3)
    until(lambda: the_filter(links[0], 2)["options"]["actions"][0]["stats"]["packets"] == 3, "three packets counted in software")
    hardware, software = (the_filter(links[0], pref)["options"]["actions"][0]["stats"] for pref in (1, 2))
    equal(hardware["hw_bytes"], software["bytes"], "bytes")


@case
def refusals():
    """What cannot be in the device is refused with its reason, or stays in software without skip_sw."""
    links, _ = vfs_with_hooks()
    fails(filter_add(links[0], ("pref 1 protocol ip", "action ct"), check=False), "connection tracking", "ct")
    fails(filter_add(links[0], ("pref 1 protocol ip", "action mirred egress redirect dev lo"), check=False), "a redirect to lo", "no port of this eswitch")
    filter_add(links[0], ("pref 1 protocol ip", "action mirred egress redirect dev lo"), flags="")
    equal(in_hw(links[0], 1), False, "in_hw of a rule that only software can do")
    filter_del(links[0], "pref 1")
    links[0].feature(hw_tc_offload=False)
    fails(filter_add(links[0], ("pref 1 protocol ip", "action drop"), check=False), "a rule while offload is off", "hw-tc-offload")


@case
def vlan_to_the_wire():
    """A tag is put on what goes to the wire and taken off what comes from it."""
    links = switchdev(1)
    vf = VfEnd(0)
    links[0].wait_carrier()
    clsact(links[0], wire.near)
    push = f"action vlan push id 7 priority 3 action mirred egress redirect dev {wire.near.name}"
    filter_add(links[0], ("pref 1 protocol all", push))
    pop = f"vlan_id 7 dst_mac {vf.link.mac} action vlan pop action mirred egress redirect dev {links[0].name}"
    filter_add(wire.near, ("pref 1 protocol 802.1Q", pop))
    far, near = Capture(wire.far), Capture(vf.link)
    body = b"tagged on the way"
    Injector(vf.link).send(raw_frame(wire.far.mac, vf.link.mac, body))
    found = far.expect("a tagged frame", lambda p: p.payload.startswith(body))[0]
    equal(found.tags, [(0x8100, 3 << 13 | 7)], "tags on the wire")
    Injector(wire.far).send(raw_frame(vf.link.mac, wire.far.mac, b"back", tags=[(0x8100, 7)]))
    found = near.expect("the frame without its tag", lambda p: p.payload.startswith(b"back"))[0]
    equal(found.tags, [], "tags at the VF")
    counted(links[0], 1, 1)
    counted(wire.near, 1, 1)


@case
def edited():
    """Addresses and ports are rewritten, checksums made right, and the receiver takes the datagram."""
    links, vfs = vfs_with_hooks()
    edit = (
        f"ip_proto udp dst_ip 203.0.113.9 dst_port 53 action pedit ex munge ip dst set {vfs[1].address4} munge udp dport set 5353"
        f" munge ip ttl add 255 pipe action csum ip4h and udp pipe action mirred egress redirect dev {links[1].name}"
    )
    filter_add(links[0], ("pref 1 protocol ip", edit))
    equal(in_hw(links[0], 1), True, "in_hw")
    capture = Capture(vfs[1].link)
    frame = datagram((vfs[0].link.mac, vfs[1].link.mac), (vfs[0].address4, "203.0.113.9"), (9, 53), b"to be edited")
    Injector(vfs[0].link).send(frame)
    found = capture.expect("the edited datagram", lambda p: p.ports == (9, 5353))[0]
    equal((str(found.addresses[1]), found.ip_sum, found.sum), (vfs[1].address4, True, True), "address and checksums")


@case
def mirrored():
    """A copy goes to the wire as the frame was, the frame itself on to the other VF with a tag."""
    links, vfs = vfs_with_hooks()
    clsact(wire.near)
    copy = f"action mirred egress mirror dev {wire.near.name} action vlan push id 9 action mirred egress redirect dev {links[1].name}"
    filter_add(links[0], ("pref 1 protocol all", copy))
    sh(["ip", "-n", vfs[1].ns.name, "link", "add", "link", vfs[1].link.name, "name", "vf1.9", "type", "vlan", "id", "9"])
    theirs, far = Capture(vfs[1].link), Capture(wire.far)
    body = b"twice"
    Injector(vfs[0].link).send(raw_frame(vfs[1].link.mac, vfs[0].link.mac, body))
    equal(far.expect("the copy", lambda p: p.payload.startswith(body))[0].tags, [], "tags of the copy")
    equal(theirs.expect("the frame", lambda p: p.payload.startswith(body))[0].tags, [(0x8100, 9)], "tags of the frame")


@case
def reset():
    """After a reset of the PF the rules are in the device again, with what they have counted."""
    links, vfs = vfs_with_hooks()
    connect(links)
    ping(vfs[1].address4, ns=vfs[0].ns, count=5)
    counted(links[0], 1, 5)
    before = packets(links[0], 1)
    PF().write("reset", 1)
    until(lambda: ping(vfs[1].address4, ns=vfs[0].ns, count=1, check=False, seconds=1) == 1, "the VFs reach each other", 30)
    captures = [Capture(link) for link in links]
    ping(vfs[1].address4, ns=vfs[0].ns, count=5)
    for capture in captures:
        capture.expect_none("a frame between the VFs", mine(vfs[0]), 0.5)
    counted(links[0], 1, before + 6)


@case
def police():
    """A policer lets through what is within its rate and its burst, and drops the rest; it shows how many, also after a reset."""
    links, vfs = vfs_with_hooks()
    conform = f"action police pkts_rate 10 pkts_burst 5 conform-exceed drop/pipe action mirred egress redirect dev {links[1].name}"
    filter_add(links[0], ("pref 1 protocol ip", f"ip_proto udp {conform}"))
    connect(links, pref=2)
    capture = Capture(vfs[1].link)
    time.sleep(1)  # A bucket for packets is empty at first, as in software, and full after half a second.
    Injector(vfs[0].link).send(*[frames_to(vfs, (9, 1000))] * 60)
    udp = lambda p: p.ports == (9, 1000)  # noqa: E731
    came = len(capture.expect("datagrams within the burst", udp, 5)) + len(capture.frames(udp, seconds=1))
    at_most(came, 45, "datagrams of 60 at once")
    counted(links[0], 1, 60)
    drops = lambda: the_filter(links[0], 1)["options"]["actions"][0]["stats"]["drops"]  # noqa: E731
    until(lambda: drops() == 60 - came, f"the policer shows {60 - came} datagrams that it has dropped", FRESH)
    PF().write("reset", 1)
    until(lambda: ping(vfs[1].address4, ns=vfs[0].ns, count=1, check=False, seconds=1) == 1, "the VFs reach each other", 30)
    equal((packets(links[0], 1), drops()), (60, 60 - came), "packets and drops after a reset")
    Injector(vfs[0].link).send(*[frames_to(vfs, (9, 1000))] * 60)
    came += len(capture.frames(udp, seconds=2))
    until(lambda: drops() == 120 - came, f"the policer shows {120 - came} datagrams that it has dropped", FRESH)


@case
def leaving():
    """Legacy mode waits for rules of the wire port, and takes those of representors along; a VF then reaches the wire."""
    links, vfs = vfs_with_hooks()
    connect(links)
    clsact(wire.near)
    filter_add(wire.near, ("pref 1 protocol ip", "dst_ip 198.51.100.1 action drop"))
    fails(set_mode("legacy", check=False), "legacy mode while the wire port has rules", "wire port")
    ping(vfs[1].address4, ns=vfs[0].ns)
    sh(f"tc filter del dev {wire.near.name} ingress pref 1")
    set_mode("legacy")
    until(lambda: ping(wire.far4, ns=vfs[0].ns, count=1, check=False, seconds=1) == 1, "the VF reaches the wire in legacy mode", 20)
    set_mode("switchdev")
    ping(wire.far4)


main()
