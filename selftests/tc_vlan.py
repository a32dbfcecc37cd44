#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Rules on VLAN devices above representors and the wire port, and rules that send to them."""

# sets: quick
# quick: on_a_vlan_device to_a_vlan_device
# vm: PORTS=1 MEM=4G

from lib import PF, Capture, Injector, case, defer, equal, fails, ip, main, ping, setup, sh, true, until
from lib.eswitch import offloading_wire, vfs_with_hooks
from lib.genl import Samples
from lib.link import Link
from lib.packet import datagram
from lib.tc import clsact, counted, filter_add, filter_del, in_hw, packets

CTAG, STAG = 0x8100, 0x88A8
wire = None


@setup
def topology():
    global wire
    wire = offloading_wire()
    sh(["modprobe", "8021q"])


def vlan(below, name, vid, options="", hook=True):
    """A VLAN device, up, until the end of the case."""
    ip(f"link add link {below.name} name {name} type vlan id {vid} {options}", ns=below.ns)
    defer(ip, f"link del {name}", ns=below.ns, check=False)
    link = Link(name, below.ns)
    link.ip("up")
    if hook:
        clsact(link)
    return link


def frame_to(vfs, port, tags=(), payload=b"x" * 100):
    """A datagram from the first VF to the second, to a port."""
    macs = (vfs[0].link.mac, vfs[1].link.mac)
    return datagram(macs, (vfs[0].address4, vfs[1].address4), (9, port), payload, tags=tags)


def exactly(frame):
    return lambda parsed: parsed.frame == frame


def sent(capture, what, frame, count=1):
    """The frame comes, byte for byte."""
    capture.expect(what, exactly(frame), count)


def all_sent(capture, what, *frames):
    """All of them come, byte for byte, in whichever order: that depends on the queues that they come to."""
    found = capture.expect(what, lambda p: p.frame in frames, len(frames))
    equal(sorted(parsed.frame.hex() for parsed in found), sorted(frame.hex() for frame in frames), what)


def vfs_with_upper():
    """(representors, VFs, a VLAN device with the tag 5 above the first representor), with hooks for filters on all but the VFs."""
    links, vfs = vfs_with_hooks()
    return links, vfs, vlan(links[0], "upper5", 5)


def show_all_tags(vf):
    """A VF shows frames with any tag."""
    sh(f"ip link set dev {wire.near.name} vf {vf.index} trust on")
    vf.link.ip("promisc on")


@case
def on_a_vlan_device():
    """A rule of a VLAN device is about frames with its tag, and sees them without; the host's CPU does not."""
    links, vfs, upper = vfs_with_upper()
    filter_add(upper, ("pref 1 protocol ip", f"ip_proto udp dst_port 1000 action mirred egress redirect dev {links[1].name}"), flags="")
    equal(in_hw(upper, 1), True, "in_hw")
    there, here = Capture(vfs[1].link), Capture(links[0])
    injector = Injector(vfs[0].link)
    tag = ((CTAG, 0x6005),)
    injector.send(*[frame_to(vfs, 1000, tag)] * 3)
    sent(there, "the frame without its tag", frame_to(vfs, 1000), 3)
    # Another port, another tag, another type of tag, and none.
    others = [(2000, tag), (1000, ((CTAG, 6),)), (1000, ((STAG, 5),)), (1000, ())]
    for port, tags in others:
        injector.send(frame_to(vfs, port, tags))
        sent(here, f"a frame to port {port} with {tags}, as it came", frame_to(vfs, port, tags))
    there.expect_none("a frame that no rule takes", lambda p: p.source == vfs[0].link.mac, 0.5)
    here.expect_none("a frame that the rule takes", exactly(frame_to(vfs, 1000, tag)), 0.5)
    counted(upper, 1, 3)
    equal(packets(upper, 1), 3, "packets of the rule")
    # What comes with a second tag is seen with that one.
    filter_add(upper, ("pref 2 protocol 802.1Q", f"vlan_id 9 action vlan pop action mirred egress redirect dev {links[1].name}"), flags="")
    injector.send(frame_to(vfs, 3000, ((CTAG, 5), (CTAG, 9))))
    sent(there, "the frame without both tags", frame_to(vfs, 3000))
    counted(upper, 2, 1)
    filter_del(upper, "pref 1")
    injector.send(frame_to(vfs, 1000, tag))
    sent(here, "a frame when the rule has gone", frame_to(vfs, 1000, tag))


