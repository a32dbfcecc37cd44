#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""unbind and rmmod under full traffic: no hang, no leak, and everything works after binding again."""

# sets: quick
# quick: unbind bus_remove rmmod_with_vfs
# vm: PORTS=1

import os

from lib import PF, Stream, VfEnd, Watch, Wire, case, defer, equal, ip, main, ping, setup, sh, until

wire = None


@setup
def topology():
    global wire
    wire = Wire()
    defer(restore)


def restore():
    if not os.path.exists("/sys/module/oxnic"):
        sh(["insmod", os.environ["OXNIC_MODULE"]])
    if PF().driver is None:
        PF().bind("oxnic")
    until(lambda: PF().netdevs(), "the netdev of the PF")


def again():
    """The PF's netdev, addressed and up."""
    restore()
    wire.near = PF().link()
    ip(["address", "replace", f"{wire.near4}/24", "dev", wire.near.name])
    wire.near.up()
    ping(wire.far4)


def repeatedly(action, times=4):
    watch = None
    for turn in range(times):
        stream = Stream(wire.near, wire.far, wire.near4, wire.far4, tcp_too=True)
        action()
        stream.stop()
        again()
        if turn == 0:
            watch = Watch()
    watch.check()


@case
def unbind():
    """The PF is unbound and bound under traffic."""
    repeatedly(lambda: PF().unbind())
    equal(PF().driver, "oxnic", "driver")


@case
def rmmod():
    """The module is removed and loaded under traffic."""
    repeatedly(lambda: sh("rmmod oxnic"))


@case
def bus_remove():
    """The function is removed from the bus through sysfs and found again."""

    def remove():
        PF().write("remove", 1)
        sh("echo 1 > /sys/bus/pci/rescan")
        until(lambda: PF().exists() and PF().driver, "the function is found again")

    repeatedly(remove, 2)


@case
def vf_unbind():
    """VFs are unbound and bound under their traffic, one after the other, while the PF's goes on."""
    PF().with_vfs(2)
    stream = Stream(wire.near, wire.far, wire.near4, wire.far4)
    for turn in range(3):
        vf = VfEnd(turn % 2)
        own = sh(f"timeout 20 ping -q -i 0.01 {wire.far4} >/dev/null 2>&1 & echo $!", ns=vf.ns).out.strip()
        vf.function.unbind()
        sh(f"kill {own}", check=False)
        vf.close()
        vf.function.bind("oxnic")
        vf = VfEnd(turn % 2)
        ping(wire.far4, ns=vf.ns)
        vf.close()
    stream.resumes()


@case
def rmmod_with_vfs():
    """rmmod with VFs in namespaces under traffic: all of them go."""
    PF().set_vfs(4)
    ends = [VfEnd(n) for n in range(4)]
    stream = Stream(ends[0].link, wire.far, ends[0].address4, wire.far4)
    sh("rmmod oxnic")
    stream.stop()
    for end in ends:
        end.close()
    equal(sh("lspci -d 6f78:0002").out, "", "VFs on the bus")
    again()


main()
