#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""802.1Q: tags are inserted on transmit, taken out on receive, and VLANs that nobody has are not received."""

# sets: quick
# vm: PORTS=1

import socket

from lib import Capture, Injector, Link, Wire, at_least, case, defer, equal, fails, ip, main, ping, setup, sh, skip
from lib.capture import PACKET_AUXDATA, SOL_PACKET
from lib.packet import QINQ, TEST_TYPE, VLAN, raw_frame

wire = None


@setup
def topology():
    global wire
    wire = Wire()


def add_vlan(parent, number, address=None, extra=""):
    """A VLAN netdev on a link for the rest of the case."""
    name = f"v{number}{parent.name[-6:]}"
    ip(f"link add link {parent.name} name {name} type vlan {extra} id {number}", ns=parent.ns)
    defer(ip, f"link del {name}", ns=parent.ns, check=False)
    link = Link(name, parent.ns)
    if address:
        link.address(address)
    link.ip("up")
    return link


def both_ends(number, extra=""):
    return add_vlan(wire.near, number, f"198.51.{number % 250}.1/24", extra), add_vlan(wire.far, number, f"198.51.{number % 250}.2/24", extra)


def frame(tags, body=b"vlan", destination=None):
    return raw_frame(destination or wire.near.mac, wire.far.mac, body, tags)


def arrives(link, tags, body):
    """True if a frame with these tags that the far end sends reaches a link."""
    capture = Capture(link)
    Injector(wire.far).send(frame(tags, body))
    return len(capture.frames(lambda p: p.kind == TEST_TYPE and p.payload.startswith(body), 1, 1.0)) == 1


@case
def tag_on_the_wire():
    """Frames of a VLAN netdev carry its tag and priority on the wire, whether the device inserts it or the stack."""
    near, _ = both_ends(100)
    near.ip("type vlan egress-qos-map 0:5")
    for offload in (True, False):
        wire.near.feature(tx_vlan_offload=offload)
        capture = Capture(wire.far)
        ping("198.51.100.2", count=5)
        # IPv4 only: neighbour discovery has a priority of its own, which this map does not name.
        found = capture.expect("tagged frames", lambda p: p.source == wire.near.mac and p.tags and p.kind == 0x0800, 5, 3)
        equal({tuple(p.tags) for p in found}, {((VLAN, 5 << 13 | 100),)}, f"tags with the offload {'on' if offload else 'off'}")


@case
def vlans_are_separate():
    """Traffic of one VLAN is not seen on another, nor untagged traffic on any."""
    both_ends(101)
    both_ends(102)
    ping("198.51.101.2")
    ping("198.51.102.2")
    one, two = Link(f"v101{wire.near.name[-6:]}"), Link(f"v102{wire.near.name[-6:]}")
    equal(arrives(one, [(VLAN, 101)], b"for 101"), True, "a frame of VLAN 101 arrives on it")
    equal(arrives(two, [(VLAN, 101)], b"not 102"), False, "a frame of VLAN 101 arrives on VLAN 102")
    equal(arrives(one, [], b"untagged"), False, "an untagged frame arrives on VLAN 101")


def tag_in_metadata(offload):
    """Whether the tag of a received frame came beside the packet (taken out by the device or, early, by the stack)."""
    wire.near.feature(rx_vlan_offload=offload)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(VLAN if not offload else TEST_TYPE))
    defer(sock.close)
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    capture = Capture(wire.near)
    Injector(wire.far).send(frame([(VLAN, 3 << 13 | 103)], b"strip"))
    found = capture.expect("the tagged frame", lambda p: p.payload.startswith(b"strip"))
    return found[0].tags


@case
def tag_taken_out():
    """A received tag is delivered with its number and priority, with the offload on and off."""
    both_ends(103)
    for offload in (True, False):
        equal(tag_in_metadata(offload), [(VLAN, 3 << 13 | 103)], f"tag with the offload {'on' if offload else 'off'}")
        ping("198.51.103.2")