@case
def sampled():
    """Listeners of a VLAN device's rule learn what they would in software: the frame without its tag, and the VLAN device as where it came in."""
    links, vfs, upper = vfs_with_upper()
    sample = f"action sample rate 1 group 9 trunc 80 action mirred egress redirect dev {links[1].name}"
    # It brings psample along.
    filter_add(links[0], ("pref 9 protocol ip", f"dst_ip 203.0.113.9 {sample}"))
    listener, seen, there = Samples(9), [], Capture(vfs[1].link)
    for flags in ("", "skip_hw"):
        filter_add(upper, ("pref 1 protocol ip", f"ip_proto udp dst_port 1000 {sample}"), flags=flags)
        equal(in_hw(upper, 1), not flags, f"in_hw with {flags or 'no flags'}")
        Injector(vfs[0].link).send(frame_to(vfs, 1000, ((CTAG, 5),)))
        sent(there, "the frame without its tag", frame_to(vfs, 1000))
        seen.append(listener.take(1)[0])
        equal(listener.take(seconds=0.3), [], "further samples")
        filter_del(upper, "pref 1")
    for one in seen:
        del one["sequence"]
    equal(seen[0], seen[1], "what a listener learns")
    equal((seen[0]["iif"], seen[0]["data"]), (upper.show()["ifindex"], frame_to(vfs, 1000)[:80]), "interface and bytes")
    # A rule of the port below with the same sample has copies of its own.
    filter_add(upper, ("pref 1 protocol ip", f"ip_proto udp dst_port 1000 {sample}"), flags="")
    filter_add(links[0], ("pref 1 protocol ip", f"ip_proto udp dst_port 2000 {sample}"))
    Injector(vfs[0].link).send(frame_to(vfs, 1000, ((CTAG, 5),)), frame_to(vfs, 2000))
    equal(sorted(one["iif"] for one in listener.take(2)), sorted(link.show()["ifindex"] for link in (upper, links[0])), "interfaces of both")


@case
def to_a_vlan_device():
    """What a rule sends to a VLAN device leaves by the port below with its tag; of a copy, the frame itself stays without."""
    links, vfs = vfs_with_hooks()
    show_all_tags(vfs[1])
    seven, outer = vlan(links[1], "upper7", 7, hook=False), vlan(links[1], "outer8", 8, "protocol 802.1ad", hook=False)
    both = vlan(outer, "inner9", 9, hook=False)
    filter_add(links[0], ("pref 1 protocol ip", f"ip_proto udp dst_port 1000 action mirred egress redirect dev {seven.name}"))
    filter_add(links[0], ("pref 2 protocol ip", f"ip_proto udp dst_port 2000 action mirred egress mirror dev {both.name} action mirred egress redirect dev {links[1].name}"))
    filter_add(links[0], ("pref 3 protocol 802.1Q", f"vlan_id 3 action mirred egress redirect dev {seven.name}"))
    equal([in_hw(links[0], pref) for pref in (1, 2, 3)], [True] * 3, "in_hw")
    there, here = Capture(vfs[1].link), Capture(links[0])
    injector = Injector(vfs[0].link)
    injector.send(frame_to(vfs, 1000))
    sent(there, "the frame with its tag", frame_to(vfs, 1000, ((CTAG, 7),)))
    injector.send(frame_to(vfs, 2000))
    all_sent(there, "the copy with two tags, and the frame without", frame_to(vfs, 2000, ((STAG, 8), (CTAG, 9))), frame_to(vfs, 2000))
    injector.send(frame_to(vfs, 3000, ((CTAG, 3),)))
    sent(there, "the frame with a tag around its own", frame_to(vfs, 3000, ((CTAG, 7), (CTAG, 3))))
    here.expect_none("a frame of the VF", lambda p: p.source == vfs[0].link.mac, 0.5)
    for pref in (1, 2, 3):
        counted(links[0], pref, 1)
    # An action by itself.
    sh(f"tc actions add action mirred egress redirect dev {seven.name} index 70 skip_sw".split())
    defer(sh, "tc actions del action mirred index 70", check=False)
    filter_add(links[0], ("pref 4 protocol ip", "ip_proto udp dst_port 4000 action mirred index 70"))
    injector.send(frame_to(vfs, 4000))
    sent(there, "the frame by an action that is there by itself", frame_to(vfs, 4000, ((CTAG, 7),)))


