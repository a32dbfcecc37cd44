#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Long frames: MTU up to the device's limit, frames that span receive buffers, and what is too long."""

# sets: quick
# vm: PORTS=1

from lib import PF, Injector, Stream, VfEnd, Wire, at_least, case, defer, equal, fails, main, ping, setup, sh, tcp, udp_echo, until
from lib.packet import raw_frame

FAR_MTU = 9000  # what the stock NIC can do
wire = None


@setup
def topology():
    global wire
    wire = Wire()


def echo(size, version=4, near=None, far=None, ns=None):
    near, far = (near, far) if near else wire.addresses(version)
    data = bytes((n * 11 + size) & 0xFF for n in range(size))
    equal(udp_echo(near, far, data, ns=ns or (None, wire.ns)), True, f"a datagram of {size} bytes came back")


@case
def mtu_9000():
    """At MTU 9000 datagrams of every kind of length pass in one frame, and TCP streams both ways."""
    wire.far.set_mtu(FAR_MTU)
    wire.near.set_mtu(FAR_MTU)
    for size in (1472, 2000, 2048, 3000, 4000, 4068, 4096, 6000, 8192, 8900, 8972):
        ping(wire.far4, count=1, size=size, options=("-M", "do"))
        echo(size)
        echo(size - 20, 6)
    tcp(wire.far4, server_ns=wire.ns)
    tcp(wire.near4, client_ns=wire.ns)


@case
def largest_mtu():
    """The largest MTU (at least 9600) works between PF and VF; one more is refused with a reason."""
    largest = wire.near.show()["max_mtu"]
    at_least(largest, 9600, "the largest MTU that the driver names")
    wire.near.set_mtu(largest)
    PF().with_vfs(1)
    vf = VfEnd(0)
    vf.link.set_mtu(vf.link.show()["max_mtu"])
    size = min(largest, vf.link.mtu) - 28
    ping(vf.address4, count=3, size=size, options=("-M", "do"))
    echo(size, near=wire.near4, far=vf.address4, ns=(None, vf.ns))
    tcp(vf.address4, server_ns=vf.ns, size="8M")
    fails(wire.near.ip(f"mtu {largest + 1}", check=False), "an MTU over the limit", "mtu")
    equal(wire.near.mtu, largest, "MTU after the refusal")


@case
def smallest_mtu():
    """The smallest MTU works, one less is refused."""
    smallest = wire.near.show()["min_mtu"]
    wire.near.set_mtu(max(smallest, 576))
    ping(wire.far4, size=500, options=("-M", "do"))
    fails(wire.near.ip(f"mtu {smallest - 1}", check=False), "an MTU under the limit", "mtu")


@case
def too_long_dropped():
    """A frame longer than the MTU allows is dropped and counted, and disturbs nothing."""
    wire.far.set_mtu(FAR_MTU)
    before, errors = wire.near.counters(), wire.near.stats()["rx"]
    frame = raw_frame(wire.near.mac, wire.far.mac, b"too long", size=3000)
    Injector(wire.far).send(*[frame] * 10)
    ping(wire.far4)
    after = wire.near.counters()
    if "rx_too_long" in before:
        equal(after["rx_too_long"] - before["rx_too_long"], 10, "frames that the device counts as too long")
    # The netdev takes these from memory that the device writes, at most a second behind.
    counted = lambda: wire.near.stats()["rx"]["length_errors"] - errors["length_errors"] >= 10
    until(counted, "the netdev's statistics count ten length errors", 1.5)
    at_least(wire.near.stats()["rx"]["errors"] - errors["errors"], 10, "errors in the netdev's statistics")


@case
def change_under_traffic():
    """The MTU changes up and down while traffic flows, and traffic goes on."""
    stream = Stream(wire.near, wire.far, wire.near4, wire.far4)
    wire.far.set_mtu(FAR_MTU)
    for mtu in (9000, 1500, 4000, 9000, 1280, 1500):
        wire.near.ip(f"mtu {mtu}")
        stream.resumes()
    equal(wire.near.mtu, 1500, "MTU at the end")


@case
def scatter_many_sizes():
    """Every length over a range crosses each edge of a buffer once."""
    wire.far.set_mtu(FAR_MTU)
    wire.near.set_mtu(FAR_MTU)
    defer(sh, "true")
    for base in (2048, 4096, 8192):
        for size in range(base - 44, base + 4, 3):
            echo(size)


main()
