#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The card is pulled out under traffic: everything goes without a hang, and comes back when it is plugged in again."""

# sets: quick
# vm: PORTS=1

import os

from lib import PF, Control, Link, Stream, VfEnd, Watch, Wire, case, defer, equal, ip, main, ping, setup, sh, until

wire = control = None


@setup
def topology():
    global wire, control
    wire = Wire()
    control = Control()
    defer(control.close)
    defer(back)


def gone():
    return not PF().exists()


def back():
    if gone():
        control.do("insert")
    until(lambda: PF().exists() and PF().driver == "oxnic" and PF().netdevs(), "the function with its netdev", 60)


def again():
    """The new netdev takes the place of the old one, for this case and those after it."""
    wire.near = PF().link()
    ip(["address", "replace", f"{wire.near4}/24", "dev", wire.near.name])
    wire.near.up()


def pull_and_plug():
    control.do("remove")
    until(gone, "the function is gone from the bus", 60)
    equal([name for name in os.listdir("/sys/class/net") if name == wire.near.name], [], "netdev of a function that is gone")
    back()
    again()
    until(lambda: ping(wire.far4, count=1, check=False, seconds=1) == 1, "the PF reaches the wire again", 30)


@case
def idle():
    """Pulled and plugged without traffic."""
    pull_and_plug()


@case
def under_traffic():
    """Pulled under traffic in both directions, several times; memory does not grow."""
    watch = None
    for turn in range(4):
        stream = Stream(wire.near, wire.far, wire.near4, wire.far4, tcp_too=True)
        pull_and_plug()
        stream.stop()
        if turn == 0:
            watch = Watch()
    watch.check()


@case
def with_vfs():
    """Pulled with VFs that carry traffic: they go with the PF."""
    PF().set_vfs(4)
    vf = VfEnd(0)
    stream = Stream(vf.link, wire.far, vf.address4, wire.far4)
    pull_and_plug()
    stream.stop()
    vf.close()
    equal(PF().count(), 0, "VFs after plugging in")
    equal(sh("lspci -d 6f78:0002").out, "", "VFs on the bus")


@case
def during_configuration():
    """Pulled while commands run: each of them ends, with an error or not, none hangs."""
    name = wire.near.name
    sh(f"(for i in $(seq 200); do ethtool -G {name} rx 128; ethtool -G {name} rx 256; ethtool -S {name}; ip link set {name} down; ip link set {name} up; done) >/dev/null 2>&1 &")
    pull_and_plug()
    sh("pkill -f 'seq 200'", check=False)
    equal(Link("lo").carrier(), True, "the machine goes on")


@case
def unloaded_while_gone():
    """rmmod while the card is out, insmod, and then it comes back."""
    control.do("remove")
    until(gone, "the function is gone from the bus", 60)
    sh("rmmod oxnic")
    sh(["insmod", os.environ["OXNIC_MODULE"]])
    back()
    again()
    ping(wire.far4)


main()