@case
def from_vlan_to_vlan():
    """Between VLAN devices of two ports, and over the wire: what a router of VLANs does."""
    links, vfs = vfs_with_hooks()
    near, mine = vlan(wire.near, "near5", 5), vlan(links[0], "mine6", 6)
    far = vlan(wire.far, "far5", 5, hook=False)
    inner = vlan(vfs[0].link, "vf6", 6, hook=False)
    far.address("198.51.100.1/24")
    inner.address("198.51.100.2/24")
    for one, other in ((near, mine), (mine, near)):
        filter_add(one, ("pref 1 protocol all", f"action mirred egress redirect dev {other.name}"), flags="", kind="matchall")
        equal(in_hw(one, 1), True, f"{one}: in_hw")
    captures = [Capture(link) for link in (links[0], wire.near)]
    ping("198.51.100.1", ns=vfs[0].ns, count=5)
    for capture in captures:
        capture.expect_none("a frame of the VF", lambda p: vfs[0].link.mac in (p.source, p.destination), 0.5)
    counted(near, 1, 5)
    counted(mine, 1, 5)


@case
def in_its_order():
    """Rules of the port below come first; what a VLAN device's rules do not take goes on in software as it came, also out of later chains."""
    links, vfs, upper = vfs_with_upper()
    tag = ((CTAG, 5),)
    redirect = f"action mirred egress redirect dev {links[1].name}"
    filter_add(links[0], ("pref 1 protocol 802.1Q", "vlan_id 5 vlan_ethtype ip ip_proto udp dst_port 1000 action drop"), flags="")
    filter_add(upper, ("pref 1 protocol ip", f"ip_proto udp dst_port 1000 {redirect}"), flags="")
    filter_add(upper, ("pref 2 protocol ip", "ip_proto udp action goto chain 3"), flags="")
    filter_add(upper, ("chain 3 pref 1 protocol ip", f"ip_proto udp dst_port 2000 {redirect}"), flags="")
    filter_add(upper, ("chain 3 pref 2 protocol ip", f"ip_proto udp dst_port 3000 {redirect}"), flags="skip_hw")
    filter_add(upper, ("chain 3 pref 3 protocol ip", "ip_proto udp dst_port 4000 action ok"), flags="")
    filter_add(upper, ("chain 3 pref 4 protocol ip", "ip_proto udp dst_port 4000 action drop"), flags="")
    equal([in_hw(links[0], 1), in_hw(upper, 1), in_hw(upper, 2), in_hw(upper, 1, chain=3)], [True] * 4, "in_hw")
    there, here, above = Capture(vfs[1].link), Capture(links[0]), Capture(upper)
    for port in (1000, 2000, 3000, 4000, 5000):
        Injector(vfs[0].link).send(frame_to(vfs, port, tag))
    all_sent(there, "datagrams that are sent on", *(frame_to(vfs, port) for port in (2000, 3000)))
    all_sent(here, "datagrams that software gets, as they came", *(frame_to(vfs, port, tag) for port in (3000, 4000, 5000)))
    all_sent(above, "datagrams that software gets, without their tag", *(frame_to(vfs, port) for port in (3000, 4000, 5000)))
    there.expect_none("a datagram that is dropped or goes to the host", lambda p: p.ports[1:] in ((1000,), (4000,), (5000,)), 0.5)
    here.expect_none("a datagram that the device brings to its end", lambda p: p.ports[1:] in ((1000,), (2000,)), 0.5)
    counted(links[0], 1, 1)
    counted(upper, 1, 1, chain=3)
    equal(packets(upper, 1), 0, "packets of the rule that gets nothing")