@case
def filter_drops():
    """With rx-vlan-filter a VLAN that no netdev has is dropped in the device; when one has it, it is received."""
    if not wire.near.features().get("rx-vlan-filter"):
        wire.near.feature(rx_vlan_filter=True)
    before = wire.near.counters().get("rx_vlan")
    equal(arrives(wire.near, [(VLAN, 200)], b"nobody's"), False, "a frame of a VLAN that nobody has arrives")
    if before is not None:
        at_least(wire.near.counters()["rx_vlan"] - before, 1, "drops by VLAN that the device counts")
    link = add_vlan(wire.near, 200)
    equal(arrives(wire.near, [(VLAN, 200)], b"now ours"), True, "the same frame arrives once a netdev has the VLAN")
    ip(f"link del {link.name}")
    equal(arrives(wire.near, [(VLAN, 200)], b"no more"), False, "the same frame arrives after the netdev is gone")


@case
def filter_off():
    """Control: without the filter, and when promiscuous, frames of any VLAN arrive."""
    wire.near.feature(rx_vlan_filter=False)
    equal(arrives(wire.near, [(VLAN, 201)], b"no filter"), True, "a frame of a VLAN that nobody has, with the filter off")
    wire.near.feature(rx_vlan_filter=True)
    wire.near.ip("promisc on")
    defer(wire.near.ip, "promisc off")
    equal(arrives(wire.near, [(VLAN, 202)], b"promiscuous"), True, "a frame of a VLAN that nobody has, when promiscuous")


@case
def filter_edges():
    """VLANs 1, 4094 and priority-only tags are received; many VLANs at once too."""
    for number in (1, 4094):
        add_vlan(wire.near, number)
        equal(arrives(wire.near, [(VLAN, number)], b"edge%d" % number), True, f"VLAN {number} arrives")
    equal(arrives(wire.near, [(VLAN, 5 << 13)], b"priority"), True, "a priority tag (VLAN 0) arrives")
    batch = "".join(f"link add link {wire.near.name} name m{n} type vlan id {n}\nlink set m{n} up\n" for n in range(1000, 1064))
    sh(["ip", "-batch", "-"], data=batch)
    defer(lambda: sh(["ip", "-batch", "-"], data="".join(f"link del m{n}\n" for n in range(1000, 1064)), check=False))
    for number in (1000, 1031, 1063):
        equal(arrives(Link(f"m{number}"), [(VLAN, number)], b"many%d" % number), True, f"VLAN {number} of 64 arrives")
    equal(arrives(wire.near, [(VLAN, 1064)], b"beyond"), False, "VLAN 1064, which nobody has, arrives")


@case
def filter_survives_down():
    """The set of VLANs holds after the netdev was down."""
    add_vlan(wire.near, 203)
    wire.near.down()
    wire.near.up()
    equal(arrives(wire.near, [(VLAN, 203)], b"still"), True, "VLAN 203 arrives after down and up")
    equal(arrives(wire.near, [(VLAN, 204)], b"never"), False, "VLAN 204 arrives after down and up")


@case
def two_tags():
    """802.1ad outside 802.1Q: both tags are on the wire and both ends reach each other."""
    links = []
    for parent, address in ((wire.near, "198.51.10.1/24"), (wire.far, "198.51.10.2/24")):
        outer = add_vlan(parent, 300, extra="protocol 802.1ad")
        links.append(add_vlan(outer, 301, address))
    capture = Capture(wire.far)
    ping("198.51.10.2", count=3)
    found = capture.expect("frames with two tags", lambda p: p.source == wire.near.mac and len(p.tags) == 2, 3, 3)
    equal({tuple(p.tags) for p in found}, {((QINQ, 300), (VLAN, 301))}, "tags from the outside in")


@case
def full_size_in_vlan():
    """A tagged frame may be 4 bytes longer: the MTU inside a VLAN is that outside."""
    both_ends(105)
    ping("198.51.105.2", size=1472, options=("-M", "do"))
    fails(sh("ping -c1 -W1 -M do -s 1473 198.51.105.2", check=False), "a packet over the MTU that must not be cut")


@case
def vlan_features_named():
    """Features that are switched off stay off, and what is fixed is refused with a message."""
    fixed = [line.split(":")[0].strip() for line in wire.near.ethtool("-k").out.splitlines() if "[fixed]" in line and ": off" in line]
    if not fixed:
        skip("no feature is fixed to off")
    fails(wire.near.ethtool("-K", f"{fixed[0]} on", check=False), f"switching on the fixed feature {fixed[0]}")


main()
