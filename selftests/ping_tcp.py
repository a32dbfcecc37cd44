#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Traffic by the tools that everyone has: PF and wire, VF and wire, VF and VF, VF and PF, over IPv4 and IPv6."""

# sets: quick
# debug: pf_wire_ping pf_wire_tcp vf_wire
# vm: PORTS=1

from lib import PF, Capture, Link, VfEnd, Wire, at_least, case, defer, equal, fails, main, ping, setup, sh, tcp, udp_echo

wire = None


@setup
def topology():
    global wire
    wire = Wire()


def counted(link, action, least_packets):
    """The far end's own counters must have moved by what the action should send."""
    before = link.stats()
    action()
    after = link.stats()
    for way in ("rx", "tx"):
        at_least(after[way]["packets"] - before[way]["packets"], least_packets, f"packets that {link} counts ({way})")


@case
def pf_wire_ping():
    """PF and wire reach each other, and the stock NIC counts the packets."""
    for near, far in (wire.addresses(4), wire.addresses(6)):
        counted(wire.far, lambda: ping(far, count=5), 5)  # noqa: B023
        counted(wire.far, lambda: ping(near, ns=wire.ns, count=5), 5)  # noqa: B023


@case
def pf_wire_sizes():
    """Datagrams of every length around the minimum and the MTU come back unharmed, and fragments of one of 60,000 bytes."""
    for size in (0, 1, 17, 18, 19, 63, 64, 65, 1000, 1471, 1472, 1473, 8972, 60000):
        data = bytes(n * 7 & 0xFF for n in range(size))
        for version in (4, 6):
            near, far = wire.addresses(version)
            equal(udp_echo(near, far, data, ns=(None, wire.ns)), True, f"a datagram of {size} bytes over IPv{version} came back")


@case
def pf_wire_tcp():
    """A TCP stream each way over IPv4 and IPv6 arrives whole."""
    for version in (4, 6):
        near, far = wire.addresses(version)
        tcp(far, server_ns=wire.ns)
        tcp(near, client_ns=wire.ns)


@case
def pf_down_is_silent():
    """Control: with the PF down, nothing passes; up again, it does."""
    near, far = wire.addresses(4)
    wire.near.down()
    defer(wire.near.ip, "up")
    equal(ping(near, ns=wire.ns, count=2, check=False, seconds=1), 0, "answered pings while the PF is down")
    wire.near.up()
    ping(far)


@case
def vf_wire():
    """A VF and the wire reach each other: ping, datagrams, TCP both ways."""
    PF().with_vfs(1)
    vf = VfEnd(0)
    counted(wire.far, lambda: ping(wire.far4, ns=vf.ns, count=5), 5)
    ping(wire.far6, ns=vf.ns)
    ping(vf.address4, ns=wire.ns)
    equal(udp_echo(vf.address4, wire.far4, b"v" * 1472, ns=(vf.ns, wire.ns)), True, "a full datagram came back")
    tcp(wire.far4, server_ns=wire.ns, client_ns=vf.ns, size="8M")
    tcp(vf.address4, server_ns=vf.ns, client_ns=wire.ns, size="8M")


@case
def vf_vf_and_pf():
    """Two VFs and the PF reach each other inside the device, and the wire sees none of it."""
    PF().with_vfs(2)
    one, two = VfEnd(0), VfEnd(1)
    ping(two.address4, ns=one.ns)
    ping(two.address6, ns=one.ns)
    ping(wire.near4, ns=one.ns)
    own = {wire.near.mac, one.link.mac, two.link.mac}
    capture = Capture(wire.far)
    ping(two.address4, ns=one.ns, count=20)
    ping(wire.near4, ns=two.ns, count=20)
    tcp(two.address4, server_ns=two.ns, client_ns=one.ns, size="8M")
    tcp(wire.near4, client_ns=two.ns, size="8M")
    capture.expect_none("a frame between functions on the wire", lambda p: p.destination in own)


@case
def wrong_address_unanswered():
    """Control: an address that nobody has is not answered."""
    equal(ping("192.0.2.200", count=2, check=False, seconds=1), 0, "answered pings of nobody's address")
    fails(sh("ping -c1 -W1 192.0.2.200", check=False), "a ping of nobody's address")
    equal(Link("lo").carrier(), True, "carrier of lo")


main()