@case
def closed_and_opened():
    """What a VLAN device drops while it is closed, or sees with its tag, is left to software; a reset leaves all that as it is."""
    links, vfs, upper = vfs_with_upper()
    filter_add(upper, ("pref 1 protocol all", f"action mirred egress redirect dev {links[1].name}"), flags="")
    equal(in_hw(upper, 1), True, "in_hw")
    there, injector = Capture(vfs[1].link), Injector(vfs[0].link)
    came, frame = frame_to(vfs, 1000, ((CTAG, 5),)), frame_to(vfs, 1000)

    def passes(what, wanted, by_device):
        before = packets(upper, 1)
        injector.send(came)
        if wanted:
            sent(there, f"the frame: {what}", wanted)
        else:
            there.expect_none(f"a frame: {what}", lambda p: p.source == vfs[0].link.mac, 0.5)
        if by_device:
            counted(upper, 1, before + 1)
        else:
            equal(packets(upper, 1), before, f"packets of the rule: {what}")

    passes("at first", frame, True)
    upper.ip("down")
    passes("closed", None, False)
    upper.ip("up")
    passes("opened again", frame, True)
    show_all_tags(vfs[1])
    upper.ip("type vlan reorder_hdr off")
    passes("with its tag", came, False)
    upper.ip("type vlan reorder_hdr on")
    passes("without its tag again", frame, True)
    PF().write("reset", 1)

    def comes():
        injector.send(came)
        return there.frames(exactly(frame), 1, 1)

    until(comes, "frames come behind a reset", 30)
    passes("behind a reset", frame, True)


@case
def refusals():
    """What rules of VLAN devices cannot do is refused by name, and done in software; so is a VLAN device that the engine does not know."""
    links, vfs, upper = vfs_with_upper()
    mapped = vlan(links[1], "mapped7", 7, "egress-qos-map 0:3", hook=False)
    plain = vlan(links[1], "plain8", 8, hook=False)
    for to, word in ((f"egress redirect dev {mapped.name}", "egress-qos-map"), (f"ingress redirect dev {plain.name}", "VLAN device")):
        fails(filter_add(links[0], ("pref 9 protocol ip", f"action mirred {to}"), check=False), f"mirred {to}", word)
    rule = f"indev {links[0].name} action drop"
    said = filter_add(upper, ("pref 1 protocol ip", rule), flags="verbose")
    true("indev" in said.text, f"the refusal of {rule} names indev: {said.text}")
    equal(in_hw(upper, 1), False, f"{rule}: in_hw")
    filter_del(upper, "pref 1")
    sh("ip link add name dummy9 type dummy".split())
    defer(ip, "link del dummy9", check=False)
    Link("dummy9").ip("up")
    for below, name, options, word in ((upper, "above6", "", "above or below"), (links[1], "odd9", "reorder_hdr off", "reorder_hdr"), (Link("dummy9"), "other4", "", "")):
        link = vlan(below, name, int(name[-1]), options, hook=False)
        said = sh(["tc", "qdisc", "add", "dev", name, "clsact"])
        true(word in said.text, f"the refusal of {name} names {word}: {said.text}")
        filter_add(link, ("pref 1 protocol ip", "action drop"), flags="")
        equal(in_hw(link, 1), False, f"{name}: in_hw")
        fails(filter_add(link, ("pref 2 protocol ip", "action drop"), check=False), f"skip_sw on {name}")


main()
